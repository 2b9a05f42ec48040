"""Record: run a function once and write down every array call it makes.

The arguments' arrays are wrapped in :class:`Traced`, which sits below every tensor: derivatives, optimisers and nested
gradients run on it as on any array, and NumPy's own dispatch protocols (``__array_ufunc__``, ``__array_function__``) hand
each call to the recorder. A call is made for real, so shapes and dtypes are those of a real run, and noted as a
:class:`Step`.
"""

from __future__ import annotations

import functools
import gc
import operator
import threading
import weakref
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy

from .. import backend
from ..backend import fingerprint
from ..errors import TaughtError, caller


class TraceError(TaughtError, RuntimeError):
    """A recorded function did what a fixed program cannot repeat."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        notes = backend.recorder()
        if notes is not None and notes.refused is None:
            notes.refused = self  # stands, also where the function catches it


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

    @classmethod
    def like(cls, other: Node) -> Node:
        """A value of the same kind, in memory of its own."""
        node = cls(numpy.empty(other.shape, other.dtype), line=other.line)
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
            raise AttributeError(f"a traced {type(self.value).__name__} has no attribute {name!r} {caller()}")
        function = getattr(numpy, name)
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
            return function(*_values(args), **_values(kwargs))
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
            "float(), int() or NumPy conversion; use dgm.where, or return the value"
        )

    __bool__ = __float__ = __int__ = __index__ = __complex__ = __array__ = __format__ = item = tolist = _no_value

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


_SELECTING = {numpy.nonzero, numpy.flatnonzero, numpy.argwhere, numpy.unique, numpy.compress, numpy.extract, numpy.bincount}
_SELECTING |= {numpy.intersect1d, numpy.union1d, numpy.setdiff1d, numpy.setxor1d, numpy.trim_zeros, numpy.histogram_bin_edges}
_SELECTING |= {numpy.unique_all, numpy.unique_counts, numpy.unique_inverse, numpy.unique_values}


def _shape_depends_on_values(function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """True for masks, and for NumPy's functions that return as many numbers as they find."""
    if function in (backend.index, backend.scatter_add):
        return any(not t.is_number and t.dtype == bool for t in traced_in(args[1:2]))
    if function in (numpy.repeat, numpy.delete, numpy.insert):
        return bool(traced_in(args[1:]) or traced_in(kwargs))
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


_SAMPLE = 1 << 18  # numbers of a constant array that are looked at


def refuse_subclass(x: Any, name: str) -> None:
    """Masked arrays and matrices have arithmetic of their own, which a program of NumPy calls does not keep."""
    if isinstance(x, numpy.ndarray) and type(x) not in (numpy.ndarray, numpy.memmap):
        raise TraceError(f"{name} is a {type(x).__name__}: a compiled function takes plain arrays, np.asarray(x)")


def _base(value: Any) -> Any:
    while isinstance(value, numpy.ndarray) and isinstance(value.base, numpy.ndarray):
        value = value.base
    return value


class Recorder:
    """The steps of one run, in order."""

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self.generators: dict[int, tuple[Any, Any]] = {}  # each generator that was used, and its state before
        self.thread = threading.get_ident()
        self.refused: TraceError | None = None
        self.made: list[weakref.ref[Traced]] = []
        self.errstate = numpy.geterr()
        self.constants: dict[int, tuple[Any, int, str]] = {}
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
        if kwargs.get("out") is not None or (function is numpy.nan_to_num and kwargs.get("copy") is False):
            raise TraceError(f"np.{function.__name__} writes into an array, and a compiled function leaves arrays as they are")
        if _shape_depends_on_values(function, args, kwargs):
            raise TraceError(
                f"{function.__name__}: the shape of the result depends on the values of a traced array, and a program has "
                "fixed shapes; use dgm.where, or select outside of the compiled function"
            )
        value = function(*_values(args), **_values(kwargs))
        same = next((t for t in traced_in(args) if value is t.value), None)
        if same is not None and isinstance(value, numpy.ndarray):
            return same  # np.asarray(x) is x
        if value is None or (isinstance(value, numpy.ndarray) and any(value is x for x in args)):
            raise TraceError(f"{function.__name__} writes into an array, and a compiled function leaves arrays as they are")
        if isinstance(value, tuple | list):
            together = self._note(function, args, kwargs, value, args)
            items = [self._note(operator.getitem, (together, i), {}, item, args) for i, item in enumerate(value)]
            return type(value)(*items) if hasattr(value, "_fields") else type(value)(items)
        return self._note(function, args, kwargs, value, args)

    def _note(self, function: Any, args: Any, kwargs: Any, value: Any, sources: Any) -> Traced:
        """Write the call down. ``sources``: whose memory the result may show."""
        line = f"derivative of {self.derived}" if self.derived else caller().removeprefix("at ")
        if numpy.geterr() != self.errstate:
            raise TraceError("np.errstate inside a compiled function is not repeated: put it around the call")
        shown = None
        if isinstance(value, numpy.ndarray):
            owner = _base(value)
            shown = next((t.node for t in traced_in(sources) if _base(t.value) is owner), None)
        out = Traced(value, self, Node(value, line=line, view_of=shown))
        self._remember((args, kwargs), line)
        self.steps.append(Step(function, nodes(args), nodes(kwargs), out.node))
        return out

    def _remember(self, x: Any, line: str) -> None:
        """Constant arrays that go into the program: they must still be the same when recording ends."""
        if type(x) is Traced:
            return
        if isinstance(x, dict):
            x = list(x.values())
        if isinstance(x, list | tuple):
            for item in x:
                self._remember(item, line)
        elif isinstance(x, numpy.ndarray) and id(x) not in self.constants:
            refuse_subclass(x, "an array of an outer scope")
            self.constants[id(x)] = (x, fingerprint(x, _SAMPLE), line)

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

    def check_constants(self) -> None:
        """Raise where an array changed after it went into the program."""
        for array, mark, line in self.constants.values():
            if fingerprint(array, _SAMPLE) != mark:
                raise TraceError(
                    f"an array that was used at {line} was changed in place afterwards, while the function was recorded: make "
                    "a new one instead"
                )

    def check_escapes(self, returned: set[int]) -> None:
        """Raise where somebody still holds a traced value that was not ``returned`` (the ids of those that were)."""
        for collected in (False, True):
            if collected:
                gc.collect()  # what stood in a circle
            held = [t for t in (ref() for ref in self.made) if t is not None and id(t) not in returned]
            if not held:
                return
        line = held[0].node.line or f"argument {held[0].node.name}"
        raise TraceError(
            f"a value of the compiled function was kept outside of it ({line}): there it would stay what it was at the first "
            "call; return it instead"
        )

    def restore(self) -> None:
        """Put the generators back to where they were."""
        for generator, state in self.generators.values():
            generator.restore(state)
