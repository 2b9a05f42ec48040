"""The same numbers in another shape or place: reshaping, broadcasting, joining, indexing.

Every operation here is linear, so its derivative is its *adjoint*: what it moved is moved back, what it repeated is
summed. The pairs: ``broadcast_to`` and ``sum_to``, ``getitem`` and ``scatter_add``, ``tril`` and itself.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from .. import backend, checks
from ..backend import Array, xp
from ..errors import ArgumentError, ShapeError, shape_text
from .tensor import operation


def axis_of(x: Array, axis: int) -> int:
    """``axis`` as a number from 0; raises :class:`~pydgm.errors.ShapeError` where ``x`` has no such axis."""
    if not -x.ndim <= axis < x.ndim:
        raise ShapeError(f"axis {axis} does not exist in an array of shape {tuple(x.shape)}")
    return int(axis) % int(x.ndim)


@operation(lambda g, y, x, shape: reshape(g, x.shape))
def reshape(x: Array, shape: int | tuple[int, ...]) -> Array:
    """The same elements in another shape; one length may be -1, "whatever is left"."""
    return xp.reshape(x, (shape,) if isinstance(shape, int) else shape)


@operation(lambda g, y, x, axes: permute_dims(g, tuple([axes.index(i) for i in range(len(axes))])))
def _permute(x: Array, axes: tuple[int, ...]) -> Array:
    return xp.permute_dims(x, axes)


def permute_dims(x: Array, axes: Sequence[int]) -> Array:
    """The axes in a new order: axis ``i`` of the result is axis ``axes[i]`` of ``x``."""
    checks.array(x, "permute_dims: x")
    if isinstance(axes, int):
        raise ArgumentError(f"permute_dims: wanted the order of all axes, (1, 0), got {axes}")
    order = tuple([axis_of(x, a) for a in axes])
    if sorted(order) != list(range(x.ndim)):
        raise ShapeError(f"permute_dims: {tuple(axes)} is not an order of the {x.ndim} axes of shape {tuple(x.shape)}")
    return _permute(x, order)


def matrix_transpose(x: Array) -> Array:
    """The last two axes swapped."""
    if getattr(x, "ndim", 0) < 2:
        checks.array(x, "matrix_transpose: x")
        raise ShapeError(f"matrix_transpose: an array of shape {tuple(x.shape)} is no matrix")
    return _permute(x, (*range(x.ndim - 2), x.ndim - 1, x.ndim - 2))


@operation(lambda g, y, x, axis=0: reshape(g, x.shape))
def expand_dims(x: Array, axis: int = 0) -> Array:
    """A new axis of length 1 at ``axis``."""
    return xp.expand_dims(x, axis=axis)


@operation(lambda g, y, x, axis: reshape(g, x.shape))
def squeeze(x: Array, axis: int | tuple[int, ...]) -> Array:
    """Without ``axis``, which must have length 1."""
    return xp.squeeze(x, axis=axis)


@operation(lambda g, y, x, shape: sum_to(g, x.shape))
def broadcast_to(x: Array, shape: tuple[int, ...]) -> Array:
    """``x`` repeated along new axes and axes of length 1."""
    return backend.repeated(x, shape)


@operation(lambda g, y, x, shape: broadcast_to(g, x.shape))
def sum_to(x: Array, shape: tuple[int, ...]) -> Array:
    """The adjoint of :func:`broadcast_to`: sums over every axis along which ``shape`` was repeated to ``x.shape``."""
    new = x.ndim - len(shape)
    axes = tuple([i for i, n in enumerate(x.shape) if i < new or (shape[i - new] == 1 and n != 1)])
    out = backend.total(x, axes) if axes else x
    return out if out.shape == shape else xp.reshape(out, shape)


def _part(i: int, g: Array, y: Array, *arrays: Array, axis: int = 0) -> Array:
    axis = axis_of(y, axis)
    start = sum([a.shape[axis] for a in arrays[:i]])
    return getitem(g, (slice(None),) * axis + (slice(start, start + arrays[i].shape[axis]),))


@operation(_part, variadic=True)
def _concat(*arrays: Array, axis: int = 0) -> Array:
    return xp.concat(arrays, axis=axis)


def _check_list(arrays: Any, name: str) -> None:
    if not isinstance(arrays, list | tuple) or not arrays:
        raise ArgumentError(f"{name}: wanted a list of arrays, [a, b], got {shape_text(arrays)}")


def concat(arrays: Sequence[Array], axis: int = 0) -> Array:
    """Arrays joined along an axis they have."""
    _check_list(arrays, "concat")
    return _concat(*arrays, axis=axis)


def stack(arrays: Sequence[Array], axis: int = 0) -> Array:
    """Arrays of one shape joined along a new axis."""
    _check_list(arrays, "stack")
    return _concat(*[expand_dims(a, axis=axis) for a in arrays], axis=axis)


def unstack(x: Array, axis: int = 0) -> tuple[Array, ...]:
    """The slices of ``x`` along ``axis``, one by one: the arrays that :func:`stack` has joined."""
    before = (slice(None),) * axis_of(x, axis)
    return tuple(x[(*before, i, ...)] for i in range(x.shape[axis]))


@operation(lambda g, y, x, axis=None: flip(g, axis))
def flip(x: Array, axis: int | tuple[int, ...] | None = None) -> Array:
    """The elements in reverse order along ``axis``."""
    return xp.flip(x, axis=axis)


def pad(x: Array, widths: Sequence[tuple[int, int]]) -> Array:
    """Zeros around ``x``: ``widths[i]`` of them before and after along axis ``i``."""
    checks.array(x, "pad: x")
    if (
        not isinstance(widths, list | tuple)
        or len(widths) != x.ndim
        or any(before < 0 or after < 0 for before, after in widths)
    ):
        raise ShapeError(f"pad: shape {tuple(x.shape)} needs {x.ndim} pairs of widths, none negative, got {widths}")
    shape = tuple([n + before + after for n, (before, after) in zip(x.shape, widths, strict=True)])
    return scatter_add(x, tuple([slice(before, before + n) for n, (before, _) in zip(x.shape, widths, strict=True)]), shape)


@operation(lambda g, y, x, k=0: tril(g, k))
def tril(x: Array, k: int = 0) -> Array:
    """The lower triangle up to the ``k``-th diagonal, zeros above."""
    return xp.tril(x, k=k)


@operation(lambda g, y, x, k=0: triu(g, k))
def triu(x: Array, k: int = 0) -> Array:
    """The upper triangle from the ``k``-th diagonal, zeros below."""
    return xp.triu(x, k=k)


def diagonal(x: Array) -> Array:
    """The main diagonal of the last two axes."""
    checks.array(x, "diagonal: x")
    n = min(x.shape[-2:])
    flat = reshape(x, (*x.shape[:-2], x.shape[-2] * x.shape[-1]))
    return getitem(flat, (..., slice(0, n * x.shape[-1], x.shape[-1] + 1)))


@operation(lambda g, y, x, key: scatter_add(g, key, x.shape))
def getitem(x: Array, key: Any) -> Array:
    """``x[key]``: slices, integers, integer arrays (repeats allowed), masks."""
    return backend.index(x, key)


@operation(lambda g, y, x, key, shape: getitem(g, key))
def scatter_add(x: Array, key: Any, shape: tuple[int, ...]) -> Array:
    """The adjoint of :func:`getitem`: zeros of ``shape`` with ``x`` added at ``key``; repeats add up."""
    return backend.scatter_add(x, key, shape)


def split(x: Array, parts: int, axis: int = -1) -> list[Array]:
    """``x`` in ``parts`` equal parts along ``axis``: mean and log scale out of one layer, say."""
    at, n = axis_of(x, axis), x.shape[axis]
    if parts < 1 or n % parts:
        raise ShapeError(f"split: an axis of length {n} has no {parts} equal parts: {shape_text(x)}")
    size, before = n // parts, (slice(None),) * at
    return [x[(*before, slice(i * size, (i + 1) * size), ...)] for i in range(parts)]


def take(x: Array, indices: Array, axis: int) -> Array:
    """The slices of ``x`` at ``indices`` along ``axis``; as in NumPy, -1 is the last."""
    return getitem(x, (slice(None),) * axis_of(x, axis) + (indices,))


def take_along_axis(x: Array, indices: Array, axis: int = -1) -> Array:
    """One element for each index: ``y[i, j] = x[i, indices[i, j]]`` for the last axis of a matrix. Other axes broadcast.

    Indices count from 0: a label of -1, "none", is refused, which NumPy would take for the last class.
    """
    checks.array(x, "take_along_axis: x")
    axis = axis_of(x, axis)
    checks.array(indices, "take_along_axis: indices")
    if "int" in str(indices.dtype):
        checks.within(indices, 0, x.shape[axis] - 1, f"take_along_axis: indices along an axis of length {x.shape[axis]}")
    others = [(n, m) for i, (n, m) in enumerate(zip(x.shape, indices.shape, strict=False)) if i != axis]
    if indices.ndim != x.ndim or any(n != m and 1 not in (n, m) for n, m in others):
        raise ShapeError(f"take_along_axis: indices of shape {tuple(indices.shape)} for {tuple(x.shape)} along axis {axis}")
    key = [xp.reshape(backend.arange(n, indices), (1,) * i + (n,) + (1,) * (x.ndim - 1 - i)) for i, n in enumerate(x.shape)]
    key[axis] = indices
    return getitem(x, tuple(key))


def flatten_from(x: Array, axis: int) -> Array:
    """All axes from ``axis`` on as one."""
    return reshape(x, (*x.shape[:axis], math.prod(x.shape[axis:])))
