"""What makes a tensor feel like an array: operators, indexing, and NumPy's own functions.

``x + y`` calls ``add`` from the table, and ``np.tanh(x)`` calls ``tanh``. Nothing is computed here.
"""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy

from ..errors import ArgumentError, shape_text
from . import elementwise, linalg, reductions, shapes
from .tensor import Tensor, named


def _binary(name: str, f: Callable[..., Any]) -> None:
    setattr(Tensor, f"__{name}__", f)
    setattr(Tensor, f"__r{name}__", lambda self, other: f(other, self))


for _name, _f in {
    "add": elementwise.add,
    "sub": elementwise.subtract,
    "mul": elementwise.multiply,
    "truediv": elementwise.divide,
    "matmul": linalg.matmul,
}.items():
    _binary(_name, _f)

for _name in ("lt", "le", "gt", "ge", "eq", "ne"):
    _full = {"lt": "less", "le": "less_equal", "gt": "greater", "ge": "greater_equal", "eq": "equal", "ne": "not_equal"}
    setattr(Tensor, f"__{_name}__", named[_full[_name]])


def _power(x: Any, p: Any) -> Any:
    return elementwise.square(x) if type(p) is int and p == 2 else elementwise.pow(x, p)


def _no_remainder(self: Any, other: Any) -> Any:
    raise ArgumentError("x % y and x // y have no derivative in pydgm: write x - y * dgm.floor(x / y), dgm.floor(x / y)")


for _name in ("mod", "floordiv", "divmod"):
    _binary(_name, _no_remainder)

setattr(Tensor, "__pow__", _power)
setattr(Tensor, "__rpow__", lambda self, other: elementwise.pow(other, self))
setattr(Tensor, "__neg__", elementwise.negative)
setattr(Tensor, "__pos__", lambda self: self)
setattr(Tensor, "__abs__", elementwise.abs)
setattr(Tensor, "__getitem__", shapes.getitem)
setattr(Tensor, "T", property(lambda self: shapes.permute_dims(self, range(self.ndim)[::-1])))
setattr(Tensor, "mT", property(shapes.matrix_transpose))

# NumPy's functions on tensors. Each is known by the parameters that NumPy gives it, in NumPy's order.


class _Known(NamedTuple):
    """One of NumPy's functions: ours, NumPy's names for the parameters, and what ours calls them."""

    ours: Callable[..., Any]
    parameters: tuple[str, ...]
    taken: dict[str, str]  # NumPy's name -> ours, of those that ours has
    order: tuple[str, ...]  # of ours


_HARMLESS = {
    "order": ("C",),
    "ddof": (0,),
    "correction": (0,),
    "mode": ("raise", "constant"),
    "optimize": (True, False),
}
"""Values of parameters that ours lacks, which ask for what it does anyway; so does ``None``."""


