"""Slides of a lesson: its ideas with their mathematics, the figure, and each claim as a question first, and then the number."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx
from sphinx_gallery.py_source_parser import split_code_and_text_blocks

from lessons.__main__ import scripts
from pydgm.lesson.claims import Claim, number
from pydgm.lesson.scripts import title

ROOT = Path(__file__).resolve().parents[2]
SLIDE = """\
{title}
{line}

{text}

"""
MATHS = re.compile(r"^\.\. math::.*?(?=^\S|^\s*$|\Z)", re.M | re.S)
REVEAL = """\
.. revealjs-fragments::

   {answer}
"""


def slide(headline: str, text: str = "", line: str = "-") -> str:
    """A slide as reStructuredText."""
    return SLIDE.format(title=headline, line=line * max(len(headline), 3), text=text)


def ideas(script: Path) -> list[str]:
    """For each idea its heading, its formulas, and the first sentence that is said of it."""
    made = []
    for kind, content, _ in split_code_and_text_blocks(str(script))[1][1:]:
        headline, _, body = content.partition("\n")
        if kind != "text" or headline in ("The claims", "What to try next") or "--full" in headline:
            continue
        prose = MATHS.sub("", body.partition("\n")[2]).strip()
        first = re.match(r".*?[.?!](?=\s|$)", prose, re.S)
        formulas = [found.rstrip().replace(r"\qquad", r"\\") for found in MATHS.findall(body)[:2]]
        made.append(slide(headline, "\n\n".join([*formulas, " ".join(first[0].split()) if first else ""])))
    return made


def deck(script: Path) -> str:
    """All slides of a lesson, from its script, its teacher's sheet, and the report of its figure."""
    report = json.loads((ROOT / "figures" / f"{script.stem}.json").read_text(encoding="utf-8"))
    claims = {c["claim"]: Claim(c["claim"], c["measured"], c["relation"], c["bound"]) for c in report["claims"]}
    parts = [slide(title(script), f"{report['lecture']}. {report['figure']}", "="), *ideas(script)]
    parts.append(slide("The figure", f".. image:: ../../figures/{script.stem}.png\n   :alt: {title(script)}"))
    for claim in claims.values():
        said = f"**{number(claim.measured)}**" + f" (claimed: {claim.relation} {number(claim.bound)})"
        parts.append(slide("What do you expect?", f"{plain(claim.claim)}\n\n{REVEAL.format(answer=said)}"))
    sheet = (ROOT / "docs" / "teaching" / f"{script.stem}.rst").read_text(encoding="utf-8")
    for question, answer in re.findall(r"^\d\. (.*?)\n\n   (.*?)(?=\n\n|\Z)", sheet, re.M | re.S):
        told = re.sub(r"\[\[(.*?)\]\]", lambda m: f"**{number(claims[' '.join(m[1].split())].measured)}**", answer, flags=re.S)
        parts.append(slide("And why?", f"{_one_line(question)}\n\n{REVEAL.format(answer=_one_line(told))}"))
    return "".join(parts)


def _one_line(text: str) -> str:
    return " ".join(text.split()).replace("|", r"\|")


def plain(text: str) -> str:
    """As reStructuredText shows it to the letter."""
    return re.sub(r"([\\*`_|])", r"\\\1", text)


def prepare(app: Sphinx) -> None:
    """Write the decks beside their conf.py."""
    folder = Path(app.srcdir)
    items = []
    for name, script in scripts().items():
        (folder / f"{script.stem}.rst").write_text(f":orphan:\n\n{deck(script)}", encoding="utf-8")
        items.append(f"* :doc:`{script.stem}` ({name.partition('/')[0]})")
    (folder / "index.rst").write_text(slide("pydgm: slides", "\n".join(items), "="), encoding="utf-8")


def setup(app: Sphinx) -> dict[str, Any]:
    app.connect("builder-inited", prepare)
    return {"parallel_read_safe": True, "version": "1"}
