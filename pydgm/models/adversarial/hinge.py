"""The hinge GAN: D has to be above 1 on data and below -1 on what is made, and gains nothing beyond (Lim and Ye 2017).

    D: min E_x[max(0, 1 - D(x))] + E_z[max(0, 1 + D(G(z)))]        G: min -E_z[D(G(z))]

The best D is the sign of p - q, and its loss 2 - 2 TV(p, q), with the total variation TV = (integral of abs(p - q)) / 2: BigGAN
and its spectral norm are trained so. Losses take the models by name, as in :mod:`pydgm.models.adversarial.gan`.
"""

from __future__ import annotations

from ...autodiff import mean, relu
from ...backend import Array
from ...random import Generator
from .gan import Models, fakes


def discriminator_loss(models: Models, real: Array, rng: Generator) -> Array:
    """E_x[max(0, 1 - D(x))] + E_z[max(0, 1 + D(G(z)))], with as many generated samples as real ones."""
    D, fake = models["D"], fakes(models, real, rng)
    return mean(relu(1.0 - D(real))) + mean(relu(1.0 + D(fake)))


def generator_loss(models: Models, real: Array, rng: Generator) -> Array:
    """-E_z[D(G(z))], without a hinge."""
    return -mean(models["D"](fakes(models, real, rng)))
