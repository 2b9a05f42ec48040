"""Unpack: how a program takes its arguments apart and puts its results together, written once for one structure.

Flattening any tree costs as much as forty array calls; a function written for one kind of tree costs a tenth of that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy

from .. import trees

Leaves = list[Any]


class _Code:
    """Lines of a function, and the objects they name."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.space: dict[str, Any] = {"ndarray": numpy.ndarray}

    def name(self, x: Any) -> str:
        name = f"_{len(self.space)}"
        self.space[name] = x
        return name

    def build(self, head: str) -> Any:
        exec("\n    ".join([f"def made({head}):", *self.lines]), self.space)
        return self.space["made"]


def unpacker(structure: trees.Structure, kinds: tuple[Any, ...]) -> Callable[[Any], Leaves | None]:
    """A function that takes apart trees of this structure with leaves of these kinds; for any other it answers ``None``."""
    code, leaves = _Code(), list[str]()

    def unless(condition: str) -> None:
        code.lines.append(f"if not ({condition}): return None")

    def visit(s: trees.Structure, x: str) -> None:
        if s.kind is trees.LEAF:
            kind = kinds[len(leaves)]
            leaves.append(x)
            if isinstance(kind, tuple):
                shape, dtype, strides = kind[:3]
                looks = f"{x}.shape == {shape} and {x}.dtype is {code.name(dtype)} and {x}.strides == {strides}"
                unless(f"type({x}) is {code.name(kind[3]) if len(kind) > 3 else 'ndarray'} and {looks}")
            else:
                unless(f"type({x}) is {code.name(kind)}")
        elif s.kind is trees.CONSTANT:
            equal(x, s.fixed)
        else:
            unless(f"type({x}) is {code.name(s.kind)}")
            names = [f"{x}_{i}" for i in range(len(s.keys))]
            if s.kind is dict:
                unless(f"tuple({x}) == {code.name(tuple(s.fixed))}")
                for name, key in zip(names, s.keys, strict=True):
                    code.lines.append(f"{name} = {x}[{code.name(key)}]")
            elif issubclass(s.kind, list | tuple):
                unless(f"len({x}) == {len(names)}")
                code.lines += [f"{''.join(f'{name}, ' for name in names)}= {x}"] if names else []
            elif s.kind in trees.by_attributes:
                for field, value in s.fixed:
                    equal(f"{x}.{field}", value)
                code.lines += [f"{name} = {x}.{key}" for name, key in zip(names, s.keys, strict=True)]
            else:  # known to trees.flatten alone
                unless("False")
            for name, child in zip(names, s.children, strict=True):
                visit(child, name)

    def equal(x: str, value: Any) -> None:
        constant = code.name(value)
        unless(f"{x} is {constant} or {code.name(_equal)}({constant}, {x})")

    visit(structure, "x")
    code.lines.append(f"return [{', '.join(leaves)}]")
    made: Callable[[Any], Leaves | None] = code.build("x")
    return made


class Exactly:
    """A setting as part of a key: equal only to one of the same type and, for numbers, the same sign of zero."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Exactly) and _equal(self.value, other.value)

    def __hash__(self) -> int:  # also of what cannot be hashed
        return hash(type(self.value))


def exactly(structure: trees.Structure) -> Any:
    """The structure as a key for programs: 2 is not 2.0 there, 0.0 not -0.0, and dicts have their own order."""
    fixed = structure.fixed
    if isinstance(fixed, trees.Order):
        settings: Any = tuple(fixed)
    elif structure.kind in trees.by_attributes:
        settings = tuple([(name, Exactly(value)) for name, value in fixed])
    else:
        settings = Exactly(fixed)
    return structure.kind, structure.keys, settings, tuple(map(exactly, structure.children))


def _equal(constant: Any, x: Any) -> bool:
    if constant is x:
        return True
    if type(constant) is float and type(x) is float:
        return repr(constant) == repr(x)
    if type(constant) is not type(x) and not isinstance(constant, trees.Setting):
        return False
    return (constant == x) is True  # of an array it would be an array


def constants_in(structure: trees.Structure, names: list[str], above: str = "") -> Iterator[tuple[str, Any]]:
    """The constants among the arguments, each with its name; ``names`` are the arguments'. Settings of modules do not count."""
    if structure.kind == trees.CONSTANT:
        yield above, structure.fixed
    for i, (key, child) in enumerate(zip(structure.keys, structure.children, strict=True)):
        yield from constants_in(child, [], f"{above}[{key!r}]" if above else names[i])


def _with_attributes(cls: type, attributes: dict[str, Any]) -> Any:
    made: Any = object.__new__(cls)
    made.__dict__.update(attributes)
    return made


def packer(structure: trees.Structure) -> Callable[[Leaves], Any]:
    """A function that puts a list of leaves into a tree of this structure: ``trees.unflatten`` for one of them."""
    code, count = _Code(), iter(range(1 << 30))

    def text(s: trees.Structure) -> str:
        if s.kind is trees.LEAF:
            return f"leaves[{next(count)}]"
        if s.kind is trees.CONSTANT:
            return code.name(s.fixed)
        each = list(map(text, s.children))
        children = ", ".join(each)
        if s.kind is list or (s.kind is tuple and s.children):
            return f"[{children}]" if s.kind is list else f"({children},)"
        if s.kind is dict:
            values = dict(zip(s.keys, each, strict=True))
            return f"{{{', '.join(f'{code.name(key)}: {values[key]}' for key in tuple(s.fixed))}}}"
        if issubclass(s.kind, tuple) and hasattr(s.kind, "_fields"):
            return f"{code.name(s.kind)}({children})"
        if s.kind in trees.by_attributes:
            pairs = [f"{key!r}: {child}" for key, child in zip(s.keys, each, strict=True)]
            pairs += [f"{field!r}: {code.name(trees.bare(value))}" for field, value in s.fixed]
            return f"{code.name(_with_attributes)}({code.name(s.kind)}, {{{', '.join(pairs)}}})"
        join = code.name(trees.join_of(s.kind))
        return f"{join}({code.name(s.kind)}, {code.name(s.keys)}, [{children}], {code.name(s.fixed)})"

    code.lines.append(f"return {text(structure)}")
    made: Callable[[Leaves], Any] = code.build("leaves")
    return made
