r"""Probabilistic principal component analysis: the latent variable model with a straight line in the place of a network.

    z ~ N(0, I),   x | z ~ N(W z + mu, sigma^2 I)      so      x ~ N(mu, W W' + sigma^2 I)

Everything about it is known: the best W and sigma (Tipping and Bishop 1999), log p(x), and the posterior. A VAE without hidden
layers is the same model with a guessed posterior, and a place to see whether its bound keeps what it promises (Lucas, Tucker,
Grosse and Norouzi 2019; lecture L2, "Combining simple models into more expressive ones", with z a vector).
"""

from __future__ import annotations

import math

from ... import autodiff as ad
from ...backend import Array, eye, xp
from ...distributions import Independent, MultivariateNormal, Normal, StandardNormal
from ...distributions.base import as_floats
from ...errors import DomainError
from ...nn import Module


class PPCA(Module):
    """``loc`` mu (d,), ``W`` (d, q), ``sigma`` the standard deviation of the noise, a number."""

    loc: Array
    W: Array
    sigma: Array

    def log_prob(self, x: Array) -> Array:
        """log N(x; mu, W W' + sigma^2 I): (n, d) -> (n,), in nats. Only M = W' W + sigma^2 I, (q, q), is inverted."""
        # formula: marginal-likelihood
        d, q = self.W.shape
        away = as_floats(x) - self.loc
        L = ad.cholesky(self._precision)
        along = ad.solve(L, ad.matrix_transpose(away @ self.W))
        squares = (ad.sum(ad.square(away), axis=1) - ad.sum(ad.square(along), axis=0)) / ad.square(self.sigma)
        log_det = 2.0 * ad.sum(ad.log(ad.diagonal(L))) + 2.0 * (d - q) * ad.log(self.sigma)
        return -0.5 * (squares + log_det + d * math.log(2.0 * math.pi))

    def log_joint(self, x: Array, z: Array) -> Array:
        """log p(z) + log p(x | z) of pairs, in nats; (q,) or (d,) stand for all rows of the other."""
        given = Independent(Normal(z @ ad.matrix_transpose(self.W) + self.loc, self.sigma), 1)
        return StandardNormal(self.W.shape[1]).log_prob(z) + given.log_prob(x)

    def posterior(self, x: Array) -> MultivariateNormal:
        """p(z | x) = N(M^-1 W' (x - mu), sigma^2 M^-1): its covariance is the same for every x."""
        inverse = ad.inv(self._precision)
        covariance = ad.square(self.sigma) * inverse
        return MultivariateNormal((as_floats(x) - self.loc) @ self.W @ inverse, ad.cholesky(covariance))

    @property
    def _precision(self) -> Array:
        """M = W' W + sigma^2 I, (q, q): the posterior's precision times sigma^2."""
        return ad.matrix_transpose(self.W) @ self.W + ad.square(self.sigma) * eye(self.W.shape[1], self.W)


def eigenvalues(x: Array) -> tuple[Array, Array]:
    """Of the covariance of the rows of ``x`` (n, d), the largest first, (d,), and the principal axes in columns, (d, d)."""
    away = as_floats(x) - ad.mean(as_floats(x), axis=0)
    values, axes = xp.linalg.eigh(ad.matrix_transpose(away) @ away / x.shape[0])
    return xp.flip(values), xp.flip(axes, axis=1)


def fit(x: Array, q: int) -> PPCA:
    """The PPCA of greatest likelihood for the rows of ``x`` (n, d): W = U (Lambda - sigma^2 I)^(1/2), U the first q principal
    axes, Lambda their eigenvalues, and sigma^2 the mean of the other eigenvalues. W R is as good for any rotation R.
    """
    d = x.shape[1]
    if not 0 < q < d:
        raise DomainError(f"ppca.fit: {q} latent numbers for vectors of {d}: wanted between 1 and {d - 1}")
    values, axes = eigenvalues(x)
    variance = ad.mean(values[q:])
    W = axes[:, :q] * ad.sqrt(ad.maximum(values[:q] - variance, 0.0))
    return PPCA(ad.mean(as_floats(x), axis=0), W, ad.sqrt(variance))
