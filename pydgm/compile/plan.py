"""Plan: where each step keeps its result.

Nothing that is planned changes a bit of the result: results are written into memory that is free. A value's *root* is the
value whose memory it shows: a view's root is that of what it views.
"""

from __future__ import annotations

import operator
from typing import Any, NamedTuple

import numpy

from .. import backend
from .record import Step, Traced, traced_in
from .simplify import simplify


class Placed(NamedTuple):
    """A step, and the array it writes into: a buffer of the program, a value that is no longer needed, or a new one."""

    step: Step
    into: Traced | int | None


class Plan(NamedTuple):
    steps: list[Placed]
    buffers: list[Any]  # a prototype of each: shape, dtype and memory order
    same: dict[int, Traced]  # what stands for a step that was made twice
    views: set[int]  # which values show another one's memory

    def resolve(self, t: Traced) -> Traced:
        return self.same.get(id(t), t)


def plan(steps: list[Step], outputs: list[Any], donated: list[Traced]) -> Plan:
    """Place the steps that ``outputs`` need. ``donated`` inputs may be written over once they are no longer needed."""
    steps, same = simplify(steps, outputs)
    roots = _roots(steps, same)
    resolve = {id(t): same.get(id(t), t) for t in outputs if type(t) is Traced}
    last = _last_uses(steps, roots, same)
    for t in resolve.values():
        last[id(roots.get(id(t), t))] = len(steps)  # an output is needed for ever
    returned = {id(roots.get(id(t), t)) for t in resolve.values()}
    ours: dict[int, int | None] = {id(t): None for t in donated}  # memory that may be written: a buffer's number, or None
    free: dict[Any, list[int]] = {}
    buffers: list[Any] = []
    placed = []
    for i, step in enumerate(steps):
        out = step.out
        into: Traced | int | None = None
        if _takes_out(step) and id(roots.get(id(out), out)) == id(out):
            keep = id(out) in returned
            into = _dying(step, i, same, roots, last, ours, keep)
            if into is None and not keep:
                stack = free.setdefault(_layout(out.value), [])
                if not stack:
                    buffers.append(out.value)
                    stack.append(len(buffers) - 1)
                into = stack.pop()
            ours[id(out)] = into if isinstance(into, int) else ours.pop(id(into)) if into is not None else None
        elif _is_new(step, roots) and isinstance(out.value, numpy.ndarray):
            ours[id(out)] = None
        placed.append(Placed(step, into))
        for t in [*_arguments(step, same), out]:
            root = roots.get(id(t), t)
            number = ours.get(id(root))
            if last.get(id(root), i) <= i and number is not None:
                del ours[id(root)]
                free.setdefault(_layout(buffers[number]), []).append(number)
    return Plan(placed, buffers, same, set(roots))


def _arguments(step: Step, same: dict[int, Traced]) -> list[Traced]:
    return [same.get(id(t), t) for t in traced_in(step.args) + traced_in(step.kwargs)]


def _base(value: Any) -> Any:
    while isinstance(value, numpy.ndarray) and isinstance(value.base, numpy.ndarray):
        value = value.base
    return value


def _roots(steps: list[Step], same: dict[int, Traced]) -> dict[int, Traced]:
    """For every view among the results, the value whose memory it shows."""
    roots: dict[int, Traced] = {}
    for step in steps:
        if isinstance(step.out.value, numpy.ndarray) and step.function not in COPIES:
            owner = _base(step.out.value)
            for t in traced_in(step.args):
                if isinstance(t.value, numpy.ndarray) and _base(t.value) is owner:
                    t = same.get(id(t), t)  # the array that is there in its place
                    roots[id(step.out)] = roots.get(id(t), t)
                    break
    return roots


def _last_uses(steps: list[Step], roots: dict[int, Traced], same: dict[int, Traced]) -> dict[int, int]:
    last: dict[int, int] = {}
    for i, step in enumerate(steps):
        for t in _arguments(step, same):
            last[id(roots.get(id(t), t))] = i
    return last


REDUCTIONS = {numpy.sum, numpy.max, numpy.min}
COPIES = {numpy.broadcast_to, numpy.astype}  # written into a buffer: what uses a broadcast view would be slower for it

_FILLED = REDUCTIONS | COPIES | {numpy.concatenate, backend.scatter_all}


def _takes_out(step: Step) -> bool:
    """True for calls with ``out=`` whose result is an array of some size."""
    value = step.out.value
    if not isinstance(value, numpy.ndarray) or value.ndim == 0:
        return False
    return isinstance(step.function, numpy.ufunc) or step.function in _FILLED


def _is_new(step: Step, roots: dict[int, Traced]) -> bool:
    """True where the result is memory of its own that the program may write into later."""
    owns = getattr(step.out.value, "base", None) is None
    return owns and id(step.out) not in roots and step.function is not operator.getitem


def _layout(value: Any) -> Any:
    return value.shape, value.dtype, value.strides


def _dying(
    step: Step,
    i: int,
    same: dict[int, Traced],
    roots: dict[int, Traced],
    last: dict[int, int],
    ours: dict[int, int | None],
    keep: bool,
) -> Traced | None:
    """An argument whose memory can take the result: element by element, of the same layout, and not needed any more."""
    if not isinstance(step.function, numpy.ufunc) or step.function.signature is not None:
        return None
    for t in _arguments(step, same):
        whole = isinstance(t.value, numpy.ndarray) and id(t) not in roots and _layout(t.value) == _layout(step.out.value)
        if whole and last.get(id(t)) == i and id(t) in ours and not (keep and ours[id(t)] is not None):
            return t
    return None
