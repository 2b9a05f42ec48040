"""Events, counts, levels, points on the simplex: each density against scipy, enumeration, quadrature or its own samples."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

import pydgm as dgm
from pydgm import distributions as dist
from pydgm import divergences as div
from pydgm.bijections import Chain
from pydgm.models.flows import Planar
from pydgm.models.latent import GaussianMixture, KernelDensity, mixture
from pydgm.testing import arrays, check_grads


def random(seed: int = 0) -> dgm.random.Generator:
    return dgm.random.Generator(seed)


LOC, SCALE = np.array([[0.0, 1.0, -2.0], [3.0, 0.5, 0.0]]), np.array([[1.0, 0.5, 2.0], [0.7, 1.0, 1.5]])


def test_independent_axes_are_summed() -> None:
    base, x = dist.Normal(LOC, SCALE), np.random.default_rng(0).standard_normal((5, 2, 3))
    each = scipy.stats.norm(LOC, SCALE).logpdf(x)
    for dims, expected in ((0, each), (1, each.sum(axis=-1)), (2, each.sum(axis=(-1, -2)))):
        p = dist.Independent(base, dims)
        assert (p.event_ndim, p.shape) == (dims, (2, 3))
        np.testing.assert_allclose(p.log_prob(x), expected, rtol=1e-10)
        assert p.sample(random(), (5,)).shape == (5, 2, 3)
    p = dist.Independent(base, 1)
    np.testing.assert_allclose(p.entropy(), scipy.stats.norm(LOC, SCALE).entropy().sum(axis=-1))
    nested = dist.Independent(p, 1)
    assert nested.event_ndim == 2
    np.testing.assert_allclose(nested.log_prob(x), each.sum(axis=(-1, -2)))
    broad = dist.Independent(dist.Normal(LOC, 2.0), 1)  # one scale for all
    np.testing.assert_allclose(broad.entropy(), 3 * scipy.stats.norm(0, 2).entropy() * np.ones(2))


def test_divergences_of_vectors_are_sums() -> None:
    p, q = dist.Independent(dist.Normal(LOC, SCALE), 1), dist.Independent(dist.Normal(0.5 * LOC, 1.0), 1)
    np.testing.assert_allclose(div.kl(p, q), div.kl(p.base, q.base).sum(axis=-1))
    np.testing.assert_allclose(div.kl(p, dist.StandardNormal(3)), div.kl(p.base, dist.Normal()).sum(axis=-1))
    assert float(div.kl(dist.StandardNormal(3), dist.StandardNormal(3))) == 0.0
    one = dist.Independent(dist.Normal(np.ones(3), 1.0), 1)
    assert float(div.kl(dist.StandardNormal(3), one)) == pytest.approx(1.5)
    bits = dist.Independent(dist.Bernoulli(LOC), 1)
    np.testing.assert_allclose(div.kl(bits, dist.Independent(dist.Bernoulli(LOC - 1.0), 1)).shape, (2,))


def test_the_standard_normal() -> None:
    p, x = dist.StandardNormal(3), np.random.default_rng(0).standard_normal((4, 5, 3))
    np.testing.assert_allclose(p.log_prob(x), scipy.stats.multivariate_normal(np.zeros(3)).logpdf(x))
    assert p.entropy() == pytest.approx(scipy.stats.multivariate_normal(np.zeros(3)).entropy())
    assert p.sample(random(), (4, 5)).shape == (4, 5, 3)
    assert p.sample(random()).shape == (3,)
    assert dgm.nn.count_parameters(p) == 0


@given(st.integers(1, 4), st.integers(0, 1000))
def test_normal_vectors_with_any_covariance(d, seed) -> None:
    rng = np.random.default_rng(seed)
    L = np.tril(rng.standard_normal((2, d, d)), -1) + np.eye(d) * rng.uniform(0.3, 2.0, (2, 1, d))
    loc, x = rng.standard_normal((2, d)), rng.standard_normal((7, 2, d))
    p = dist.MultivariateNormal(loc, L)
    for k in range(2):
        theirs = scipy.stats.multivariate_normal(loc[k], L[k] @ L[k].T)
        np.testing.assert_allclose(p.log_prob(x)[:, k], theirs.logpdf(x[:, k]), rtol=1e-7, atol=1e-8)
        one = dist.MultivariateNormal(loc[k], L[k])
        np.testing.assert_allclose(one.log_prob(x[:, k]), theirs.logpdf(x[:, k]), rtol=1e-7, atol=1e-8)
        assert one.log_prob(x).shape == (7, 2)
    drawn = p.sample(random(seed), (20_000,))
    np.testing.assert_allclose(drawn.mean(axis=0), loc, atol=0.2)
    np.testing.assert_allclose(np.cov(drawn[:, 1].T).reshape(d, d), L[1] @ L[1].T, atol=0.5)
    check_grads(lambda loc, x: dgm.sum(dist.MultivariateNormal(loc, L).log_prob(x)), [loc, x])


@settings(max_examples=20)
@given(st.integers(1, 5), st.integers(1, 4), st.integers(0, 1000))
def test_counts_sum_to_one_and_are_scipys(total, K, seed) -> None:
    logits = np.random.default_rng(seed).standard_normal(K)
    p = dist.Multinomial(total, logits)
    every = np.array([c for c in itertools.product(range(total + 1), repeat=K) if sum(c) == total])
    log_p = p.log_prob(every)
    assert np.exp(log_p).sum() == pytest.approx(1.0)
    theirs = scipy.stats.multinomial(total, np.exp(logits) / np.exp(logits).sum())
    np.testing.assert_allclose(log_p, theirs.logpmf(every), atol=1e-9)
    assert float(p.log_prob(np.zeros(K, int))) == -math.inf
    drawn = p.sample(random(seed), (4000,))
    assert drawn.shape == (4000, K)
    assert (drawn.sum(axis=1) == total).all()
    np.testing.assert_allclose(drawn.mean(axis=0), theirs.mean(), atol=5 * np.sqrt(total / 4 / 4000) + 1e-12)


def test_log_factorials() -> None:
    n = np.array([0.0, 1.0, 2.0, 7.0, 100.0, 5000.0])
    np.testing.assert_allclose(dist.discrete.log_factorial(n), scipy.special.gammaln(n + 1), rtol=1e-13, atol=1e-11)
    np.testing.assert_allclose(
        dist.discrete.log_factorial(n.astype("float32")), scipy.special.gammaln(n + 1), rtol=1e-5, atol=1e-4
    )


@given(arrays((3,), -1.0, 2.0), arrays((3,), 0.01, 1.0), st.sampled_from([2, 5, 256]))
def test_levels_sum_to_one(loc, scale, bins) -> None:
    p = dist.DiscretizedLogistic(loc, scale, bins=bins)
    levels = np.linspace(0.0, 1.0, bins)
    log_p = p.log_prob(levels[:, None])
    np.testing.assert_allclose(np.exp(log_p).sum(axis=0), 1.0, rtol=1e-9)
    half = 0.5 / (bins - 1)
    edges = np.concatenate([[-np.inf], levels[:-1] + half, [np.inf]])
    cdf = scipy.stats.logistic(loc, scale).cdf(edges[:, None])
    np.testing.assert_allclose(np.exp(log_p), np.diff(cdf, axis=0), atol=1e-9)

    def at_one_level(loc, scale):
        return dgm.sum(dist.DiscretizedLogistic(loc, scale, bins=bins).log_prob(levels[1]))

    check_grads(at_one_level, [loc, scale + 0.2])


def test_levels_are_drawn_as_often_as_they_say_and_far_ones_have_a_slope() -> None:
    p = dist.DiscretizedLogistic(np.array(0.3), np.array(0.2), bins=5)
    drawn = p.sample(random(), (100_000,))
    levels = np.linspace(0.0, 1.0, 5)
    counts = np.array([(np.abs(drawn - level) < 1e-6).mean() for level in levels])
    np.testing.assert_allclose(counts, np.exp(p.log_prob(levels)), atol=5 * 0.5 / np.sqrt(100_000))
    far = dgm.value_and_grad(lambda loc: dist.DiscretizedLogistic(loc, np.float32(0.01)).log_prob(np.float32(1.0 / 255)))
    value, slope = far(np.float32(0.9))
    assert np.isfinite(value)
    assert slope == pytest.approx(-100.0, rel=1e-3)  # -log of a logistic's tail is a straight line


def test_a_mixture_of_levels_for_each_pixel() -> None:
    """PixelCNN++'s likelihood: K logistics for each of 4 pixels, one event; its probabilities sum to 1."""
    rng = np.random.default_rng(0)
    logits, loc, scale = rng.standard_normal((4, 3)), rng.random((4, 3)), rng.uniform(0.05, 0.3, (4, 3))
    pixels = dist.Mixture(logits, dist.DiscretizedLogistic(loc, scale, bins=3))
    image = dist.Independent(pixels, 1)
    assert (pixels.shape, image.event_ndim) == ((4,), 1)
    every = np.array(list(itertools.product([0.0, 0.5, 1.0], repeat=4)))
    assert np.exp(image.log_prob(every)).sum() == pytest.approx(1.0)
    assert image.sample(random(), (7,)).shape == (7, 4)


