"""Distributions of real numbers and vectors."""

from __future__ import annotations

import math

from .. import autodiff as ad
from .. import checks
from ..backend import Array, seen
from ..errors import ShapeError, shape_text
from ..random import Generator
from .base import Distribution, Shape, as_floats, as_tuple, dtype_of, everywhere, log, shape_of


class Normal(Distribution):
    """N(loc, scale^2), ``scale`` being the standard deviation."""

    loc: Array = 0.0
    scale: Array = 1.0

    def __post_init__(self) -> None:
        checks.parameter(self.loc, "Normal: loc")
        checks.parameter(self.scale, "Normal: scale")
        checks.positive(self.scale, "Normal: scale, a standard deviation,")

    @property
    def reparameterized(self) -> bool:
        return True

    @property
    def shape(self) -> Shape:
        return shape_of(self.loc, self.scale)

    def sample(self, rng: Generator, shape: int | Shape = ()) -> Array:
        """loc + scale * eps, eps ~ N(0, 1): reparameterised, so differentiable in both. Shape (\\*shape, ...)."""
        noise = rng.normal((*as_tuple(shape), *self.shape), dtype_of(self.loc, self.scale))
        # formula: reparameterise
        return self.loc + self.scale * noise

    def log_prob(self, x: Array) -> Array:
        """-((x - loc) / scale)^2 / 2 - log scale - log(2 pi) / 2."""
        x, loc = as_floats(x), as_floats(self.loc)
        return -0.5 * ad.square((x - loc) / self.scale) - (log(self.scale) + 0.5 * math.log(2.0 * math.pi))

    def entropy(self) -> Array:
        """log scale + log(2 pi e) / 2."""
        return everywhere(
            log(self.scale) + 0.5 * math.log(2.0 * math.pi * math.e), self.shape, self.loc
        )  # one for each mean, too


class Uniform(Distribution):
    """Uniform between ``low`` and ``high``."""

    low: Array = 0.0
    high: Array = 1.0

    def __post_init__(self) -> None:
        checks.parameter(self.low, "Uniform: low")
        checks.parameter(self.high, "Uniform: high")
        checks.positive(seen(self.high) - seen(self.low), "Uniform: high - low")

    @property
    def reparameterized(self) -> bool:
        return True

    @property
    def shape(self) -> Shape:
        return shape_of(self.low, self.high)

    def sample(self, rng: Generator, shape: int | Shape = ()) -> Array:
        """low + (high - low) u: reparameterised. Shape (\\*shape, ...)."""
        noise = rng.uniform((*as_tuple(shape), *self.shape), dtype_of(self.low, self.high))
        return self.low + (self.high - self.low) * noise

    def log_prob(self, x: Array) -> Array:
        """-log(high - low) from low to high, -inf outside."""
        inside = ad.less_equal(self.low, x) & ad.less_equal(x, self.high)
        return ad.where(inside, everywhere(-log(self.high - self.low), inside.shape, x), -math.inf)

    def entropy(self) -> Array:
        """log(high - low)."""
        return log(self.high - self.low)


class StandardNormal(Distribution):
    """N(0, I) of vectors of ``size`` numbers: latent variables, and what flows begin with. It has no parameters."""

    size: int

    def __post_init__(self) -> None:
        checks.count(self.size, "StandardNormal: size")

    @property
    def reparameterized(self) -> bool:
        return True

    @property
    def event_ndim(self) -> int:
        return 1

    @property
    def shape(self) -> Shape:
        return (self.size,)

    def sample(self, rng: Generator, shape: int | Shape = ()) -> Array:
        """(\\*shape, size)."""
        return rng.normal((*as_tuple(shape), self.size))

    def log_prob(self, x: Array) -> Array:
        """-|x|^2 / 2 - size log(2 pi) / 2: (..., size) -> (...)."""
        checks.width(x, self.size, "StandardNormal.log_prob: vectors")
        return ad.sum(Normal().log_prob(x), axis=-1)

    def entropy(self) -> float:
        """size log(2 pi e) / 2."""
        return 0.5 * self.size * math.log(2.0 * math.pi * math.e)


class MultivariateNormal(Distribution):
    """N(loc, L L') of vectors, L lower triangular with a positive diagonal."""

    loc: Array  # (..., d)
    L: Array  # (..., d, d)

    def __post_init__(self) -> None:
        checks.array(self.loc, "MultivariateNormal: loc")
        checks.array(self.L, "MultivariateNormal: L")
        if self.L.ndim < 2 or self.loc.ndim < 1 or tuple(self.L.shape[-2:]) != (self.loc.shape[-1],) * 2:
            raise ShapeError(f"MultivariateNormal: wanted (..., d) and (..., d, d), got {shape_text((self.loc, self.L))}")

    @property
    def reparameterized(self) -> bool:
        return True

    @property
    def event_ndim(self) -> int:
        return 1

    @property
    def shape(self) -> Shape:
        return shape_of(self.loc, self.L[..., 0])

    def sample(self, rng: Generator, shape: int | Shape = ()) -> Array:
        """loc + L eps, eps ~ N(0, I): reparameterised."""
        noise = rng.normal((*as_tuple(shape), *self.shape, 1), dtype_of(self.loc, self.L))
        return self.loc + ad.squeeze(self.L @ noise, -1)

    def log_prob(self, x: Array) -> Array:
        """-|L^-1 (x - loc)|^2 / 2 - log det L - d log(2 pi) / 2: (..., d) -> (...)."""
        d, batch = self.L.shape[-1], self.L.ndim - 2
        checks.width(x, d, "MultivariateNormal.log_prob: vectors")
        away = as_floats(x) - as_floats(self.loc)
        # all points of one distribution are solved for at once: (n, *batch, d) -> (*batch, d, n)
        points = ad.reshape(away, (-1, *away.shape[away.ndim - 1 - batch :]))
        squares = ad.sum(ad.square(ad.solve(self.L, ad.permute_dims(points, (*range(1, batch + 2), 0)))), axis=-2)
        squares = ad.reshape(ad.permute_dims(squares, (batch, *range(batch))), away.shape[:-1])
        return -0.5 * squares - (ad.sum(ad.log(ad.diagonal(self.L)), axis=-1) + 0.5 * d * math.log(2.0 * math.pi))
