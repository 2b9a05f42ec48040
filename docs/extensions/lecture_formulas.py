"""From lecture to code: every formula of the lectures, the lines that compute it, the test that checks these, the lesson.

The chapters in ``docs/lectures`` name each formula once, and say where it stands in the lectures: ``L3.16`` is the sixteenth
displayed formula of lecture L3. A comment ``# formula: NAME`` stands beside the code that computes it, in the test that checks
it, and in the lessons that show it. The rest follows: a page cannot point to code that is gone.
"""

from __future__ import annotations

import ast
import functools
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parent.parent.parent
CHAPTERS = ROOT / "docs" / "lectures"
DISPLAYED = {"L0": 59, "L1": 15, "L2": 53, "L3": 29, "L4": 49}  # formulas of each lecture
BLOCK = re.compile(
    r"^```\{formula\} (?P<name>\S+)\n(?P<options>(?::[^\n]*\n)*)\n?(?P<latex>.*?)^```$", re.MULTILINE | re.DOTALL
)
MARKER = re.compile(r"#.*?\bformula: ([\w\-, ]+)$")


class Formula(NamedTuple):
    """One formula of the lectures: its places, "L3.16", what is wrong with it there, and whether code computes it."""

    name: str
    chapter: str
    places: list[str]
    latex: str
    slip: str
    instead: str  # why no code computes it as it stands
    code: str  # the folder of the code that computes it: pydgm, or lessons where one does
    covered: bool


class Place(NamedTuple):
    """Where code has a formula's name beside it."""

    path: Path  # from the project's root
    line: int
    owner: str  # the function or class around it: "Planar.init", "" outside of any
    source: str  # of the statement

    @property
    def module(self) -> str:
        return ".".join(self.path.with_suffix("").parts).removesuffix(".__init__")


def formulas() -> dict[str, Formula]:
    """All that the chapters name. Raises ``ValueError`` for a name that is there twice."""
    found: dict[str, Formula] = {}
    for chapter in sorted(CHAPTERS.glob("*.md")):
        for block in BLOCK.finditer(chapter.read_text(encoding="utf-8")):
            options = dict(re.findall(r"^:(\S+): ?(.*)$", block["options"], re.MULTILINE))
            if block["name"] in found:
                raise ValueError(f"{chapter.name}: a second formula {block['name']}")
            found[block["name"]] = Formula(
                block["name"],
                chapter.stem,
                [place for place in re.split(r",\s*", options.get("in", "")) if place],
                block["latex"].strip(),
                options.get("slip", ""),
                options.get("instead", ""),
                options.get("code", "pydgm"),
                not {"not-yet", "instead"} & set(options),
            )
    return found


def _numbers(place: str) -> Iterator[str]:
    """``L3.10-12``: L3.10, L3.11, L3.12."""
    lecture, first, last = re.fullmatch(r"(L\d)\.(\d+)(?:-(\d+))?", place).groups()  # type: ignore[union-attr]
    yield from (f"{lecture}.{number}" for number in range(int(first), int(last or first) + 1))


def numbers(formula: Formula) -> list[str]:
    """Each of its places."""
    return [number for place in formula.places for number in _numbers(place)]


def title(formula: Formula) -> str:
    """Its name in words."""
    return formula.name.replace("-", " ")


@functools.cache
def places(folder: str) -> dict[str, list[Place]]:
    """The marked code under one of the project's folders, by formula."""
    found: dict[str, list[Place]] = {}
    for path in sorted((ROOT / folder).glob("**/*.py")):
        text = path.read_text(encoding="utf-8")
        if "formula: " not in text:
            continue
        lines, tree = text.splitlines(), ast.parse(text)
        for number, line in enumerate(lines, 1):
            if marked := MARKER.search(line):
                place = _place(path.relative_to(ROOT), number, tree, lines)
                for name in re.split(r",\s*", marked[1].strip()):
                    found.setdefault(name, []).append(place)
    return found


def _place(path: Path, number: int, tree: ast.Module, lines: list[str]) -> Place:
    """The statement that the comment in line ``number`` stands before or behind, and what it is part of."""
    owners: list[str] = []
    body: list[ast.stmt] = tree.body
    statement: ast.stmt | None = None
    while True:
        inside = [each for each in body if _first(each) <= number <= (each.end_lineno or 0)]
        if not inside or not isinstance(inside[0], ast.FunctionDef | ast.ClassDef):
            statement = inside[0] if inside else next((each for each in body if each.lineno > number), None)
            break
        owners.append(inside[0].name)
        body = inside[0].body
    if statement is None:
        raise ValueError(f"{path}:{number}: a formula's name, and no code behind it")
    begin = _first(statement)
    if isinstance(statement, ast.FunctionDef | ast.ClassDef):
        owners.append(statement.name)
        own = statement.body[1:] if ast.get_docstring(statement) else statement.body
        head = lines[begin - 1 : statement.body[0].lineno - 1]
        source = "\n".join([*head, *(lines[own[0].lineno - 1 : statement.end_lineno] if own else [])])
    else:
        source = "\n".join(lines[begin - 1 : statement.end_lineno])
    kept = [line for line in textwrap.dedent(source).splitlines() if not re.fullmatch(r"\s*#.*\bformula: .*", line)]
    return Place(path, begin, ".".join(owners), re.sub(r"  # formula: .*", "", "\n".join(kept)))


