"""Building blocks against exact oracles: scipy's densities, closed forms, quadrature, hand-written updates."""

from __future__ import annotations

import copy
import dataclasses

import numpy as np
import pytest
import scipy.signal
import scipy.special
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

import pydgm as dgm
from pydgm import distributions as dist
from pydgm import divergences as div
from pydgm import metrics, nn, optim
from pydgm.testing import arrays, check_grads

GRID = np.linspace(-12.0, 12.0, 4001)


def random(seed: int = 0) -> dgm.random.Generator:
    return dgm.random.Generator(seed)


# Modules


class Affine(dgm.Module):
    weight: np.ndarray
    bias: np.ndarray
    scale: float = 2.0
    mask: np.ndarray = nn.static(None)

    def __call__(self, x):
        return self.scale * (x @ self.weight) + self.bias


def test_a_gradient_of_a_model_is_a_model() -> None:
    model = Affine(np.ones((3, 2)), np.zeros(2), mask=np.ones(2))
    g = dgm.grad(lambda m, x: dgm.sum(m(x)))(model, np.ones((4, 3)))
    assert type(g) is Affine
    np.testing.assert_array_equal(g.weight, np.full((3, 2), 8.0))
    np.testing.assert_array_equal(g.bias, [4.0, 4.0])
    assert g.scale == 2.0  # a setting, not a weight
    assert g.mask is model.mask
    assert nn.count_parameters(model) == 8
    assert repr(model) == "Affine(weight=(3, 2) float64, bias=(2,) float64, scale=2.0, mask=(2,) float64)"


def test_modules_are_frozen_and_replaceable() -> None:
    model = Affine(np.ones((3, 2)), np.zeros(2))
    with pytest.raises(dataclasses.FrozenInstanceError):
        model.bias = np.ones(2)  # type: ignore[misc]
    assert dataclasses.replace(model, scale=1.0).scale == 1.0


def test_different_settings_are_different_trees() -> None:
    a, b = Affine(np.ones((3, 2)), np.zeros(2)), Affine(np.ones((3, 2)), np.zeros(2), 3.0)
    with pytest.raises(dgm.errors.TreeError, match="same structure"):
        dgm.trees.map(lambda x, y: x + y, a, b)


def test_copied_models_match_their_originals() -> None:
    model = Affine(np.ones((3, 2)), np.zeros(2), mask=np.ones(2))
    again = copy.deepcopy(model)
    dgm.trees.map(lambda a, b: a + b, model, again)
    other = dataclasses.replace(model, mask=np.zeros(2))
    with pytest.raises(dgm.errors.TreeError):
        dgm.trees.map(lambda a, b: a + b, model, other)


def test_layers_have_the_shapes_they_say() -> None:
    rng = random()
    assert nn.MLP.init(rng, [5, 4, 3])(np.ones((2, 5), "float32")).shape == (2, 3)
    assert nn.Conv1d.init(rng, 2, 3, 3, stride=2)(np.ones((1, 2, 9), "float32")).shape == (1, 3, 4)
    assert nn.Conv2d.init(rng, 2, 3, 3, padding=1)(np.ones((1, 2, 5, 6), "float32")).shape == (1, 3, 5, 6)
    assert nn.ConvTranspose2d.init(rng, 2, 3, 4, stride=2, padding=1)(np.ones((1, 2, 5, 6), "float32")).shape == (1, 3, 10, 12)
    embedding = nn.Embedding.init(rng, 7, 2)
    assert embedding(np.array([[0, 6, 6]])).shape == (1, 3, 2)
    counts = dgm.grad(lambda e: dgm.sum(e(np.array([0, 6, 6]))))(embedding).table[:, 0]
    np.testing.assert_array_equal(counts, [1, 0, 0, 0, 0, 0, 2])  # a symbol that stands twice counts twice
    with pytest.raises(ValueError, match="at least the widths"):
        nn.MLP.init(rng, [3])


