"""Compiled steps: a function recorded once and repeated as straight-line NumPy that one can read.

``step = dgm.compile(f)`` behaves like ``f``, faster; ``print(step.source)`` shows the back-propagation that one would have
written by hand.
"""

from __future__ import annotations

import inspect
import os
import threading
import weakref
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy

from .. import backend, trees
from ..autodiff.tensor import Tensor, watching_nans
from ..errors import caller
from .emit import emit
from .plan import plan
from .record import Recorder, Traced, TraceError, nodes
from .unpack import exactly, packer, unpacker
from .watch import Watched, check, watch, watch_settings

__all__ = ["Compiled", "TraceError", "compile", "eager"]

_eager: list[bool] = [True] if os.environ.get("PYDGM_EAGER", "0") not in ("", "0") else []
_spent: dict[int, weakref.ref[Any]] = {}  # donated arrays: their memory now holds something else
_MANY = 10_000  # entries, before those of arrays that are gone are swept out


@contextmanager
def eager() -> Iterator[None]:
    """While this is on, compiled functions run as they were written: for a debugger, or to compare."""
    _eager.append(True)
    try:
        yield
    finally:
        _eager.pop()


class Program(NamedTuple):
    """What one recording became."""

    run: Callable[..., list[Any]]
    unpack: Callable[[Any], list[Any] | None]  # arguments to leaves; None if they are not of this program's kind
    pack: Callable[[list[Any]], Any]  # leaves to results
    source: str
    constants: dict[str, Any]  # what the source names and does not define
    arrays: list[int]  # which leaves of the arguments are arrays
    donated: list[int]  # which of them may be written over
    owners: frozenset[int | None]  # the memory of the constants
    watched: list[Watched]  # what the function uses and is not given


class Compiled:
    """A function and the programs it has been compiled to, one for each kind of arguments it was called with."""

    def __init__(self, function: Callable[..., Any], donate: tuple[int, ...]) -> None:
        self.function, self.donate = function, donate
        if any(n < 0 for n in donate):
            raise ValueError(f"compile: donate names arguments by their position, from 0; got {donate}")
        self.traces = 0
        self._last_donated = max(donate, default=-1)
        self._programs: dict[Any, Program] = {}
        self._latest: Program | None = None
        self._lock = threading.Lock()  # a program's buffers serve one call at a time
        self.__doc__, self.__name__ = function.__doc__, getattr(function, "__name__", "function")

    @property
    def source(self) -> str:
        """The program that ran last, as Python; it runs where :attr:`constants` are defined."""
        return self._program.source

    @property
    def constants(self) -> dict[str, Any]:
        """What :attr:`source` names and does not define: arrays of the outer function, generators."""
        return self._program.constants

    @property
    def _program(self) -> Program:
        if self._latest is None:
            raise TraceError(f"{self.__name__} has no program yet: it is recorded when it is first called")
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
        if _eager or watching_nans or backend.recorder() is not None or backend.xp.name != "numpy":
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
            given = [leaves[i] for i in program.donated]
            if given:
                _separate(leaves, program)
                _spend(given)  # also where the program raises: it may have written over them by then
            results = program.run(*leaves)
            if given:
                ids = {id(x) for x in given}
                results = [r.view() if id(r) in ids else r for r in results]
        return program.pack(results)

    def _record(self, leaves: list[Any], structure: trees.Structure, kinds: tuple[Any, ...]) -> Program:
        recorder = Recorder()
        backend.recorders.append(recorder)
        try:
            names = _names(self.function, structure)
            inputs = [recorder.input(x, name) for x, name in zip(leaves, names, strict=True)]
            result = self.function(*trees.unflatten(structure, list(inputs)))
            outputs, out_structure = trees.flatten(result)
            del result
        finally:
            backend.recorders.remove(recorder)
            recorder.open = False
            recorder.restore()
        recorder.check_constants()
        for t, name in zip(outputs, trees.paths(out_structure, "new"), strict=True):
            if type(t) is Traced and not t.node.name:
                t.node.name = name
        inputs, outputs = nodes(inputs), nodes(outputs)  # without the numbers
        self.traces += 1
        given = _ranges(structure)
        donated = [i for n in self.donate for i in range(given[n], given[n + 1]) if isinstance(leaves[i], numpy.ndarray)]
        planned = plan(recorder.steps, outputs, [inputs[i] for i in donated])
        run, source, constants = emit(planned, inputs, outputs, self.__name__)
        return Program(
            run,
            unpacker(structure, kinds),
            packer(out_structure),
            source,
            constants,
            [i for i, x in enumerate(leaves) if isinstance(x, numpy.ndarray)],
            donated,
            frozenset([_owner(x) for x in constants.values() if isinstance(x, numpy.ndarray)]),
            watch(self.function) + watch_settings(structure),
        )

    def _refuse_spent(self, args: tuple[Any, ...], leaves: list[Any]) -> None:
        for i, x in enumerate(leaves):
            spent = _spent.get(id(x))
            if spent is not None and spent() is x:
                name = _names(self.function, trees.flatten(args)[1])[i]
                raise TraceError(
                    f"{self.__name__}: {name} was donated to an earlier call and its memory now holds another value; use what "
                    "that call returned"
                )


