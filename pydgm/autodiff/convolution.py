"""Convolutions in one and two dimensions, their transposes, and pooling.

Input x, weights w and output y of a convolution meet in one sum, over examples b, channels c to o, places k of the window and
positions q (s: stride, d: dilation, p: padding; x is 0 outside of its space)::

    T(x, w, y) = sum_{b, o, c, k, q} y[b, o, q] w[o, c, k] x[b, c, s q + d k - p]

T is linear in each of the three, and its three derivatives are all there is: by y the convolution of x with w, by x its
transpose applied to y, by w the gradient of the weights. The derivative of any of them is one of the others.

Each is computed for a few examples at a time, so that what is laid out for the matrix product stays in the processor's cache.
All places of the window side by side is the well-known way. Where rows of the window meet the same rows of x, one further down
(all of them with stride 1, every other one with stride 2), it is faster to lay out the places of one of them only, to have one
product make what each row contributes, and to add these up, shifted: less is copied, and BLAS likes the product's shape better.

Layout: inputs (batch, channels, \\*space), weights (out channels, in channels, \\*window). As everywhere in the field, the
window is not flipped: strictly, this is cross-correlation.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Sequence
from itertools import product

from .. import backend, checks
from ..backend import Array, xp
from ..errors import ShapeError
from . import reductions
from .linalg import matmul
from .shapes import flatten_from, reshape
from .tensor import operation

Shape = tuple[int, ...]
Sizes = int | Shape
Padding = int | Sequence[int | tuple[int, int]]


def _each(value: Sizes, n: int, what: str, least: int) -> Shape:
    """One number for each of the ``n`` dimensions, from one number for all."""
    values = tuple(value) if isinstance(value, tuple | list) else (value,) * n
    if len(values) != n or any(v < least for v in values):
        raise ShapeError(f"{what} must be one or {n} integers of at least {least}, got {value}")
    return values


def _paddings(value: Padding, n: int) -> list[tuple[int, int]]:
    """Zeros before and after the space, along each dimension; fewer than none leave out what is there."""
    values = value if isinstance(value, tuple | list) else (value,) * n
    pairs = [tuple(v) if isinstance(v, tuple | list) else (v, v) for v in values]
    if len(pairs) != n or any(len(pair) != 2 or not all(isinstance(p, int) for p in pair) for pair in pairs):
        raise ShapeError(f"padding must be one or {n} integers, or {n} pairs (before, after), got {value}")
    if any(p < 0 for p in values if isinstance(p, int)):
        raise ShapeError(f"padding must be at least 0, got {value}; to leave out the last row, say so in a pair, (0, -1)")
    return pairs


def _positions(space: Shape, window: Shape, stride: Shape, dilation: Shape) -> Shape:
    """How many windows fit: floor((n - d (k - 1) - 1) / s) + 1 in each dimension."""
    out = tuple([(n - d * (k - 1) - 1) // s + 1 for n, k, s, d in zip(space, window, stride, dilation, strict=True)])
    if any(n < 1 for n in out):
        raise ShapeError(f"a window of {window} with dilation {dilation} does not fit into {space}")
    return out


def _under(n: int, m: int, offset: int, stride: int) -> tuple[slice, slice]:
    """The positions q < m for which s q + offset lies in 0..n-1, and where that is."""
    first = max(0, -(offset // stride))
    last = min(m, (n - 1 - offset) // stride + 1)
    if last <= first:
        return slice(0, 0), slice(0, 0)
    return slice(first, last), slice(stride * first + offset, stride * (last - 1) + offset + 1, stride)


def _places(
    space: Shape, positions: Shape, place: Shape, stride: Shape, padding: Shape, dilation: Shape
) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    """What one place of the window sees: the positions at which there is something, and where in ``space`` that is."""
    offsets = [k * d - p for k, d, p in zip(place, dilation, padding, strict=True)]
    pairs = [_under(*each) for each in zip(space, positions, offsets, stride, strict=True)]
    return tuple([q for q, _ in pairs]), tuple([source for _, source in pairs])


class _Windows:
    """How a block of examples is laid out: ``columns`` (taps channels, examples positions) of x, ``shifted`` (rows channels,
    examples positions) of y, and the weights as a matrix between the two. Each has its adjoint.

    ``rows``: how many rows of the window use one column of x, each for an output of its own; where it is 1, the taps are all
    places of the window.
    """

    def __init__(self, x: Shape, y: Shape, window: Shape, stride: Shape, padding: Shape, dilation: Shape, most: int) -> None:
        """``x`` and ``y``: shapes. ``most``: how many numbers are laid out at once, if that is enough for one example."""
        apart = stride[0] // math.gcd(stride[0], dilation[0])  # rows of the window that meet the same rows of x
        positions, self.rows, self.window, taps = y[2:], 1, window, window
        if window[0] % apart == 0 and apart * math.prod(window[1:]) * x[1] >= y[1]:
            self.rows, taps = window[0] // apart, (apart, *window[1:])
        step = apart * dilation[0] // stride[0]
        self.shifts = [slice(i * step, i * step + positions[0]) for i in range(self.rows)]
        positions = (self.shifts[-1].stop, *positions[1:])
        places = product(*map(range, taps))
        self.taps = [_places(x[2:], positions, place, stride, padding, dilation) for place in places]
        self.batch, self.n_in, self.n_out = x[0], x[1], y[1]
        largest = max(len(self.taps) * self.n_in, self.rows * self.n_out) * math.prod(positions)
        self.shape = max(1, min(self.batch, most // max(1, largest))), *positions

    def blocks(self) -> Iterator[slice]:
        """The examples that are laid out together."""
        return (slice(i, min(i + self.shape[0], self.batch)) for i in range(0, self.batch, self.shape[0]))

    def columns(self, x: Array) -> Iterator[Array]:
        """Of each block. Where there is no input they stay zero."""
        columns = backend.zeros((len(self.taps), self.n_in, *self.shape), x)
        for block in self.blocks():
            columns, part = columns[:, :, : block.stop - block.start, ...], _channels_first(x[block, ...])
            for i, (positions, source) in enumerate(self.taps):
                columns[(i, slice(None), slice(None), *positions)] = part[(slice(None), slice(None), *source)]
            yield xp.reshape(columns, (len(self.taps) * self.n_in, -1))

    def add_columns(self, columns: Array, x: Array, block: slice) -> None:
        """The adjoint: each column's numbers added to where they came from."""
        columns = xp.reshape(columns, (len(self.taps), self.n_in, -1, *self.shape[1:]))
        for i, (positions, source) in enumerate(self.taps):
            x[(block, slice(None), *source)] += _channels_first(columns[(i, slice(None), slice(None), *positions)])

    def shifted(self, y: Array) -> Iterator[Array]:
        """Of each block."""
        shifted = backend.zeros((self.rows, self.n_out, *self.shape), y)
        for block in self.blocks():
            shifted = shifted[:, :, : block.stop - block.start, ...]
            for i, shift in enumerate(self.shifts):
                shifted[i, :, :, shift, ...] = _channels_first(y[block, ...])
            yield xp.reshape(shifted, (self.rows * self.n_out, -1))

    def add_shifted(self, shifted: Array, y: Array, block: slice) -> None:
        """The adjoint, into a ``y`` that is not written yet."""
        shifted = xp.reshape(shifted, (self.rows, self.n_out, -1, *self.shape[1:]))
        y[block, ...] = _channels_first(shifted[0, :, :, self.shifts[0], ...])
        for i, shift in enumerate(self.shifts[1:], 1):
            y[block, ...] += _channels_first(shifted[i, :, :, shift, ...])

    def matrix(self, w: Array) -> Array:
        """(out, in, \\*window) -> (rows out, taps in)."""
        w = xp.reshape(w, (self.n_out, self.n_in, self.rows, len(self.taps)))
        return xp.reshape(xp.permute_dims(w, (2, 0, 3, 1)), (self.rows * self.n_out, len(self.taps) * self.n_in))

    def weights(self, matrix: Array) -> Array:
        """The inverse of :meth:`matrix`."""
        w = xp.permute_dims(xp.reshape(matrix, (self.rows, self.n_out, len(self.taps), self.n_in)), (1, 3, 0, 2))
        return xp.reshape(w, (self.n_out, self.n_in, *self.window))