@pytest.mark.parametrize(
    ("init", "variance"),
    [
        (nn.glorot_uniform, 2 / 500),
        (nn.glorot_normal, 2 / 500),
        (nn.he_uniform, 2 / 200),
        (nn.he_normal, 2 / 200),
        (nn.lecun_normal, 1 / 200),
    ],
)
def test_initialisers_have_their_variance(init, variance) -> None:
    w = init(random(), (200, 300), 200, 300)
    assert w.dtype == np.float32
    # the sample variance of 60,000 numbers is within 5 standard errors; fourth moments are at most 3 sigma^4
    assert np.var(w, dtype="float64") == pytest.approx(variance, rel=5 * np.sqrt(2 / 60_000))
    assert abs(np.mean(w, dtype="float64")) < 5 * np.sqrt(variance / 60_000)


def test_convolutions_are_scipys() -> None:
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal((2, 3, 8, 7)), rng.standard_normal((4, 3, 3, 2))

    def plane(n, f):
        return sum(scipy.signal.correlate2d(x[n, c], w[f, c], "valid") for c in range(3))

    expected = [[plane(n, f) for f in range(4)] for n in range(2)]
    np.testing.assert_allclose(dgm.conv2d(x, w), expected, atol=1e-12)
    np.testing.assert_allclose(dgm.conv2d(x, w, stride=(2, 3)), np.array(expected)[:, :, ::2, ::3], atol=1e-12)
    wide = np.zeros((4, 3, 5, 3))
    wide[:, :, ::2, ::2] = w
    np.testing.assert_allclose(dgm.conv2d(x, w, dilation=2), dgm.conv2d(x, wide), atol=1e-12)


@given(st.integers(1, 2), st.integers(0, 1), st.integers(1, 2))
def test_transposed_convolution_is_the_adjoint(stride, padding, dilation) -> None:
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal((2, 3, 9, 9)), rng.standard_normal((4, 3, 3, 3))
    y = dgm.conv2d(x, w, stride, padding, dilation)
    u = rng.standard_normal(y.shape)
    back = dgm.conv_transpose2d(u, w, stride, padding, dilation)
    trimmed = x[:, :, : back.shape[2], : back.shape[3]]  # where the stride leaves a rest, the last columns are unseen
    seen = dgm.conv2d(trimmed, w, stride, padding, dilation)
    np.testing.assert_allclose(np.sum(seen * u), np.sum(trimmed * back), rtol=1e-10)
    (gradient,) = dgm.vjp(lambda x: dgm.conv2d(x, w, stride, padding, dilation), x)[1](u)
    np.testing.assert_allclose(gradient[:, :, : back.shape[2], : back.shape[3]], back, atol=1e-10)


# Optimisers


def test_optimisers_follow_their_formulas() -> None:
    """Three steps on f(w) = w^2 / 2, whose gradient is w, beside the formulas written out."""
    lr = 0.1
    w, m, v = {}, {}, {}
    names = ["sgd", "momentum", "rmsprop", "adam"]
    for name in names:
        w[name], m[name], v[name] = 1.0, 0.0, 0.0
    for t in range(1, 4):
        w["sgd"] -= lr * w["sgd"]
        m["momentum"] = 0.9 * m["momentum"] + w["momentum"]
        w["momentum"] -= lr * m["momentum"]
        v["rmsprop"] = 0.9 * v["rmsprop"] + 0.1 * w["rmsprop"] ** 2
        w["rmsprop"] -= lr * w["rmsprop"] / (np.sqrt(v["rmsprop"]) + 1e-8)
        m["adam"] = 0.9 * m["adam"] + 0.1 * w["adam"]
        v["adam"] = 0.999 * v["adam"] + 0.001 * w["adam"] ** 2
        w["adam"] -= lr * (m["adam"] / (1 - 0.9**t)) / (np.sqrt(v["adam"] / (1 - 0.999**t)) + 1e-8)
    for name in names:
        opt = getattr(optim, name)(lr)
        model = {"w": np.array([1.0])}
        state = opt.init(model)
        for _ in range(3):
            model, state = opt.update(model, dgm.grad(lambda m: 0.5 * dgm.sum(m["w"] ** 2))(model), state)
        assert model["w"][0] == pytest.approx(w[name], rel=1e-12), name
        assert state.step == 3.0


