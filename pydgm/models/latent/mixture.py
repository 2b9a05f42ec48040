r"""The mixture of Gaussians: a latent variable with K values, and EM to learn it.

    p(x) = sum_k pi_k N(x; mu_k, Sigma_k),        r_nk = P(k | x_n)

E: the responsibilities r. M: pi, mu, Sigma as weighted means over the data. The likelihood never falls (Dempster, Laird and
Rubin 1977; lecture L2, "Generative process" and "Combining simple models into more expressive ones"), up to what the floor
under the variances costs: a thousandth of a nat where a component has one point or two.
"""

from __future__ import annotations

import math
from typing import Any

from ... import checks
from ...autodiff import (
    cholesky,
    diagonal,
    exp,
    expand_dims,
    log_softmax,
    logsumexp,
    matrix_transpose,
    maximum,
    mean,
    reshape,
    sqrt,
    square,
    sum,
    take,
    var,
)
from ...backend import Array, eye, zeros
from ...compile import compile
from ...distributions import Independent, Mixture, MultivariateNormal, Normal
from ...distributions.base import as_floats, log
from ...random import Generator


def _some_rows(rng: Generator, x: Array, K: int) -> Array:
    """K different rows of ``x``."""
    n = x.shape[0]
    if not 0 < K <= n:
        raise ValueError(f"init: {K} components from {n} points: wanted between 1 and {n}")
    return take(x, rng.permutation(n)[:K], axis=0)


class GaussianMixture(Mixture):
    """``logits`` of pi (K,), and as components K normal distributions: ``loc`` mu (K, d), ``L`` (K, d, d), Sigma = L L'."""

    components: MultivariateNormal

    @classmethod
    def init(cls, rng: Generator, x: Array, K: int) -> GaussianMixture:
        """mu_k are rows of ``x`` (n, d), different ones; every Sigma is the covariance of the rows, divided by K^(2/d)."""
        x = as_floats(x)
        n, d = x.shape
        away = x - mean(x, axis=0)
        covariance = matrix_transpose(away) @ away / (n * K ** (2.0 / d))
        loc, L = _some_rows(rng, x, K), cholesky(covariance) + zeros((K, 1, 1), x)
        return cls(zeros((K,), x), MultivariateNormal(loc, L))

    def maximize(self, x: Array, r: Array, floor: float = 1e-5) -> GaussianMixture:
        """The M-step, :func:`maximize`."""
        return maximize(x, r, floor=floor)


def em(model: Any, x: Array, **settings: float) -> tuple[Any, Array]:
    """One step of expectation and maximisation. Returns the new model, and the log-likelihood that the one before reached, in
    nats a point; it never falls.
    """
    joint = model.log_joint(x)
    bound = logsumexp(joint, axis=1, keepdims=True)
    return model.maximize(x, exp(joint - bound), **settings), mean(bound)


def fit(model: Any, x: Array, steps: int = 80) -> tuple[Any, list[float]]:
    """The model after ``steps`` steps of EM, compiled, and the log-likelihoods that it had before each, in nats a point."""
    step, likelihoods = compile(em), []
    for _ in range(steps):
        model, likelihood = step(model, x)
        likelihoods.append(float(likelihood))
    return model, likelihoods


def maximize(x: Array, r: Array, spherical: bool = False, floor: float = 1e-5) -> GaussianMixture:
    """The M-step: the mixture of greatest sum_nk r_nk log(pi_k N(x_n; mu_k, Sigma_k)), for weights ``r`` (n, K) of the points.

    From the responsibilities P(k | x_n) that is EM; constraints change them first (:mod:`pydgm.models.constraints.posterior`).
    ``spherical``: Sigma_k = sigma_k^2 I. ``floor``, as a share of the data's variance, is added to the variances, so that no
    component collapses on a point.
    """
    x = as_floats(x)
    n = sum(r, axis=0) + 1e-10
    # formula: m-step
    loc = matrix_transpose(r) @ x / expand_dims(n, axis=1)
    away = expand_dims(x, axis=0) - expand_dims(loc, axis=1)  # (K, n, d)
    scatter = matrix_transpose(away * expand_dims(matrix_transpose(r), axis=2)) @ away
    covariance, d = scatter / reshape(n, (-1, 1, 1)), x.shape[1]
    if spherical:
        covariance = reshape(sum(diagonal(covariance), axis=-1), (-1, 1, 1)) / d * eye(d, x)
    covariance = covariance + floor * mean(var(x, axis=0)) * eye(d, x)
    return GaussianMixture(log(n), MultivariateNormal(loc, cholesky(covariance)))


class SphericalMixture(Mixture):
    """Gaussians of one width for all directions and components, p(x) = sum_k pi_k N(x; mu_k, sigma^2 I): for points of many
    numbers, as images are. EM with sigma going to 0 is k-means."""

    @classmethod
    def init(cls, rng: Generator, x: Array, K: int) -> SphericalMixture:
        """mu_k are rows of ``x`` (n, d), different ones; sigma^2 is the mean variance of the columns."""
        x = as_floats(x)
        return cls(zeros((K,), x), _spheres(_some_rows(rng, x, K), sqrt(mean(var(x, axis=0)))))

    def log_joint(self, x: Array) -> Array:
        """log pi_k N(x; mu_k, sigma^2 I), (n, K): |x - mu|^2 = |x|^2 - 2 x . mu + |mu|^2 makes a matrix product of it."""
        centres, width = self.components.base.loc, self.components.base.scale
        d = centres.shape[1]
        checks.width(x, d, "a mixture's density: rows")
        middle = mean(centres, axis=0)  # near 0 the squares cancel least
        x, centres = as_floats(x) - middle, centres - middle
        squares = sum(square(x), axis=-1, keepdims=True) - 2.0 * x @ matrix_transpose(centres) + sum(square(centres), axis=-1)
        return log_softmax(self.logits) - 0.5 / width**2 * squares - d * (log(width) + 0.5 * math.log(2.0 * math.pi))

    def maximize(self, x: Array, r: Array, floor: float = 1e-5) -> SphericalMixture:
        """The M-step: mu_k are weighted means, sigma^2 is the mean squared distance of a coordinate from its mu, and at least
        the share ``floor`` of the data's variance: with a component for each point it would be 0.
        """
        x, (n, d) = as_floats(x), x.shape
        weights = sum(r, axis=0) + 1e-10
        # formula: m-step
        loc = matrix_transpose(r) @ x / expand_dims(weights, axis=1)
        # sum_nk r |x - mu_k|^2 = sum_n |x|^2 - sum_k weight_k |mu_k|^2, around the mean of all, where least cancels
        middle = mean(x, axis=0)
        left = sum(square(x - middle)) - sum(weights * sum(square(loc - middle), axis=1))
        return SphericalMixture(log(weights), _spheres(loc, sqrt(maximum(left / (n * d), floor * mean(var(x, axis=0))))))


def _spheres(loc: Array, width: Array | float) -> Independent:
    return Independent(Normal(loc, width), 1)


class KernelDensity(SphericalMixture):
    """A Gaussian of one width around each row of the data, all with the same weight (Parzen 1962)."""

    @classmethod
    def init(cls, x: Array, width: float) -> KernelDensity:  # type: ignore[override]
        """Of the rows of ``x`` (n, d)."""
        x = as_floats(x)
        return cls(zeros((x.shape[0],), x), _spheres(x, width))