def _call(name: str, known: _Known, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    if len(args) > len(known.parameters):
        raise ArgumentError(f"np.{name}: {len(args)} arguments are too many")
    passed = {}
    for parameter, value in {**dict(zip(known.parameters, args, strict=False)), **kwargs}.items():
        if parameter in known.taken:
            passed[known.taken[parameter]] = value
        elif value is not None and not any(value is x or value == x for x in _HARMLESS.get(parameter, ())):
            raise ArgumentError(f"np.{name}: {parameter}={shape_text(value)} has no counterpart for tensors")
    leading = list(itertools.takewhile(passed.__contains__, known.order))  # what carries a gradient is passed by position
    return known.ours(*[passed.pop(parameter) for parameter in leading], **passed)


def _known(ours: Callable[..., Any], parameters: str) -> _Known:
    """``"a:x axis dtype- out- keepdims"``: ``a`` is our ``x``; what ends in ``-`` we lack."""
    pairs = [word.partition(":") for word in parameters.split()]
    names = tuple([name.rstrip("-") for name, _, _ in pairs])
    taken = {name: own or name for name, _, own in pairs if not name.endswith("-")}
    return _Known(ours, names, taken, tuple(inspect.signature(ours).parameters))


def _flat_unless(x: Any, axis: int | None) -> Any:
    return shapes.reshape(x, (-1,)) if axis is None else x


def _dot(a: Any, b: Any) -> Any:
    if getattr(a, "ndim", 0) == 0 or getattr(b, "ndim", 0) == 0:
        return elementwise.multiply(a, b)
    if b.ndim > 2:
        raise ArgumentError("np.dot of more than two axes is not dgm.matmul: say which is meant, with dgm.einsum")
    return linalg.matmul(a, b)


def _norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Any:
    whole_matrix = x.ndim == 2 if axis is None else isinstance(axis, tuple)
    if ord is not None and axis is None and x.ndim > 2:
        raise ArgumentError(f"np.linalg.norm: of an array of {x.ndim} axes NumPy wants axis= beside ord=")
    if ord is not None and not (ord == "fro" and whole_matrix) and not (ord == 2 and not whole_matrix):
        raise ArgumentError(f"np.linalg.norm: of the norms only the Euclidean one is known to tensors, not ord={ord!r}")
    return reductions.vector_norm(x, axis=axis, keepdims=keepdims)


def _vector_norm(x: Any, axis: Any = None, keepdims: bool = False, ord: Any = 2) -> Any:
    if ord != 2:
        raise ArgumentError(f"np.linalg.vector_norm: only the Euclidean norm is known to tensors, not ord={ord!r}")
    return reductions.vector_norm(x, axis=axis, keepdims=keepdims)


def _diagonal(x: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    if offset:
        raise ArgumentError(f"np.diagonal: only the main diagonal is known to tensors, not offset={offset}")
    first, second = (shapes.axis_of(x, axis) for axis in (axis1, axis2))
    others = [i for i in range(x.ndim) if i not in (first, second)]
    return shapes.diagonal(shapes.permute_dims(x, (*others, first, second)))


def _transpose(x: Any, axes: Any = None) -> Any:
    return shapes.permute_dims(x, range(x.ndim)[::-1] if axes is None else axes)


def _swapaxes(x: Any, axis1: int, axis2: int) -> Any:
    order = list(range(x.ndim))
    order[axis1], order[axis2] = order[axis2], order[axis1]
    return shapes.permute_dims(x, order)


def _squeeze(x: Any, axis: Any = None) -> Any:
    return shapes.squeeze(x, tuple([i for i, n in enumerate(x.shape) if n == 1]) if axis is None else axis)


def _pad(x: Any, widths: Any) -> Any:
    return shapes.pad(x, [(int(a), int(b)) for a, b in numpy.broadcast_to(widths, (x.ndim, 2))])


def _where(mask: Any, *sides: Any) -> Any:
    if len(sides) != 2:
        raise ArgumentError("np.where(condition) has a shape that depends on values, and no derivative: give it both sides")
    return elementwise.where(mask, *sides)


def _take(x: Any, indices: Any, axis: int | None = None) -> Any:
    x, axis = _flat_unless(x, axis), axis or 0
    return shapes.getitem(x, (slice(None),) * shapes.axis_of(x, axis) + (indices,))  # counts from the end below 0, as NumPy


def _take_along_axis(x: Any, indices: Any, axis: int | None = -1) -> Any:
    return shapes.take_along_axis(_flat_unless(x, axis), indices, 0 if axis is None else axis)


def _concatenate(arrays: Any, axis: int | None = 0) -> Any:
    return shapes.concat([_flat_unless(x, axis) for x in arrays], axis or 0)


def _size(x: Any, axis: int | None = None) -> int:
    return int(x.size if axis is None else x.shape[axis])


_EXTREME = "a:x axis out- keepdims initial- where-"
_MOMENT = "a:x axis dtype- out- ddof- keepdims where- mean- correction-"
_NUMPY: dict[Any, _Known] = {
    numpy.sum: _known(reductions.sum, "a:x axis dtype- out- keepdims initial- where-"),
    numpy.mean: _known(reductions.mean, "a:x axis dtype- out- keepdims where-"),
    numpy.var: _known(reductions.var, _MOMENT),
    numpy.std: _known(reductions.std, _MOMENT),
    numpy.max: _known(reductions.max, _EXTREME),
    numpy.min: _known(reductions.min, _EXTREME),
    numpy.amax: _known(reductions.max, _EXTREME),
    numpy.amin: _known(reductions.min, _EXTREME),
    numpy.argmax: _known(reductions.argmax, "a:x axis out- keepdims-"),
    numpy.cumsum: _known(
        lambda x, axis=None: reductions.cumulative_sum(_flat_unless(x, axis), axis=axis or 0), "a:x axis dtype- out-"
    ),
    numpy.cumulative_sum: _known(
        lambda x, axis=None: reductions.cumulative_sum(_flat_unless(x, axis), axis=axis or 0),
        "x axis dtype- out- include_initial-",
    ),
    numpy.reshape: _known(shapes.reshape, "a:x shape order- copy-"),
    numpy.ravel: _known(lambda x: shapes.reshape(x, (-1,)), "a:x order-"),
    numpy.squeeze: _known(_squeeze, "a:x axis"),
    numpy.expand_dims: _known(shapes.expand_dims, "a:x axis"),
    numpy.broadcast_to: _known(shapes.broadcast_to, "array:x shape subok-"),
    numpy.transpose: _known(_transpose, "a:x axes"),
    numpy.permute_dims: _known(_transpose, "a:x axes"),
    numpy.swapaxes: _known(_swapaxes, "a:x axis1 axis2"),
    numpy.matrix_transpose: _known(shapes.matrix_transpose, "x"),
    numpy.linalg.matrix_transpose: _known(shapes.matrix_transpose, "x"),
    numpy.flip: _known(shapes.flip, "m:x axis"),
    numpy.tril: _known(shapes.tril, "m:x k"),
    numpy.triu: _known(shapes.triu, "m:x k"),
    numpy.pad: _known(_pad, "array:x pad_width:widths mode-"),
    numpy.diagonal: _known(_diagonal, "a:x offset axis1 axis2"),
    numpy.linalg.diagonal: _known(lambda x, offset=0: _diagonal(x, offset, -2, -1), "x offset"),
    numpy.concatenate: _known(_concatenate, "arrays axis out- dtype- casting-"),
    numpy.stack: _known(shapes.stack, "arrays axis out- dtype- casting-"),
    numpy.take: _known(_take, "a:x indices axis out- mode-"),
    numpy.take_along_axis: _known(_take_along_axis, "arr:x indices axis"),
    numpy.clip: _known(elementwise.clip, "a:x a_min:min a_max:max out- min max"),
    numpy.astype: _known(elementwise.astype, "x dtype copy- device-"),
    numpy.copy: _known(lambda x, order="K": x, "a:x order subok-"),
    numpy.zeros_like: _known(lambda x, order="K": elementwise.zeros_like(x), "a:x dtype- order subok- shape-"),
    numpy.ones_like: _known(lambda x, order="K": elementwise.ones_like(x), "a:x dtype- order subok- shape-"),
    numpy.shape: _known(lambda x: tuple(x.shape), "a:x"),
    numpy.ndim: _known(lambda x: x.ndim, "a:x"),
    numpy.size: _known(_size, "a:x axis"),
    numpy.dot: _known(_dot, "a b out-"),
    numpy.linalg.matmul: _known(linalg.matmul, "x1:a x2:b"),
    numpy.linalg.norm: _known(_norm, "x ord axis keepdims"),
    numpy.linalg.vector_norm: _known(_vector_norm, "x axis keepdims ord"),
    numpy.linalg.solve: _known(linalg.solve, "a b"),
    numpy.linalg.inv: _known(linalg.inv, "a"),
    numpy.linalg.slogdet: _known(linalg.slogdet, "a"),
    numpy.linalg.cholesky: _known(linalg.cholesky, "a upper-"),
}

_UFUNCS = {"absolute": "abs", "power": "pow", "true_divide": "divide"}
_METHODS: tuple[str, ...] = (
    "sum",
    "mean",
    "var",
    "std",
    "max",
    "min",
    "argmax",
    "cumsum",
    "squeeze",
    "swapaxes",
    "diagonal",
    "take",
    "clip",
)
_METHODS += ("astype", "dot", "copy", "ravel")


def _unknown(name: str) -> ArgumentError:
    return ArgumentError(f"np.{name} has no derivative in pydgm: write it in pydgm's functions")


def _array_ufunc(self: Tensor, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
    if method != "__call__" or kwargs:
        how = "an array cannot take a tensor in place: write x = x + y" if "out" in kwargs else "only the plain call is known"
        raise ArgumentError(f"np.{ufunc.__name__} on a tensor: {how}")
    name = _UFUNCS.get(ufunc.__name__, ufunc.__name__)
    ours = linalg.matmul if name == "matmul" else named.get(name)
    if ours is None:
        raise _unknown(ufunc.__name__)
    return ours(*inputs)


def _array_function(self: Tensor, function: Any, types: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    if function is numpy.where:
        return _where(*args)
    if function is numpy.einsum:
        if {name for name, value in kwargs.items() if value is not None} - {"optimize"}:
            raise ArgumentError(f"np.einsum: of its options tensors know optimize alone, not {', '.join(kwargs)}")
        return linalg.einsum(*args)
    known = _NUMPY.get(function)
    if known is None:
        raise _unknown(function.__name__)
    return _call(function.__name__, known, args, kwargs)


def _method(name: str) -> Callable[..., Any]:
    known = _NUMPY[getattr(numpy, name)]
    return lambda self, *args, **kwargs: _call(name, known, (self, *args), kwargs)


setattr(Tensor, "__array_ufunc__", _array_ufunc)
setattr(Tensor, "__array_function__", _array_function)
# The methods that arrays have, so that taking grad of a function that works does not break it.
for _name in _METHODS:
    setattr(Tensor, _name, _method(_name))
setattr(Tensor, "flatten", lambda self: shapes.reshape(self, (-1,)))
setattr(Tensor, "reshape", lambda self, *shape, **kwargs: _method("reshape")(self, _one(shape), **kwargs))
setattr(Tensor, "transpose", lambda self, *axes: _transpose(self, _one(axes) if axes else None))


def _one(numbers: tuple[Any, ...]) -> Any:
    """``x.reshape(2, 3)`` is ``x.reshape((2, 3))``."""
    return numbers[0] if len(numbers) == 1 else numbers
