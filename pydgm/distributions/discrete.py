"""Distributions of symbols and counts, and what stands in for symbols where a gradient is wanted."""

from __future__ import annotations

import math

import numpy

from .. import autodiff as ad
from .. import checks
from ..backend import Array, arange, asarray, is_array, scatter_add, seen, xp
from ..errors import DomainError, ShapeError, shape_text
from ..random import Generator
from .base import Distribution, Shape, as_floats, as_tuple, dtype_of, log, log1mexp, shape_of


class Bernoulli(Distribution):
    """1 with probability sigmoid(logits), else 0."""

    logits: Array

    def __post_init__(self) -> None:
        checks.parameter(self.logits, "Bernoulli: logits")

    @classmethod
    def fit(cls, x: Array) -> Bernoulli:
        """Of each column of the rows ``x`` (n, ...): p = (sum x + 1) / (n + 2), one of each value added: never 0 or 1."""
        checks.array(x, "Bernoulli.fit: rows")
        if x.ndim == 0:
            raise ShapeError("Bernoulli.fit: wanted rows (n, ...), got a single number")
        checks.within(x, 0.0, 1.0, "Bernoulli.fit: rows", ": are pixels to be divided by 255?")
        p = (ad.sum(as_floats(x), axis=0) + 1.0) / (x.shape[0] + 2.0)
        return cls(log(p / (1.0 - p)))

    @property
    def probs(self) -> Array:
        """sigmoid(logits)."""
        return ad.sigmoid(self.logits)

    @property
    def shape(self) -> Shape:
        return shape_of(self.logits)

    def sample(self, rng: Generator, shape: int | Shape = ()) -> Array:
        """Zeros and ones of shape (\\*shape, ...). Not differentiable."""
        p = self.probs if is_array(self.probs) else asarray(self.probs)
        return rng.bernoulli(ad.broadcast_to(p, (*as_tuple(shape), *p.shape)))

    def log_prob(self, x: Array) -> Array:
        """x log p + (1 - x) log(1 - p) = x logits - softplus(logits), finite at any finite logits.

        ``x`` may lie between 0 and 1: then it is the mean of that over black and white pixels, white with probability x.
        Raises :class:`~pydgm.errors.DomainError` for other values.
        """
        checks.within(x, 0.0, 1.0, "Bernoulli.log_prob", ": are pixels to be divided by 255?")
        return x * self.logits - ad.softplus(self.logits)

    def entropy(self) -> Array:
        """softplus(l) - l sigmoid(l)."""
        return ad.softplus(self.logits) - self.logits * self.probs


def _check_logits(logits: Array, whose: str) -> None:
    checks.array(logits, f"{whose}: logits")
    if logits.ndim == 0:
        raise ShapeError(f"{whose}: wanted logits (..., K), got a single number")


class Categorical(Distribution):
    """Symbol k with probability softmax(logits)_k over the last axis."""

    logits: Array

    def __post_init__(self) -> None:
        _check_logits(self.logits, "Categorical")

    @property
    def shape(self) -> Shape:
        return tuple(self.logits.shape[:-1])

    def sample(self, rng: Generator, shape: int | Shape = ()) -> Array:
        """Integers of shape (\\*shape, \\*logits.shape[:-1]). Not differentiable."""
        return rng.categorical(ad.broadcast_to(self.logits, (*as_tuple(shape), *self.logits.shape)))

    def log_prob(self, k: Array) -> Array:
        """log softmax(logits)_k, for integers ``k`` whose shape broadcasts with logits.shape[:-1].

        Refused are labels that no class has, and two shapes that are nearly always a mistake: (n, 1) for n rows, one-hot rows.
        """
        log_p = ad.log_softmax(self.logits)
        k = k if is_array(k) else asarray(k)
        checks.labels(k, log_p.shape[-1], tuple(log_p.shape[:-1]), "Categorical.log_prob")
        shape = numpy.broadcast_shapes(tuple(k.shape), tuple(log_p.shape[:-1]))
        log_p, k = ad.broadcast_to(log_p, (*shape, log_p.shape[-1])), xp.broadcast_to(k, shape)
        return ad.squeeze(ad.take_along_axis(log_p, xp.expand_dims(k, axis=-1), axis=-1), -1)

    def entropy(self) -> Array:
        """-sum p log p; a symbol of probability 0 adds nothing."""
        log_p = ad.log_softmax(self.logits)
        return -ad.sum(ad.exp(log_p) * ad.where(ad.isfinite(log_p), log_p, 0.0), axis=-1)


