r"""
A variational autoencoder: a gradient that goes through a draw
==============================================================

In the VAE a random number stands in the middle: :math:`z = \mu + \sigma \epsilon`. What is the derivative of a loss that is
drawn? By hand first, for the part between encoder and decoder, then by the engine, then as a program.
"""

import numpy as np

import pydgm as dgm
from pydgm import optim, train
from pydgm.models.latent import VAE, vae

rng = dgm.random.Generator(seed=0)
model = VAE.init(rng, pixels=16, hidden=(8,), latent=2)
x = rng.bernoulli(dgm.asarray(np.full((32, 16), 0.3, "float32")))

# %%
# By hand
# -------
# .. math:: -\mathrm{ELBO} = \underbrace{-\log p(x | z)}_{r(z)} + KL, \qquad z = \mu + e^{\lambda} \epsilon, \qquad
#           KL = \sum_d \tfrac12 (\mu_d^2 + e^{2 \lambda_d} - 1) - \lambda_d
#
# with :math:`\lambda = \log \sigma`, since a network's outputs have any sign, and a width has not. The decoder tells z how r
# changes: :math:`\bar z`. Two ways lead on from z: :math:`\mu` moves it one to one, :math:`\lambda` by :math:`\sigma \epsilon`.
#
# .. math:: \bar\mu = \bar z + \mu, \qquad \bar\lambda = \bar z \, \sigma \epsilon + \sigma^2 - 1.
#
# The second term of each is the slope of KL: it pulls :math:`\mu` to 0, :math:`\sigma` to 1. Through :math:`\epsilon` nothing
# goes: it has no parameters. That is the trick.

q = model.posterior(x).base
eps = rng.normal(q.loc.shape)


def minus_elbo(mu, log_sigma):
    z = mu + dgm.exp(log_sigma) * eps
    kl = 0.5 * (mu**2 + dgm.exp(2.0 * log_sigma) - 1.0) - log_sigma
    return dgm.sum(kl) - dgm.sum(model.decode(z).log_prob(x))


mu, sigma = q.loc, q.scale
z_bar = dgm.grad(lambda z: -dgm.sum(model.decode(z).log_prob(x)))(mu + sigma * eps)
by_hand = z_bar + mu, z_bar * sigma * eps + sigma**2 - 1.0
by_engine = dgm.grad(minus_elbo, argnums=(0, 1))(mu, dgm.log(sigma))
for one, other in zip(by_hand, by_engine, strict=True):
    np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)

# %%
# The two ways, drawn: from z back to ``mu`` directly, and to ``log_sigma`` through the product with a constant.

dgm.graph(minus_elbo)(mu, dgm.log(sigma))

# %%
# As a program
# ------------
# ``vae.loss`` calls layers, distributions and a divergence: all are unfolded to their own lines. Lines of noise draw
# :math:`\epsilon`; find where it is used again on the way back.

step = train.minimise(vae.loss, optim.adam(1e-2))
run = train.run(step, step.init(model, rng), [x] * 200)
step

# %%
# The bound has risen, since all pixels are white with probability 0.3: nothing is to be known of an image, and no z is needed.

print(f"-ELBO: {run.losses[0]:.2f} nats at first, {run.losses[-20:].mean():.2f} at last")
entropy = -16 * (0.3 * np.log(0.3) + 0.7 * np.log(0.7))
assert abs(run.losses[-20:].mean() - entropy) < 1.5
