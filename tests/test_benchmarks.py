"""The race runs, its contestants agree, and its report has the promised shape. Times are not looked at."""

from __future__ import annotations

import json
import tracemalloc

import numpy as np
import pytest

from benchmarks import scoreboard
from benchmarks.__main__ import main, table
from benchmarks.contestants import numpy as numpy_steps
from benchmarks.contestants import pydgm as pydgm_steps
from benchmarks.plot import plot
from benchmarks.problems import STEPS, problem
from benchmarks.race import check_equal, race
from pydgm.data import published


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
    assert set(report["products_us"]) == {"gan", "wgan_gp", "vae", "rbm", "sentence"}
    lines = table({**report, "start": {"pydgm": 1.0}}).splitlines()
    assert len(lines) == 2 + len(STEPS) + 2
    assert len({line.count("|") for line in lines}) == 1


def test_a_compiled_step_takes_no_more_memory_than_one_by_hand() -> None:
    """Arrays that live during a step of the VAE, model and optimiser included."""
    peaks = {}
    for contestant in (pydgm_steps, numpy_steps):
        start = problem("vae")
        tracemalloc.start()
        step = contestant.vae(start)
        for _ in range(2):
            step()
        tracemalloc.reset_peak()
        step()
        peaks[contestant] = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peaks[pydgm_steps] <= peaks[numpy_steps]


def test_a_contestant_that_computes_something_else_is_refused() -> None:
    check_equal("gan", {"pydgm": [1.0, 0.5], "torch": [1.00001, 0.5]})
    with pytest.raises(RuntimeError, match="gan: torch computes"):
        check_equal("gan", {"pydgm": [1.0, 0.5], "torch": [1.0, 0.501]})


def test_the_figure(tmp_path) -> None:
    figures = {"median_us": 100.0, "min_us": 90.0, "max_us": 120.0, "peak_mib": 1.0}
    grown = {"64": {"pydgm": {"median_us": 10.0, "first_s": 0.1}}, "128": {"pydgm": {"median_us": 20.0, "first_s": 0.2}}}
    report = {
        "steps": {"gan": {"pydgm": figures, "numpy": figures}, "planar": {"pydgm": figures}},
        "products_us": {"gan": 70.0},
        "growth": {
            "batch": grown,
            "depth": grown,
            "chain": {"10": 1.0, "100": 1.1},
            "gradient_over_forward": {"a": 3.0},
            "self_check": 0.01,
        },
        "versions": {"processor": "abacus"},
        "date": "2000-01-01",
    }
    plot(report, str(tmp_path / "race.png"))
    assert (tmp_path / "race.png").stat().st_size > 10_000


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


def test_the_scoreboard(tmp_path, monkeypatch, capsys) -> None:
    """On rows that are easy to predict, an RBM is worth more than columns one by one."""
    rng = np.random.default_rng(0)
    half = rng.integers(0, 2, (60, 4)).astype("uint8")
    folder = tmp_path / "uci_binary"
    folder.mkdir()
    rows = np.concatenate([half, half], axis=1)
    np.savez(folder / "dna.npz", train=rows, valid=rows[:5], test=rows)
    monkeypatch.setenv("PYDGM_DATA", str(tmp_path))
    monkeypatch.setattr(published, "CONTENT", {})
    monkeypatch.setattr(scoreboard, "SETS", ("dna",))
    monkeypatch.setattr(scoreboard, "RECIPES", {"dna": scoreboard.Recipe(8, 800, 0.5, 0.0, 2)})
    assert main(["scoreboard", "--json", str(tmp_path / "s.json")]) == 0
    found = json.loads((tmp_path / "s.json").read_text(encoding="utf-8"))
    assert found["RBM"]["dna"]["nats"][0] < found["independent columns"]["dna"]["nats"][0] - 1.0
    assert "| RBM |" in capsys.readouterr().out
    monkeypatch.setenv("PYDGM_DATA", str(tmp_path / "nowhere"))
    assert main(["scoreboard"]) == 2
    assert "uci_binary" in capsys.readouterr().err
