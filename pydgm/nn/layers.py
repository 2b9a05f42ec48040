"""Layers of products: affine maps, networks of them, and what starts them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, ClassVar

from .. import autodiff as ad
from .. import checks
from ..backend import Array, arange, xp, zeros
from ..errors import ArgumentError, DomainError, ShapeError, kind_text, shape_text
from ..random import Generator
from .module import Module, static


def one_hot(labels: Array, classes: int) -> Array:
    """Rows with a 1 at the place of each label, an integer from 0 to ``classes`` - 1: (...) -> (..., classes), float32."""
    checks.array(labels, "one_hot: labels")
    checks.labels(labels, classes, (), "one_hot")
    return xp.astype(xp.expand_dims(ad.stop_gradient(labels), axis=-1) == arange(classes, labels), xp.float32)


# Initialisers: (generator, shape, fan_in, fan_out) -> weights in float32. Each keeps the variance of what passes through
# a layer near 1, forwards (fan_in), or forwards and backwards (both).

Initialiser = Callable[[Generator, tuple[int, ...], int, int], Array]


def glorot_uniform(rng: Generator, shape: tuple[int, ...], fan_in: int, fan_out: int) -> Array:
    """U(-a, a), a = sqrt(6 / (fan_in + fan_out)); for tanh and sigmoid (Glorot and Bengio 2010)."""
    return (2.0 * rng.uniform(shape) - 1.0) * math.sqrt(6.0 / (fan_in + fan_out))


def glorot_normal(rng: Generator, shape: tuple[int, ...], fan_in: int, fan_out: int) -> Array:
    """N(0, 2 / (fan_in + fan_out)) (Glorot and Bengio 2010)."""
    return rng.normal(shape) * math.sqrt(2.0 / (fan_in + fan_out))


def he_uniform(rng: Generator, shape: tuple[int, ...], fan_in: int, fan_out: int) -> Array:
    """U(-a, a), a = sqrt(6 / fan_in); for relu (He et al. 2015)."""
    return (2.0 * rng.uniform(shape) - 1.0) * math.sqrt(6.0 / fan_in)


def he_normal(rng: Generator, shape: tuple[int, ...], fan_in: int, fan_out: int) -> Array:
    """N(0, 2 / fan_in); for relu (He et al. 2015)."""
    return rng.normal(shape) * math.sqrt(2.0 / fan_in)


def lecun_normal(rng: Generator, shape: tuple[int, ...], fan_in: int, fan_out: int) -> Array:
    """N(0, 1 / fan_in); for linear layers (LeCun et al. 1998)."""
    return rng.normal(shape) * math.sqrt(1.0 / fan_in)


def check_init(rng: Generator, who: str, **counts: Any) -> None:
    """What every layer's ``init`` is given: a generator, and counts from 1 (``n_in`` from 0: a layer that sees nothing)."""
    if not isinstance(rng, Generator):
        raise ArgumentError(f"{who}: the first argument is a dgm.random.Generator, got {kind_text(rng)}")
    for name, value in counts.items():
        checks.count(value, f"{who}: {name}", 0 if name in ("n_in", "padding") else 1)


class Linear(Module):
    """x W + b: (..., in) -> (..., out). Of a :func:`stack` of layers (S, n, in) -> (S, n, out), each with rows of its own."""

    out_axis: ClassVar[int] = -1
    weight: Array  # (in, out); of a stack (S, in, out)
    bias: Array  # (out,); of a stack (S, out)

    @classmethod
    def init(cls, rng: Generator, n_in: int, n_out: int, weight: Initialiser = glorot_uniform) -> Linear:
        check_init(rng, "Linear.init", n_in=n_in, n_out=n_out)
        return cls(weight(rng, (n_in, n_out), n_in, n_out), zeros((n_out,)))

    def __call__(self, x: Array) -> Array:
        """Raises :class:`~pydgm.errors.ShapeError` where ``x`` is of another width."""
        n_in, n_out = self.weight.shape[-2:]
        if getattr(x, "shape", ())[-1:] != (n_in,):
            checks.width(x, n_in, f"Linear({n_in} -> {n_out})")
        return x @ self.weight + (self.bias if self.bias.ndim == 1 else ad.expand_dims(self.bias, axis=-2))


