"""What makes a tensor feel like an array: operators, indexing, and NumPy's own functions.

``x + y`` calls ``add`` from the table, and ``np.tanh(x)`` calls ``tanh``. Nothing is computed here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..errors import caller
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


setattr(Tensor, "__pow__", _power)
setattr(Tensor, "__rpow__", lambda self, other: elementwise.pow(other, self))
setattr(Tensor, "__neg__", elementwise.negative)
setattr(Tensor, "__pos__", lambda self: self)
setattr(Tensor, "__abs__", elementwise.abs)
setattr(Tensor, "__getitem__", shapes.getitem)
setattr(Tensor, "T", property(lambda self: shapes.permute_dims(self, range(self.ndim)[::-1])))
setattr(Tensor, "mT", property(shapes.matrix_transpose))

# NumPy's functions, where their name or the order of their arguments is not the standard's.
_RENAMED: dict[str, Callable[..., Any]] = {
    "absolute": elementwise.abs,
    "power": elementwise.pow,
    "true_divide": elementwise.divide,
    "matmul": linalg.matmul,
    "concatenate": shapes.concat,
    "concat": shapes.concat,
    "stack": shapes.stack,
    "transpose": lambda x, axes=None: shapes.permute_dims(x, range(x.ndim)[::-1] if axes is None else axes),
    "permute_dims": shapes.permute_dims,
    "matrix_transpose": shapes.matrix_transpose,
    "clip": elementwise.clip,
    "amax": reductions.max,
    "amin": reductions.min,
    "var": reductions.var,
    "std": reductions.std,
    "cumsum": lambda x, axis=None: reductions.cumulative_sum(_flat_unless(x, axis), axis=axis or 0),
    "take": lambda x, indices, axis=None: shapes.take(_flat_unless(x, axis), indices, axis or 0),
    "take_along_axis": shapes.take_along_axis,
    "dot": lambda a, b: _dot(a, b),
    "pad": shapes.pad,
    "diagonal": shapes.diagonal,
    "copy": lambda x: x,
    "shape": lambda x: tuple(x.shape),
    "ndim": lambda x: x.ndim,
    "size": lambda x: x.size,
    "einsum": linalg.einsum,
    "norm": reductions.vector_norm,
    "solve": linalg.solve,
    "slogdet": linalg.slogdet,
}


def _flat_unless(x: Any, axis: int | None) -> Any:
    return shapes.reshape(x, (-1,)) if axis is None else x


def _dot(a: Any, b: Any) -> Any:
    if getattr(a, "ndim", 0) == 0 or getattr(b, "ndim", 0) == 0:
        return elementwise.multiply(a, b)
    if b.ndim > 2:
        raise TypeError(f"np.dot of more than two axes is not dgm.matmul: say which is meant, with dgm.einsum {caller()}")
    return linalg.matmul(a, b)


def _ours(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    ours = _RENAMED.get(name) or named.get(name)
    if ours is None:
        raise TypeError(f"np.{name} has no derivative in pydgm: write it in pydgm's functions {caller()}")
    return ours(*args, **kwargs)


def _array_ufunc(self: Tensor, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
    if method != "__call__" or kwargs:
        how = "an array cannot take a tensor in place: write x = x + y" if "out" in kwargs else "only the plain call is known"
        raise TypeError(f"np.{ufunc.__name__} on a tensor: {how} {caller()}")
    return _ours(ufunc.__name__, inputs, {})


def _array_function(self: Tensor, function: Any, types: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    return _ours(function.__name__, args, kwargs)


setattr(Tensor, "__array_ufunc__", _array_ufunc)
setattr(Tensor, "__array_function__", _array_function)
