"""An archive that grades exercises on Gradescope: ``python -m lessons gradescope homework`` writes homework/autograder.zip.

The service unpacks it into ``/autograder/source``, runs ``setup.sh`` once, puts a student's files into
``/autograder/submission``, runs ``run_autograder``, and reads ``/autograder/results/results.json``. The archive has the library
and the checks, and no solutions.

A student's code may run for ever, crash, print, or try to be its own judge. So each check runs in a process of its own, with a
time limit; what it found comes back over a pipe, behind a word that only the grader knows; the functions of all modules must be
what they were; and the results are written at last, when those processes have ended. It is no prison: who searches the
process's memory for the word will find it, which takes more skill than the exercises do.
"""

from __future__ import annotations

import ast
import contextlib
import io
import json
import os
import re
import secrets
import signal
import subprocess
import sys
import tempfile
import types
import zipfile
from pathlib import Path
from typing import Any

from . import exercise

SECONDS = 60.0  # for one check
PACKAGE = Path(__file__).resolve().parents[1]
NEEDS = "'numpy>=2.1' 'hypothesis>=6.100'"
SETUP = f"""\
#!/usr/bin/env bash
set -e
apt-get update -qq && apt-get install -y -qq python3-venv
python3 -m venv /autograder/env
/autograder/env/bin/pip install {NEEDS}
"""
RUN = """\
#!/usr/bin/env bash
cd /autograder/source && /autograder/env/bin/python -m pydgm.lesson.gradescope /autograder
"""


def tasks_in(folder: Path) -> dict[str, int]:
    """The exercises of a folder and their seeds, from the tests that ``python -m lessons exercise`` wrote there."""
    tests = [path.read_text(encoding="utf-8") for path in sorted(folder.glob("test_*.py"))]
    found = [re.search(r'exercise\.load\("(\w+)", seed=(\d+)\)', text) for text in tests]
    return {match[1]: int(match[2]) for match in found if match}


def archive(tasks: dict[str, int]) -> bytes:
    """The zip file: what the service calls, the library, and the checks of these exercises without their solutions."""
    files = {"setup.sh": SETUP, "run_autograder": RUN, "tasks.json": json.dumps(tasks)}
    for path in sorted(PACKAGE.rglob("*")):
        inside = path.relative_to(PACKAGE)
        if path.suffix in (".py", ".html", ".mplstyle") and inside.parts[0] != "lessons":
            files[f"pydgm/{inside.as_posix()}"] = path.read_text(encoding="utf-8")
    folder = "pydgm/lessons/exercises"
    files |= {f"{place}/__init__.py": "" for place in ("pydgm/lessons", folder)}
    for name, path in exercise.scripts().items():
        if name in tasks:
            files |= {
                f"{folder}/{path.parent.name}/__init__.py": "",
                f"{folder}/{path.parent.name}/{name}.py": without_answers(path),
            }
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in files.items():
            entry = zipfile.ZipInfo(name, (2000, 1, 1, 0, 0, 0))  # the same archive from the same files
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = (0o755 if text.startswith("#!") else 0o644) << 16
            archive.writestr(entry, text)
    return made.getvalue()


def without_answers(path: Path) -> str:
    """An exercise's module without ``SOLUTION`` and ``MISTAKES``."""
    text = path.read_text(encoding="utf-8")
    lines = text.splitlines()
    for statement in reversed(ast.parse(text).body):
        names = {target.id for target in getattr(statement, "targets", []) if isinstance(target, ast.Name)}
        if names & {"SOLUTION", "MISTAKES"}:
            del lines[statement.lineno - 1 : statement.end_lineno]
    return "\n".join(lines) + "\n"


def grade(root: Path, seconds: float = SECONDS) -> dict[str, Any]:
    """What is in ``root/submission``, judged by the checks of ``root/source``: as results.json has it, and written there."""
    tasks = json.loads((root / "source" / "tasks.json").read_text(encoding="utf-8"))
    tests = []
    for name, seed in tasks.items():
        for check in exercise.load(name, seed).checks:
            said = judged(root, name, seed, check.__name__, seconds)
            title = f"{name}: {check.__name__.removeprefix('check_').replace('_', ' ')}"
            passed = {"score": 0.0 if said else 1.0, "max_score": 1.0, "status": "failed" if said else "passed"}
            tests.append({"name": title, **passed, "output": said})
    results: dict[str, Any] = {
        "tests": tests,
        "output": "Each check asks what must be true of your code, whatever way it is written.",
    }
    (root / "results").mkdir(exist_ok=True)
    (root / "results" / "results.json").write_text(json.dumps(results, indent=1), encoding="utf-8")
    return results


