"""Lessons as notebooks: text with its mathematics, the script's code and no other, a picture after each idea, equal claims."""

import ast
import json

import matplotlib
import pytest

from lessons.__main__ import main
from pydgm import lesson
from pydgm.lesson.notebook import notebook, pictured

from .test_each_lesson import LESSONS
from .test_lessons import ROOT, program


def cells(made: dict, kind: str) -> list[str]:
    return ["".join(cell["source"]) for cell in made["cells"] if cell["cell_type"] == kind]


@pytest.mark.parametrize("script", LESSONS, ids=lambda path: path.stem)
def test_a_notebook_is_the_lesson(script) -> None:
    text = script.read_text(encoding="utf-8")
    made = notebook(script, "--seed=3")
    first, *code = cells(made, "code")
    assert "lesson.options('--seed=3')" in first
    doc, *statements = ast.parse(text).body
    assert ast.dump(ast.parse("\n".join(code))) == ast.dump(ast.Module(statements, []))
    prose = cells(made, "markdown")
    assert prose[0].startswith("# " + doc.value.value.partition("\n")[0] + "\n")
    assert sum(cell.count(r"\begin{align}") for cell in prose) == text.count(".. math::") >= 1
    assert not any(mark in cell for cell in prose for mark in (".. math", ":math:", "----", "# %%"))
    kinds = [cell["cell_type"] for cell in made["cells"]]
    assert kinds.count("markdown") >= 4
    shows = [cell for cell in code if "run.picture(" in cell]
    assert len(shows) == text.count("run.picture(")
    assert all(ast.unparse(ast.parse(cell).body[-1]).startswith("run.picture(") for cell in shows)


def test_a_cell_ends_with_its_picture() -> None:
    code = "a = 1\nrun.picture(\n    'a'\n)\nb = 2  # and on\n"
    assert pictured(code) == ["a = 1\nrun.picture(\n    'a'\n)", "b = 2  # and on"]
    assert pictured("run.picture('a')") == ["run.picture('a')", ""]
    assert pictured("a = 1") == ["a = 1"]


@pytest.mark.slow
def test_a_notebook_runs_and_claims_the_same(tmp_path) -> None:
    """In Jupyter's kernel, beside the script: the same claims to the last digit, and every picture is shown."""
    import nbclient
    import nbformat

    name = "earth_mover"
    assert main(["notebook", name, "--quick", "--seed", "7", "--out", str(tmp_path)]) == 0
    written = nbformat.read(tmp_path / f"{name}.ipynb", as_version=4)
    nbformat.validate(written)
    ran = nbclient.NotebookClient(written, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    script = ROOT / "lessons" / "adversarial" / f"{name}.py"
    assert program(script, "--quick", "--seed", "7", "--out", tmp_path / "script").returncode == 0
    reports = [json.loads((tmp_path / folder / f"{name}.json").read_text()) for folder in ("figures", "script")]
    assert reports[0]["claims"] == reports[1]["claims"]
    assert (reports[0]["mode"], reports[0]["seed"]) == ("quick", 7)
    shown = [output for cell in ran.cells for output in cell.get("outputs", []) if "image/png" in output.get("data", {})]
    assert len(shown) == script.read_text().count("run.picture(")


def test_a_notebook_that_is_there_is_kept(tmp_path, capsys) -> None:
    command = ["notebook", "earth_mover", "short_chains", "--out", str(tmp_path / "new")]
    assert main(command) == 0
    assert capsys.readouterr().out.split() == [str(tmp_path / "new" / f"{name}.ipynb") for name in command[1:3]]
    assert main(command) == 0  # the same to the letter
    somebodys = tmp_path / "new" / "earth_mover.ipynb"
    somebodys.write_text("{}")
    (tmp_path / "new" / "short_chains.ipynb").unlink()
    assert main(command) == 2
    assert "another earth_mover.ipynb" in capsys.readouterr().err
    assert somebodys.read_text() == "{}"
    assert not (tmp_path / "new" / "short_chains.ipynb").exists()  # all or none
    somebodys.unlink()
    somebodys.mkdir()
    assert main(command) == 2


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["notebook", "gan_vs_wgen"], "no lesson gan_vs_wgen"),
        (["notebook", "gan_vs_wgan", "--live"], "--live and --resume are for run"),
        (["notebook", "gan_vs_wgan", "--set", "distanse=2"], "--set distanse: adversarial/gan_vs_wgan has no such setting"),
        (["notebook", "gan_vs_wgan", "--data", "no/where"], "--data no/where: there is no such folder"),
        (["notebook", "gan_vs_wgan", "--out", "setup.cfg/a"], "cannot write into setup.cfg/a: Not a directory"),
    ],
)
def test_bad_usage(argv, said, capsys, monkeypatch) -> None:
    monkeypatch.chdir(ROOT)
    try:
        code = main(argv)
    except SystemExit as end:
        code = end.code
    assert code == 2
    assert said in capsys.readouterr().err


def test_options_of_a_notebook(monkeypatch, tmp_path, capsys) -> None:
    """Those of the command line, and refused as there."""
    with matplotlib.rc_context():
        monkeypatch.setattr("sys.argv", ["ipykernel_launcher.py", "-f", "kernel.json"])
        lesson.options(f"--quick --seed=5 --set=rate=0.5 --out='{tmp_path}'")
        try:
            run = lesson.start("energy/short_chains", "...", "L0", "Figure 0", settings={"rate": 0.2})
            assert (run.mode, run.seed, run.settings) == ("quick", 5, {"rate": 0.5})
            for text, said in (
                ("--seed=five", "a seed is an integer from 0"),
                ("--quick 'unclosed", "No closing quotation"),
                ("--quik", "unrecognized arguments"),
                ("--live", "for the command line"),
            ):
                with pytest.raises(ValueError, match=said):
                    lesson.options(text)
        finally:
            lesson.options("")
