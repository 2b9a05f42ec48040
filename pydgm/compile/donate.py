"""Donate: arrays that a program may write over, and that nobody may use afterwards."""

from __future__ import annotations

import weakref
from collections import Counter
from typing import Any

import numpy

from .program import Program

_spent: dict[int, weakref.ref[Any]] = {}  # donated arrays: their memory now holds something else
_MANY = 10_000  # entries, before those of arrays that are gone are swept out


def owner(x: Any) -> int | None:
    """Whose memory ``x`` shows; ``None`` where that is no array."""
    while isinstance(x, numpy.ndarray) and isinstance(x.base, numpy.ndarray):
        x = x.base
    return id(x) if getattr(x, "base", None) is None else None


def separate(leaves: list[Any], program: Program) -> None:
    """What may be written over must be nobody else's memory: a donated array that is also another argument is copied."""
    arrays = [leaves[i] for i in program.arrays]
    owners = [id(x) if (b := x.base) is None else id(b) if getattr(b, "base", x) is None else owner(x) for x in arrays]
    alone = len(set(owners)) == len(owners) and program.owners.isdisjoint(owners) and None not in owners
    if alone and False not in [leaves[i].flags.writeable for i in program.donated]:
        return
    times = Counter(owners)
    for i in program.donated:
        whose = owner(leaves[i])
        if whose is None or times[whose] > 1 or whose in program.owners or not leaves[i].flags.writeable:
            leaves[i] = copied(leaves[i])


def copied(x: Any) -> Any:
    """A copy with the same strides: sums over other ones round differently."""
    if x.flags.c_contiguous and type(x) is numpy.ndarray:
        return x.copy()
    reach = [(n - 1) * s for n, s in zip(x.shape, x.strides, strict=True)] if x.size else []
    below = -sum(r for r in reach if r < 0)
    memory = numpy.empty(below + sum(r for r in reach if r > 0) + x.itemsize, numpy.uint8)
    copy = numpy.ndarray(x.shape, x.dtype, memory, below, x.strides)
    copy[...] = x
    return copy


def spend(arrays: list[Any]) -> None:
    """The donated arrays may not be used again; what is in their memory afterwards is returned as a new view."""
    _spent.update({id(x): weakref.ref(x) for x in arrays})
    if len(_spent) > _MANY:
        for key in [key for key, x in _spent.items() if x() is None]:
            del _spent[key]


def is_spent(x: Any) -> bool:
    """True for an array that was donated to an earlier call."""
    spent = _spent.get(id(x))
    return spent is not None and spent() is x