def test_a_learning_rate_may_be_a_schedule() -> None:
    opt = optim.sgd(lambda step: 0.5**step)
    w, state = np.array(0.0), opt.init(np.array(0.0))
    for _ in range(3):
        w, state = opt.update(w, np.array(-1.0), state)
    assert w == 1.75


def test_schedules_in_numpy_leave_float32() -> None:
    for name in ["sgd", "momentum", "rmsprop", "adam"]:
        opt = getattr(optim, name)(lambda step: 0.1 * np.cos(step))
        w = np.ones(3, "float32")
        assert opt.update(w, w, opt.init(w))[0].dtype == np.float32
        fast = dgm.compile(lambda w, state, opt=opt: opt.update(w, w, state))
        (a, s), (b, t) = opt.update(w, w, opt.init(w)), fast(w, opt.init(w))
        np.testing.assert_array_equal(opt.update(a, a, s)[0], fast(b, t)[0])


def test_steps_are_those_of_fit_from_the_start() -> None:
    w, batches = np.array([3.0]), [(np.array([float(i)]),) for i in range(5)]
    loss, opt = lambda m, x: dgm.sum((m - x) ** 2), optim.momentum(0.1)
    seen = [float(m[0]) for m in optim.steps(w, loss, opt, batches)]
    assert len(seen) == 6
    assert seen[0] == 3.0 == w[0]
    assert seen[1:] == [float(optim.fit(w, loss, opt, batches[:n])[0]) for n in range(1, 6)]


def test_fit_descends_and_leaves_the_callers_model_alone() -> None:
    w = np.array([3.0])
    found = optim.fit({"w": w}, lambda m, x: dgm.sum((m["w"] - x) ** 2), optim.sgd(0.1), [(np.array([1.0]),)] * 100)
    assert found["w"][0] == pytest.approx(1.0, abs=1e-8)
    assert w[0] == 3.0
    with pytest.raises(TypeError, match="a batch is the tuple"):
        optim.fit({"w": w}, lambda m, x: dgm.sum(m["w"]), optim.sgd(0.1), [np.ones(2)])


def test_updates_change_nothing_in_place_and_keep_float32() -> None:
    for name in ["sgd", "momentum", "rmsprop", "adam"]:
        opt = getattr(optim, name)(0.1)
        w = np.ones(3, "float32")
        new, state = opt.update(w, np.ones(3, "float32"), opt.init(w))
        assert (w == 1).all()
        assert new.dtype == np.float32
        assert all(leaf.dtype == np.float32 for leaf in dgm.trees.leaves(state)[1:])


# Noise


def test_generators_repeat_and_have_their_moments() -> None:
    assert (random(3).normal((5,)) == random(3).normal((5,))).all()
    assert (random(3).normal((5,)) != random(4).normal((5,))).any()
    rng, n = random(), 100_000
    draws = {"normal": (rng.normal((n,)), 0.0, 1.0), "uniform": (rng.uniform((n,)), 0.5, 1 / 12)}
    p = np.full(n, 0.3, "float32")
    draws["bernoulli"] = (rng.bernoulli(p), 0.3, 0.21)
    for name, (x, mean, variance) in draws.items():
        assert x.dtype == np.float32, name
        assert np.mean(x, dtype="float64") == pytest.approx(mean, abs=5 * np.sqrt(variance / n)), name
        assert np.var(x, dtype="float64") == pytest.approx(variance, rel=0.05), name
    assert rng.normal().shape == ()
    assert sorted(rng.permutation(50)) == list(range(50))
    assert rng.integers(2, 5, (1000,)).min() == 2
    assert rng.integers(2, 5, (1000,)).max() == 4
    seen = np.concatenate(list(rng.batches(10, 3)))
    assert len(set(seen.tolist())) == 9
    with pytest.raises(ValueError, match="batches of 11 from 10"):
        list(rng.batches(10, 11))


