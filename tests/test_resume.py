"""Runs that are saved: killed at any moment they end with the same bits; a file of another run is refused."""

import json
import os
import random as python_random
import signal
import subprocess
import sys
import time
from collections.abc import Sequence

import numpy as np
import pytest

import pydgm as dgm
from pydgm import data, nn, optim, storage, train
from pydgm.errors import DataError

from .test_lessons import program
from .test_train import ROOT, ROWS, X, mlp, random, same, spread, squares_of_rows


def saved(path, seed: int = 0, passes: int = 4, rate: float = 0.01, **options):
    """The run of the tests below: everything that a state can hold."""
    step = train.minimise(squares_of_rows, optim.clip(optim.adam(optim.linear(rate, 0.0, 24)), 1.0), average=0.9)
    rng = random(seed)
    state = step.init(nn.MLP.init(rng, [2, 8, 1], dgm.tanh), rng)
    batches = ROWS.batches(rng, 10, passes=passes)
    return train.run(step, state, batches, save=path, validate=spread, validate_every=5, **options)


class Breaking(Sequence):
    """Batches that cannot be had from ``stop`` on."""

    def __init__(self, batches, stop: int) -> None:
        self.batches, self.stop, self.name = batches, stop, batches.name

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, i):
        if i >= self.stop:
            raise InterruptedError
        return self.batches[i]


BETA, SCALES = 1.0, {"beta": 1.0}


class Weighted:
    def __init__(self, beta: float) -> None:
        self.beta = beta

    def __call__(self, model, x, rng):
        return self.beta * dgm.mean(model(x) ** 2)

    def loss(self, model, x, rng):
        return self(model, x, rng)


def by_global(model, x, rng):
    return BETA * SCALES["beta"] * dgm.mean(model(x) ** 2)


def by_default(beta):
    def loss(model, x, rng, beta=beta):
        return beta * dgm.mean(model(x) ** 2)

    return loss


def by_array(beta):
    weight = np.array(beta, "float32")
    return lambda model, x, rng: weight * dgm.mean(model(x) ** 2)


def by_pair(weights):
    return lambda model, x, rng: (weights["a"] + weights["b"] * weights["c"]) * dgm.mean(model(x) ** 2)


CHANGED = {
    "a global number": (lambda b: by_global, lambda m: m.setattr("tests.test_resume.BETA", 2.0)),
    "a global dict": (lambda b: by_global, lambda m: m.setitem(SCALES, "beta", 2.0)),
    "a default argument": (by_default, None),
    "an array of an outer function": (by_array, None),
    "an attribute": (Weighted, None),
    "one of two equal numbers": (lambda b: by_pair({"a": 1, "b": 2, "c": 3 - int(b)}), None),
    "a method's object": (lambda b: Weighted(b).loss, None),
}


@pytest.mark.parametrize("name", CHANGED)
def test_a_changed_loss_is_another_run(tmp_path, monkeypatch, name) -> None:
    make, change = CHANGED[name]
    path = tmp_path / "run.npz"

    def run(beta: float) -> train.State:
        step = train.minimise(make(beta), optim.sgd(0.1))
        return train.run(step, step.init(mlp(), random()), [X] * 5, save=path)

    first = run(1.0)
    assert same(run(1.0), first)
    if change is not None:
        change(monkeypatch)
    with pytest.raises(DataError, match=r"another run: began with.step is"):
        run(2.0)


def test_another_averaging_is_another_run(tmp_path) -> None:
    for average, fails in ((0.9, False), (0.99, True), (None, True)):
        step = train.minimise(squares_of_rows, optim.sgd(0.1), average=average)
        state = step.init(mlp(), random())
        if not fails:
            train.run(step, state, [X] * 5, save=tmp_path / "run.npz")
            continue
        with pytest.raises(DataError, match="another run"):
            train.run(step, state, [X] * 5, save=tmp_path / "run.npz")


def test_other_data_schedules_and_validation_are_another_run(tmp_path) -> None:
    def run(name, rows=X, later=X, rate=lambda t: 0.1, validate=None) -> None:
        step = train.minimise(lambda m, x, rng: dgm.mean(m(x) ** 2), optim.sgd(optim.warm_up(3, rate)))
        rng = random()
        batches = data.Rows(rows).batches(rng, 8) if name == "rows" else [X, later, X]
        train.run(step, step.init(mlp(), rng), batches, save=tmp_path / name, validate=validate)

    for name, other in {
        "rows": {"rows": 10.0 * X},
        "list": {"later": 2.0 * X},
        "rate": {"rate": lambda t: 0.01},
        "validate": {"validate": lambda m: 1.0},
    }.items():
        run(name)
        run(name)
        with pytest.raises(DataError, match="another run"):
            run(name, **other)