class MaskedLinear(Module):
    """x (W * mask) + b: (..., in) -> (..., out), where output j depends on input i only if ``mask[i, j]`` is 1.

    Source: Germain et al. 2015 (MADE), equation 8.
    """

    weight: Array  # (in, out)
    bias: Array  # (out,)
    mask: Array = static()  # (in, out), zeros and ones

    @classmethod
    def init(cls, rng: Generator, mask: Array, weight: Initialiser = glorot_uniform) -> MaskedLinear:
        """Raises :class:`~pydgm.errors.ShapeError` for a mask that is no matrix, :class:`~pydgm.errors.DomainError` for
        numbers outside 0 to 1."""
        checks.array(mask, "MaskedLinear.init: mask")
        if mask.ndim != 2:
            raise ShapeError(f"MaskedLinear.init: wanted a mask (in, out), got {shape_text(mask)}")
        checks.within(mask, 0, 1, "MaskedLinear.init: mask")
        check_init(rng, "MaskedLinear.init")
        n_in, n_out = mask.shape
        return cls(weight(rng, (n_in, n_out), n_in, n_out), zeros((n_out,)), xp.astype(mask, xp.float32))

    def __call__(self, x: Array) -> Array:
        """Raises :class:`~pydgm.errors.ShapeError` where ``x`` is of another width."""
        n_in, n_out = self.weight.shape[-2:]
        if getattr(x, "shape", ())[-1:] != (n_in,):
            checks.width(x, n_in, f"MaskedLinear({n_in} -> {n_out})")
        return x @ (self.weight * self.mask) + (self.bias if self.bias.ndim == 1 else ad.expand_dims(self.bias, axis=-2))


def dropout(x: Array, rate: float, rng: Generator | None) -> Array:
    """y = x m / (1 - rate), m ~ Bernoulli(1 - rate): each number is 0 with probability ``rate``, and E y = x.

    ``rng`` is for training; with ``None``, x is left as it is. Source: Srivastava et al. 2014. Raises
    :class:`~pydgm.errors.DomainError` for a rate outside [0, 1).
    """
    checks.array(x, "dropout")
    if not (isinstance(rate, int | float) and 0.0 <= rate < 1.0):
        raise DomainError(f"dropout: wanted a rate of 0 or more, and below 1, got {rate!r}")
    if rng is None or rate == 0.0:
        return x
    return x * rng.bernoulli(zeros(x.shape, x) + (1.0 - rate)) / (1.0 - rate)


class Embedding(Module):
    """A vector for each of ``n`` symbols: integers (...) -> (..., dim)."""

    table: Array  # (n, dim)

    @classmethod
    def init(cls, rng: Generator, n: int, dim: int) -> Embedding:
        check_init(rng, "Embedding.init", n=n, dim=dim)
        return cls(rng.normal((n, dim)))

    def __call__(self, symbols: Array) -> Array:
        """Raises :class:`~pydgm.errors.DomainError` for symbols that the table does not have."""
        checks.array(symbols, "Embedding: symbols")
        checks.within(symbols, 0, self.table.shape[0] - 1, "Embedding: symbols")
        return ad.take(self.table, symbols, axis=0)


class MLP(Module):
    """Linear layers with an activation after each but the last."""

    layers: tuple[Linear, ...]
    activation: Callable[[Array], Array] = ad.relu

    def __post_init__(self) -> None:
        if not isinstance(self.layers, list | tuple) or not all(map(callable, self.layers)):
            hint = "MLP.init(rng, [2, 64, 1]) makes one from its widths"
            raise ArgumentError(f"MLP: wanted its layers, got {shape_text(self.layers)}; {hint}")

    @classmethod
    def init(
        cls,
        rng: Generator,
        sizes: Sequence[int],
        activation: Callable[[Array], Array] = ad.relu,
        weight: Initialiser = glorot_uniform,
    ) -> MLP:
        """``sizes``: widths from input to output, ``[784, 400, 20]``."""
        check_init(rng, "MLP.init")
        wanted = f"MLP.init: wanted the widths from input to output, [784, 400, 20], got {shape_text(sizes)}"
        if not isinstance(sizes, list | tuple):
            raise ArgumentError(wanted)
        if len(sizes) < 2:
            raise DomainError(wanted)
        for i, width in enumerate(sizes):
            checks.count(width, f"MLP.init: width {i} of {shape_text(sizes)}", 1 if i else 0)
        if not callable(activation):
            raise ArgumentError(f"MLP.init: the activation is a function, dgm.relu, got {shape_text(activation)}")
        return cls(tuple(Linear.init(rng, n, m, weight) for n, m in pairwise(sizes)), activation)

    def __call__(self, x: Array) -> Array:
        for layer in self.layers[:-1]:
            x = self.activation(layer(x))
        return self.layers[-1](x)