def test_categorical_draws_have_their_frequencies() -> None:
    logits = np.log(np.array([0.5, 0.3, 0.2]))
    drawn = dist.Categorical(logits).sample(random(), (100_000,))
    frequencies = np.bincount(drawn, minlength=3) / 100_000
    np.testing.assert_allclose(frequencies, [0.5, 0.3, 0.2], atol=5 * 0.5 / np.sqrt(100_000))


# Distributions

SCIPY = [
    (dist.Normal(np.float64(0.3), np.float64(1.7)), scipy.stats.norm(0.3, 1.7), GRID),
    (dist.Uniform(np.float64(-1.0), np.float64(2.5)), scipy.stats.uniform(-1.0, 3.5), GRID),
    (dist.Bernoulli(np.float64(0.8)), scipy.stats.bernoulli(1 / (1 + np.exp(-0.8))), np.array([0.0, 1.0])),
]


@pytest.mark.parametrize(("ours", "scipys", "at"), SCIPY, ids=["normal", "uniform", "bernoulli"])
def test_densities_and_entropies_are_scipys(ours, scipys, at) -> None:
    log_prob = getattr(scipys, "logpdf", None) or scipys.logpmf
    with np.errstate(divide="ignore"):
        expected = scipys.logpmf(at) if isinstance(ours, dist.Bernoulli) else log_prob(at)
    np.testing.assert_allclose(ours.log_prob(at), expected, rtol=1e-12, atol=1e-12)
    assert float(ours.entropy()) == pytest.approx(float(scipys.entropy()), rel=1e-12)
    drawn = ours.sample(random(), (200_000,))
    assert drawn.shape == (200_000,)
    assert drawn.mean() == pytest.approx(scipys.mean(), abs=5 * scipys.std() / np.sqrt(200_000))
    assert drawn.std() == pytest.approx(scipys.std(), rel=0.02)


def test_categorical_sums_to_one_and_its_entropy_is_the_sum() -> None:
    logits = np.array([[0.2, -1.0, 3.0], [0.0, -np.inf, 0.0]])
    p = dist.Categorical(logits)
    each = np.array([p.log_prob(np.full(2, k)) for k in range(3)])
    np.testing.assert_allclose(np.exp(each).sum(axis=0), [1, 1])
    expected = [scipy.stats.entropy(np.exp(each[:, 0])), np.log(2)]
    np.testing.assert_allclose(p.entropy(), expected)
    assert p.log_prob(np.zeros((4, 2), int)).shape == (4, 2)
    np.testing.assert_allclose(p.log_prob(np.array([[0], [2]])), each[[0, 2]])
    weights = np.log([0.25, 0.75])
    mixed = dist.Mixture(weights, p).log_prob(np.arange(3))
    np.testing.assert_allclose(np.exp(mixed), np.exp(weights) @ np.exp(each.T))


def test_an_entropy_for_each_mean() -> None:
    found = dist.Normal(np.zeros(3), 2.0).entropy()
    np.testing.assert_allclose(found, np.full(3, scipy.stats.norm(0, 2).entropy()))
    assert dist.Normal(np.zeros((4, 1)), np.ones(3)).entropy().shape == (4, 3)


@given(arrays((2,), -40.0, 40.0))
def test_divergence_of_sure_bernoullis(logits) -> None:
    """No cancellation where the logits are large: p log(p/q) + (1 - p) log((1 - p)/(1 - q)) by scipy, in float64."""
    (p, q), (not_p, not_q) = scipy.special.expit(logits), scipy.special.expit(-logits)
    found = div.kl(dist.Bernoulli(logits[0]), dist.Bernoulli(logits[1]))
    assert float(found) == pytest.approx(
        scipy.special.rel_entr(p, q) + scipy.special.rel_entr(not_p, not_q), rel=1e-6, abs=1e-12
    )
    sure = dist.Bernoulli(np.float32(3e7)), dist.Bernoulli(np.float32(0.0))
    assert float(div.kl(*sure)) == pytest.approx(np.log(2))


