r"""The mixture of Gaussians: a latent variable with K values, and EM to learn it.

    p(x) = sum_k pi_k N(x; mu_k, Sigma_k),        r_nk = P(k | x_n)

E: the responsibilities r. M: pi, mu, Sigma as weighted means over the data. The likelihood never falls (Dempster, Laird and
Rubin 1977; lecture L2, "Generative process" and "Combining simple models into more expressive ones"), up to what the floor
under the variances costs: a thousandth of a nat where a component has one point or two.
"""

from __future__ import annotations

import math

from ... import checks
from ...autodiff import (
    cholesky,
    diagonal,
    exp,
    expand_dims,
    log,
    log_softmax,
    logsumexp,
    matrix_transpose,
    mean,
    reshape,
    solve,
    square,
    sum,
    var,
)
from ...backend import Array, eye, zeros
from ...nn import Module
from ...random import Generator


class GaussianMixture(Module):
    """``logits`` of pi, means mu, and Sigma = L L' with L lower triangular."""

    logits: Array  # (K,)
    means: Array  # (K, d)
    L: Array  # (K, d, d)

    @classmethod
    def init(cls, rng: Generator, x: Array, K: int) -> GaussianMixture:
        """mu_k are rows of ``x`` (n, d), different ones; every Sigma is the covariance of the rows, divided by K^(2/d)."""
        n, d = x.shape
        if not 0 < K <= n:
            raise ValueError(f"GaussianMixture.init: {K} components from {n} points: wanted between 1 and {n}")
        away = x - mean(x, axis=0)
        covariance = matrix_transpose(away) @ away / (n * K ** (2.0 / d))
        return cls(zeros((K,), x), x[rng.permutation(n)[:K], ...], cholesky(covariance) + zeros((K, 1, 1), x))

    def log_joint(self, x: Array) -> Array:
        """log pi_k + log N(x_n; mu_k, Sigma_k): (n, d) -> (n, K)."""
        checks.width(x, self.means.shape[1], "GaussianMixture: points")
        away = matrix_transpose(expand_dims(x, axis=0) - expand_dims(self.means, axis=1))  # (K, d, n)
        squares = sum(square(solve(self.L, away)), axis=1)
        log_det = sum(log(diagonal(self.L)), axis=-1)
        constant = log_softmax(self.logits) - log_det - 0.5 * x.shape[-1] * math.log(2.0 * math.pi)
        return matrix_transpose(-0.5 * squares) + constant

    def log_prob(self, x: Array) -> Array:
        """log p(x): (n, d) -> (n,), in nats."""
        return logsumexp(self.log_joint(x), axis=-1)


def em(model: GaussianMixture, x: Array, floor: float = 1e-5) -> tuple[GaussianMixture, Array]:
    """One step of expectation and maximisation. Returns the new model, and mean log p(x) of the one before, in nats.

    ``floor``, as a share of the data's variance, is added to the variances, so that no component collapses on a point.
    """
    joint = model.log_joint(x)  # E
    log_p = logsumexp(joint, axis=1, keepdims=True)
    r = exp(joint - log_p)
    n = sum(r, axis=0) + 1e-10  # M
    means = matrix_transpose(r) @ x / expand_dims(n, axis=1)
    away = expand_dims(x, axis=0) - expand_dims(means, axis=1)  # (K, n, d)
    scatter = matrix_transpose(away * expand_dims(matrix_transpose(r), axis=2)) @ away
    covariance = scatter / reshape(n, (-1, 1, 1)) + floor * mean(var(x, axis=0)) * eye(x.shape[1], x)
    return GaussianMixture(log(n), means, cholesky(covariance)), mean(log_p)