@given(arrays((3,), -2.0, 2.0), st.sampled_from([0.3, 1.0, 2.5]))
@settings(max_examples=10)
def test_points_on_the_simplex_have_the_density_that_they_say(logits, temperature) -> None:
    """The largest coordinate is a draw of softmax(logits); over the triangle the density integrates to 1."""
    p = dist.GumbelSoftmax(logits, temperature)
    y = p.sample(random(), (20_000,))
    np.testing.assert_allclose(y.sum(axis=1), 1.0, rtol=1e-6)
    share = np.bincount(y.argmax(axis=1), minlength=3) / 20_000
    np.testing.assert_allclose(share, np.exp(logits) / np.exp(logits).sum(), atol=5 * 0.5 / np.sqrt(20_000))
    line = (np.arange(400) + 0.5) / 400 * 2 - 1  # y = softmax(a, b, 0): the triangle, stretched over the plane
    line = line * 12.0 / temperature
    a, b = np.meshgrid(line, line)
    points = dgm.softmax(np.stack([a, b, 0.0 * a], axis=-1))
    volume = np.exp(p.log_prob(points)) * points.prod(axis=-1)
    assert volume.sum() * (line[1] - line[0]) ** 2 == pytest.approx(1.0, abs=0.02)


def test_gradients_pass_through_one_hot_symbols() -> None:
    logits = np.array([0.2, -0.5, 1.0])
    weight = np.array([1.0, 2.0, 3.0])

    def hard(logits):
        return dgm.sum(dist.straight_through(dist.GumbelSoftmax(logits, 0.5).sample(random(), (50,))) * weight)

    def soft(logits):
        return dgm.sum(dist.GumbelSoftmax(logits, 0.5).sample(random(), (50,)) * weight)

    y = dist.straight_through(dist.GumbelSoftmax(logits, 0.5).sample(random(), (50,)))
    assert set(np.unique(np.round(y, 6))) == {0.0, 1.0}
    np.testing.assert_allclose(dgm.grad(hard)(logits), dgm.grad(soft)(logits))
    check_grads(soft, [logits], order=1)


