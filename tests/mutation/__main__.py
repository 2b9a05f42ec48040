"""``python -m tests.mutation [LESSON ...]``: which claim of a lesson refuses each wrong model, or failing that, which test?

Every wrong model is put into a copy of the package, and the lessons and tests of its file run on that: first the lessons'
quick claims; then, with ``--default``, the default run's; then the tests. The first to notice is named. Before that the right
model goes the same way, and nobody may notice it. Answers are kept in ``build/mutation``, by the content of package, lessons
and tests, so that nothing is run twice.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pydgm.lesson import status
from pydgm.lesson.claims import in_a_cell

from .models import ROOT, WrongModel, generated, named

REASONS = Path(__file__).with_name("survivors.txt")
KEPT = ROOT / "build" / "mutation"
ENDLESS = 124  # as timeout(1) has it
LIMIT = {"quick": 120, "default": 600, "tests": 900}  # seconds; what takes longer has noticed


def scripts(lessons: Iterable[str]) -> list[Path]:
    """Of some lessons."""
    return [path.relative_to(ROOT) for name in lessons for path in (ROOT / "lessons").glob(f"*/{name}.py")]


def _key(model: WrongModel, what: str, files: Iterable[Path]) -> str:
    """Of everything that an answer depends on: the harness of lessons draws and writes, and decides nothing."""
    package = sorted(path for path in (ROOT / "pydgm").rglob("*.py") if path.parent.name != "lesson")
    package.remove(ROOT / "pydgm" / model.file)
    parts = [model.file, model.source, what, *[path.read_text(encoding="utf-8") for path in (*package, *files)]]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]


def _run(model: WrongModel, command: list[str], limit: int, copy: Path) -> tuple[int, str]:
    """In the empty folder ``copy``, made a copy of the project with the wrong model in place: exit status and output."""
    for part in ("pydgm", "lessons", "tests", "benchmarks"):
        shutil.copytree(ROOT / part, copy / part)
    for part in ("setup.cfg", "README.md", "pyproject.toml"):
        shutil.copy2(ROOT / part, copy)
    (copy / "pydgm" / model.file).write_text(model.source, encoding="utf-8")
    shared = {"PYDGM_DATA": str(ROOT.parent / "shared" / "data")} if (ROOT.parent / "shared" / "data").is_dir() else {}
    env = {**shared, **os.environ, "PYTHONPATH": str(copy), "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    try:
        done = subprocess.run(
            [sys.executable, *command], cwd=copy, env=env, capture_output=True, text=True, timeout=limit, check=False
        )
    except subprocess.TimeoutExpired:
        return ENDLESS, "it does not end"
    return done.returncode, done.stdout + done.stderr


def by_lesson(model: WrongModel, script: Path, mode: str) -> str:
    """The claim that fails, or the lesson's error; an empty text where all claims hold.

    Raises ``RuntimeError`` where it ended otherwise, killed or for want of data: then nobody has noticed anything.
    """
    with tempfile.TemporaryDirectory(prefix="mutation-") as folder:
        copy, options = Path(folder), ["--quick"] if mode == "quick" else []
        code, output = _run(model, ["-m", "pydgm.lesson", str(script), *options, "--out", "out"], LIMIT[mode], copy)
        if code == status.HOLDS:
            return ""
        if code == status.FAILS:
            claims = json.loads((copy / "out" / f"{script.stem}.json").read_text(encoding="utf-8"))["claims"]
            return next(f"{script.stem}: {c['claim']}" for c in claims if not c["holds"])
    if code not in (status.CRASH, ENDLESS):
        raise RuntimeError(f"{script}, {model.name}: exit status {code}\n{output}")
    return f"{script.stem}: error: {output.strip().splitlines()[-1]}"


def by_tests(model: WrongModel) -> str:
    """The first test that fails; an empty text where none does. Raises ``RuntimeError`` where pytest did not get so far."""
    if not model.tests:
        return ""
    files = [f"tests/{name}.py" for name in model.tests]
    command = ["-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "-o", "addopts=", *files]
    with tempfile.TemporaryDirectory(prefix="mutation-") as folder:
        code, output = _run(model, command, LIMIT["tests"], Path(folder))
    if code == 0:
        return ""
    failed = re.findall(r"^(?:FAILED|ERROR) tests/(\S+)", output, re.M)
    if not failed and code != ENDLESS:
        raise RuntimeError(f"{model.name}: pytest ended with status {code}\n{output}")
    return failed[0].removesuffix(".py") if failed else output


def answer(model: WrongModel, stages: list[str]) -> dict[str, str]:
    """For each stage what notices, until one does."""
    noticed: dict[str, str] = {}
    for stage in stages:
        lessons = scripts(model.lessons)
        files = [ROOT / "tests" / f"{name}.py" for name in model.tests] if stage == "tests" else [ROOT / x for x in lessons]
        kept = KEPT / f"{_key(model, stage, [file for file in files if file.exists()])}.json"
        if kept.exists():
            noticed[stage] = json.loads(kept.read_text(encoding="utf-8"))
        else:
            if stage == "tests":
                noticed[stage] = by_tests(model)
            else:
                noticed[stage] = next(filter(None, (by_lesson(model, script, stage) for script in lessons)), "")
            KEPT.mkdir(parents=True, exist_ok=True)
            kept.write_text(json.dumps(noticed[stage]), encoding="utf-8")
        if noticed[stage]:
            break
    print(f"{model.file}: {model.name}: {next(filter(None, noticed.values()), 'SURVIVES')}", file=sys.stderr, flush=True)
    return noticed


def controls(models: list[WrongModel]) -> list[WrongModel]:
    """The right model, once for each lesson and once for the tests: who notices that would notice anything."""
    file = models[0].file
    source = (ROOT / "pydgm" / file).read_text(encoding="utf-8")
    lessons = dict.fromkeys(name for model in models for name in model.lessons)
    tests = tuple(sorted({name for model in models for name in model.tests}))
    each = [WrongModel(file, "nothing is wrong", source, (name,), ()) for name in lessons]
    return [*each, WrongModel(file, "nothing is wrong", source, (), tests)]


def table(models: list[WrongModel], answers: list[dict[str, str]]) -> str:
    """Markdown: one row for each wrong model, a headline for each file."""
    lines: list[str] = []
    for file in dict.fromkeys(model.file for model in models):
        lines += [f"## `pydgm/{file}`", "", "| wrong | noticed by |", "|---|---|"]
        for model, noticed in zip(models, answers, strict=True):
            if model.file == file:
                stage, by = next(((stage, by) for stage, by in noticed.items() if by), ("", "nobody"))
                said = by if stage in ("", "quick") else f"{by} ({'test' if stage == 'tests' else stage})"
                lines.append(f"| {in_a_cell(model.name)} | {in_a_cell(said)} |")
        lines.append("")
    return "\n".join(lines)


def survivors(models: list[WrongModel], answers: list[dict[str, str]]) -> str:
    """Markdown: the changes that nobody notices, with the reasons of ``survivors.txt``: "file: change: reason" in a line."""
    lines = ["| file | change | why nobody notices |", "|---|---|---|"]
    reasons = REASONS.read_text(encoding="utf-8").splitlines()
    for model, noticed in zip(models, answers, strict=True):
        if not any(noticed.values()):
            about = f"{model.file}: {model.name.partition(': ')[2]}: "
            said = next((line.removeprefix(about) for line in reasons if line.startswith(about)), "not known")
            lines.append(f"| `{model.file}` | {in_a_cell(model.name)} | {in_a_cell(said)} |")
    return "\n".join(lines) + "\n"


def summary(answers: list[dict[str, str]], stages: list[str]) -> str:
    """How many are noticed by each stage, or by one before."""
    total, parts = len(answers), []
    for i, stage in enumerate(stages):
        n = sum(any(noticed.get(before) for before in stages[: i + 1]) for noticed in answers)
        parts.append(f"{n} of {total} ({100 * n / max(total, 1):.0f}%) after {stage}")
    return ", ".join(parts)


PROSE = """# Wrong models, and who notices

