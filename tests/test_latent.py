"""Latent variable models whose truth is known: mixtures of spheres, probabilistic PCA, VAEs of numbers."""

import dataclasses
import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import multivariate_normal

import pydgm as dgm
from pydgm import estimators, nn, optim, train, trees
from pydgm.bijections import ActNorm, Triangular
from pydgm.distributions import MultivariateNormal, StandardNormal
from pydgm.divergences import kl, normal_plane
from pydgm.errors import ArgumentError, DomainError, ShapeError
from pydgm.models.flows import Planar, objectives
from pydgm.models.latent import (
    PPCA,
    VAE,
    GaussianMixture,
    GaussianVAE,
    SphericalMixture,
    inference,
    iwae,
    mixture,
    ppca,
    vae,
)
from pydgm.random import Generator
from pydgm.testing import check_bijection, check_grads


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


def test_a_sphere_for_each_point_keeps_a_width() -> None:
    """At least a share of the data's variance: the likelihood would have no bound."""
    for dtype in ("float32", "float64"):
        x = points(0).astype(dtype)
        model, likelihoods = mixture.fit(SphericalMixture.init(random(), x, len(x)), x, 50)
        assert np.isfinite(likelihoods).all()
        assert float(model.components.base.scale) ** 2 >= 0.99e-5 * x.var(axis=0).mean()


def test_spheres_that_cannot_be() -> None:
    with pytest.raises(ShapeError, match="rows"):
        SphericalMixture.init(random(), points(0), 2).log_prob(np.zeros((3, 1)))
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
    for n in (1, 2, 3):
        with pytest.raises(DomainError, match="lie in 2 dimensions"):
            ppca.fit(points(1, n), 2)


def test_ppca_refuses_what_is_no_row() -> None:
    model = planted(0)
    for wrong in (np.zeros((3, 1)), np.zeros(5)):
        with pytest.raises(ShapeError, match="rows"):
            model.log_prob(wrong)
    with pytest.raises(ShapeError, match="rows"):
        model.posterior(np.zeros((3, 1)))


# VAEs of numbers


def small(sigma: float | None = None, hidden: tuple[int, ...] = (4,)) -> tuple[GaussianVAE, np.ndarray]:
    model = nn.double(GaussianVAE.init(random(2), 5, hidden, 2, dgm.tanh, sigma=sigma))
    return model, 0.1 * points(4, n=6)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("hidden", [(), (4,), (4, 3)])
def test_a_vae_may_begin_at_the_mean_of_its_data(hidden, dtype) -> None:
    """At z = 0 it says the mean of the data, the encoder's first layer is 0 there; all weights are as without."""
    x = (np.random.default_rng(3).random((40, 5)) < [0.0, 0.1, 0.5, 0.9, 1.0]).astype(dtype)
    smoothed = (x.sum(axis=0) + 1.0) / 42.0
    for model, mean, begins in (
        (VAE.init(random(1), 5, hidden, 2, data=x), smoothed, lambda model: dgm.sigmoid(model.decoder(np.zeros((1, 2))))),
        (GaussianVAE.init(random(1), 5, hidden, 2, data=x), x.mean(axis=0), lambda model: model.decoder(np.zeros((1, 2)))),
    ):
        assert np.allclose(dgm.to_numpy(begins(model))[0], mean, atol=1e-6)
        assert np.allclose(dgm.to_numpy(model.encoder.layers[0](mean[None].astype("float32"))), 0.0, atol=1e-6)
        plain = type(model).init(random(1), 5, hidden, 2)
        for layer, other in zip(
            model.encoder.layers + model.decoder.layers, plain.encoder.layers + plain.decoder.layers, strict=True
        ):
            assert np.array_equal(layer.weight, other.weight)
            assert layer.bias.dtype == other.bias.dtype
    for wrong in (x[:, :4], x[0], x[:0]):
        for of in (VAE, GaussianVAE):
            with pytest.raises(ShapeError, match=r"VAE\.init: data"):
                of.init(random(1), 5, hidden, 2, data=wrong)
    with pytest.raises(DomainError, match="divided by 255"):
        VAE.init(random(1), 5, hidden, 2, data=255.0 * x)


