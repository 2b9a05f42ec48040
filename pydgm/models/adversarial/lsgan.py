"""The least-squares GAN: D returns a number, 1 for data and 0 for what is made, by the squared error (Mao et al. 2017).

    D: min E_x[(D(x) - 1)^2] / 2 + E_z[D(G(z))^2] / 2        G: min E_z[(D(G(z)) - 1)^2] / 2

The best D is p / (p + q), as in the vanilla GAN, and 1/2 where all is learned. Its number has no sigmoid: far from 1 the
square pulls the harder, so that G has a gradient where a discriminator would be sure. Losses take the models by name, as in
:mod:`pydgm.models.adversarial.gan`.
"""

from __future__ import annotations

from ...autodiff import mean, square
from ...backend import Array
from ...random import Generator
from .gan import Models, fakes


def discriminator_loss(models: Models, real: Array, rng: Generator) -> Array:
    """(E_x[(D(x) - 1)^2] + E_z[D(G(z))^2]) / 2, with as many generated samples as real ones."""
    D, fake = models["D"], fakes(models, real, rng)
    return 0.5 * (mean(square(D(real) - 1.0)) + mean(square(D(fake))))


def generator_loss(models: Models, real: Array, rng: Generator) -> Array:
    """E_z[(D(G(z)) - 1)^2] / 2."""
    return 0.5 * mean(square(models["D"](fakes(models, real, rng)) - 1.0))
