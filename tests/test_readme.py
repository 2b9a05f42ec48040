"""What README and docs promise: figures and claims are those of ``figures/``, code runs, links lead somewhere."""

from __future__ import annotations

import json
import re
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from benchmarks import likelihood
from benchmarks.__main__ import table
from pydgm.lesson.claims import as_markdown, in_a_cell

ROOT = Path(__file__).parents[1]
PAGES = {path.stem: path.read_text(encoding="utf-8") for path in [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]}
README, FIGURES, GUIDE, BENCHMARKS = (PAGES[name] for name in ("README", "figures", "guide", "benchmarks"))
REPORTS = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted((ROOT / "figures").glob("*.json"))}
SCRIPTS = {path.stem: path for path in (ROOT / "lessons").glob("*/*.py") if path.stem != "__init__"}


def shown(report) -> bool:
    """True for the run that docs/figures.md shows. Another seed, other data may show what they find."""
    real = all(source["real"] for source in report["data"].values())
    return (report["mode"], report["seed"], report["backend"], real) == ("default", 0, "numpy", True)


def test_every_lesson_has_its_figure() -> None:
    assert set(REPORTS) == set(SCRIPTS)
    for name in REPORTS:
        assert (ROOT / "figures" / f"{name}.png").exists()
        assert f"../figures/{name}.png" in FIGURES


@pytest.mark.parametrize("name", sorted(REPORTS))
def test_the_docs_show_the_claims(name) -> None:
    """``python -m lessons figures`` puts them there: the numbers of the run shown, and of any full run the sentences."""
    report = REPORTS[name]
    if shown(report):
        assert all(claim["holds"] for claim in report["claims"])
        assert as_markdown(report["claims"]) in FIGURES
    for claim in report["claims"]:
        assert f"| {in_a_cell(claim['claim'])} |" in FIGURES


@pytest.mark.parametrize("name", sorted(SCRIPTS))
def test_the_docs_claims_are_the_scripts(name) -> None:
    """docs/figures.md knows no other sentences than the lesson's."""
    section = FIGURES.split(f"figures/{name}.png")[1].split("##")[0].split("<!--")[0]
    script = SCRIPTS[name].read_text(encoding="utf-8")
    for sentence, *_ in table_rows(section):
        assert f'"{sentence}"'.replace("\\|", "|") in script


def table_rows(text: str) -> list[list[str]]:
    return [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ")][1:]


def code_of(page: str, language: str = "python") -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page, flags=re.DOTALL)


def run(page: str) -> dict[str, Any]:
    space: dict[str, Any] = {}
    for block in code_of(page):
        exec(block, space)
    return space


def test_the_readmes_code_runs() -> None:
    assert len(code_of(README)) == 2
    assert len(README.splitlines()) < 100  # what a newcomer needs
    assert run(README)["run"].losses.shape == (100,)


def test_the_guides_code_runs(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert len(code_of(GUIDE)) == 9
    space = run(GUIDE)
    space["test_swish"]()
    (program,) = code_of(GUIDE, "text")
    assert program.split("    # ...: ")[0] in space["step"].source


@pytest.mark.parametrize("name", sorted(PAGES))
def test_links_lead_somewhere(name) -> None:
    folder = ROOT / "docs" if (ROOT / "docs" / f"{name}.md").exists() else ROOT
    for place in re.findall(r"\]\(([^)#]+)\)", PAGES[name]):
        assert (folder / place).exists(), place


def test_the_citation_is_that_of_the_package() -> None:
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"version: {metadata.version('pydgm')}\n" in citation
    assert f"## {metadata.version('pydgm')}" in PAGES["CHANGELOG"]


def test_the_docs_show_the_likelihoods() -> None:
    assert likelihood.table(json.loads(likelihood.KEPT.read_text(encoding="utf-8"))) in BENCHMARKS


def test_the_docs_show_the_race() -> None:
    report = json.loads((ROOT / "benchmarks" / "report.json").read_text(encoding="utf-8"))
    assert table(report) in BENCHMARKS
    assert report["date"] in BENCHMARKS
    assert (ROOT / "figures" / "benchmarks.png").exists()