def test_what_is_said_of_grey_pixels_is_below_the_mean_over_black_and_white() -> None:
    """All 2^5 pictures, each with its probability: log p(x | z) is a mean, "log p(x)" and the ELBO are bounds."""
    model = nn.double(VAE.init(random(1), 5, (4,), 2, dgm.tanh))
    grey = np.array([[0.1, 0.3, 0.5, 0.8, 0.9], [0.0, 0.2, 1.0, 0.6, 0.4]])
    black_and_white = np.array(list(itertools.product((0.0, 1.0), repeat=5)))
    chance = np.where(black_and_white == 1.0, grey[:, None], 1.0 - grey[:, None]).prod(axis=2)  # (2, 32)
    z = np.random.default_rng(0).standard_normal((3, 2))
    np.testing.assert_allclose(model.log_likelihoods(grey, z), chance @ model.log_likelihoods(black_and_white, z), atol=1e-12)
    mean = chance @ np.asarray(vae.quadrature(model, black_and_white, 200).log_prob)
    of_grey = np.asarray(vae.quadrature(model, grey, 200).log_prob)
    assert (of_grey < mean).all()
    assert (np.asarray(vae.elbo_quadrature(model, grey, *normal_plane(40))) < of_grey).all()


@pytest.mark.parametrize("sigma", [None, 0.7])
def test_pairs_of_numbers_and_causes(sigma) -> None:
    """log p(x | z) of all pairs is what the decoder's distribution says of each."""
    model, x = small(sigma)
    z = np.random.default_rng(0).standard_normal((9, 2))
    each = np.stack([model.decode(one).log_prob(x) for one in z], axis=1)
    np.testing.assert_allclose(model.log_likelihoods(x, z), each, atol=1e-9)
    np.testing.assert_allclose(model.generate(z), model.decode(z).base.loc)
    np.testing.assert_allclose(model.reconstruct(x), model.decode(model.posterior(x).base.loc).base.loc)
    assert float(model.sigma) == pytest.approx(sigma or 1.0)


def test_numbers_of_any_size_and_kind() -> None:
    """Far from 0, and as integers: the same densities."""
    model, x = small(0.1)
    z = np.random.default_rng(0).standard_normal((3, 2))
    last = model.decoder.layers[-1]
    moved = dataclasses.replace(last, bias=last.bias + 1000.0)
    far = dataclasses.replace(model, decoder=dataclasses.replace(model.decoder, layers=(*model.decoder.layers[:-1], moved)))
    near, there = model.log_likelihoods(x, z), trees.map(lambda w: w.astype("float32"), far)
    np.testing.assert_allclose(there.log_likelihoods((x + 1000.0).astype("float32"), z.astype("float32")), near, atol=1.0)
    bytes_ = (np.arange(10).reshape(2, 5) * 25).astype("uint8")
    np.testing.assert_allclose(model.log_likelihoods(bytes_, z), model.log_likelihoods(bytes_.astype("float64"), z), rtol=1e-4)


def test_bound_and_gap_of_numbers_are_log_p() -> None:
    model, x = small()
    exact = vae.quadrature(model, x, cells=400, reach=8.0)
    bound = vae.elbo_quadrature(model, x, *normal_plane(60, reach=8.0))
    np.testing.assert_allclose(bound + exact.gap, exact.log_prob, atol=1e-5)


def test_a_line_with_the_true_posterior_has_no_gap() -> None:
    """Its bound is log p of the PPCA, where columns are orthogonal; a wider guess, or turned columns, cost something."""
    best, x = ppca.fit(points(4), 2), points(4, n=6)
    model, nodes = ppca.as_vae(best), normal_plane(40, reach=8.0, dtype="float64")
    guess = best.posterior(x)
    np.testing.assert_allclose(model.posterior(x).base.loc, guess.loc, atol=1e-9)
    np.testing.assert_allclose(model.posterior(x).base.scale[0], np.sqrt(np.diag(guess.L @ guess.L.T)), atol=1e-9)
    bound = vae.elbo_quadrature(model, x, *nodes)
    np.testing.assert_allclose(bound, best.log_prob(x), atol=1e-7)
    wide = ppca.as_vae(best, 1.3)
    np.testing.assert_allclose(wide.posterior(x).base.scale, 1.3 * model.posterior(x).base.scale)
    assert (vae.elbo_quadrature(wide, x, *nodes) < bound).all()
    turned = dataclasses.replace(best, W=best.W @ np.array([[0.6, -0.8], [0.8, 0.6]]))
    np.testing.assert_allclose(turned.log_prob(x), best.log_prob(x))  # PPCA does not see a rotation
    assert (vae.elbo_quadrature(ppca.as_vae(turned), x, *nodes) < bound - 1e-4).all()  # the bound does


