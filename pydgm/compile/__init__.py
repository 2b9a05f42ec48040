"""Compiled steps: a function recorded once and repeated as straight-line NumPy that one can read.

``step = dgm.compile(f)`` behaves like ``f``, faster; ``print(step.source)`` shows the back-propagation that one would have
written by hand.
"""

from __future__ import annotations

import enum
import functools
import gc
import inspect
import numbers
import os
import threading
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import numpy

from .. import backend, files, trees
from ..autodiff.debug import debugging
from ..autodiff.tensor import Tensor
from ..errors import ArgumentError, caller, kind_text
from ..random import Generator, states_before
from . import show
from .donate import copied, is_spent, owner, separate, spend
from .emit import emit
from .plan import plan
from .program import Program
from .record import Recorder, refuse_subclass
from .selfcheck import first_difference, parted
from .traced import Node, Step, Traced, TraceError, nodes
from .unpack import constants_in, exactly, packer, unpacker
from .watch import Noise, check, constants_of, watch

__all__ = ["Compiled", "TraceError", "compile", "eager"]

_eager: ContextVar[bool] = ContextVar("pydgm_eager", default=os.environ.get("PYDGM_EAGER", "0") not in ("", "0"))


@contextmanager
def eager() -> Iterator[None]:
    """While this is on, compiled functions run as they were written: for a debugger, or to compare. In this thread alone."""
    token = _eager.set(True)
    try:
        yield
    finally:
        _eager.reset(token)


