"""How far apart two distributions are: closed forms where they exist, quadrature in one or two dimensions where they do not.

All in nats, but the Wasserstein distance, which is in the units of x.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy

from . import autodiff as ad
from . import checks
from .backend import Array, asarray, chunks, xp, zeros
from .distributions import Bernoulli, Categorical, Independent, MultivariateNormal, Normal, StandardNormal, Uniform
from .distributions.base import log, sum_last
from .errors import ShapeError

LogProb = Callable[[Array], Array]  # (n, 2) -> (n,)


def _normal(p: Normal, q: Normal) -> Array:
    ratio = p.scale / q.scale
    return 0.5 * (ratio * ratio + ((p.loc - q.loc) / q.scale) ** 2 - 1.0) - log(ratio)


def _bernoulli(p: Bernoulli, q: Bernoulli) -> Array:
    a, b = p.logits, q.logits  # p log(p/q) + (1-p) log((1-p)/(1-q)), each of which stays small where the other is large
    return p.probs * (ad.softplus(-b) - ad.softplus(-a)) + ad.sigmoid(-a) * (ad.softplus(b) - ad.softplus(a))


def _categorical(p: Categorical, q: Categorical) -> Array:
    if p.logits.shape[-1] != q.logits.shape[-1]:
        raise ShapeError(f"kl: {p.logits.shape[-1]} symbols and {q.logits.shape[-1]}")
    log_p, log_q = ad.log_softmax(p.logits), ad.log_softmax(q.logits)
    some = ad.isfinite(log_p)
    return ad.sum(ad.exp(log_p) * (ad.where(some, log_p, 0.0) - ad.where(some, log_q, 0.0)), axis=-1)


def _uniform(p: Uniform, q: Uniform) -> Array:
    inside = ad.less_equal(q.low, p.low) & ad.less_equal(p.high, q.high)
    return ad.where(inside, log((q.high - q.low) / (p.high - p.low)), math.inf)


def _multivariate(p: MultivariateNormal, q: MultivariateNormal) -> Array:
    """(|L_q^-1 L_p|^2 + |L_q^-1 (m_p - m_q)|^2 - d) / 2 + log det L_q - log det L_p, |.|^2 being sums of squares."""
    checks.width(p.loc, q.loc.shape[-1], "kl: vectors")
    away = ad.solve(q.L, ad.expand_dims(p.loc - q.loc, axis=-1))
    squares = ad.sum(ad.square(ad.solve(q.L, p.L)), axis=(-2, -1)) + ad.sum(ad.square(away), axis=(-2, -1))
    log_dets = [ad.sum(ad.log(ad.diagonal(one.L)), axis=-1) for one in (p, q)]
    return 0.5 * (squares - p.loc.shape[-1]) + log_dets[1] - log_dets[0]


_CLOSED_FORMS: dict[tuple[type, type], Callable[[Any, Any], Array]] = {
    (Normal, Normal): _normal,
    (Bernoulli, Bernoulli): _bernoulli,
    (Categorical, Categorical): _categorical,
    (Uniform, Uniform): _uniform,
    (MultivariateNormal, MultivariateNormal): _multivariate,
}


_SUMS = (Independent, StandardNormal)  # their log densities are sums over the coordinates, and so is the divergence


def _coordinates(p: Any) -> Any:
    return Normal() if isinstance(p, StandardNormal) else _coordinates(p.base) if isinstance(p, Independent) else p


def kl(p: Any, q: Any) -> Array:
    """KL(p || q) = E_p[log p - log q] in closed form: one number for each event.

    Raises ``TypeError`` where no closed form is known; :func:`kl_quadrature` then helps in one dimension.
    """
    if p.event_ndim and p.event_ndim == q.event_ndim and isinstance(p, _SUMS) and isinstance(q, _SUMS):
        event = p.shape[len(p.shape) - p.event_ndim :]
        if event != q.shape[len(q.shape) - q.event_ndim :]:
            raise ShapeError(f"kl: events {event} of {type(p).__name__}, {q.shape[-q.event_ndim :]} of {type(q).__name__}")
        each, shape = kl(_coordinates(p), _coordinates(q)), numpy.broadcast_shapes(p.shape, q.shape)
        return sum_last(each if getattr(each, "shape", ()) == shape else ad.broadcast_to(each, shape), p.event_ndim)
    form = next((form for (a, b), form in _CLOSED_FORMS.items() if isinstance(p, a) and isinstance(q, b)), None)
    if form is None:
        known = ", ".join(f"{a.__name__} and {b.__name__}" for a, b in _CLOSED_FORMS)
        hint = "; of vectors, Independent(p, 1) and StandardNormal(d), the sum over the coordinates"
        raise TypeError(f"kl: no closed form for {type(p).__name__} and {type(q).__name__}, only for {known}{hint}")
    return form(p, q)


def trapezoid(y: Array, x: Array) -> Array:
    """The integral of ``y`` over the grid ``x``, along the last axis."""
    return ad.sum(0.5 * (y[..., 1:] + y[..., :-1]) * (x[1:] - x[:-1]), axis=-1)


def plane(reach: float, cells: int, dtype: str = "float32") -> tuple[Array, float]:
    """The centres (cells^2, 2) of squares that cover [-reach, reach]^2, row by row from the top, and a square's area.

    The sum of f over the centres, times the area, is the integral of f (the midpoint rule).
    """
    line = (2.0 * numpy.arange(cells) + 1.0 - cells) * (reach / cells)
    points = numpy.stack(numpy.meshgrid(line, line[::-1]), axis=-1).reshape(-1, 2)
    return asarray(points.astype(dtype)), (2.0 * reach / cells) ** 2


def normal_plane(cells: int, reach: float = 5.0, dtype: str = "float32") -> tuple[Array, Array]:
    """cells^2 nodes in the plane and weights that integrate over N(0, I): E[f(z)] is ``weights @ f(nodes)``."""
    nodes, _ = plane(reach, cells, dtype)
    weights = ad.exp(-0.5 * ad.sum(ad.square(nodes), axis=1))
    return nodes, weights / ad.sum(weights)


def lattice(reach: float, least: int) -> tuple[Array, float]:
    """``least`` points or more of [-reach, reach]^2, (n, 2) in float64, and the part of the area that each stands for.

    n is a Fibonacci number F_k, and the points are (i / F_k, i F_(k-1) / F_k modulo 1). Seen from any side they lie evenly,
    about 1 / n apart, where those of a grid hide behind one another: a needle along an axis is not missed (Niederreiter 1992).
    """
    before, n = 1, 1
    while n < least:
        before, n = n, before + n
    i = numpy.arange(n)
    points = numpy.stack([(i + 0.5) / n, (i * before % n + 0.5) / n], axis=1)
    return asarray(reach * (2.0 * points - 1.0)), (2.0 * reach) ** 2 / n


def over_plane(
    log_q: LogProb, log_p: LogProb | None = None, reach: float = 7.0, least: int = 200_000, size: int = 20_000
) -> tuple[float, float]:
    """The integrals of q and of q log(q / p) over the square [-reach, reach]^2, in float64: 1 and KL(q || p) for densities.

    They are means over the ``least`` or more points of a :func:`lattice`, of which ``size`` are asked about at a time. Without
    ``log_p`` it is q, and the second number 0.
    """
    points, area = lattice(reach, least)
    mass = divergence = 0.0
    for x in chunks(points, size):
        log_density = log_q(x)
        q = ad.exp(log_density)
        mass += area * float(ad.sum(q))
        if log_p is not None:
            apart = ad.where(ad.greater(q, 0.0), log_density, 0.0) - ad.where(ad.greater(q, 0.0), log_p(x), 0.0)
            divergence += area * float(ad.sum(q * apart))
    return mass, divergence


def kl_quadrature(log_p: Array, log_q: Array, x: Array) -> Array:
    """KL(p || q) from log densities on a grid ``x``; where p is 0 the integrand is 0."""
    p = ad.exp(log_p)
    some = ad.greater(p, 0)
    # formula: kl, reverse-kl
    return trapezoid(p * (ad.where(some, log_p, 0.0) - ad.where(some, log_q, 0.0)), x)


def js_quadrature(log_p: Array, log_q: Array, x: Array) -> Array:
    """The Jensen-Shannon divergence (KL(p || m) + KL(q || m)) / 2, m = (p + q) / 2. Between 0 and log 2."""
    # formula: jsd
    log_m = ad.logsumexp(ad.stack([log_p, log_q]), axis=0) - math.log(2.0)
    # formula: jsd
    return 0.5 * (kl_quadrature(log_p, log_m, x) + kl_quadrature(log_q, log_m, x))


def wasserstein_quadrature(log_p: Array, log_q: Array, x: Array) -> Array:
    """The earth mover's distance in one dimension: the integral of abs(F - G), the distance of the distribution functions."""
    difference = ad.exp(log_p) - ad.exp(log_q)
    steps = 0.5 * (difference[1:] + difference[:-1]) * (x[1:] - x[:-1])
    # formula: earth-mover
    return trapezoid(ad.abs(ad.concat([zeros((1,), steps), ad.cumulative_sum(steps)])), x)


def wasserstein_samples(x: Array, y: Array) -> Array:
    """The earth mover's distance between two samples of n numbers each: the mean of abs(x_(i) - y_(i)), sorted."""
    if x.shape != y.shape or x.ndim != 1:
        raise ValueError(f"wasserstein_samples: wanted two vectors of one length, got {tuple(x.shape)} and {tuple(y.shape)}")
    in_order = [ad.take(v, xp.argsort(ad.stop_gradient(v)), axis=0) for v in (x, y)]
    return ad.mean(ad.abs(in_order[0] - in_order[1]))
