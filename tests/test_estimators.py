"""Estimators of the gradient of an expectation, against gradients that are known exactly."""

from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pydgm as dgm
from pydgm import estimators, optim, train, trees
from pydgm.distributions import (
    Bernoulli,
    Categorical,
    GumbelSoftmax,
    Independent,
    Mixture,
    MultivariateNormal,
    Normal,
    StandardNormal,
    Transformed,
    Uniform,
)
from pydgm.divergences import normal_plane
from pydgm.errors import ArgumentError, DomainError, ShapeError
from pydgm.random import Generator
from pydgm.testing import arrays

N = 40_000


def random(seed: int = 0) -> Generator:
    return Generator(seed)


def parts(q, r, k=3):
    """Each estimator of symbols, and how many samples it takes."""
    return {
        "score": (partial(estimators.score_function, r), 1),
        "baseline": (partial(estimators.score_function, r, baseline=1.5), 1),
        "left out": (partial(estimators.leave_one_out, r, k=k), k),
    }


def distance(drawn, exact) -> float:
    """Of the mean of the draws from ``exact``, in standard errors; where nothing varies it has to be exact."""
    drawn, exact = np.asarray(drawn, "float64"), np.concatenate([np.ravel(w) for w in trees.leaves(exact)])
    error = drawn.std(axis=0) / np.sqrt(len(drawn)) + 1e-9
    return float(np.max(np.abs(drawn.mean(axis=0) - exact) / error))


@settings(max_examples=5)
@given(arrays((2,)), arrays((2,), 0.3, 1.5), st.integers(0, 2**32))
def test_of_a_normal(mean, scale, seed) -> None:
    # formula: reparameterised-gradient
    """r(z) = z1^2 + z1 z2: the gradient of E[r] = m1^2 + s1^2 + m1 m2 is known."""
    q = Independent(Normal(mean, scale), 1)

    def r(z):
        return z[..., 0] ** 2 + z[..., 0] * z[..., 1]

    exact = np.array([2 * mean[0] + mean[1], mean[0], 2 * scale[0], 0.0])
    np.testing.assert_allclose(estimators.quadrature(r, q.base, *normal_plane(100, 8.0)), exact, atol=1e-5)
    for estimator in (partial(estimators.reparameterized, r), *(each for each, _ in parts(q, r).values())):
        drawn = estimators.draws(estimator, q, random(seed), N)
        assert drawn.shape == (N, 4)
        assert distance(drawn, exact) < 5.5


@settings(max_examples=5)
@given(arrays((4,)), arrays((4,)), st.integers(0, 2**32))
def test_of_symbols(logits, rewards, seed) -> None:
    """E[r] = sum_k softmax(logits)_k r_k; a sample's mean of k has a k-th of the variance, at most."""
    exact = dgm.grad(lambda logits: dgm.sum(dgm.softmax(logits) * rewards))(logits)
    q, variances = Categorical(logits), {}
    for name, (estimator, _) in parts(q, lambda k: rewards[k]).items():
        drawn = estimators.draws(estimator, q, random(seed), N)
        assert distance(drawn, exact) < 5.5, name
        variances[name] = drawn.var(axis=0).sum()
    best = estimators.best_baseline(lambda k: rewards[k], q, random(seed), N)
    drawn = estimators.draws(partial(estimators.score_function, lambda k: rewards[k], baseline=best), q, random(seed + 1), N)
    assert drawn.var(axis=0).sum() <= 1.1 * min(variances["score"], variances["baseline"]) + 1e-9


@settings(max_examples=5)
@given(arrays((3,)), st.integers(0, 2**32))
def test_of_bits(logits, seed) -> None:
    """All 8 rows of three bits, in r that is no sum over them."""
    rows = np.array(np.meshgrid(*[[0.0, 1.0]] * 3)).reshape(3, -1).T

    def r(x):
        return dgm.tanh(x[..., 0] + 2.0 * x[..., 1] * x[..., 2] - 0.5)

    exact = dgm.grad(lambda q: dgm.sum(dgm.exp(q.log_prob(rows)) * r(rows)))(q := Independent(Bernoulli(logits), 1))
    for name, (estimator, _) in parts(q, r).items():
        assert distance(estimators.draws(estimator, q, random(seed), N), exact) < 5.5, name


@settings(max_examples=3)
@given(arrays((2,)), arrays((2,)), arrays((2,), 0.3, 1.5), st.integers(0, 2**32))
def test_of_a_mixture(logits, loc, scale, seed) -> None:
    """Its sample has no derivative in the weights: only the score function is right, E[z^2] = sum w (loc^2 + scale^2)."""
    q = Mixture(logits, Normal(loc, scale))
    exact = dgm.grad(lambda q: dgm.sum(dgm.softmax(q.logits) * (q.components.loc**2 + q.components.scale**2)))(q)
    for name, (estimator, _) in parts(q, dgm.square).items():
        assert distance(estimators.draws(estimator, q, random(seed), N), exact) < 5.5, name
    with pytest.raises(ArgumentError, match="Mixture have no derivative in all"):
        estimators.reparameterized(dgm.square, q, random())


