"""Layers: values against NumPy written out, derivatives to second order, programs to the last bit, and what depends on what."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import pydgm as dgm
from pydgm import nn, optim, testing, train, trees
from pydgm.bijections import ActNorm


def generator(seed: int = 0) -> dgm.random.Generator:
    return dgm.random.Generator(seed)


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


def moved(model, seed: int = 1):
    """The model in float64, its zeros and ones away from where they began."""
    rng = np.random.default_rng(seed)
    return trees.map(lambda w: w + 0.2 * np.abs(rng.standard_normal(w.shape)), nn.double(model))


IMAGE, ROWS = normal(3, 2, 5, 4), normal(3, 4)
MASK = np.array([[1, 0, 1], [1, 1, 0], [0, 0, 1], [1, 1, 1]])
PLAIN = {  # layers without a state, and their input
    "Linear": (lambda rng: nn.Linear.init(rng, 4, 3), ROWS),
    "MaskedLinear": (lambda rng: nn.MaskedLinear.init(rng, MASK), ROWS),
    "LayerNorm": (lambda rng: nn.LayerNorm.init(4), ROWS),
    "Conv1d": (lambda rng: nn.Conv1d.init(rng, 2, 3, 2, dilation=2), normal(3, 2, 6)),
    "Conv2d": (lambda rng: nn.Conv2d.init(rng, 2, 3, 3, 2, 1), IMAGE),
    "ConvTranspose2d": (lambda rng: nn.ConvTranspose2d.init(rng, 2, 3, 4, 2, 1), IMAGE),
    "MaskedConv2d A": (lambda rng: nn.MaskedConv2d.init(rng, 2, 3, 3, "A"), IMAGE),
    "MaskedConv2d B": (lambda rng: nn.MaskedConv2d.init(rng, 2, 3, 3, "B"), IMAGE),
    "WeightNorm of Linear": (lambda rng: nn.WeightNorm.of(nn.Linear.init(rng, 4, 3)), ROWS),
    "WeightNorm of Conv2d": (lambda rng: nn.WeightNorm.of(nn.Conv2d.init(rng, 2, 3, 3)), IMAGE),
    "WeightNorm of ConvTranspose2d": (lambda rng: nn.WeightNorm.of(nn.ConvTranspose2d.init(rng, 2, 3, 3)), IMAGE),
    "SelfAttention": (lambda rng: nn.SelfAttention.init(rng, 4, 2), normal(2, 3, 4)),
}
STATEFUL = {
    "BatchNorm": (lambda rng: nn.BatchNorm.init(2), IMAGE),
    "BatchNorm of rows": (lambda rng: nn.BatchNorm.init(4), ROWS),
    "SpectralNorm of Linear": (lambda rng: nn.SpectralNorm.of(nn.Linear.init(rng, 4, 3)), ROWS),
    "SpectralNorm of ConvTranspose2d": (lambda rng: nn.SpectralNorm.of(nn.ConvTranspose2d.init(rng, 2, 3, 3)), IMAGE),
    "ResidualBlock": (
        lambda rng: nn.ResidualBlock.init(rng, 2, 3, 2),
        normal(2, 2, 3, 3, seed=2),
    ),  # small, for relus have kinks
}


def trained(model, x):
    """What a layer answers in training, and what it then has seen."""
    updates = nn.Updates()
    return model(x, updates), updates.into(model)


@pytest.mark.parametrize("name", [*PLAIN, *STATEFUL])
def test_derivatives_are_right_to_second_order(name) -> None:
    make, x = (PLAIN | STATEFUL)[name]
    model = moved(make(generator()))
    if name.startswith("SpectralNorm"):  # u and v are constants of the derivative, which a difference cannot know
        model = dataclasses.replace(model, u=nn.SpectralNorm.of(model.layer).u)
        w = model.layer.weight
        testing.check_grads(lambda x: model(x), [x])
        (gradient,) = dgm.vjp(lambda w: dataclasses.replace(model, layer=dataclasses.replace(model.layer, weight=w))(x), w)[1](
            model(x)
        )
        rng = np.random.default_rng(3)
        direction = rng.standard_normal(w.shape)

        def along(t):  # at the exact u, sigma's derivative is that of the largest singular value
            return np.sum(model(x) * nn.SpectralNorm.of(dataclasses.replace(model.layer, weight=w + t * direction))(x))

        assert np.sum(gradient * direction) == pytest.approx(testing.numerical_derivative(along), rel=1e-6)
        return
    testing.check_grads(lambda model, x: model(x), [model, x])
    if name.startswith("BatchNorm"):
        testing.check_grads(lambda model, x: model(x, nn.Updates()), [model, x], rtol=1e-5)


@pytest.mark.parametrize("name", [*PLAIN, *STATEFUL])
def test_programs_are_right_to_the_last_bit(name) -> None:
    make, x = (PLAIN | STATEFUL)[name]
    model, x = make(generator()), x.astype("float32")

    def loss(model, x):
        if name in PLAIN:
            return dgm.sum(dgm.square(model(x))), None
        y, seen = trained(model, x)
        return dgm.sum(dgm.square(y)), seen

    def step(model, x):
        (value, seen), gradient = dgm.value_and_grad(loss, has_aux=True)(model, x)
        return value, seen, gradient, model(x)

    compiled = dgm.compile(step)
    for _ in range(3):
        for a, b in zip(trees.leaves(compiled(model, x)), trees.leaves(step(model, x)), strict=True):
            assert a.dtype == np.float32
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name", [*PLAIN, *STATEFUL])
def test_layers_on_another_device(elsewhere, name) -> None:
    make, x = (PLAIN | STATEFUL)[name]
    if name.startswith("MaskedLinear"):
        make = lambda rng: nn.MaskedLinear.init(rng, dgm.asarray(MASK))  # noqa: E731
    model = make(generator())
    x = dgm.asarray(x.astype("float32"))

    def loss(model):
        y = model(x) if name in PLAIN else model(x, nn.Updates()) + model(x)
        return dgm.sum(dgm.square(y))

    slopes = dgm.grad(loss)(model)
    assert all(np.isfinite(dgm.to_numpy(w)).all() for w in trees.leaves(slopes))


# Normalisation


def test_layer_norm_is_its_formula() -> None:
    layer, x = moved(nn.LayerNorm.init(4)), normal(2, 3, 4)
    mean, variance = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
    np.testing.assert_allclose(layer(x), (x - mean) / np.sqrt(variance + 1e-5) * layer.scale + layer.shift, rtol=1e-12)


def test_batch_norm_is_its_formula_in_training_and_in_evaluation() -> None:
    layer, x = moved(nn.BatchNorm.init(2)), normal(6, 2, 5, 4)
    along = (0, 2, 3)
    mean, variance = x.mean(along, keepdims=True), x.var(along, keepdims=True)
    scale, shift = layer.scale[:, None, None], layer.shift[:, None, None]
    y, seen = trained(layer, x)
    np.testing.assert_allclose(y, (x - mean) / np.sqrt(variance + 1e-5) * scale + shift, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(seen.mean, 0.9 * layer.mean + 0.1 * mean.ravel(), rtol=1e-12)
    np.testing.assert_allclose(seen.variance, 0.9 * layer.variance + 0.1 * x.var(along, ddof=1), rtol=1e-12)
    expected = (x - seen.mean[:, None, None]) / np.sqrt(seen.variance[:, None, None] + 1e-5) * scale + shift
    np.testing.assert_allclose(seen(x), expected, rtol=1e-11, atol=1e-12)
    np.testing.assert_allclose(seen(x[:1]), seen(x)[:1], rtol=1e-14)  # alone as among others


def test_batch_norm_does_not_feel_the_scale_of_its_input() -> None:
    layer, x = nn.double(nn.BatchNorm.init(2, epsilon=0.0)), normal(6, 2, 3)
    np.testing.assert_allclose(layer(3.0 * x + 7.0, nn.Updates()), layer(x, nn.Updates()), atol=1e-12)


def test_a_state_has_no_gradient_and_is_not_counted() -> None:
    layer, x = nn.BatchNorm.init(2), IMAGE.astype("float32")
    slopes = dgm.grad(lambda layer: dgm.sum(dgm.square(layer(x, nn.Updates()))))(layer)
    assert not np.any(slopes.mean)
    assert not np.any(slopes.variance)
    assert nn.count_parameters(layer) == 4
    block = nn.ResidualBlock.init(generator(), 2, 3, 2)
    assert nn.count_parameters(block) == 2 * 3 * 9 + 3 + 3 * 3 * 9 + 3 + 2 * 3 + 3 + 3 * 6
    assert nn.count_parameters(nn.SpectralNorm.of(nn.Linear.init(generator(), 4, 3))) == 15


def test_a_layer_that_is_called_twice_in_a_step_sees_both() -> None:
    layer, x = nn.double(nn.BatchNorm.init(2)), IMAGE
    updates = nn.Updates()
    layer(x, updates), layer(x + 1.0, updates)
    once = trained(layer, x)[1]
    np.testing.assert_allclose(updates.into(layer).mean, trained(once, x + 1.0)[1].mean, rtol=1e-14)


def test_one_array_in_two_places_is_refused() -> None:
    one = np.ones(2)
    with pytest.raises(dgm.errors.ArgumentError, match="stands in two places"):
        trained(nn.BatchNorm(one, np.zeros(2), np.zeros(2), one), IMAGE)


@pytest.mark.parametrize("of", ["Linear", "Conv2d", "ConvTranspose2d"])
def test_weight_norm_trains_length_and_direction(of) -> None:
    make, x = PLAIN[f"WeightNorm of {of}"]
    model = nn.double(make(generator()))
    np.testing.assert_allclose(model(x), model.layer(x), atol=1e-12)  # at first it changes nothing
    longer = dataclasses.replace(model, layer=dataclasses.replace(model.layer, weight=7.0 * model.layer.weight))
    np.testing.assert_allclose(longer(x), model(x), atol=1e-12)  # v's length does not count
    linear = dataclasses.replace(model, length=2.0 * model.length)
    np.testing.assert_allclose(linear(x), 2.0 * model(x), atol=1e-12)  # g's does; biases are 0 yet


@pytest.mark.parametrize("layer", [nn.Linear.init(generator(), 30, 20), nn.Conv2d.init(generator(), 5, 8, 3)])
def test_spectral_norm_follows_the_largest_singular_value(layer) -> None:
    """While weights are trained: within 1% of the value that linear algebra finds, and after it 1."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((1, 30) if layer.weight.ndim == 2 else (1, 5, 6, 6)).astype("float32")
    model = nn.SpectralNorm.of(layer)
    for _ in range(200):
        weight = model.layer.weight
        away = 0.05 * np.std(weight) * rng.standard_normal(weight.shape).astype("float32")
        model = dataclasses.replace(model, layer=dataclasses.replace(model.layer, weight=weight + away))
        model = trained(model, x)[1]
        w = model.layer.weight
        rows = w.T if w.ndim == 2 else w.reshape(w.shape[0], -1)
        largest = np.linalg.svd(rows.astype("float64"))[1][0]
        assert 0.99 * largest <= model.sigma() <= largest * (1 + 1e-5)


