"""Watch: the variables that a compiled function uses and is not given. If one changes, the program would answer for the old.

Variables are those of the function's closure, its globals and its defaults, and so on in the functions it finds there; pydgm's
own functions are passed through. Looked at before each call are those that hold a number, a text, an array, or a small tree of
these: whether it is another one, and of an array up to 1024 numbers, spread over it; and so is every array that went into the
program. Everything else (an attribute of an
object, a file, a random number of another library) is left to the comparison with an eager run, at calls 2, 4, 8, ...
"""

from __future__ import annotations

import dis
import functools
import pickle
import random
import sys
import types
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy

from .. import trees
from ..backend import fingerprint
from .record import Recorder
from .traced import TraceError, arrays_in

_SAMPLE = 1024
_SMALL = 256  # leaves of a tree that is watched

Now = Callable[[], Any]


class Watched(NamedTuple):
    """A variable of an outer scope: how to look at it now, and what it was."""

    name: str
    now: Now
    value: Any
    mark: Any


def watch(function: Any) -> list[Watched]:
    """Every variable of numbers, texts and arrays that ``function`` can reach without being given it."""
    found = []
    for name, now in _variables(function, set()):
        value = now()
        mark = _mark(value)
        if mark is not None:
            found.append(Watched(name, now, value, mark))
    return found


def constants_of(recorder: Recorder) -> list[Watched]:
    """The arrays that went into a program as constants and that somebody else holds, too, so that they can change."""
    times = Counter(id(x) for step in recorder.steps for x in arrays_in((step.args, step.kwargs)))
    found = []
    for x, _, line in recorder.constants.values():
        ours = times[id(x)] + 3  # in the steps; in recorder.constants, as x, and as the argument of getrefcount
        if sys.getrefcount(x) > ours or (x.base is not None and sys.getrefcount(x.base) > 2):
            found.append(Watched(f"an array used at {line}", functools.partial(_itself, x), x, _mark(x)))
    return found


def check(watched: list[Watched], title: str) -> None:
    """Raise :class:`TraceError` where one of them is not what it was."""
    for name, now, value, mark in watched:
        current = now()
        if (current is not value or type(mark) is not str) and _mark(current) != mark:
            raise TraceError(f"{name} has changed since {title} was compiled for its old value: pass it as an argument")


_PLAIN = (bool, int, float, complex, str, bytes, numpy.generic)


def _mark(value: Any) -> Any:
    """What can be compared later: a text for what cannot change in place; ``None`` for what is not watched."""
    if isinstance(value, _PLAIN):
        return repr(value)
    if isinstance(value, numpy.ndarray):
        return id(value), fingerprint(value, _SAMPLE)
    if type(value) not in trees.by_attributes and not (isinstance(value, dict | list | tuple) and len(value) <= _SMALL):
        return None
    try:
        leaves, structure = trees.flatten(value)
    except TypeError:  # a container of another kind
        return None
    return (structure, list(map(_mark, leaves))) if 0 < len(leaves) <= _SMALL else None


def _variables(function: Any, seen: set[int]) -> Iterator[tuple[str, Now]]:
    """The variables of ``function`` and of the functions that they hold: their names, and how to look at them."""
    while not isinstance(function, types.FunctionType):
        if isinstance(function, functools.partial):
            for x in (*function.args, *function.keywords.values()):
                yield from _followed("an argument of partial", functools.partial(_itself, x), seen)
        below = [getattr(function, name, None) for name in _WRAPPERS.get(type(function).__name__, ())]
        if not below:
            return
        function = below[0]
    if id(function) in seen:
        return
    seen.add(id(function))
    for value in (*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()):
        yield from _followed(f"a default of {function.__name__}", functools.partial(_itself, value), seen)
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        yield from _followed(name, functools.partial(_content, cell), seen)
    if (function.__module__ or "").split(".")[0] not in ("pydgm", "numpy"):
        for name in sorted(_globals(function.__code__) & function.__globals__.keys()):
            yield from _followed(name, functools.partial(function.__globals__.get, name), seen)


_WRAPPERS = {"method": ["__func__"], "partial": ["func"], "Compiled": ["function"]}


def _followed(name: str, now: Now, seen: set[int]) -> Iterator[tuple[str, Now]]:
    yield name, now
    value = now()
    for item in value if isinstance(value, list | tuple) and len(value) <= _SMALL else (value,):
        yield from _variables(item, seen)


def _itself(value: Any) -> Any:
    return value


def _content(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # the cell is still empty
        return None


def _globals(code: types.CodeType) -> set[str]:
    """The names of global variables in a function and in the functions written inside it."""
    names = {i.argval for i in dis.get_instructions(code) if i.opname in ("LOAD_GLOBAL", "LOAD_NAME")}
    return names.union(*[_globals(c) for c in code.co_consts if isinstance(c, types.CodeType)])


def _place(x: Any) -> tuple[Callable[[], Any], Callable[[Any], None]]:
    """How to ask a generator of another library where it stands, and how to put it back there."""
    if isinstance(x, random.Random):
        return x.getstate, x.setstate
    if isinstance(x, numpy.random.RandomState):
        return x.get_state, x.set_state
    return (lambda: x.bit_generator.state), functools.partial(setattr, x.bit_generator, "state")


class Noise:
    """Where the random numbers of other libraries stand: numpy's and Python's own, and generators that variables hold."""

    def __init__(self, function: Any) -> None:
        kinds = (numpy.random.Generator, numpy.random.RandomState, random.Random)
        reached = {id(x): x for x in (now() for _, now in _variables(function, set())) if isinstance(x, kinds)}
        places: list[Any] = [(numpy.random.get_state, numpy.random.set_state), (random.getstate, random.setstate)]
        self._places = [*places, *map(_place, reached.values())]
        self._before = [get() for get, _ in self._places]

    def refuse(self) -> None:
        """Raise :class:`TraceError` where one of them has been drawn from, and put it back."""
        for (get, put), before in zip(self._places, self._before, strict=True):
            if pickle.dumps(get()) != pickle.dumps(before):
                put(before)
                raise TraceError(
                    "a compiled function drew a random number of numpy.random or random, which would be the same at every "
                    "call: draw from a dgm.random.Generator"
                )
