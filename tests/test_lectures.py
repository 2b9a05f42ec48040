"""From lecture to code: every formula is in a chapter once, and what is computed has code, a test and a lesson."""

import sys
from collections import Counter

import pytest

from .test_lessons import ROOT

sys.path.insert(0, str(ROOT / "docs" / "extensions"))
import lecture_formulas as formulas

KNOWN = formulas.formulas()


def test_every_formula_of_the_lectures_is_there_once() -> None:
    counts = Counter(number for formula in KNOWN.values() for number in formulas.numbers(formula))
    wanted = {f"{lecture}.{number}" for lecture, many in formulas.DISPLAYED.items() for number in range(1, many + 1)}
    assert set(counts) == wanted
    assert max(counts.values()) == 1


@pytest.mark.parametrize("name", KNOWN)
def test_a_formula_has_code_a_test_and_a_lesson(name) -> None:
    found = {folder: formulas.places(folder).get(name, []) for folder in ("pydgm", "tests", "lessons")}
    if KNOWN[name].covered:
        assert formulas.computing(KNOWN[name])
        assert all(place.owner.startswith("test_") for place in found["tests"])
        assert found["tests"]
        assert any("exercises" not in place.path.parts for place in found["lessons"])
    else:
        assert not any(found.values()), "code computes it: the chapter may say so"


@pytest.mark.parametrize("folder", ["pydgm", "tests", "lessons"])
def test_a_marker_names_a_formula(folder) -> None:
    assert set(formulas.places(folder)) <= set(KNOWN)


MODEL = """\
class A:
    def f(self):
        # marker: one, two
        return (
            1)

def g(x):
    '''Doc.'''
    y = x  # marker: three
    return y

# marker: four
@deco
def h(x):
    '''Doc.'''
    return 2
"""


def test_the_code_is_found(tmp_path, monkeypatch) -> None:
    (tmp_path / "pydgm").mkdir()
    (tmp_path / "pydgm" / "model.py").write_text(MODEL.replace("marker", "formula"))  # not to be found here
    monkeypatch.setattr(formulas, "ROOT", tmp_path)
    found = formulas.places.__wrapped__("pydgm")
    shown = {name: [(place.owner, place.line, place.source) for place in each] for name, each in found.items()}
    assert shown == {
        "one": [("A.f", 4, "return (\n    1)")],
        "two": [("A.f", 4, "return (\n    1)")],
        "three": [("g", 9, "y = x")],
        "four": [("h", 13, "@deco\ndef h(x):\n    return 2")],
    }
