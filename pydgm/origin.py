"""What a run began with, in words: two runs with the same origin give the same bits, so one may go on where the other
stopped."""

from __future__ import annotations

import functools
import types
import warnings
import zlib
from collections.abc import Iterable, Iterator
from typing import Any

from . import backend, storage, trees
from .backend import to_numpy
from .errors import DataError, shape_text
from .random import Generator
from .storage import describe, text_of


def crc(arrays: Iterable[Any]) -> str:
    """Of all the numbers in some arrays, one after the other."""
    content = 0
    for x in arrays:
        content = zlib.crc32(to_numpy(x).tobytes(), content)
    return f"{content:08x}"


def of_state(state: Any) -> str:
    """Of a tree: what it is made of, and its numbers."""
    leaves, structure = trees.flatten(state)
    return f"{zlib.crc32(repr(describe(structure)).encode()):08x} {crc(leaves)}"


def of_batches(batches: Any) -> str:
    """Of a number of steps, of batches that say it themselves, or of a sequence of trees."""
    if isinstance(batches, int):
        return f"{batches} steps"
    return str(batches.name()) if hasattr(batches, "name") else f"{len(batches)}, {crc(trees.leaves(list(batches)))}"


def of_function(x: Any) -> str:
    """Of all that ``x`` does: functions with their code, and the values that they use and are not given."""
    return f"{zlib.crc32('|'.join(_parts(x, {})).encode()):08x}"


_WITH_PARTS = (types.FunctionType, types.MethodType, functools.partial, dict, list, tuple, set, frozenset)
_ITEMS = (list, tuple, set, frozenset)


def _parts(x: Any, seen: dict[int, tuple[int, Any]]) -> Iterator[str]:
    if isinstance(x, Generator):
        yield str(x.state())
        return
    if backend.is_array(x):
        yield f"{shape_text(x)} {backend.fingerprint(x):08x}"
        return
    if isinstance(x, type | types.ModuleType) or not (isinstance(x, _WITH_PARTS) or hasattr(x, "__dict__")):
        yield text_of(x)
        return
    if id(x) in seen:  # it is met again, or holds itself
        yield f"#{seen[id(x)][0]}"
        return
    seen[id(x)] = len(seen), x
    yield f"{type(x).__qualname__} {getattr(x, '__qualname__', '')}"
    for part in _inside(x):
        yield from _parts(part, seen)


def _inside(x: Any) -> Iterator[Any]:
    if isinstance(x, types.FunctionType):
        yield f"{zlib.crc32(_code(x.__code__)):08x}"
        yield from (*(x.__defaults__ or ()), *sorted((x.__kwdefaults__ or {}).items()))
        yield from [cell.cell_contents for cell in x.__closure__ or () if cell != types.CellType()]
        if (x.__module__ or "").split(".")[0] not in ("pydgm", "numpy"):
            yield from [(name, x.__globals__[name]) for name in sorted(_names_in(x.__code__)) if name in x.__globals__]
    elif isinstance(x, types.MethodType):
        yield from (x.__func__, x.__self__)
    elif isinstance(x, functools.partial):
        yield from (x.func, x.args, sorted(x.keywords.items()))
    elif isinstance(x, dict):
        yield from x.items()
    elif isinstance(x, _ITEMS):
        yield len(x)
        yield from sorted(x, key=repr) if isinstance(x, set | frozenset) else x
    else:  # an object: what calling it does, and what it holds
        own = type(x).__module__.split(".")[0] == "pydgm"  # whose private parts are its own affair
        yield vars(type(x)).get("__call__")
        yield from [(name, value) for name, value in vars(x).items() if not (own and name.startswith("_"))]


def _names_in(code: types.CodeType) -> set[str]:
    return set(code.co_names).union(*[_names_in(c) for c in code.co_consts if isinstance(c, types.CodeType)])


def _code(code: types.CodeType) -> bytes:
    """What a function does, without the lines where it stands."""
    constants = [_code(c) if isinstance(c, types.CodeType) else _constant(c) for c in code.co_consts]
    return b"|".join([code.co_code, *constants, *[name.encode() for name in code.co_names]])


def _constant(c: Any) -> bytes:
    return repr(sorted(map(repr, c)) if isinstance(c, frozenset) else c).encode()  # a set's order is another in each process


def of_run(step: Any, state: Any, batches: Any, validate: Any, validate_every: int) -> dict[str, str]:
    """What decides the bits of :func:`pydgm.train.run`; a file of another origin is refused."""
    return {
        "step": f"{step.name} {of_function((step.update, step.average))}",
        "batches": of_batches(batches),
        "model and noise": of_state(state._replace(log={}, best=None)),
        "validation": "none" if validate is None else f"{of_function(validate)} every {validate_every}",
    }


def save(path: Any, state: Any, began_with: dict[str, str], warn: bool = False) -> None:
    """A run's file, ``state`` beside what it began with. With ``warn`` a run goes on where it cannot be written."""
    try:
        storage.save(path, {"began with": began_with, "state": state})
    except OSError as error:
        if not warn:
            raise DataError(f"run: {path} cannot be written: {error.strerror}") from None
        warnings.warn(f"the run could not be saved to {path} ({error.strerror}); it goes on", RuntimeWarning, stacklevel=3)


def resumed(path: Any, state: Any, began_with: dict[str, str]) -> Any:
    """The state in a run's file, if that run began as this one, in ``state``."""
    like: dict[str, Any] = {"began with": began_with, "state": state._replace(log={})}
    try:
        loaded, log = storage.load_beside(path, like, "run", "['state'].log")
    except DataError as error:
        raise DataError(f"{error}. To begin anew, delete it, or save elsewhere") from None
    return loaded["state"]._replace(log=log)
