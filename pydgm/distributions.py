"""Distributions: ``sample``, ``log_prob``, ``entropy``. They are modules, so their parameters can be trained.

``log_prob`` and ``entropy`` work element by element; sum over the axes of an event yourself (``Mixture`` does it for its
components). Parameters broadcast. All quantities are in nats.
"""

from __future__ import annotations

import math
from typing import Any

import numpy

from . import autodiff as ad
from . import checks
from .backend import Array, asarray, is_array, recorded, seen, xp
from .errors import ShapeError
from .nn import Module
from .random import Generator

Shape = tuple[int, ...]


def _shape(*parameters: Array) -> Shape:
    return tuple(numpy.broadcast_shapes(*[tuple(getattr(p, "shape", ())) for p in parameters]))


def _tuple(shape: int | Shape) -> Shape:
    return shape if isinstance(shape, tuple) else (shape,)


def _dtype(*parameters: Array) -> str:
    return "float64" if any("64" in str(getattr(p, "dtype", "")) for p in parameters) else "float32"


class Normal(Module):
    """N(mean, scale^2), ``scale`` being the standard deviation."""

    mean: Array = 0.0
    scale: Array = 1.0

    def __post_init__(self) -> None:
        checks.parameter(self.mean, "Normal: mean")
        checks.parameter(self.scale, "Normal: scale")
        checks.positive(self.scale, "Normal: scale, a standard deviation,")

    def sample(self, rng: Generator, shape: int | Shape = ()) -> Array:
        """mean + scale * eps, eps ~ N(0, 1): reparameterised, so differentiable in both. Shape (\\*shape, ...)."""
        noise = rng.normal((*_tuple(shape), *_shape(self.mean, self.scale)), _dtype(self.mean, self.scale))
        return self.mean + self.scale * noise

    def log_prob(self, x: Array) -> Array:
        """-((x - mean) / scale)^2 / 2 - log scale - log(2 pi) / 2."""
        return -0.5 * ad.square((x - self.mean) / self.scale) - (_log(self.scale) + 0.5 * math.log(2.0 * math.pi))

    def entropy(self) -> Array:
        """log scale + log(2 pi e) / 2."""
        return _log(self.scale) + 0.5 * math.log(2.0 * math.pi * math.e) + 0.0 * self.mean  # one for each mean, too


class Uniform(Module):
    """Uniform between ``low`` and ``high``."""

    low: Array = 0.0
    high: Array = 1.0

    def __post_init__(self) -> None:
        checks.parameter(self.low, "Uniform: low")
        checks.parameter(self.high, "Uniform: high")
        checks.positive(seen(self.high) - seen(self.low), "Uniform: high - low")

    def sample(self, rng: Generator, shape: int | Shape = ()) -> Array:
        """low + (high - low) u: reparameterised. Shape (\\*shape, ...)."""
        noise = rng.uniform((*_tuple(shape), *_shape(self.low, self.high)), _dtype(self.low, self.high))
        return self.low + (self.high - self.low) * noise

    def log_prob(self, x: Array) -> Array:
        """-log(high - low) from low to high, -inf outside."""
        inside = ad.less_equal(self.low, x) & ad.less_equal(x, self.high)
        return ad.where(inside, -_log(self.high - self.low) + 0.0 * x, -math.inf)

    def entropy(self) -> Array:
        """log(high - low)."""
        return _log(self.high - self.low)


class Bernoulli(Module):
    """1 with probability sigmoid(logits), else 0."""

    logits: Array

    def __post_init__(self) -> None:
        checks.parameter(self.logits, "Bernoulli: logits")

    @property
    def probs(self) -> Array:
        """sigmoid(logits)."""
        return ad.sigmoid(self.logits)

    def sample(self, rng: Generator, shape: int | Shape = ()) -> Array:
        """Zeros and ones of shape (\\*shape, ...). Not differentiable."""
        p = self.probs if is_array(self.probs) else asarray(self.probs)
        return rng.bernoulli(ad.broadcast_to(p, (*_tuple(shape), *p.shape)))

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


class Categorical(Module):
    """Symbol k with probability softmax(logits)_k over the last axis."""

    logits: Array

    def __post_init__(self) -> None:
        checks.array(self.logits, "Categorical: logits")
        if self.logits.ndim == 0:
            raise ShapeError("Categorical: wanted logits (..., K), got a single number")

    def sample(self, rng: Generator, shape: int | Shape = ()) -> Array:
        """Whole numbers of shape (\\*shape, \\*logits.shape[:-1]). Not differentiable."""
        return rng.categorical(ad.broadcast_to(self.logits, (*_tuple(shape), *self.logits.shape)))

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


class Mixture(Module):
    """sum_k softmax(logits)_k p_k(x). The components are one distribution whose parameters have shape (K, \\*event).

    It has no closed-form entropy.
    """

    logits: Array  # (K,)
    components: Any
    event_ndim: int = 0

    def sample(self, rng: Generator, shape: int | Shape = ()) -> Array:
        """A component for each sample, then a draw from it: (\\*shape, \\*event). Not differentiable in the logits."""
        shape = _tuple(shape)
        which = Categorical(self.logits).sample(rng, shape)
        drawn = self.components.sample(rng, shape)  # one from each component, of which one is kept
        chosen = ad.reshape(which, (*shape, 1) + (1,) * self.event_ndim)
        chosen = xp.broadcast_to(chosen, (*shape, 1, *drawn.shape[len(shape) + 1 :]))
        return ad.squeeze(ad.take_along_axis(drawn, chosen, axis=len(shape)), len(shape))

    def log_prob(self, x: Array) -> Array:
        """logsumexp_k(log w_k + log p_k(x)): (\\*shape, \\*event) -> shape."""
        x = x if is_array(x) else asarray(x)
        at = x.ndim - self.event_ndim
        each = self.components.log_prob(self._beside(x, at))
        if self.event_ndim:
            each = ad.sum(each, axis=tuple(range(-self.event_ndim, 0)))
        return ad.logsumexp(ad.log_softmax(self.logits) + each, axis=-1)

    def _beside(self, x: Array, at: int) -> Array:
        """``x`` once for each component, at axis ``at``."""
        K = self.logits.shape[0]
        return ad.broadcast_to(ad.expand_dims(x, axis=at), (*x.shape[:at], K, *x.shape[at:]))


@recorded
def _log_of_number(x: float) -> float:
    return math.log(x)


def _log(x: Array) -> Array:
    """The logarithm; of a Python number a Python number, which leaves float32 arrays float32."""
    return ad.log(x) if is_array(x) else _log_of_number(x)