def _owner(x: Any) -> int | None:
    """Whose memory ``x`` shows; ``None`` where that is no array."""
    while isinstance(x, numpy.ndarray) and isinstance(x.base, numpy.ndarray):
        x = x.base
    return id(x) if getattr(x, "base", None) is None else None


def _separate(leaves: list[Any], program: Program) -> None:
    """What may be written over must be nobody else's memory: a donated array that is also another argument is copied."""
    arrays = [leaves[i] for i in program.arrays]
    owners = [id(x) if (b := x.base) is None else id(b) if getattr(b, "base", x) is None else _owner(x) for x in arrays]
    alone = len(set(owners)) == len(owners) and program.owners.isdisjoint(owners) and None not in owners
    if alone and False not in [leaves[i].flags.writeable for i in program.donated]:
        return
    times = Counter(owners)
    for i in program.donated:
        owner = _owner(leaves[i])
        if owner is None or times[owner] > 1 or owner in program.owners or not leaves[i].flags.writeable:
            leaves[i] = _copied(leaves[i])


def _copied(x: Any) -> Any:
    """A copy with the same strides: sums over other ones round differently."""
    reach = [(n - 1) * s for n, s in zip(x.shape, x.strides, strict=True)] if x.size else []
    below = -sum(r for r in reach if r < 0)
    memory = numpy.empty(below + sum(r for r in reach if r > 0) + x.itemsize, numpy.uint8)
    copy = numpy.ndarray(x.shape, x.dtype, memory, below, x.strides)
    copy[...] = x
    return copy


def _spend(given: list[Any]) -> None:
    """The donated arrays may not be used again; what is in their memory afterwards is returned as a new view."""
    _spent.update({id(x): weakref.ref(x) for x in given})
    if len(_spent) > _MANY:
        for key in [key for key, x in _spent.items() if x() is None]:
            del _spent[key]


def _names(function: Callable[..., Any], structure: trees.Structure) -> list[str]:
    """``model.layers[0].weight``: a name for each leaf, from the function's parameters and the models' fields."""
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):  # a builtin has no signature
        parameters = []
    plain = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    names = []
    for i, child in enumerate(structure.children):
        names += trees.paths(child, plain[i] if i < len(plain) else f"argument_{i}")
    return names


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


def compile(function: Callable[..., Any], donate: int | tuple[int, ...] = ()) -> Compiled:
    """``function``, recorded at its first call and from then on repeated as one straight-line program.

    Arguments and results are trees. A call with other shapes, dtypes or structures records anew (``.traces`` counts);
    what is no array and no float (a number of layers, an activation) is part of the structure. Arguments in ``donate``
    are updated in place where the result allows it: use the result, not them, afterwards. Random numbers come from
    generators, as everywhere; each call draws on. Arrays of an outer scope are constants: if one changes, calling raises
    :class:`TraceError`, see :mod:`pydgm.compile.watch`.

    A program repeats calls on arrays and nothing else. Refused with the line are: a branch, ``float()`` or a format of a
    traced value; a shape that depends on values; arrays changed in place, also by ``+=`` and ``out=``; a generator made or
    restored inside. Not seen are: side effects of the function's Python (they happen once, in recording), and a *view* of a
    donated array that is used later. One array passed twice and donated is copied first.
    """
    return Compiled(function, (donate,) if isinstance(donate, int) else tuple(donate))