# What depends on what


def test_masked_linear_is_a_linear_layer_with_masked_weights() -> None:
    layer, x = nn.double(nn.MaskedLinear.init(generator(), MASK)), normal(4)
    np.testing.assert_allclose(layer(x), x @ (layer.weight * MASK) + layer.bias, rtol=1e-12)
    np.testing.assert_array_equal(dgm.jacobian(layer)(x) != 0.0, MASK.T != 0)


@given(st.sampled_from("AB"), st.sampled_from([3, 5]), st.integers(1, 5), st.integers(1, 5))
def test_masked_convolution_sees_what_comes_before(mask, window, height, width) -> None:
    """It is the convolution with a masked window, and no later pixel, nor in "A" the pixel itself, has a slope."""
    layer = nn.double(nn.MaskedConv2d.init(generator(), 2, 3, window, mask))
    x, middle = normal(1, 2, height, width), window // 2
    kept = np.zeros((window, window))
    kept[:middle] = 1.0
    kept[middle, : middle + (mask == "B")] = 1.0
    np.testing.assert_allclose(layer(x), dgm.conv2d(x, layer.weight * kept, padding=middle), atol=1e-12)
    slopes = np.abs(dgm.jacobian(layer)(x)).sum((0, 1, 4, 5)).reshape(height * width, -1, height * width).sum(1)
    before = np.tril(np.ones((height * width,) * 2), 0 if mask == "B" else -1)
    assert not np.any(slopes[before == 0.0])
    gradient = dgm.grad(lambda layer: dgm.sum(layer(x)))(layer).weight
    assert not np.any(gradient[..., kept == 0.0])


