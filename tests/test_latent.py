"""Latent variable models whose truth is known: mixtures of spheres, probabilistic PCA, VAEs of numbers."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import multivariate_normal

import pydgm as dgm
from pydgm import nn, optim, train, trees
from pydgm.divergences import normal_plane
from pydgm.errors import DomainError
from pydgm.models.latent import PPCA, GaussianVAE, SphericalMixture, mixture, ppca, vae
from pydgm.random import Generator
from pydgm.testing import check_grads


def random(seed: int = 0) -> Generator:
    return Generator(seed)


def points(seed: int, n: int = 40, d: int = 5) -> np.ndarray:
    """Correlated, and away from 0."""
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, d)) @ rng.standard_normal((d, d)) + rng.standard_normal(d)


# Mixtures of spheres


@given(st.integers(0, 1000), st.integers(1, 4))
def test_a_mixture_of_spheres(seed, K) -> None:
    """Its density by scipy; a step of EM by hand; and as a step along the slope, which is Fisher's identity."""
    x = points(seed)
    model, bound = mixture.em(SphericalMixture.init(random(seed), x, K), x)
    weights, width = np.asarray(dgm.softmax(model.logits)), float(model.components.base.scale)
    parts = [w * multivariate_normal(m, width**2).pdf(x) for w, m in zip(weights, model.components.base.loc, strict=True)]
    np.testing.assert_allclose(model.log_prob(x), np.log(np.sum(parts, axis=0)), atol=1e-9)
    r = np.array(parts).T / np.sum(parts, axis=0)[:, None]
    after, reached = mixture.em(model, x)
    assert float(reached) == pytest.approx(model.log_prob(x).mean())
    assert float(reached) >= float(bound) - 1e-9
    np.testing.assert_allclose(dgm.softmax(after.logits), r.mean(axis=0), atol=1e-9)
    loc = r.T @ x / r.sum(axis=0)[:, None]
    np.testing.assert_allclose(after.components.base.loc, loc, atol=1e-8)
    squares = ((x[:, None] - loc) ** 2).sum(axis=2)
    assert float(after.components.base.scale) ** 2 == pytest.approx((r * squares).sum() / x.size)
    slope = dgm.grad(lambda m: dgm.mean(m.log_prob(x)))(model).components.base.loc
    step = np.asarray(slope) * width**2 / r.mean(axis=0)[:, None]
    np.testing.assert_allclose(after.components.base.loc - model.components.base.loc, step, atol=1e-8)


def test_where_em_stays_the_slope_is_zero() -> None:
    x = points(3)
    model, likelihoods = mixture.fit(SphericalMixture.init(random(1), x, 3), x, 2000)
    assert np.diff(likelihoods).min() > -1e-9
    for slope in trees.leaves(dgm.grad(lambda m: dgm.mean(m.log_prob(x)))(model)):
        np.testing.assert_allclose(slope, 0.0, atol=1e-6)


def test_spheres_far_from_zero_keep_their_digits() -> None:
    """In float32, a thousand deviations away."""
    x = points(0).astype("float32")
    near, far = (mixture.fit(SphericalMixture.init(random(), x + at, 2), x + at, 20)[1] for at in (0.0, 4096.0))
    np.testing.assert_allclose(near, far, atol=0.01)


def test_spheres_that_cannot_be() -> None:
    with pytest.raises(ValueError, match="50 components from 40 points"):
        SphericalMixture.init(random(), points(0), 50)


# Probabilistic PCA


def planted(seed: int, d: int = 5, q: int = 2) -> PPCA:
    rng = np.random.default_rng(seed)
    return PPCA(rng.standard_normal(d), rng.standard_normal((d, q)), np.asarray(0.3 + rng.random()))


@given(st.integers(0, 1000), st.integers(1, 4))
def test_ppca_is_the_gaussian_that_it_is(seed, q) -> None:
    model, x = planted(seed, q=q), points(seed + 1)
    covariance = model.W @ model.W.T + float(model.sigma) ** 2 * np.eye(5)
    np.testing.assert_allclose(model.log_prob(x), multivariate_normal(model.loc, covariance).logpdf(x), rtol=1e-9)
    check_grads(lambda m: dgm.mean(m.log_prob(x)), [model], order=1)


