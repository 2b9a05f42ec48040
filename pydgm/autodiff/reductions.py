"""Many numbers to fewer: sums, means, extremes, and log-sum-exp with its softmax.

``axis`` is one axis, several, or ``None`` for all; with ``keepdims`` the reduced axes stay, with length 1. A derivative
spreads ``g`` back over the reduced axes: :func:`_spread`.
"""

from __future__ import annotations

import math
from typing import TypeAlias

from ..backend import Array, total, xp
from ..errors import ArgumentError, shape_text
from .elementwise import astype, equal, exp, sqrt, square, where
from .shapes import axis_of, broadcast_to, flip, reshape
from .tensor import operation

Axis: TypeAlias = int | tuple[int, ...] | None


def _axes(x: Array, axis: Axis) -> tuple[int, ...]:
    """The axes as numbers from 0; raises where one does not exist."""
    asked = range(x.ndim) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    return tuple([axis_of(x, a) for a in asked])


def _keep(y: Array, x: Array, axis: Axis) -> Array:
    """``y``, a reduction of ``x``, with the reduced axes back as length 1."""
    reduced = _axes(x, axis)
    return reshape(y, tuple([1 if i in reduced else n for i, n in enumerate(x.shape)]))


def _spread(g: Array, x: Array, axis: Axis) -> Array:
    """``g``, the gradient of a reduction, over all of ``x``."""
    return broadcast_to(g if axis is None and g.ndim == 0 else _keep(g, x, axis), x.shape)


def _count(x: Array, y: Array) -> int:
    """How many elements of ``x`` were reduced to each of ``y``."""
    return int(getattr(x, "size", 1) // (getattr(y, "size", 1) or 1))


@operation(lambda g, y, x, axis=None, keepdims=False: _spread(g, x, axis))
def sum(x: Array, axis: Axis = None, keepdims: bool = False) -> Array:
    """The sum over ``axis``."""
    return total(x, axis, keepdims)


@operation(lambda g, y, x, axis=None, keepdims=False: _spread(g * (1.0 / (_count(x, y) or 1)), x, axis))
def mean(x: Array, axis: Axis = None, keepdims: bool = False) -> Array:
    """The mean over ``axis``."""
    if isinstance(x, list | tuple):  # whose numbers would be added, and then divided by 1
        raise ArgumentError(f"mean({shape_text(x)}): wanted an array: dgm.asarray(x) makes one of a list")
    if getattr(x, "dtype", None) == "float16":  # a sum of many is beyond 65504; the library's mean adds in float32
        return xp.mean(x, axis=axis, keepdims=keepdims)
    y = total(x, axis, keepdims)
    return y / _count(x, y)


def var(x: Array, axis: Axis = None, keepdims: bool = False) -> Array:
    """The variance over ``axis``: the mean squared distance from the mean."""
    return mean(square(x - mean(x, axis=axis, keepdims=True)), axis=axis, keepdims=keepdims)


def std(x: Array, axis: Axis = None, keepdims: bool = False) -> Array:
    """The standard deviation over ``axis``: the root of :func:`var`. Where all are equal, the gradient is 0."""
    return _root(var(x, axis=axis, keepdims=keepdims))


def _to_extremes(g: Array, y: Array, x: Array, axis: Axis = None, keepdims: bool = False) -> Array:
    chosen = astype(equal(x, _keep(y, x, axis)), x.dtype)
    return _spread(g, x, axis) * (chosen / sum(chosen, axis=axis, keepdims=True))


@operation(_to_extremes)
def max(x: Array, axis: Axis = None, keepdims: bool = False) -> Array:
    """The largest value over ``axis``; equals share the gradient."""
    return xp.max(x, axis=axis, keepdims=keepdims)


@operation(_to_extremes)
def min(x: Array, axis: Axis = None, keepdims: bool = False) -> Array:
    """The smallest value over ``axis``; equals share the gradient."""
    return xp.min(x, axis=axis, keepdims=keepdims)


@operation()
def argmax(x: Array, axis: int | None = None) -> Array:
    """Where the largest value is."""
    return xp.argmax(x, axis=axis)


@operation(lambda g, y, x, axis=-1: flip(cumulative_sum(flip(g, axis), axis=axis), axis))
def cumulative_sum(x: Array, axis: int = -1) -> Array:
    """Sums of the first 1, 2, ... elements along ``axis``."""
    return xp.cumulative_sum(x, axis=axis)


@operation(lambda g, y, x, axis=None, keepdims=False: _spread(g, x, axis) * _softmax_given(x, y, axis))
def logsumexp(x: Array, axis: Axis = None, keepdims: bool = False) -> Array:
    """log sum exp(x) over ``axis``, with the maximum taken out: exact where exp(x) would overflow."""
    highest = xp.max(x, axis=axis, keepdims=True)
    highest = xp.where(xp.isfinite(highest), highest, 0.0)
    y = highest + xp.log(xp.sum(xp.exp(x - highest), axis=axis, keepdims=True))
    return y if keepdims else xp.reshape(y, tuple([n for i, n in enumerate(x.shape) if i not in _axes(x, axis)]))


def _softmax_given(x: Array, log_sum: Array, axis: Axis) -> Array:
    """exp(x - logsumexp(x)); where every x is -inf, 0 rather than NaN."""
    log_sums = _keep(log_sum, x, axis)
    return exp(x - where(equal(log_sums, -math.inf), 0.0, log_sums))


@operation(lambda g, y, x, axis=-1: y * (g - sum(g * y, axis=axis, keepdims=True)))
def softmax(x: Array, axis: Axis = -1) -> Array:
    """exp(x) / sum exp(x) over ``axis``, with the maximum taken out."""
    y = xp.exp(x - xp.max(x, axis=axis, keepdims=True))
    return y / total(y, axis, keepdims=True)


def log_softmax(x: Array, axis: Axis = -1) -> Array:
    """x - logsumexp(x) over ``axis``."""
    return x - logsumexp(x, axis=axis, keepdims=True)


def vector_norm(x: Array, axis: Axis = None, keepdims: bool = False) -> Array:
    """The Euclidean length over ``axis``. At 0, where it has no derivative, the gradient is 0."""
    return _root(sum(square(x), axis=axis, keepdims=keepdims))


def _root(squares: Array) -> Array:
    """The square root with derivative 0 at 0, where it has none."""
    at_zero = equal(squares, 0)
    return where(at_zero, 0.0, sqrt(where(at_zero, 1.0, squares)))