def test_kernels_are_the_mixture_that_they_are() -> None:
    rng = np.random.default_rng(0)
    centres, x = rng.standard_normal((40, 2)), rng.standard_normal((9, 2))
    kernels = KernelDensity.init(centres, 0.3)
    plain = dist.Mixture(kernels.logits, kernels.components)
    np.testing.assert_allclose(kernels.log_prob(x), plain.log_prob(x), rtol=1e-9)
    np.testing.assert_allclose(kernels.log_prob(x), np.log(scipy.stats.gaussian_kde(centres.T, bw_method=1.0).pdf(x.T)), atol=9)
    assert kernels.sample(random(), 5).shape == (5, 2)


def test_mixtures_in_a_batch() -> None:
    """Three mixtures of two vectors each, beside the three one by one."""
    rng = np.random.default_rng(0)
    logits, loc = rng.standard_normal((3, 2)), rng.standard_normal((3, 2, 4))
    p = dist.Mixture(logits, dist.Independent(dist.Normal(loc, 0.5), 1))
    x = rng.standard_normal((6, 3, 4))
    assert (p.shape, p.event_ndim, p.sample(random(), 6).shape) == ((3, 4), 1, (6, 3, 4))
    for i in range(3):
        one = dist.Mixture(logits[i], dist.Independent(dist.Normal(loc[i], 0.5), 1))
        np.testing.assert_allclose(p.log_prob(x)[:, i], one.log_prob(x[:, i]))
    drawn = p.sample(random(), (20_000,))
    weights = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(drawn.mean(axis=0), (weights[..., None] * loc).sum(axis=1), atol=0.06)


