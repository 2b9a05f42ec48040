"""Training: steps against loops written by hand, states that nothing writes over."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import pydgm as dgm
from pydgm import data, nn, optim, train, trees
from pydgm.errors import ArgumentError, DomainError

ROOT = Path(__file__).parents[1]
X = np.random.default_rng(0).standard_normal((64, 2)).astype("float32")
Y = X[:, :1] * X[:, 1:]


def random(seed: int = 0) -> dgm.random.Generator:
    return dgm.random.Generator(seed)


def mlp(seed: int = 0) -> nn.MLP:
    return nn.MLP.init(random(seed), [2, 8, 1], dgm.tanh)


def squares(model, batch, rng):
    x, y = batch
    return dgm.mean((model(x + 0.1 * rng.normal(x.shape)) - y) ** 2)


def squares_of_rows(model, x, rng):
    return dgm.mean((model(x + 0.1 * rng.normal(x.shape)) - x[:, :1] * x[:, 1:]) ** 2)


def spread(model) -> float:
    return float(np.mean((model(X) - Y) ** 2))


def same(a, b) -> bool:
    """Two trees of equal structure, and equal to the last bit."""
    (x, s), (y, t) = trees.flatten(a), trees.flatten(b)
    return s == t and all(np.asarray(p).tobytes() == np.asarray(q).tobytes() for p, q in zip(x, y, strict=True))


ROWS = data.Rows(X, np.arange(64))


def test_a_run_is_the_loop_that_one_would_write() -> None:
    opt, model = optim.adam(0.01), mlp()
    step = train.minimise(squares, opt)
    state = step.init(model, random(1))
    kept = trees.map(np.copy, state)
    run = train.run(step, state, [(X, Y)] * 20)
    noise, memory, losses = random(), opt.init(model), []
    noise.restore(state.noise)
    for _ in range(20):
        loss, gradient = dgm.value_and_grad(squares)(model, (X, Y), noise)
        model, memory = opt.update(model, gradient, memory)
        losses.append(float(loss))
    np.testing.assert_array_equal(run.losses, np.float32(losses))
    assert same(run.model, model)
    assert same(run.memory, memory)
    assert (run.noise == noise.state()).all()
    assert run.step == 20
    assert same(kept, state)  # the state that went in is what it was


def test_the_same_state_gives_the_same_run_in_one_piece_or_in_many() -> None:
    """Compiled once, never reset: schedule, averages, noise and log go on from piece to piece."""
    step = train.minimise(squares, optim.adam(optim.cosine(0.05, 0.0, 30)), average=0.9)
    start, batches = step.init(mlp(), random(1)), ROWS_AND_LABELS * 30
    whole = train.run(step, start, batches)
    pieces = [start]
    for at in (0, 7, 8, 21):
        end = {0: 7, 7: 8, 8: 21, 21: 30}[at]
        pieces.append(train.run(step, pieces[-1], batches[at:end]))
    assert same(pieces[-1], whole)
    assert len(pieces[2].losses) == 8
    assert same(train.run(step, pieces[1], batches[7:8]), pieces[2])  # from a state in the middle, again
    assert step.compiled.traces == 1
    with dgm.eager():
        assert same(train.run(step, start, batches), whole)


ROWS_AND_LABELS = [(X, Y)]


def test_further_numbers_are_logged() -> None:
    def loss(model, batch, rng):
        value = squares(model, batch, rng)
        return value, {"twice": 2.0 * value, "step": 3.0}

    step = train.minimise(loss, optim.sgd(0.1))
    run = train.run(step, step.init(mlp(), random()), [(X, Y)] * 250)
    assert set(run.log) == {"loss", "twice", "step"}
    assert run.losses.shape == (250,)
    np.testing.assert_allclose(run.log["twice"], 2.0 * run.losses)
    np.testing.assert_array_equal(run.log["step"], 3.0)


def test_players_take_turns() -> None:
    """Two updates of D for each of G, against a loop by hand; what has no player stays as it is."""
    models = {"D": mlp(1), "G": mlp(2), "fixed": mlp(3)}
    opt_d, opt_g = optim.adam(0.02), optim.momentum(0.01)

    def loss_d(models, x, rng):
        return dgm.mean((models["D"](x) - models["G"](x) - models["fixed"](rng.normal(x.shape))) ** 2)

    def loss_g(models, x, rng):
        value = -dgm.mean(models["D"](x) * models["G"](x))
        return value, {"size": dgm.mean(models["G"](x) ** 2)}

    step = train.alternate(D=(loss_d, opt_d, 2), G=(loss_g, opt_g, 1))
    batches = [X[i : i + 8] for i in range(0, 48, 8)] * 4
    state = step.init(models, random(5))
    run = train.run(step, state, batches)
    noise = random()
    noise.restore(state.noise)
    D, G, memory_d, memory_g, losses = models["D"], models["G"], opt_d.init(models["D"]), opt_g.init(models["G"]), []
    for first, second in zip(batches[::2], batches[1::2], strict=True):
        for x in (first, second):
            loss, slope = dgm.value_and_grad(lambda D, x=x, G=G: loss_d({**models, "D": D, "G": G}, x, noise))(D)
            D, memory_d = opt_d.update(D, slope, memory_d)
            losses.append(float(loss))
        slope = dgm.grad(lambda G, x=first, D=D: loss_g({**models, "D": D, "G": G}, x, noise)[0])(G)
        G, memory_g = opt_g.update(G, slope, memory_g)
    assert same(run.models, {"D": D, "G": G, "fixed": models["fixed"]})
    assert same(run.memory, {"D": memory_d, "G": memory_g})
    assert run.step == 12
    np.testing.assert_array_equal(run.losses["D"], np.float32(losses))
    assert run.losses["G"].shape == run.log["G.size"].shape == (12,)
    assert set(run.losses) == {"D", "G"}
    assert step.compiled.traces == 1


def test_the_average_of_the_weights() -> None:
    step = train.minimise(lambda w, x, rng: dgm.sum((w - x) ** 2), optim.sgd(0.1), average=0.5)
    run = train.run(step, step.init(np.zeros(2), random()), [np.ones(2)] * 3)
    w = average = np.zeros(2)
    for _ in range(3):
        w = w - 0.2 * (w - 1.0)
        average = 0.5 * average + 0.5 * w
    np.testing.assert_allclose(run.average, average)
    np.testing.assert_allclose(run.model, w)


def test_the_best_model_by_the_validation_rows() -> None:
    """A rate that is too large at the end: the best is in the middle, and is kept as it was."""
    rates = optim.piecewise(0.1, {20: 1.2})
    step = train.minimise(lambda w, x, rng: dgm.sum((w - x) ** 2), optim.sgd(rates))
    seen = []

    def validate(w):
        seen.append(w.copy())
        w += 100.0  # its own copy
        return ((seen[-1] - 1.0) ** 2).sum()

    run = train.run(step, step.init(np.zeros(2), random()), [np.ones(2)] * 33, validate=validate, validate_every=10)
    np.testing.assert_array_equal(run.log["validation_step"], [10, 20, 30, 33])
    np.testing.assert_allclose(run.log["validation"], [((w - 1.0) ** 2).sum() for w in seen])
    assert run.log["validation"].argmin() == 1
    np.testing.assert_array_equal(run.best, seen[1])
    more = train.run(step, run, [np.ones(2)] * 10, validate=validate, validate_every=10)
    np.testing.assert_array_equal(more.best, run.best)
    np.testing.assert_array_equal(more.log["validation_step"], [10, 20, 30, 33, 40, 43])


def test_steps_without_data_draw_their_own() -> None:
    step = train.minimise(lambda w, batch, rng: dgm.mean((w - rng.normal((32,))) ** 2), optim.sgd(optim.linear(0.5, 0.0, 500)))
    run = train.run(step, step.init(np.float32([3.0]), random()), 500)
    assert abs(float(run.model[0])) < 0.05
    assert run.losses.shape == (500,)


def test_float64_does_not_creep_in_without_a_word() -> None:
    """From a batch, or from the loss itself; a float64 model is as it should be."""
    for batch, scale in ((X.astype("float64"), 1.0), (X, np.eye(2))):
        step = train.minimise(lambda m, x, rng, scale=scale: dgm.mean(m(x) ** 2) * dgm.sum(scale), optim.sgd(0.1))
        model = nn.MLP.init(random(), [2, 4, 1])
        with pytest.warns(RuntimeWarning, match="the model is float32 and its loss float64"):
            train.run(step, step.init(model, random()), [batch] * 3)
    step = train.minimise(lambda m, x, rng: dgm.mean(m(x) ** 2), optim.sgd(0.1))
    train.run(step, step.init(nn.double(mlp()), random()), [X.astype("float64")] * 3)
    train.run(step, step.init(mlp(), random()), [X] * 3)


# Optimisers and schedules


def test_schedules() -> None:
    at = {0: 0, 5: 5, 10: 10, 99: 99}
    for schedule, values in {
        optim.linear(1.0, 0.0, 10): {0: 1.0, 5: 0.5, 10: 0.0, 99: 0.0},
        optim.cosine(1.0, 0.2, 10): {0: 1.0, 5: 0.6, 10: 0.2, 99: 0.2},
        optim.cyclical(0.2, 1.0, 20): {0: 0.2, 5: 0.6, 10: 1.0, 99: 1.0},
        optim.cyclical(0.0, 1.0, 8, rise=1.0): {0: 0.0, 5: 0.625, 10: 0.25, 99: 0.375},
        optim.warm_up(6, 0.6): {0: 0.1, 5: 0.6, 10: 0.6, 99: 0.6},
        optim.warm_up(20, optim.linear(1.0, 0.0, 10)): {0: 0.05, 5: 0.15, 10: 0.0, 99: 0.0},
    }.items():
        for step in at:
            assert float(schedule(float(step))) == pytest.approx(values[step], abs=1e-12), schedule
    steps = optim.piecewise(1.0, {10: 0.1, 5: 0.5})
    assert [float(steps(float(step))) for step in (0, 4, 5, 9, 10, 99)] == [1.0, 1.0, 0.5, 0.5, 0.1, 0.1]


@pytest.mark.parametrize("rate", [optim.linear(0.1, 0.0, 9), optim.cosine(0.1, 0.0, 9), optim.piecewise(0.1, {4: 0.01})])
def test_schedules_are_compiled_into_the_step(rate) -> None:
    step = train.minimise(squares, optim.adam(optim.warm_up(3, rate)))
    state = step.init(mlp(), random())
    compiled = train.run(step, state, [(X, Y)] * 12)
    assert step.compiled.traces == 1
    with dgm.eager():
        assert same(train.run(step, state, [(X, Y)] * 12), compiled)
    assert compiled.model.layers[0].weight.dtype == np.float32


@pytest.mark.parametrize("beta", [0.5, optim.linear(0.0, 1.0, 8), optim.cyclical(0.0, 2.0, 5), optim.piecewise(0.0, {4: 1.0})])
def test_a_loss_has_scheduled_numbers(beta) -> None:
    """They are those of the step that is made: of steps that follow one another, and after a pause; and they are the loss's."""

    def loss(model, batch, rng, beta):
        return beta * squares(model, batch, rng), {"beta": beta + 0.0 * dgm.mean(batch[0])}

    step = train.minimise(loss, optim.sgd(0.1), beta=beta)
    state = step.init(mlp(), random())
    run = train.run(step, state, [(X, Y)] * 12)
    expected = [float(beta(float(i))) if callable(beta) else beta for i in range(12)]
    np.testing.assert_allclose(run.log["beta"], expected, atol=1e-7)
    assert step.compiled.traces == 1
    assert run.model.layers[0].weight.dtype == np.float32
    paused = train.run(step, train.run(step, state, [(X, Y)] * 5), [(X, Y)] * 7)
    assert same(paused.model, run.model)
    with dgm.eager():
        assert same(train.run(step, state, [(X, Y)] * 12).model, run.model)
    weighed = train.minimise(squares, optim.sgd(lambda i: 0.1 * (beta(i) if callable(beta) else beta)))
    other = train.run(weighed, weighed.init(mlp(), random()), [(X, Y)] * 12)
    np.testing.assert_allclose(other.model.layers[0].weight, run.model.layers[0].weight, atol=1e-6)


