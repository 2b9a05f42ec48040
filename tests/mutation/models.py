"""Where wrong models come from: the list in ``wrong_models.txt``, and small changes that are made by rule."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
LIST = Path(__file__).with_name("wrong_models.txt")
GENERATED = ("models/", "distributions/", "divergences.py", "estimators.py")


class WrongModel(NamedTuple):
    """``pydgm/file`` with the text ``source``, and who is to notice."""

    file: str
    name: str
    source: str
    lessons: tuple[str, ...]
    tests: tuple[str, ...]


def named() -> Iterator[WrongModel]:
    """Those of the list. Raises ``ValueError`` where a text does not stand once in its file."""
    for headline, rest in re.findall(r"^## (.*?)\n(.*?)(?=^## |\Z)", LIST.read_text(encoding="utf-8"), re.M | re.S):
        file, lessons, tests = re.split("[:;] ", headline)
        source = re.sub(r"(?m)^ *# formula: .*\n", "", (ROOT / "pydgm" / file).read_text(encoding="utf-8"))
        for name, change in re.findall(r"^# (.*?)\n(.*?)\n(?=\n|\Z)", rest, re.M | re.S):
            right, wrong = ("\n".join(x[2:] for x in change.split("\n") if x.startswith(sign)) for sign in "-+")
            if source.count(right) != 1:
                raise ValueError(f"{file}, {name}: the text stands {source.count(right)} times in the file, and not once")
            yield WrongModel(file, name, source.replace(right, wrong), tuple(lessons.split()), tuple(tests.split()))


_SYMMETRIC = ("equal", "maximum", "minimum", "average", "conjunction", "disjunction", "equivalence")
_OPERATORS = {ast.Add: "-", ast.Sub: "+", ast.Mult: "/", ast.Div: "*", ast.Pow: "*", ast.MatMult: None}


def changes(source: str) -> Iterator[tuple[int, int, str]]:
    """(begin, end, text in place): + for -, * for /, other numbers, arguments in another order, a sign turned, < for >."""
    lines = [0]
    for line in source.splitlines(keepends=True):
        lines.append(lines[-1] + len(line.encode()))

    def span(node: ast.AST) -> tuple[int, int]:
        return lines[node.lineno - 1] + node.col_offset, lines[node.end_lineno - 1] + node.end_col_offset  # type: ignore

    text = source.encode()

    def of(node: ast.AST) -> str:
        begin, end = span(node)
        return text[begin:end].decode()

    tree = ast.parse(source)
    refused = {
        span(x) for node in ast.walk(tree) if isinstance(node, ast.Raise) for x in ast.walk(node) if hasattr(x, "lineno")
    }
    for node in ast.walk(tree):
        if not hasattr(node, "lineno") or span(node) in refused:
            continue
        begin, end = span(node)
        if isinstance(node, ast.BinOp) and _OPERATORS.get(type(node.op)):
            between = text[span(node.left)[1] : span(node.right)[0]].decode()
            for sign in ("**", "+", "-", "*", "/"):
                if sign in between:
                    at = span(node.left)[1] + between.index(sign)
                    yield at, at + len(sign), str(_OPERATORS[type(node.op)])
                    break
        elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub) and not isinstance(node.operand, ast.Constant):
            yield begin, end, of(node.operand)
        elif isinstance(node, ast.Constant) and isinstance(node.value, float):
            yield begin, end, repr(2.0 * node.value if node.value else 1.0)
        elif isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.Lt | ast.Gt):
            at = text.index(b"<" if isinstance(node.ops[0], ast.Lt) else b">", span(node.left)[1])
            yield at, at + 1, ">" if isinstance(node.ops[0], ast.Lt) else "<"
        elif isinstance(node, ast.Call) and len(node.args) >= 2 and not any(isinstance(a, ast.Starred) for a in node.args[:2]):
            (a, b), (c, d) = span(node.args[0]), span(node.args[1])
            if text[a:b] != text[c:d] and of(node.func).rpartition(".")[2] not in _SYMMETRIC:
                yield a, d, (text[c:d] + text[b:c] + text[a:b]).decode()


def generated() -> Iterator[WrongModel]:
    """Every change by rule in those files of models, divergences and distributions that the list speaks of."""
    who = {model.file: model for model in named()}
    for path in sorted((ROOT / "pydgm").rglob("*.py")):
        file = path.relative_to(ROOT / "pydgm").as_posix()
        if not file.startswith(GENERATED) or file not in who:
            continue
        source = path.read_text(encoding="utf-8")
        text = source.encode()
        for begin, end, new in sorted(set(changes(source))):
            wrong = text[:begin] + new.encode() + text[end:]
            line = text[:begin].count(b"\n") + 1
            name = f"line {line}: {text[begin:end].decode()} -> {new}"
            yield WrongModel(file, name, wrong.decode(), who[file].lessons, who[file].tests)