def judged(root: Path, name: str, seed: int, check: str, seconds: float) -> str:
    """What one check says of a submission, in a process of its own. Empty: nothing."""
    work, word = root / "submission" / f"{name}.py", secrets.token_hex(16)
    if not work.is_file():
        return f"{name}.py is missing among the files that were handed in"
    reading, writing = os.pipe()
    command = [sys.executable, "-m", "pydgm.lesson.gradescope", "--judge", str(work), name, str(seed), check, str(writing)]
    with tempfile.TemporaryDirectory() as place, tempfile.TemporaryFile() as printed:
        env = {**os.environ, "PYTHONPATH": str(root / "source"), "PYTHONDONTWRITEBYTECODE": "1", "HOME": place}
        child = subprocess.Popen(
            command,
            cwd=place,
            env=env,
            stdin=subprocess.PIPE,
            stdout=printed,
            stderr=printed,
            pass_fds=[writing],
            start_new_session=True,
        )
        os.close(writing)
        try:
            child.communicate(word.encode(), timeout=seconds)
        except subprocess.TimeoutExpired:
            return f"it was not done after {seconds:g} seconds: does a loop end?"
        finally:
            _end(child)
            with os.fdopen(reading, "rb") as pipe:
                os.set_blocking(pipe.fileno(), False)
                answer = (pipe.read() or b"").decode("utf-8", "replace")
        size = printed.seek(0, os.SEEK_END)
        printed.seek(max(0, size - 2000))
        last = printed.read().decode("utf-8", "replace").strip()
    if child.returncode == 0 and answer.startswith(word):
        return answer.removeprefix(word)
    how = f"by {signal.Signals(-child.returncode).name}" if child.returncode < 0 else "before the check was through"
    return f"your file ended the program {how}\n{last}".strip()


def _end(child: subprocess.Popen[bytes]) -> None:
    """The process, and what it has started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()


_CODE = (types.FunctionType, types.BuiltinFunctionType, type, property, classmethod, staticmethod)


def _library() -> dict[str, tuple[int, int]]:
    """Functions and classes of all modules that are there: which objects they are, and with which code."""
    places = []
    for name, module in list(sys.modules.items()):
        places += [(name, *each) for each in vars(module).items()] if isinstance(module, types.ModuleType) else []
    own = [(module, name, x) for module, name, x in places if isinstance(x, type) and str(x.__module__).startswith("pydgm")]
    places += [(module, f"{name}.{inner}", x) for module, name, each in own for inner, x in vars(each).items()]
    return {f"{module}.{name}": (id(x), id(getattr(x, "__code__", None))) for module, name, x in places if isinstance(x, _CODE)}


def judge(path: str, name: str, seed: str, check: str, pipe: str) -> None:
    """In the process of one check. The word comes first, on standard input."""
    import numpy.testing  # noqa: F401  before the student's file can, so that a change is seen

    word = sys.stdin.read()
    task = exercise.load(name, int(seed))
    (asked,) = [each for each in task.checks if each.__name__ == check]
    judging, library, write, before = task.judge, _library, os.write, _library()
    try:
        work = exercise.work_in(Path(path))
    except BaseException as error:  # SystemExit too: it is the student's file that says so
        said = f"your file cannot be imported: {type(error).__name__}: {error}"
    else:
        said = judging(asked, work)
        now = library()
        changed = [place for place, which in before.items() if now.get(place) != which]
        if changed:
            said = f"your file changes {changed[0]}, which is not its own"
    write(int(pipe), f"{word}{said}".encode()[:60_000])


if __name__ == "__main__":
    if sys.argv[1] == "--judge":
        judge(*sys.argv[2:])
    else:
        grade(Path(sys.argv[1]))
