"""Two estimators of the gradient of E_q[r(z)] in the parameters of q = N(loc, scale^2).

Lecture L2, "Reparameterization trick"; L4, "Computing Gradients". Kingma and Welling 2014; Rezende et al. 2014; the score
function is Williams's REINFORCE (1992). Both are unbiased; their variances differ by orders of magnitude, or, where the best
constant baseline helps the score function, by a small factor. Each function returns one estimate for every sample, (n, 2 d): d
derivatives in the loc, then d in the scale, in nats if r is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy

from ... import autodiff as ad
from ...backend import Array, asarray, chunks, ones, to_numpy
from ...compile import compile
from ...distributions import Normal
from ...nn import stack
from ...random import Generator
from ...testing import numerical_derivative

Reward = Callable[[Array], Array]  # (n, d) -> (n,)


def _one_row_for_each(q: Normal, noise: Array) -> tuple[Array, Array]:
    return ad.broadcast_to(q.loc, noise.shape), ad.broadcast_to(q.scale, noise.shape)


def reparameterized(r: Reward, q: Normal, noise: Array) -> Array:
    """grad r(loc + scale eps): the derivative of r along the path of the sample. ``noise`` (n, d) is the eps."""
    parameters = _one_row_for_each(q, noise)
    # formula: reparameterised-gradient
    by_loc, by_scale = ad.grad(lambda m, s: ad.sum(r(m + s * noise)), argnums=(0, 1))(*parameters)
    return ad.concat([by_loc, by_scale], axis=1)


def score_function(r: Reward, q: Normal, noise: Array, baseline: float = 0.0) -> Array:
    """(r(z) - baseline) grad log q(z) at z = loc + scale eps, z held fixed. r need not be differentiable.

    Any constant ``baseline`` leaves the mean as it is, since E_q[grad log q] = 0, and changes the variance.
    """
    loc, scale = _one_row_for_each(q, noise)
    z = loc + scale * noise
    reward = ad.stop_gradient(r(z)) - baseline

    def weighted(m: Array, s: Array) -> Array:
        return ad.sum(reward * ad.sum(Normal(m, s).log_prob(z), axis=1))

    return ad.concat(list(ad.grad(weighted, argnums=(0, 1))(loc, scale)), axis=1)


def best_baseline(r: Reward, q: Normal, noise: Array) -> float:
    """The constant that makes the score function's variance smallest, E[r |s|^2] / E[|s|^2] with s = grad log q(z)."""
    score = score_function(lambda z: ones(z.shape[0], z), q, noise)
    squares = ad.sum(ad.square(score), axis=1)
    return float(ad.sum(r(q.loc + q.scale * noise) * squares) / ad.sum(squares))


def quadrature(r: Reward, q: Normal, nodes: Array, weights: Array, chunk: int = 5000) -> Array:
    """The exact gradient, (2 d,): E_q[r(z) grad log q(z)] as a weighted sum over ``nodes`` (m, d) of N(0, I).

    This form of the integral, since r has no jumps where a network's derivative has (relu): it converges much faster. Double
    the number of nodes to see that it has.
    """
    level = float(ad.mean(r(ad.broadcast_to(q.loc, (1, nodes.shape[1])))))  # E[grad log q] = 0: less is left to cancel
    parts = [w @ score_function(r, q, z, level) for z, w in zip(chunks(nodes, chunk), chunks(weights, chunk), strict=True)]
    return ad.sum(ad.stack(parts), axis=0)


def by_differences(r: Reward, q: Normal, nodes: Array, weights: Array) -> numpy.ndarray[Any, Any]:
    """The gradient once more, (2 d,), as differences of the integral E_q[r(z)] itself, which know of no formula above.

    In float64: ``r`` takes and gives such numbers. ``nodes`` (m, d) and ``weights`` are those of N(0, I).
    """
    loc, scale, z, w = (numpy.asarray(to_numpy(a), "float64") for a in (q.loc, q.scale, nodes, weights))
    d = z.shape[1]

    def slope(axis: numpy.ndarray[Any, Any]) -> float:
        def expected(t: float) -> float:
            points = loc.reshape(-1) + t * axis[:d] + (scale.reshape(-1) + t * axis[d:]) * z
            # formula: expectation
            return float(w @ to_numpy(r(asarray(points))))

        return numerical_derivative(expected)

    return numpy.array([slope(axis) for axis in numpy.eye(2 * d)])


def relative_errors(estimates: Array, exact: Array, sizes: list[int]) -> list[float]:
    """For each n in ``sizes`` the root mean square distance from ``exact`` of means of n estimates, over the length of it."""
    each, truth, errors = to_numpy(estimates).astype("float64"), to_numpy(exact), []
    for n in sizes:
        means = each[: len(each) // n * n].reshape(-1, n, each.shape[1]).mean(axis=1)
        errors.append(float(numpy.sqrt(((means - truth) ** 2).sum(axis=1).mean()) / numpy.linalg.norm(truth)))
    return errors


def gradients(loss: Callable[[Any, Any, Generator], Array], model: Any, batch: Any, rng: Generator, times: int) -> Any:
    """``times`` draws of the gradient of ``loss(model, batch, rng)``, the batch being the same: a tree like ``model``, whose
    arrays have a further axis in front. How noisy an estimator is, and whether two have one mean, can be read off it."""
    slope = compile(lambda model: ad.grad(lambda model: loss(model, batch, rng))(model))
    return stack([slope(model) for _ in range(times)])


def clarity(draws: Array, better: Array | None = None) -> float:
    """Signal over noise of an estimator, from its ``draws`` (n, ...): the length of their mean over that of their deviations.

    The square of the mean of n draws is too large by the variance over n, which is taken off; 0 where nothing is left. Where
    another estimator has the same mean and less noise, its draws say what the mean is: ``better``.
    """
    both = draws, draws if better is None else better
    noise, signal = (to_numpy(each).astype("float64").reshape(each.shape[0], -1) for each in both)
    square = (signal.mean(axis=0) ** 2 - signal.var(axis=0, ddof=1) / len(signal)).sum()
    return float(numpy.sqrt(max(square, 0.0) / noise.var(axis=0, ddof=1).sum()))
