"""Hypothesis strategies: arrays that stay clear of kinks, shapes that broadcast, axes, trees.

Values lie on odd multiples of 1/32. So 0, 1, 0.5 and every other multiple of 1/16, where functions like to have their
kinks, are at least 1/32 away; shift one of two arrays by 1/32 and the two are never equal. A failure shrinks to few
and simple numbers.
"""

from __future__ import annotations

import math
from typing import Any

import numpy
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

Shape = tuple[int, ...]


def shapes(min_dims: int = 0, max_dims: int = 3, max_side: int = 4) -> st.SearchStrategy[Shape]:
    """Shapes without empty axes."""
    return hnp.array_shapes(min_dims=min_dims, max_dims=max_dims, min_side=1, max_side=max_side)


def broadcastable_shapes(n: int = 2, max_dims: int = 3, max_side: int = 4) -> st.SearchStrategy[tuple[Shape, ...]]:
    """``n`` shapes that broadcast together: missing axes and axes of length 1 included."""
    return hnp.mutually_broadcastable_shapes(num_shapes=n, max_dims=max_dims, min_side=1, max_side=max_side).map(
        lambda chosen: tuple(chosen.input_shapes)
    )


@st.composite
def arrays(
    draw: Any,
    shape: Shape | st.SearchStrategy[Shape] | None = None,
    low: float = -2.0,
    high: float = 2.0,
    distinct: bool = False,
    dtype: str = "float64",
) -> numpy.ndarray[Any, Any]:
    """An array with values between ``low`` and ``high`` on the grid of odd multiples of 1/32; all unequal if ``distinct``."""
    chosen = draw(shapes() if shape is None else shape) if not isinstance(shape, tuple) else shape
    first, last = math.ceil(low * 16 - 0.5), math.floor(high * 16 - 0.5)
    whole = draw(hnp.arrays(numpy.int64, chosen, elements=st.integers(first, last), unique=distinct))
    return numpy.asarray((2 * whole + 1) / 32, dtype=dtype)


def axes(ndim: int) -> st.SearchStrategy[int | tuple[int, ...] | None]:
    """What reductions take as ``axis``: one axis, negative or not, several, or ``None``."""
    if ndim == 0:
        return st.none()
    several = st.sets(st.integers(0, ndim - 1), min_size=1).map(lambda s: tuple(sorted(s)))
    return st.none() | st.integers(-ndim, ndim - 1) | several


def trees(leaves: st.SearchStrategy[Any] | None = None, max_leaves: int = 5) -> st.SearchStrategy[Any]:
    """Dicts, lists and tuples of arrays, at least one of them."""
    return st.recursive(
        arrays() if leaves is None else leaves,
        lambda inner: (
            st.lists(inner, min_size=1, max_size=3)
            | st.lists(inner, min_size=1, max_size=3).map(tuple)
            | st.dictionaries(st.sampled_from("abc"), inner, min_size=1, max_size=3)
        ),
        max_leaves=max_leaves,
    )
