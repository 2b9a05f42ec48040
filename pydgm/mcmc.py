r"""Markov chains: samplers for densities without their Z, and annealed importance sampling, which estimates that Z.

A *path* leads from a distribution that is known to one that is not: p_beta(x) = exp(-energy(x, beta)) / Z_beta for beta from
0 to 1. It has ``energy(x, beta)`` (n,), ``log_z``, which is log Z_0, ``sample(rng, n)`` from p_0, and ``move(rng, x, beta)``,
a step of a chain that leaves p_beta as it is. :meth:`pydgm.models.energy.RBM.tempered` is one; :class:`Annealed` makes one
from any energy.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy

from .autodiff import exp, expand_dims, grad, square, stop_gradient, sum, where
from .backend import Array, to_float, to_numpy, zeros
from .compile import compile
from .errors import ShapeError, shape_text
from .metrics import Likelihood
from .nn import Module
from .random import Generator

LogProb = Callable[[Array], Array]  # (n, d) -> (n,), up to a constant
Move = Callable[[Generator, Array, LogProb], Array]


def metropolis(scale: float) -> Move:
    """A step to x + scale * N(0, I), taken with probability min(1, p(x') / p(x)) (Metropolis et al. 1953).

    Points are rows, (n, d). Where log p is NaN or -inf no chain goes.
    """

    def move(rng: Generator, x: Array, log_prob: LogProb) -> Array:
        proposed = x + scale * rng.normal(x.shape, _dtype(x))
        return _accepted(rng, x, proposed, _density(log_prob, proposed) - _density(log_prob, x))

    return move


def langevin(size: float) -> Move:
    """A step along the gradient, x' = x + (size^2 / 2) grad log p(x) + size * N(0, I), accepted by Metropolis's rule.

    Roberts and Tweedie 1996 ("MALA"): it proposes better than :func:`metropolis` in many dimensions.
    """

    def move(rng: Generator, x: Array, log_prob: LogProb) -> Array:
        return hmc(size, 1)(rng, x, log_prob)  # one leap of Hamilton's equations is this step

    return move


def hmc(size: float, leaps: int) -> Move:
    """Hamiltonian Monte Carlo: ``leaps`` leapfrog steps of ``size`` with fresh momentum (Duane et al. 1987; Neal 2011)."""

    def move(rng: Generator, x: Array, log_prob: LogProb) -> Array:
        at_start = _density(log_prob, x)
        slope = grad(lambda x: sum(log_prob(x)))
        momentum = rng.normal(x.shape, _dtype(x))
        q, p = x, momentum + 0.5 * size * slope(x)
        for leap in range(leaps):
            q = q + size * p
            p = p + (size if leap < leaps - 1 else 0.5 * size) * slope(q)
        at_end = _density(log_prob, q)
        kinetic = 0.5 * (sum(square(momentum), axis=-1) - sum(square(p), axis=-1))
        return _accepted(rng, x, q, at_end - at_start + kinetic)

    return move


def _dtype(x: Array) -> str:
    return "float64" if "64" in str(x.dtype) else "float32"


def _density(log_prob: LogProb, x: Array) -> Array:
    """log p at the points, or an energy: one number for each."""
    value = log_prob(x)
    if x.ndim < 2 or tuple(getattr(value, "shape", ())) != tuple(x.shape[:-1]):
        raise ShapeError(
            f"a chain moves points in rows, (n, d), and needs a log density for each, {tuple(x.shape[:-1])}; of "
            f"{shape_text(x)} it got {shape_text(value)}"
        )
    return value


def _accepted(rng: Generator, x: Array, proposed: Array, log_ratio: Array) -> Array:
    # NaN, where the density is not defined, is never taken: it is below no number
    taken = rng.uniform(log_ratio.shape, _dtype(x)) < exp(where(log_ratio > 0.0, 0.0, log_ratio))
    return stop_gradient(where(expand_dims(taken, axis=-1), proposed, x))


def walk(move: Callable[[Generator, Array], Array], rng: Generator, x: Array, steps: int) -> Array:
    """Where chains are that begin at ``x`` and make ``steps`` steps of ``move(rng, x)``; the step is compiled."""
    step = compile(lambda x: move(rng, x))
    for _ in range(steps):
        x = step(x)
    return x


class Annealed(Module):
    """p_beta(x) ~ p_0(x)^(1 - beta) exp(-beta U(x)) for a distribution p_0 and any energy U; chains make steps of
    ``kernel``."""

    base: Any
    U: Callable[[Array], Array]
    kernel: Move

    @property
    def log_z(self) -> float:
        """0: the base is normalised."""
        return 0.0

    def sample(self, rng: Generator, n: int) -> Array:
        """n draws of the base."""
        return self.base.sample(rng, n)

    def energy(self, x: Array, beta: float) -> Array:
        """-(1 - beta) log p_0(x) + beta U(x)."""
        return beta * _density(self.U, x) - (1.0 - beta) * self.base.log_prob(x)

    def move(self, rng: Generator, x: Array, beta: float) -> Array:
        """A step of the kernel."""
        return self.kernel(rng, x, lambda x: -self.energy(x, beta))


def ais(model: Any, rng: Generator, chains: int = 100, temperatures: int = 1000, base: Any = None) -> Likelihood:
    """log Z of a model by annealed importance sampling (Neal 2001; Salakhutdinov and Murray 2008), in nats.

    ``model`` is a path, or has one: ``model.tempered(base)``. Chains walk along it from p_0, and on each step the weight of a
    chain grows by p_next(x) / p_now(x): their mean estimates Z without bias, so log Z on average is too low. ``low`` to
    ``high`` is +- 3 standard errors of the mean weight. Half of the temperatures lie in the last tenth of the way.
    """
    if chains < 2 or temperatures < 2:
        raise ValueError(f"ais: {chains} chains over {temperatures} temperatures: wanted at least 2 of each")
    path = model if hasattr(model, "move") else model.tempered() if base is None else model.tempered(base)
    late = temperatures // 2
    early = numpy.linspace(0.0, 0.9, temperatures - late, endpoint=False)
    betas = numpy.concatenate([early, numpy.linspace(0.9, 1.0, late + 1)])

    def step(path: Any, x: Array, log_w: Array, now: float, following: float) -> tuple[Array, Array]:
        log_w = log_w + (path.energy(x, now) - path.energy(x, following))
        return path.move(rng, x, following), log_w

    compiled = compile(step, donate=(1, 2))
    x = path.sample(rng, chains)
    energies = path.energy(x, 0.0)
    if tuple(energies.shape) != (chains,):
        raise ShapeError(f"ais: the energies of {chains} chains are ({chains},), not {tuple(energies.shape)}")
    log_w = zeros((chains,), x)
    for now, following in zip(betas[:-1].tolist(), betas[1:].tolist(), strict=True):
        x, log_w = compiled(path, x, log_w, now, following)
    log_weights = to_numpy(log_w).astype("float64") + to_float(path.log_z)
    top = float(log_weights.max())
    w = numpy.exp(log_weights - top)
    middle, error = float(w.mean()), 3.0 * float(w.std(ddof=1)) / math.sqrt(chains)
    low = top + math.log(middle - error) if middle > error else -math.inf
    return Likelihood(top + math.log(middle), low, top + math.log(middle + error), "estimate")
