"""Models against exact oracles, before any training."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

import pydgm as dgm
from pydgm import divergences as div
from pydgm import errors, nn, trees
from pydgm.distributions import Normal, StandardNormal, Uniform
from pydgm.divergences import normal_plane
from pydgm.models.adversarial import gan, wgan
from pydgm.models.latent import VAE, GaussianMixture, mixture, vae
from pydgm.testing import arrays, check_grads

GRID = np.linspace(-12.0, 12.0, 4001)


def random(seed: int = 0) -> dgm.random.Generator:
    return dgm.random.Generator(seed)


# Adversarial


@given(arrays((2,)), arrays((2,), 0.3, 2.0))
def test_value_at_the_optimal_discriminator(m, s) -> None:
    # formula: value-at-the-best, optimal-discriminator, jsd
    log_p, log_q = Normal(m[0], s[0]).log_prob(GRID), Normal(m[1], s[1]).log_prob(GRID)
    best = gan.value_quadrature(gan.optimal_logit(log_p, log_q), log_p, log_q, GRID)
    assert float(best) == pytest.approx(2 * float(div.js_quadrature(log_p, log_q, GRID)) - math.log(4), abs=1e-6)
    for other in (0.0 * GRID, log_p - log_q + 0.1, 0.9 * (log_p - log_q)):
        assert float(gan.value_quadrature(other, log_p, log_q, GRID)) <= float(best) + 1e-12
    D = gan.optimal_discriminator(log_p, log_q)
    p, q = np.exp(log_p), np.exp(log_q)
    some = p + q > 1e-200
    np.testing.assert_allclose(D[some], (p / (p + q))[some], rtol=1e-9)


def test_value_where_a_density_is_zero() -> None:
    x = np.linspace(-3.0, 5.0, 4001)
    log_p, log_q = Uniform(0.0, 1.0).log_prob(x), Uniform(0.5, 2.0).log_prob(x)
    with np.errstate(divide="ignore", invalid="ignore"):  # log 0, and inf - inf where both are 0
        best = gan.value_quadrature(gan.optimal_logit(log_p, log_q), log_p, log_q, x)
        js = div.js_quadrature(log_p, log_q, x)
    assert float(best) == pytest.approx(2 * float(js) - math.log(4), abs=5e-3)  # the densities jump


def test_gan_losses_are_the_lectures() -> None:
    # formula: gan-value, discriminator-step, generator-step, critic
    rng = np.random.default_rng(0)
    real, fake, w = rng.standard_normal((50, 2)), rng.standard_normal((50, 2)), rng.standard_normal((2, 1))

    def d(x):
        return x @ w

    D = 1 / (1 + np.exp(-d(real))), 1 / (1 + np.exp(-d(fake)))

    class Fixed:
        def sample(self, rng, n):
            return fake[:n]

    models, noise = {"D": d, "critic": d, "G": Fixed()}, random()
    assert float(gan.discriminator_loss(models, real, noise)) == pytest.approx(-(np.log(D[0]).mean() + np.log(1 - D[1]).mean()))
    assert float(gan.saturating_generator_loss(models, real, noise)) == pytest.approx(np.log(1 - D[1]).mean())
    assert float(gan.generator_loss(models, real, noise)) == pytest.approx(-np.log(D[1]).mean())
    assert float(wgan.critic_loss(models, real, noise)) == pytest.approx((d(fake) - d(real)).mean())
    penalty = wgan.gradient_penalty(d, real, fake, random())
    assert float(wgan.penalized_critic_loss(models, real, random())) == pytest.approx(
        (d(fake) - d(real)).mean() + 10.0 * penalty
    )
    assert float(wgan.generator_loss(models, real, noise)) == pytest.approx(-d(fake).mean())


def test_gradient_penalty_of_a_linear_critic() -> None:
    # formula: gradient-penalty
    """f(x) = w . x has gradient w everywhere: the penalty is (|w| - 1)^2, and its gradient is known."""
    w = np.array([[3.0], [4.0]])
    x = np.random.default_rng(0).standard_normal((2, 20, 2))
    penalty, slope = dgm.value_and_grad(lambda w: wgan.gradient_penalty(lambda x: x @ w, x[0], x[1], random()))(w)
    assert penalty == pytest.approx(16.0)
    np.testing.assert_allclose(slope, 2 * (5 - 1) * w / 5)
    with pytest.raises(errors.ShapeError, match="gradient_penalty"):
        wgan.gradient_penalty(lambda x: x @ w, x[0][:1], x[1], random())


def test_gradient_penalty_takes_the_norm_over_each_example() -> None:
    """Two images of shape (1, 2, 2): a norm over the batch axis, a well-known mistake, would give another number."""
    w = np.array([[[1.0, 2.0], [2.0, 0.0]]])
    real, fake = np.zeros((2, 1, 2, 2)), np.ones((2, 1, 2, 2))
    scale = np.array([1.0, 2.0]).reshape(2, 1, 1, 1)
    result = wgan.gradient_penalty(lambda x: dgm.sum(scale * x * w, axis=(1, 2, 3)), real, fake, random())
    assert float(result) == pytest.approx(((3 - 1) ** 2 + (6 - 1) ** 2) / 2)


def test_gradient_penalty_has_the_right_gradient() -> None:
    critic = nn.double(nn.MLP.init(random(), [2, 5, 1], dgm.tanh))
    x = np.random.default_rng(0).standard_normal((2, 6, 2))
    check_grads(lambda c: wgan.gradient_penalty(c, x[0], x[1], random(1)), [critic], order=1)


def test_clipping_clips_every_weight_and_only_those_outside() -> None:
    critic = nn.MLP.init(random(), [2, 5, 1])
    clipped = wgan.clip_weights(critic, 0.3)
    for w, c in zip(trees.leaves(critic), trees.leaves(clipped), strict=True):
        np.testing.assert_array_equal(c, np.clip(w, -0.3, 0.3))


# Latent


def small_vae() -> tuple[VAE, np.ndarray]:
    """Few pixels and a small network, in float64: everything can be integrated on a grid."""
    model = nn.double(VAE.init(random(1), pixels=6, hidden=(5,), latent=2, activation=dgm.tanh))
    return model, (np.random.default_rng(0).random((4, 6)) < 0.5).astype("float64")


def test_elbo_plus_kl_to_the_posterior_is_log_p() -> None:
    # formula: elbo, gap
    """log p(x) = ELBO + KL(q || p(z | x)): both sides by quadrature, each in its own way."""
    model, x = small_vae()
    nodes, weights = normal_plane(200, reach=8.0)
    log_p = vae.quadrature(model, x, cells=400, reach=8.0).log_prob
    bound = vae.elbo_quadrature(model, x, nodes, weights)
    q = model.posterior(x)
    z = q.base.loc + q.base.scale * nodes[:, None]
    log_posterior = model.decode(z).log_prob(x) + StandardNormal(2).log_prob(z) - log_p
    to_posterior = weights @ (q.log_prob(z) - log_posterior)
    assert (to_posterior > 0).all()
    np.testing.assert_allclose(bound + to_posterior, log_p, atol=1e-5)


def test_encoder_and_decoder() -> None:
    # formula: encoder, decoder
    model, x = small_vae()
    mu, log_sigma = np.split(np.asarray(model.encoder(x)), 2, axis=1)
    q, z = model.posterior(x).base, np.random.default_rng(1).standard_normal((4, 2))
    np.testing.assert_allclose(q.loc, mu)
    np.testing.assert_allclose(q.scale, np.exp(log_sigma))
    white = 1.0 / (1.0 + np.exp(-np.asarray(model.decoder(z))))
    np.testing.assert_allclose(model.decode(z).log_prob(x), np.log(np.where(x == 1.0, white, 1.0 - white)).sum(axis=1))
    np.testing.assert_allclose(model.prior.log_prob(z), -0.5 * (z**2).sum(axis=1) - math.log(2.0 * math.pi))


def test_the_elbo_is_unbiased_and_below() -> None:
    # formula: elbo, jensen
    model, x = small_vae()
    drawn = np.stack([vae.elbo(model, x, random(seed)) for seed in range(2000)])
    exact = vae.elbo_quadrature(model, x, *normal_plane(100, reach=8.0))
    np.testing.assert_array_less(abs(drawn.mean(axis=0) - exact), 5 * drawn.std(axis=0) / np.sqrt(2000))
    assert (exact < vae.quadrature(model, x, 300).log_prob).all()


def test_each_image_has_a_noise_of_its_own() -> None:
    """The same image twice: its two bounds have nothing to do with each other."""
    model, x = small_vae()
    drawn = np.stack([vae.elbo(model, dgm.concat([x[:1], x[:1]]), random(seed)) for seed in range(300)])
    assert abs(np.corrcoef(drawn.T)[0, 1]) < 0.25  # by chance 0 +- 0.06


def test_importance_sampling_comes_from_below_to_the_truth() -> None:
    # formula: importance-identity, importance-weighted, elbo-entropy
    """With a q that covers the posterior: N(0, 1.2^2), wider than the prior."""
    model, x = small_vae()
    last = dataclasses.replace(model.encoder.layers[-1], weight=np.zeros((5, 4)), bias=np.log([1, 1, 1.2, 1.2]))
    model = dataclasses.replace(model, encoder=dataclasses.replace(model.encoder, layers=(*model.encoder.layers[:-1], last)))
    truth = vae.quadrature(model, x, 400).log_prob
    one = np.mean([vae.log_prob_importance(model, x, 1, random(s)) for s in range(500)], axis=0)
    many = vae.log_prob_importance(model, x, 20_000, random())
    assert (one < truth).all()
    np.testing.assert_allclose(many, truth, atol=0.02)
    together = vae.log_prob_importance(model, x, 500, random(), chunk=500)
    assert vae.log_prob_importance(model, x, 500, random(), chunk=100).shape == together.shape


def test_probabilities_of_all_images_sum_to_one() -> None:
    # formula: marginal-likelihood
    model, _ = small_vae()
    every = ((np.arange(64)[:, None] >> np.arange(6)) & 1).astype("float64")
    assert np.exp(vae.quadrature(model, every, 300).log_prob).sum() == pytest.approx(1.0, abs=1e-6)


def test_the_gradient_of_the_elbo() -> None:
    # formula: decoder-gradient
    model, x = small_vae()
    check_grads(lambda m: dgm.mean(vae.elbo(m, x, random())), [model], order=1)


# Mixtures


def test_em_never_lowers_the_likelihood_and_finds_planted_gaussians() -> None:
    rng = random(3)
    planted = np.array([[-3.0, 0.0], [3.0, 0.0], [0.0, 4.0]])
    x = np.concatenate(
        [centre + 0.5 * rng.normal((n, 2), "float64") for centre, n in zip(planted, (100, 200, 300), strict=True)]
    )
    model, likelihoods = GaussianMixture.init(rng, x, 3), []
    for _ in range(60):
        model, likelihood = mixture.em(model, x)
        likelihoods.append(float(likelihood))
    assert np.diff(likelihoods).min() >= -1e-9
    weights, order = np.exp(model.logits) / np.exp(model.logits).sum(), np.argsort(np.exp(model.logits))
    np.testing.assert_allclose(model.components.loc[order], planted, atol=0.2)
    np.testing.assert_allclose(weights[order], [1 / 6, 2 / 6, 3 / 6], atol=0.02)


@given(st.integers(0, 1000), st.integers(1, 4))
def test_a_mixtures_density(seed, K) -> None:
    from scipy.stats import multivariate_normal

    rng = np.random.default_rng(seed)
    x = rng.standard_normal((30, 2)) @ rng.standard_normal((2, 2)) + 1.0
    model, _ = mixture.em(GaussianMixture.init(random(seed), x, K), x, floor=0.1)
    weights = np.exp(model.logits) / np.exp(model.logits).sum()
    parts = [
        w * multivariate_normal(m, L @ L.T).pdf(x)
        for w, m, L in zip(weights, model.components.loc, model.components.L, strict=True)
    ]
    np.testing.assert_allclose(model.log_prob(x), np.log(np.sum(parts, axis=0)), rtol=1e-6, atol=1e-8)
    check_grads(lambda m, x: dgm.sum(m.log_prob(x)), [model, x], order=1, rtol=1e-4)


def test_one_gaussian_is_found_in_one_step() -> None:
    x = np.random.default_rng(0).standard_normal((50, 3))
    model, _ = mixture.em(GaussianMixture.init(random(), x, 1), x, floor=0.0)
    np.testing.assert_allclose(model.components.loc[0], x.mean(axis=0), atol=1e-9)
    np.testing.assert_allclose(model.components.L[0] @ model.components.L[0].T, np.cov(x.T, bias=True), atol=1e-9)
    with pytest.raises(ValueError, match="60 components from 50 points"):
        GaussianMixture.init(random(), x, 60)


def test_pictures_are_the_chances_of_white_pixels() -> None:
    """A sigmoid that is sigma(2x) looks sharper, and is wrong."""
    model, x = small_vae()
    z = np.array([[0.3, -1.0], [0.0, 2.0]])
    np.testing.assert_allclose(model.generate(z), model.decode(z).base.probs)
    np.testing.assert_allclose(model.reconstruct(x), model.decode(model.posterior(x).base.loc).base.probs)
    pictures = vae.manifold(model, 3)
    assert pictures.shape == (9, 6)
    np.testing.assert_allclose(pictures[4], model.generate(np.zeros((1, 2)))[0])
    low = scipy.stats.norm.ppf(1 / 6)
    np.testing.assert_allclose(pictures[0], model.generate(np.array([[low, -low]]))[0], rtol=1e-5)  # z_2 points up


def test_the_gap_and_the_mode_of_the_posterior() -> None:
    # formula: gap, marginal-likelihood
    model, x = small_vae()
    exact = vae.quadrature(model, x, 400)
    bound = vae.elbo_quadrature(model, x, *normal_plane(200, reach=8.0))
    np.testing.assert_allclose(bound + exact.gap, exact.log_prob, atol=1e-4)
    assert (exact.gap > 0).all()
    joint = lambda z: model.decode(z).log_prob(x) + model.prior.log_prob(z)  # noqa: E731
    assert (joint(exact.mode) > joint(exact.mode + 0.05)).all()
    assert (joint(exact.mode) > joint(model.posterior(x).base.loc) - 1e-9).all()


def test_the_published_schedule() -> None:
    """Burda et al.: 3^i passes at 0.001 * 10^(-i / 7), 3280 in all."""
    rate, passes = vae.burda_schedule(10)
    assert passes == 3280
    for first, i in ((0, 0), (10, 1), (40, 2), (130, 3)):
        assert float(rate(first)) == pytest.approx(1e-3 * 10 ** (-i / 7))


@pytest.mark.parametrize("seed", range(3))
def test_each_example_of_the_penalty_has_a_place_of_its_own(seed) -> None:
    """f(x) = x^2 / 2 between 0 and 2: E[(|f'| - 1)^2] at uniform places is 1/3. One place for the whole batch misses it."""
    real, fake = np.zeros((20_000, 1)), np.full((20_000, 1), 2.0)
    penalty = wgan.gradient_penalty(lambda x: 0.5 * x * x, real, fake, random(seed))
    assert float(penalty) == pytest.approx(1 / 3, abs=0.01)


def test_what_a_loss_tells_each_sample() -> None:
    x, w = np.linspace(-2.0, 2.0, 5)[:, None], np.array([[3.0]])
    told = gan.sample_gradient(wgan.generator_loss, {"critic": lambda x: x @ w}, x)
    np.testing.assert_allclose(told, -3.0 * np.ones((5, 1)))
    told = gan.sample_gradient(gan.generator_loss, {"D": lambda x: x @ w}, x)
    np.testing.assert_allclose(told, -3.0 / (1.0 + np.exp(3.0 * x)))


def test_em_to_its_end() -> None:
    x = random(3).normal((200, 2), "float64")
    model, likelihoods = mixture.fit(GaussianMixture.init(random(), x, 2), x, 30)
    assert len(likelihoods) == 30
    assert np.diff(likelihoods).min() >= -1e-9
    once, first = mixture.em(GaussianMixture.init(random(), x, 2), x)
    assert first == pytest.approx(likelihoods[0])
    assert mixture.em(once, x)[1] == pytest.approx(likelihoods[1])
    assert float(dgm.mean(model.log_prob(x))) >= likelihoods[-1]
