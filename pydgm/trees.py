"""Trees: arrays inside dicts, lists, tuples and modules, taken apart and put together again.

A *leaf* is an array, a tensor or a Python float (in a module's own field, a float is a setting). Whatever else is met
(integers, strings, ``None``, functions) is part of the tree's *structure*: two trees of equal structure can be walked
together. Models, gradients, optimiser states and arguments of functions are all trees, so nothing above this file has to
know which of them it holds.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from .errors import TreeError

Tree = Any


class Structure(NamedTuple):
    """What is left of a tree when its leaves are taken out. Comparable; holds one entry for each child."""

    kind: Any  # the container's type, or LEAF, or CONSTANT
    keys: tuple[Any, ...]  # how each child is reached: dict keys, positions, field names
    children: tuple[Any, ...]
    fixed: Any = None  # a constant's value; a module's settings

    def __str__(self) -> str:
        if self.kind is LEAF:
            return "*"
        if self.kind is CONSTANT:
            return repr(self.fixed)
        inside = ", ".join(f"{k}: {c}" for k, c in zip(self.keys, self.children, strict=True))
        return f"{self.kind.__name__}({inside})"


LEAF, CONSTANT = "leaf", "constant"
_STAR = Structure(LEAF, (), ())

Split = Callable[[Any], tuple[tuple[Any, ...], tuple[Any, ...], Any]]
Join = Callable[[type, tuple[Any, ...], list[Any], Any], Any]
_containers: dict[type, tuple[Split, Join]] = {}


by_attributes: set[type] = set()
"""Containers whose children are attributes of the same names, and whose ``fixed`` is pairs of further ones."""


def register(cls: type, split: Split, join: Join, attributes: bool = False) -> None:
    """Make ``cls`` a container. ``split(x) -> (keys, children, fixed)``; ``join(cls, keys, children, fixed) -> x``."""
    _containers[cls] = (split, join)
    if attributes:
        by_attributes.add(cls)


class Setting:
    """A value in ``fixed`` that needs help to be compared: subclasses say how."""

    def __init__(self, value: Any) -> None:
        self.value = value


def bare(setting: Any) -> Any:
    """A value in ``fixed``, without what makes it comparable."""
    return setting.value if isinstance(setting, Setting) else setting


def join_of(cls: type) -> Join:
    """How a container is put together."""
    return _containers[cls][1]


class Order(tuple[Any, ...]):
    """The keys of a dict as they were put in. Orders are all equal: {"w", "b"} and {"b", "w"} are one structure."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Order)

    def __ne__(self, other: object) -> bool:
        return not isinstance(other, Order)

    def __hash__(self) -> int:
        return 0


def _split_dict(x: dict[Any, Any]) -> tuple[tuple[Any, ...], tuple[Any, ...], Any]:
    try:
        keys = tuple(sorted(x))
    except TypeError:
        keys = tuple(x)
    return keys, tuple([x[k] for k in keys]), Order(x)


def _join_dict(cls: type, keys: tuple[Any, ...], values: list[Any], order: Any) -> dict[Any, Any]:
    by_key = dict(zip(keys, values, strict=True))
    return by_key if order == keys else {key: by_key[key] for key in tuple(order)}


register(dict, _split_dict, _join_dict)
register(list, lambda x: (tuple(range(len(x))), tuple(x), None), lambda cls, keys, values, _: list(values))
register(tuple, lambda x: (tuple(range(len(x))), tuple(x), None), lambda cls, keys, values, _: tuple(values))


_kinds: dict[type, Any] = {}  # how a class is taken apart; LEAF; or CONSTANT: found once for each class


def _kind(cls: type) -> Any:
    if cls not in _containers and issubclass(cls, tuple) and hasattr(cls, "_fields"):  # a NamedTuple registers itself
        register(cls, lambda x: (x._fields, tuple(x), None), lambda c, keys, values, _: c(*values))
    if cls in _containers:
        kind: Any = _containers[cls][0]
    elif issubclass(cls, dict | list | tuple):  # as a constant, its arrays would be lost unseen
        raise TypeError(f"{cls.__name__} is no container that pydgm knows: use dict, list or tuple, or trees.register it")
    else:
        kind = LEAF if issubclass(cls, float) or (hasattr(cls, "shape") and hasattr(cls, "dtype")) else CONSTANT
    _kinds[cls] = kind
    return kind


