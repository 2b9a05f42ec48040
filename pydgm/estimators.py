"""Estimators of the gradient of E_q[r(z)] in the parameters of q, for any distribution, and how noisy they are.

Lecture L2, "Reparameterization trick"; L4, "Computing Gradients". Kingma and Welling 2014; Rezende et al. 2014; the score
function is Williams's REINFORCE (1992).

An estimator is written as what it is the gradient of: a *surrogate*, one number for each distribution of q's batch, whose value
is r(z) at a sample, and whose derivative is the estimate. So it stands in a loss like any other number:

    loss = lambda q, batch, rng: -dgm.mean(estimators.score_function(r, q, rng))

``r`` maps draws (..., \\*batch, \\*event) to (..., \\*batch); its own parameters, a decoder's say, have their derivatives, too.
Both kinds are unbiased, the reparameterised one where r is continuous and has a derivative almost everywhere: of a reward with
a jump it sees nothing. Their variances differ by orders of magnitude, mostly in favour of the path, or, where a good baseline
helps the score function, by a small factor. Symbols have no path to be moved along: for them there is the score function, and
:class:`pydgm.distributions.GumbelSoftmax`, which has a path and a bias.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy

from . import autodiff as ad
from . import checks, trees
from .backend import Array, asarray, chunks, is_array, to_numpy
from .compile import compile
from .distributions import Normal
from .errors import ArgumentError, ShapeError, kind_text
from .nn import stack
from .random import Generator
from .testing import numerical_derivative

Reward = Callable[[Array], Array]  # (..., *event) -> (...)
Estimator = Callable[[Any, Generator], Array]  # q, rng -> a surrogate


def reparameterized(r: Reward, q: Any, rng: Generator) -> Array:
    """r(z), z = q.sample(rng): its derivative is r's along the path of the sample, grad r(loc + scale eps).

    Right where r is continuous: what jumps, like 1 where z > 0, has the derivative 0 along the path, and not in the mean.
    Raises :class:`~pydgm.errors.ArgumentError` where q's samples have no path, as symbols have not.
    """
    _check(q, "reparameterized")
    if not getattr(q, "reparameterized", False):
        raise ArgumentError(
            f"reparameterized: samples of {type(q).__name__} have no derivative in all of its parameters: wanted "
            "score_function, which needs none, or GumbelSoftmax in place of symbols"
        )
    # formula: reparameterised-gradient
    return r(q.sample(rng))


def score_function(r: Reward, q: Any, rng: Generator, baseline: Any = 0.0) -> Array:
    """r(z), with the derivative (r(z) - baseline) grad log q(z), z held fixed. r need not be differentiable.

    Any ``baseline`` that does not depend on z leaves the mean as it is, since E_q[grad log q] = 0, and changes the variance: a
    number, or one for each distribution of the batch, in its shape: a network's guess from x, say, which this does not train
    (Mnih and Gregor 2014). A control variate c(z), whose expectation is known in closed form, needs no more:
    ``score_function(lambda z: r(z) - c(z), q, rng) + expected_c(q)``.
    """
    _check(q, "score_function")
    z = ad.stop_gradient(q.sample(rng))
    return _weighted(r(z), q.log_prob(z), baseline, "score_function")


def leave_one_out(r: Reward, q: Any, rng: Generator, k: int) -> Array:
    """The mean of :func:`score_function` over k samples, each of which has the mean reward of the others as its baseline.

    It is independent of the sample, so the mean stays as it is, and nothing has to be chosen (Kool, van Hoof and Welling 2019).
    """
    _check(q, "leave_one_out")
    checks.count(k, "leave_one_out: k", 2)
    z = ad.stop_gradient(q.sample(rng, (k,)))
    reward = r(z)
    others = (ad.sum(reward, axis=0) - reward) / (k - 1.0)
    return ad.mean(_weighted(reward, q.log_prob(z), others, "leave_one_out"), axis=0)


def _check(q: Any, whose: str) -> None:
    if not hasattr(q, "sample"):
        raise ArgumentError(f"{whose}(r, q, rng): q is a distribution, got {kind_text(q)}")


def _weighted(reward: Array, log_q: Array, baseline: Any, whose: str) -> Array:
    if reward.shape != log_q.shape:  # broadcasting would hide the mistake
        raise ShapeError(f"{whose}: r(z) is {tuple(reward.shape)}, and log q(z) {tuple(log_q.shape)}: wanted one for each draw")
    shape = tuple(getattr(baseline, "shape", ()))
    if shape != tuple(reward.shape)[max(0, reward.ndim - len(shape)) :]:
        raise ShapeError(
            f"{whose}: a baseline {tuple(baseline.shape)} for rewards {tuple(reward.shape)}: wanted a number, or one for each"
        )
    advantage = ad.stop_gradient(reward - baseline)
    return reward + advantage * (log_q - ad.stop_gradient(log_q))


# How noisy an estimator is


def draws(estimator: Estimator, q: Any, rng: Generator, n: int) -> Array:
    """n independent draws of the gradient, (n, parameters): of those that are arrays, as ``trees.leaves(q)`` has them.

    ``estimator(q, rng)`` is asked once, about n copies of q: the parameters' further axis in front is one of the batch. Raises
    :class:`~pydgm.errors.ShapeError` where one of them has fewer axes than q, which would then no longer be broadcast alike.
    """
    slopes = ad.grad(lambda copies: ad.sum(estimator(copies, rng)))(_copies(q, n))
    return _rows(slopes, n)


def _copies(q: Any, n: int) -> Any:
    for w in trees.leaves(q):
        if is_array(w) and w.ndim < len(q.shape):
            raise ShapeError(
                f"draws: a parameter {tuple(w.shape)} of {type(q).__name__} {q.shape}: dgm.broadcast_to makes it as large"
            )
    return trees.map(lambda w: ad.broadcast_to(w, (n, *w.shape)) if is_array(w) else w, q)


def _rows(slopes: Any, n: int) -> Array:
    return ad.concat([ad.reshape(w, (n, -1)) for w in trees.leaves(slopes) if is_array(w)], axis=1)


def best_baseline(r: Reward, q: Any, rng: Generator, n: int) -> float:
    """From n samples, the constant that makes the score function's variance smallest: E[r |s|^2] / E[|s|^2], s = grad log q(z).
    Of a single distribution, without a batch."""
    z = ad.stop_gradient(q.sample(rng, (n,)))
    scores = _rows(ad.grad(lambda copies: ad.sum(copies.log_prob(z)))(_copies(q, n)), n)
    squares = ad.sum(ad.square(scores), axis=1)
    return float(ad.sum(ad.reshape(r(z), (n,)) * squares) / ad.sum(squares))


def quadrature(r: Reward, q: Normal, nodes: Array, weights: Array) -> Array:
    """The exact gradient, (2 d,), d derivatives in the loc, then d in the scale: E_q[r(z) grad log q(z)] as a weighted sum over
    ``nodes`` (m, d) of N(0, I).

    This form of the integral, since r has no jumps where a network's derivative has (relu): it converges much faster. Double
    the number of nodes to see that it has.
    """
    if not isinstance(q, Normal):
        raise ArgumentError(f"quadrature: wanted a Normal, the base of an Independent; got {kind_text(q)}")
    q = Normal(*[ad.broadcast_to(asarray(w), q.shape) for w in (q.loc, q.scale)])
    z = q.loc + q.scale * nodes
    level = ad.mean(r(ad.reshape(q.loc, (1, -1))))  # E[grad log q] = 0: less is left to cancel
    each = ad.concat([r(part) for part in chunks(z, 5000)])
    if tuple(each.shape) != tuple(weights.shape):
        raise ShapeError(f"quadrature: r(z) is {tuple(each.shape)}, wanted a number for each of the {z.shape[0]} nodes")
    reward = weights * (each - level)
    slopes = ad.grad(lambda q: ad.sum(reward * ad.sum(q.log_prob(z), axis=1)))(q)
    return ad.concat([ad.reshape(w, (-1,)) for w in trees.leaves(slopes)])


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
    for each in both:
        checks.count(each.shape[0], "clarity: draws", 2)
    noise, signal = (to_numpy(each).astype("float64").reshape(each.shape[0], -1) for each in both)
    square = (signal.mean(axis=0) ** 2 - signal.var(axis=0, ddof=1) / len(signal)).sum()
    return float(numpy.sqrt(max(square, 0.0) / noise.var(axis=0, ddof=1).sum()))
