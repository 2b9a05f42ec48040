"""Element by element: arithmetic, powers, exponentials, comparisons, and the field's own activations.

Each operation stands with its derivative: ``g`` is the gradient of the result, ``y`` the result, then the arguments.
Binary operations broadcast; the sum back to each argument's shape is done for all of them in ``tensor._fit``.
"""

from __future__ import annotations

import math

from ..backend import Array, is_array, is_floating_dtype, recorded, xp
from ..errors import ArgumentError
from .tensor import Tensor, named, operation


@operation()
def stop_gradient(x: Array, /) -> Array:
    """``x`` as a constant: the same value, no derivative, at any level."""
    return x


@operation(lambda g, y, x, dtype: astype(g, x.dtype))
def _as_floats(x: Array, dtype: object) -> Array:
    return xp.astype(x, dtype)


@operation()
def _as_others(x: Array, dtype: object) -> Array:
    return xp.astype(x, dtype)


def astype(x: Array, dtype: object) -> Array:
    """``x`` converted to ``dtype``; the gradient is converted back. Integers and booleans are steps, and count as constants.

    Raises :class:`~pydgm.errors.ArgumentError` for a tensor that is to become complex.
    """
    if is_floating_dtype(dtype):
        return _as_floats(x, dtype)
    if type(x) is Tensor and "complex" in str(dtype):
        raise ArgumentError("astype: complex numbers have no derivative here")
    return _as_others(x, dtype)


named["astype"] = astype


@operation(lambda g, y, a, b: g, lambda g, y, a, b: g, broadcasts=True)
def add(a: Array, b: Array, /) -> Array:
    """``a + b``."""
    return xp.add(a, b)


@operation(lambda g, y, a, b: g, lambda g, y, a, b: -g, broadcasts=True)
def subtract(a: Array, b: Array, /) -> Array:
    """``a - b``."""
    return xp.subtract(a, b)


@operation(lambda g, y, a, b: g * b, lambda g, y, a, b: g * a, broadcasts=True)
def multiply(a: Array, b: Array, /) -> Array:
    """``a * b``."""
    return xp.multiply(a, b)


@operation(lambda g, y, a, b: g / b, lambda g, y, a, b: -(g * y) / b, broadcasts=True)
def divide(a: Array, b: Array, /) -> Array:
    """``a / b``."""
    return xp.divide(a, b)


@operation(lambda g, y, x: -g)
def negative(x: Array, /) -> Array:
    """``-x``."""
    return xp.negative(x)


@recorded
def _one_less(p: float) -> float:
    """p - 1, the exponent of p x^(p-1); where p is 0 the product is to be 0, and not 0 * inf where x is 0 too."""
    return p - 1 if p else p


def _pow_base(g: Array, y: Array, x: Array, p: Array) -> Array:
    if not is_array(p):
        return g * (p * pow(x, _one_less(p)))
    none = equal(p, 0)  # p x^(p-1) is 0 there, and not 0 * inf where x is 0 too
    return g * where(none, 0.0, p * pow(x, where(none, 1.0, p - 1)))


@recorded
def _log_of_number(x: float) -> float:
    return math.log(x) if x > 0 else 0.0


def _pow_exponent(g: Array, y: Array, x: Array, p: Array) -> Array:
    if not is_array(x):
        return g * y * _log_of_number(x)
    some = greater(x, 0)
    return g * y * where(some, log(where(some, x, 1.0)), 0.0)


@operation(_pow_base, _pow_exponent, broadcasts=True)
def pow(x: Array, p: Array, /) -> Array:
    """``x ** p``. The derivative in ``p`` is taken as 0 where ``x <= 0``, as a limit from above."""
    return xp.pow(x, p)


@operation(lambda g, y, x: g * (2.0 * x))
def square(x: Array, /) -> Array:
    """``x * x``."""
    return xp.square(x)


@operation(lambda g, y, x: 0.5 * g / y)
def sqrt(x: Array, /) -> Array:
    """The square root."""
    return xp.sqrt(x)


@operation(lambda g, y, x: g * y)
def exp(x: Array, /) -> Array:
    """e to the power ``x``."""
    return xp.exp(x)


@operation(lambda g, y, x: g * exp(x))
def expm1(x: Array, /) -> Array:
    """exp(x) - 1, exact for small ``x``."""
    return xp.expm1(x)


@operation(lambda g, y, x: g / x)
def log(x: Array, /) -> Array:
    """The natural logarithm."""
    return xp.log(x)


@operation(lambda g, y, x: g / (x + 1.0))
def log1p(x: Array, /) -> Array:
    """log(1 + x), exact for small ``x``."""
    return xp.log1p(x)


@operation(lambda g, y, x: g * sign(x))
def abs(x: Array, /) -> Array:
    """The absolute value; its derivative at 0 is 0."""
    return xp.abs(x)


@operation(lambda g, y, x: g * cos(x))
def sin(x: Array, /) -> Array:
    """The sine."""
    return xp.sin(x)


@operation(lambda g, y, x: -(g * sin(x)))
def cos(x: Array, /) -> Array:
    """The cosine."""
    return xp.cos(x)


@operation(lambda g, y, x: g * (1.0 - y * y))
def tanh(x: Array, /) -> Array:
    """The hyperbolic tangent."""
    return xp.tanh(x)


