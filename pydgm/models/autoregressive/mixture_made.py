r"""MADE for real numbers, with mixtures of Gaussians as conditionals: "MADE MoG" (Papamakarios, Pavlakou and Murray 2017; after
RNADE, Uria, Murray and Larochelle 2013).

    p(x) = prod_i sum_c pi_c N(x_i; mu_c, sigma_c^2),      pi_c, mu_c, log sigma_c from x_<i, by a masked network

A conditional has as many modes as it likes, where that of one affine map has as many as before.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence

import numpy

from ... import checks
from ...autodiff import exp, matrix_transpose, relu, reshape, sum, tanh, where
from ...backend import Array, asarray, xp, zeros
from ...distributions import Mixture, Normal
from ...distributions.base import Distribution, Shape, as_tuple
from ...nn import static
from ...nn.layers import check_init
from ...random import Generator
from .base import check_places
from .made import MaskedMLP

BOUND = 5.0
"""Logarithms of deviations stay below it: far from the data a network's answer may be any number."""


class MixtureMADE(Distribution):
    """A density of rows of D numbers. ``network``: (..., D) -> (..., 3 C, D), of each conditional the logits of its C weights,
    the means, the logarithms of the deviations. ``place`` (D,): as which variable each comes, from 0 on."""

    network: MaskedMLP
    place: Array = static()

    @classmethod
    def init(
        cls,
        rng: Generator,
        D: int,
        hidden: Sequence[int],
        components: int = 10,
        places: Array | None = None,
        activation: Callable[[Array], Array] = relu,
    ) -> MixtureMADE:
        """For variables as they stand, or in the order ``places`` (1, D); widths of the hidden layers. At first the means are
        spread between -2 and 2, as for data of mean 0 and variance 1."""
        check_init(rng, "MixtureMADE.init", D=D, components=components)
        place = check_places(places, D, "MixtureMADE.init", 1)[0, :]
        network = MaskedMLP.init(rng, place, hidden, 3 * components, activation)
        C, last = components, network.layers[-1]
        start = numpy.concatenate([numpy.zeros(C), 4.0 * (numpy.arange(C) + 0.5) / C - 2.0, numpy.full(C, math.log(4.0 / C))])
        bias = asarray(numpy.repeat(start, D).astype("float32"))
        layers = (*network.layers[:-1], dataclasses.replace(last, bias=bias))
        return cls(dataclasses.replace(network, layers=layers), place)

    @property
    def event_ndim(self) -> int:
        return 1

    @property
    def shape(self) -> Shape:
        return (int(self.place.shape[0]),)

    def conditionals(self, x: Array) -> Mixture:
        """p(x_i | x_<i) of all i: x (..., D) -> a mixture of batch (..., D)."""
        numbers = matrix_transpose(self.network(x))
        C = numbers.shape[-1] // 3
        logits, means, log_scales = (numbers[..., k * C : (k + 1) * C] for k in range(3))
        return Mixture(logits, Normal(means, exp(BOUND * tanh(log_scales / BOUND))))

    def log_prob(self, x: Array) -> Array:
        """In nats: (..., D) -> (...)."""
        checks.width(x, self.shape[0], "MixtureMADE: rows of x")
        # formula: autoregression
        return sum(self.conditionals(x).log_prob(x), axis=-1)

    def sample(self, rng: Generator, shape: int | Shape = ()) -> Array:
        """Rows (\\*shape, D), one variable after the other."""
        shape = as_tuple(shape)
        x = zeros((math.prod(shape), *self.shape), self.network.layers[0].weight)
        for turn in range(int(xp.max(self.place)) + 1):
            x = where(self.place == turn, self.conditionals(x).sample(rng), x)
        return reshape(x, (*shape, *self.shape))
