r"""The restricted Boltzmann machine: binary visible units v, binary hidden units h, and a bond between each two.

    P(v, h) = exp(v' W h + b' v + a' h) / Z,      Z = sum over all v and h                 (lecture L4, the first slide)
    P(h_j = 1 | v) = sigma(a_j + sum_i v_i W_ij),  P(v_i = 1 | h) = sigma(b_i + sum_j W_ij h_j)

(The slide has a stray v_i inside the second sigmoid.) Hidden units are summed out in closed form, which leaves the *free
energy* F: P(v) = exp(-F(v)) / Z. The derivative of the log-likelihood is a difference of two averages,

    dL / dW_ij = E_data[v_i h_j] - E_model[v_i h_j],

the second one over all states. Here it is taken exactly (few units), from chains started at the data (contrastive divergence,
CD-k: Hinton 2002), or from chains that go on from update to update (PCD: Tieleman 2008). All likelihoods are in nats.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy

from ... import checks, trees
from ...autodiff import (
    add,
    astype,
    concat,
    exp,
    expand_dims,
    log,
    logsumexp,
    matrix_transpose,
    mean,
    sigmoid,
    softplus,
    stop_gradient,
    sum,
)
from ...backend import Array, asarray, copy, is_array, to_numpy, xp, zeros
from ...compile import compile
from ...errors import ShapeError
from ...nn import Module
from ...optim import Optimizer, momentum
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
        p = (sum(astype(data, W.dtype), axis=0) + 1.0) / (data.shape[0] + 2.0)  # never 0 or 1
        return cls(W, log(p / (1.0 - p)), zeros((hidden,), W))

    @property
    def transposed(self) -> RBM:
        """The same machine with the layers in each other's place."""
        return RBM(matrix_transpose(self.W), self.a, self.b)

    def energy(self, v: Array, h: Array) -> Array:
        """-(v' W h + b' v + a' h): (..., visible) and (..., hidden) -> (...)."""
        checks.width(v, self.W.shape[0], "RBM: visible units")
        checks.width(h, self.W.shape[1], "RBM: hidden units")
        return -(sum((v @ self.W) * h, axis=-1) + v @ self.b + h @ self.a)

    def free_energy(self, v: Array) -> Array:
        """F(v) = -b' v - sum_j log(1 + exp(a_j + (v' W)_j)): (..., visible) -> (...)."""
        checks.width(v, self.W.shape[0], "RBM: visible units")
        return -(v @ self.b) - sum(softplus(v @ self.W + self.a), axis=-1)

    def hidden(self, v: Array) -> Array:
        """P(h_j = 1 | v): (..., visible) -> (..., hidden)."""
        checks.width(v, self.W.shape[0], "RBM: visible units")
        return sigmoid(v @ self.W + self.a)

    def visible(self, h: Array) -> Array:
        """P(v_i = 1 | h): (..., hidden) -> (..., visible)."""
        checks.width(h, self.W.shape[1], "RBM: hidden units")
        return sigmoid(h @ matrix_transpose(self.W) + self.b)

    def gibbs(self, rng: Any, v: Array, steps: int) -> Array:
        """``steps`` times h ~ P(h | v), then v ~ P(v | h): all of a layer at once."""
        for _ in range(steps):
            v = rng.bernoulli(self.visible(rng.bernoulli(self.hidden(v))))
        return v

    def log_prob(self, v: Array, log_z: Array) -> Array:
        """log P(v) = -F(v) - log Z, with log Z from :func:`log_partition` or :func:`ais`."""
        return -self.free_energy(v) - log_z


def moments(model: RBM, v: Array, weights: Array | None = None) -> RBM:
    """E[v h'], E[v], E[h] for h ~ P(h | v) and the rows of ``v``, equally likely or with ``weights``: an RBM of averages."""
    p = model.hidden(v)
    if weights is None:
        p = p * (1.0 / v.shape[0])
        return RBM(matrix_transpose(v) @ p, mean(v, axis=0), sum(p, axis=0))
    p = p * expand_dims(weights, axis=1)
    return RBM(matrix_transpose(v) @ p, weights @ v, sum(p, axis=0))