def _first(statement: ast.stmt) -> int:
    decorators = getattr(statement, "decorator_list", [])
    return min([statement.lineno, *(each.lineno for each in decorators)])


def computing(formula: Formula) -> list[Place]:
    """The code of a formula."""
    return places(formula.code).get(formula.name, [])


def setup(app: Any) -> dict[str, Any]:
    from docutils import nodes
    from docutils.statemachine import StringList
    from sphinx.util.docutils import SphinxDirective

    known, tests, lessons = formulas(), places("tests"), places("lessons")

    class Directive(SphinxDirective):
        def parsed(self, markdown: str) -> list[nodes.Node]:
            box = nodes.container()
            self.state.nested_parse(StringList(markdown.splitlines(), source=self.env.doc2path(self.env.docname)), 0, box)
            return box.children

    class Shown(Directive):
        """``formula``: the mathematics, where it stands in the lectures, the code, the tests, the lessons."""

        required_arguments = 1
        has_content = True
        option_spec = {"in": str, "slip": str, "not-yet": str, "instead": str, "code": str}  # noqa: RUF012  as docutils has it

        def run(self) -> list[nodes.Node]:
            formula = known[self.arguments[0]]
            parts = [f"```{{math}}\n{formula.latex}\n```"]
            said = ", ".join(formula.places) or "in words"
            if formula.slip:
                parts.append(f":::{{admonition}} The lectures have it otherwise\n:class: warning\n\n{formula.slip}\n:::")
            if formula.instead:
                parts.append(f"Lectures: {said}. {formula.instead}")
            elif not formula.covered:
                parts.append(f"Lectures: {said}. Not built yet.")
            for place in computing(formula):
                module = place.module if not place.owner else f"{place.module}.{place.owner}"
                role = f"{{py:obj}}`{module}`" if place.owner else f"{{py:mod}}`{module}`"
                parts.append(f"{role}, `{place.path}` line {place.line}\n\n```python\n{place.source}\n```")
            if formula.covered:
                checked = ", ".join(f"`{p.path.name}::{p.owner.split('.')[0]}`" for p in tests.get(formula.name, []))
                shown = dict.fromkeys(
                    p.path.with_suffix("") for p in lessons.get(formula.name, []) if "exercises" not in p.path.parts
                )
                links = ", ".join(f"{{doc}}`/{path}`" for path in shown)
                parts.append(f"Lectures: {said}. Checked by {checked}. Shown in {links}.")
            label = f"formula-{formula.name}"
            self.env.domains.standard_domain.note_hyperlink_target(label, self.env.docname, label, title(formula))
            box = nodes.container(classes=["formula"], ids=[label])
            box += self.parsed("\n\n".join(parts))
            return [box]

    class Table(Directive):
        """``formula-table``: each formula, and its numbers in each lecture."""

        def run(self) -> list[nodes.Node]:
            rows = ["| formula | L0 | L1 | L2 | L3 | L4 |", "|---|---|---|---|---|---|"]
            for formula in known.values():
                link = f"{{ref}}`{title(formula)} <formula-{formula.name}>`"
                mark = " (a slip)" if formula.slip else "" if formula.covered or formula.instead else " (not yet)"
                at = [", ".join(p.partition(".")[2] for p in formula.places if p.startswith(lecture)) for lecture in DISPLAYED]
                rows.append(f"| {link}{mark} | {' | '.join(at)} |")
            return self.parsed("\n".join(rows))

    def formula_of(app: Any, what: str, name: str, it: Any, options: Any, lines: list[str]) -> None:
        """In the reference a function has the formulas that it computes, and the way to their chapters."""
        for formula in known.values():
            if any(f"{place.module}.{place.owner}" == name for place in places("pydgm").get(formula.name, [])):
                latex = [f"   {line}" for line in formula.latex.splitlines()]
                lines += [
                    "",
                    ".. math::",
                    "",
                    *latex,
                    "",
                    f"The lectures' :ref:`{title(formula)} <formula-{formula.name}>`.",
                    "",
                ]

    app.connect("autodoc-process-docstring", formula_of, priority=900)
    app.add_directive("formula", Shown)
    app.add_directive("formula-table", Table)
    return {"parallel_read_safe": True, "version": "1"}