def test_scheduled_numbers_that_are_none() -> None:
    with pytest.raises(ArgumentError, match="takes no betta: what is given by name is average, or"):
        train.minimise(lambda model, x, rng, beta: 0.0, optim.sgd(0.1), betta=0.5)
    with pytest.raises(ArgumentError, match="takes no rng"):
        train.minimise(squares, optim.sgd(0.1), rng=1.0)
    step = train.minimise(lambda model, x, rng, beta: beta * squares(model, x, rng), optim.sgd(0.1), beta=lambda i: np.nan)
    state = step.init(mlp(), random())
    with pytest.raises(DomainError, match="beta that the schedule gives: wanted a finite number"):
        train.run(step, state, [(X, Y)])
    with pytest.raises(DomainError, match="cyclical: rise"):
        optim.cyclical(0.0, 1.0, 10, rise=0.0)


def test_weight_decay_shrinks_matrices_and_no_biases() -> None:
    model, zero = {"w": np.ones((2, 2)), "b": np.ones(2)}, {"w": np.zeros((2, 2)), "b": np.zeros(2)}
    for make in (optim.sgd, optim.momentum, optim.rmsprop, optim.adam):
        opt = make(0.1, weight_decay=0.5)
        new, memory = opt.update(model, zero, opt.init(model))
        np.testing.assert_allclose(new["w"], 0.95)
        np.testing.assert_array_equal(new["b"], 1.0)
        new, _ = opt.update(new, zero, memory)
        np.testing.assert_allclose(new["w"], 0.95**2)