def test_what_cannot_be_written_is_said_before_the_work(tmp_path, monkeypatch) -> None:
    step, done = train.minimise(squares_of_rows, optim.adam()), []

    class Counted(Breaking):
        def __getitem__(self, i):
            done.append(i)
            return self.batches[i]

    batches = Counted(ROWS.batches(random(), 10), 0)
    for path in (tmp_path / "no" / "run.npz", tmp_path):
        with pytest.raises(DataError):
            train.run(step, step.init(mlp(), random()), batches, save=path)
    assert not done
    whole, real = train.run(step, step.init(mlp(), random()), batches), storage.save

    def full(path, tree) -> None:
        if tree["state"].step > 3:
            raise OSError(28, "No space left on device")
        real(path, tree)

    monkeypatch.setattr(storage, "save", full)
    with pytest.warns(RuntimeWarning, match="No space left on device.*it goes on"):
        kept = train.run(step, step.init(mlp(), random()), batches, save=tmp_path / "run.npz", save_every=0.0)
    assert same(kept, whole)


def test_a_saved_run_goes_on_to_the_same_bits(tmp_path) -> None:
    whole = saved(None)
    for stop in (1, 7, 23):
        path = tmp_path / f"{stop}.npz"

        step = train.minimise(squares_of_rows, optim.clip(optim.adam(optim.linear(0.01, 0.0, 24)), 1.0), average=0.9)
        rng = random()
        state = step.init(nn.MLP.init(rng, [2, 8, 1], dgm.tanh), rng)
        batches = Breaking(ROWS.batches(rng, 10, passes=4), stop)
        with pytest.raises(InterruptedError):
            train.run(step, state, batches, save=path, save_every=0.0, validate=spread, validate_every=5)
        assert same(saved(path), whole)
        assert same(saved(path), whole)  # and once it has ended, it is only read
    assert [file.suffix for file in tmp_path.iterdir()] == [".npz"] * 3


