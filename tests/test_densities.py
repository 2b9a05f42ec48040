"""Distributions and divergences against exact oracles: scipy's densities, closed forms, quadrature."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.special
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

import pydgm as dgm
from pydgm import distributions as dist
from pydgm import divergences as div
from pydgm import metrics
from pydgm.distributions import Independent, Normal
from pydgm.errors import DomainError, ShapeError
from pydgm.testing import arrays, check_grads

GRID = np.linspace(-12.0, 12.0, 4001)


def random(seed: int = 0) -> dgm.random.Generator:
    return dgm.random.Generator(seed)


# Distributions

SCIPY = [
    (dist.Normal(np.float64(0.3), np.float64(1.7)), scipy.stats.norm(0.3, 1.7), GRID),
    (dist.Uniform(np.float64(-1.0), np.float64(2.5)), scipy.stats.uniform(-1.0, 3.5), GRID),
    (dist.Bernoulli(np.float64(0.8)), scipy.stats.bernoulli(1 / (1 + np.exp(-0.8))), np.array([0.0, 1.0])),
]


@given(st.integers(0, 2**32), st.integers(0, 30), st.sampled_from(["uint8", "float32", "float64"]))
def test_bernoullis_of_columns_are_counts(seed, n, dtype) -> None:
    """One of each value more than there are: also of columns that are all 0 or all 1, and of no rows at all."""
    x = (np.random.default_rng(seed).random((n, 3)) < [0.0, 0.4, 1.0]).astype(dtype)
    fitted = dist.Bernoulli.fit(x)
    np.testing.assert_allclose(fitted.probs, (x.sum(axis=0) + 1.0) / (n + 2.0), rtol=1e-5)
    assert np.isfinite(fitted.logits).all()
    for wrong, error in ((np.ones(()), ShapeError), (255 * np.ones((2, 3)), DomainError)):
        with pytest.raises(error, match=r"Bernoulli\.fit"):
            dist.Bernoulli.fit(wrong)


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
    np.testing.assert_allclose(p.log_prob(np.array([[0], [2], [1]])), each[[0, 2, 1]])
    weights = np.log([0.25, 0.75])
    mixed = dist.Mixture(weights, p).log_prob(np.arange(3))
    np.testing.assert_allclose(np.exp(mixed), np.exp(weights) @ np.exp(each.T))


def test_an_entropy_for_each_mean() -> None:
    result = dist.Normal(np.zeros(3), 2.0).entropy()
    np.testing.assert_allclose(result, np.full(3, scipy.stats.norm(0, 2).entropy()))
    assert dist.Normal(np.zeros((4, 1)), np.ones(3)).entropy().shape == (4, 3)


@given(arrays((2,), -40.0, 40.0))
def test_divergence_of_sure_bernoullis(logits) -> None:
    """No cancellation where the logits are large: p log(p/q) + (1 - p) log((1 - p)/(1 - q)) by scipy, in float64."""
    (p, q), (not_p, not_q) = scipy.special.expit(logits), scipy.special.expit(-logits)
    result = div.kl(dist.Bernoulli(logits[0]), dist.Bernoulli(logits[1]))
    assert float(result) == pytest.approx(
        scipy.special.rel_entr(p, q) + scipy.special.rel_entr(not_p, not_q), rel=1e-6, abs=1e-12
    )
    sure = dist.Bernoulli(np.float32(3e7)), dist.Bernoulli(np.float32(0.0))
    assert float(div.kl(*sure)) == pytest.approx(np.log(2))


def test_mixtures_integrate_to_one_and_sample_what_they_say() -> None:
    p = dist.Mixture(np.log(np.array([0.25, 0.75])), dist.Normal(np.array([-2.0, 1.0]), np.array([0.5, 1.0])))
    assert float(div.trapezoid(np.exp(p.log_prob(GRID)), GRID)) == pytest.approx(1.0, abs=1e-9)
    drawn = p.sample(random(), (200_000,))
    assert drawn.mean() == pytest.approx(0.25, abs=0.02)
    corners = np.array([[0.0, 4.0], [4.0, 0.0], [-4.0, 0.0]])
    plane = dist.Mixture(np.zeros(3), dist.Independent(dist.Normal(corners, 0.5), 1))
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
    # formula: reparameterise
    g = dgm.grad(lambda p: dgm.mean(p.sample(random(), (1000,))))(dist.Normal(np.array(0.0), np.array(1.0)))
    noise = random().normal((1000,), "float64")
    assert g.loc == pytest.approx(1.0)
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
    # formula: kl, reverse-kl
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
    # formula: jsd
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
    # formula: earth-mover
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


def test_over_the_plane() -> None:
    """Two Gaussians in the plane: both integrals have closed forms."""
    p, q = (Independent(Normal(np.full(2, m), s), 1) for m, s in ((0.0, 1.0), (0.5, 0.8)))
    mass, divergence = div.over_plane(q.log_prob, p.log_prob, reach=8.0, least=40_000, size=7000)
    assert mass == pytest.approx(1.0, abs=1e-9)
    assert divergence == pytest.approx(float(div.kl(q, p)), abs=1e-8)
    needle = Independent(Normal(np.array([0.3, 0.2]), np.array([0.3, 0.004])), 1)  # between the rows of a grid as fine
    assert div.over_plane(needle.log_prob, reach=4.5, least=60_000) == (pytest.approx(1.0, abs=1e-5), 0.0)
    points, area = div.lattice(2.0, 1000)
    assert (len(points), area) == (1597, 16.0 / 1597)
    assert len(np.unique(np.asarray(points)[:, 0])) == len(np.unique(np.asarray(points)[:, 1])) == 1597


def test_modes_of_a_picture_and_neighbours() -> None:
    line = np.linspace(-4.0, 4.0, 81)
    one = np.exp(-0.5 * (line[:, None] ** 2 + line**2))
    two = np.exp(-2.0 * ((line[:, None] - 2.0) ** 2 + line**2)) + 0.5 * np.exp(-2.0 * ((line[:, None] + 2.0) ** 2 + line**2))
    assert (metrics.density_modes(one), metrics.density_modes(two)) == (1, 2)
    assert metrics.density_modes(two + 1e3 * (one == one.max())) == 1  # what is below a twentieth of the highest does not count
    noise = np.random.default_rng(0).standard_normal((50, 784))
    assert abs(metrics.neighbour_correlation(noise)) < 0.02
    smooth = noise.reshape(50, 28, 28) + np.roll(noise.reshape(50, 28, 28), 1, axis=2)
    assert metrics.neighbour_correlation(smooth) == pytest.approx(0.5, abs=0.02)


def test_wasserstein_where_the_distribution_functions_cross() -> None:
    """Two Gaussians of one mean: W1 = abs(s - t) sqrt(2 / pi); the areas on both sides count, and do not cancel."""
    p, q = dist.Normal(0.0, 1.0), dist.Normal(0.0, 2.0)
    distance = div.wasserstein_quadrature(p.log_prob(GRID), q.log_prob(GRID), GRID)
    assert float(distance) == pytest.approx(np.sqrt(2 / np.pi), abs=1e-4)
