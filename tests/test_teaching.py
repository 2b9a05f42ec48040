"""Teacher's sheets: one for each lesson, and every number in them is one that the lesson measures."""

import json
import re

import pytest

from .test_each_lesson import LESSONS
from .test_lessons import ROOT


@pytest.mark.parametrize("script", LESSONS, ids=lambda path: path.stem)
def test_a_sheet(script) -> None:
    text = (ROOT / "docs" / "teaching" / f"{script.stem}.rst").read_text(encoding="utf-8")
    time, objectives, wrong, questions = re.split(r"\*\*(?:Objectives|What students get wrong|Questions)\.\*\*", text)
    assert re.search(r"\d+ minutes to teach", time)
    assert len(re.findall(r"^\* ", objectives, re.M)) == 3
    assert len(re.findall(r'^\* "', wrong, re.M)) == 3
    assert re.findall(r"^(\d)\. ", questions, re.M) == ["1", "2", "3"]
    asked = [" ".join(claim.split()) for claim in re.findall(r"\[\[(.*?)\]\]", questions, re.DOTALL)]
    assert len(asked) >= 3
    assert set(asked) <= {c["claim"] for c in json.loads((ROOT / "figures" / f"{script.stem}.json").read_text())["claims"]}
    exercises = {path.stem for path in (ROOT / "lessons" / "exercises").glob("*/*.py")}
    assert set(re.findall(r"``(\w+)``", time)) <= exercises