_layout = functools.lru_cache(maxsize=1024)(_Windows)


def _channels_first(x: Array) -> Array:
    """(examples, channels, \\*space) <-> (channels, examples, \\*space)."""
    return xp.permute_dims(x, (1, 0, *range(2, x.ndim)))


def _empty(shape: Shape, a: Array, b: Array) -> Array:
    return xp.empty(shape, dtype=xp.result_type(a, b), **xp.library.placed(a))


@operation(
    lambda g, y, x, w, positions, *how: spread(g, w, x.shape[2:], *how),
    lambda g, y, x, w, positions, *how: weight_gradient(x, g, w.shape[2:], *how),
)
@backend.recorded
def correlate(
    x: Array, w: Array, positions: Shape, stride: Shape, padding: Shape, dilation: Shape, out: Array | None = None
) -> Array:
    """dT/dy: y[b, o, q] = sum_{c, k} w[o, c, k] x[b, c, s q + d k - p], at ``positions`` q."""
    y = _empty((x.shape[0], w.shape[0], *positions), x, w) if out is None else out
    windows = _layout(x.shape, y.shape, w.shape[2:], stride, padding, dilation, xp.library.block)
    matrix = windows.matrix(w)
    for block, columns in zip(windows.blocks(), windows.columns(x), strict=True):
        windows.add_shifted(matrix @ columns, y, block)
    return y