class Multinomial(Distribution):
    """Counts (K,) of ``total`` symbols, each k with probability softmax(logits)_k over the last axis: a bag of words."""

    total: int
    logits: Array  # (..., K)

    def __post_init__(self) -> None:
        checks.count(self.total, "Multinomial: total", 0)
        _check_logits(self.logits, "Multinomial")

    @property
    def event_ndim(self) -> int:
        return 1

    @property
    def shape(self) -> Shape:
        return tuple(self.logits.shape)

    def sample(self, rng: Generator, shape: int | Shape = ()) -> Array:
        """Counts of shape (\\*shape, ..., K). Not differentiable."""
        logits = ad.stop_gradient(ad.broadcast_to(self.logits, (*as_tuple(shape), *self.logits.shape)))
        K, rows = logits.shape[-1], math.prod(logits.shape[:-1])
        each = ad.broadcast_to(xp.reshape(logits, (rows, 1, K)), (rows, self.total, K))
        symbols = xp.reshape(rng.categorical(each), (-1,))
        row = xp.reshape(xp.broadcast_to(xp.reshape(arange(rows, symbols), (-1, 1)), (rows, self.total)), (-1,))
        ones = xp.astype(symbols * 0 + 1, logits.dtype)
        return xp.reshape(scatter_add(ones, (row, symbols), (rows, K)), logits.shape)

    def log_prob(self, counts: Array) -> Array:
        """log total! - sum_k log counts_k! + sum_k counts_k log softmax(logits)_k.

        Raises :class:`~pydgm.errors.DomainError` for counts below 0 or above ``total``; -inf where they do not add up to it.
        """
        checks.width(counts, self.logits.shape[-1], "Multinomial.log_prob: counts")
        checks.within(counts, 0, self.total, "Multinomial.log_prob: counts")
        host = seen(counts)
        if isinstance(host, numpy.ndarray) and (host != numpy.round(host)).any():
            raise DomainError("Multinomial.log_prob: counts are integers, and some lie between two")
        log_p = ad.log_softmax(self.logits)
        counts = ad.astype(counts, log_p.dtype)
        ways = math.lgamma(self.total + 1.0) - ad.sum(log_factorial(counts), axis=-1)
        log_p = ways + ad.sum(counts * ad.where(counts > 0, log_p, 0.0), axis=-1)
        return ad.where(ad.equal(ad.sum(counts, axis=-1), float(self.total)), log_p, -math.inf)


def log_factorial(n: Array) -> Array:
    """log n! for n >= 0, by Stirling's series at n + 9: right to 1e-11 in float64."""
    x, product = n + 9.0, n + 1.0
    for i in range(2, 9):
        product = product * (n + i)
    y = 1.0 / (x * x)
    tail = (1.0 / 12.0 - y * (1.0 / 360.0 - y * (1.0 / 1260.0 - y / 1680.0))) / x
    return (x - 0.5) * ad.log(x) - x + 0.5 * math.log(2.0 * math.pi) + tail - ad.log(product)


