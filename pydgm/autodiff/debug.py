"""Debugging: what goes wrong in silence, found where it happens. Slow, and only where it is switched on.

What is looked for belongs to a context (a thread): nothing, NaN, or arrays that changed in place, too.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from ..backend import Array, fingerprint, is_array, is_floating, seen, xp
from ..errors import NaNError, shape_text

_debug: ContextVar[str] = ContextVar("pydgm_debug", default="")
active: list[str] = []  # of all contexts: where there is none, an operation pays nothing for the question


def debugging() -> str:
    """What is looked for in this context."""
    return _debug.get() if active else ""


@contextmanager
def _looking_for(what: str) -> Iterator[None]:
    token = _debug.set(what)
    active.append(what)
    try:
        yield
    finally:
        active.remove(what)
        _debug.reset(token)


def debug_nans() -> Any:
    """``with dgm.debug_nans():`` the first NaN made forwards or backwards is an error that names the operation and the line."""
    return _looking_for("nans")


def debug() -> Any:
    """``with dgm.debug():`` all that :func:`debug_nans` finds, and arrays changed in place before their derivative is taken.

    An operation remembers its arrays, not their numbers, so after ``y, pull = dgm.vjp(f, x); x += 1.0`` the derivative would
    be that at the new ``x``. Here each array is compared with what it was. Slow: a checksum of every array, twice.
    """
    return _looking_for("all")


def marks(node: Any) -> Any:
    """Under :func:`debug`, a fingerprint of each array that an operation used and of its result; else ``None``."""
    if _debug.get() != "all" or node.operation is None:
        return None
    return [fingerprint(x) for x in _arrays((node.args, node.params, node.value))]


def _arrays(x: Any) -> Iterator[Array]:
    """The arrays in the arguments of an operation, also those of an index."""
    x = seen(x)
    if is_array(x):
        yield x
    elif isinstance(x, list | tuple | dict):
        for item in x.values() if isinstance(x, dict) else x:
            yield from _arrays(item)


def check_nans(what: str, out: Array, args: Sequence[Any]) -> None:
    out = seen(out)
    if is_array(out) and is_floating(out) and bool(xp.any(xp.isnan(out))):
        share = f"{int(xp.sum(xp.astype(xp.isnan(out), out.dtype)))} of {max(out.size, 1)}"
        was_nan = any(is_array(x) and is_floating(x) and bool(xp.any(xp.isnan(x))) for x in map(seen, args))
        did = "was given NaN and passed it on" if was_nan else "made NaN"
        raise NaNError(f"{what} {did} in {share} elements, from {', '.join(map(shape_text, args))}")
