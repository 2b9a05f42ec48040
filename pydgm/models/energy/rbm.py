r"""The restricted Boltzmann machine: binary visible units v, binary hidden units h, and a bond between each two.

    P(v, h) = exp(v' W h + b' v + a' h) / Z,      Z = sum over all v and h                 (lecture L4, the first slide)
    P(h_j = 1 | v) = sigma(a_j + sum_i v_i W_ij),  P(v_i = 1 | h) = sigma(b_i + sum_j W_ij h_j)

(The slide has a stray v_i inside the second sigmoid.) Hidden units are summed out in closed form, which leaves the *free
energy* F: P(v) = exp(-F(v)) / Z. The derivative of the log-likelihood is a difference of two averages,

    dL / dW_ij = E_data[v_i h_j] - E_model[v_i h_j],

the second one over all states: :mod:`.contrastive` estimates it, and :func:`model_moments` counts it. All likelihoods are in
nats.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy

from ... import checks, trees
from ...autodiff import (
    add,
    astype,
    concat,
    exp,
    expand_dims,
    logsumexp,
    matrix_transpose,
    mean,
    sigmoid,
    softplus,
    square,
    sum,
)
from ...backend import Array, asarray, zeros
from ...distributions import Bernoulli
from ...mcmc import ais
from ...metrics import Likelihood
from ...nn import Module
from ...random import Generator

_LARGEST = 24  # units that are enumerated: 16 million states


class RBM(Module):
    """W (visible, hidden), b (visible,), a (hidden,), as in the lecture. States are rows of zeros and ones."""

    W: Array
    b: Array
    a: Array

    @classmethod
    def init(cls, rng: Generator, visible: int, hidden: int, data: Array | None = None, scale: float = 0.01) -> RBM:
        """W ~ N(0, scale^2), a = 0, and b = log(p / (1 - p)) for the mean p of each column of ``data``, 0 without it.

        So the visible units begin as likely as they are, and W need not learn it (Hinton, "A practical guide", 2010).
        """
        W = scale * rng.normal((visible, hidden))
        if data is None:
            return cls(W, zeros((visible,), W), zeros((hidden,), W))
        checks.rows(data, visible, "RBM.init: data")
        return cls(W, astype(Bernoulli.fit(data).logits, W.dtype), zeros((hidden,), W))

    @property
    def transposed(self) -> RBM:
        """The same machine with the layers in each other's place."""
        return RBM(matrix_transpose(self.W), self.a, self.b)

    def energy(self, v: Array, h: Array) -> Array:
        """-(v' W h + b' v + a' h): (..., visible) and (..., hidden) -> (...)."""
        checks.width(v, self.W.shape[0], "RBM: visible units")
        checks.width(h, self.W.shape[1], "RBM: hidden units")
        # formula: rbm-joint
        return -(sum((v @ self.W) * h, axis=-1) + v @ self.b + h @ self.a)

    def free_energy(self, v: Array) -> Array:
        """F(v) = -b' v - sum_j log(1 + exp(a_j + (v' W)_j)): (..., visible) -> (...)."""
        checks.width(v, self.W.shape[0], "RBM: visible units")
        checks.within(v, 0.0, 1.0, "RBM: binary visible units")
        # formula: rbm-marginal
        return -(v @ self.b) - sum(softplus(v @ self.W + self.a), axis=-1)

    def hidden(self, v: Array) -> Array:
        """P(h_j = 1 | v): (..., visible) -> (..., hidden)."""
        checks.width(v, self.W.shape[0], "RBM: visible units")
        # formula: rbm-conditional
        return sigmoid(v @ self.W + self.a)

    def visible(self, h: Array) -> Array:
        """P(v_i = 1 | h): (..., hidden) -> (..., visible)."""
        checks.width(h, self.W.shape[1], "RBM: hidden units")
        # formula: rbm-conditional, digit-of-features
        return sigmoid(h @ matrix_transpose(self.W) + self.b)

    def gibbs(self, rng: Any, v: Array, steps: int) -> Array:
        """``steps`` times h ~ P(h | v), then v ~ P(v | h): all of a layer at once."""
        for _ in range(steps):
            v = rng.bernoulli(self.visible(rng.bernoulli(self.hidden(v))))
        return v

    def log_prob(self, v: Array, log_z: Array) -> Array:
        """log P(v) = -F(v) - log Z, with log Z from :func:`log_partition` or :func:`pydgm.mcmc.ais`."""
        # formula: rbm-likelihood
        return -self.free_energy(v) - log_z

    def likelihood(self, v: Array, rng: Generator, base: Array | None = None) -> Likelihood:
        """-F(v) - log Z of the rows of ``v`` on average; log Z by :func:`pydgm.mcmc.ais`: 500 chains, 5000 temperatures."""
        log_z, free_energy = ais(self, rng, 500, 5000, base), float(mean(self.free_energy(v)))
        return Likelihood(-free_energy - log_z.nats, -free_energy - log_z.high, -free_energy - log_z.low, "estimate")

    def tempered(self, base: Array | None = None) -> TemperedRBM:
        """The machines between one without bonds, with visible biases ``base`` (default b), and this one."""
        return TemperedRBM(self, self.b if base is None else base)