def _share(g: Array, a: Array, b: Array) -> Array:
    """``g`` where ``a > b``, half of it where both are equal: the derivative of the larger one."""
    return g * (0.5 * (astype(greater(a, b), g.dtype) + astype(greater_equal(a, b), g.dtype)))


@operation(lambda g, y, a, b: _share(g, a, b), lambda g, y, a, b: _share(g, b, a), broadcasts=True)
def maximum(a: Array, b: Array, /) -> Array:
    """The larger of both; where they are equal, each gets half of the gradient."""
    return xp.maximum(a, b)


@operation(lambda g, y, a, b: _share(g, b, a), lambda g, y, a, b: _share(g, a, b), broadcasts=True)
def minimum(a: Array, b: Array, /) -> Array:
    """The smaller of both; where they are equal, each gets half of the gradient."""
    return xp.minimum(a, b)


def clip(x: Array, min: Array | None = None, max: Array | None = None) -> Array:
    """``x`` kept between ``min`` and ``max``; outside, its derivative is 0."""
    if min is not None:
        x = maximum(x, min)
    return x if max is None else minimum(x, max)


@operation(
    None,
    lambda g, y, mask, a, b: where(mask, g, 0.0),
    lambda g, y, mask, a, b: where(mask, 0.0, g),
    broadcasts=True,
)
def where(mask: Array, a: Array, b: Array) -> Array:
    """``a`` where ``mask`` is true, ``b`` elsewhere. The side not taken gets the gradient 0.

    0 times an infinite derivative further up is still NaN: where ``a`` is a root or a logarithm, make its argument safe with
    a ``where`` of its own.
    """
    return xp.where(mask, a, b)


# Constants and steps: their derivative is 0 wherever they have one, so their results count as constants.


@operation()
def zeros_like(x: Array, /) -> Array:
    """Zeros of the shape and dtype of ``x``."""
    return xp.zeros_like(x)


@operation()
def ones_like(x: Array, /) -> Array:
    """Ones of the shape and dtype of ``x``."""
    return xp.ones_like(x)


@operation()
def sign(x: Array, /) -> Array:
    """-1, 0 or 1."""
    return xp.sign(x)


@operation()
def floor(x: Array, /) -> Array:
    """The largest whole number that is not above ``x``."""
    return xp.floor(x)


@operation()
def greater(a: Array, b: Array, /) -> Array:
    """``a > b``."""
    return xp.greater(a, b)


@operation()
def greater_equal(a: Array, b: Array, /) -> Array:
    """``a >= b``."""
    return xp.greater_equal(a, b)


@operation()
def less(a: Array, b: Array, /) -> Array:
    """``a < b``."""
    return xp.less(a, b)


@operation()
def less_equal(a: Array, b: Array, /) -> Array:
    """``a <= b``."""
    return xp.less_equal(a, b)


@operation()
def equal(a: Array, b: Array, /) -> Array:
    """``a == b``."""
    return xp.equal(a, b)


@operation()
def not_equal(a: Array, b: Array, /) -> Array:
    """``a != b``."""
    return xp.not_equal(a, b)


@operation()
def isnan(x: Array, /) -> Array:
    """True where ``x`` is not a number."""
    return xp.isnan(x)


@operation()
def isfinite(x: Array, /) -> Array:
    """True where ``x`` is neither infinite nor NaN."""
    return xp.isfinite(x)


# Activations, in forms that do not overflow; the sigmoid and what is made of it keep their tails, derivatives too.


@operation(lambda g, y, x: g * (y * sigmoid(-x)))
def sigmoid(x: Array, /) -> Array:
    """1 / (1 + exp(-x)): with e = exp(-abs(x)), which cannot overflow, 1 / (1 + e) from 0 on and e / (1 + e) below."""
    small = xp.exp(-xp.abs(x))
    return xp.maximum(small, xp.astype(xp.greater_equal(x, 0.0), small.dtype)) / (1.0 + small)


@operation(lambda g, y, x: g * sigmoid(x))
def softplus(x: Array, /) -> Array:
    """log(1 + exp(x)) = max(x, 0) + log(1 + e) with e = exp(-abs(x)). So log sigmoid(x) = -softplus(-x).

    Of e what rounding 1 + e loses is put back, so that the tail is e and not 0: log1p, which NumPy has no fast loop for.
    """
    small = xp.exp(-xp.abs(x))
    more = 1.0 + small
    return xp.maximum(x, xp.zeros_like(x)) + (xp.log(more) + (small - (more - 1.0)) / more)


@operation(lambda g, y, x: g * astype(greater(y, 0), g.dtype))
def relu(x: Array, /) -> Array:
    """max(x, 0); its derivative at 0 is 0."""
    return xp.maximum(x, xp.zeros_like(x))  # against an array NumPy is three times as fast as against a number


@operation(lambda g, y, x, slope=0.2: _leaky(g, x, slope), lambda g, y, x, slope: g * minimum(x, 0.0), broadcasts=True)
def leaky_relu(x: Array, slope: float = 0.2) -> Array:
    """``x`` where it is positive, ``slope * x`` elsewhere. A trained ``slope`` makes it the parametric relu."""
    return xp.maximum(x, 0.0) + slope * xp.minimum(x, 0.0)


def _leaky(g: Array, x: Array, slope: float) -> Array:
    """``g`` where ``x`` is positive, ``slope * g`` elsewhere."""
    return g * (slope + (1.0 - slope) * astype(greater(x, 0), g.dtype))
