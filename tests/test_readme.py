"""What the README promises: its figures and claims are those of ``figures/``, its code runs."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

import pytest

from pydgm.lesson.claims import as_markdown

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
REPORTS = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted((ROOT / "figures").glob("*.json"))}
SCRIPTS = {path.stem: path for path in (ROOT / "lessons").glob("*/*.py") if path.stem != "__init__"}


def test_every_lesson_has_its_figure() -> None:
    assert set(REPORTS) == set(SCRIPTS)
    for name, report in REPORTS.items():
        assert (ROOT / "figures" / f"{name}.png").exists()
        assert (report["mode"], report["seed"], report["backend"]) == ("default", 0, "numpy")
        assert all(claim["holds"] for claim in report["claims"])


@pytest.mark.parametrize("name", sorted(REPORTS))
def test_the_readme_shows_the_figure_and_its_claims(name) -> None:
    """``python -m lessons readme`` puts them there."""
    assert f"figures/{name}.png" in README
    assert as_markdown(REPORTS[name]["claims"]) in README


@pytest.mark.parametrize("name", sorted(SCRIPTS))
def test_the_figures_claims_are_the_scripts(name) -> None:
    """Every sentence of the report stands in the script, so a figure of an older script is noticed."""
    texts = [n.value for n in ast.walk(ast.parse(SCRIPTS[name].read_text(encoding="utf-8"))) if isinstance(n, ast.Constant)]
    parts = [t for t in texts if isinstance(t, str) and len(t) > 5]
    for claim in REPORTS[name]["claims"]:
        assert any(part in claim["claim"] for part in parts), claim["claim"]


def test_the_readmes_code_runs() -> None:
    blocks = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    assert len(blocks) == 3
    space: dict[str, object] = {}
    for block in blocks:
        exec(block, space)
    space["test_swish"]()  # type: ignore[operator]
