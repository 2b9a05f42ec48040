"""Exercises: each solution passes in every variant, nothing that is left open does, and typical mistakes are told apart."""

import subprocess
import sys

import pytest

from lessons.__main__ import main
from pydgm.lesson import exercise
from pydgm.lesson.exercise import Exercise, every, load, variant, work_of

NAMES = sorted(exercise.scripts())


def variants(name: str) -> list[Exercise]:
    module = load(name, 0).module
    return [variant(module, name, 0, each) for each in sorted(module.VARIANTS)]


def said(task: Exercise, source: str) -> list[str]:
    work = work_of(source)
    return [text for text in (task.judge(check, work) for check in task.checks) if text]


@pytest.mark.parametrize("name", NAMES)
def test_the_solution_of_each_variant_passes(name) -> None:
    tasks = variants(name)
    assert len(tasks) >= 4
    for task in tasks:
        assert said(task, task.solution) == [], task.v.variant
        assert len(task.checks) >= 3
        assert "$" not in task.stub + task.solution
        assert "#<" not in task.solution + task.stub
        for line in task.stub.splitlines():
            assert len(line) <= 140


@pytest.mark.parametrize("name", NAMES)
def test_what_is_not_written_is_asked_for(name) -> None:
    task = load(name, 3)
    assert task.stub.count("TODO") == task.stub.count("raise NotImplementedError") >= 1
    assert all("here is something to write" in text for text in said(task, task.stub))
    assert len(said(task, task.stub)) == len(task.checks)


@pytest.mark.parametrize("name", NAMES)
def test_typical_mistakes_are_told(name, monkeypatch) -> None:
    """Each by a check whose words name it, in one variant or the other."""
    monkeypatch.setattr(exercise, "SMALLEST", False)
    tasks = variants(name)
    assert len(tasks[0].module.MISTAKES) >= 6
    for i, (mistake, (right, wrong, words)) in enumerate(tasks[0].module.MISTAKES.items()):
        task = tasks[i % len(tasks)]
        source = task.solution.replace(task.filled(right), task.filled(wrong))
        assert source != task.solution, mistake
        texts = said(task, source)
        assert texts, f"{mistake}: nobody notices"
        assert words in texts[0], mistake


def test_the_seed_chooses_the_variant() -> None:
    assert load("elbo", 5).stub == load("elbo", 5).stub
    assert {load("elbo", seed).v.variant for seed in range(40)} == set(load("elbo", 0).module.VARIANTS)


def test_the_smallest_example_is_told() -> None:
    from hypothesis import strategies as st

    def check(work, v) -> None:
        @every(st.integers(0, 100))
        def small(n) -> None:
            if n >= 7:
                raise AssertionError("too large")

    task = load("elbo", 0)
    assert task.judge(check, None) == "too large\nthe smallest example found: n=7"


def test_an_error_of_the_students_has_its_line(tmp_path) -> None:
    (tmp_path / "work.py").write_text("def rule(g, y, x):\n    return g / nothing\n\n\ndef f(x):\n    return x\n")
    task = load("derivative_rule", 0)
    assert task.judge(task.checks[0], exercise.work_in(tmp_path / "work.py")) == (
        "NameError: name 'nothing' is not defined\nat work.py:2"
    )


@pytest.mark.slow
def test_a_student_works_with_pytest(tmp_path, capsys) -> None:
    assert main(["exercise", "derivative_rule", "--seed", "7", "--out", str(tmp_path)]) == 0
    assert str(tmp_path / "derivative_rule.py") in capsys.readouterr().out
    work, task = tmp_path / "derivative_rule.py", load("derivative_rule", 7)

    def graded() -> str:
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", str(tmp_path)]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False).stdout

    assert f"{len(task.checks)} failed" in graded()
    work.write_text(task.solution.replace("return g *", "return -g *"))
    assert "the sign" in graded()
    work.write_text(task.solution)
    assert f"{len(task.checks)} passed" in graded()
    assert main(["exercise", "derivative_rule", "--seed", "7", "--out", str(tmp_path)]) == 2  # the work stays
    assert work.read_text() == task.solution


def test_exercises_are_listed(capsys) -> None:
    assert main(["exercise"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert sorted(line.split()[0] for line in lines) == NAMES
    with pytest.raises(SystemExit):
        main(["exercise", "nothing"])