def test_noise_that_is_given_stays_and_the_other_learns() -> None:
    x = points(4, n=50).astype("float32")
    sigmas = []
    for sigma in (0.5, None):
        step = train.minimise(vae.loss, optim.adam(0.01))
        state = step.init(GaussianVAE.init(random(), 5, (), 2, sigma=sigma), random())
        sigmas.append(float(train.run(step, state, [x] * 50).model.sigma))
    assert sigmas[0] == pytest.approx(0.5)
    assert abs(sigmas[1] - 1.0) > 0.05


# Variational inference


@st.composite
def triangular(draw, d: int = 3) -> Triangular:
    """Some linear map, in float64; what stands on the diagonal of ``below``, and above, must not matter."""
    rng = np.random.default_rng(draw(st.integers(0, 10_000)))
    return Triangular(rng.standard_normal(d), 0.5 * rng.standard_normal(d), rng.standard_normal((d, d)))


@given(triangular(), st.integers(0, 1000))
def test_a_triangular_map_makes_the_gaussian_that_it_says(f, seed) -> None:
    z = np.random.default_rng(seed).standard_normal((4, 3))
    check_bijection(f, z, atol=1e-8)
    q = objectives.flow([f], 3)
    normal = multivariate_normal(f.loc, f.scale_tril @ f.scale_tril.T)
    np.testing.assert_allclose(q.log_prob(z), normal.logpdf(z), rtol=1e-7)
    same = inference.gaussian(q)
    np.testing.assert_allclose(same.loc, f.loc, atol=1e-12)
    np.testing.assert_allclose(same.L, f.scale_tril, atol=1e-12)
    assert (np.triu(f.scale_tril, 1) == 0.0).all()


def test_families_begin_at_the_standard_normal() -> None:
    z = random().normal((5, 2))
    for q in (inference.mean_field(2), inference.full_covariance(2)):
        np.testing.assert_allclose(q.log_prob(z), StandardNormal(2).log_prob(z), atol=1e-6)


def test_maps_that_make_no_gaussian_or_get_other_points() -> None:
    with pytest.raises(ArgumentError, match="wanted linear maps"):
        inference.gaussian(objectives.flow([Triangular.identity(2), Planar.init(random(), 1)]))
    for f in (Triangular.identity(2), ActNorm.identity(2)):
        for way in (f.forward, f.inverse):
            with pytest.raises(ShapeError, match="points"):
                way(np.zeros((7, 1)))


@given(triangular(), triangular())
def test_kl_of_gaussians_with_covariances(f, g) -> None:
    """The closed form of the textbook, with inverses and determinants; and 0 from a Gaussian to itself."""
    p, q = (inference.gaussian(objectives.flow([each], 3)) for each in (f, g))
    P, Q = (each.L @ each.L.T for each in (p, q))
    away = q.loc - p.loc
    textbook = (
        np.trace(np.linalg.solve(Q, P)) + away @ np.linalg.solve(Q, away) - 3.0 + np.log(np.linalg.det(Q) / np.linalg.det(P))
    )
    assert float(kl(p, q)) == pytest.approx(0.5 * textbook, rel=1e-6, abs=1e-8)
    assert float(kl(p, p)) == pytest.approx(0.0, abs=1e-9)
    check_grads(kl, [p, q], order=1, rtol=1e-4)


