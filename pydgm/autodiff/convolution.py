"""Convolutions in one and two dimensions, their transposes, and pooling.

Everything rests on one adjoint pair: :func:`unfold` lays out the window under every output position, :func:`fold` adds
windows up where they overlap. A convolution is then one matrix product with the unfolded input; its transpose is
the same product turned round, and folded.

Layout: inputs (batch, channels, \\*space), weights (out channels, in channels, \\*window). As everywhere in the field, the
window is not flipped: strictly, this is cross-correlation.
"""

from __future__ import annotations

import math
from itertools import product

from .. import backend, checks
from ..backend import Array
from ..errors import ShapeError
from .linalg import matmul
from .reductions import max, mean
from .shapes import flatten_from, matrix_transpose, pad, reshape
from .tensor import operation

Shape = tuple[int, ...]
Sizes = int | Shape


def _each(value: Sizes, n: int, what: str, least: int) -> Shape:
    """One number for each of the ``n`` dimensions, from one number for all."""
    values = tuple(value) if isinstance(value, tuple | list) else (value,) * n
    if len(values) != n or any(v < least for v in values):
        raise ShapeError(f"{what} must be one or {n} integers of at least {least}, got {value}")
    return values


def _positions(space: Shape, window: Shape, stride: Shape, dilation: Shape) -> Shape:
    """How many windows fit: floor((n - d (k - 1) - 1) / s) + 1 in each dimension."""
    out = tuple([(n - d * (k - 1) - 1) // s + 1 for n, k, s, d in zip(space, window, stride, dilation, strict=True)])
    if any(n < 1 for n in out):
        raise ShapeError(f"a window of {window} with dilation {dilation} does not fit into {space}")
    return out


def _under(offset: Shape, out: Shape, stride: Shape, dilation: Shape) -> tuple[slice, ...]:
    """The input positions that lie under one place of the window, for all output positions."""
    return tuple([slice(o * d, o * d + (n - 1) * s + 1, s) for o, n, s, d in zip(offset, out, stride, dilation, strict=True)])


@operation(lambda g, y, x, window, stride, dilation: fold(g, x.shape[2:], window, stride, dilation))
@backend.recorded
def unfold(x: Array, window: Shape, stride: Shape, dilation: Shape) -> Array:
    """(batch, channels, \\*space) -> (batch, channels, \\*window, \\*positions): what each place of the window sees."""
    out = _positions(x.shape[2:], window, stride, dilation)
    y = backend.zeros((*x.shape[:2], *window, *out), x)
    for offset in product(*map(range, window)):
        y[(slice(None), slice(None), *offset, ...)] = x[(slice(None), slice(None), *_under(offset, out, stride, dilation))]
    return y


@operation(lambda g, y, x, space, window, stride, dilation: unfold(g, window, stride, dilation))
@backend.recorded
def fold(x: Array, space: Shape, window: Shape, stride: Shape, dilation: Shape) -> Array:
    """The adjoint of :func:`unfold`: windows added up where they overlap, into (batch, channels, \\*space)."""
    out = _positions(space, window, stride, dilation)
    y = backend.zeros((*x.shape[:2], *space), x)
    for offset in product(*map(range, window)):
        y[(slice(None), slice(None), *_under(offset, out, stride, dilation))] += x[(slice(None), slice(None), *offset, ...)]
    return y


def _check(x: Array, w: Array, n: int, channels: int, name: str) -> None:
    checks.array(x, f"{name}: input")
    checks.array(w, f"{name}: weight")
    if x.ndim != n + 2 or w.ndim != n + 2 or x.shape[1] != w.shape[channels]:
        raise ShapeError(
            f"{name}: input {tuple(x.shape)} and weight {tuple(w.shape)} do not fit: wanted {n + 2} axes each, and axis 1 of "
            f"the input as long as axis {channels} of the weight"
        )


def _conv(x: Array, w: Array, n: int, stride: Sizes, padding: Sizes, dilation: Sizes) -> Array:
    _check(x, w, n, 1, f"conv{n}d")
    strides, dilations = _each(stride, n, "stride", 1), _each(dilation, n, "dilation", 1)
    widths = [(p, p) for p in _each(padding, n, "padding", 0)]
    x = pad(x, [(0, 0), (0, 0), *widths]) if any(map(any, widths)) else x
    window = tuple(w.shape[2:])
    out = _positions(x.shape[2:], window, strides, dilations)
    columns = reshape(unfold(x, window, strides, dilations), (x.shape[0], x.shape[1] * math.prod(window), math.prod(out)))
    return reshape(matmul(flatten_from(w, 1), columns), (x.shape[0], w.shape[0], *out))


def _conv_transpose(x: Array, w: Array, n: int, stride: Sizes, padding: Sizes, dilation: Sizes) -> Array:
    _check(x, w, n, 0, f"conv_transpose{n}d")
    strides, dilations = _each(stride, n, "stride", 1), _each(dilation, n, "dilation", 1)
    paddings, window = _each(padding, n, "padding", 0), tuple(w.shape[2:])
    space = tuple([(m - 1) * s + d * (k - 1) + 1 for m, k, s, d in zip(x.shape[2:], window, strides, dilations, strict=True)])
    if any(m <= 2 * p for m, p in zip(space, paddings, strict=True)):
        raise ShapeError(f"conv_transpose{n}d: padding {paddings} leaves nothing of {space}")
    columns = matmul(matrix_transpose(flatten_from(w, 1)), flatten_from(x, 2))
    columns = reshape(columns, (x.shape[0], w.shape[1], *window, *x.shape[2:]))
    y = fold(columns, space, window, strides, dilations)
    return y[(slice(None), slice(None), *[slice(p, m - p) for m, p in zip(space, paddings, strict=True)])]


def conv1d(x: Array, w: Array, stride: Sizes = 1, padding: Sizes = 0, dilation: Sizes = 1) -> Array:
    """x (batch, in, length) and w (out, in, window) -> (batch, out, floor((length + 2p - d(k - 1) - 1) / s) + 1)."""
    return _conv(x, w, 1, stride, padding, dilation)


def conv2d(x: Array, w: Array, stride: Sizes = 1, padding: Sizes = 0, dilation: Sizes = 1) -> Array:
    """x (batch, in, height, width) and w (out, in, k, k) -> (batch, out, height', width'), as :func:`conv1d` in each."""
    return _conv(x, w, 2, stride, padding, dilation)


def conv_transpose1d(x: Array, w: Array, stride: Sizes = 1, padding: Sizes = 0, dilation: Sizes = 1) -> Array:
    """The adjoint of :func:`conv1d` with the same ``w``: x (batch, out, m) -> (batch, in, (m - 1) s + d (k - 1) + 1 - 2p)."""
    return _conv_transpose(x, w, 1, stride, padding, dilation)


def conv_transpose2d(x: Array, w: Array, stride: Sizes = 1, padding: Sizes = 0, dilation: Sizes = 1) -> Array:
    """The adjoint of :func:`conv2d` with the same ``w``, as :func:`conv_transpose1d` in each dimension."""
    return _conv_transpose(x, w, 2, stride, padding, dilation)


def _windows(x: Array, window: Sizes, stride: Sizes | None) -> tuple[Array, Shape]:
    checks.array(x, "pooling: input")
    n = x.ndim - 2
    if n < 1:
        raise ShapeError(f"pooling: wanted (batch, channels, *space), got {tuple(x.shape)}")
    sizes = _each(window, n, "window", 1)
    return unfold(x, sizes, _each(window if stride is None else stride, n, "stride", 1), (1,) * n), tuple(range(2, 2 + n))


def max_pool(x: Array, window: Sizes, stride: Sizes | None = None) -> Array:
    """The largest value in each window; the stride is the window unless it is given. Any number of space axes."""
    y, axes = _windows(x, window, stride)
    return max(y, axis=axes)


def avg_pool(x: Array, window: Sizes, stride: Sizes | None = None) -> Array:
    """The mean of each window; the stride is the window unless it is given. Any number of space axes."""
    y, axes = _windows(x, window, stride)
    return mean(y, axis=axes)


__all__ = ["avg_pool", "conv1d", "conv2d", "conv_transpose1d", "conv_transpose2d", "fold", "max_pool", "unfold"]
