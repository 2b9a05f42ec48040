"""Autoregressive flows against the engine's Jacobian and each other; MixtureMADE against quadrature and its formula."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pydgm as dgm
from pydgm import nn, trees
from pydgm.bijections import Chain, Inverse
from pydgm.errors import ArgumentError, DomainError, ShapeError
from pydgm.models.autoregressive import MixtureMADE, random_orders
from pydgm.models.autoregressive.made import MaskedMLP
from pydgm.models.flows import IAF, MAF, Affine, Coupling, flow
from pydgm.testing import check_bijection, check_grads


def random(seed=0):
    return dgm.random.Generator(seed)


def strewn(f, seed: int):
    """In float64, with weights that are nowhere 0."""
    noise = np.random.default_rng(seed)
    return trees.map(lambda w: w + 0.4 * noise.standard_normal(w.shape), nn.double(f))


def maf(dim: int, hidden: int, seed: int):
    return strewn(MAF.init(random(seed), dim, [hidden, hidden + 1], random_orders(random(seed), dim, 1)), seed)


def coupling(dim: int, hidden: int, seed: int):
    return strewn(Coupling.init(random(seed), dim, [hidden], flip=seed % 2 == 1), seed)


SIZES = (st.integers(1, 6), st.integers(1, 6), st.integers(0, 10_000))
MAPS = st.one_of(st.builds(maf, *SIZES), st.builds(coupling, *SIZES))


@settings(max_examples=30)
@given(MAPS)
def test_both_ways_and_the_determinant_are_exact(f) -> None:
    # formula: autoregressive-flow
    z = np.random.default_rng(0).standard_normal((4, f.turn.shape[0]))
    check_bijection(f, z, atol=1e-10)
    check_bijection(Inverse(f), z, atol=1e-10)
    assert np.abs(f.forward_and_log_det(z)[1]).min() > 0.0  # space is stretched


@settings(max_examples=20)
@given(MAPS)
def test_a_coordinate_hears_of_earlier_turns_alone(f) -> None:
    d = f.turn.shape[0]
    points = np.random.default_rng(0).standard_normal((5, d))
    hears = (f.turn[None, :] < f.turn[:, None]) | np.eye(d, dtype=bool)
    for way in (f.forward, f.inverse):
        slopes = np.abs([dgm.jacobian(lambda x, way=way: way(x[None, :])[0, :])(x) for x in points])
        assert (slopes[:, ~hears] == 0.0).all()
        assert (slopes[:, np.eye(d, dtype=bool)] > 0.0).all()


def test_all_that_comes_before_is_heard() -> None:
    """With hidden layers that are wide enough; of several points: at one a relu may be off."""
    for f in (maf(5, 60, 0), coupling(5, 60, 1)):
        points = np.random.default_rng(0).standard_normal((5, 5))
        slopes = np.max([np.abs(dgm.jacobian(lambda x, f=f: f.forward(x[None, :])[0, :])(x)) for x in points], axis=0)
        assert (slopes[f.turn[None, :] < f.turn[:, None]] > 0.0).all()


@given(st.integers(2, 40), st.integers(0, 30), st.integers(1, 3))
def test_with_as_many_units_as_variables_all_that_comes_before_is_heard(D, more, layers) -> None:
    """By way of the units: the product of their masks, which are dealt and not drawn."""
    network = MaskedMLP.init(random(), random_orders(random(D), D, 1)[0, :], [D - 1 + more] * layers, 2)
    *of_layers, last = [layer.mask for layer in network.layers]
    ways = np.linalg.multi_dot([np.eye(D), *of_layers, last[:-D, :]])[:, :D] > 0
    place = random_orders(random(D), D, 1)[0, :]
    np.testing.assert_array_equal(ways, place[:, None] < place[None, :])
    np.testing.assert_array_equal(last[-D:, :D] > 0, place[:, None] < place[None, :])


@given(st.integers(0, 10_000))
def test_iaf_is_maf_the_other_way_round(seed) -> None:
    order = random_orders(random(seed), 4, 1)
    f, g = strewn(MAF.init(random(seed), 4, [7], order), seed), strewn(IAF.init(random(seed), 4, [7], order), seed)
    z = np.random.default_rng(seed).standard_normal((3, 4))
    np.testing.assert_allclose(f.forward(g.forward(z)), z, atol=1e-10)
    np.testing.assert_array_equal(g.forward(z), f.inverse(z))


def test_in_the_plane_a_coupling_is_a_maf() -> None:
    f, g = (strewn(kind.init(random(3), 2, [6, 6]), 3) for kind in (MAF, Coupling))
    z = np.random.default_rng(0).standard_normal((5, 2))
    np.testing.assert_array_equal(f.forward(z), g.forward(z))


def test_flows_begin_as_the_identity_and_stay_finite() -> None:
    z = random(1).normal((20, 6))
    for kind in (MAF, IAF, Coupling):
        f = kind.init(random(), 6, [16])
        x, log_det = f.forward_and_log_det(z)
        np.testing.assert_array_equal(x, z)
        assert not log_det.any()
        wild = Chain([trees.map(lambda w: 100.0 * random(2).normal(w.shape), f)] * 3)
        assert np.isfinite(wild.inverse_and_log_det(z)[1]).all()


def test_flows_have_the_gradients_of_their_formulas() -> None:
    model = flow(
        [
            strewn(MAF.init(random(), 3, [4], activation=dgm.tanh), 1),
            strewn(Coupling.init(random(1), 3, [4], flip=True, activation=dgm.tanh), 2),
        ],
        3,
    )
    x = np.random.default_rng(0).standard_normal((3, 3))
    check_grads(lambda model, x: model.log_prob(x), (model, x), order=2)
    check_grads(lambda f, z: f.forward_and_log_det(z), (model.bijection, x), order=2)


def small_mixture(D: int, hidden: int, C: int, seed: int):
    return strewn(MixtureMADE.init(random(seed), D, [hidden, hidden], C, random_orders(random(seed), D, 1)), seed)


@settings(max_examples=20)
@given(st.integers(1, 8), st.integers(1, 4), st.integers(0, 10_000))
def test_each_conditional_of_a_mixture_made_integrates_to_1(hidden, C, seed) -> None:
    """Over its own variable, with the others where they happen to be: so the product does, too."""
    model = small_mixture(3, hidden, C, seed)
    for i in range(3):
        x = np.repeat(np.random.default_rng(seed).standard_normal((1, 3)), 40_001, axis=0)
        of_x = model.conditionals(x[:1, :]).components
        means, widths = of_x.loc[0, i, :], of_x.scale[0, i, :]
        for k in range(C):  # a grid for each component: widths may differ by powers of ten
            x[:, i] = means[k] + widths[k] * np.linspace(-9.0, 9.0, len(x))
            mixture = model.conditionals(x)
            weight = np.exp(dgm.log_softmax(mixture.logits))[0, i, k]
            assert abs(np.trapezoid(np.exp(mixture.log_joint(x)[:, i, k]), x[:, i]) - weight) < 1e-6


@settings(max_examples=20)
@given(st.integers(1, 4), st.integers(1, 5), st.integers(1, 4), st.integers(0, 10_000))
def test_a_mixture_made_is_the_product_of_its_conditionals(D, hidden, C, seed) -> None:
    """Each by itself, from the network's numbers, with what comes later changed."""
    model, x = small_mixture(D, hidden, C, seed), np.random.default_rng(seed).standard_normal((3, D))
    total = np.zeros(3)
    for i in range(D):
        other = np.where(model.place < model.place[i], x, np.random.default_rng(1).standard_normal((3, D)))
        numbers = model.network(other)[:, :, i]
        logits, means, log_scales = numbers[:, :C], numbers[:, C : 2 * C], 5.0 * np.tanh(numbers[:, 2 * C :] / 5.0)
        weights = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        normal = np.exp(-0.5 * ((x[:, i : i + 1] - means) / np.exp(log_scales)) ** 2 - log_scales) / math.sqrt(2.0 * math.pi)
        total += np.log((weights * normal).sum(axis=1))
    np.testing.assert_allclose(model.log_prob(x), total, rtol=1e-9, atol=1e-9)


