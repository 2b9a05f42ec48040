r"""Variational inference: the q of a family that is nearest to a posterior that cannot be written down.

    log p(x) = ELBO + KL(q(z) || p(z | x)),      ELBO = E_q[log p(x, z) - log q(z)]

Lecture L2, "The KL divergence" and "Variational lower bound"; L4, "Variational Bound". The families here are maps of noise,
z = f(eps), and so reparameterised: Gaussians with independent coordinates (the mean field) or with any covariance, and every
other flow (Rezende and Mohamed 2015). What is known of the model is ``log_joint(z)``, log p(x, z) of the x at hand:
(..., n, d) -> (..., n), in nats.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...autodiff import matrix_transpose, mean
from ...backend import Array, eye, zeros
from ...bijections import ActNorm, Triangular
from ...distributions import MultivariateNormal, Transformed
from ...errors import ArgumentError
from ...random import Generator
from ..flows.objectives import flow, free_energy

LogJoint = Callable[[Array], Array]


def mean_field(d: int) -> Transformed:
    """Gaussians whose ``d`` coordinates are independent, from N(0, I) on."""
    return flow([ActNorm.identity(d)], d)


def full_covariance(d: int) -> Transformed:
    """Gaussians of ``d`` coordinates with any covariance, from N(0, I) on."""
    return flow([Triangular.identity(d)], d)


def elbo(q: Transformed, log_joint: LogJoint, noise: Array) -> Array:
    """log p(x, z) - log q(z) at z = f(noise), (..., n, d) -> (..., n): the bound is its mean over noise from N(0, I).

    It is minus the free energy of the flow q with the energy -log p(x, z). Weighted means over the nodes of
    :func:`pydgm.divergences.normal_plane` are the bound without noise.
    """
    # formula: elbo-entropy
    return -free_energy(q, lambda z: -log_joint(z), noise)


def loss(log_joint: LogJoint, samples: int = 256) -> Callable[[Transformed, Any, Generator], Array]:
    """The loss -ELBO of :func:`pydgm.train.minimise`, by ``samples`` new draws from q at each step. It needs no batches."""

    def negative_elbo(q: Transformed, batch: Any, rng: Generator) -> Array:
        return -mean(elbo(q, log_joint, rng.normal((samples, *q.shape))))

    return negative_elbo


def gaussian(q: Transformed) -> MultivariateNormal:
    """The Gaussian that a linear map makes of N(0, I): its mean is f(0), and L has f's steps along the axes in columns."""
    if not all(isinstance(f, ActNorm | Triangular) for f in q.bijection.layers):
        names = ", ".join(type(f).__name__ for f in q.bijection.layers)
        raise ArgumentError(f"gaussian: wanted linear maps, ActNorm and Triangular, got {names}")
    axes = eye(q.shape[-1], q.bijection.layers[0].loc)
    loc = q.bijection.forward(zeros((1, q.shape[-1]), axes))
    return MultivariateNormal(loc[0, ...], matrix_transpose(q.bijection.forward(axes) - loc))