def attention_by_hand(layer, x, causal):
    """One head and one place at a time."""
    n, dim = x.shape
    q, k, v = np.split(x @ layer.qkv.weight + layer.qkv.bias, 3, axis=1)
    d = dim // layer.heads
    answers = np.zeros((n, dim))
    for h in range(layer.heads):
        part = slice(h * d, (h + 1) * d)
        for i in range(n):
            sees = range(i + 1 if causal else n)
            weights = np.exp([q[i, part] @ k[j, part] / np.sqrt(d) for j in sees])
            answers[i, part] = sum(w * v[j, part] for w, j in zip(weights / weights.sum(), sees, strict=True))
    return answers @ layer.out.weight + layer.out.bias


@given(st.sampled_from([1, 2, 4]), st.integers(1, 5), st.booleans())
def test_attention_is_its_formula(heads, n, causal) -> None:
    layer, x = moved(nn.SelfAttention.init(generator(), 4, heads)), normal(2, 3, n, 4)
    expected = [[attention_by_hand(layer, rows, causal) for rows in some] for some in x]
    np.testing.assert_allclose(layer(x, causal), expected, rtol=1e-10, atol=1e-12)


def test_attention_does_not_know_the_order_and_if_causal_not_the_future() -> None:
    layer, x, order = moved(nn.SelfAttention.init(generator(), 4, 2)), normal(5, 4), [3, 0, 4, 1, 2]
    np.testing.assert_allclose(layer(x[order]), layer(x)[order], atol=1e-12)
    slopes = np.abs(dgm.jacobian(lambda x: layer(x, True))(x)).sum((1, 3))
    np.testing.assert_array_equal(slopes != 0.0, np.tril(np.ones((5, 5))) != 0)


