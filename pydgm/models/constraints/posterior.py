r"""Posterior regularisation: knowledge as a constraint function f, imposed on a distribution q near the model's p.

    min over q of KL(q || p) - lambda E_q[f]        is solved by        q*(y) = p(y) exp(lambda f(y)) / Z

Ganchev, Graca, Gillenwater and Taskar 2010; lectures L0 "Learning with Constraints", L1 sections 4.1 and 4.2. The lectures name
lambda; Ganchev et al. name what is known, the expectation E_q[f] = b, and lambda is its multiplier: :func:`multiplier`.

With a latent y and a weight alpha the whole objective is -log p(x) + alpha (KL(q || p(y | x)) - lambda E_q[f]). Two steps of
EM descend it: E, q*; M, the parameters of greatest (1 - alpha) E_p(y|x)[log p(x, y)] + alpha E_q*[log p(x, y)]. For alpha = 1
that is EM with q* in place of p(y | x).
"""

from __future__ import annotations

import math
from collections.abc import Callable

from ...autodiff import abs, exp, grad, greater, log, log_softmax, max, mean, square, sum, where
from ...backend import Array, xp


def project(log_p: Array, f: Array, strength: float = 1.0) -> Array:
    """log q*(y) = log p(y) + lambda f(y) - log Z over the last axis; ``strength`` is lambda.

    For rules, lambda f(y) = sum_l lambda_l r_l(y). ``log_p`` may lack its own normalisation.
    """
    # formula: e-step
    return log_softmax(log_p + strength * f)


def multiplier(log_p: Array, f: Array, b: float) -> float:
    """The lambda at which E_q*[f], on average over the rows, is ``b``: what Ganchev et al. know of y, in the lecture's form.

    ``log_p`` (..., K); ``f`` broadcasts with it. E_q*[f] rises with lambda, its slope being the variance of f under q*:
    Newton's method, kept between bounds. Raises ``ValueError`` where no lambda between -100 and 100 does it.
    """
    low, high, strength = -100.0, 100.0, 0.0
    for _ in range(200):
        q = exp(project(log_p, f, strength))
        each = sum(q * f, axis=-1, keepdims=True)
        short, variance = b - float(mean(each)), float(mean(sum(q * square(f - each), axis=-1)))
        if math.fabs(short) <= 1e-9:
            return strength
        low, high = (strength, high) if short > 0.0 else (low, strength)
        newton = strength + short / variance if variance > 0.0 else high
        strength = newton if low < newton < high else 0.5 * (low + high)
    raise ValueError(f"multiplier: E_q[f] = {b} is reached by no lambda between -100 and 100: all f lie on one side?")


def divergence(log_q: Array, log_p: Array, f: Array, strength: float = 1.0) -> Array:
    """KL(q || p) - lambda E_q[f], over the last axis: what q* makes smallest. Where q is 0 it adds nothing."""
    q = exp(log_q)
    some = greater(q, 0)
    # formula: posterior-regularisation
    return sum(q * (where(some, log_q, 0.0) - where(some, log_p, 0.0) - strength * f), axis=-1)


def minimize_on_simplex(objective: Callable[[Array], Array], q: Array, steps: int = 500, rate: float = 0.1) -> Array:
    """The distributions q (..., K) that make the ``objective``, a number, smallest; found without knowing any closed form.

    Mirror descent: q <- q exp(-rate d objective / dq), normalised again, so that q stays positive and sums to 1 (Nemirovsky and
    Yudin 1983). Raises ``ValueError`` for a ``q`` that is not positive, and where q still moves by more than 1e-7 in its last
    step: another ``rate``, or more steps.
    """
    if not bool(xp.all(q > 0.0)):
        raise ValueError("minimize_on_simplex: begin with a q that is positive everywhere: what is 0 stays 0")
    slope, change = grad(objective), 0.0
    log_q = log(q)
    for _ in range(steps):
        new = log_softmax(log_q - rate * slope(exp(log_q)))
        log_q, change = new, float(max(abs(exp(new) - exp(log_q))))
    if not change <= 1e-7:  # NaN is not
        raise ValueError(f"minimize_on_simplex: after {steps} steps at rate {rate} q still moves by {change:.2g} in a step")
    return exp(log_q)