class DiscretizedLogistic(Distribution):
    """A logistic variable rounded to ``bins`` levels from ``low`` to ``high``; the outer levels take the tails.

    P(x) = sigmoid((x + h - loc) / scale) - sigmoid((x - h - loc) / scale), h half the distance between levels: for pixels,
    where neighbouring grey values are alike (Kingma et al. 2016; Salimans et al. 2017, with :class:`Mixture` PixelCNN++'s
    likelihood).
    """

    loc: Array
    scale: Array
    low: float = 0.0
    high: float = 1.0
    bins: int = 256

    def __post_init__(self) -> None:
        checks.parameter(self.loc, "DiscretizedLogistic: loc")
        checks.parameter(self.scale, "DiscretizedLogistic: scale")
        checks.positive(self.scale, "DiscretizedLogistic: scale")
        checks.count(self.bins, "DiscretizedLogistic: bins", 2)
        if not self.low < self.high:
            raise DomainError(f"DiscretizedLogistic: levels go from low up to high, got {self.low} and {self.high}")

    @property
    def shape(self) -> Shape:
        return shape_of(self.loc, self.scale)

    @property
    def _width(self) -> float:
        return (self.high - self.low) / (self.bins - 1)

    def sample(self, rng: Generator, shape: int | Shape = ()) -> Array:
        """Levels of shape (\\*shape, ...). Not differentiable."""
        u = rng.uniform((*as_tuple(shape), *self.shape), dtype_of(self.loc, self.scale))
        u = 1e-6 + (1.0 - 2e-6) * u
        x = ad.stop_gradient(self.loc + self.scale * (xp.log(u) - xp.log1p(-u)))
        level = xp.round((x - self.low) / self._width)
        return self.low + self._width * ad.clip(level, 0.0, self.bins - 1.0)

    def log_prob(self, x: Array) -> Array:
        """log P(x), finite however far x is from loc: sigmoid(a) - sigmoid(b) = sigmoid(a) sigmoid(-b) (1 - exp(b - a)).

        Raises :class:`~pydgm.errors.DomainError` for values outside of ``low`` to ``high``.
        """
        checks.within(x, self.low, self.high, "DiscretizedLogistic.log_prob")
        half = 0.5 * self._width
        a, b = (x + half - self.loc) / self.scale, (x - half - self.loc) / self.scale
        below, above = -ad.softplus(-a), -ad.softplus(b)  # log sigmoid(a), log(1 - sigmoid(b))
        inner = below + above + log1mexp(self._width / self.scale)
        first, last = ad.less(x, self.low + half), ad.greater(x, self.high - half)
        return ad.where(first, below, ad.where(last, above, inner))


class GumbelSoftmax(Distribution):
    """Vectors on the simplex that tend to the symbols of softmax(logits) as ``temperature`` goes to 0, and have a gradient.

    y = softmax((logits + g) / temperature), g standard Gumbel noise (Jang, Gu and Poole 2017; the "concrete" distribution of
    Maddison, Mnih and Teh 2017).
    """

    logits: Array  # (..., K)
    temperature: Array = 1.0

    def __post_init__(self) -> None:
        _check_logits(self.logits, "GumbelSoftmax")
        checks.parameter(self.temperature, "GumbelSoftmax: temperature")
        checks.positive(self.temperature, "GumbelSoftmax: temperature")
        if getattr(self.temperature, "shape", ()) != ():
            raise ShapeError(f"GumbelSoftmax: one temperature for all, got {shape_text(self.temperature)}")

    @property
    def reparameterized(self) -> bool:
        return True

    @property
    def event_ndim(self) -> int:
        return 1

    @property
    def shape(self) -> Shape:
        return tuple(self.logits.shape)

    def sample(self, rng: Generator, shape: int | Shape = ()) -> Array:
        """Points on the simplex, (\\*shape, ..., K): reparameterised, so differentiable in the logits."""
        return ad.softmax((self.logits + rng.gumbel((*as_tuple(shape), *self.shape), dtype_of(self.logits))) / self.temperature)

    def log_prob(self, y: Array) -> Array:
        """log (K-1)! + (K-1) log t + sum_k (l_k - (t + 1) log y_k) - K logsumexp_k(l_k - t log y_k), t the temperature."""
        checks.width(y, self.logits.shape[-1], "GumbelSoftmax.log_prob: points")
        K, t = self.logits.shape[-1], self.temperature
        log_y = ad.log(ad.maximum(y, float(xp.finfo(y.dtype).smallest_normal)))  # what has rounded to 0 is at most that
        constant = math.lgamma(K) + (K - 1.0) * log(t)
        return constant + ad.sum(self.logits - (t + 1.0) * log_y, axis=-1) - K * ad.logsumexp(self.logits - t * log_y, axis=-1)


def straight_through(y: Array) -> Array:
    """The nearest symbol of each point on the simplex, one-hot, with the gradient of the point itself (Bengio et al. 2013)."""
    hard = xp.astype(xp.expand_dims(xp.argmax(ad.stop_gradient(y), axis=-1), axis=-1) == arange(y.shape[-1], y), y.dtype)
    return y + ad.stop_gradient(hard - y)