def test_weights_are_shared_and_draws_are_not() -> None:
    """One pair of weights for 1000 pairs of components, and 500 pairs of weights for one pair of components."""
    loc = np.zeros((1000, 2))
    loc[:, 1] = 10.0
    drawn = dist.Mixture(np.zeros(2), dist.Normal(loc, 0.1)).sample(random()) > 5.0
    assert 0.4 < drawn.mean() < 0.6
    many = dist.Mixture(np.zeros((500, 2)), dist.Normal(np.array([0.0, 10.0]), 0.1))
    assert many.shape == (500,)
    assert 0.4 < (many.sample(random(), (3,)) > 5.0).mean() < 0.6
    assert many.sample(random(), (3,)).shape == (3, 500)
    with pytest.raises(ValueError, match="give both one"):
        dist.Mixture(np.zeros((3, 2)), dist.Normal(np.zeros((4, 2)), 1.0))


def test_integers_do_not_wrap_around() -> None:
    u = np.array([[3, 200], [250, 7], [90, 90]], "uint8")
    x = u.astype("float64")
    for ours, theirs in (
        (dist.Normal(u[0], 50.0).log_prob(u[1]), dist.Normal(x[0], 50.0).log_prob(x[1])),
        (
            dist.MultivariateNormal(u[0], 50.0 * np.eye(2)).log_prob(u[1:]),
            dist.MultivariateNormal(x[0], 50.0 * np.eye(2)).log_prob(x[1:]),
        ),
        (KernelDensity.init(u, 20.0).log_prob(u), KernelDensity.init(x, 20.0).log_prob(x)),
    ):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5)
    model, bound = mixture.em(GaussianMixture.init(random(), u, 1), u)
    same, its_bound = mixture.em(GaussianMixture.init(random(), x, 1), x)
    assert float(bound) == pytest.approx(float(its_bound), rel=1e-5)
    np.testing.assert_allclose(model.components.loc, same.components.loc, rtol=1e-5)


def test_kernels_far_from_0() -> None:
    years = 2000.0 + np.random.default_rng(0).standard_normal((50, 1)).astype("float32")
    exact = KernelDensity.init(years.astype("float64"), 0.5).log_prob(years.astype("float64"))
    np.testing.assert_allclose(KernelDensity.init(years, 0.5).log_prob(years), exact, atol=1e-3)


def test_points_that_rounded_to_the_corner() -> None:
    p = dist.GumbelSoftmax(np.float32(5.0) * random(1).normal((10,)), 0.1)
    assert np.isfinite(p.log_prob(p.sample(random(), (1000,)))).all()
    with pytest.raises(ValueError, match="one temperature for all"):
        dist.GumbelSoftmax(np.zeros((4, 3)), np.ones((4, 1)))


def test_a_level_far_away_is_improbable_and_not_impossible() -> None:
    for scale in (np.float32(1.0), 1.0, np.float64(1.0)):
        assert float(dist.DiscretizedLogistic(np.float32(-1e5), scale).log_prob(np.float32(0.5))) == pytest.approx(
            -1e5, rel=1e-3
        )


def test_entropies_of_nested_events() -> None:
    inner = dist.Independent(dist.Normal(np.zeros((4, 3)), 1.0), 1)
    assert float(dist.Independent(inner, 1).entropy()) == pytest.approx(12 * scipy.stats.norm().entropy())
    assert float(dist.Independent(dist.StandardNormal(3), 0).entropy()) == pytest.approx(3 * scipy.stats.norm().entropy())


def test_a_flow_gives_one_draw_and_its_density() -> None:
    flow = dist.Transformed(dist.StandardNormal(2), Chain([Planar.init(random(), 3)]))
    x, log_p = flow.sample_and_log_prob(random())
    assert x.shape == (2,)
    assert float(log_p) == pytest.approx(float(flow.log_prob(x[None])[0]), abs=1e-4)


def test_on_another_device(elsewhere) -> None:
    rng = random()
    logits = rng.normal((3,))
    counts = dist.Multinomial(4, logits).sample(rng, (2,))
    assert np.isfinite(dgm.to_numpy(dist.Multinomial(4, logits).log_prob(counts))).all()
    levels = dist.DiscretizedLogistic(dgm.sigmoid(logits), 0.1)
    assert np.isfinite(dgm.to_numpy(levels.log_prob(levels.sample(rng, (2,))))).all()
    y = dist.GumbelSoftmax(logits, 0.5).sample(rng, (2,))
    assert dist.straight_through(y).shape == (2, 3)
    mixture = dist.Mixture(logits, dist.Independent(dist.Normal(rng.normal((3, 2)), 0.5), 1))
    assert dgm.to_numpy(mixture.log_prob(mixture.sample(rng, (5,)))).shape == (5,)