class TemperedRBM(Module):
    """p_beta(v) ~ exp((1 - beta) base' v + beta b' v) prod_j (1 + exp(beta (a_j + (v' W)_j))), from beta = 0 to beta = 1.

    At 0 all units are independent, and log Z is known (Salakhutdinov and Murray 2008).
    """

    model: RBM
    base: Array  # (visible,)

    @property
    def log_z(self) -> Array:
        """log Z at beta = 0."""
        return sum(softplus(self.base)) + self.model.W.shape[1] * math.log(2.0)

    def sample(self, rng: Generator, n: int) -> Array:
        """(n, visible) draws at beta = 0."""
        return rng.bernoulli(sigmoid(self.base + zeros((n, self.base.shape[0]), self.base)))

    def energy(self, v: Array, beta: float) -> Array:
        """-log of the above: (n, visible) -> (n,)."""
        bias = self.base + beta * (self.model.b - self.base)
        return -(v @ bias) - sum(softplus(beta * (v @ self.model.W + self.model.a)), axis=1)

    def move(self, rng: Generator, v: Array, beta: float) -> Array:
        """One step of Gibbs sampling, which leaves p_beta as it is."""
        h = rng.bernoulli(sigmoid(beta * (v @ self.model.W + self.model.a)))
        bonds = beta * (h @ matrix_transpose(self.model.W) + self.model.b)
        return rng.bernoulli(sigmoid(bonds + (1.0 - beta) * self.base))


class Moments(NamedTuple):
    """E[v h'], E[v] and E[h]: minus these, the derivatives of the free energy in W, b and a."""

    vh: Array  # (visible, hidden)
    v: Array  # (visible,)
    h: Array  # (hidden,)


def moments(model: RBM, v: Array, weights: Array | None = None) -> Moments:
    """E[v h'], E[v], E[h] for h ~ P(h | v) and the rows of ``v``, equally likely or with ``weights``."""
    p = model.hidden(v)
    if weights is None:
        p = p * (1.0 / v.shape[0])
        # formula: rbm-gradient
        return Moments(matrix_transpose(v) @ p, mean(v, axis=0), sum(p, axis=0))
    p = p * expand_dims(weights, axis=1)
    return Moments(matrix_transpose(v) @ p, weights @ v, sum(p, axis=0))


def sparsity(model: RBM, v: Array, target: float = 0.05) -> Array:
    """sum_j (mean_n P(h_j = 1 | v_n) - target)^2 / 2: hidden units that are seldom on (Lee, Ekanadham and Ng 2008)."""
    return 0.5 * sum(square(mean(model.hidden(v), axis=0) - target))


# Exactly, where one layer is small


def _states(n: int, chunk: int = 4096) -> Iterator[Array]:
    """All 2^n rows of n bits, ``chunk`` at a time, in float32."""
    for start in range(0, 2**n, chunk):
        numbers = numpy.arange(start, min(start + chunk, 2**n))
        yield asarray(((numbers[:, None] >> numpy.arange(n)) & 1).astype("float32"))


def _small_on_top(model: RBM) -> tuple[RBM, bool]:
    """The machine with its smaller layer as the visible one, and whether the layers changed places."""
    visible, hidden = model.W.shape
    if min(visible, hidden) > _LARGEST:
        raise ValueError(
            f"an RBM of {visible} x {hidden} units has too many states to count: enumeration takes a layer of at most "
            f"{_LARGEST} units; estimate with mcmc.ais"
        )
    return (model, False) if visible <= hidden else (model.transposed, True)


def log_partition(model: RBM) -> Array:
    """log Z, exactly: the states of the smaller layer are enumerated, the other is summed out. Differentiable.

    Raises ``ValueError`` where both layers have more than 24 units.
    """
    small, _ = _small_on_top(model)
    parts = [logsumexp(-small.free_energy(s), keepdims=True) for s in _states(small.W.shape[0])]
    return logsumexp(concat(parts))


def model_moments(model: RBM) -> Moments:
    """E_model of v h', v and h, exactly, by the same enumeration."""
    small, changed = _small_on_top(model)
    log_z, parts = log_partition(model), []
    for s in _states(small.W.shape[0]):
        parts.append(moments(small, s, exp(-small.free_energy(s) - log_z)))
    all_states: Moments = trees.map(lambda *terms: functools.reduce(add, terms), *parts)
    return Moments(matrix_transpose(all_states.vh), all_states.h, all_states.v) if changed else all_states


def pseudo_log_likelihood(model: RBM, v: Array) -> Array:
    """sum_i log P(v_i | all other v), a likelihood that needs no Z: (n, visible) -> (n,) (Besag 1975)."""
    x = v @ model.W + model.a
    without = sum(softplus(x), axis=1)
    total = zeros((v.shape[0],), x)
    for i in range(v.shape[1]):
        turn = 1.0 - 2.0 * v[:, i]  # what flipping v_i adds to it
        gain = turn * model.b[i] + sum(softplus(x + expand_dims(turn, axis=1) * model.W[i, ...]), axis=1) - without
        total = total - softplus(gain)
    return total


def reconstruction_error(model: RBM, rng: Generator, v: Array) -> Array:
    """The mean number of pixels that one step of the chain changes: often watched in training, and no likelihood."""
    return mean(sum((v - model.gibbs(rng, v, 1)) ** 2, axis=-1))