A claim is worth what it refuses. Each row is a model, a loss or a sampler of this library that was made wrong by a few letters
(`tests/mutation/wrong_models.txt` has the texts), and the first claim of a lesson that turns red; "error" where the lesson ends
with one; "(default)" where only the default run notices; "(test)" where no claim does, and a test has to. Seed 0.
`python -m tests.mutation --default --write docs/wrong_models.md` makes this page.
"""

BY_RULE = """# Changes by rule, and who notices

A sample, drawn at random, of all small changes that a rule makes in `pydgm/models`, `pydgm/distributions` and
`pydgm/divergences.py`: + for -, * for /, a number doubled, two arguments exchanged, a sign turned, < for >. First the tests
of the file run, then the quick claims of its lessons. Here are the changes that nobody notices.
`python -m tests.mutation --generated N --write docs/changes_by_rule.md` makes this page.
"""


def main(argv: list[str] | None = None) -> int:
    """Exit status 0 where every wrong model is noticed, 1 where one is not, 2 where the right one is."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("lessons", nargs="*", metavar="LESSON", help="wrong models that this lesson is to notice")
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--quick", action="store_true", help="quick claims, then tests (this is the default)")
    mode.add_argument("--default", action="store_true", help="quick claims, then those of the default run, then tests")
    parser.add_argument("--claims-only", action="store_true", help="do not run the tests")
    parser.add_argument("--file", help="wrong models of this file alone, models/latent/vae.py say")
    parser.add_argument("--name", help="wrong models with this in their name")
    parser.add_argument("--generated", type=int, metavar="N", help="N of the changes made by rule, in place of the list")
    parser.add_argument("-j", type=int, default=os.cpu_count() or 1, metavar="N", help="how many at a time")
    parser.add_argument("--write", type=Path, metavar="FILE", help="write the table")
    options = parser.parse_args(argv)
    models = list(generated() if options.generated else named())
    if options.generated:
        models = sorted(random.Random(0).sample(models, min(options.generated, len(models))))
    models = [
        model
        for model in models
        if (not options.file or model.file == options.file)
        and (not options.name or options.name in model.name)
        and (not options.lessons or set(options.lessons) & set(model.lessons))
    ]
    claims = ["quick", "default"] if options.default else ["quick"]
    # changes by rule are legion: the tests are quicker
    stages = claims if options.claims_only else ["tests", *claims] if options.generated else [*claims, "tests"]
    if not models:
        parser.error("no wrong model is so named")
    with ThreadPoolExecutor(options.j) as pool:
        alarms = [
            name for noticed in pool.map(lambda right: answer(right, stages), controls(models)) for name in noticed.values()
        ]
        if any(alarms):
            print(f"the right model is noticed, too: {'; '.join(filter(None, alarms))}", file=sys.stderr)
            return 2
        answers = list(pool.map(lambda model: answer(model, stages), models))
    said = summary(answers, stages)
    print(said)
    if options.write:
        rows = survivors(models, answers) if options.generated else table(models, answers)
        options.write.write_text(f"{BY_RULE if options.generated else PROSE}\n{said}.\n\n{rows}", encoding="utf-8")
    return 0 if all(any(noticed.values()) for noticed in answers) else 1


if __name__ == "__main__":
    sys.exit(main())
