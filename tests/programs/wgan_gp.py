"""A WGAN with gradient penalty on eight Gaussians, five critic steps for each of the generator (Gulrajani et al. 2017)."""

import functools

import pydgm as dgm
from pydgm import metrics, nn, optim, train
from pydgm.models.adversarial import gan, wgan

STEPS, CRITIC_STEPS, PENALTY, BATCH = 3000, 5, 1.0, 256

rng = dgm.random.Generator(seed=0)
ring = dgm.data.ring_of_gaussians(scale=0.1)
models = {"critic": nn.MLP.init(rng, [2, 128, 128, 1]), "G": gan.Generator.init(rng, [2, 128, 128, 2])}
adam = optim.adam(1e-3, beta1=0.5, beta2=0.9)
critic_loss = functools.partial(wgan.penalized_critic_loss, penalty=PENALTY)
step = train.alternate(critic=(critic_loss, adam, CRITIC_STEPS), G=(wgan.generator_loss, adam, 1), average=0.99)
batches = [ring.sample(rng, BATCH) for _ in range(CRITIC_STEPS * STEPS)]
run = train.run(step, step.init(models, rng), batches, what="training")
print("data:", metrics.modes(ring.sample(rng, 10_000), ring))
print("generated:", metrics.modes(run.models["G"].sample(rng, 10_000), ring))
print("averaged weights:", metrics.modes(run.average["G"].sample(rng, 10_000), ring))