def test_a_residual_block_is_its_formula() -> None:
    for channels, stride in ((2, 1), (3, 2)):
        block, x = moved(nn.ResidualBlock.init(generator(), 2, channels, stride)), IMAGE
        inner = block.second(np.maximum(block.first_norm(block.first(x)), 0.0))
        passed = x if block.shortcut is None else block.shortcut[1](block.shortcut[0](x))
        assert (block.shortcut is None) == (stride == 1)
        np.testing.assert_allclose(block(x), np.maximum(block.second_norm(inner) + passed, 0.0), rtol=1e-12)
        inner = block.second(np.maximum(block.first_norm(block.first(x), nn.Updates()), 0.0))
        if block.shortcut is not None:
            passed = block.shortcut[1](block.shortcut[0](x), nn.Updates())
        expected = np.maximum(block.second_norm(inner, nn.Updates()) + passed, 0.0)
        np.testing.assert_allclose(block(x, nn.Updates()), expected, rtol=1e-12)


# Noise


@given(st.floats(0.05, 0.95))
def test_dropout_leaves_the_mean_as_it_is(rate) -> None:
    x = np.ones((200, 100))
    y = nn.dropout(x, rate, generator())
    assert set(np.unique(y).round(9)) <= {0.0, round(1.0 / (1.0 - rate), 9)}
    assert abs(np.mean(y == 0.0) - rate) < 5.0 * np.sqrt(rate * (1.0 - rate) / x.size)
    assert nn.dropout(x, rate, None) is x


# In training


class Net(dgm.Module):
    norm: nn.BatchNorm
    out: nn.Linear

    def __call__(self, x, updates=None):
        return self.out(self.norm(x, updates))


def net() -> Net:
    return Net(nn.BatchNorm.init(3), nn.Linear.init(generator(), 3, 1))


