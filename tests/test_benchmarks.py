"""The race runs, its contestants agree, and its report has the promised shape. Times are not looked at."""

from __future__ import annotations

import ast
import dataclasses
import json
import re
import runpy
import tracemalloc
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

import pydgm as dgm
from benchmarks import claims, gpu, likelihood, modes, networks
from benchmarks.__main__ import MEMORY, main, table
from benchmarks.claims import keep, kept, rows
from benchmarks.contestants import numpy as numpy_steps
from benchmarks.contestants import pydgm as pydgm_steps
from benchmarks.networks import drawing
from benchmarks.plot import plot
from benchmarks.problems import STEPS, problem
from benchmarks.race import check_equal, race
from pydgm import data, metrics, nn, trees
from pydgm import distributions as dist
from pydgm.data import published
from pydgm.lesson.claims import Claim
from pydgm.models.energy import RBM, rbm
from pydgm.models.latent import VAE, vae


def test_contestants_agree_and_the_report_is_whole() -> None:
    """pydgm, compiled and eager, against derivatives that were worked out by hand."""
    report = race(["pydgm", "pydgm_eager", "numpy"], seconds=0.05, rounds=1)
    assert report["missing"] == {}
    assert set(report["steps"]) == set(STEPS)
    for step, result in report["steps"].items():
        assert set(result) == {"pydgm", "pydgm_eager", *(["numpy"] if step in ("gan", "vae", "rbm") else [])}
        for figures in result.values():
            assert set(figures) == {"median_us", "min_us", "max_us", "peak_mib"}
            assert 0 < figures["min_us"] <= figures["median_us"] <= figures["max_us"]
    assert set(report["products_us"]) == set(STEPS) - {"planar", "planar_rows"}
    lines = table({**report, "start": {"pydgm": 1.0}}).splitlines()
    assert len(lines) == 2 + len(STEPS) + 1 + len(MEMORY)
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
    report = race(["pydgm", "nothing"], seconds=0.01, rounds=1, steps=["gan"])
    assert "nothing" in report["missing"]
    assert "No module named" in report["missing"]["nothing"]


def test_problems_are_the_same_each_time() -> None:
    for name in STEPS:
        a, b = problem(name), problem(name)
        assert a.keys() == b.keys()
        assert all((x == y).all() for x, y in zip(trees.leaves(a), trees.leaves(b), strict=True))
    with pytest.raises(ValueError, match="no step"):
        problem("nothing")


