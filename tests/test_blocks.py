"""Building blocks against exact oracles: modules, optimisers and noise against hand-written updates and closed forms."""

from __future__ import annotations

import copy
import dataclasses

import numpy as np
import pytest
import scipy.signal
from hypothesis import given
from hypothesis import strategies as st

import pydgm as dgm
from pydgm import distributions as dist
from pydgm import nn, optim


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
    with pytest.raises(ValueError, match="the widths from input to output"):
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


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("channels", [(1, 5), (5, 1)])
def test_convolutions_in_blocks_are_those_in_one(monkeypatch, stride, channels) -> None:
    """Seven examples: one at a time, three, three and one, or all, with rows of the window together or not."""
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal((7, channels[0], 6, 5)), rng.standard_normal((channels[1], channels[0], 4, 3))
    y = dgm.conv2d(x, w, stride, ((1, 2), (0, 1)))

    def all_three():
        out, pull = dgm.vjp(lambda x, w: dgm.conv2d(x, w, stride, ((1, 2), (0, 1))), x, w)
        return out, *pull(y)

    whole = all_three()
    for block in (1, 4 * 3 * 5 * 7 * 5 * 3, 1000):
        monkeypatch.setattr(dgm.xp.library, "block", block)
        for part, expected in zip(all_three(), whole, strict=True):
            np.testing.assert_allclose(part, expected, atol=1e-12)


def test_no_examples_have_no_gradient() -> None:
    x, w = np.ones((0, 2, 5, 5)), np.ones((3, 2, 3, 3))
    y, pull = dgm.vjp(dgm.conv2d, x, w)
    assert y.shape == (0, 3, 3, 3)
    gx, gw = pull(y)
    assert gx.shape == x.shape
    np.testing.assert_array_equal(gw, np.zeros_like(w))


def test_windows_that_see_padding_alone_give_zero() -> None:
    x, w = np.ones((1, 2, 2)), np.ones((3, 2, 2))
    np.testing.assert_array_equal(dgm.conv1d(x, w, padding=3)[0, 0], [0, 0, 2, 4, 2, 0, 0])
    np.testing.assert_array_equal(dgm.conv1d(x, w, padding=((3, -1),))[0, 0], [0, 0, 2])


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


def test_updates_change_nothing_in_place_and_keep_float32() -> None:
    for name in ["sgd", "momentum", "rmsprop", "adam"]:
        opt = getattr(optim, name)(0.1)
        w = np.ones(3, "float32")
        new, state = opt.update(w, np.ones(3, "float32"), opt.init(w))
        assert (w == 1).all()
        assert new.dtype == np.float32
        assert all(leaf.dtype == np.float32 for leaf in dgm.trees.leaves(state)[1:])


def test_labels_as_rows_of_ones_and_zeros() -> None:
    y = nn.one_hot(np.array([[2, 0], [1, 1]]), 3)
    assert y.dtype == np.float32
    np.testing.assert_array_equal(y, np.eye(3)[[[2, 0], [1, 1]]])
    for wrong in (np.array([3]), np.array([-1])):
        with pytest.raises(ValueError, match="one_hot"):
            nn.one_hot(wrong, 3)
    with pytest.raises(TypeError, match="one_hot"):
        nn.one_hot(np.array([1.0]), 3)


def test_equal_parts() -> None:
    x = np.arange(12.0).reshape(2, 6)
    for axis, parts in ((-1, 3), (1, 2), (0, 2)):
        for a, b in zip(dgm.split(x, parts, axis), np.split(x, parts, axis), strict=True):
            np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(dgm.grad(lambda x: dgm.sum(dgm.split(x, 2)[1]))(x), np.repeat([[0, 1]], 2, 0).repeat(3, 1))
    with pytest.raises(ValueError, match="no 4 equal parts"):
        dgm.split(x, 4)


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
    a, b = random(7), random(7)
    one, two = a.spawn(), b.spawn()
    assert (one.normal((5,)) == two.normal((5,))).all()
    assert (one.normal((5,)) != a.normal((5,))).any()
    state = a.state()
    drawn = a.normal((3,)), a.uniform((3,), "float64"), a.integers(0, 9, (3,))
    a.restore(state)
    for x, y in zip(drawn, (a.normal((3,)), a.uniform((3,), "float64"), a.integers(0, 9, (3,))), strict=True):
        np.testing.assert_array_equal(x, y)


def test_categorical_draws_have_their_frequencies() -> None:
    logits = np.log(np.array([0.5, 0.3, 0.2]))
    drawn = dist.Categorical(logits).sample(random(), (100_000,))
    frequencies = np.bincount(drawn, minlength=3) / 100_000
    np.testing.assert_allclose(frequencies, [0.5, 0.3, 0.2], atol=5 * 0.5 / np.sqrt(100_000))


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


# Stacks


def test_a_stack_is_its_members_side_by_side() -> None:
    """Values, and the gradient of a loss that is a mean over all rows: a share of each member's own."""
    nets = [nn.MLP.init(random(i), [3, 5, 2], dgm.tanh) for i in range(4)]
    stack, x = nn.stack(nets), random(9).normal((4, 6, 3))

    def loss(model, x):
        return dgm.mean(dgm.square(model(x)))

    slope = dgm.grad(loss)(stack, x)
    for i, net in enumerate(nets):
        np.testing.assert_allclose(stack(x)[i], net(x[i]), rtol=1e-5, atol=1e-6)
        own = dgm.trees.map(lambda g: 0.25 * g, dgm.grad(loss)(net, x[i]))
        for a, b in zip(dgm.trees.leaves(nn.member(slope, i)), dgm.trees.leaves(own), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-7)
        for a, b in zip(dgm.trees.leaves(nn.member(stack, i)), dgm.trees.leaves(net), strict=True):
            np.testing.assert_array_equal(a, b)


def test_only_models_that_are_alike_are_stacked() -> None:
    net = nn.MLP.init(random(), [3, 5, 2])
    with pytest.raises(dgm.errors.TreeError, match="wanted one shape"):
        nn.stack([net, nn.MLP.init(random(), [3, 6, 2])])
    with pytest.raises(dgm.errors.TreeError, match="same structure"):
        nn.stack([net, nn.MLP.init(random(), [3, 5, 2], dgm.tanh)])
    for nothing in ([], net):
        with pytest.raises(dgm.errors.ArgumentError, match="wanted a list of models"):
            nn.stack(nothing)
