"""A lesson's script as a Jupyter notebook: its text with the mathematics, its code, a picture after each idea."""

from __future__ import annotations

import ast
import copy
from pathlib import Path
from typing import Any

FIRST = """\
# What `python -m lessons run` takes, too: --quick or --full, --seed N, --set KEY=VALUE, --data DIR, --out DIR, --backend cupy
from pydgm import lesson

lesson.options({options!r})"""


def notebook(script: Path, options: str) -> dict[str, Any]:
    """The notebook of a lesson, as JSON has it; ``options`` are those of its first cell, "--quick --seed 3" say.

    Sphinx-gallery's converter makes it. What is its own: the docstring's first line is the title, and a cell ends where a
    picture is to be seen. Raises ``ImportError`` without sphinx-gallery.
    """
    from sphinx_gallery.gen_gallery import DEFAULT_GALLERY_CONF
    from sphinx_gallery.notebook import jupyter_notebook
    from sphinx_gallery.py_source_parser import Block, split_code_and_text_blocks

    (_, doc, line), *blocks = split_code_and_text_blocks(str(script))[1]
    title, _, rest = doc.partition("\n")
    cells = [Block("text", f"{title}\n{'=' * len(title)}\n{rest}", line)]
    for kind, content, line in blocks:
        cells += [Block(kind, part, line) for part in (pictured(content) if kind == "code" else [content]) if part.strip()]
    settings = {**copy.deepcopy(DEFAULT_GALLERY_CONF), "first_notebook_cell": FIRST.format(options=options)}
    made: dict[str, Any] = jupyter_notebook(cells, settings, str(script.parent))
    return made


def pictured(code: str) -> list[str]:
    """The code in parts, each but the last ending with a ``run.picture``: a notebook shows the last line of a cell."""
    lines, parts, begin = code.splitlines(), [], 0
    for statement in ast.parse(code).body:
        if ast.unparse(statement).startswith("run.picture(") and statement.end_lineno:
            parts.append("\n".join(lines[begin : statement.end_lineno]))
            begin = statement.end_lineno
    return [*parts, "\n".join(lines[begin:])]