def test_a_control_variate() -> None:
    """exp(z) - (1 + z + z^2 / 2), and the expectation of the latter: the same mean, a smaller variance."""
    q, exact = Normal(np.array([0.2]), np.array([0.5])), np.exp(0.2 + 0.125) * np.array([1.0, 0.5])  # of exp(m + s^2 / 2)

    def with_control(q, rng):
        estimate = estimators.score_function(lambda z: dgm.exp(z) - (1.0 + z + 0.5 * z * z), q, rng)
        return estimate + 1.0 + q.loc + 0.5 * (q.loc**2 + q.scale**2)

    controlled = estimators.draws(with_control, q, random(), N)
    plain = estimators.draws(partial(estimators.score_function, dgm.exp), q, random(), N)
    assert max(distance(controlled, exact), distance(plain, exact)) < 4.5
    assert controlled.var(axis=0).sum() < 0.1 * plain.var(axis=0).sum()


def test_the_best_baseline_of_one_bit() -> None:
    """The score is x - p, so that E[r s^2] / E[s^2] = r(1) (1 - p) + r(0) p: the reward of the *other* symbol counts."""
    q = Bernoulli(np.array(np.log(0.2 / 0.8)))
    assert estimators.best_baseline(lambda x: 5.0 * x - 1.0, q, random(), N) == pytest.approx(4.0 * 0.8 - 0.2, abs=0.05)


def test_a_surrogate_is_worth_its_reward() -> None:
    """And what r is made of has its derivative."""
    q, weight = Independent(Bernoulli(np.array([[0.3, -1.0], [2.0, 0.0]])), 1), np.array([1.0, -2.0])
    for estimator in (estimators.score_function, partial(estimators.leave_one_out, k=2)):

        def value(weight, estimator=estimator):
            return dgm.sum(estimator(lambda bits: bits @ weight, q, random(3)))

        x = q.sample(random(3), (2,) if estimator is not estimators.score_function else ())
        expected = (x @ weight).reshape(-1, 2).mean(axis=0).sum()
        assert float(value(weight)) == pytest.approx(expected)
        np.testing.assert_allclose(dgm.grad(value)(weight), x.reshape(-1, 2, 2).mean(axis=0).sum(axis=0))


def test_a_baseline_for_each_image() -> None:
    """What lies far from 0 is best taken off, row by row."""
    level = np.array([100.0, -300.0])
    q = Normal(np.array([0.0, 1.0]), np.array([1.0, 2.0]))
    plain, less = (
        estimators.draws(lambda q, rng, b=b: estimators.score_function(lambda z: z + level, q, rng, b), q, random(), N)
        for b in (0.0, level)
    )
    assert distance(less, np.array([1.0, 1.0, 0.0, 0.0])) < 4.5
    assert distance(plain, np.array([1.0, 1.0, 0.0, 0.0])) < 4.5
    assert less.var(axis=0).max() < 1e-2 * plain.var(axis=0).min()


def test_relaxed_symbols_have_a_path_and_a_bias() -> None:
    """The colder, the nearer is the mean gradient to that of the symbols."""
    logits, rewards = np.array([0.5, -0.5, 1.0]), np.array([1.0, 3.0, -2.0])
    exact = np.asarray(dgm.grad(lambda logits: dgm.sum(dgm.softmax(logits) * rewards))(logits))
    errors = []
    for temperature in (2.0, 0.5, 0.1):
        q = GumbelSoftmax(logits, temperature)
        drawn = estimators.draws(partial(estimators.reparameterized, lambda y: y @ rewards), q, random(), N)
        errors.append(np.linalg.norm(drawn.mean(axis=0) - exact) / np.linalg.norm(exact))
    assert errors[0] > 0.3
    assert errors[2] < 0.05
    assert errors[0] > errors[1] > errors[2]


def test_which_samples_have_a_derivative() -> None:
    """In all parameters: that is what each distribution says of itself, and what its samples have."""
    d, L = np.zeros(2), np.eye(2)
    chain = dgm.bijections.Chain([dgm.bijections.ActNorm(d + 0.1, d)])
    have = [Normal(d, d + 1.0), Uniform(d, d + 1.0), MultivariateNormal(d, L), GumbelSoftmax(d)]
    have += [Independent(Normal(d, d + 1.0), 1), Transformed(StandardNormal(2), chain)]
    for q in have:
        assert q.reparameterized
        slopes = dgm.grad(lambda q: dgm.sum(dgm.square(q.sample(random(), (5,)))))(q)
        assert all(np.abs(w).max() > 0 for w in trees.leaves(slopes)), q
    symbols = [Categorical(d), Bernoulli(d), Independent(Bernoulli(d), 1), Mixture(d, Normal(d, d + 1.0))]
    for q in [*symbols, dgm.distributions.Multinomial(3, d), dgm.distributions.DiscretizedLogistic(d, d + 1.0)]:
        assert not q.reparameterized
        with pytest.raises(ArgumentError, match="wanted score_function"):
            estimators.reparameterized(lambda x: x, q, random())