def nll_gradient(model: RBM, v: Array, v_model: Array) -> RBM:
    """E_model - E_data of v h', v and h: what to descend. ``v_model`` are samples of the model, or of a short chain."""
    return trees.map(lambda m, d: m - d, moments(model, v_model), moments(model, v))  # type: ignore[no-any-return]


def contrastive_loss(model: RBM, v: Array, v_model: Array) -> Array:
    """mean F(v) - mean F(v_model), whose gradient by the autodiff engine is :func:`nll_gradient`."""
    return mean(model.free_energy(v)) - mean(model.free_energy(stop_gradient(v_model)))


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
            f"{_LARGEST} units; estimate with rbm.ais"
        )
    return (model, False) if visible <= hidden else (model.transposed, True)


def log_partition(model: RBM) -> Array:
    """log Z, exactly: the states of the smaller layer are enumerated, the other is summed out. Differentiable.

    Raises ``ValueError`` where both layers have more than 24 units.
    """
    small, _ = _small_on_top(model)
    parts = [logsumexp(-small.free_energy(s), keepdims=True) for s in _states(small.W.shape[0])]
    return logsumexp(concat(parts))


def model_moments(model: RBM) -> RBM:
    """E_model of v h', v and h, exactly, by the same enumeration."""
    small, changed = _small_on_top(model)
    log_z, parts = log_partition(model), []
    for s in _states(small.W.shape[0]):
        parts.append(moments(small, s, exp(-small.free_energy(s) - log_z)))
    found: RBM = trees.map(lambda *terms: functools.reduce(add, terms), *parts)
    return RBM(matrix_transpose(found.W), found.a, found.b) if changed else found


def exact_nll_gradient(model: RBM, v: Array) -> RBM:
    """E_model - E_data, exactly: the gradient of -mean log P(v)."""
    return trees.map(lambda m, d: m - d, model_moments(model), moments(model, v))  # type: ignore[no-any-return]


# Where it is not: estimates


class LogZ(NamedTuple):
    """An estimate of log Z: E[exp(value)] = Z, so on average it is too low. ``low`` to ``high`` is +- 3 standard errors."""

    value: float
    low: float
    high: float
    log_weights: Array  # of each chain, with log Z of the base included


def ais(model: RBM, rng: Generator, chains: int = 100, temperatures: int = 1000, base: Array | None = None) -> LogZ:
    """Annealed importance sampling (Neal 2001; Salakhutdinov and Murray 2008).

    Chains walk from a machine without bonds, visible biases ``base`` (default b), whose log Z is known, to ``model``,
    through p_beta(v) ~ exp((1 - beta) base' v + beta b' v) prod_j (1 + exp(beta (a_j + (v' W)_j))). On each step the weight of
    a chain grows by p_next(v) / p_now(v). Half of the temperatures lie in the last tenth of the way.
    """
    if chains < 2 or temperatures < 2:
        raise ValueError(f"ais: {chains} chains over {temperatures} temperatures: wanted at least 2 of each")
    visible, hidden = model.W.shape
    base = model.b if base is None else base
    late = temperatures // 2
    betas = numpy.concatenate(
        [numpy.linspace(0.0, 0.9, temperatures - late, endpoint=False), numpy.linspace(0.9, 1.0, late + 1)]
    )

    def step(model: RBM, base: Array, v: Array, log_w: Array, now: float, following: float) -> tuple[Array, Array]:
        x = v @ model.W + model.a
        step_up = sum(softplus(following * x), axis=1) - sum(softplus(now * x), axis=1)
        log_w = log_w + (following - now) * (v @ (model.b - base)) + step_up
        h = rng.bernoulli(sigmoid(following * x))
        bonds = following * (h @ matrix_transpose(model.W) + model.b)
        return rng.bernoulli(sigmoid(bonds + (1.0 - following) * base)), log_w

    compiled = compile(step, donate=(2, 3))
    v = rng.bernoulli(sigmoid(base + zeros((chains, visible), base)))
    log_w = zeros((chains,), base)
    for now, following in zip(betas[:-1].tolist(), betas[1:].tolist(), strict=True):
        v, log_w = compiled(model, base, v, log_w, now, following)
    log_base = float(sum(softplus(base))) + hidden * math.log(2.0)
    log_w = log_w + log_base
    found = to_numpy(log_w).astype("float64")
    top = float(found.max())
    w = numpy.exp(found - top)
    middle, error = float(w.mean()), 3.0 * float(w.std(ddof=1)) / math.sqrt(chains)
    low = top + math.log(middle - error) if middle > error else -math.inf
    return LogZ(top + math.log(middle), low, top + math.log(middle + error), log_w)


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