def test_kl_of_gaussians_in_a_batch_and_of_other_widths() -> None:
    rng = np.random.default_rng(0)
    loc, L = rng.standard_normal((4, 2)), np.eye(2) + 0.2 * np.tril(rng.standard_normal((4, 2, 2)))
    p, q = MultivariateNormal(loc, L), MultivariateNormal(np.zeros(2), np.eye(2))
    one_by_one = [kl(MultivariateNormal(loc[i], L[i]), q) for i in range(4)]
    np.testing.assert_allclose(kl(p, q), one_by_one)
    with pytest.raises(ShapeError, match="vectors"):
        kl(p, MultivariateNormal(np.zeros(3), np.eye(3)))


@given(st.integers(0, 1000), triangular(2))
def test_log_p_is_elbo_plus_kl(seed, f) -> None:
    # formula: elbo-entropy, gap, kl
    """In the linear model everything is known: the joint density, the evidence, the posterior."""
    model, x, q = planted(seed), points(seed + 1, n=1), objectives.flow([f], 2)
    nodes, weights = normal_plane(60, reach=8.0, dtype="float64")
    elbo = inference.elbo(q, lambda z: model.log_joint(x[0], z), nodes)
    truth = model.posterior(x[0])
    assert float(weights @ elbo + kl(inference.gaussian(q), truth)) == pytest.approx(float(model.log_prob(x)[0]), rel=1e-8)
    z = inference.gaussian(q).loc + nodes @ inference.gaussian(q).L.T
    np.testing.assert_allclose(elbo, model.log_joint(x[0], z) - q.log_prob(z), atol=1e-7)


def test_the_nearest_gaussian_is_found_from_noise() -> None:
    """The mean field's variances are 1 / (Sigma^-1)_ii, which is too small; with any covariance it is the posterior."""
    model, x = planted(1), points(5, n=1)
    truth = model.posterior(x[0])
    precision = np.linalg.inv(truth.L @ truth.L.T)
    found = []
    for q in (inference.mean_field(2), inference.full_covariance(2)):
        step = train.minimise(inference.loss(lambda z: model.log_joint(x[0], z), 64), optim.adam(optim.cosine(0.03, 0.0, 1500)))
        found.append(inference.gaussian(train.run(step, step.init(nn.double(q), random(1)), 1500).model))
    np.testing.assert_allclose(np.diag(found[0].L) ** 2 * np.diag(precision), 1.0, atol=0.03)
    np.testing.assert_allclose(found[0].loc, truth.loc, atol=0.03)
    assert float(kl(found[1], truth)) < 1e-3 < float(kl(found[0], truth))


# Importance weights


def small_images() -> tuple[VAE, np.ndarray]:
    """Few pixels, in float64."""
    model = nn.double(VAE.init(random(1), pixels=6, hidden=(5,), latent=2, activation=dgm.tanh))
    return model, (np.random.default_rng(0).random((3, 6)) < 0.5).astype("float64")


@given(st.integers(1, 6), st.integers(0, 1000))
def test_the_importance_weighted_gradient_is_a_weighted_mean(k, seed) -> None:
    # formula: importance-weighted
    """Of the samples' own, by w~_i = w_i / sum_j w_j; and the loss is minus the mean bound."""
    model, x = small_images()
    log_w = np.asarray(vae.log_weights(model, x, k, random(seed)))
    w = np.exp(log_w) / np.exp(log_w).sum(axis=0)
    by_hand = dgm.grad(lambda m: -dgm.mean(dgm.sum(w * vae.log_weights(m, x, k, random(seed)), axis=0)))(model)
    one = [float(loss(model, x[0], random(seed))) for loss in (iwae.loss(k), iwae.doubly_reparameterized(k))]
    assert one[0] == pytest.approx(one[1])  # a single image
    for loss in (iwae.loss(k), iwae.doubly_reparameterized(k)):
        assert float(loss(model, x, random(seed))) == pytest.approx(-np.log(np.exp(log_w).mean(axis=0)).mean())
        slope = dgm.grad(lambda m, loss=loss: loss(m, x, random(seed)))(model)
        for a, b in zip(trees.leaves(slope.decoder), trees.leaves(by_hand.decoder), strict=True):
            np.testing.assert_allclose(a, b, atol=1e-10)
    slope = dgm.grad(lambda m: iwae.loss(k)(m, x, random(seed)))(model)
    for a, b in zip(trees.leaves(slope), trees.leaves(by_hand), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-10)


