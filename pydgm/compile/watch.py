"""Watch: the variables that a compiled function uses and is not given. If one changes, the program would answer for the old.

Variables are those of the function's closure, its globals and its defaults, and so on in the functions it finds there; pydgm's
own functions are passed through. Before each call each is looked at: whether it is another number, text, function, generator,
... than it was, and whether the numbers changed in an array (up to 1024, spread over it) or in a small dict, list, tuple or
Module (up to 256 items, deeper down up to 64, 16, ...); and so is every array that went into the program. Everything else (an
attribute of another object, a file, a random number of another library) is left to the comparison with an eager run, at calls
2, 4, 8, ...
"""

from __future__ import annotations

import dis
import functools
import pickle
import random
import sys
import threading
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
    changes: bool  # whether the same object can become another value
    mark: Any


def watch(function: Any) -> list[Watched]:
    """Every variable that ``function`` can reach without being given it; modules do not change."""
    variables = [(name, now, now()) for name, now in _variables(function, set())]
    return [Watched(name, now, x, *_mark(x)) for name, now, x in variables if not isinstance(x, types.ModuleType)]


def constants_of(recorder: Recorder) -> list[Watched]:
    """The arrays that went into a program as constants and that somebody else holds, too, so that they can change."""
    times = Counter(id(x) for step in recorder.steps for x in arrays_in((step.args, step.kwargs)))
    # how often an array is counted that nobody else holds, and its base: measured, since it is Python's own affair
    for x, _, _ in [(numpy.empty(1)[:], 0, "")]:
        alone, base = sys.getrefcount(x), sys.getrefcount(x.base)
    held = []
    for x, _, line in recorder.constants.values():
        if sys.getrefcount(x) > alone + times[id(x)] or (x.base is not None and sys.getrefcount(x.base) > base):
            held.append(Watched(f"an array used at {line}", functools.partial(_itself, x), x, *_mark(x)))
    return held


def check(watched: list[Watched], title: str) -> None:
    """Raise :class:`TraceError` where one of them is not what it was."""
    for name, now, value, changes, mark in watched:
        current = now()
        if (current is not value or changes) and _mark(current)[1] != mark:
            raise TraceError(f"{name} has changed since {title} was compiled for its old value: pass it as an argument")


_PLAIN = (bool, int, float, complex, str, bytes, type(None), numpy.generic)


class _Is:
    """An object as something to compare: equal to itself alone."""

    __slots__ = ("x",)

    def __init__(self, x: Any) -> None:
        self.x = x

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Is) and self.x is other.x

    __hash__ = None  # type: ignore[assignment]


def _mark(value: Any, room: int = _SMALL) -> tuple[bool, Any]:
    """Whether ``value`` can change and stay the same object, and what to compare it by later."""
    if isinstance(value, _PLAIN):
        return False, (type(value), repr(value))
    if isinstance(value, numpy.ndarray):
        return True, (_Is(value), fingerprint(value, _SAMPLE))
    module = type(value) in trees.by_attributes
    items = vars(value) if module else value
    if not (module or isinstance(value, dict | list | tuple)) or len(items) > room:
        return False, _Is(value)
    if isinstance(items, dict):
        items = [item for pair in items.items() for item in pair]
    marks = [_mark(item, room // 4) for item in items]
    return isinstance(value, dict | list) or any(changes for changes, _ in marks), (type(value), [mark for _, mark in marks])


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
    """Where the random numbers of other libraries stand: numpy's and Python's own, and generators that variables hold.

    While other threads run, which may draw from the common streams, these are left to the comparison with an eager run.
    """

    def __init__(self, function: Any) -> None:
        kinds = (numpy.random.Generator, numpy.random.RandomState, random.Random)
        reached = {id(x): x for x in (now() for _, now in _variables(function, set())) if isinstance(x, kinds)}
        # the common streams, where nobody else can be drawing from them (tqdm's monitor does not)
        alone = all(type(t).__name__ == "TMonitor" for t in threading.enumerate() if t is not threading.current_thread())
        common: list[Any] = [(numpy.random.get_state, numpy.random.set_state), (random.getstate, random.setstate)]
        places = common if alone else []
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