def test_long_gradients_are_clipped_as_one_vector() -> None:
    model = {"a": np.zeros(2), "b": np.zeros(1)}
    opt = optim.clip(optim.sgd(1.0), 1.0)
    long, short = {"a": np.array([3.0, 0.0]), "b": np.array([4.0])}, {"a": np.array([0.3, 0.0]), "b": np.array([0.4])}
    for gradient, length in ((long, 1.0), (short, 0.5)):
        new, _ = opt.update(model, gradient, opt.init(model))
        np.testing.assert_allclose(np.concatenate([new["a"], new["b"]]), -length * np.array([0.6, 0.0, 0.8]))


def test_gradients_of_any_length_are_clipped() -> None:
    w = np.zeros(2, "float32")
    opt = optim.clip(optim.sgd(1.0), 1.0)
    for length in (0.0, 1e-30, 1e-3, 1e20, 1e38):
        new, _ = opt.update(w, np.float32([0.6, 0.8]) * np.float32(length), opt.init(w))
        expected = min(length, 1.0) * np.array([-0.6, -0.8])
        np.testing.assert_allclose(new, expected, rtol=1e-5, atol=1e-12)


def test_a_projection_keeps_shapes_and_dtypes() -> None:
    model = {"w": np.ones((2, 3), "float32")}
    for onto in (lambda m: {"w": dgm.mean(m["w"])}, lambda m: {"w": m["w"].astype("float64")}):
        opt = optim.project(optim.sgd(0.1), onto)
        with pytest.raises(ValueError, match=r"onto.model. makes .* of .*w.*, \(2, 3\) float32"):
            opt.update(model, model, opt.init(model))


