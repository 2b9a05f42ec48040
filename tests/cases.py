"""The table of operations under test: for each, a function of float arrays and a strategy that draws its arguments.

Arguments lie on the grid of ``dgm.testing.arrays``, so every kink is at least 1/32 away by construction.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from hypothesis import strategies as st

import pydgm as dgm
from pydgm.testing import arrays, axes, broadcastable_shapes, shapes


class Case(NamedTuple):
    name: str
    function: Callable[..., Any]  # (*arrays, **options) -> array
    arguments: Any  # strategy of (arrays, options)


def plain(*strategies: Any) -> Any:
    return st.tuples(st.tuples(*strategies), st.just({}))


def unary(name: str, low: float = -2.0, high: float = 2.0) -> Case:
    return Case(name, getattr(dgm, name), plain(arrays(low=low, high=high)))


@st.composite
def broadcasting(draw: Any, n: int = 2, low: float = -2.0, high: float = 2.0, shift: float = 0.0) -> Any:
    result = draw(broadcastable_shapes(n))
    return tuple(draw(arrays(s, low, high)) + shift * i for i, s in enumerate(result)), {}


@st.composite
def reduced(draw: Any, distinct: bool = False, low: float = -2.0) -> Any:
    x = draw(arrays(low=low, distinct=distinct))
    return (x,), {"axis": draw(axes(x.ndim)), "keepdims": draw(st.booleans())}


@st.composite
def along_one(draw: Any) -> Any:
    x = draw(arrays(shapes(min_dims=1)))
    return (x,), {"axis": draw(st.integers(-x.ndim, x.ndim - 1))}


@st.composite
def reshaped(draw: Any) -> Any:
    x = draw(arrays())
    sides = draw(st.permutations(x.shape))
    return (x,), {"shape": draw(st.sampled_from([(-1,), tuple(sides), (1, *sides)]))}


@st.composite
def permuted(draw: Any) -> Any:
    x = draw(arrays())
    return (x,), {"axes": tuple(draw(st.permutations(range(x.ndim))))}


@st.composite
def broadcast(draw: Any) -> Any:
    small, big = draw(broadcastable_shapes(2))
    return (draw(arrays(small)),), {"shape": tuple(np.broadcast_shapes(small, big))}


@st.composite
def summed_to(draw: Any) -> Any:
    small, big = draw(broadcastable_shapes(2))
    return (draw(arrays(tuple(np.broadcast_shapes(small, big)))),), {"shape": small}


@st.composite
def joined(draw: Any, lengths: bool) -> Any:
    shape = draw(shapes(min_dims=1))
    axis = draw(st.integers(-len(shape), len(shape) - 1))
    sides = draw(st.lists(st.integers(1, 3), min_size=1, max_size=3))
    several = [(*shape[: axis % len(shape)], n if lengths else shape[axis], *shape[axis % len(shape) + 1 :]) for n in sides]
    return tuple(draw(arrays(s)) for s in several), {"axis": axis}


@st.composite
def padded(draw: Any) -> Any:
    x = draw(arrays())
    return (x,), {"widths": [(draw(st.integers(0, 2)), draw(st.integers(0, 2))) for _ in x.shape]}


@st.composite
def matrices(draw: Any) -> Any:
    return (draw(arrays(shapes(min_dims=2))),), {}


@st.composite
def triangles(draw: Any) -> Any:
    return (draw(arrays(shapes(min_dims=2))),), {"k": draw(st.integers(-2, 2))}


@st.composite
def indexed(draw: Any) -> Any:
    """Slices, integers, integer arrays with repeats, masks, new axes, an array for every axis, and mixtures."""
    x = draw(arrays(shapes(min_dims=1)))
    kind = draw(st.sampled_from(["basic", "integers", "mask", "masks", "mixed", "grid", "places"]))
    n = x.shape[0]
    some = np.array(draw(st.lists(st.integers(-n, n - 1), min_size=1, max_size=5)))
    if kind == "basic":
        part = st.integers(-n, n - 1) | st.slices(n).filter(lambda s: len(range(*s.indices(n))) > 0) | st.none() | st.just(...)
        key: Any = draw(part)
    elif kind == "integers":
        key = some
    elif kind in ("mask", "masks"):
        key = np.array(draw(st.lists(st.booleans(), min_size=n, max_size=n)))
        key[draw(st.integers(0, n - 1))] = True
        key = (key, *(some[0] % m * np.ones(1, int) for m in x.shape[1:])) if kind == "masks" else key
    elif kind == "places":
        key = (some[:, None], *(some % m - m * (some % 2) for m in x.shape[1:]))
    elif kind == "grid":
        key = np.stack([some, some])
    else:
        key = (some, slice(None, None, -1)) if x.ndim > 1 else (some, None)
    return (x,), {"key": key}


@st.composite
def taken(draw: Any) -> Any:
    x = draw(arrays(shapes(min_dims=1)))
    axis = draw(st.integers(-x.ndim, x.ndim - 1))
    which = st.integers(-x.shape[axis], x.shape[axis] - 1)
    return (x,), {"indices": np.array(draw(st.lists(which, min_size=1, max_size=4))), "axis": axis}


@st.composite
def taken_along(draw: Any) -> Any:
    x = draw(arrays(shapes(min_dims=1)))
    axis = draw(st.integers(-x.ndim, x.ndim - 1))
    shape = list(x.shape)
    shape[axis] = draw(st.integers(1, 3))
    flat = draw(st.lists(st.integers(0, x.shape[axis] - 1), min_size=int(np.prod(shape)), max_size=int(np.prod(shape))))
    return (x,), {"indices": np.array(flat).reshape(shape), "axis": axis}


@st.composite
def multiplied(draw: Any) -> Any:
    n, k, m = (draw(st.integers(1, 3)) for _ in range(3))
    left, right = draw(broadcastable_shapes(2, max_dims=2, max_side=3))
    a, b = draw(st.sampled_from([((k,), (k,)), ((n, k), (k,)), ((k,), (k, m)), ((*left, n, k), (*right, k, m))]))
    return (draw(arrays(a)), draw(arrays(b))), {}


@st.composite
def summed_products(draw: Any) -> Any:
    sizes = {c: draw(st.integers(1, 3)) for c in "bijk"}
    patterns = [
        "ij,jk->ik",
        "bij,bjk->bik",
        "i,j->ij",
        "ij->ji",
        "ij->",
        "ii->i",
        "ii->",
        "bi,bj,ijk->bk",
        "ij,ij->",
        "i,i,i->i",
    ]
    pattern = draw(st.sampled_from(patterns))
    terms = pattern.split("->")[0].split(",")
    return tuple(draw(arrays(tuple(sizes[c] for c in term))) for term in terms), {"pattern": pattern}


@st.composite
def square_matrices(draw: Any, right_side: bool = False) -> Any:
    """Batches of well-conditioned matrices: a small one plus four times the identity."""
    n = draw(st.integers(1, 3))
    batch = draw(shapes(max_dims=1, max_side=2))
    a = draw(arrays((*batch, n, n), -1.0, 1.0)) + 4.0 * np.eye(n)
    return ((a, draw(arrays((n,) if not batch and draw(st.booleans()) else (*batch, n, 2)))) if right_side else (a,)), {}


@st.composite
def convolved(draw: Any, n: int, turned: bool) -> Any:
    """A convolution or, ``turned``, a transposed one; options for all axes, or one for each."""

    def each(numbers: Any) -> Any:
        return draw(numbers | st.tuples(*[numbers] * n))

    window = tuple(draw(st.integers(1, 4 if n == 1 else 3)) for _ in range(n))
    stride, dilation = each(st.integers(1, 3)), each(st.integers(1, 2))
    widths = st.tuples(st.integers(-1, 1), st.integers(0, 2))  # before and after
    padding = draw(st.integers(0, 1) | st.tuples(*[widths] * n))
    ends = np.broadcast_to(np.array(padding), (n, 2))
    reach = np.broadcast_to(dilation, n) * (np.array(window) - 1) + 1
    least = [int(max(1, r - before - after, -before + 1)) for r, (before, after) in zip(reach, ends, strict=True)]
    if turned:  # what is cut off must not be all
        size = zip(reach, np.broadcast_to(stride, n), ends, strict=True)
        least = [int(max(1, -(-(before + after + 1 - r) // s) + 1)) for r, s, (before, after) in size]
    space = tuple(draw(st.integers(k, k + 2)) for k in least)
    first, second = draw(st.integers(1, 3)), draw(st.integers(1, 2))
    x = draw(arrays((draw(st.integers(1, 3)), first, *space)))
    w = draw(arrays((first, second, *window) if turned else (second, first, *window)))
    return (x, w), {"stride": stride, "padding": padding, "dilation": dilation}


@st.composite
def pooled(draw: Any) -> Any:
    space = draw(shapes(min_dims=1, max_dims=2, max_side=4))
    least = min(space)
    window = draw(st.integers(1, min(least, 3)))
    return (draw(arrays((1, 2, *space), distinct=True)),), {"window": window, "stride": draw(st.none() | st.integers(1, 2))}


def where_positive(x: Any, a: Any, b: Any) -> Any:
    return dgm.where(dgm.greater(x, 0), a * x, b)


SMOOTH_OR_KINKED = ["negative", "square", "exp", "expm1", "abs", "sin", "cos", "tanh"]
SMOOTH_OR_KINKED += ["sigmoid", "softplus", "relu", "leaky_relu"]

CASES = [
    *[unary(n) for n in SMOOTH_OR_KINKED],
    *[unary(n, low=0.1) for n in ["sqrt", "log"]],
    unary("log1p", low=-0.8),
    Case("add", dgm.add, broadcasting()),
    Case("subtract", dgm.subtract, broadcasting()),
    Case("multiply", dgm.multiply, broadcasting()),
    Case("divide", dgm.divide, broadcasting(low=0.3)),
    Case("pow", dgm.pow, broadcasting(low=0.3)),
    Case(
        "pow_fixed", lambda x, p: dgm.pow(x, p), st.tuples(st.tuples(arrays()), st.fixed_dictionaries({"p": st.integers(0, 4)}))
    ),
    Case("pow_of_number", lambda x: 1.5**x, plain(arrays())),
    Case("maximum", dgm.maximum, broadcasting(shift=1 / 32)),
    Case("minimum", dgm.minimum, broadcasting(shift=1 / 32)),
    Case("clip", dgm.clip, st.tuples(st.tuples(arrays()), st.just({"min": -0.5, "max": 1.0}))),
    Case("where", where_positive, broadcasting(3)),
    Case("sum", dgm.sum, reduced()),
    Case("mean", dgm.mean, reduced()),
    Case("var", dgm.var, reduced()),
    Case("max", dgm.max, reduced(distinct=True)),
    Case("min", dgm.min, reduced(distinct=True)),
    Case("logsumexp", dgm.logsumexp, reduced()),
    Case("vector_norm", dgm.vector_norm, reduced(low=0.3)),
    Case("cumulative_sum", dgm.cumulative_sum, along_one()),
    Case("softmax", dgm.softmax, along_one()),
    Case("log_softmax", dgm.log_softmax, along_one()),
    Case("reshape", dgm.reshape, reshaped()),
    Case("permute_dims", dgm.permute_dims, permuted()),
    Case("matrix_transpose", dgm.matrix_transpose, matrices()),
    Case("expand_dims", dgm.expand_dims, along_one()),
    Case("squeeze", lambda x: dgm.squeeze(dgm.expand_dims(x, axis=-1), -1), plain(arrays())),
    Case("broadcast_to", dgm.broadcast_to, broadcast()),
    Case("sum_to", dgm.sum_to, summed_to()),
    Case("concat", lambda *xs, axis: dgm.concat(xs, axis=axis), joined(lengths=True)),
    Case("stack", lambda *xs, axis: dgm.stack(xs, axis=axis), joined(lengths=False)),
    Case("flip", dgm.flip, along_one()),
    Case("pad", dgm.pad, padded()),
    Case("tril", dgm.tril, triangles()),
    Case("triu", dgm.triu, triangles()),
    Case("diagonal", dgm.diagonal, matrices()),
    Case("getitem", lambda x, key: x[key] if type(x) is dgm.Tensor else dgm.getitem(x, key), indexed()),
    Case("take", dgm.take, taken()),
    Case("take_along_axis", dgm.take_along_axis, taken_along()),
    Case("matmul", dgm.matmul, multiplied()),
    Case("einsum", lambda *xs, pattern: dgm.einsum(pattern, *xs), summed_products()),
    Case("solve", dgm.solve, square_matrices(right_side=True)),
    Case("inv", dgm.inv, square_matrices()),
    Case("slogdet", lambda a: dgm.slogdet(a).logabsdet, square_matrices()),
    Case("cholesky", lambda a: dgm.cholesky(a + dgm.matrix_transpose(a)), square_matrices()),
    Case("conv1d", dgm.conv1d, convolved(1, turned=False)),
    Case("conv2d", dgm.conv2d, convolved(2, turned=False)),
    Case("conv_transpose1d", dgm.conv_transpose1d, convolved(1, turned=True)),
    Case("conv_transpose2d", dgm.conv_transpose2d, convolved(2, turned=True)),
    Case("max_pool", dgm.max_pool, pooled()),
    Case("avg_pool", dgm.avg_pool, pooled()),
]
