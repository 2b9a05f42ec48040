"""A page for each lesson, by sphinx-gallery: its script is run, each picture stands after its idea, and at the end what the run
measured, which wrong models its claims refuse, and the exercises that go with it.

Sphinx-gallery wants a title with a line under it, and shows the last expression of a block: so it is given copies of the
lessons, in ``docs/made/scripts``. A copy names a digest of the library: when that changes, the lesson is run again.
"""

from __future__ import annotations

import ast
import hashlib
import json
import re
import zipfile
from pathlib import Path
from typing import Any

from lesson_slides import plain
from sphinx.application import Sphinx
from sphinx.util import logging

from lessons.__main__ import scripts
from pydgm.autodiff.graph import Graph
from pydgm.lesson import exercise
from pydgm.lesson.claims import Measured
from pydgm.lesson.notebook import notebook, pictured
from pydgm.lesson.pictures import Picture
from pydgm.lesson.scripts import docstring

logger = logging.getLogger(__name__)
DOCS = Path(__file__).resolve().parent.parent
MADE = DOCS / "made"
HIDDEN = """
# sphinx_gallery_start_ignore
# library {library}
import sys

from pydgm import lesson

sys.argv[0] = "sphinx"  # the lesson is not the program that runs
lesson.options({options!r})
# sphinx_gallery_end_ignore
"""
AFTER = """\
For the teacher
---------------
{sheet}

Break it
--------
Wrong models that were tried, and the claim of this lesson that turns red.

.. list-table::
   :header-rows: 1
   :widths: 40 60

   * - wrong
     - claim
{rows}

Exercises
---------
They grade themselves: ``python -m lessons exercise NAME --seed 7 --out homework``.

{exercises}
"""
BARS = re.compile(r"(``.*?``)|\|")  # a bar in a literal is none


def digest(*paths: Path) -> str:
    """Of the library's code."""
    return hashlib.sha256(b"".join(path.read_bytes() for path in paths)).hexdigest()[:16]


def copy(script: Path, options: str, library: str) -> str:
    """The lesson as sphinx-gallery wants it: a title, the options (unseen), a block's end after each picture, what follows."""
    text = script.read_text(encoding="utf-8")
    doc = ast.parse(text).body[0]
    title, _, rest = (ast.literal_eval(doc.value) if isinstance(doc, ast.Expr) else "").partition("\n")
    head = f'r"""{title}\n{"=" * len(title)}\n{rest}"""\n# sphinx_gallery_thumbnail_path = "made/figures/{script.stem}.png"\n'
    cells = []
    for cell in "\n".join(text.splitlines()[doc.end_lineno :]).split("\n# %%\n"):
        code = re.sub(r"\A(#.*\n)*", "", cell)
        first, *others = pictured(code)
        cells += [cell.removesuffix(code) + first, *(f"#\n{other}" for other in others if other.strip())]
    return head + HIDDEN.format(library=library, options=options) + "\n# %%\n".join([*cells, after(script)])


def prepare(app: Sphinx) -> None:
    """Write the copies, before sphinx-gallery looks for them."""
    (MADE / "figures").mkdir(parents=True, exist_ok=True)
    library = digest(*sorted((DOCS.parent / "pydgm").glob("**/*.py")))
    made = {"GALLERY_HEADER.rst": "Lessons\n=======\n\nEach reproduces a figure of the lectures, and proves what it claims.\n"}
    for name, script in scripts().items():
        title, _, text = docstring(script.with_name("__init__.py")).partition("\n")  # of the family
        made[f"{script.parent.name}/GALLERY_HEADER.rst"] = f"{title}\n{'-' * len(title)}\n{text}\n"
        made[f"{name}.py"] = copy(script, f"{app.config.lesson_options} --out ../../figures".strip(), library)
    for name, text in made.items():
        path = MADE / "scripts" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    for path in (MADE / "scripts").glob("*/*.py"):  # of lessons that are no more
        if f"{path.parent.name}/{path.name}" not in made:
            path.unlink()


def downloads(app: Sphinx) -> None:
    """To download there are the lesson itself and its notebook, not the copy."""
    for name, script in scripts().items():
        path = DOCS / "lessons" / name
        files = {".py": script.read_text(encoding="utf-8"), ".ipynb": json.dumps(notebook(script, ""), indent=1)}
        with zipfile.ZipFile(path.with_suffix(".zip"), "w") as both:
            for suffix, text in files.items():
                path.with_suffix(suffix).write_text(text, encoding="utf-8")
                both.writestr(script.stem + suffix, text)


