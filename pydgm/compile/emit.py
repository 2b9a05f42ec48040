"""Emit: the planned steps as one straight-line Python function that one can read, and run.

What runs makes the same calls in the same order, spelled so that NumPy reads them faster: :meth:`Writer.quick_call`. Both
texts are shown, as ``source`` and ``fast_source``, and differ in spelling alone: ``np.add(x, y, out=z)`` runs as ``_add(x, y,
z)``, and a number beside a float32 array as an array of its dtype. For a flow of 400 calls on small arrays that is a tenth of
the time.
"""

from __future__ import annotations

import keyword
import linecache
import math
import operator
import re
import weakref
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy

from .. import backend
from .plan import COPIES, REDUCTIONS, Plan
from .simplify import identity
from .traced import Draw, Node, Step

_INFIX = {operator.add: "+", operator.sub: "-", operator.mul: "*", operator.truediv: "/", operator.pow: "**"}
_INFIX |= {operator.mod: "%", operator.floordiv: "//", operator.and_: "&", operator.or_: "|", operator.xor: "^"}
_INFIX |= {operator.lt: "<", operator.le: "<=", operator.gt: ">", operator.ge: ">=", operator.eq: "==", operator.ne: "!="}
_RESHAPES = {numpy.reshape, numpy.expand_dims, numpy.squeeze}
_REDUCE = {numpy.sum: "np.add.reduce", numpy.max: "np.maximum.reduce", numpy.min: "np.minimum.reduce"}
assert set(_REDUCE) == REDUCTIONS


class Row(NamedTuple):
    """A line of the source, as it is run, and the step that it makes; comments and the return make none."""

    text: str
    quick: str
    step: Step | None


class Written(NamedTuple):
    """A program: the function, which takes the inputs' values and returns the list of the outputs', its source, and the
    spelling of it that runs; its lines one by one; what it names and does not define."""

    run: Callable[..., list[Any]]
    source: str
    fast_source: str
    rows: list[Row]
    constants: dict[str, Any]