def test_projections_come_after_the_update() -> None:
    opt = optim.project(optim.sgd(1.0), lambda m: trees.map(lambda w: dgm.clip(w, -0.1, 0.1), m))
    new, _ = opt.update({"w": np.array([0.0, 0.0])}, {"w": np.array([5.0, 0.05])}, opt.init({"w": np.zeros(2)}))
    np.testing.assert_allclose(new["w"], [-0.1, -0.05])


# Batches


def test_batches_are_each_row_once_in_a_pass_and_can_be_found_again() -> None:
    # formula: data
    batches = ROWS.batches(random(3), 10, passes=3, labels=True)
    assert len(batches) == 18
    for turn in range(3):
        some = np.concatenate([batches[6 * turn + i][1] for i in range(6)])
        assert len(set(some.tolist())) == 60
    again = ROWS.batches(random(3), 10, passes=3, labels=True)
    for i in (17, 3, 9, -1):
        np.testing.assert_array_equal(batches[i][0], again[i][0])
        np.testing.assert_array_equal(batches[i][0], X[batches[i][1]])
    assert (batches[0][1] != batches[6][1]).any()
    assert (ROWS.batches(random(4), 10, labels=True)[0][1] != batches[0][1]).any()
    assert len(list(batches)) == len(batches[:]) == 18
    with pytest.raises(IndexError):
        batches[18]
    with pytest.raises(ValueError, match="no labels"):
        data.Rows(X).batches(random(), 4, labels=True)
    assert len(ROWS[ROWS.labels < 10]) == 10