@pytest.mark.parametrize("k", [1, 4])
def test_reparameterised_twice_the_mean_is_the_same(k) -> None:
    """Of the encoder's gradient; and in the encoder it is sum_i w~_i^2 (d log w_i / d z_i) (d z_i / d phi)."""
    model, x = small_images()
    once, twice = (
        estimators.gradients(loss(k), model, x, random(1), 4000).encoder.layers[-1].bias
        for loss in (iwae.loss, iwae.doubly_reparameterized)
    )
    error = np.sqrt((once.var(axis=0) + twice.var(axis=0)) / 4000)
    assert np.max(np.abs(once.mean(axis=0) - twice.mean(axis=0)) / error) < 4.5
    q, noise = model.posterior(x).base, random(7).normal((k, 3, 2), "float64")
    z = q.loc + q.scale * noise

    def log_w(z: np.ndarray) -> np.ndarray:
        density = -0.5 * ((z - q.loc) / q.scale) ** 2 - np.log(q.scale) - 0.5 * np.log(2 * np.pi)
        return model.decode(z).log_prob(x) + model.prior.log_prob(z) - dgm.sum(density, axis=-1)

    values, back = dgm.vjp(log_w, z)
    w = np.exp(values) / np.exp(values).sum(axis=0)
    (by_z,) = back(w**2)
    expected = np.concatenate([by_z.sum(axis=(0, 1)), (by_z * noise * np.asarray(q.scale)).sum(axis=(0, 1))]) / 3
    slope = dgm.grad(lambda m: iwae.doubly_reparameterized(k)(m, x, random(7)))(model)
    np.testing.assert_allclose(-slope.encoder.layers[-1].bias, expected, atol=1e-10)


def test_counts_of_samples_are_counts() -> None:
    for make in (iwae.loss, iwae.doubly_reparameterized):
        with pytest.raises(ArgumentError, match="k"):
            make(0.5)


@given(st.integers(0, 2**32), st.floats(0.0, 5.0), st.floats(0.0, 0.5))
def test_weighed_kl_and_free_nats(seed, beta, free) -> None:
    """beta sum_i max(free, mean_n KL_ni) - mean log p(x | z), by hand; with 1 and 0 it is minus the mean bound."""
    model, x = small_images()
    q = model.posterior(x).base
    rate = 0.5 * (q.loc**2 + q.scale**2 - 1.0) - np.log(q.scale)
    expected = model.decode(model.posterior(x).sample(random(seed))).log_prob(x)
    by_hand = beta * np.maximum(rate.mean(axis=0), free).sum() - expected.mean()
    assert float(vae.loss(model, x, random(seed), beta, free)) == pytest.approx(by_hand)
    np.testing.assert_allclose(vae.elbo(model, x, random(seed)), expected - rate.sum(axis=1))
    assert float(vae.loss(model, x, random(seed))) == pytest.approx(-np.mean(vae.elbo(model, x, random(seed))))
    encoder = dgm.grad(lambda m: vae.loss(m, x, random(seed), free=100.0))(model).encoder  # all is free: no KL is felt
    without = dgm.grad(lambda m: vae.loss(m, x, random(seed), beta=0.0))(model).encoder
    for a, b in zip(trees.leaves(encoder), trees.leaves(without), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-12)


