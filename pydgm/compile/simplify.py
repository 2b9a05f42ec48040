"""Simplify: fewer steps for the same numbers, to the last bit.

Steps that nothing depends on go, equal steps are made once, a constant array of one number repeated becomes that number, a
factor of 1 goes, and a sum of scattered parts (the gradient of a table read row by row) is put together in one array.
"""

from __future__ import annotations

import math
from typing import Any

import numpy

from .. import backend
from .traced import Draw, Node, Step, nodes_in

_LARGE = 1 << 22  # bytes: constants larger than this are not compared
_ARITHMETIC = {numpy.add, numpy.subtract, numpy.multiply, numpy.divide}


def simplify(steps: list[Step], outputs: list[Any]) -> tuple[list[Step], dict[int, Node]]:
    """The steps that remain, and what stands for a value that was made twice."""
    steps = [_with_numbers(step) for step in _not_repeated(_gathered(steps))]
    return _merged(_needed(steps, outputs))


def _needed(steps: list[Step], outputs: list[Any]) -> list[Step]:
    """Without the steps that nothing depends on. Draws stay: what is drawn next depends on them."""
    wanted = {id(t) for t in outputs if type(t) is Node}
    kept = []
    for step in reversed(steps):
        if id(step.out) in wanted or isinstance(step.function, Draw):
            kept.append(step)
            wanted |= {id(t) for t in nodes_in(step.args) + nodes_in(step.kwargs)}
    return kept[::-1]


def _merged(steps: list[Step]) -> tuple[list[Step], dict[int, Node]]:
    """Common sub-expressions made once."""
    same: dict[int, Node] = {}
    seen: dict[Any, Node] = {}
    new: set[int] = set()  # values in memory of their own, which may stand for others
    kept = []
    for step in steps:
        if _would_be_one(step, same):  # a @ a.T is another algorithm than a @ b.T: the second one stays an array of its own
            apart = Node.like(step.args[1])
            kept.append(Step(numpy.copy, (same.get(id(step.args[1]), step.args[1]),), {}, apart))
            step = step._replace(args=(step.args[0], apart))
        key = None
        if not isinstance(step.function, Draw):
            key = (step.function, _frozen(step.args, same), _frozen(step.kwargs, same))
        unchanged = _unchanged(step)
        if unchanged is not None and id(same.get(id(unchanged), unchanged)) in new:
            same[id(step.out)] = same.get(id(unchanged), unchanged)
        elif key is not None and key in seen:
            same[id(step.out)] = seen[key]
        else:
            if key is not None:
                seen[key] = step.out
            if step.out.owns:
                new.add(id(step.out))
            kept.append(step)
    return kept, same


def _root(node: Node) -> Node:
    while node.view_of is not None:
        node = node.view_of
    return node


def _would_be_one(step: Step, same: dict[int, Node]) -> bool:
    """True for a matrix product of two arrays that merging has made one."""
    if step.function is not numpy.matmul or not all(type(x) is Node for x in step.args):
        return False
    a, b = map(_root, step.args)
    return a is not b and same.get(id(a), a) is same.get(id(b), b)


def _unchanged(step: Step) -> Node | None:
    """``x`` where a step is ``1.0 * x`` or ``x / 1.0``."""
    if step.function not in (numpy.multiply, numpy.divide) or step.kwargs:
        return None
    a, b = step.args
    x = a if type(b) is float and b == 1.0 else b if type(a) is float and a == 1.0 and step.function is numpy.multiply else None
    fits = type(x) is Node and x.array and step.out.array and x.layout == step.out.layout
    return x if fits else None


def _frozen(x: Any, same: dict[int, Node]) -> Any:
    if type(x) is Node:
        return ("node", id(same.get(id(x), x)))
    if isinstance(x, list | tuple):
        return (type(x), *[_frozen(item, same) for item in x])
    if isinstance(x, dict):
        return tuple((key, _frozen(x[key], same)) for key in sorted(x))
    if isinstance(x, bool | int | float | str | None):
        return (type(x), repr(x))
    return ("slice", x.start, x.stop, x.step) if isinstance(x, slice) else identity(x)


