"""Watch: the arrays that a compiled function uses and is not given. If one changes, the program would answer for the old one.

A function's closure and globals are searched, and those of the functions it finds there. Rebinding a name is always
noticed; a change in place where it touches one of up to 1024 numbers, spread over the array, that are compared at each call.
"""

from __future__ import annotations

import types
import zlib
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy

from .. import trees
from .record import TraceError

_SAMPLE = 1024


class Watched(NamedTuple):
    """A variable of an outer scope: how to look at it now, what it was, and the content of its arrays."""

    name: str
    now: Callable[[], Any]
    value: Any
    arrays: list[tuple[Any, int]]  # each with its fingerprint


def watch(function: Any) -> list[Watched]:
    """Every variable with arrays that ``function`` can reach without being given it."""
    found: list[Watched] = []
    _search(function, found, set())
    return found


def check(watched: list[Watched], title: str) -> None:
    """Raise :class:`TraceError` where one of them is not what it was."""
    for name, now, value, arrays in watched:
        current = now()
        same = current is value and len(leaves := _arrays(value)) == len(arrays)
        if not same or any(a is not b or _fingerprint(a) != mark for a, (b, mark) in zip(leaves, arrays, strict=True)):
            raise TraceError(f"{name} has changed since {title} was compiled for its old value: pass it as an argument")


def _search(function: Any, found: list[Watched], seen: set[int]) -> None:
    function = getattr(function, "__func__", function)  # of a bound method
    if not isinstance(function, types.FunctionType) or id(function) in seen:
        return
    if (function.__module__ or "").split(".")[0] in ("pydgm", "numpy") and not function.__closure__:
        return
    seen.add(id(function))
    cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
    for name, cell in cells:
        try:
            _consider(name, partial(getattr, cell, "cell_contents"), found, seen)
        except ValueError:  # the cell is still empty
            continue
    if (function.__module__ or "").split(".")[0] != "pydgm":
        for name in _names(function.__code__):
            if name in function.__globals__:
                _consider(name, partial(function.__globals__.get, name), found, seen)


def _names(code: types.CodeType) -> set[str]:
    """The global names in a function and in the functions written inside it."""
    return set(code.co_names).union(*[_names(c) for c in code.co_consts if isinstance(c, types.CodeType)])


def _consider(name: str, now: Callable[[], Any], found: list[Watched], seen: set[int]) -> None:
    value = now()
    arrays = [(a, _fingerprint(a)) for a in _arrays(value)]
    if arrays:
        found.append(Watched(name, now, value, arrays))
    else:
        _search(value, found, seen)


def _arrays(value: Any) -> list[Any]:
    try:
        return [a for a in trees.leaves(value) if isinstance(a, numpy.ndarray)]
    except TypeError:  # a container of another kind
        return []


def _fingerprint(array: Any) -> int:
    flat = array.reshape(-1) if array.flags.c_contiguous else array.ravel(order="K")
    return zlib.crc32(flat[:: max(1, flat.size // _SAMPLE)].tobytes())