def test_a_mixture_made_draws_what_it_scores() -> None:
    """Cells of the plane: how often they are hit, and how likely that is by quadrature."""
    model = small_mixture(2, 6, 3, 5)
    drawn = model.sample(random(1), (100, 200)).reshape(-1, 2)
    edges = [np.quantile(drawn[:, k], (0.0, 0.3, 0.7, 1.0)) + np.array([-1.0, 0.0, 0.0, 1.0]) for k in (0, 1)]
    for i, j in itertools.product(range(3), repeat=2):
        (a, b), (c, d) = edges[0][i : i + 2], edges[1][j : j + 2]
        side = [np.linspace(low, high, 401) for low, high in ((a, b), (c, d))]
        middle = [(s[1:] + s[:-1]) / 2.0 for s in side]
        points = np.stack(np.meshgrid(*middle, indexing="ij"), axis=-1).reshape(-1, 2)
        p = np.exp(model.log_prob(points)).sum() * (b - a) * (d - c) / 400**2
        share = ((drawn > [a, c]) & (drawn <= [b, d])).all(axis=1).mean()
        assert abs(share - p) <= 5.0 * math.sqrt(p * (1.0 - p) / len(drawn)) + 2e-3


def test_they_run_elsewhere_and_compiled(elsewhere) -> None:
    z = random(1).normal((10, 4))
    for f in (MAF.init(random(), 4, [8]), IAF.init(random(), 4, [8]), Coupling.init(random(), 4, [8], flip=True)):
        f = trees.map(lambda w: w + 0.1, f)
        x, log_det = dgm.compile(lambda f, z: f.forward_and_log_det(z))(f, z)
        back, inverse = dgm.compile(lambda f, x: f.inverse_and_log_det(x))(f, x)
        np.testing.assert_allclose(dgm.to_numpy(back), dgm.to_numpy(z), atol=1e-4)
        np.testing.assert_allclose(dgm.to_numpy(inverse), -dgm.to_numpy(log_det), atol=1e-4)
    model = MixtureMADE.init(random(), 4, [8], 3)
    assert dgm.to_numpy(model.log_prob(model.sample(random(2), (5,)))).shape == (5,)


