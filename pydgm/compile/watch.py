"""Watch: the arrays that a compiled function uses and is not given. If one changes, the program would answer for the old one.

A function's closure and globals are searched, and those of the functions it finds there. Rebinding a name is always
noticed; a change in place where it touches one of up to 1024 numbers, spread over the array, that are compared at each call.
"""

from __future__ import annotations

import sys
import types
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy

from .. import trees
from .record import TraceError, fingerprint

_SAMPLE = 1024
_STANDARD = {"builtins", "pydgm", "numpy", "functools", "collections", "itertools", "threading"}


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


def watch_settings(structure: trees.Structure) -> list[Watched]:
    """Among the settings that a function is given: the arrays, since equal ones do not record anew, and what functions use."""
    found: list[Watched] = []
    if structure.kind == trees.CONSTANT:
        _search(structure.fixed, found, set())
    elif structure.kind in trees.by_attributes:
        for name, setting in structure.fixed:
            _consider(
                f"the static field {name}", partial(_itself, getattr(setting, "value", setting)), found, set(), frozenset()
            )
    return found + [w for child in structure.children for w in watch_settings(child)]


def _itself(value: Any) -> Any:
    return value


def check(watched: list[Watched], title: str) -> None:
    """Raise :class:`TraceError` where one of them is not what it was."""
    for name, now, value, arrays in watched:
        current = now()
        same = current is value and len(leaves := _arrays(value)) == len(arrays)
        if not same or any(a is not b or fingerprint(a, _SAMPLE) != mark for a, (b, mark) in zip(leaves, arrays, strict=True)):
            raise TraceError(f"{name} has changed since {title} was compiled for its old value: pass it as an argument")


def _search(function: Any, found: list[Watched], seen: set[int], used: frozenset[str] = frozenset()) -> None:
    """``used``: the names in the functions on the way here; of an object, only attributes of these names count."""
    if id(function) in seen:
        return
    seen.add(id(function))
    if isinstance(function, types.MethodType):
        owner, function = function.__self__, function.__func__
        used = used | _names(function.__code__) if isinstance(function, types.FunctionType) else used
        _consider(f"self of {function.__name__}", partial(_itself, owner), found, seen, used)
    if isinstance(function, partial):
        for name, value in [("an argument of partial", x) for x in (*function.args, *function.keywords.values())]:
            _consider(name, partial(_itself, value), found, seen, used)
        _search(function.func, found, seen, used)
    if not isinstance(function, types.FunctionType):
        _search_object(function, found, seen, used)
        return
    used = used | _names(function.__code__)
    if (function.__module__ or "").split(".")[0] in ("pydgm", "numpy") and not function.__closure__:
        return
    for value in (*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()):
        _consider(f"a default of {function.__name__}", partial(_itself, value), found, seen, used)
    cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
    for name, cell in cells:
        try:
            _consider(name, partial(getattr, cell, "cell_contents"), found, seen, used)
        except ValueError:  # the cell is still empty
            continue
    if (function.__module__ or "").split(".")[0] != "pydgm":
        for name in _names(function.__code__):
            if name in function.__globals__:
                _consider(name, partial(function.__globals__.get, name), found, seen, used)


def _search_object(x: Any, found: list[Watched], seen: set[int], used: frozenset[str]) -> None:
    """What is in a container; the attributes of an object of a class of the user's own."""
    if isinstance(x, dict | list | tuple):
        for item in x.values() if isinstance(x, dict) else x:
            _consider("an item of a container", partial(_itself, item), found, seen, used)
    elif hasattr(x, "function") and hasattr(x, "donate"):  # another compiled function
        _search(x.function, found, seen, used)
    elif isinstance(x, types.ModuleType):
        if x.__name__.split(".")[0] not in {*_STANDARD, *sys.stdlib_module_names}:
            for name in used & set(vars(x)):
                _consider(f"{x.__name__}.{name}", partial(getattr, x, name, None), found, seen, used)
    elif type(x).__module__.split(".")[0] not in _STANDARD:
        named = x if isinstance(x, type) else type(x)
        method = vars(named).get("__call__")
        used = used | (_names(method.__code__) if isinstance(method, types.FunctionType) else set())
        for name in used & set(getattr(x, "__dict__", {})):
            _consider(f"{named.__name__}.{name}", partial(getattr, x, name, None), found, seen, used)
        _search(method, found, seen, used)


def _names(code: types.CodeType) -> frozenset[str]:
    """The global names in a function and in the functions written inside it."""
    return frozenset(code.co_names).union(*[_names(c) for c in code.co_consts if isinstance(c, types.CodeType)])


def _consider(name: str, now: Callable[[], Any], found: list[Watched], seen: set[int], used: frozenset[str]) -> None:
    value = now()
    arrays = [(a, fingerprint(a, _SAMPLE)) for a in _arrays(value)]
    if arrays and id(value) not in seen:
        seen.add(id(value))
        found.append(Watched(name, now, value, arrays))
    else:
        _search(value, found, seen, used)


def _arrays(value: Any) -> list[Any]:
    try:
        return [a for a in trees.leaves(value) if isinstance(a, numpy.ndarray)]
    except TypeError:  # a container of another kind
        return []