# Training


def fit(
    model: RBM,
    batches: Iterable[Array],
    rng: Generator,
    k: float = 1,
    chains: Array | None = None,
    optimizer: Optimizer | None = None,
    weight_decay: float = 0.0,
    sparsity: tuple[float, float] | None = None,
) -> tuple[RBM, Array | None]:
    """One update for each batch: CD-k, or PCD-k where ``chains`` (m, visible) are given. Returns the model and the chains.

    As k grows, CD-k tends to maximum likelihood: ``k=math.inf`` takes the exact gradient, for small machines.
    ``weight_decay`` adds its multiple of W to the gradient. ``sparsity = (target, cost)`` pulls each hidden unit's mean
    activity on the batch towards ``target``. The default optimiser is momentum 0.9 at rate 0.02.

    Raises ``ValueError`` for a batch that is empty or holds anything but numbers in [0, 1], :class:`ShapeError` for a
    wrong width; ``model`` itself is never changed.
    """
    if k < 1 or (k != math.inf and k != int(k)):
        raise ValueError(f"fit: k = {k}: a chain makes 1, 2, ... steps, or math.inf of them")
    if k == math.inf and chains is not None:
        raise ValueError("fit: the exact gradient, k = inf, needs no chains")
    opt = momentum(0.02, 0.9) if optimizer is None else optimizer

    def step(model: RBM, state: Any, chains: Array | None, v: Array) -> tuple[RBM, Any, Array | None]:
        if k == math.inf:
            g = exact_nll_gradient(model, v)
        else:
            v_model = model.gibbs(rng, v if chains is None else chains, int(k))
            g = nll_gradient(model, v, v_model)
            chains = None if chains is None else v_model
        if weight_decay:
            g = RBM(g.W + weight_decay * model.W, g.b, g.a)
        if sparsity is not None:
            target, cost = sparsity
            g = RBM(g.W, g.b, g.a + cost * (mean(model.hidden(v), axis=0) - target))
        model, state = opt.update(model, g, state)
        return model, state, chains

    compiled = compile(step, donate=(0, 1, 2))
    model = trees.map(copy, model)  # the caller's own is not written over
    chains = chains if chains is None else copy(_checked(model, chains, "the chains"))
    state, seen = opt.init(model), False
    for v in batches:
        model, state, chains = compiled(model, state, chains, _checked(model, v, "a batch"))
        seen = True
    if not seen:
        raise ValueError("fit: there were no batches")
    return model, chains


def _checked(model: RBM, v: Array, what: str) -> Array:
    visible = model.W.shape[0]
    if not is_array(v) or v.ndim != 2 or v.shape[1] != visible:
        raise ShapeError(f"fit: {what} is an array (n, {visible}), not {tuple(getattr(v, 'shape', ())) or type(v).__name__}")
    if v.shape[0] == 0:
        raise ValueError(f"fit: {what} is empty")
    lowest, highest = float(xp.min(v)), float(xp.max(v))
    if not (lowest >= 0.0 and highest <= 1.0):  # NaN is neither
        raise ValueError(f"fit: {what} holds values from {lowest:g} to {highest:g}; binary units take 0 to 1")
    return v if v.dtype == model.W.dtype else astype(v, model.W.dtype)
