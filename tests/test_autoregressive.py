"""Autoregressive models against the sum over all rows, the naive product of conditionals, and their own Jacobian."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pydgm as dgm
from pydgm import metrics, nn, optim, train, trees
from pydgm.errors import ArgumentError, DomainError, ShapeError
from pydgm.models.autoregressive import (
    MADE,
    NADE,
    Autoregressive,
    GatedPixelCNN,
    PixelCNN,
    made,
    nade,
    natural_order,
    nll,
    pixel_cnn,
    random_orders,
)
from pydgm.testing import check_grads


def random(seed: int = 0):
    return dgm.random.Generator(seed)


def bits(D: int):
    return np.array(list(itertools.product((0.0, 1.0), repeat=D)))


def strewn(model, seed: int):
    """The model in float64 with weights that are nowhere 0."""
    noise = np.random.default_rng(seed)
    return trees.map(lambda w: w + 0.8 * noise.standard_normal(w.shape), nn.double(model))


def small_nade(D: int, hidden: int, orders: int, seed: int):
    return strewn(NADE.init(random(seed), D, hidden, random_orders(random(seed), D, 1)), seed)


def small_made(D: int, hidden: int, orders: int, seed: int):
    return strewn(MADE.init(random(seed), D, [hidden, hidden + 2], random_orders(random(seed), D, orders)), seed)


def small_pixels(kind, seed: int, size=(3, 4)):
    """Plain: windows of 3. Gated: the first reaches two pixels far, the others one and two; each place has a bias."""
    options = {"first": 3} if kind is PixelCNN else {"first_reach": 2, "dilations": (1, 2), "place_bias": True}
    return strewn(kind.init(random(seed), size, 4, 3, **options), seed)


SIZES = (st.integers(1, 7), st.integers(1, 6), st.integers(1, 3), st.integers(0, 10_000))
MODELS = st.one_of(st.builds(small_nade, *SIZES), st.builds(small_made, *SIZES))


@given(MODELS)
def test_probabilities_of_all_rows_add_up_to_one(model) -> None:
    # formula: autoregression
    x = bits(model.shape[0])
    assert np.exp(model.log_prob(x)).sum() == pytest.approx(1.0, abs=1e-12)
    each = [np.exp(model.log_prob_in(x, k)) for k in range(model.orders)]
    for p in each:
        assert p.sum() == pytest.approx(1.0, abs=1e-12)
    np.testing.assert_allclose(np.exp(model.log_prob(x)), np.mean(each, axis=0), rtol=1e-10)


@given(MODELS)
def test_a_conditional_hears_of_what_came_before_and_of_nothing_else(model) -> None:
    """Exactly: the entries of the Jacobian are 0.0, and changing a later variable changes no bit of the logits."""
    # formula: made
    x = (np.random.default_rng(0).random(model.shape) < 0.5).astype(float)
    for k in range(model.orders):
        place = model.places[k]
        hears = place[None, :] < place[:, None]  # (output, input)
        slopes = dgm.jacobian(lambda x, k=k: model.logits(x[None, :], k)[0, :])(x)
        assert (slopes[~hears] == 0.0).all()
        assert (slopes[hears] != 0.0).all()
        for i in range(len(x)):
            other = np.where(np.arange(len(x)) == i, 1.0 - x, x)
            changed = (model.logits(x[None], k) != model.logits(other[None], k))[0]
            assert not changed[~hears[:, i]].any()


def test_masks_leave_every_way_that_is_allowed() -> None:
    """As a graph: from each input there is a way to each later output, and with hidden units enough one through them."""
    D = 6
    model = MADE.init(random(3), D, [200, 200], random_orders(random(4), D, 2))
    for k in range(2):
        first, second, last, direct = model.masks(k)
        later = model.places[k][:, None] < model.places[k][None, :]
        np.testing.assert_array_equal(direct, later)
        np.testing.assert_array_equal((first @ second @ last) > 0, later)


@given(st.builds(small_nade, *SIZES))
def test_nade_is_the_product_of_its_conditionals(model) -> None:
    # formula: nade
    x = bits(model.shape[0])[::3]
    W, c, V, b = model.W, model.c, model.V, model.b
    order = np.argsort(model.places[0])
    expected = np.zeros(len(x))
    for n, row in enumerate(x):
        v = row[order]
        for d in range(len(v)):
            h = 1.0 / (1.0 + np.exp(-(c + sum(W[j] * v[j] for j in range(d)))))
            p = 1.0 / (1.0 + np.exp(-(b[d] + V[d] @ h)))
            expected[n] += np.log(p if v[d] == 1.0 else 1.0 - p)
    np.testing.assert_allclose(model.log_prob(x), expected, rtol=1e-9)


@settings(max_examples=10)
@given(st.integers(1, 4), st.integers(1, 6), st.integers(1, 4), st.sampled_from([1, 5, 40, 1 << 17]))
def test_nades_recursion_has_the_derivatives_of_its_formula(n, D, H, block) -> None:
    """However many columns are taken at a time; to second order by finite differences."""
    noise = np.random.default_rng(n + 10 * D + 100 * H)
    x, weights, g = noise.standard_normal((n, D)), noise.standard_normal((2 * D + 1, H)), noise.standard_normal((n, D))
    library = dgm.xp.library
    library.block = block
    try:
        np.testing.assert_allclose(nade.outputs(x, weights), nade._formula(x, weights), rtol=1e-12, atol=1e-13)
        expected = dgm.vjp(lambda w: nade._formula(x, w), weights)[1](g)[0]
        np.testing.assert_allclose(nade.weights_gradient(g, x, weights), expected, rtol=1e-10, atol=1e-12)
        check_grads(nade.outputs, (x, weights), order=2)
    finally:
        del library.block


def test_large_sums_make_no_noise_and_no_nan() -> None:
    weights = 1e4 * np.ones((5, 3), "float32")
    x = np.array([[1.0, 1.0], [0.0, 1.0]], "float32")
    for sign in (1.0, -1.0):
        assert np.isfinite(nade.outputs(x, sign * weights)).all()
        assert np.isfinite(nade.weights_gradient(x, x, sign * weights)).all()


@pytest.mark.parametrize("make", [small_nade, small_made])
def test_samples_are_as_frequent_as_they_are_probable(make) -> None:
    model = make(4, 5, 3, 1)
    n, rows = 20_000, bits(4)
    p = np.exp(model.log_prob(rows))
    counts = np.bincount((model.sample(random(5), n) @ [8, 4, 2, 1]).astype(int), minlength=16)
    assert ((counts - n * p) ** 2 / (n * p)).sum() < 45.0  # chi-squared with 15 degrees of freedom: p = 1e-4


@pytest.mark.parametrize("make", [small_nade, small_made])
def test_completions_keep_what_is_known_and_follow_the_conditional(make) -> None:
    model, n, k = make(4, 5, 3, 2), 20_000, 0
    order = np.argsort(model.places[k])
    known = np.zeros((n, 4))
    known[:, order[:2]] = [1.0, 0.0]
    x = model.complete(random(7), known, 2, k)
    np.testing.assert_array_equal(x[:, order[:2]], known[:, order[:2]])
    rest = np.array([[a, b] for a in (0.0, 1.0) for b in (0.0, 1.0)])
    rows = np.zeros((4, 4))
    rows[:, order[:2]], rows[:, order[2:]] = [1.0, 0.0], rest
    p = np.exp(model.log_prob_in(rows, k))
    p = p / p.sum()
    counts = np.bincount((x[:, order[2:]] @ [2, 1]).astype(int), minlength=4)
    assert ((counts - n * p) ** 2 / (n * p)).sum() < 22.0  # 3 degrees of freedom: p = 6e-5


STARTS = {
    "NADE": NADE.init(random(0), 20, 4),
    "MADE": MADE.init(random(0), 20, [6]),
    "MADE, three orders": MADE.init(random(0), 20, [6], random_orders(random(1), 20, 3)),
    "PixelCNN": PixelCNN.init(random(0), (4, 5), 4, 2),
    "GatedPixelCNN": GatedPixelCNN.init(random(0), (4, 5), 4, 2),
}


@pytest.mark.parametrize("name", STARTS)
def test_compiled_and_eager_training_are_the_same(name) -> None:
    x = (random(1).uniform((20, 20)) < 0.4).astype("float32")

    def fit():
        step = train.minimise(nll, optim.adam(0.02))
        return train.run(step, step.init(STARTS[name], random(2)), [x] * 20)

    compiled = fit()
    with dgm.eager():
        eager = fit()
    for a, b in zip(trees.leaves(compiled.model), trees.leaves(eager.model), strict=True):
        np.testing.assert_array_equal(a, b)
    assert compiled.losses[-1] < compiled.losses[0]


def test_orders_are_drawn_anew_in_each_step() -> None:
    """Of a model with several orders the losses of one batch and one set of weights are those of its orders."""
    model = small_made(5, 4, 3, 0)
    x = bits(5)
    step = train.minimise(nll, optim.sgd(0.0))
    losses = train.run(step, step.init(model, random(0)), [x] * 30).losses
    each = {round(float(-np.mean(model.log_prob_in(x, k))), 9) for k in range(3)}
    assert {round(float(value), 9) for value in losses} == each


ALL = [
    small_nade(6, 4, 1, 0),
    small_made(6, 4, 2, 0),
    small_pixels(PixelCNN, 0, (2, 3)),
    small_pixels(GatedPixelCNN, 0, (2, 3)),
]


@pytest.mark.parametrize("model", ALL, ids=lambda model: type(model).__name__)
def test_rows_may_be_integers_few_or_unknown(model) -> None:
    """Of all dtypes the same; none at all; and what is to be drawn is not looked at."""
    x = (np.random.default_rng(0).random((4, 6)) < 0.5).astype("uint8")
    np.testing.assert_allclose(model.log_prob(x), model.log_prob(x.astype(float)), rtol=1e-6)
    assert model.log_prob(x[:0]).shape == (0,)
    assert model.complete(random(), x, 6).dtype.kind == "f"
    known = model.places[0] < 3
    drawn = [model.complete(random(1), np.where(known, x, other), 3) for other in (0.0, np.nan, 7.0)]
    for other in drawn[1:]:
        np.testing.assert_array_equal(drawn[0], other)
    with pytest.raises(DomainError, match="wanted zeros and ones, got 7"):
        model.complete(random(), np.where(known, 7.0, x), 3)
    assert nll(model, np.stack([x, x]), random()).shape == ()


def test_likelihood_is_exact_and_takes_many_rows() -> None:
    model = small_made(5, 4, 2, 3)
    x = bits(5)
    result = metrics.likelihood(model, x, random(), size=7)
    assert result.kind == "exact"
    assert result.nats == pytest.approx(float(np.mean(model.log_prob(x))))
    assert model.log_prob(x.reshape(4, 8, 5)).shape == (4, 8)
    assert model.log_prob(x[3]).shape == ()
    assert model.sample(random(), (2, 3)).shape == (2, 3, 5)
    assert model.sample(random(), 0).shape == (0, 5)


def test_on_another_device(elsewhere) -> None:
    rng = random()
    for model in (NADE.init(rng, 5, 3), MADE.init(rng, 5, [4], random_orders(rng, 5, 2))):
        x = model.sample(rng, 6)
        assert elsewhere.holds(x)
        value, slope = dgm.value_and_grad(nll)(model, x, rng)
        assert np.isfinite(float(value))
        assert all(np.isfinite(dgm.to_numpy(w)).all() for w in trees.leaves(slope))


def test_what_is_refused_says_what_is_wanted() -> None:
    rng = random()
    with pytest.raises(ArgumentError, match=r"MADE.init: wanted the widths of the hidden layers, \[500\], got 500"):
        MADE.init(rng, 5, 500)
    with pytest.raises(ArgumentError, match=r"places: wanted one order, integers \(n, 5\), each row 0 to 4 in some order"):
        NADE.init(rng, 5, 3, random_orders(rng, 5, 2))
    with pytest.raises(ArgumentError, match="each row 0 to 4 in some order"):
        MADE.init(rng, 5, [3], natural_order(5) + 1)
    model = MADE.init(rng, 5, [3])
    with pytest.raises(DomainError, match="MADE: x: wanted zeros and ones, got 2: grey pixels"):
        model.log_prob(2.0 * np.ones((3, 5)))
    with pytest.raises(ShapeError, match=r"MADE: rows of x: wanted an array \(..., 5\)"):
        model.log_prob(np.ones((3, 4)))
    with pytest.raises(ArgumentError, match="each row 0 to 4 in some order"):
        NADE.init(rng, 5, 3, np.array([[4.0, 3.0, 2.0, 1.0, 0.0]]))
    for order in (1, -1):
        with pytest.raises(ArgumentError, match="MADE: wanted one of 1 orders, from 0 on"):
            model.log_prob_in(np.ones((3, 5)), order)
    with pytest.raises(DomainError, match="random_orders: n: wanted 1 or more"):
        random_orders(rng, 5, 0)
    with pytest.raises(DomainError, match=r"wanted zeros and ones, got 0.5: .* by x > 0.5"):
        model.log_prob(np.full((3, 5), 0.5))
    with pytest.raises(ArgumentError, match="one of 1 orders"):
        model.complete(rng, np.ones((3, 5)), 2, 1)
    assert made.MADE is MADE


# Pictures


@pytest.mark.parametrize("kind", [PixelCNN, GatedPixelCNN])
@pytest.mark.parametrize("seed", [0, 1])
def test_probabilities_of_all_pictures_add_up_to_one(kind, seed) -> None:
    model, x = small_pixels(kind, seed), bits(12)
    assert np.exp(model.log_prob(x)).sum() == pytest.approx(1.0, abs=1e-12)


def seen(model, at: int):
    """Which pixels the log-odds of one pixel depend on, by the Jacobian: exactly."""
    x = (np.random.default_rng(0).random(model.shape) < 0.5).astype(float)
    slopes = dgm.grad(lambda x: model.logits(x[None, :])[0, at])(x)
    return slopes.reshape(model.size) != 0.0


@pytest.mark.parametrize("kind", [PixelCNN, GatedPixelCNN])
def test_a_pixel_hears_of_no_later_one(kind) -> None:
    model = small_pixels(kind, 0, (5, 6))
    for at in range(30):
        assert not seen(model, at).reshape(-1)[at:].any()


@pytest.mark.parametrize("layers", [1, 3])
def test_the_plain_network_has_a_blind_spot_and_the_gated_one_has_none(layers) -> None:
    """Its shape follows from the windows: a tap up leads one pixel further to the right for each layer, and no more."""
    # formula: pixel-cnn
    side, first = 15, 2
    at, row, column = side * 9 + 7, 9, 7
    plain = strewn(PixelCNN.init(random(0), (side, side), 10, layers, 2 * first + 1), 0)
    gated = strewn(GatedPixelCNN.init(random(0), (side, side), 4, layers + 1, first), 0)
    reach = first + layers
    up, right = row - np.arange(side)[:, None], np.arange(side)[None, :] - column
    before = ((up > 0) | ((up == 0) & (right < 0))) & (np.abs(right) <= reach) & (up <= reach)
    wedge = before & (right > first + np.minimum(up - 1, layers))
    assert wedge.sum() == layers * (layers + 1) // 2
    np.testing.assert_array_equal(seen(plain, at), before & ~wedge)
    np.testing.assert_array_equal(seen(gated, at)[row - reach :], before[row - reach :])


def test_dilated_windows_reach_as_far_as_their_taps_add_up_to() -> None:
    """To the left two pixels, then one, two and one again: six; upwards the vertical stack begins one row higher."""
    for dilations, reach in (((1, 2), 6), ((1,), 5), ((2, 1, 1), 6)):
        model = strewn(GatedPixelCNN.init(random(0), (9, 9), 4, 4, 2, dilations), 0)
        rows, columns = np.nonzero(seen(model, 80))
        assert (8 - rows.min(), 8 - columns.min()) == (reach + 1, reach)


def test_a_gated_layer_is_its_formula() -> None:
    """Pixel by pixel, tap by tap, in NumPy; of the first layer and of a further one."""
    for first, d, size in ((True, 1, (1, 1)), (True, 1, (4, 5)), (False, 1, (1, 1)), (False, 2, (4, 5))):
        layer = strewn(pixel_cnn.GatedLayer.init(random(0), 2, 2, 1, first, d, size), 0)
        biases = np.broadcast_to(layer.bias, (2, 4, 4, 5))
        v, h = np.random.default_rng(1).standard_normal((2, 1, 2, 4, 5))

        def window(x, w, i, j, up, left, d=d):
            """The sum over taps that lie in the picture; the window begins ``up`` rows above and ``left`` columns before."""
            taps = itertools.product(range(w.shape[2]), range(w.shape[3]))
            at = [(a, b, i - up + d * a, j - left + d * b) for a, b in taps]
            return sum(w[:, :, a, b] @ x[0, :, y, z] for a, b, y, z in at if 0 <= y < 4 and 0 <= z < 5)

        def gate(a):
            return np.tanh(a[:2]) / (1.0 + np.exp(-a[2:]))

        new_v, new_h = layer(v, h)
        for i, j in itertools.product(range(4), range(5)):
            a = window(v, layer.vertical, i, j, d, d) + biases[0, :, i, j]
            above = window(v, layer.vertical, i - 1, j, d, d) + biases[0, :, i - 1, j] if i else np.zeros(4)
            told = window(h, layer.horizontal, i, j, 0, d) + layer.link @ above + biases[1, :, i, j]
            np.testing.assert_allclose(new_v[0, :, i, j], gate(a) + (0.0 if first else v[0, :, i, j]), rtol=1e-10)
            expected = layer.out @ gate(told) + (0.0 if first else h[0, :, i, j])
            np.testing.assert_allclose(new_h[0, :, i, j], expected, rtol=1e-10)


@pytest.mark.parametrize("known", [0, 7, 20, 30])
def test_pictures_drawn_by_what_is_kept_are_those_drawn_naively(known) -> None:
    """Pixel by pixel the same, with the same noise."""
    model = small_pixels(GatedPixelCNN, 3, (5, 6))
    x = (np.random.default_rng(1).random((40, 30)) < 0.5).astype(float)
    kept = model.complete(random(5), x, known)
    naive = Autoregressive.complete(model, random(5), x, known)
    np.testing.assert_array_equal(kept, naive)
    np.testing.assert_array_equal(kept[:, :known], x[:, :known])


def test_pictures_on_another_device(elsewhere) -> None:
    rng = random()
    for kind in (PixelCNN, GatedPixelCNN):
        model = kind.init(rng, (3, 3), 3, 2, 3)
        x = model.sample(rng, 4)
        assert elsewhere.holds(x)
        assert np.isfinite(dgm.to_numpy(model.log_prob(x))).all()


def test_pictures_say_what_size_is() -> None:
    with pytest.raises(ArgumentError, match=r"PixelCNN.init: wanted height and width, \(28, 28\), got 784"):
        PixelCNN.init(random(), 784)
    with pytest.raises(DomainError, match="height and width: wanted 1 or more"):
        GatedPixelCNN.init(random(), (0, 3))
    with pytest.raises(DomainError, match="a dilation: wanted 1 or more, got 0"):
        GatedPixelCNN.init(random(), (3, 3), dilations=(2, 0))
    for nothing in (2, ()):
        with pytest.raises(ArgumentError, match=r"GatedPixelCNN.init: wanted dilations, \(1, 2, 4\) say, got"):
            GatedPixelCNN.init(random(), (3, 3), dilations=nothing)
