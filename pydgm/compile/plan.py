"""Plan: where each step keeps its result.

Nothing that is planned changes a bit of the result: results are written into memory that is free. A value's *root* is the
value whose memory it shows: a view's root is that of what it views.
"""

from __future__ import annotations

import math
import operator
from typing import Any, NamedTuple

import numpy

from .. import backend
from .simplify import simplify
from .traced import Node, Step, nodes_in


class Placed(NamedTuple):
    """A step, and the array it writes into: a buffer of the program, a value that is no longer needed, or a new one."""

    step: Step
    into: Node | int | None


class Plan(NamedTuple):
    steps: list[Placed]
    buffers: list[Node]  # a value that each holds: its shape, dtype and memory order
    same: dict[int, Node]  # what stands for a step that was made twice
    views: set[int]  # which values show another one's memory

    def resolve(self, t: Node) -> Node:
        return self.same.get(id(t), t)


def plan(steps: list[Step], outputs: list[Any], donated: list[Node]) -> Plan:
    """Place the steps that ``outputs`` need. ``donated`` inputs may be written over once they are no longer needed."""
    steps, same = simplify(steps, outputs)
    roots = _roots(steps, same)
    resolve = {id(t): same.get(id(t), t) for t in outputs if type(t) is Node}
    last = _last_uses(steps, roots, same)
    for t in resolve.values():
        last[id(roots.get(id(t), t))] = len(steps)  # an output is needed for ever
    returned = {id(roots.get(id(t), t)) for t in resolve.values()}
    ours: dict[int, int | None] = {id(t): None for t in donated}  # memory that may be written: a buffer's number, or None
    free: dict[Any, list[int]] = {}
    buffers: list[Node] = []
    placed = []
    for i, step in enumerate(steps):
        out = step.out
        into: Node | int | None = None
        if _takes_out(step) and id(roots.get(id(out), out)) == id(out):
            keep = id(out) in returned
            into = _dying(step, i, same, roots, last, ours, keep)
            if into is None and not keep:
                stack = free.setdefault(out.layout, [])
                if not stack:
                    buffers.append(out)
                    stack.append(len(buffers) - 1)
                into = stack.pop()
            if isinstance(into, Node):
                ours[id(out)] = ours.pop(id(roots.get(id(into), into)))
            else:
                ours[id(out)] = into
        elif out.array and _is_new(step, roots):
            ours[id(out)] = None
        placed.append(Placed(step, into))
        for t in [*_arguments(step, same), out]:
            root = roots.get(id(t), t)
            number = ours.get(id(root))
            if last.get(id(root), i) <= i and number is not None:
                del ours[id(root)]
                free.setdefault(buffers[number].layout, []).append(number)
    return Plan(placed, buffers, same, set(roots))


def _arguments(step: Step, same: dict[int, Node]) -> list[Node]:
    return [same.get(id(t), t) for t in nodes_in(step.args) + nodes_in(step.kwargs)]


def _roots(steps: list[Step], same: dict[int, Node]) -> dict[int, Node]:
    """For every view among the results, the value whose memory it shows."""
    roots: dict[int, Node] = {}
    for step in steps:
        t = step.out.view_of
        if t is not None and step.function not in COPIES:
            t = same.get(id(t), t)  # the array that is there in its place
            roots[id(step.out)] = roots.get(id(t), t)
    return roots


def _last_uses(steps: list[Step], roots: dict[int, Node], same: dict[int, Node]) -> dict[int, int]:
    last: dict[int, int] = {}
    for i, step in enumerate(steps):
        for t in _arguments(step, same):
            last[id(roots.get(id(t), t))] = i
    return last


REDUCTIONS = {numpy.sum, numpy.max, numpy.min}
COPIES = {backend.repeated, numpy.astype}

_FILLED = REDUCTIONS | COPIES | {numpy.concatenate, backend.scatter_all}


def _takes_out(step: Step) -> bool:
    """True for calls with ``out=`` whose result is an array of some size."""
    if step.out.shape == () or not step.out.array:
        return False
    return isinstance(step.function, numpy.ufunc) or step.function in _FILLED or step.function in backend.fillers


def _is_new(step: Step, roots: dict[int, Node]) -> bool:
    """True where the result is memory of its own that the program may write into later."""
    return step.out.owns and id(step.out) not in roots and step.function is not operator.getitem


def _dying(
    step: Step,
    i: int,
    same: dict[int, Node],
    roots: dict[int, Node],
    last: dict[int, int],
    ours: dict[int, int | None],
    keep: bool,
) -> Node | None:
    """An argument whose memory can take the result: element by element, of the same layout, and not needed any more. It may be
    a view that shows all of its root, another shape."""
    if not isinstance(step.function, numpy.ufunc) or step.function.signature is not None or step.out.dtype.kind == "c":
        return None  # complex numbers in place are rounded in another order
    for t in _arguments(step, same):
        root = roots.get(id(t), t)
        whole = t.array and t.layout == step.out.layout and math.prod(t.shape) == math.prod(root.shape)
        if whole and last.get(id(root)) == i and id(root) in ours and not (keep and ours[id(root)] is not None):
            return t
    return None