def test_training_puts_what_was_seen_into_the_model() -> None:
    """Every step, eager as compiled; what is not returned is not kept."""
    batches = [normal(64, 3, seed=i).astype("float32") * 2.0 + 5.0 for i in range(60)]

    def loss(model, x, rng):
        updates = nn.Updates()
        y = model(x, updates)
        return dgm.mean(dgm.square(y - 1.0)), {"mean": dgm.mean(y)}, updates

    step = train.minimise(loss, optim.adam(0.01))
    after = train.run(step, step.init(net(), generator()), batches)
    np.testing.assert_allclose(after.model.norm.mean, 5.0, atol=0.2)
    np.testing.assert_allclose(after.model.norm.variance, 4.0, rtol=0.1)
    assert set(after.log) == {"loss", "mean"}
    with dgm.eager():
        slow = train.run(step, step.init(net(), generator()), batches)
    for a, b in zip(trees.leaves(after.model), trees.leaves(slow.model), strict=True):
        np.testing.assert_array_equal(a, b)
    forgetful = train.minimise(lambda model, x, rng: loss(model, x, rng)[0], optim.adam(0.01))
    assert not np.any(train.run(forgetful, forgetful.init(net(), generator()), batches[:2]).model.norm.mean)


def test_players_see_too() -> None:
    x = normal(64, 3).astype("float32") + 2.0

    def judged(models, batch, rng):
        updates = nn.Updates()
        return dgm.mean(dgm.square(models["D"](models["G"](batch, updates), updates))), updates

    players = {"D": (judged, optim.sgd(0.0), 2), "G": (judged, optim.sgd(0.0), 1)}
    step = train.alternate(**players)
    models = {"D": nn.SpectralNorm.of(nn.Linear.init(generator(), 1, 1)), "G": net()}
    after = train.run(step, step.init(models, generator()), [x] * 2)
    expected = x.mean(0) * (1.0 - 0.9**3)  # three updates, each of which G took part in
    np.testing.assert_allclose(after.models["G"].norm.mean, expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: nn.BatchNorm.init(3)(IMAGE), r"BatchNorm\(3\): wanted \(batch, 3, \*space\)"),
        (lambda: nn.BatchNorm.init(3)(normal(1, 3), nn.Updates()), "has no variance"),
        (lambda: nn.LayerNorm.init(3)(ROWS), r"LayerNorm\(3\)"),
        (lambda: nn.SelfAttention.init(generator(), 4, 3), "3 heads do not divide 4"),
        (lambda: nn.SelfAttention.init(generator(), 4, 2)(normal(4)), "places in rows"),
        (lambda: nn.MaskedConv2d.init(generator(), 1, 1, 4), "an odd window"),
        (lambda: nn.MaskedConv2d.init(generator(), 1, 1, 3, "C"), "an odd window"),
        (lambda: nn.MaskedLinear.init(generator(), np.ones(3)), r"a mask \(in, out\)"),
        (lambda: nn.MaskedLinear.init(generator(), 2 * MASK), "from 0 to 1"),
        (lambda: nn.WeightNorm.of(nn.LayerNorm.init(3)), "a layer with a weight"),
        (lambda: nn.SpectralNorm.of(np.ones((3, 3))), "a layer with a weight"),
        (lambda: nn.SpectralNorm.of(nn.Linear(np.zeros((2, 3)), np.zeros(3))), "largest singular value must be above 0"),
        (lambda: nn.WeightNorm.of(nn.Linear(np.zeros((2, 3)), np.zeros(3))), "weights must be above 0"),
        (lambda: nn.dropout(ROWS, 1.0, generator()), "below 1"),
        (lambda: dgm.conv2d(IMAGE, normal(1, 2, 3, 3), padding=-1), r"\(0, -1\)"),
        (lambda: dgm.conv2d(IMAGE, normal(1, 2, 3, 3), padding=(1, 2, 3)), "2 pairs"),
        (lambda: ActNorm.of(np.ones((5, 2))), "the deviation of a column"),
    ],
)
def test_mistakes_are_named(call, says) -> None:
    with pytest.raises((ValueError, TypeError), match=says):
        call()


# Activation normalisation


def test_activation_normalisation_begins_where_data_are_standard() -> None:
    x = normal(100, 3) @ np.diag([1.0, 5.0, 0.1]) + np.array([0.0, 3.0, -2.0])
    layer = ActNorm.of(x)
    z, log_det = layer.inverse_and_log_det(x)
    np.testing.assert_allclose(z.mean(0), 0.0, atol=1e-12)
    np.testing.assert_allclose(z.std(0), 1.0, rtol=1e-12)
    np.testing.assert_allclose(log_det, -np.sum(np.log(x.std(0))), rtol=1e-12)
    testing.check_bijection(layer, z)
    testing.check_grads(lambda layer, z: layer.forward_and_log_det(z), [layer, z[:4]])
