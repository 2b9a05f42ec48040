"""A claim: a sentence about a figure, the number measured, and the bound that it has to keep."""

from __future__ import annotations

import html
import operator
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

_RELATIONS: dict[str, Callable[[Any, Any], bool]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "<": operator.lt,
    ">": operator.gt,
    "==": operator.eq,
    "within": lambda x, bounds: bounds[0] <= x <= bounds[1],
}


class Claim(NamedTuple):
    """``measured relation bound``. A NaN keeps no bound."""

    claim: str
    measured: float
    relation: str
    bound: Any  # a number; for "within", the lowest and the highest

    @property
    def holds(self) -> bool:
        return bool(_RELATIONS[self.relation](self.measured, self.bound))

    def as_json(self) -> dict[str, Any]:
        return {**self._asdict(), "holds": self.holds}


def check_relation(relation: str) -> None:
    if relation not in _RELATIONS:
        raise ValueError(f"a claim's relation is one of {', '.join(_RELATIONS)}, not {relation!r}")


def number(x: Any) -> str:
    """A measured number, or a bound, in four digits."""
    if isinstance(x, list | tuple):
        return " to ".join(map(number, x))
    return f"{x:.4g}"


def table(claims: Sequence[Claim]) -> str:
    """The claims as lines of text: holds or FAILS, the measured number, the bound."""
    lines = []
    for c in claims:
        said = f"{number(c.measured)} {c.relation} {number(c.bound)}"
        lines.append(f"  {'holds' if c.holds else 'FAILS'}  {said:<28} {c.claim}")
    return "\n".join(lines)


class Measured(NamedTuple):
    """What a run has found: its claims, as a table where somebody looks, Jupyter or a page."""

    claims: Sequence[Claim]

    def __repr__(self) -> str:
        return table(self.claims)

    @property
    def alt(self) -> str:
        """The figure in words, for those who do not see it: what it claims, and what was measured."""
        return "; ".join(f"{c.claim}: {number(c.measured)}" for c in self.claims)

    def _repr_html_(self) -> str:
        cells = [
            (c.claim, number(c.measured), f"{c.relation} {number(c.bound)}", "holds" if c.holds else "FAILS")
            for c in self.claims
        ]
        rows = "".join(f"<tr>{''.join(f'<td>{html.escape(cell)}</td>' for cell in row)}</tr>" for row in cells)
        head = "".join(f'<th scope="col">{name}</th>' for name in ("claim", "measured", "bound", ""))
        return f'<table class="claims"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>'


def in_a_cell(text: str) -> str:
    """In a Markdown table a bar would begin the next cell."""
    return text.replace("|", "\\|")


def as_markdown(claims: Sequence[dict[str, Any]]) -> str:
    """The claims of a lesson's report as a table."""
    rows = [f"| {in_a_cell(c['claim'])} | {number(c['measured'])} | {c['relation']} {number(c['bound'])} |" for c in claims]
    return "\n".join(["| claim | measured | bound |", "|---|---|---|", *rows])
