"""The archive for the autograder, in a tree like the service's own: who is right, who is not, and who does not play fair."""

import json
import subprocess
import sys
import zipfile

import pytest

from lessons.__main__ import main
from pydgm.lesson import exercise, gradescope

NAME, SEED = "free_energy", 7
TASK = exercise.load(NAME, SEED)


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    """/autograder, as the service has it before a submission."""
    root = tmp_path_factory.mktemp("autograder")
    homework = root / "homework"
    assert main(["exercise", NAME, "--seed", str(SEED), "--out", str(homework)]) == 0
    assert main(["gradescope", str(homework)]) == 0
    zipfile.ZipFile(homework / "autograder.zip").extractall(root / "source")
    (root / "submission").mkdir()
    return root


def said(service, source: str, check: str = "", seconds: float = 60.0) -> str:
    (service / "submission" / f"{NAME}.py").write_text(source)
    return gradescope.judged(service, NAME, SEED, check or TASK.checks[0].__name__, seconds)


def test_the_services_own_calls(service) -> None:
    """A right solution has all points, by the script that the service runs, with the library of the archive."""
    (service / "submission" / f"{NAME}.py").write_text(TASK.solution)
    script = (service / "source" / "run_autograder").read_text()
    script = script.replace("/autograder/env/bin/python", sys.executable).replace("/autograder", str(service))
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    tests = json.loads((service / "results" / "results.json").read_text())["tests"]
    assert [(test["score"], test["max_score"], test["status"]) for test in tests] == [(1.0, 1.0, "passed")] * len(TASK.checks)
    assert "pip install 'numpy" in (service / "source" / "setup.sh").read_text()


@pytest.mark.parametrize("mistake", TASK.module.MISTAKES)
def test_a_mistake_costs_points_and_is_explained(service, mistake) -> None:
    right, wrong, words = TASK.module.MISTAKES[mistake]
    source = TASK.solution.replace(TASK.filled(right), TASK.filled(wrong))
    if source == TASK.solution:
        pytest.fail(f"{mistake}: not in this variant")
    texts = [said(service, source, check.__name__) for check in TASK.checks]
    assert any(words in text for text in texts)


UNFAIR = {
    "it was not done after 3 seconds": "while True: pass",
    "ended the program by SIGABRT": "import os; os.abort()",
    "ended the program before the check was through": "import os; os._exit(0)",
    "cannot be imported: SystemExit": "raise SystemExit(0)",
    "cannot be imported: SyntaxError": "def f(:",
    "changes pydgm.testing.check_grads": "import pydgm as dgm; dgm.testing.check_grads = lambda *a, **k: None",
    "changes numpy.testing": "import numpy as np; np.testing.assert_allclose.__code__ = (lambda *a, **k: None).__code__",
    "changes pydgm.lesson": "from pydgm.lesson.exercise import Exercise; Exercise.judge = lambda *a: ''",
    "changes pydgm_exercise": "import sys; sys.modules['pydgm_exercise_free_energy'].every = lambda *a: print",
    "changes builtins.filter": "import builtins; builtins.filter = lambda *a: []",
    "changes os.write": "import os; write = os.write; os.write = lambda pipe, data: write(pipe, data[:32])",
    "before the check was": """
import os
for pipe in range(3, 30):
    try:
        os.write(pipe, b" " * 32)
    except OSError:
        pass
os._exit(0)""",
    "no attribute 'SOLUTION'": "from pydgm.lesson import exercise; exec(exercise.load('free_energy', 7).solution)",
}


@pytest.mark.parametrize("words", UNFAIR)
def test_what_is_no_solution(service, words) -> None:
    """A right solution, and then some."""
    assert words in said(service, f"{TASK.solution}\n{UNFAIR[words]}\n", seconds=3.0 if "3 seconds" in words else 60.0)


def test_results_are_the_graders(service) -> None:
    """Whatever a submission writes there, and however much it prints."""
    forged = f"open({str(service / 'results' / 'results.json')!r}, 'w').write('{{}}'); print('ha' * 1_000_000)"
    (service / "results").mkdir(exist_ok=True)
    (service / "submission" / f"{NAME}.py").write_text(f"{TASK.stub}\n{forged}\n")
    results = gradescope.grade(service)
    assert json.loads((service / "results" / "results.json").read_text()) == results
    assert {test["score"] for test in results["tests"]} == {0.0}
    (service / "submission" / f"{NAME}.py").unlink()
    assert "is missing among the files" in gradescope.judged(service, NAME, SEED, TASK.checks[0].__name__, 60.0)


def test_no_archive_has_answers() -> None:
    for path in exercise.scripts().values():
        text = gradescope.without_answers(path)
        assert "#<" not in text
        assert "SOLUTION" not in text
        assert "VARIANTS" in text


def test_a_folder_without_exercises(tmp_path, capsys) -> None:
    assert main(["gradescope", str(tmp_path)]) == 2
    assert "has no exercise's test_NAME.py" in capsys.readouterr().err
    (tmp_path / "test_some.py").write_text('exercise.load("unheard", seed=1)')
    assert main(["gradescope", str(tmp_path)]) == 2
    assert "no exercise unheard" in capsys.readouterr().err
