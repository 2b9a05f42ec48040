"""Self-check: what a compiled function answers beside what it answers as it is written, and where they part.

Both are the same to the bit (on NumPy), so whatever recording froze by mistake shows as a difference. To name the line, the
function is recorded once more: the first call that is not the one recorded before is where it differs.
"""

from __future__ import annotations

from itertools import zip_longest
from typing import Any

import numpy

from .. import trees
from ..errors import shape_text
from .traced import Node, Step


def same_bits(a: Any, b: Any) -> bool:
    """The same type, shape and bits; one NaN is like another."""
    if not isinstance(a, numpy.ndarray | numpy.generic) or not isinstance(b, numpy.ndarray | numpy.generic):
        return type(a) is type(b) and repr(a) == repr(b)
    if a.shape != b.shape or a.dtype != b.dtype:
        return False
    if a.tobytes() == b.tobytes():
        return True
    return (
        a.dtype.kind == "f" and numpy.array_equal(a, b, equal_nan=True) and bool((numpy.signbit(a) == numpy.signbit(b)).all())
    )


def _close(a: Any, b: Any) -> bool:
    """Equal up to rounding: what another order of a library's sums can change."""
    if not isinstance(a, numpy.ndarray | numpy.generic) or a.dtype.kind != "f" or getattr(b, "shape", None) != a.shape:
        return same_bits(a, b)
    scale = float(numpy.max(numpy.abs(a), initial=0.0, where=numpy.isfinite(a)))
    return a.dtype == b.dtype and numpy.allclose(a, b, rtol=0.0, atol=1e3 * numpy.finfo(a.dtype).eps * scale, equal_nan=True)


def parted(expected: Any, results: Any) -> tuple[int, bool] | None:
    """Which leaf of the tree ``expected`` is the first that ``results`` has otherwise, and whether all agree, up to rounding.

    ``None`` where they agree; -1 where the trees have not even one structure.
    """
    (leaves, structure), (actual, its_structure) = trees.flatten(expected), trees.flatten(results)
    if structure != its_structure:
        return -1, False
    first = next((i for i, (a, b) in enumerate(zip(leaves, actual, strict=True)) if not same_bits(a, b)), None)
    return None if first is None else (first, all(map(_close, leaves, actual)))


def first_difference(old: list[Step], inputs: list[Node], new: list[Step], new_inputs: list[Node]) -> str | None:
    """The line of the first step that was recorded otherwise, and what is different; ``None`` where all are the same."""
    same = {id(a): id(b) for a, b in zip(inputs, new_inputs, strict=True)}
    for a, b in zip_longest(old, new):
        if a is None:
            return f"{b.out.line}: {_title(b)} was not recorded, and now is called"
        if b is None:
            return f"{a.out.line}: {_title(a)} was recorded, and now is not called"
        if a.function is not b.function and a.function != b.function:
            return f"{b.out.line}: {_title(a)} was recorded, and now it is {_title(b)}"
        for x, y in ((a.args, b.args), (a.kwargs, b.kwargs)):
            changed = _changed(x, y, same)
            if changed:
                return f"{b.out.line}: {changed}"
        same[id(a.out)] = id(b.out)
    return None


def _title(step: Step) -> str:
    return str(getattr(step.function, "__name__", "a draw")).strip("_")


def _changed(old: Any, new: Any, same: dict[int, int]) -> str | None:
    """What is different between two arguments of a step."""
    if type(old) is Node and type(new) is Node:
        return None if same.get(id(old)) == id(new) else "another value was used"
    if isinstance(old, dict) and isinstance(new, dict):
        old, new = list(old.items()), list(new.items())
    if isinstance(old, list | tuple) and isinstance(new, list | tuple) and len(old) == len(new):
        return next(filter(None, (_changed(a, b, same) for a, b in zip(old, new, strict=True))), None)
    if old is new:
        return None
    if isinstance(old, numpy.ndarray) and isinstance(new, numpy.ndarray) and old.shape == new.shape:
        return (
            None
            if same_bits(old, new)
            else f"an array {shape_text(new)} that is no argument had other numbers when it was recorded"
        )
    if type(old) is Node or type(new) is Node:
        return f"{_text(old)} was recorded, and now it is {_text(new)}"
    equal = same_bits(old, new) if isinstance(old, float | numpy.generic) else type(old) is type(new) and bool(old == new)
    return None if equal else f"{_text(old)} was recorded, and now it is {_text(new)}"


def _text(x: Any) -> str:
    return "a value that depends on the arguments" if type(x) is Node else shape_text(x)