@given(st.integers(0, 2**32))
def test_a_turned_latent_space(seed) -> None:
    """p(x, z) at z is the turned model's at R z; its guess is the factorised Gaussian nearest to the turned one."""
    model, x = small_images()
    angle = np.random.default_rng(seed).uniform(0.1, 1.4)  # no R that is its own inverse
    R = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    turned, z = vae.Turned.of(model, R), random(seed).normal((5, 3, 2), "float64")
    np.testing.assert_allclose(turned.log_joint(x, z @ R.T), model.log_joint(x, z), atol=1e-10)
    q, guess = model.posterior(x).base, turned.posterior(x).base
    exact = [
        MultivariateNormal(R @ m, np.linalg.cholesky(R @ np.diag(s**2) @ R.T)) for m, s in zip(q.loc, q.scale, strict=True)
    ]

    def distance(loc, scale) -> float:
        return sum(float(kl(MultivariateNormal(m, np.diag(s)), p)) for m, s, p in zip(loc, scale, exact, strict=True))

    best = distance(guess.loc, guess.scale)
    for change in (1e-3, -1e-3):
        for axis in np.eye(2):
            assert distance(guess.loc + change * axis, guess.scale) > best
            assert distance(guess.loc, guess.scale * (1.0 + change * axis)) > best
    exactly = vae.Turned.of(model, np.eye(2)).posterior(x).base
    np.testing.assert_allclose(exactly.scale, q.scale)
    with pytest.raises(DomainError, match="not orthogonal"):
        vae.Turned.of(model, 2.0 * R)
    for wrong in (np.eye(3), np.eye(3)[:2], np.ones(2)):
        with pytest.raises(ShapeError, match="wanted R"):
            vae.Turned.of(model, wrong)
    with pytest.raises(DomainError, match="not orthogonal"):
        vae.Turned.of(model, np.full((2, 2), np.nan))
    with pytest.raises(ArgumentError, match="wanted a plain VAE"):
        vae.Turned.of(GaussianVAE.init(random(), 3, (), 2), R)


def test_many_at_once() -> None:
    """A stack of VAEs has the mean of their losses, free nats being each one's own."""
    models = [VAE.init(random(i), 5, (4,), 2) for i in range(3)]
    x = dgm.asarray(np.random.default_rng(0).integers(0, 2, (3, 6, 5)).astype("float32"))
    many = nn.stack(models)
    assert many.prior.size == 2
    q = many.posterior(x)
    rate = 0.5 * (q.base.loc**2 + q.base.scale**2 - 1.0) - np.log(q.base.scale)
    free = np.maximum(rate.mean(axis=1), 0.1).sum(axis=1).mean()
    expected = np.mean(many.decode(q.sample(random(3))).log_prob(x))
    assert float(vae.loss(many, x, random(3), beta=2.0, free=0.1)) == pytest.approx(2.0 * free - expected, rel=1e-5)
    assert vae.elbo(many, x, random(3)).shape == (3, 6)


def test_weights_of_kl_are_no_less_than_0() -> None:
    model, x = small_images()
    for wrong in ({"beta": -1.0}, {"free": -0.1}, {"free": np.inf}):
        with pytest.raises(DomainError, match="wanted a finite number from 0"):
            vae.loss(model, x, random(), **wrong)


# Elsewhere


def test_on_another_array_library(elsewhere) -> None:
    """Every model and loss of these files, trained for a step or three; log densities are finite, and on the device."""
    rng = random()
    x, y = rng.normal((40, 5)), rng.bernoulli(dgm.sigmoid(rng.normal((40, 5))))
    for kind in (SphericalMixture, GaussianMixture):
        assert np.isfinite(mixture.fit(kind.init(rng, x, 3), x, 3)[1]).all()
    line = ppca.fit(x, 2)
    assert elsewhere.holds(line.log_prob(x))
    assert elsewhere.holds(line.posterior(x).sample(rng))
    numbers = GaussianVAE.init(rng, 5, (4,), 2)
    assert np.isfinite(dgm.to_numpy(vae.quadrature(numbers, x, 40).log_prob)).all()
    q, images = inference.full_covariance(2), VAE.init(rng, 5, (4,), 2)
    losses = [(numbers, vae.loss, x), (images, iwae.loss(3), y), (images, iwae.doubly_reparameterized(3), y)]
    assert elsewhere.holds(vae.Turned.of(images, dgm.asarray(np.eye(2, dtype="float32"))).posterior(y).sample(rng))
    for model, loss, batch in [*losses, (q, inference.loss(lambda z: line.log_joint(x[0, ...], z)), x)]:
        step = train.minimise(loss, optim.adam(1e-3))
        assert np.isfinite(train.run(step, step.init(model, rng), [batch] * 3).losses).all()
    draws = estimators.gradients(iwae.loss(2), images, y, rng, 4)
    assert estimators.clarity(draws.encoder.layers[-1].bias) >= 0.0
    assert float(kl(inference.gaussian(q), inference.gaussian(inference.mean_field(2)))) == pytest.approx(0.0, abs=1e-6)
