"""Record: run a function once and write down every array call it makes.

The arguments' arrays are wrapped in :class:`Traced`, which sits below every tensor: derivatives, optimisers and nested
gradients run on it as on any array, and NumPy's own dispatch protocols (``__array_ufunc__``, ``__array_function__``) hand
each call to the recorder. A call is made for real, so shapes and dtypes are those of a real run, and noted as a
:class:`Step`.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy

from .. import backend
from ..errors import TaughtError, caller


class TraceError(TaughtError, RuntimeError):
    """A recorded function did what a fixed program cannot repeat."""


class Node:
    """What the program has to know of a value: all but its numbers, so those live no longer than in an ordinary run."""

    __slots__ = ("array", "dtype", "line", "name", "owns", "shape", "strides", "view_of")

    def __init__(self, value: Any, name: str = "", line: str = "", view_of: Node | None = None) -> None:
        self.array = isinstance(value, numpy.ndarray)  # and no single number
        self.shape = getattr(value, "shape", ())
        self.dtype: Any = getattr(value, "dtype", None)
        self.strides = value.strides if self.array else ()
        self.owns = getattr(value, "base", None) is None
        self.name, self.line, self.view_of = name, line, view_of

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

    def __init__(self, value: Any, recorder: Recorder, node: Node) -> None:
        self.value, self.recorder, self.node = value, recorder, node

    @property
    def is_number(self) -> bool:
        """A Python float, which follows Python's arithmetic and takes on the dtype of what it meets."""
        return isinstance(self.value, float) and not isinstance(self.value, numpy.generic)

    shape = property(lambda self: getattr(self.value, "shape", ()))
    dtype = property(lambda self: getattr(self.value, "dtype", "python float"))
    ndim = property(lambda self: getattr(self.value, "ndim", 0))
    size = property(lambda self: getattr(self.value, "size", 1))
    device = property(lambda self: self.value.device)
    T = property(lambda self: numpy.transpose(self))
    mT = property(lambda self: numpy.matrix_transpose(self))  # noqa: N815

    def __len__(self) -> int:
        return len(self.value)

    def __iter__(self) -> Any:
        return (self[i] for i in range(len(self)))

    def __repr__(self) -> str:
        return f"Traced({self.shape} {self.dtype})"

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        if any(hasattr(x, "level") for x in inputs):
            return NotImplemented  # a tensor knows what to do
        if method == "__call__" and "out" not in kwargs:
            return self.recorder.record(ufunc, inputs, kwargs)
        raise TraceError(f"np.{ufunc.__name__}.{method} with {list(kwargs)} cannot be recorded")

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        if function in _KNOWN_FROM_SHAPES:
            return function(*_values(args), **_values(kwargs))
        return self.recorder.record(function, args, kwargs)

    def __getitem__(self, key: Any) -> Any:
        return self.recorder.record(backend.index, (self, key), {})

    def __pow__(self, other: Any) -> Any:
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
            "float(), int() or NumPy conversion; use dgm.where, or return the value"
        )

    __bool__ = __float__ = __int__ = __index__ = __complex__ = __array__ = item = tolist = _no_value


def _operators() -> None:
    def binary(name: str, ufunc: Any) -> None:
        plain = getattr(operator, name)

        def call(self: Traced, other: Any) -> Any:
            if hasattr(other, "level"):
                return NotImplemented
            return self.recorder.record(plain if _numbers(self, other) else ufunc, (self, other), {})

        def reflected(self: Traced, other: Any) -> Any:
            return self.recorder.record(plain if _numbers(self, other) else ufunc, (other, self), {})

        setattr(Traced, f"__{name}__", call)
        setattr(Traced, f"__r{name}__", reflected)

    for name, ufunc in (("add", numpy.add), ("sub", numpy.subtract), ("mul", numpy.multiply), ("truediv", numpy.divide)):
        binary(name, ufunc)
    for name in ("lt", "le", "gt", "ge", "eq", "ne", "and", "or", "matmul", "mod", "floordiv"):
        known = {"lt": "less", "le": "less_equal", "gt": "greater", "ge": "greater_equal", "eq": "equal", "ne": "not_equal"}
        known |= {"and": "bitwise_and", "or": "bitwise_or", "matmul": "matmul", "mod": "remainder", "floordiv": "floor_divide"}
        ufunc = getattr(numpy, known[name])
        setattr(Traced, f"__{name}__", lambda self, other, f=ufunc: _unless_tensor(self, f, other))
        if name in ("and", "or", "matmul"):
            setattr(Traced, f"__r{name}__", lambda self, other, f=ufunc: self.recorder.record(f, (other, self), {}))