def test_mixtures_integrate_to_one_and_sample_what_they_say() -> None:
    p = dist.Mixture(np.log(np.array([0.25, 0.75])), dist.Normal(np.array([-2.0, 1.0]), np.array([0.5, 1.0])))
    assert float(div.trapezoid(np.exp(p.log_prob(GRID)), GRID)) == pytest.approx(1.0, abs=1e-9)
    drawn = p.sample(random(), (200_000,))
    assert drawn.mean() == pytest.approx(0.25, abs=0.02)
    plane = dist.Mixture(np.zeros(3), dist.Normal(np.array([[0.0, 4.0], [4.0, 0.0], [-4.0, 0.0]]), 0.5), event_ndim=1)
    drawn = plane.sample(random(), (50_000,))
    assert drawn.shape == (50_000, 2)
    np.testing.assert_allclose(drawn.mean(axis=0), [0, 4 / 3], atol=0.06)
    side = np.linspace(-8, 8, 321)
    square = np.stack(np.meshgrid(side, side), axis=-1)
    assert plane.log_prob(square).shape == (321, 321)
    assert np.exp(plane.log_prob(square)).sum() * (side[1] - side[0]) ** 2 == pytest.approx(1.0, abs=1e-9)


def test_plain_numbers_are_parameters_too() -> None:
    rng = random()
    assert dist.Normal().sample(rng, 5).shape == (5,)
    assert set(np.unique(dist.Bernoulli(0.8).sample(rng, 100))) == {0.0, 1.0}
    assert float(dist.Categorical(np.zeros(2)).log_prob(1)) == pytest.approx(-np.log(2))
    assert float(dist.Mixture(np.zeros(2), dist.Normal(np.zeros(2), 1.0)).log_prob(0.5)) == pytest.approx(-1.043938533)
    top = dist.Uniform(np.float32(1000), np.float32(1001))
    assert np.isfinite(top.log_prob(top.sample(rng, 1_000_000))).all()
    with pytest.raises(ValueError, match="float32"):
        rng.normal((2,), "float16")


def test_reparameterised_samples_carry_gradients() -> None:
    g = dgm.grad(lambda p: dgm.mean(p.sample(random(), (1000,))))(dist.Normal(np.array(0.0), np.array(1.0)))
    noise = random().normal((1000,), "float64")
    assert g.mean == pytest.approx(1.0)
    assert g.scale == pytest.approx(noise.mean())


@given(arrays((4,), 0.2, 2.0))
def test_densities_are_differentiable_in_their_parameters(v) -> None:
    x = np.array([0.7])
    check_grads(lambda m, s: dist.Normal(m, s).log_prob(x), [v[:1], v[1:2]])
    check_grads(lambda w, m, s: dist.Mixture(w, dist.Normal(m, s)).log_prob(x), [v[:2], v[:2], v[2:]])
    check_grads(lambda logits: dist.Categorical(logits).log_prob(np.array(1)), [v])


# Divergences

PAIRS = [
    (dist.Normal(0.3, 1.1), dist.Normal(-0.4, 0.8)),
    (dist.Normal(np.array([0.0, 1.0]), 1.0), dist.Normal(0.5, np.array([2.0, 0.7]))),
]


def test_closed_forms_are_the_quadrature() -> None:
    p, q = PAIRS[0]
    assert float(div.kl(p, q)) == pytest.approx(float(div.kl_quadrature(p.log_prob(GRID), q.log_prob(GRID), GRID)), rel=1e-9)
    assert div.kl(*PAIRS[1]).shape == (2,)
    a, b = dist.Bernoulli(np.array(0.4)), dist.Bernoulli(np.array(-1.0))
    sum_over_x = sum(np.exp(a.log_prob(x)) * (a.log_prob(x) - b.log_prob(x)) for x in (0.0, 1.0))
    assert float(div.kl(a, b)) == pytest.approx(float(sum_over_x))
    c, d = dist.Categorical(np.array([0.0, 1.0, -np.inf])), dist.Categorical(np.array([1.0, 0.0, 0.0]))
    k = np.arange(2)
    over_k = np.exp(c.log_prob(k)) * (c.log_prob(k) - d.log_prob(k))
    assert float(div.kl(c, d)) == pytest.approx(over_k.sum())
    wide = dist.Uniform(np.float64(-1), np.float64(3))
    assert float(div.kl(dist.Uniform(np.float64(0), np.float64(1)), wide)) == pytest.approx(np.log(4))
    assert float(div.kl(dist.Uniform(np.float64(0), np.float64(5)), wide)) == np.inf
    with pytest.raises(TypeError, match="no closed form for Normal and Uniform"):
        div.kl(dist.Normal(), dist.Uniform())


