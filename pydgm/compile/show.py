"""Show: a compiled program as a page, beside the lines that it was recorded from. It needs no network.

On the left the user's lines, and those of the layers and models that they call; on the right what NumPy does, line by line:
values, their gradients, updates, noise. A line on either side lights up what belongs to it on the other, under the mouse or by
keys. Each line of the program has its result's shape and bytes, and the time that it takes.
"""

from __future__ import annotations

import ast
import inspect
import itertools
import linecache
import math
import textwrap
import time
from collections.abc import Iterable, Iterator
from html import escape
from pathlib import Path
from typing import Any

import numpy

from ..errors import Line
from .emit import Row
from .program import Program
from .traced import Draw, Node, nodes_in

PAGE = Path(__file__).with_name("show.html")
SECONDS = 0.5  # for measuring


def microseconds(program: Program) -> list[float]:
    """The time of each line, median of many calls, on positive random numbers of the shapes that it was recorded for."""
    rng = numpy.random.default_rng(0)
    names = program.run.__code__.co_varnames[: program.run.__code__.co_argcount]
    lines = [f"def program({', '.join(names)}):", "_mark(_clock())"]
    for row in program.written.rows[:-1]:
        lines += [row.quick, "_mark(_clock())"]
    marks: list[float] = []
    space = {**program.run.__globals__, "_clock": time.perf_counter_ns, "_mark": marks.append}
    exec("\n    ".join(lines), space)
    states = [(generator, generator.state()) for generator in program.generators]
    each: list[list[float]] = []
    end = time.perf_counter() + SECONDS
    try:
        with numpy.errstate(all="ignore"):
            while not each or (time.perf_counter() < end and len(each) < 1000):
                marks.clear()
                space["program"](*[_like(node, rng) for node in program.inputs])
                each.append([b - a for a, b in itertools.pairwise(marks)])
    finally:
        for generator, state in states:
            generator.restore(state)
    own = min(itertools.chain.from_iterable(each), default=0.0)  # of a comment: what looking at the clock takes
    return [float(ns) / 1000.0 for ns in numpy.maximum(numpy.median(each, axis=0) - own, 0.0)] + [0.0]


def _like(node: Node, rng: numpy.random.Generator) -> Any:
    """A value of the kind of an argument: numbers between 0.1 and 1, symbols 0."""
    if not node.array:
        return 0.5
    if node.dtype.kind in "fc":
        return numpy.asarray(rng.uniform(0.1, 1.0, node.shape), node.dtype)
    return numpy.zeros(node.shape, node.dtype)


def kinds(rows: Iterable[Row]) -> Iterator[str]:
    """What each line is for. An update takes a gradient, or what an update on the same line made of one."""
    made: dict[int, tuple[str, Line | None]] = {}
    for row in rows:
        if row.step is None:
            yield "end"
            continue
        out = row.step.out
        place = out.trail[-1] if out.trail else None
        from_gradients = [made.get(id(x), ("", None)) for x in nodes_in((row.step.args, row.step.kwargs))]
        if isinstance(row.step.function, Draw):
            kind = "noise"
        elif out.line.startswith("derivative of "):
            kind = "gradient"
        elif place is not None and Path(place.file).name == "optim.py":
            kind = "update"
        else:
            kind = "update" if any(k == "gradient" or (k == "update" and at == place) for k, at in from_gradients) else "value"
        made[id(out)] = kind, place
        yield kind


def _of_library(line: Line) -> bool:
    return line.file.startswith(str(Path(__file__).parents[1]))


def blocks(trails: Iterable[tuple[Line, ...]]) -> list[tuple[str, list[tuple[Line, str]]]]:
    """The functions that the lines belong to, the user's first: a title, and their lines with the code, docstrings left out. Of
    what stands in no function the lines in use."""
    functions: dict[tuple[str, str, int], set[int]] = {}
    for line in itertools.chain.from_iterable(trails):
        functions.setdefault((line.file, line.function, line.begins), set()).add(line.number)
    for (file, function, begins), used in functions.items():
        if function.endswith("<lambda>"):
            used |= set(range(begins, max(used) + 1))
        elif function != "<module>":
            code = inspect.getblock(linecache.getlines(file)[begins - 1 :])
            used |= {begins + i for i in range(len(code))} - {begins + i for i in _docstring(code)}
    made: list[tuple[str, list[tuple[Line, str]]]] = []
    shown: set[tuple[str, int]] = set()
    for (file, function, begins), numbers in sorted(functions.items(), key=lambda block: -len(block[1])):
        new = sorted(n for n in numbers if (file, n) not in shown)  # a function inside of another stands there
        shown |= {(file, n) for n in new}
        missing = "" if linecache.getlines(file) else "(its source is not at hand)"
        lines = [(Line(file, n, function, begins), linecache.getline(file, n).rstrip() or missing) for n in new]
        if lines:
            name = "notebook cell" if "ipykernel" in file else Path(file).name
            made.append((name + ("" if function == "<module>" else f": {function}"), lines))
    order = {key[:2]: i for i, key in enumerate(functions)}
    return sorted(made, key=lambda block: (_of_library(block[1][0][0]), order[block[1][0][0].file, block[1][0][0].function]))


