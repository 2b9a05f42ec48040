"""Exercises that grade themselves: ``python -m lessons exercise NAME --seed S --out DIR``, then ``pytest DIR``.

An exercise is a module in ``lessons/exercises/FAMILY``: its docstring is the text, ``SOLUTION`` the whole of the student's
file. What stands there between a line ``#< hint`` and a line ``#>`` is the student's to write; the rest is given. Both are
templates, filled from one of ``VARIANTS``, which the seed chooses: the library's own source is no answer. Functions
``check_...(work, v)`` judge the student's module ``work`` by what must be true of it, whatever way it was written, and say what
is not. ``MISTAKES`` are changes of the solution that students make: a name, a text and what stands in its place, and words of
the check that notices.
"""

from __future__ import annotations

import inspect
import random
import re
import string
import textwrap
import types
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, NamedTuple

from .scripts import imported, scripts_in, title

Check = Callable[[Any, Any], None]
SMALLEST = True  # whether the smallest example is looked for; the first will do where only its words count
ANSWER = re.compile(r"^([ ]*)#< ?([^\n]*)\n(.*?)^[ ]*#>\n", re.MULTILINE | re.DOTALL)


def scripts() -> dict[str, Path]:
    """Every exercise by its name."""
    return scripts_in("exercises")


class Exercise(NamedTuple):
    """One exercise in the variant of a seed."""

    name: str
    seed: int
    v: types.SimpleNamespace  # the variant
    module: Any

    @property
    def checks(self) -> list[Check]:
        """In the order in which they are written: what comes first is simpler."""
        own = self.module.__name__
        return [x for name, x in vars(self.module).items() if name.startswith("check_") and x.__module__ == own]

    def filled(self, text: str) -> str:
        """A template, filled from the variant."""
        return string.Template(text).substitute({key: str(value) for key, value in vars(self.v).items()})

    @property
    def text(self) -> str:
        return self.filled(inspect.cleandoc(self.module.__doc__))

    @property
    def _file(self) -> str:
        return f'r"""{self.text}\n"""\n\n' + self.filled(self.module.SOLUTION)

    @property
    def solution(self) -> str:
        """The student's file with the answers."""
        return ANSWER.sub(r"\3", self._file)

    @property
    def stub(self) -> str:
        """The student's file: in the place of each answer an error that says what is to be written."""

        def asked(found: re.Match[str]) -> str:
            indent, hint = found[1], found[2].strip()
            lines = textwrap.wrap(f"TODO: {hint}", 110 - len(indent), initial_indent="# ", subsequent_indent="# ")
            return "".join(f"{indent}{line}\n" for line in [*lines, "raise NotImplementedError('here is something to write')"])

        return ANSWER.sub(asked, self._file)

    @property
    def tests(self) -> str:
        """The file that pytest runs."""
        return TESTS.format(name=self.name, seed=self.seed)

    def judge(self, check: Check, work: Any) -> str:
        """Empty where ``check`` has nothing to say of the module ``work``; else what, with the smallest example found."""
        try:
            check(work, self.v)
        except NotImplementedError as error:
            return f"{check.__name__}: {error}"
        except Exception as error:  # the student's own code may raise anything
            kind = "" if isinstance(error, AssertionError) else f"{type(error).__name__}: "
            return "\n".join(filter(None, [f"{kind}{error}", _example(error), _line_of(error, work)]))
        return ""


def every(*strategies: Any) -> Callable[[Callable[..., None]], None]:
    """The decorated function holds for all arguments that Hypothesis draws from ``strategies``: it runs at once. The smallest
    arguments for which it does not stand in the error, the same in each run."""
    from hypothesis import Phase, given, settings

    def run(holds: Callable[..., None]) -> None:
        unwritten: list[NotImplementedError] = []

        @wraps(holds)
        def tried(*args: Any, **named: Any) -> None:
            try:
                holds(*args, **named)
            except NotImplementedError as error:  # no example is smaller than another
                unwritten.append(error)

        given_all: Any = given(*strategies)
        phases = [Phase.explicit, Phase.generate, *([Phase.shrink] if SMALLEST else [])]
        quiet: dict[str, Any] = {"deadline": None, "database": None, "derandomize": True, "report_multiple_bugs": False}
        settled: Any = settings(**quiet, max_examples=25, phases=phases)
        settled(given_all(tried))()
        if unwritten:
            raise unwritten[0]

    return run


def _example(error: BaseException) -> str:
    """The smallest arguments, as Hypothesis notes them."""
    notes = [note for note in getattr(error, "__notes__", []) if re.match("Fail|Falsify", note)]
    arguments = re.fullmatch(r"[^(]*\((.*)\)", re.sub(r"#[^\n]*|\s+", " ", notes[0]).strip()) if notes else None
    shown = re.sub(" +", " ", arguments[1]).strip(" ,") if arguments else ""
    return f"the smallest example found: {shown}" if shown else ""


def _line_of(error: BaseException, work: Any) -> str:
    """The student's line where an error arose, if it did there."""
    trace, place = error.__traceback__, ""
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == getattr(work, "__file__", None):
            place = f"at {Path(work.__file__).name}:{trace.tb_lineno}"
        trace = trace.tb_next
    return "" if isinstance(error, AssertionError) else place


def summary(path: Path) -> str:
    """The first line of an exercise's text, for all variants."""
    line = re.sub(r"\$\w+", "...", title(path).rstrip("."))
    return line if line.endswith("...") else f"{line}."


def load(name: str, seed: int) -> Exercise:
    """An exercise in the variant that ``seed`` chooses. Raises ``KeyError`` for a name that there is not."""
    module = imported(scripts()[name], f"pydgm_exercise_{name}")
    return variant(module, name, seed, random.Random(f"{name} {seed}").choice(sorted(module.VARIANTS)))


def variant(module: Any, name: str, seed: int, chosen: str) -> Exercise:
    """An exercise in the variant of this name."""
    return Exercise(name, seed, types.SimpleNamespace(variant=chosen, **module.VARIANTS[chosen]), module)


def work_in(file: Path) -> Any:
    """The student's module, fresh."""
    return imported(file, f"work_{file.stem}")


def work_of(source: str, name: str = "work") -> Any:
    """A module of this source."""
    module = types.ModuleType(name)
    exec(compile(source, f"<{name}>", "exec"), module.__dict__)
    return module


TESTS = '''\
"""pytest runs this. What there is to write is in {name}.py, beside it."""

from pathlib import Path

import pytest

from pydgm.lesson import exercise

EXERCISE = exercise.load("{name}", seed={seed})


@pytest.mark.parametrize("check", EXERCISE.checks, ids=lambda check: check.__name__.removeprefix("check_"))
def test_{name}(check):
    said = EXERCISE.judge(check, exercise.work_in(Path(__file__).with_name("{name}.py")))
    if said:
        pytest.fail(said, pytrace=False)
'''
