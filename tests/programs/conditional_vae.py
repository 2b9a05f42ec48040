"""A conditional VAE on digits: log p(x | y) >= E_q(z|x,y)[log p(x | z, y)] - KL(q(z | x, y) || N(0, I))."""

import pydgm as dgm
from pydgm import nn, optim, train
from pydgm.distributions import Bernoulli, Independent, Normal, StandardNormal
from pydgm.models.latent import VAE, vae

PIXELS, HIDDEN, LATENT, CLASSES, PASSES = 784, 400, 20, 10, 10


class ConditionalVAE(dgm.Module):
    encoder: nn.MLP  # [x, y] -> (mu, log sigma)
    decoder: nn.MLP  # [z, y] -> logits of the pixels

    def posterior(self, x, y):
        mu, log_sigma = dgm.split(self.encoder(dgm.concat([x, y], axis=-1)), 2)
        return Independent(Normal(mu, dgm.exp(log_sigma)), 1)

    def decode(self, z, y):
        return Independent(Bernoulli(self.decoder(dgm.concat([z, y], axis=-1))), 1)


def loss(model, batch, rng):
    x, y = batch[0], nn.one_hot(batch[1], CLASSES)
    q = model.posterior(x, y)
    return -dgm.mean(model.decode(q.sample(rng), y).log_prob(x) - dgm.divergences.kl(q, StandardNormal(LATENT)))


def learn(model, loss, labels):
    step = train.minimise(loss, optim.adam(1e-3))
    model = train.run(step, step.init(model, rng), digits.train.batches(rng, 128, PASSES, labels), what="training").model
    test = digits.test.batches(rng, 1000, labels=labels)
    return -sum(float(loss(model, batch, rng)) for batch in test) / len(test)


rng = dgm.random.Generator(seed=0)
digits = dgm.data.load("digits")
encoder = nn.MLP.init(rng, [PIXELS + CLASSES, HIDDEN, 2 * LATENT])
decoder = nn.MLP.init(rng, [LATENT + CLASSES, HIDDEN, PIXELS])
conditional = learn(ConditionalVAE(encoder, decoder), loss, labels=True)
plain = learn(VAE.init(rng, PIXELS, [HIDDEN], LATENT), vae.loss, labels=False)
print(f"test bound: {conditional:.2f} nats with the label, {plain:.2f} without ({digits.source})")