@given(st.integers(0, 1000))
def test_ppcas_posterior_is_bayes(seed) -> None:
    """log p(z | x) = log p(z) + log p(x | z) - log p(x), at any z."""
    model, x = planted(seed), points(seed + 1, n=7)
    z = np.random.default_rng(seed).standard_normal((7, 2))
    prior = multivariate_normal(np.zeros(2)).logpdf(z)
    given_z = [
        multivariate_normal(m, float(model.sigma) ** 2).logpdf(row) for m, row in zip(z @ model.W.T + model.loc, x, strict=True)
    ]
    np.testing.assert_allclose(model.posterior(x).log_prob(z), prior + given_z - model.log_prob(x), atol=1e-7)


@given(st.integers(0, 1000), st.integers(1, 4))
def test_no_ppca_is_likelier_than_the_closed_form(seed, q) -> None:
    x, model = points(seed), ppca.fit(points(seed), q)
    for slope in trees.leaves(dgm.grad(lambda m: dgm.mean(m.log_prob(x)))(model)):
        np.testing.assert_allclose(slope, 0.0, atol=1e-7)
    best = np.mean(model.log_prob(x))
    rng = np.random.default_rng(seed)
    for size in (0.01, 0.3):
        other = trees.map(lambda w, size=size: w * (1.0 + size * rng.standard_normal(w.shape)), model)
        assert np.mean(other.log_prob(x)) <= best + 1e-9


def test_principal_axes() -> None:
    values, axes = ppca.eigenvalues(points(1))
    covariance = np.cov(points(1).T, bias=True)
    assert (np.diff(values) <= 0).all()
    np.testing.assert_allclose(covariance @ axes, axes * values, atol=1e-9)
    for q in (0, 5):
        with pytest.raises(DomainError, match=f"{q} latent numbers for vectors of 5"):
            ppca.fit(points(1), q)


# VAEs of numbers


def small(sigma: float | None = None, hidden: tuple[int, ...] = (4,)) -> tuple[GaussianVAE, np.ndarray]:
    model = nn.double(GaussianVAE.init(random(2), 5, hidden, 2, dgm.tanh, sigma))
    return model, 0.1 * points(4, n=6)


@pytest.mark.parametrize("sigma", [None, 0.7])
def test_pairs_of_numbers_and_causes(sigma) -> None:
    """log p(x | z) of all pairs is what the decoder's distribution says of each."""
    model, x = small(sigma)
    z = np.random.default_rng(0).standard_normal((9, 2))
    each = np.stack([model.decode(one).log_prob(x) for one in z], axis=1)
    np.testing.assert_allclose(model.log_likelihoods(x, z), each, atol=1e-9)
    assert float(model.sigma) == pytest.approx(sigma or 1.0)


def test_bound_and_gap_of_numbers_are_log_p() -> None:
    model, x = small()
    exact = vae.quadrature(model, x, cells=400, reach=8.0)
    bound = vae.elbo_quadrature(model, x, *normal_plane(60, reach=8.0))
    np.testing.assert_allclose(bound + exact.gap, exact.log_prob, atol=1e-5)


def test_a_line_with_the_true_posterior_has_no_gap() -> None:
    """The bound of a linear VAE is log p of its PPCA, where columns are orthogonal and the encoder is right."""
    best, x = ppca.fit(points(4), 2), points(4, n=6)
    model, _ = small(float(best.sigma), ())
    guess = best.posterior(x)
    scale = np.sqrt(np.diag(guess.L @ guess.L.T))
    inward = np.linalg.solve(best.W.T @ best.W + float(best.sigma) ** 2 * np.eye(2), best.W.T)
    layers = (
        nn.Linear(np.concatenate([inward.T, np.zeros((5, 2))], axis=1), np.concatenate([-inward @ best.loc, np.log(scale)])),
        nn.Linear(best.W.T, best.loc),
    )
    encoder, decoder = (
        dataclasses.replace(net, layers=(each,)) for net, each in zip((model.encoder, model.decoder), layers, strict=True)
    )
    model = dataclasses.replace(model, encoder=encoder, decoder=decoder)
    np.testing.assert_allclose(model.posterior(x).base.loc, guess.loc, atol=1e-9)
    np.testing.assert_allclose(vae.elbo_quadrature(model, x, *normal_plane(40, reach=8.0)), best.log_prob(x), atol=1e-7)


def test_noise_that_is_given_stays_and_the_other_learns() -> None:
    x = points(4, n=50).astype("float32")
    sigmas = []
    for sigma in (0.5, None):
        step = train.minimise(vae.loss, optim.adam(0.01))
        state = step.init(GaussianVAE.init(random(), 5, (), 2, sigma=sigma), random())
        sigmas.append(float(train.run(step, state, [x] * 50).model.sigma))
    assert sigmas[0] == pytest.approx(0.5)
    assert abs(sigmas[1] - 1.0) > 0.05