def test_a_file_of_another_run_is_refused_and_left_alone(tmp_path) -> None:
    path = tmp_path / "run.npz"
    saved(path)
    content = path.read_bytes()
    for other, said in (
        (lambda: saved(path, seed=1), "another run: began with.(batches|model and noise) is"),
        (lambda: saved(path, passes=5), "another run: began with.batches is"),
        (lambda: saved(path, rate=0.02), "another run: began with.step is"),
    ):
        with pytest.raises(DataError, match=said) as error:
            other()
        assert "delete it, or save elsewhere" in str(error.value)
        assert "\n" not in str(error.value)
    for damaged in (content[:-100], content[: len(content) // 2], b"", content[:200] + b"x" + content[201:]):
        path.write_bytes(damaged)
        with pytest.raises(DataError, match="damaged"):
            saved(path)
        assert path.read_bytes() == damaged
    step = train.minimise(squares_of_rows, optim.adam())
    state = step.init(mlp(), random())
    lists = [[X[:10]] * 4, [X[10:20]] * 4]
    train.run(step, state, lists[0], save=tmp_path / "list.npz")
    with pytest.raises(DataError, match=r"began with.batches"):
        train.run(step, state, lists[1], save=tmp_path / "list.npz")


SCRIPT = """
import sys
from tests.test_resume import saved_slowly
saved_slowly(sys.argv[1])
"""


def saved_slowly(path) -> train.State:
    """A run of about a second that saves itself all the time."""
    step = train.alternate(D=(distance, optim.adam(), 2), G=(distance, optim.adam(), 1), average=0.99)
    rng = random()
    state = step.init({"D": nn.MLP.init(rng, [2, 8, 1]), "G": nn.MLP.init(rng, [2, 8, 1])}, rng)
    batches = ROWS.batches(rng, 10, passes=60)
    options = {"save": path, "save_every": 0.0, "validate": size, "validate_every": 3}
    return train.run(step, state, batches, **options)


def distance(models, x, rng):
    return dgm.mean((models["D"](x) - models["G"](rng.normal(x.shape)) - 1.0) ** 2)


def size(models) -> float:
    return float(np.mean(models["D"](X) ** 2))


KILLS = int(os.environ.get("PYDGM_KILLS", "3"))


@pytest.mark.parametrize("kill", range(KILLS))
def test_a_run_that_is_killed_ends_with_the_same_bits(tmp_path, kill) -> None:
    """SIGKILL at random moments, until it gets through: ``PYDGM_KILLS=50`` does it fifty times."""
    path, moments = tmp_path / "run.npz", python_random.Random(kill)
    command = [sys.executable, "-c", SCRIPT, str(path)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    for attempt in range(40):
        with subprocess.Popen(command, env=environment, cwd=ROOT) as child:
            begun = time.monotonic()
            while attempt < 3 and not path.exists() and child.poll() is None:  # what saved nothing proves nothing
                time.sleep(0.005)
            wait = moments.uniform(0.0, 0.6) if attempt < 3 else 60.0
            while child.poll() is None and time.monotonic() - begun < wait + (0.0 if attempt >= 3 else 60.0):
                if attempt < 3 and path.exists():
                    time.sleep(wait)
                    break
                time.sleep(0.005)
            if attempt < 3:
                child.send_signal(signal.SIGKILL)
            child.wait()
        if child.returncode == 0:
            break
    assert child.returncode == 0
    assert same(saved_slowly(path), saved_slowly(None))
    assert sorted(file.name for file in tmp_path.iterdir()) == ["run.npz"]


TRAINS = '''
"""A lesson that trains for a second."""
import pydgm as dgm
from pydgm import data, lesson, nn, optim, train
run = lesson.start("family/trains", __doc__, lecture="L0", figure="none")
x = run.rng.normal((64, 2))
step = train.minimise(lambda m, x, rng: dgm.mean((m(x + rng.normal(x.shape)) - 1.0) ** 2), optim.adam(0.01))
batches = data.Rows(dgm.to_numpy(x)).batches(run.rng, 16, passes=300)
first = run.train(step, step.init(nn.MLP.init(run.rng, [2, 8, 1]), run.rng), batches, "first part", save_every=0.0)
second = run.train(step, step.init(first.model, run.rng), batches, "second part", save_every=0.0)
run.claim("finite", float(second.losses[-1]), "<", 1e9)
run.panels("a")
run.finish({"losses": second.losses, "first": first.losses})
'''


def test_a_full_run_that_was_killed_goes_on_with_resume(tmp_path) -> None:
    """In either of its two trainings; the files of a run that has ended are gone."""
    script, out = tmp_path / "trains.py", tmp_path / "out"
    script.write_text(TRAINS)
    assert program(script, "--full", "--out", tmp_path / "whole").returncode == 0
    whole = json.loads((tmp_path / "whole" / "trains.json").read_text())
    assert sorted(path.name for path in (tmp_path / "whole").iterdir()) == ["trains.json", "trains.png"]
    for part in ("first", "second"):
        kept = out / f".trains-{part}-part.npz"
        command = [sys.executable, str(script), "--full", "--out", str(out)]
        with subprocess.Popen(command, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.DEVNULL) as child:
            while not kept.exists() and child.poll() is None:
                time.sleep(0.002)
            child.kill()
        assert kept.exists()
        done = program(script, "--full", "--resume", "--out", out)
        assert done.returncode == 0, done.stderr
        assert json.loads((out / "trains.json").read_text())["numbers"] == whole["numbers"]
        assert sorted(path.name for path in out.iterdir()) == ["trains.json", "trains.png"]
    (out / ".trains-first-part.npz").write_bytes(b"hours of work")
    done = program(script, "--full", "--seed", 1, "--out", out)
    assert done.returncode == 2
    assert "go on with --resume, or delete it" in done.stderr
    assert (out / ".trains-first-part.npz").read_bytes() == b"hours of work"
    (out / ".trains-first-part.npz").write_bytes(b"damaged")
    done = program(script, "--full", "--resume", "--out", out)
    assert done.returncode == 2
    assert "is damaged" in done.stderr
    for mode in ([], ["--quick"]):
        assert program(script, *mode, "--out", tmp_path / "quick").returncode == 0
        assert sorted(path.name for path in (tmp_path / "quick").iterdir()) == ["trains.json", "trains.png"]