def pictures(block: Any, variables: dict[str, Any], conf: dict[str, Any]) -> str:
    """Sphinx-gallery asks after each block what there is to be seen: the picture that its last line is, or the whole figure."""
    names = variables["example_globals"]
    shown = names.get("___")
    if isinstance(shown, Measured):
        for claim in shown.claims:
            if not claim.holds:
                logger.warning("%s: not so: %s", names["run"].name, claim.claim)
        path, alt = MADE / "figures" / f"{names['run'].name.rpartition('/')[2]}.png", shown.alt
    elif isinstance(shown, Picture):
        path, alt = Path(next(variables["image_path_iterator"])), shown.alt
        path.write_bytes(shown._repr_png_())
    elif isinstance(shown, Graph):
        path = Path(next(variables["image_path_iterator"])).with_suffix(".svg")
        alt = "a graph: " + ", ".join(" ".join(vertex.name.split()) for vertex in shown.vertices)
        path.write_text(shown.svg(), encoding="utf-8")
    else:
        return ""
    if not isinstance(shown, Measured):  # of which Sphinx-gallery is to show the table, too
        names["___"] = None  # the next block may end with no expression
    return f"\n.. image:: /{path.relative_to(conf['src_dir']).as_posix()}\n   :alt: {alt}\n   :class: picture\n\n"


def after(script: Path) -> str:
    """What follows a lesson: the wrong models that its claims refuse, from wrong_models.md, and the family's exercises."""
    table = (DOCS / "wrong_models.md").read_text(encoding="utf-8").replace("\\|", "\0")
    found = re.findall(rf"(?m)^\| (.*?) \| {script.stem}: (?!error)(.*) \|$", table)
    refused = [[plain(cell.replace("\0", "|")) for cell in row] for row in found]
    rows = [f"   * - {wrong}\n     - {claim}" for wrong, claim in refused]
    exercises = {name: path for name, path in exercise.scripts().items() if path.parent.name == script.parent.name}
    items = [f"* ``{name}``: {plain(exercise.summary(path))}" for name, path in exercises.items()]
    sheet = BARS.sub(_bar, (DOCS / "teaching" / f"{script.stem}.rst").read_text(encoding="utf-8"))
    sheet = sheet.replace("[[", "⟦").replace("]]", "⟧")  # brackets that no code has
    text = AFTER.format(sheet=sheet, rows="\n".join(rows), exercises="\n".join(items))
    return "".join(f"# {line}".rstrip() + "\n" for line in text.splitlines())


def _bar(found: re.Match[str]) -> str:
    return found[0] if found[1] else r"\|"


def measured(app: Sphinx, docname: str, source: list[str]) -> None:
    """In a lesson's page ⟦a claim⟧ stands for the number that the lesson's run has just measured for it."""
    report = MADE / "figures" / f"{docname.rpartition('/')[2]}.json"
    if not (docname.startswith("lessons/") and report.exists()):
        return
    numbers = {c["claim"]: c["measured"] for c in json.loads(report.read_text(encoding="utf-8"))["claims"]}

    def number(found: re.Match[str]) -> str:
        claim = " ".join(found[1].replace("\\|", "|").split())
        return f"**{numbers[claim]:.3g}**" if claim in numbers else "(see a default run)"

    source[0] = re.sub("⟦(.*?)⟧", number, source[0], flags=re.DOTALL)


def readable(app: Sphinx, what: str, name: str, it: Any, options: Any, lines: list[str]) -> None:
    """Docstrings are written for a terminal: their formulas, indented, are shown as they stand, and a bar is a bar."""
    made: list[str] = []
    literal = False
    for line in lines:
        indented = line.startswith("    ")
        if line.strip() and not indented:
            literal = False
        if indented and not literal and made and not made[-1].strip():
            before = next((each for each in reversed(made) if each.strip()), "")
            if not before.rstrip().endswith("::") and not before.startswith("    "):
                made += ["::", ""]
            literal = True
        made.append(line if literal else BARS.sub(_bar, line))
    lines[:] = made


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_config_value("lesson_options", "", "env")
    app.connect("builder-inited", prepare, priority=100)
    app.connect("builder-inited", downloads, priority=900)
    app.connect("source-read", measured)
    app.connect("autodoc-process-docstring", readable)
    return {"parallel_read_safe": True, "version": "1"}
