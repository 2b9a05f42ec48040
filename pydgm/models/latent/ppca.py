r"""Probabilistic principal component analysis: the latent variable model with a linear map in the place of a network.

    z ~ N(0, I),   x | z ~ N(W z + mu, sigma^2 I)      so      x ~ N(mu, W W' + sigma^2 I)

Everything about it is known: the best W and sigma (Tipping and Bishop 1999), log p(x), and the posterior. A VAE without hidden
layers is the same model with a guessed posterior, and a place to see whether its bound keeps what it promises (Lucas, Tucker,
Grosse and Norouzi 2019; lecture L2, "Combining simple models into more expressive ones", with z a vector).
"""

from __future__ import annotations

import math

from ... import autodiff as ad
from ... import checks
from ...backend import Array, eye, xp, zeros
from ...distributions import Independent, MultivariateNormal, Normal, StandardNormal
from ...distributions.base import as_floats
from ...errors import DomainError, ShapeError, shape_text
from ...nn import MLP, Linear, Module
from .vae import GaussianVAE


class PPCA(Module):
    """``loc`` mu (d,), ``W`` (d, q), ``sigma`` the standard deviation of the noise, a number."""

    loc: Array
    W: Array
    sigma: Array

    def log_prob(self, x: Array) -> Array:
        """log N(x; mu, W W' + sigma^2 I): (n, d) -> (n,), in nats. Only M = W' W + sigma^2 I, (q, q), is inverted."""
        # formula: marginal-likelihood
        d, q = self.W.shape
        if getattr(x, "ndim", 0) != 2:
            raise ShapeError(f"PPCA.log_prob: wanted rows (n, {d}), got {shape_text(x)}")
        checks.width(x, d, "PPCA.log_prob: rows")
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
        checks.width(x, self.W.shape[0], "PPCA.posterior: rows")
        inverse = ad.inv(self._precision)
        covariance = ad.square(self.sigma) * inverse
        return MultivariateNormal((as_floats(x) - self.loc) @ self.W @ inverse, ad.cholesky(covariance))

    @property
    def _precision(self) -> Array:
        """M = W' W + sigma^2 I, (q, q): the posterior's precision times sigma^2."""
        return ad.matrix_transpose(self.W) @ self.W + ad.square(self.sigma) * eye(self.W.shape[1], self.W)


def as_vae(model: PPCA, width: float = 1.0) -> GaussianVAE:
    """The same p, with a linear encoder that guesses the posterior's mean, and deviations sigma / sqrt(M_ii) times ``width``.

    With width 1 no linear VAE with this p has a higher bound; it is log p(x) where the columns of W are orthogonal.
    """
    q, inverse = model.W.shape[1], ad.inv(model._precision)
    mean = model.W @ inverse
    log_scale = ad.log(width * model.sigma / ad.sqrt(ad.diagonal(model._precision)))
    weight = ad.concat([mean, zeros((model.W.shape[0], q), mean)], axis=1)
    encoder = Linear(weight, ad.concat([-(model.loc @ mean), log_scale]))
    decoder = Linear(ad.matrix_transpose(model.W), model.loc)
    return GaussianVAE(MLP((encoder,)), MLP((decoder,)), ad.log(model.sigma))


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
    if not float(variance) > 1e-6 * float(values[0]):
        raise DomainError(f"ppca.fit: the rows lie in {q} dimensions, with no noise around them: more rows, or a smaller q")
    W = axes[:, :q] * ad.sqrt(ad.maximum(values[:q] - variance, 0.0))
    return PPCA(ad.mean(as_floats(x), axis=0), W, ad.sqrt(variance))