def flatten(tree: Tree) -> tuple[list[Any], Structure]:
    """The leaves of ``tree`` in order, and its structure."""
    leaves: list[Any] = []
    return leaves, _flatten(tree, leaves)


def _flatten(x: Any, leaves: list[Any]) -> Structure:
    cls = type(x)
    kind = _kinds.get(cls) or _kind(cls)
    if kind is LEAF:
        leaves.append(x)
        return _STAR
    if kind is CONSTANT:
        return Structure(CONSTANT, (), (), x)
    keys, children, fixed = kind(x)
    return Structure(cls, keys, tuple([_flatten(child, leaves) for child in children]), fixed)


def unflatten(structure: Structure, leaves: list[Any]) -> Tree:
    """The tree of ``structure`` with ``leaves`` put in, in order."""
    return _unflatten(structure, iter(leaves))


def _unflatten(s: Structure, leaves: Any) -> Any:
    if s.kind is LEAF:
        return next(leaves)
    if s.kind is CONSTANT:
        return s.fixed
    return _containers[s.kind][1](s.kind, s.keys, [_unflatten(child, leaves) for child in s.children], s.fixed)


def constants(structure: Structure) -> Iterator[Any]:
    """What stands in the places of leaves and is none: integers, texts, ``None``."""
    if structure.kind is CONSTANT:
        yield structure.fixed
    for child in structure.children:
        yield from constants(child)


def leaves(tree: Tree) -> list[Any]:
    """The leaves of ``tree``, in order."""
    return flatten(tree)[0]


def paths(structure: Structure, above: str = "") -> list[str]:
    """A readable name for each leaf: ``encoder.layers[0].weight``."""
    if structure.kind is LEAF:
        return [above]
    names: list[str] = []
    for key, child in zip(structure.keys, structure.children, strict=True):
        plain = isinstance(key, str) and key.isidentifier() and structure.kind is not dict
        names += paths(child, (f"{above}.{key}" if above else key) if plain else f"{above}[{key!r}]")
    return names


def argument_names(function: Callable[..., Any], n: int) -> list[str]:
    """What ``function`` calls the ``n`` arguments that it is given by position: ``x``, ``xs[0]`` of ``*xs``."""
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):  # a builtin has no signature
        parameters = []
    plain = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    more = next((p.name for p in parameters if p.kind is p.VAR_POSITIONAL), None)
    beyond = [f"argument_{i}" if more is None else f"{more}[{i - len(plain)}]" for i in range(len(plain), n)]
    return [*plain, *beyond][:n]


def argument_paths(function: Callable[..., Any], structure: Structure) -> list[str]:
    """``model.layers[0].weight``: a name for each leaf of the arguments, from the function's parameters and models' fields."""
    names = argument_names(function, len(structure.children))
    return [path for name, child in zip(names, structure.children, strict=True) for path in paths(child, name)]


def check_same(expected: Structure, actual: Structure, what: str) -> None:
    """Raise :class:`~pydgm.errors.TreeError` unless both are the same, saying where they part."""
    if expected != actual:
        raise TreeError(f"{what}: {_difference(expected, actual, 'the tree')}")


def _difference(a: Structure, b: Structure, where: str) -> str:
    if a.kind != b.kind or a.keys != b.keys:
        return f"{where} was {a} and is now {b}"
    for key, x, y in zip(a.keys, a.children, b.children, strict=True):
        if x != y:
            return _difference(x, y, f"{where}[{key!r}]")
    return f"{where} was made with {a.fixed!r} and is now made with {b.fixed!r}"


def map(f: Callable[..., Any], tree: Tree, *others: Tree) -> Tree:
    """``f`` applied to each leaf of ``tree`` together with the leaves of ``others`` in the same place.

    Raises :class:`~pydgm.errors.TreeError` where the structures differ.
    """
    first, structure = flatten(tree)
    rest = []
    for other in others:
        its_leaves, its_structure = flatten(other)
        check_same(structure, its_structure, "trees that are walked together must have the same structure")
        rest.append(its_leaves)
    return unflatten(structure, [f(*together) for together in zip(first, *rest, strict=True)])