def _unless_tensor(self: Traced, ufunc: Any, other: Any) -> Any:
    return NotImplemented if hasattr(other, "level") else self.recorder.record(ufunc, (self, other), {})


def _numbers(a: Traced, b: Any) -> bool:
    return a.is_number and (isinstance(b, int | float) or (type(b) is Traced and b.is_number))


_operators()
_KNOWN_FROM_SHAPES = {numpy.zeros_like, numpy.ones_like, numpy.shape, numpy.ndim, numpy.size}


_SELECTING = {numpy.nonzero, numpy.flatnonzero, numpy.argwhere, numpy.unique, numpy.compress, numpy.extract}


def _shape_depends_on_values(function: Any, args: tuple[Any, ...]) -> bool:
    """True for masks, and for NumPy's functions that return as many numbers as they find."""
    if function in (backend.index, backend.scatter_add):
        return any(t.dtype == bool for t in traced_in(args[1:2]))
    if function is numpy.repeat:
        return bool(traced_in(args[1:]))
    return function in _SELECTING or (function is numpy.where and len(args) == 1)


def _values(x: Any) -> Any:
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


def _all_of(kind: type, x: Any) -> list[Any]:
    if type(x) is kind:
        return [x]
    if isinstance(x, dict):
        x = list(x.values())
    return [t for item in x for t in _all_of(kind, item)] if isinstance(x, list | tuple) else []


def nodes(x: Any) -> Any:
    """``x`` with nodes for what was traced."""
    return _replaced(x, lambda t: t.node)


def _base(value: Any) -> Any:
    while isinstance(value, numpy.ndarray) and isinstance(value.base, numpy.ndarray):
        value = value.base
    return value


class Recorder:
    """The steps of one run, in order."""

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self.generators: dict[int, tuple[Any, Any]] = {}  # each generator that was used, and its state before
        self.open = True
        self.derived = ""  # while a derivative is computed: the line of what it is the derivative of

    def traces(self, args: Any) -> bool:
        return bool(traced_in(args))

    def input(self, value: Any, name: str) -> Traced:
        return Traced(value, self, Node(value, name))

    def record(self, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Make the call, note it, return its result as traced."""
        for t in traced_in(args):
            if t.recorder is not self or not self.open:
                raise TraceError(
                    f"a traced value escaped from the compiled function that made it, and was used again {caller()}"
                )
        if _shape_depends_on_values(function, args):
            raise TraceError(
                f"{function.__name__}: the shape of the result depends on the values of a traced array, and a program has "
                "fixed shapes; use dgm.where, or select outside of the compiled function"
            )
        value = function(*_values(args), **_values(kwargs))
        if type(value) is tuple or hasattr(value, "_fields"):
            together = self._note(function, args, kwargs, value)
            return [self.record(operator.getitem, (together, i), {}) for i in range(len(value))]
        out = self._note(function, args, kwargs, value)
        if function is not float and isinstance(value, numpy.float64) and all(t.is_number for t in traced_in(args)):
            return self.record(float, (out,), {})  # np.cos of a Python float: on as a Python float
        return out

    def _note(self, function: Any, args: Any, kwargs: Any, value: Any) -> Traced:
        line = f"derivative of {self.derived}" if self.derived else caller().removeprefix("at ")
        shown = None
        if isinstance(value, numpy.ndarray):
            owner = _base(value)
            shown = next((t.node for t in traced_in(args) if _base(t.value) is owner), None)
        out = Traced(value, self, Node(value, line=line, view_of=shown))
        self.steps.append(Step(function, nodes(args), nodes(kwargs), out.node))
        return out

    def deriving(self, value: Any) -> None:
        """What follows is the derivative of ``value``, until this is called with ``None``."""
        self.derived = value.node.line.removeprefix("derivative of ") if type(value) is Traced else ""

    def name_gradients(self, inputs: list[Any], gradients: list[Any]) -> None:
        """The gradient of ``model_weight`` is called ``model_weight_grad``."""
        for x, g in zip(inputs, gradients, strict=True):
            if type(x) is Traced and type(g) is Traced and x.node.name and not g.node.name:
                g.node.name = f"{x.node.name}_grad"

    def draw(self, generator: Any, method: str, dtype: str, *arguments: Any) -> Traced:
        """A generator's draw. Its state is put back when recording ends: the program then draws the same again."""
        if id(generator) not in self.generators:
            self.generators[id(generator)] = (generator, generator.state())
        drawn: Traced = self.record(Draw(generator, method, dtype), arguments, {})
        return drawn

    def close(self) -> None:
        self.open = False
        for generator, state in self.generators.values():
            generator.restore(state)