@operation(
    lambda g, x, y, w, space, *how: correlate(g, w, y.shape[2:], *how),
    lambda g, x, y, w, space, *how: weight_gradient(g, y, w.shape[2:], *how),
)
@backend.recorded
def spread(y: Array, w: Array, space: Shape, stride: Shape, padding: Shape, dilation: Shape, out: Array | None = None) -> Array:
    """dT/dx: x[b, c, r] = sum of y[b, o, q] w[o, c, k] over o and all q, k with s q + d k - p = r, for r in ``space``."""
    if all(s == 1 for s in stride):  # a convolution with the window turned round
        around = tuple([d * (k - 1) - p for d, k, p in zip(dilation, w.shape[2:], padding, strict=True)])
        turned = xp.flip(_channels_first(w), axis=tuple(range(2, w.ndim)))
        return correlate(y, turned, space, stride, around, dilation, out)
    x = _empty((y.shape[0], w.shape[1], *space), y, w) if out is None else out
    x[...] = 0
    windows = _layout(x.shape, y.shape, w.shape[2:], stride, padding, dilation, xp.library.block)
    matrix = xp.matrix_transpose(windows.matrix(w))
    for block, shifted in zip(windows.blocks(), windows.shifted(y), strict=True):
        windows.add_columns(matrix @ shifted, x, block)
    return x


@operation(
    lambda g, w, x, y, window, *how: spread(y, g, x.shape[2:], *how),
    lambda g, w, x, y, window, *how: correlate(x, g, y.shape[2:], *how),
)
@backend.recorded
def weight_gradient(x: Array, y: Array, window: Shape, stride: Shape, padding: Shape, dilation: Shape) -> Array:
    """dT/dw: w[o, c, k] = sum_{b, q} y[b, o, q] x[b, c, s q + d k - p], for k in ``window``."""
    windows = _layout(x.shape, y.shape, window, stride, padding, dilation, xp.library.block)
    matrix = backend.zeros((windows.rows * y.shape[1], len(windows.taps) * x.shape[1]), x)
    for shifted, columns in zip(windows.shifted(y), windows.columns(x), strict=True):
        matrix = shifted @ xp.matrix_transpose(columns) + matrix
    return windows.weights(matrix)


@operation(lambda g, y, x, window, stride, dilation: fold(g, x.shape[2:], window, stride, dilation))
@backend.recorded
def unfold(x: Array, window: Shape, stride: Shape, dilation: Shape) -> Array:
    """(batch, channels, \\*space) -> (batch, channels, \\*window, \\*positions): what each place of the window sees."""
    out = _positions(x.shape[2:], window, stride, dilation)
    y = backend.zeros((*x.shape[:2], *window, *out), x)
    for place in product(*map(range, window)):
        _, source = _places(x.shape[2:], out, place, stride, (0,) * len(out), dilation)
        y[(slice(None), slice(None), *place, ...)] = x[(slice(None), slice(None), *source)]
    return y