def test_likelihoods_are_kept(tmp_path, monkeypatch, capsys) -> None:
    """On rows that are easy to predict, an RBM is worth more than columns one by one; what was measured is not made again."""
    rng = np.random.default_rng(0)
    half = rng.integers(0, 2, (60, 4)).astype("uint8")
    folder, kept = tmp_path / "uci_binary", tmp_path / "kept.json"
    folder.mkdir()
    rows = np.concatenate([half, half], axis=1)
    np.savez(folder / "dna.npz", train=rows, valid=rows[:5], test=rows)
    monkeypatch.setenv("PYDGM_DATA", str(tmp_path))
    monkeypatch.setattr(published, "CONTENT", {})
    monkeypatch.setattr(likelihood, "RECIPES", {8: likelihood.Recipe(8, 800, 0.5, 0.0, 2)})
    fits = {"NADE": likelihood.Fit((8,), 20, 0.05, 0.0, 20), "MADE": likelihood.Fit((8,), 20, 0.05, 0.0, 20)}
    fits["MADE, several orders"] = fits["MADE"]._replace(orders=2)
    monkeypatch.setattr(likelihood, "FITS", {name: {8: fit} for name, fit in fits.items()})
    monkeypatch.setattr(likelihood, "MODELS", dict(likelihood.MODELS))
    command = ["likelihood", "--data", "dna", "--json", str(kept), "--seeds"]
    assert main([*command, "2"]) == 0
    results = {row["model"]: row for row in json.loads(kept.read_text(encoding="utf-8"))}
    fields = ["model", "data", "nats", "low", "high", "kind", "published", "source", "seeds", "minutes", "each", "commit"]
    assert all(list(row) == fields for row in results.values())
    assert set(results) == {"independent columns", "RBM", *fits}
    for name in fits:
        assert results[name]["kind"] == "exact"
        assert results[name]["nats"] > results["independent columns"]["nats"] + 1.0
    assert (results["RBM"]["kind"], results["independent columns"]["kind"]) == ("estimate", "exact")
    assert results["RBM"]["low"] <= results["RBM"]["nats"] <= results["RBM"]["high"]
    assert results["RBM"]["nats"] > results["independent columns"]["nats"] + 1.0
    assert "| RBM |" in capsys.readouterr().out

    @likelihood.density("half", "dna")
    def half_and_half(data, rng):
        return dist.Independent(dist.Bernoulli(np.zeros(data.shape)), 1)

    assert main([*command, "1"]) == 0
    again = {row["model"]: row for row in json.loads(kept.read_text(encoding="utf-8"))}
    assert again["half"]["nats"] == pytest.approx(-8 * np.log(2), abs=1e-3)
    assert {name: again[name] for name in results} == results
    assert "seed 0" in capsys.readouterr().out
    assert main([*command, "1"]) == 0
    assert "seed" not in capsys.readouterr().out
    monkeypatch.setenv("PYDGM_DATA", str(tmp_path / "nowhere"))
    assert main([*command, "1", "--again"]) == 2
    assert "uci_binary" in capsys.readouterr().err
    kept.write_text("{half", encoding="utf-8")
    assert main([*command, "1"]) == 2
    assert "is no file of results" in capsys.readouterr().err


def test_an_importance_weighted_model_goes_on_from_its_file(tmp_path, monkeypatch) -> None:
    """Of grey pixels, two kinds of pictures: better than columns one by one, and the second time nothing is trained again."""
    monkeypatch.setattr(likelihood, "RUNS", tmp_path / "kept")
    rng = np.random.default_rng(0)
    kinds = rng.choice([0.05, 0.95], (2, 784)).astype("float32")
    parts = [data.Rows(kinds[rng.integers(0, 2, n)]) for n in (60, 20, 30)]
    pictures = data.Dataset(*parts, (28, 28), "two kinds of pictures", real=False)
    columns = -784 * 0.47  # half of the pixels differ: log 2 each, and the others' entropy of .2
    first = likelihood.importance_weighted(pictures, dgm.random.Generator(3), k=5)
    assert first.kind == "bound"
    assert columns + 100.0 < first.nats < -784 * 0.19  # which is the entropy of one kind
    assert first.low < first.nats < first.high
    monkeypatch.setattr(likelihood.iwae, "loss", None)
    assert likelihood.importance_weighted(pictures, dgm.random.Generator(3), k=5) == first


def test_likelihoods_say_what_they_are() -> None:
    """Exact, bounded, estimated: the truth lies where each says, in nats and in bits."""
    rng = dgm.random.Generator(0)
    model = nn.double(VAE.init(rng, pixels=6, hidden=(5,), latent=2, activation=dgm.tanh))
    x = (np.random.default_rng(0).random((400, 6)) < 0.5).astype("float64")
    truth = float(dgm.mean(vae.quadrature(model, x, cells=300).log_prob))
    bound = metrics.likelihood(model, data.Rows(x), rng)
    exact_bound = float(dgm.mean(vae.elbo_quadrature(model, x, *dgm.divergences.normal_plane(60, 7.0))))
    assert bound.kind == "bound"
    assert bound.low < exact_bound < bound.nats + (bound.nats - bound.low)
    assert bound.low <= truth <= bound.high == float("inf")
    machine = RBM(*[np.random.default_rng(1).standard_normal(shape) for shape in ((6, 4), (6,), (4,))])
    estimate = metrics.likelihood(machine, x, rng)
    assert estimate.kind == "estimate"
    assert estimate.low < float(dgm.mean(machine.log_prob(x, rbm.log_partition(machine)))) < estimate.high
    exact = metrics.likelihood(dist.Independent(dist.Bernoulli(np.zeros(6)), 1), x, rng)
    assert exact[:4] == (*(pytest.approx(-6 * np.log(2)),) * 3, "exact")
    spread = dist.Independent(dist.Bernoulli(np.ones(6)), 1)
    each = spread.log_prob(x)
    assert metrics.likelihood(spread, x, rng).row_error == pytest.approx(each.std(ddof=1) / np.sqrt(len(x)))
    assert exact.bits_per_dimension(6) == pytest.approx(1.0)
    with pytest.raises(TypeError, match="wanted a model with log_prob"):
        metrics.likelihood(nn.MLP.init(rng, [2, 1]), x, rng)