class Writer:
    """Names for values, text for calls."""

    def __init__(self, plan: Plan, title: str) -> None:
        self.plan, self.title = plan, title
        self.names: dict[int, str] = {}
        self.taken: set[str] = {"np", "backend", "operator", "float", "abs", "slice", "program"}
        self.times: dict[str, int] = {}  # how often a name was asked for
        self.space: dict[str, Any] = {"np": numpy, "backend": backend, "operator": operator}
        self.constants: dict[Any, str] = {}
        self.heads: list[str] = []
        self.lines: list[str] = []
        self.quick_lines: list[str] = []
        self.rows: list[Row] = []

    def fresh(self, wanted: str) -> str:
        """``wanted`` as an identifier that is not taken yet."""
        name = re.sub(r"\W+", "_", wanted).strip("_") or "x"
        name = f"x_{name}" if keyword.iskeyword(name) or name[0].isdigit() else name
        unique = name
        while unique in self.taken:
            self.times[name] = self.times.get(name, 1) + 1
            unique = f"{name}_{self.times[name]}"
        self.taken.add(unique)
        return unique

    def text(self, x: Any) -> str:
        """An argument: a value's name, a literal, or a constant's name."""
        if type(x) is Node:
            return self.names[id(self.plan.resolve(x))]
        if isinstance(x, tuple):
            return f"({', '.join(map(self.text, x))}{',' if len(x) == 1 else ''})"
        if isinstance(x, list):
            return f"[{', '.join(map(self.text, x))}]"
        if x is Ellipsis:
            return "..."
        if isinstance(x, slice):
            return f"slice({self.text(x.start)}, {self.text(x.stop)}, {self.text(x.step)})"
        if x is None or (type(x) in (bool, int, float, str) and _literal(x)):
            return repr(x)
        if isinstance(x, numpy.dtype) or (isinstance(x, type) and issubclass(x, numpy.generic)):
            dtype = numpy.dtype(x)
            if dtype.isnative and getattr(numpy, dtype.name, None) is dtype.type:
                return f"np.{dtype.name}"
        key = identity(x)
        if key not in self.constants:
            self.constants[key] = self.fresh(
                "constant" if isinstance(x, numpy.ndarray | numpy.generic) else type(x).__name__.lower()
            )
            self.space[self.constants[key]] = x
        return self.constants[key]

    def call(self, step: Step, into: str | None) -> str:
        """The right-hand side of a step."""
        function = step.function
        args = [self.text(x) for x in step.args]
        if function in _INFIX:
            left, right = (f"({x})" if x.startswith("-") else x for x in args)
            return f"{left} {_INFIX[function]} {right}"
        if function is float:
            return f"float({args[0]})"
        if function is operator.abs:
            return f"abs({args[0]})"
        if function is operator.neg:
            return f"-{args[0]}"
        if function is operator.getitem or function is backend.index:
            return f"{args[0]}[{_key(step.args[1], args[1], self)}]"
        if isinstance(function, Draw):
            name = self.text(function.generator)
            return f"{name}.draw_now({', '.join([repr(function.method), repr(function.dtype), *args])})"
        is_array = step.out.array  # not a number
        plain = not step.kwargs or function is not numpy.reshape  # np.reshape(x, shape, order=...) is written as it is
        if function in _RESHAPES and plain and len(args) <= 2 and is_array and getattr(step.args[0], "array", False):
            view = f"{args[0]}.reshape({step.out.shape})"
            return view if id(step.out) in self.plan.views else f"np.array({view})"
        if function is numpy.transpose and is_array and len(args) == 1 and not step.kwargs:
            return f"{args[0]}.T"
        if function is numpy.transpose and len(args) == 2 and isinstance(step.args[1], tuple):
            axes = step.args[1]
            return f"{args[0]}.T" if tuple(axes) == tuple(range(len(axes)))[::-1] else f"{args[0]}.transpose({args[1]})"
        if function in COPIES and is_array:
            if function is backend.repeated:
                return f'np.array(np.broadcast_to({args[0]}, {args[1]}), {self.text(step.out.dtype)}, order="C")'
            if len(args) == 2 and not step.kwargs:
                return f"np.array({args[0]}, {self.text(step.out.dtype)})"
        named = [f"{key}={self.text(value)}" for key, value in step.kwargs.items()] + ([f"out={into}"] if into else [])
        if function in _REDUCE and len(args) == 1:
            return f"{_REDUCE[function]}({', '.join([args[0], *(named if 'axis' in step.kwargs else ['axis=None', *named])])})"
        return f"{self.function_name(function)}({', '.join([*args, *named])})"

    def quick_call(self, step: Step, into: str | None) -> str | None:
        """The same call in the form that NumPy reads fastest: ``out`` by position, a number as an array of its dtype."""
        function = step.function
        if not _is_numpys(function) or step.kwargs:
            return None
        arrays = [x for x in step.args if type(x) is Node and x.array and x.dtype.kind == "f"]
        args = []
        for x in step.args:
            if type(x) in (int, float) and len(arrays) == 1 == len(step.args) - 1 and function in _WITH_NUMBERS:
                args.append(self.hidden(f"number{len(self.space)}", numpy.array(x, arrays[0].dtype)))
            else:
                args.append(self.text(x))
        if into is not None:
            args.append(f"out={into}" if function in (numpy.maximum, numpy.minimum) else into)  # these two insist on the word
        return f"{self.hidden(function.__name__, function)}({', '.join(args)})"

    def hidden(self, name: str, x: Any) -> str:
        """A name that no value has: theirs do not begin with an underscore."""
        self.space[f"_{name}"] = x
        return f"_{name}"

    def line(self, text: str, quick: str | None = None, step: Step | None = None) -> None:
        self.lines.append(text)
        self.quick_lines.append(quick or text)
        self.rows.append(Row(text, quick or text, step))

    def function_name(self, function: Callable[..., Any]) -> str:
        if _is_numpys(function):
            return f"np.{function.__name__}"
        if getattr(function, "__module__", "") in ("numpy", "numpy.linalg") and not isinstance(function, numpy.ufunc):
            return f"{function.__module__.replace('numpy', 'np')}.{function.__name__}"
        key = identity(function)
        if key not in self.constants:
            self.constants[key] = self.fresh(function.__name__)
            self.space[self.constants[key]] = function
        return self.constants[key]


_WITH_NUMBERS = {numpy.add, numpy.subtract, numpy.multiply, numpy.divide, numpy.maximum, numpy.minimum}
_WITH_NUMBERS |= {numpy.less, numpy.less_equal, numpy.greater, numpy.greater_equal, numpy.equal, numpy.not_equal}


def _is_numpys(function: Any) -> bool:
    """True for NumPy's own ufuncs: others may have the same names."""
    return isinstance(function, numpy.ufunc) and getattr(numpy, function.__name__, None) is function