def identity(constant: Any) -> Any:
    """What makes two constants one: for arrays their content, where it is not large; else being the same object."""
    if isinstance(constant, numpy.ndarray | numpy.generic) and constant.nbytes <= _LARGE and not constant.dtype.hasobject:
        return type(constant), constant.shape, constant.dtype, constant.strides, constant.tobytes()
    return "object", id(constant)


def _with_numbers(step: Step) -> Step:
    """``np.multiply(0.5, x)`` where ``x`` was multiplied by an array of halves."""
    if step.function not in _ARITHMETIC or len(nodes_in(step.args)) != 1:
        return step
    out = step.out

    def number(x: Any) -> Any:
        if not isinstance(x, numpy.ndarray) or x.size == 0 or x.dtype != out.dtype or x.dtype.kind != "f":
            return x
        first = x.reshape(-1)[:1].item()
        return first if math.isfinite(first) and x.tobytes() == numpy.full_like(x, first).tobytes() else x

    (t,) = nodes_in(step.args)
    fits = t.array and out.array and t.layout == out.layout
    return step._replace(args=tuple(map(number, step.args))) if fits else step


def _not_repeated(steps: list[Step]) -> list[Step]:
    """``np.multiply(x, g)`` where one number ``g`` was repeated to the shape of ``x``."""
    single: dict[int, Node] = {}
    simpler = []
    for step in steps:
        if step.function is backend.repeated and type(step.args[0]) is Node and step.args[0].shape == ():
            single[id(step.out)] = step.args[0]
        elif step.function in _ARITHMETIC and len(step.args) == 2:
            a, b = step.args
            for x, other in ((a, b), (b, a)):
                whole = type(other) is Node and other.array and other.layout == step.out.layout and id(other) not in single
                if id(x) in single and whole and single[id(x)].dtype == x.dtype:
                    step = step._replace(args=tuple([single[id(y)] if y is x else y for y in step.args]))
                    break
        simpler.append(step)
    return simpler


def _gathered(steps: list[Step]) -> list[Step]:
    """Sums of parts that were scattered to places that do not meet: one array, each part written into it."""
    parts: dict[int, list[tuple[Any, Any]]] = {}  # of each sum of scattered parts: the parts and their boxes
    simpler = []
    for step in steps:
        if step.function is backend.scatter_add:
            box = _box(step.args[1], step.args[2])
            if box is not None:
                parts[id(step.out)] = [(step.args, box)]
        elif step.function is numpy.add and all(id(x) in parts for x in step.args):
            a, b = (parts[id(x)] for x in step.args)
            same_kind = step.args[0].shape == step.args[1].shape and step.args[0].dtype == step.args[1].dtype
            if same_kind and _apart([box for _, box in a], [box for _, box in b]):
                both = parts[id(step.out)] = a + b
                values, keys = [args[0] for args, _ in both], [args[1] for args, _ in both]
                step = step._replace(function=backend.scatter_all, args=(values, keys, both[0][0][2]))
        simpler.append(step)
    return simpler


Box = tuple[tuple[int, int], ...]


def _box(key: Any, shape: tuple[int, ...]) -> Box | None:
    """From where to where a key of integers and slices reaches, along each axis; ``None`` for any other key."""
    keys = key if isinstance(key, tuple) else (key,)
    if not all(k is Ellipsis or type(k) in (int, slice) for k in keys):
        return None
    if Ellipsis in keys:
        i = keys.index(Ellipsis)
        keys = (*keys[:i], *[slice(None)] * (len(shape) - len(keys) + 1), *keys[i + 1 :])
    spans = [range(n)[k] if isinstance(k, slice) else [k % n] for k, n in zip(keys, shape, strict=False)]
    return tuple([(min(s), max(s) + 1) if len(s) else (0, 0) for s in spans])


def _apart(first: list[Box], second: list[Box]) -> bool:
    """True where no box of one list meets a box of the other."""
    if not all(first + second):  # an empty key: the whole array
        return False
    if len(first) + len(second) > 16:  # rows of a long table: a look-up instead of all pairs
        rows = [{box[0][0] for box in boxes} for boxes in (first, second)]
        return all(box[0][1] == box[0][0] + 1 for box in first + second) and rows[0].isdisjoint(rows[1])
    return not any(all(p < s and r < q for (p, q), (r, s) in zip(a, b, strict=False)) for a in first for b in second)
