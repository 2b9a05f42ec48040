"""The race runs, its contestants agree, and its report has the promised shape. Times are not looked at."""

from __future__ import annotations

import pytest

from benchmarks.__main__ import table
from benchmarks.problems import STEPS, problem
from benchmarks.race import race


def test_contestants_agree_and_the_report_is_whole() -> None:
    """pydgm, compiled and eager, against derivatives that were worked out by hand."""
    report = race(["pydgm", "pydgm_eager", "numpy"], seconds=0.05, rounds=1)
    assert report["missing"] == {}
    assert set(report["steps"]) == set(STEPS)
    for step, found in report["steps"].items():
        assert set(found) == {"pydgm", "pydgm_eager", *(["numpy"] if step in ("gan", "vae", "rbm") else [])}
        for figures in found.values():
            assert set(figures) == {"median_us", "min_us", "max_us", "peak_mib"}
            assert 0 < figures["min_us"] <= figures["median_us"] <= figures["max_us"]
    lines = table({**report, "start": {"pydgm": 1.0}}).splitlines()
    assert len(lines) == 2 + len(STEPS) + 1


def test_a_missing_peer_is_named() -> None:
    report = race(["pydgm", "nothing"], seconds=0.01, rounds=1)
    assert "nothing" in report["missing"]
    assert "No module named" in report["missing"]["nothing"]


def test_problems_are_the_same_each_time() -> None:
    for name in STEPS:
        a, b = problem(name), problem(name)
        assert a.keys() == b.keys()
        assert all((x == y).all() for key in a for x, y in zip(a[key], b[key], strict=True))
    with pytest.raises(ValueError, match="no step"):
        problem("nothing")