def _literal(x: Any) -> bool:
    """True where repr is a literal: not for infinity and NaN."""
    return not isinstance(x, float) or math.isfinite(x)


def _key(key: Any, text: str, writer: Writer) -> str:
    """An index as one writes it: ``x[2:, ::-1]``."""
    parts = []
    for k in key if isinstance(key, tuple) else (key,):
        if isinstance(k, slice):
            ends = [("" if end is None else writer.text(end)) for end in (k.start, k.stop)]
            parts.append(":".join(ends) + ("" if k.step is None else f":{writer.text(k.step)}"))
        else:
            parts.append(writer.text(k))
    if isinstance(key, tuple) and len(parts) == 1:
        return f"{parts[0]},"
    return ", ".join(parts) if parts else "()"


def _title(step: Step) -> str:
    function = step.function
    if isinstance(function, Draw):
        return "noise"
    return str(getattr(function, "__name__", "value")).strip("_")


def emit(plan: Plan, inputs: list[Node], outputs: list[Any], title: str) -> Written:
    """The plan, written down."""
    w = Writer(plan, title)
    for t in inputs:
        w.names[id(t)] = w.fresh(t.name)
    buffers: list[str] = []
    for prototype in plan.buffers:
        name = w.fresh(f"buffer_{len(buffers)}")
        shape, turned = _memory_order(prototype)
        made = f"np.empty({shape}, {w.text(prototype.dtype)})"
        w.heads.append(f"{name} = {made}{'' if turned == sorted(turned) else f'.transpose({turned})'}")
        w.space[name] = numpy.empty(shape, prototype.dtype).transpose(turned)
        buffers.append(name)
    line = ""
    for step, into in plan.steps:
        if step.out.line != line:
            line = step.out.line
            w.line(f"# {line}")
        target = None if into is None else buffers[into] if isinstance(into, int) else w.names[id(into)]
        copied = step.function in COPIES and target is not None
        right = f"{target}" if copied else w.call(step, target)
        quick = None if copied else w.quick_call(step, target)
        if copied:
            w.line(f'np.copyto({target}, {w.text(step.args[0])}, casting="unsafe")', step=step)
        name = w.names[id(step.out)] = w.fresh(step.out.name or _title(step))
        w.line(f"{name} = {right}", quick and f"{name} = {quick}", step)
    # a constant that is returned, or one of two results that were merged, is the caller's to change: a copy each time
    made_twice = [type(x) is Node and x.array and plan.resolve(x) is not x for x in outputs]
    copies = [isinstance(x, numpy.ndarray) or twice for x, twice in zip(outputs, made_twice, strict=True)]
    results = [f"{w.text(x)}.copy()" if copied else w.text(x) for x, copied in zip(outputs, copies, strict=True)]
    parameters = ", ".join(w.names[id(t)] for t in inputs)
    known = [f"# {name}: {_described(w.space[name])}" for name in w.constants.values()]
    w.line(f"return [{', '.join(results)}]")
    head = f"def {w.fresh(title)}({parameters}):"
    source = "\n".join(["import numpy as np", "", *known, *w.heads, "", "", "\n    ".join([head, *w.lines]), ""])
    run = "\n    ".join([f"def program({parameters}):", *w.quick_lines, ""])
    file = f"<compiled {title} {id(plan)}>"
    linecache.cache[file] = (len(run), None, run.splitlines(keepends=True), file)
    exec(compile(run, file, "exec"), w.space)
    weakref.finalize(w.space["program"], linecache.cache.pop, file, None)  # its lines go when it goes
    return Written(w.space["program"], source, run, w.rows, {name: w.space[name] for name in w.constants.values()})


def _memory_order(node: Node) -> tuple[tuple[int, ...], list[int]]:
    """The shape of an array for values like this one, its axes in the order of their strides, and how to turn them back."""
    axes = sorted(range(len(node.shape)), key=lambda i: -node.strides[i])
    return tuple([node.shape[i] for i in axes]), [axes.index(i) for i in range(len(axes))]


def _described(x: Any) -> str:
    if isinstance(x, numpy.ndarray):
        return f"a constant array, {x.shape} {x.dtype}"
    return (
        f"a constant, {x!r}"
        if isinstance(x, numpy.generic | float)
        else f"{getattr(x, '__module__', type(x).__module__)}.{getattr(x, '__name__', type(x).__name__)}"
    )