def test_averages_that_come_and_go() -> None:
    """A run goes on with an average only where its step has one: none is returned, or validated, that stands still."""
    with_average = train.minimise(squares_of_rows, optim.adam(), average=0.9)
    without = train.minimise(squares_of_rows, optim.adam())
    first = train.run(with_average, with_average.init(mlp(), random()), [X] * 5)
    then = train.run(without, first, [X] * 5, validate=spread, validate_every=5)
    assert then.average is None
    assert then.log["validation"][0] == pytest.approx(spread(then.model))
    again = train.run(with_average, then, [X] * 1)
    w, a, new = (trees.leaves(t)[0] for t in (then.model, again.average, again.model))
    np.testing.assert_allclose(a, 0.9 * w + 0.1 * new, rtol=1e-6)


@pytest.mark.parametrize(
    ("returned", "said"),
    [
        (lambda v: (v, 1.0, 2.0), "got 3 results"),
        (lambda v: (v, v), "got a number and"),
        (lambda v: (v, {"loss": v}), "'loss' cannot be logged"),
        (lambda v: (v, {"validation": v}), "'validation' cannot be logged"),
        (lambda v: (v, {"d'": v}), "cannot be logged"),
        (lambda v: (v, {"a": None}), "a cannot be logged: wanted one number, got None"),
        (lambda v: (v, {"a": {"b": v}}), "a cannot be logged"),
    ],
)
def test_what_a_loss_may_return(returned, said) -> None:
    step = train.minimise(lambda w, x, rng: returned(dgm.sum((w - x) ** 2)), optim.sgd(0.1))
    with pytest.raises(TypeError, match=said):
        train.run(step, step.init(np.zeros(2), random()), [np.ones(2)] * 3)


def test_a_run_inside_of_its_own_step_is_refused() -> None:
    step = train.minimise(squares_of_rows, optim.adam())
    state = step.init(mlp(), random())
    with pytest.raises(RuntimeError, match="make another step"):
        train.run(step, state, [X] * 4, validate=lambda m: train.run(step, state, [X]).losses[0], validate_every=2)
    assert train.run(step, state, [X]).step == 1  # and the step can be used again


def test_labels_are_looked_at_in_every_run_of_a_step() -> None:
    """Also in the second, which finds the program ready; and an eager run is not judged by an older program."""
    step = train.minimise(lambda m, b, rng: dgm.mean((m(b[0]) - b[1]) ** 2), optim.adam())
    state = step.init(mlp(), random())
    for _ in range(2):
        with pytest.raises(ValueError, match="of the batch meets"):
            train.run(step, state, [(X, Y[:, 0])] * 3)
    with dgm.eager():
        assert train.run(step, state, [(X, Y)] * 3).step == 3
