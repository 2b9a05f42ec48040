"""What the README promises: its figures and claims are those of ``figures/``, its code runs."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from benchmarks import likelihood
from benchmarks.__main__ import table
from pydgm.lesson.claims import as_markdown, in_a_cell

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
REPORTS = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted((ROOT / "figures").glob("*.json"))}
SCRIPTS = {path.stem: path for path in (ROOT / "lessons").glob("*/*.py") if path.stem != "__init__"}


def shown(report) -> bool:
    """True for the run that the README shows. A run of one's own, with another seed or other data, may show what it finds."""
    real = all(source["real"] for source in report["data"].values())
    return (report["mode"], report["seed"], report["backend"], real) == ("default", 0, "numpy", True)


def test_every_lesson_has_its_figure() -> None:
    assert set(REPORTS) == set(SCRIPTS)
    for name in REPORTS:
        assert (ROOT / "figures" / f"{name}.png").exists()
        assert f"figures/{name}.png" in README


@pytest.mark.parametrize("name", sorted(REPORTS))
def test_the_readme_shows_the_claims(name) -> None:
    """``python -m lessons readme`` puts them there: the numbers of the run shown, and of any full run the sentences."""
    report = REPORTS[name]
    if shown(report):
        assert all(claim["holds"] for claim in report["claims"])
        assert as_markdown(report["claims"]) in README
    for claim in report["claims"]:
        assert f"| {in_a_cell(claim['claim'])} |" in README


@pytest.mark.parametrize("name", sorted(SCRIPTS))
def test_the_readmes_claims_are_the_scripts(name) -> None:
    """The README knows no other sentences than the lesson's."""
    section = README.split(f"figures/{name}.png")[1].split("###")[0].split("<!--")[0]
    script = SCRIPTS[name].read_text(encoding="utf-8")
    for sentence, *_ in table_rows(section):
        assert f'"{sentence}"'.replace("\\|", "|") in script


def table_rows(text: str) -> list[list[str]]:
    return [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ")][1:]


def test_the_readmes_code_runs(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    assert len(blocks) == 8
    space: dict[str, object] = {}
    for block in blocks:
        exec(block, space)
    assert space["run"].losses.shape == (100,)  # type: ignore[attr-defined]
    space["test_swish"]()  # type: ignore[operator]
    (program,) = re.findall(r"```text\n(.*?)```", README, flags=re.DOTALL)
    assert program.split("    # ...: ")[0] in space["step"].source  # type: ignore[attr-defined]


def test_the_readme_shows_the_likelihoods() -> None:
    assert likelihood.table(json.loads(likelihood.KEPT.read_text(encoding="utf-8"))) in README


def test_the_readme_shows_the_race() -> None:
    report = json.loads((ROOT / "benchmarks" / "report.json").read_text(encoding="utf-8"))
    assert table(report) in README
    assert report["date"] in README
    assert (ROOT / "figures" / "benchmarks.png").exists()