@given(arrays((2,)), arrays((2,), 0.3, 2.0))
def test_js_is_symmetric_bounded_and_its_root_a_distance(m, s) -> None:
    logs = [dist.Normal(a, b).log_prob(GRID) for a, b in [(m[0], s[0]), (m[1], s[1]), (0.0, 1.0)]]
    js = np.array([[float(div.js_quadrature(a, b, GRID)) for b in logs] for a in logs])
    np.testing.assert_allclose(js, js.T, atol=1e-12)
    assert (js <= np.log(2) + 1e-9).all()
    assert (js >= -1e-9).all()
    root = np.sqrt(np.maximum(js, 0.0))
    assert root[0, 1] <= root[0, 2] + root[2, 1] + 1e-6


@given(st.integers(2, 60))
def test_intervals_of_means_are_students(n) -> None:
    x = np.random.default_rng(n).normal(2.0, 3.0, n)
    low, high = scipy.stats.t.interval(0.95, n - 1, loc=x.mean(), scale=scipy.stats.sem(x))
    assert metrics.mean_interval(x) == pytest.approx(((low + high) / 2, (high - low) / 2), rel=1e-4)
    with pytest.raises(ValueError, match="two or more numbers"):
        metrics.mean_interval(x[:1])


def test_wasserstein_of_shifted_gaussians_is_the_shift() -> None:
    p, q = dist.Normal(-3.0, 1.0), dist.Normal(3.0, 1.0)
    assert float(div.wasserstein_quadrature(p.log_prob(GRID), q.log_prob(GRID), GRID)) == pytest.approx(6.0, abs=1e-6)
    uneven = -12.0 + 26.0 * np.linspace(0.0, 1.0, 1600) ** 2
    p, q = dist.Normal(0.0, 1.0), dist.Normal(2.0, 0.7)
    cdfs = scipy.stats.norm(0, 1).cdf(uneven), scipy.stats.norm(2, 0.7).cdf(uneven)
    exact = np.trapezoid(np.abs(cdfs[0] - cdfs[1]), uneven)
    assert float(div.wasserstein_quadrature(p.log_prob(uneven), q.log_prob(uneven), uneven)) == pytest.approx(exact, abs=1e-5)
    x = random().normal((1000,), "float64")
    assert div.wasserstein_samples(x, x[::-1] + 2.5) == pytest.approx(2.5)
    y = np.random.default_rng(1).standard_normal(1000)
    assert div.wasserstein_samples(x, y) == pytest.approx(scipy.stats.wasserstein_distance(x, y))
    with pytest.raises(ValueError, match="two vectors of one length"):
        div.wasserstein_samples(x, y[:5])


def test_blocks_run_on_the_bare_standard() -> None:
    """Models, optimisers, noise and densities on a device that has no float64 and no NumPy."""
    dgm.use("array_api_strict", device="no_float64")
    try:
        rng = random()
        model = nn.MLP.init(rng, [3, 4, 2])
        opt = optim.adam(1e-2)
        state = opt.init(model)
        x = rng.normal((8, 3))

        def loss(m):
            p, b = dist.Normal(m(x), 0.5), dist.Bernoulli(m(x))
            return -dgm.mean(p.log_prob(p.sample(rng))) + dgm.mean(b.log_prob(b.sample(rng)))

        for _ in range(2):
            value, gradient = dgm.value_and_grad(loss)(model)
            model, state = opt.update(model, gradient, state)
        assert np.isfinite(float(value))
        for leaf in dgm.trees.leaves(model):
            assert "float32" in str(leaf.dtype)
            assert "no_float64" in str(leaf.device)
    finally:
        dgm.use("numpy")