def test_no_points_and_stacks_and_axes_in_front() -> None:
    z = random(1).normal((2, 5, 3))
    for kind in (MAF, Coupling):
        members = [trees.map(lambda w, i=i: w + 0.1 * i, kind.init(random(i), 3, [8])) for i in range(2)]
        both = nn.stack(members)
        for way in ("forward", "inverse"):
            each = [getattr(f, way)(z[i, ...]) for i, f in enumerate(members)]
            np.testing.assert_allclose(getattr(both, way)(z), np.stack(each), rtol=1e-5, atol=1e-6)
            np.testing.assert_allclose(
                getattr(members[0], way)(z)[1, ...], getattr(members[0], way)(z[1, ...]), rtol=1e-5, atol=1e-6
            )
            assert getattr(members[0], way)(z[0, :0, :]).shape == (0, 3)
    model = MixtureMADE.init(random(), 3, [8])
    assert model.sample(random(), (0,)).shape == (0, 3)
    assert model.log_prob(z[0, :0, :]).shape == (0,)
    assert model.sample(random(), (2, 4)).shape == (2, 4, 3)
    one = MixtureMADE.init(random(), 3, [8], components=1).conditionals(z[0, ...])
    assert float(np.abs(one.components.loc).max()) < 4.0


def test_they_say_what_is_wrong() -> None:
    with pytest.raises(ArgumentError, match="Inverse: wanted a bijection"):
        Inverse(3)
    for kind in (MAF, IAF, MixtureMADE):
        with pytest.raises(ArgumentError, match="places: wanted one order"):
            kind.init(random(), 3, [4], places=np.array([[0, 1, 1]]))
        with pytest.raises(ArgumentError, match="wanted the widths of the hidden layers"):
            kind.init(random(), 3, [])
        with pytest.raises(DomainError, match="wanted 1 or more"):
            kind.init(random(), 0, [4])
    with pytest.raises(ArgumentError, match="wanted the widths of the hidden layers"):
        Coupling.init(random(), 3, 4)
    with pytest.raises(ShapeError, match=r"rows of x: wanted an array \(..., 3\)"):
        MixtureMADE.init(random(), 3, [4]).log_prob(np.zeros((2, 4)))
    with pytest.raises(ShapeError, match=r"wanted an array \(..., 3\)"):
        MAF.init(random(), 3, [4]).inverse(np.zeros((2, 4)))
    with pytest.raises(DomainError, match="a hidden width"):
        MaskedMLP.init(random(), np.arange(3), [0], 2)


def test_a_chain_learns_a_correlated_gaussian() -> None:
    """The affine conditional is then the truth: the density ends within .02 nats of it."""
    from pydgm import data, optim, train
    from pydgm.models.flows import nll

    L = np.array([[1.0, 0.0], [0.8, 0.6]])
    x = (np.random.default_rng(0).standard_normal((4000, 2)) @ L.T).astype("float32")
    model = flow([MAF.init(random(), 2, [16]), Affine(np.eye(2, dtype="float32"), np.zeros((1, 2), "float32"))])
    step = train.minimise(nll, optim.adam(0.01))
    model = train.run(step, step.init(model, random()), data.Rows(x).batches(random(), 200, 15)).model
    truth = -0.5 * np.sum(np.linalg.solve(L, x.T) ** 2, axis=0).mean() - math.log(0.6) - math.log(2.0 * math.pi)
    assert abs(float(nll(model, x)) + truth) < 0.02