def test_what_is_refused() -> None:
    q = Independent(Normal(np.zeros((3, 2)), np.ones((3, 2))), 1)
    with pytest.raises(ShapeError, match=r"r\(z\) is \(3, 2\), and log q\(z\) \(3,\)"):
        estimators.score_function(lambda z: z, q, random())
    with pytest.raises(ShapeError, match="a baseline"):
        estimators.score_function(lambda z: z[..., 0], q, random(), np.zeros((3, 1)))
    with pytest.raises(ArgumentError, match="q is a distribution, got"):
        estimators.score_function(q, lambda z: z, random())
    with pytest.raises(ShapeError, match="wanted a number for each of the"):
        estimators.quadrature(lambda z: z[:, :1], Normal(np.zeros(2), np.ones(2)), *normal_plane(10))
    with pytest.raises(ArgumentError, match="wanted a Normal"):
        estimators.quadrature(lambda z: z[:, 0], q, *normal_plane(10))
    with pytest.raises(ShapeError, match="makes it as large"):
        estimators.draws(lambda q, rng: q.sample(rng), Normal(np.zeros(3), np.array(1.0)), random(), 3)
    one_scale = estimators.quadrature(lambda z: z[:, 0], Normal(np.zeros(2), 1.0), *normal_plane(50, 8.0))
    np.testing.assert_allclose(one_scale, [1.0, 0.0, 0.0, 0.0], atol=1e-5)
    with pytest.raises(DomainError, match="k: wanted 2 or more"):
        estimators.leave_one_out(lambda z: z[..., 0], q, random(), 1)


def test_differences_of_an_expectation_are_its_gradient() -> None:
    # formula: expectation
    """E[z^2] for N(m, s^2) has the derivatives 2 m and 2 s."""
    q = Normal(np.array([[0.7, -1.0]]), np.array([[0.5, 1.5]]))
    nodes, weights = normal_plane(100, reach=8.0)
    r = lambda z: dgm.sum(z * z, axis=1)  # noqa: E731
    np.testing.assert_allclose(estimators.by_differences(r, q, nodes, weights), [1.4, -2.0, 1.0, 3.0], rtol=1e-5)
    errors_of_means = estimators.relative_errors(np.array([[1.0, 0.0], [3.0, 0.0]] * 8), np.array([2.0, 0.0]), [1, 2])
    assert errors_of_means == pytest.approx([0.5, 0.0])


def test_signal_over_noise() -> None:
    """Of draws whose mean and deviation are known, alone and with draws that know the mean better."""
    rng = np.random.default_rng(0)
    mean, draws = np.array([0.3, 0.0, -0.4]), rng.standard_normal((4000, 3))
    assert estimators.clarity(mean + draws) == pytest.approx(0.5 / np.sqrt(3.0), rel=0.1)
    assert estimators.clarity(draws, mean + 0.01 * draws) == pytest.approx(0.5 / np.sqrt(3.0), rel=0.05)
    assert estimators.clarity(draws - draws.mean(axis=0)) == 0.0
    with pytest.raises(DomainError, match="draws: wanted 2 or more"):
        estimators.clarity(draws[:1])


def test_in_a_compiled_step(elsewhere) -> None:
    """Symbols learn to be the best one, on another array library too; the surrogate is a loss like any other."""
    rewards, rng = dgm.asarray(np.array([0.0, 1.0, 3.0], "float32")), random()
    start = Categorical(dgm.asarray(np.zeros((4, 3), "float32")))

    def loss(q, batch, rng):
        return -dgm.mean(estimators.leave_one_out(lambda k: dgm.take(rewards, k, axis=0), q, rng, 4))

    step = train.minimise(loss, optim.adam(0.1))
    learned = train.run(step, step.init(start, rng), 200).model
    assert dgm.to_numpy(dgm.softmax(learned.logits))[:, 2].min() > 0.9
    q = Independent(Normal(dgm.asarray(np.zeros(2, "float32")), dgm.asarray(np.ones(2, "float32"))), 1)
    drawn = estimators.draws(lambda q, rng: estimators.reparameterized(lambda z: dgm.sum(z, axis=-1), q, rng), q, rng, 10)
    assert elsewhere.holds(drawn)
    assert drawn.shape == (10, 4)
    assert np.isfinite(estimators.best_baseline(lambda z: dgm.sum(z, axis=-1), q, rng, 10))
