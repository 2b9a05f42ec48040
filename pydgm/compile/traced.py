"""Traced: what stands in for an array, or a Python float, while a function is recorded; and what a recording is made of.

A :class:`Traced` sits below every tensor: derivatives, optimisers and nested gradients run on it as on any array, and NumPy's
own dispatch protocols (``__array_ufunc__``, ``__array_function__``) hand each call to the recorder.
"""

from __future__ import annotations

import functools
import operator
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy

from .. import backend
from ..errors import Line, PydgmError, caller

if TYPE_CHECKING:
    from .record import Recorder


class TraceError(PydgmError, RuntimeError):
    """A recorded function did what a fixed program cannot repeat."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        notes = backend.recorder()
        if notes is not None and notes.refused is None:
            notes.refused = self  # stands, also where the function catches it


class Node:
    """What the program has to know of a value: all but its numbers, so those live no longer than in an ordinary run."""

    __slots__ = ("array", "dtype", "line", "name", "owns", "shape", "strides", "trail", "view_of")

    def __init__(
        self, value: Any, name: str = "", line: str = "", view_of: Node | None = None, trail: tuple[Line, ...] = ()
    ) -> None:
        self.array = isinstance(value, numpy.ndarray)  # and no single number
        self.shape = getattr(value, "shape", ())
        self.dtype: Any = getattr(value, "dtype", None)
        self.strides = value.strides if self.array else ()
        self.owns = getattr(value, "base", None) is None
        self.name, self.line, self.view_of, self.trail = name, line, view_of, trail

    @classmethod
    def like(cls, other: Node) -> Node:
        """A value of the same kind, in memory of its own."""
        node = cls(numpy.empty(other.shape, other.dtype), line=other.line, trail=other.trail)
        node.strides = other.strides
        return node

    @property
    def layout(self) -> Any:
        return self.shape, self.dtype, self.strides


class Step(NamedTuple):
    """One call: ``out = function(*args, **kwargs)``. Arguments are nodes, constants, or lists, tuples and dicts of them."""

    function: Any  # a callable
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    out: Node


class Draw(NamedTuple):
    """``draw(shape)`` of a generator: repeated, not remembered, when the program runs."""

    generator: Any
    method: str
    dtype: str

    def __call__(self, *arguments: Any) -> Any:
        return self.generator.draw_now(self.method, self.dtype, *arguments)


class Traced:
    """An array, or a Python float, during recording. ``value`` is what it is in this one run."""

    __slots__ = ("__weakref__", "node", "recorder", "value")
    __array_priority__ = 500.0
    __hash__ = object.__hash__
    __class__ = property(lambda self: type(self.value))  # isinstance answers as for the value

    def __init__(self, value: Any, recorder: Recorder, node: Node) -> None:
        self.value, self.recorder, self.node = value, recorder, node
        recorder.made.append(weakref.ref(self))

    @property
    def is_number(self) -> bool:
        """A Python number, which follows Python's arithmetic and takes on the dtype of what it meets."""
        return type(self.value) in _NUMBERS

    # as of the value: a Python number has no shape and no dtype
    shape = property(lambda self: self.value.shape)
    dtype = property(lambda self: self.value.dtype)
    ndim = property(lambda self: self.value.ndim)
    size = property(lambda self: self.value.size)
    device = property(lambda self: self.value.device)
    T = property(lambda self: numpy.transpose(self))
    mT = property(lambda self: numpy.matrix_transpose(self))  # noqa: N815

    def __getattr__(self, name: str) -> Any:
        """``x.sum(axis=0)`` is ``np.sum(x, axis=0)``."""
        if name == "flatten":
            return functools.partial(numpy.ravel, self)
        if name not in _METHODS or not hasattr(self.value, name):
            hint = f": write np.{name}(x)" if hasattr(numpy, name) else ""
            raise AttributeError(f"a traced {type(self.value).__name__} has no attribute {name!r}{hint} {caller()}")
        function = getattr(numpy, name)
        if name == "clip":
            return lambda min=None, max=None: function(self, min, max)
        if name not in ("reshape", "transpose"):
            return functools.partial(function, self)
        return lambda *sizes, **options: function(self, *([sizes] if sizes and isinstance(sizes[0], int) else sizes), **options)

    def __len__(self) -> int:
        return len(self.value)

    def __iter__(self) -> Any:
        return (self[i] for i in range(len(self)))

    def __repr__(self) -> str:
        return f"Traced({getattr(self.value, 'shape', type(self.value).__name__)} {getattr(self.value, 'dtype', '')})"

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        if _any_tensor(inputs):
            return NotImplemented  # a tensor knows what to do
        if method == "__call__" and "out" not in kwargs:
            return self.recorder.record(ufunc, inputs, kwargs)
        raise TraceError(f"np.{ufunc.__name__}.{method} with {list(kwargs)} cannot be recorded")

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        if _any_tensor(args) or _any_tensor(kwargs):
            return NotImplemented
        if function in _KNOWN_FROM_SHAPES:
            return function(*values(args), **values(kwargs))
        return self.recorder.record(function, args, kwargs)

    def __getitem__(self, key: Any) -> Any:
        return self.recorder.record(backend.index, (self, key), {})

    def __pow__(self, other: Any) -> Any:
        if hasattr(other, "level"):
            return NotImplemented
        return self.recorder.record(operator.pow, (self, other), {})

    def __rpow__(self, other: Any) -> Any:
        return self.recorder.record(operator.pow, (other, self), {})

    def __neg__(self) -> Any:
        return self.recorder.record(operator.neg if self.is_number else numpy.negative, (self,), {})

    def __pos__(self) -> Any:
        return self

    def __abs__(self) -> Any:
        return self.recorder.record(operator.abs if self.is_number else numpy.absolute, (self,), {})

    def __invert__(self) -> Any:
        return self.recorder.record(numpy.bitwise_invert, (self,), {})

    def _no_value(self, *_: Any, **__: Any) -> Any:
        raise TraceError(
            "a compiled function is recorded once and repeated, so it cannot use the value of a traced array: no branch, "
            "float(), int() or NumPy conversion; use dgm.where, return the value, or take it as an index by "
            "dgm.take(array, x, axis=0)"
        )

    __bool__ = __float__ = __int__ = __index__ = __complex__ = __array__ = __format__ = item = tolist = _no_value
    __round__ = __divmod__ = __rdivmod__ = _no_value

    def __copy__(self) -> Traced:
        return self

    def __deepcopy__(self, memo: Any) -> Traced:
        return self

    def __reduce_ex__(self, protocol: Any) -> Any:
        raise TraceError("a traced value is not pickled: return it from the compiled function, and pickle that")

    def __setitem__(self, key: Any, value: Any) -> None:
        raise TraceError("a traced array is not changed in place: build the result with dgm.where, dgm.concat or dgm.stack")