def test_what_a_survey_measured_is_kept(tmp_path) -> None:
    """For a script that is the same to the letter; NaN too, which keeps no bound."""
    script, out, path = tmp_path / "lesson.py", tmp_path / "out", tmp_path / "margins.json"
    script.write_text("print()", encoding="utf-8")
    for seed, measured in ((3, 0.5), (10, "nan")):
        folder = claims.folder_of(out, script, "quick", seed)
        folder.mkdir(parents=True)
        measures = [Claim("it is small", 0.1, "<=", 1.0).as_json(), Claim("within", 0.2, "within", [0.0, 1.0]).as_json()]
        measures[0] |= {"measured": measured, "holds": measured == 0.5}
        (folder / "lesson.json").write_text(json.dumps({"claims": measures}), encoding="utf-8")
    keep([script], out, path)
    again = kept(script, "quick", path)
    assert list(again) == [3, 10]
    assert [c["holds"] for c in again[3]["claims"]] == [True, True]
    assert [c["holds"] for c in again[10]["claims"]] == [False, True]
    assert kept(script, "default", path) == {}
    assert any("10 (nan)" in row for *_, row in rows(again))
    keep([script], tmp_path / "nothing", path)
    assert list(kept(script, "quick", path)) == [3, 10]
    assert set(claims.reports_in(out, script, "quick", path)) == {3, 10}
    script.write_text("print(1)", encoding="utf-8")
    assert kept(script, "quick", path) == {}
    assert claims.reports_in(out, script, "quick", path) == {}  # what another script measured is not this one's


def test_a_survey_of_one_lesson_leaves_the_others_on_the_page(tmp_path, monkeypatch, capsys) -> None:
    """Reports that are there are not made again."""
    monkeypatch.setattr(claims, "LESSONS", tmp_path / "lessons")
    (tmp_path / "lessons" / "family").mkdir(parents=True)
    for name in ("one", "two"):
        script = tmp_path / "lessons" / "family" / f"{name}.py"
        script.write_text("raise NotImplementedError", encoding="utf-8")
        for seed in (1, 2, 3):
            folder = claims.folder_of(tmp_path / "out", script, "quick", seed)
            folder.mkdir(parents=True)
            report = {"claims": [Claim("it is small", 0.1 * seed, "<=", 1.0).as_json()], "seconds": 1.0}
            (folder / f"{name}.json").write_text(json.dumps(report), encoding="utf-8")
    for name in ("one", "two"):
        options = ["--quick", "--seeds", "1-3", "--out", str(tmp_path / "out"), "--write", str(tmp_path)]
        assert claims.main([name, *options]) == 0
    page = (tmp_path / "margins.md").read_text(encoding="utf-8")
    assert "## one, quick: every claim holds on 3 of 3 seeds" in page
    assert "## two, quick" in page