@operation(lambda g, y, x, space, window, stride, dilation: unfold(g, window, stride, dilation))
@backend.recorded
def fold(x: Array, space: Shape, window: Shape, stride: Shape, dilation: Shape) -> Array:
    """The adjoint of :func:`unfold`: windows added up where they overlap, into (batch, channels, \\*space)."""
    out = _positions(space, window, stride, dilation)
    y = backend.zeros((*x.shape[:2], *space), x)
    for place in product(*map(range, window)):
        _, source = _places(space, out, place, stride, (0,) * len(out), dilation)
        y[(slice(None), slice(None), *source)] += x[(slice(None), slice(None), *place, ...)]
    return y


def _check(x: Array, w: Array, n: int, channels: int, name: str) -> None:
    checks.array(x, f"{name}: input")
    checks.array(w, f"{name}: weight")
    if x.ndim != n + 2 or w.ndim != n + 2 or x.shape[1] != w.shape[channels]:
        raise ShapeError(
            f"{name}: input {tuple(x.shape)} and weight {tuple(w.shape)} do not fit: wanted {n + 2} axes each, and axis 1 of "
            f"the input as long as axis {channels} of the weight"
        )


def _conv(x: Array, w: Array, n: int, stride: Sizes, padding: Padding, dilation: Sizes) -> Array:
    _check(x, w, n, 1, f"conv{n}d")
    strides, dilations, paddings = _each(stride, n, "stride", 1), _each(dilation, n, "dilation", 1), _paddings(padding, n)
    space = tuple([m + low + high for m, (low, high) in zip(x.shape[2:], paddings, strict=True)])
    out = _positions(space, w.shape[2:], strides, dilations)
    if math.prod(w.shape[2:]) == math.prod(strides) == 1 and not any(map(any, paddings)):  # one product, nothing to lay out
        return reshape(matmul(flatten_from(w, 1), flatten_from(x, 2)), (x.shape[0], w.shape[0], *out))
    return correlate(x, w, out, strides, tuple([low for low, _ in paddings]), dilations)


def _conv_transpose(x: Array, w: Array, n: int, stride: Sizes, padding: Padding, dilation: Sizes) -> Array:
    _check(x, w, n, 0, f"conv_transpose{n}d")
    strides, dilations, paddings = _each(stride, n, "stride", 1), _each(dilation, n, "dilation", 1), _paddings(padding, n)
    full = [(m - 1) * s + d * (k - 1) + 1 for m, k, s, d in zip(x.shape[2:], w.shape[2:], strides, dilations, strict=True)]
    space = tuple([m - low - high for m, (low, high) in zip(full, paddings, strict=True)])
    if any(m < 1 for m in space):
        raise ShapeError(f"conv_transpose{n}d: padding {padding} leaves nothing of {tuple(full)}")
    return spread(x, w, space, strides, tuple([low for low, _ in paddings]), dilations)


def conv1d(x: Array, w: Array, stride: Sizes = 1, padding: Padding = 0, dilation: Sizes = 1) -> Array:
    """x (batch, in, length) and w (out, in, window) -> (batch, out, floor((length + 2p - d(k - 1) - 1) / s) + 1)."""
    return _conv(x, w, 1, stride, padding, dilation)


def conv2d(x: Array, w: Array, stride: Sizes = 1, padding: Padding = 0, dilation: Sizes = 1) -> Array:
    """x (batch, in, height, width) and w (out, in, k, k) -> (batch, out, height', width'), as :func:`conv1d` in each."""
    return _conv(x, w, 2, stride, padding, dilation)


def conv_transpose1d(x: Array, w: Array, stride: Sizes = 1, padding: Padding = 0, dilation: Sizes = 1) -> Array:
    """The adjoint of :func:`conv1d` with the same ``w``: x (batch, out, m) -> (batch, in, (m - 1) s + d (k - 1) + 1 - 2p)."""
    return _conv_transpose(x, w, 1, stride, padding, dilation)


def conv_transpose2d(x: Array, w: Array, stride: Sizes = 1, padding: Padding = 0, dilation: Sizes = 1) -> Array:
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
    return reductions.max(y, axis=axes)


def avg_pool(x: Array, window: Sizes, stride: Sizes | None = None) -> Array:
    """The mean of each window; the stride is the window unless it is given. Any number of space axes."""
    y, axes = _windows(x, window, stride)
    return reductions.mean(y, axis=axes)


__all__ = ["avg_pool", "conv1d", "conv2d", "conv_transpose1d", "conv_transpose2d", "fold", "max_pool", "unfold"]