_NUMBERS = (bool, int, float, complex)
_METHODS = {"sum", "mean", "max", "min", "prod", "std", "var", "argmax", "argmin", "clip", "cumsum", "astype"}
_METHODS |= {"any", "all", "dot", "reshape", "transpose", "squeeze", "ravel", "swapaxes", "diagonal", "take", "copy", "repeat"}
_UFUNCS = {"add": "add", "sub": "subtract", "mul": "multiply", "truediv": "divide", "mod": "remainder"}
_UFUNCS |= {"floordiv": "floor_divide", "lt": "less", "le": "less_equal", "gt": "greater", "ge": "greater_equal"}
_UFUNCS |= {"eq": "equal", "ne": "not_equal", "and": "bitwise_and", "or": "bitwise_or", "xor": "bitwise_xor"}
_UFUNCS |= {"matmul": "matmul"}


def _operators() -> None:
    def define(name: str, ufunc: Any) -> None:
        plain = getattr(operator, {"and": "and_", "or": "or_"}.get(name, name))

        def call(self: Traced, other: Any) -> Any:
            if hasattr(other, "level"):
                return NotImplemented
            return self.recorder.record(plain if _numbers(self, other) else ufunc, (self, other), {})

        def reflected(self: Traced, other: Any) -> Any:
            return self.recorder.record(plain if _numbers(self, other) else ufunc, (other, self), {})

        def in_place(self: Traced, other: Any) -> Any:
            if isinstance(self.value, numpy.ndarray):
                raise TraceError("an array is not changed in place in a compiled function: write x = x + y for x += y")
            return call(self, other)

        setattr(Traced, f"__{name}__", call)
        if name not in ("lt", "le", "gt", "ge", "eq", "ne"):
            setattr(Traced, f"__r{name}__", reflected)
            setattr(Traced, f"__i{name}__", in_place)

    for name, full in _UFUNCS.items():
        define(name, getattr(numpy, full))


def _any_tensor(x: Any) -> bool:
    """True where a tensor stands among the arguments, at any depth."""
    if isinstance(x, dict):
        x = list(x.values())
    return any(map(_any_tensor, x)) if isinstance(x, list | tuple) else hasattr(x, "level")


def _numbers(a: Traced, b: Any) -> bool:
    return a.is_number and (type(b) in _NUMBERS or (type(b) is Traced and b.is_number))


_operators()
_KNOWN_FROM_SHAPES = {numpy.zeros_like, numpy.ones_like, numpy.shape, numpy.ndim, numpy.size}


def values(x: Any) -> Any:
    """``x`` with what was traced replaced by this run's values."""
    return _replaced(x, lambda t: t.value)


def _replaced(x: Any, new: Callable[[Traced], Any]) -> Any:
    if type(x) is Traced:
        return new(x)
    if type(x) in (list, tuple):
        return type(x)([_replaced(item, new) for item in x])
    if type(x) is dict:
        return {key: _replaced(item, new) for key, item in x.items()}
    return x


def traced_in(x: Any) -> list[Traced]:
    """What is traced in the arguments of a call."""
    return _all_of(Traced, x)


def nodes_in(x: Any) -> list[Node]:
    """The nodes in the arguments of a step."""
    return _all_of(Node, x)


def arrays_in(x: Any) -> list[Any]:
    """The constant arrays in the arguments of a step."""
    return _all_of(numpy.ndarray, x)


def _all_of(kind: type, x: Any) -> list[Any]:
    if type(x) is kind:
        return [x]
    if isinstance(x, dict):
        x = list(x.values())
    return [t for item in x for t in _all_of(kind, item)] if isinstance(x, list | tuple) else []


def nodes(x: Any) -> Any:
    """``x`` with nodes for what was traced."""
    return _replaced(x, lambda t: t.node)