def test_layers_of_pacgan_by_hand() -> None:
    rng = dgm.random.Generator(0)
    x = rng.normal((50, 3))
    layer = modes.Normalised(rng.normal((3, 4)), rng.normal((4,)), rng.normal((4,)))
    h, gain, bias = (dgm.to_numpy(a) for a in (x @ layer.weight, layer.gain, layer.bias))
    by_hand = np.maximum(gain * (h - h.mean(axis=0)) / np.sqrt(h.var(axis=0) + 1e-5) + bias, 0.0)
    assert dgm.to_numpy(layer(x)) == pytest.approx(by_hand, abs=1e-5)
    widest = modes.Maxout(nn.Linear.init(rng, 3, 5 * 2), 5)
    pieces = dgm.to_numpy(widest.linear(x))
    assert dgm.to_numpy(widest(x)) == pytest.approx(np.max([pieces[:, 2 * i : 2 * i + 2] for i in range(5)], axis=0), abs=1e-6)
    assert modes.discriminator(rng, 2)(rng.normal((6, 2))).shape == (3, 1)
    assert modes.generator(rng).sample(rng, 7).shape == (7, 2)


def test_runs_of_pacgan_are_kept_and_go_on(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(modes, "MARKS", (1, 2))
    rows = modes.measure("ring", 2, 0, 2, tmp_path, points=400)
    assert [row["passes"] for row in rows] == [1, 2]
    assert all(0 <= row["modes"] <= 8 and 0.0 <= row["high_quality"] <= 1.0 for row in rows)
    (tmp_path / "ring-2-0-2.npz").unlink()  # interrupted after the first mark
    monkeypatch.setattr(modes.gan, "discriminator_loss", None)  # which the first part must not ask for again
    with pytest.raises(dgm.errors.ArgumentError):
        modes.measure("ring", 2, 0, 2, tmp_path, points=400)
    monkeypatch.undo()
    monkeypatch.setattr(modes, "MARKS", (1, 2))
    assert modes.measure("ring", 2, 0, 2, tmp_path, points=400) == rows
    kept = tmp_path / "kept.json"
    kept.write_text(json.dumps([{**row, "seed": seed} for seed in (0, 1) for row in rows]), encoding="utf-8")
    assert main(["modes", "--data", "ring", "--packs", "2", "--seeds", "2", "--passes", "2", "--json", str(kept)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith(f"| ring | 2 | 2 | 2 | {rows[1]['modes']:.1f} +- 0.0 |") for line in lines)
    assert "| grid | 4 | 400 | published, 10 | 24.8 | 93.6 | 0.04 |" in lines
    with pytest.raises(SystemExit):
        main(["modes", "--passes", "0"])


@pytest.mark.parametrize("name", ["residual", "attention"])
def test_networks_of_the_guide_are_short_and_learn(name, capsys, monkeypatch) -> None:
    """The scripts themselves, on a few drawn digits: their printed accuracies are above chance."""
    path = Path(networks.__file__).with_name(f"{name}.py")
    text = path.read_text(encoding="utf-8")
    docstring = ast.parse(text).body[0].end_lineno
    assert sum(bool(line.strip()) for line in text.splitlines()[docstring:]) < 30
    drawn = data.glyphs(alphabets=["digits"])
    few = dataclasses.replace(drawn, train=drawn.train[:1500], valid=drawn.valid[:200], test=drawn.test[:200])
    monkeypatch.setattr(data, "load", lambda name: few)
    runpy.run_path(str(path))
    accuracies = [float(line.split("%")[0]) for line in capsys.readouterr().out.splitlines() if "%" in line]
    assert len(accuracies) == 2
    assert min(accuracies) > 30.0


def test_the_race_on_a_gpu(capsys) -> None:
    """Its table has a row for each step that pydgm ran there; where there is no GPU, it says what is missing."""
    times = {"pydgm_gpu": {"median_us": 50.0}, "torch_gpu": {"median_us": 25.0}}
    lines = gpu.table({"gan": times, "vae": {"torch_gpu": {"median_us": 1.0}}}, {"gan": "a GAN"}).splitlines()
    assert lines[2:] == ["| a GAN | 50 | 0.50 |  |  |"]
    if find_spec("cupy") is None:
        assert main(["gpu"]) == 2
        assert "cupy is not installed" in capsys.readouterr().err


def test_drawing_is_measured(capsys) -> None:
    drawing.main()
    assert re.match(r"kept: \d+\.\d+ s; naively: \d+\.\d times as long", capsys.readouterr().out)