def _docstring(code: list[str]) -> range:
    """Which lines of a function it takes."""
    try:
        body = ast.parse(textwrap.dedent("".join(code))).body[0].body  # type: ignore[attr-defined]
    except (SyntaxError, IndexError, AttributeError):  # a lambda in the middle of a line
        return range(0)
    text = isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant) and len(body) > 1
    return range(body[0].lineno - 1, body[0].end_lineno) if text else range(0)


def page(program: Program, title: str) -> str:
    """The page, as HTML."""
    times, failed = [0.0] * len(program.written.rows), ""
    try:
        times = microseconds(program)
    except Exception as error:  # a decomposition of what has none, say: the page tells, and has no times
        failed = type(error).__name__
    of_times = f"not measured: {failed} on random numbers" if failed else "median, on random numbers of these shapes"
    rows = list(zip(program.written.rows, times, strict=True))
    rows = [(row, us) for row, us in rows if not row.text.startswith("#")]
    functions = blocks(row.step.out.trail for row, _ in rows if row.step)
    marks = {line[:2]: f"L{i}" for i, line in enumerate(dict.fromkeys(line for _, some in functions for line, _ in some))}
    left = []
    for name, lines in functions:
        left.append(f'<section class="{"library" if _of_library(lines[0][0]) else "yours"}"><h2>{escape(name)}</h2>')
        margin = min((len(code) - len(code.lstrip()) for _, code in lines if code.strip()), default=0)
        for line, code in lines:
            text = f'<span class="number">{line.number}</span><code>{escape(code[margin:]) or " "}</code>'
            left.append(f'<div class="line" id="{marks[line[:2]]}">{text}</div>')
        left.append("</section>")
    most, right, before = max(us for _, us in rows) or 1.0, [], ("", "")
    for (row, us), kind in zip(rows, kinds(row for row, _ in rows), strict=True):
        node = row.step.out if row.step else None
        way = " ".join(dict.fromkeys(marks[line[:2]] for line in node.trail)) if node else ""
        shape, size = ("", "") if node is None or not node.array else (_shape(node), _bytes(node))
        style = f"line {kind}{'' if (way, kind) == before else ' next'}"
        before = way, kind
        cells = [
            f'<span class="time" style="--share:{100.0 * us / most:.1f}%">{"" if failed else f"{us:.1f}"}</span>',
            f'<code>{escape(row.text)}</code><span class="shape">{shape}</span><span class="size">{size}</span>',
        ]
        right.append(f'<div class="{style}" data-of="{way}">{"".join(cells)}</div>')
    buffers = sum(x.nbytes for name, x in program.run.__globals__.items() if name.startswith("buffer_"))
    facts = f"{len(rows) - 1} lines, {sum(times):.0f} µs, {_amount(buffers)} of buffers"
    parts = {
        "TITLE": escape(title),
        "TIMES": escape(of_times),
        "FACTS": escape(facts),
        "LEFT": "\n".join(left),
        "RIGHT": "\n".join(right),
    }
    text = PAGE.read_text(encoding="utf-8")
    for name, part in parts.items():
        text = text.replace(f"<!--{name}-->", part)
    return text


def in_frame(text: str) -> str:
    """The page inside of another one, whose styles it leaves alone: for a notebook."""
    return f'<iframe title="compiled program" srcdoc="{escape(text)}" style="width:100%;height:75vh;border:1px solid"></iframe>'


def _shape(node: Node) -> str:
    return f"{' × '.join(map(str, node.shape)) or 'one'} {node.dtype}"


def _amount(size: int) -> str:
    return f"{size} B" if size < 1024 else f"{size / 1024:.1f} KiB" if size < 1024**2 else f"{size / 1024**2:.1f} MiB"


def _bytes(node: Node) -> str:
    return "view" if node.view_of is not None else _amount(math.prod(node.shape) * node.dtype.itemsize)