class Compiled:
    """A function and the programs it has been compiled to, one for each kind of arguments it was called with."""

    def __init__(self, function: Callable[..., Any], donate: tuple[int, ...], check: bool = True) -> None:
        self.function, self.donate, self.check = function, donate, check
        if any(n < 0 for n in donate):
            raise ValueError(f"compile: donate names arguments by their position, from 0; got {donate}")
        self.traces = 0
        self._calls = self._checks = 0
        self._last_donated = max(donate, default=-1)
        self._programs: dict[Any, Program] = {}
        self._latest: Program | None = None
        self._lock = threading.Lock()  # a program's buffers serve one call at a time
        self.__doc__, self.__name__ = function.__doc__, getattr(function, "__name__", "function")
        self.__wrapped__ = function  # whose parameters it has

    @property
    def calls(self) -> int:
        """How often a compiled program has run: calls that run as they are written do not count."""
        return self._calls

    @property
    def source(self) -> str:
        """The program that ran last, as Python; it runs where :attr:`constants` are defined."""
        return self._program.written.source

    @property
    def fast_source(self) -> str:
        """What is executed: the calls of :attr:`source`, one for one, in the spelling that NumPy reads fastest."""
        return self._program.written.fast_source

    def show(self, path: str | os.PathLike[str]) -> None:
        """Write the program that ran last to ``path`` as a page: the lines it was recorded from beside its own, linked both
        ways, with shapes, bytes and measured times (:mod:`pydgm.compile.show`). A notebook shows it as it is."""
        place = Path(path)
        text = show.page(self._program, self.__name__)
        files.write(place.parent, {place.name: lambda file: file.write(text.encode())})

    def _repr_html_(self) -> str | None:
        return None if self._latest is None else show.in_frame(show.page(self._latest, self.__name__))

    @property
    def constants(self) -> dict[str, Any]:
        """What :attr:`source` names and does not define: arrays of the outer function, generators."""
        return self._program.written.constants

    @property
    def recorded(self) -> tuple[list[Node], list[Step]]:
        """The inputs of the program that ran last, and its steps as they were recorded: what checks look at."""
        return self._program.inputs, self._program.steps

    @property
    def _program(self) -> Program:
        if self._latest is None:
            off = _eager.get() or not backend.xp.library.compiles
            why = (
                "compilation is switched off, or the array library is not NumPy"
                if off
                else "it is recorded when it is first called"
            )
            raise TraceError(f"{self.__name__} has no program{'' if off else ' yet'}: {why}")
        return self._latest

    def __call__(self, *args: Any, **named: Any) -> Any:
        if named or len(args) <= self._last_donated:
            bound = inspect.signature(self.function).bind(*args, **named)
            by_name = [p.name for p in bound.signature.parameters.values() if p.kind in (p.KEYWORD_ONLY, p.VAR_KEYWORD)]
            given = [name for name in by_name if name in bound.arguments]
            if given:
                raise TypeError(f"{self.__name__}: a compiled function takes no keyword-only arguments, {given} {caller()}")
            bound.apply_defaults()
            args = bound.args
        if _eager.get() or debugging() or backend.recorder() is not None or not backend.xp.library.compiles:
            return self.function(*args)
        program = self._latest
        leaves = None if program is None else program.unpack(args)
        if program is None or leaves is None:
            leaves, structure = trees.flatten(args)
            kinds = tuple([_kind(x) for x in leaves])
            if Tensor in kinds:  # inside a transformation: its derivative is wanted, so it runs as it is written
                return self.function(*args)
            with self._lock:
                key = (exactly(structure), kinds)
                program = self._programs.get(key)
                if program is None:
                    program = self._programs[key] = self._record(leaves, structure, kinds)
        with self._lock:
            self._latest = program
            check(program.watched, self.__name__)
            self._refuse_spent(args, leaves)
            program.calls += 1
            self._calls += 1
            if program.calls & (program.calls - 1) == 0 and program.calls > 1:
                program.unchecked = self.check
            if program.unchecked and self._checks < max(2 * self._calls.bit_length(), self._calls // 50):
                return self._checked(program, args, leaves)
            given = [leaves[i] for i in program.donated]
            if given:
                separate(leaves, program)
                spend(given)  # also where the program raises: it may have written over them by then
            results = program.run(*leaves)
            if given:
                ids = {id(x) for x in given}
                results = [r.view() if id(r) in ids else r for r in results]
        return program.pack(results)

    def __get__(self, instance: Any, owner: type) -> Any:
        """Compiled methods bind like any other: the instance is the first argument."""
        return self if instance is None else types.MethodType(self, instance)

    def _checked(self, program: Program, args: tuple[Any, ...], leaves: list[Any]) -> Any:
        """The results of a call that is also made as the function is written: both must agree, or nothing has happened."""
        before = [(generator, generator.state()) for generator in program.generators]
        drawn: dict[int, tuple[Any, Any]] = {}  # also what is not among the program's
        try:
            with eager(), states_before(drawn), _uncollected():
                expected = self.function(*args)
            after = [generator.state().tobytes() for generator, _ in before]
            for generator, state in before:
                generator.restore(state)
            own = [copied(x) if i in program.donated else x for i, x in enumerate(leaves)]
            results = program.run(*own)
            packed = program.pack(results)
            difference = parted(expected, packed)
            if after != [generator.state().tobytes() for generator, _ in before]:  # another number of draws
                difference = -1, False
            if difference is not None:
                self._explain(program, args, leaves, before, *difference)
        except BaseException:
            program.calls, self._calls = program.calls - 1, self._calls - 1  # as if it had not been
            for generator, state in [*drawn.values(), *before]:
                generator.restore(state)
            raise
        spend([leaves[i] for i in program.donated])
        program.unchecked = False  # before, the next call is checked again
        self._checks += 1
        return packed

    def _explain(
        self, program: Program, args: tuple[Any, ...], leaves: list[Any], before: list[Any], result: int, rounding: bool
    ) -> None:
        """Raise :class:`TraceError` with the line that is not what was recorded; or return, where only rounding differs."""
        now = [(generator, generator.state()) for generator, _ in before]
        for generator, state in before:
            generator.restore(state)
        try:
            recorder, inputs, _, _ = self._trace(leaves, trees.flatten(args)[1])
            line = first_difference(program.steps, program.inputs, recorder.steps, nodes(inputs))
        except TraceError as error:
            line = str(error)
        for generator, state in now:
            generator.restore(state)
        if line is None and rounding:  # a library that adds in another order from call to call
            return
        if line is None:
            values = [x for x in program.outputs if type(x) is Node and x.array]
            its_line = values[result].line if 0 <= result < len(values) == len(program.outputs) else ""
            line = (
                f"{its_line}: run as it is written it gives another result"
                if its_line
                else "it returns another text or number, or draws other noise, than when it was recorded"
            )
        raise TraceError(
            f"{self.__name__} no longer does what was recorded at its first call: {line}. A compiled "
            "function may depend on its arguments and its generators alone; a number or an attribute that changes outside, a "
            "counter, numpy.random or a test of an argument's kind is frozen: pass it as an argument"
        )

    def _trace(self, leaves: list[Any], structure: trees.Structure) -> tuple[Recorder, list[Any], list[Any], trees.Structure]:
        """The function run once, written down: with its inputs, and the leaves and the structure of its result."""
        recorder, noise = Recorder(_CODE), Noise(self.function)
        backend.recorders.append(recorder)
        try:
            names = trees.argument_paths(self.function, structure)
            for x, name in zip(leaves, names, strict=True):
                refuse_subclass(x, name)
            inputs = [recorder.input(x, name) for x, name in zip(leaves, names, strict=True)]
            result = self.function(*trees.unflatten(structure, list(inputs)))
            outputs, out_structure = trees.flatten(result)
            del result
        finally:
            backend.recorders.remove(recorder)
            recorder.open = False
            recorder.restore()
        if recorder.refused is not None:
            raise recorder.refused
        recorder.check_constants()
        recorder.check_escapes({id(t) for t in (*inputs, *outputs)})
        noise.refuse()
        return recorder, inputs, outputs, out_structure

    def _record(self, leaves: list[Any], structure: trees.Structure, kinds: tuple[Any, ...]) -> Program:
        for name, x in constants_in(structure, trees.argument_names(self.function, len(structure.children))):
            if not isinstance(x, _FIXED):
                raise ArgumentError(
                    f"{self.__name__}: {name} is {kind_text(x)}, whose changes a compiled function would not see: pass arrays, "
                    "numbers, texts, functions, or dicts, lists, tuples and dgm.Modules of these"
                )
        recorder, inputs, outputs, out_structure = self._trace(leaves, structure)
        held = constants_of(recorder)  # before the program holds them, too
        for t, name in zip(outputs, trees.paths(out_structure, "new"), strict=True):
            if type(t) is Traced and not t.node.name:
                t.node.name = name
        inputs, outputs = nodes(inputs), nodes(outputs)  # without the numbers
        self.traces += 1
        starts = _ranges(structure)
        donated = [i for n in self.donate for i in range(starts[n], starts[n + 1]) if isinstance(leaves[i], numpy.ndarray)]
        planned = plan(recorder.steps, outputs, [inputs[i] for i in donated])
        written = emit(planned, inputs, outputs, self.__name__)
        return Program(
            written.run,
            unpacker(structure, kinds),
            packer(out_structure),
            written,
            [i for i, x in enumerate(leaves) if isinstance(x, numpy.ndarray)],
            donated,
            frozenset([owner(x) for x in written.constants.values() if isinstance(x, numpy.ndarray)]),
            watch(self.function) + held,
            inputs,
            recorder.steps,
            outputs,
            [generator for generator, _ in recorder.generators.values()],
        )

    def _refuse_spent(self, args: tuple[Any, ...], leaves: list[Any]) -> None:
        for i, x in enumerate(leaves):
            if is_spent(x):
                name = trees.argument_paths(self.function, trees.flatten(args)[1])[i]
                raise TraceError(
                    f"{self.__name__}: {name} was donated to an earlier call and its memory now holds another value; use what "
                    "that call returned"
                )


_CODE = Compiled._trace.__code__  # the frame inside of which a function is recorded


@contextmanager
def _uncollected() -> Iterator[None]:
    """Without the garbage collector: a graph of thousands of tensors would set it off, and it finds no circles in it."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


# What may be an argument beside leaves: it cannot change, or is what it is by being itself.
_FIXED: tuple[type, ...] = (type(None), bool, int, complex, numbers.Number, str, bytes, range, slice, type(...), enum.Enum)
_FIXED += (type, types.ModuleType, types.FunctionType, types.BuiltinFunctionType, types.MethodType, functools.partial)
_FIXED += (numpy.dtype, numpy.ufunc, type(numpy.sum), frozenset, Generator, Compiled)


def _kind(x: Any) -> Any:
    if type(x) is numpy.ndarray:
        return x.shape, x.dtype, x.strides
    return (x.shape, x.dtype, x.strides, type(x)) if isinstance(x, numpy.ndarray) else type(x)


def _ranges(structure: trees.Structure) -> list[int]:
    """Where the leaves of each argument begin, and where the last ends."""
    starts = [0]
    for child in structure.children:
        starts.append(starts[-1] + len(trees.paths(child)))
    return starts


def compile(function: Callable[..., Any], donate: int | tuple[int, ...] = (), check: bool = True) -> Compiled:
    """``function``, recorded at its first call and from then on repeated as one straight-line program.

    Arguments and results are trees. A call with other shapes, dtypes or structures records anew (``.traces`` counts);
    what is no array and no float (a number of layers, an activation) is part of the structure. Arguments in ``donate``
    are updated in place where the result allows it: use the result, not them, afterwards. Random numbers come from
    generators, as everywhere; each call draws on.

    The function must be a pure function of its arguments and its generators. A program repeats calls on arrays and nothing
    else, so whatever else it uses is what it was at the first call. The three commonest mistakes: a number that changes
    outside (an annealed weight, a counter: pass it as an argument), ``numpy.random`` (draw from a
    :class:`~pydgm.random.Generator`), and ``losses.append(loss)`` (return it). They do not go unnoticed. Refused with the line
    when the function is recorded are: a branch, ``float()`` or a format of a traced value; a shape that depends on values;
    arrays changed in place, also by ``+=`` and ``out=``; a generator made or restored inside; random numbers of other
    libraries; values kept outside. Variables of outer scopes are looked at before each call (:mod:`pydgm.compile.watch`). And
    at calls 2, 4, 8, 16, ... the function also runs as it is written, on the same arguments and noise: where one bit differs,
    :class:`TraceError` names the line that is not what was recorded, and arguments and generators are what they were before the
    call. (Of a function with arguments of many kinds each program is checked so, when its turn comes: all together no more than
    2 log2(n) of n calls, or one in fifty.) ``check=False`` leaves that out.

    Side effects of the function's Python happen when it is recorded and when it is checked. Not seen is a *view* of a donated
    array that is used later. One array passed twice and donated is copied first.
    """
    return Compiled(function, (donate,) if isinstance(donate, int) else tuple(donate), check)
