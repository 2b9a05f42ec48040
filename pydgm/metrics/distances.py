"""How far two samples are from each other: rows of points, or of features that a network has made of pictures."""

from __future__ import annotations

from typing import Any

import numpy

from ..backend import asarray, to_numpy
from ..divergences import wasserstein_samples
from ..errors import ArgumentError, NaNError, ShapeError, shape_text
from ..random import Generator

Points = numpy.ndarray[Any, Any]


def rows(what: str, *samples: Any) -> tuple[Points, ...]:
    """Samples (n, d), or numbers (n,), as float64 (n, d). Raises ``ShapeError`` where they do not fit, ``NaNError`` for NaN."""
    points = tuple(numpy.asarray(to_numpy(x), "float64") for x in samples)
    if any(x.ndim not in (1, 2) or not len(x) for x in points) or len({x.shape[1:] for x in points}) > 1:
        raise ShapeError(f"{what}: wanted samples (n, d) with one d, got {' and '.join(map(shape_text, samples))}")
    if not all(numpy.isfinite(x).all() for x in points):
        raise NaNError(f"{what}: NaN or infinity in the samples")
    return tuple(x.reshape(len(x), -1) for x in points)


def _as_many(what: str, x: Points, y: Points) -> None:
    if len(x) != len(y):
        raise ShapeError(f"{what}: wanted two samples of one size, got {len(x)} and {len(y)} points")


def squared_distances(x: Points, y: Points) -> Points:
    """abs(x_i - y_j)^2: (n, m)."""
    middle = x.mean(axis=0)  # far from 0 the difference of squares would lose digits
    x, y = x - middle, y - middle
    squares: Points = (x * x).sum(axis=1)[:, None] + (y * y).sum(axis=1) - 2.0 * x @ y.T
    return numpy.maximum(squares, 0.0)


def wasserstein(x: Any, y: Any) -> float:
    """The earth mover's distance between two samples of n points: the least mean of abs(x_i - y_j) over all ways to pair them.

    That is W1 of the two empirical distributions, in the units of x: of numbers (n,) the pairs are in order, of points (n, d)
    they are found exactly, in about n^3 steps: a thousand points take seconds. Lectures L0 to L2; Villani 2009.
    """
    x, y = rows("wasserstein", x, y)
    _as_many("wasserstein", x, y)
    if x.shape[1] == 1:
        return float(wasserstein_samples(asarray(x[:, 0]), asarray(y[:, 0])))
    cost = numpy.stack([numpy.linalg.norm(y - point, axis=1) for point in x])
    # formula: earth-mover
    return float(cost[numpy.arange(len(x)), assignment(cost)].mean())


def assignment(cost: Points) -> numpy.ndarray[Any, Any]:
    """For each row of an (n, n) cost its column, so that the sum is least. By shortest augmenting paths (Jonker and Volgenant
    1987): rows enter one by one, and ``u[i] + v[j] <= cost[i, j]`` with equality along the pairs proves at last that no other
    pairing is cheaper."""
    n = len(cost)
    u, v = numpy.zeros(n), numpy.zeros(n + 1)  # column n stands for "not yet paired"
    row_of = numpy.full(n + 1, -1)
    for row in range(n):
        row_of[n], j = row, n
        least, before, done = numpy.full(n, numpy.inf), numpy.full(n, n), numpy.zeros(n + 1, bool)
        while row_of[j] >= 0:
            done[j] = True
            reduced = cost[row_of[j]] - u[row_of[j]] - v[:n]
            shorter = ~done[:n] & (reduced < least)
            least[shorter], before[shorter] = reduced[shorter], j
            nearest = int(numpy.where(done[:n], numpy.inf, least).argmin())
            step = least[nearest]
            u[row_of[done]] += step
            v[done] -= step
            least[~done[:n]] -= step
            j = nearest
        while j != n:
            row_of[j], j = row_of[before[j]], before[j]
    column_of = numpy.empty(n, int)
    column_of[row_of[:n]] = numpy.arange(n)
    return column_of


def sliced_wasserstein(x: Any, y: Any, rng: Generator, directions: int = 100) -> float:
    """The mean of W1 over projections on random directions, E_w[W1(w'x, w'y)], w on the unit sphere (Rabin et al. 2011).

    A lower bound of :func:`wasserstein`, at the cost of sorting.
    """
    x, y = rows("sliced_wasserstein", x, y)
    _as_many("sliced_wasserstein", x, y)
    w = to_numpy(rng.normal((x.shape[1], directions), "float64"))
    w = w / numpy.linalg.norm(w, axis=0)
    return float(numpy.abs(numpy.sort(x @ w, axis=0) - numpy.sort(y @ w, axis=0)).mean())


def gaussian_kernel(x: Points, y: Points, width: float | None) -> Points:
    """exp(-abs(a - b)^2 / (2 width^2)) of all n + m points: (n + m, n + m). Without a width the median of their distances."""
    points = numpy.concatenate([x, y])
    squares = squared_distances(points, points)
    if width is None:
        width = float(numpy.sqrt(numpy.median(squares[numpy.triu_indices(len(points), 1)])))
    if not width > 0.0:
        raise ArgumentError(f"mmd: the width of the kernel is {width}: half of the points are one point; give a width above 0")
    return numpy.exp(-squares / (2.0 * width * width))


def mmd(x: Any, y: Any, width: float | None = None) -> float:
    """The squared maximum mean discrepancy, E k(x, x') + E k(y, y') - 2 E k(x, y), without bias: also below 0 (Gretton 2012).

    k(a, b) = exp(-abs(a - b)^2 / (2 width^2)); without a width it is the median distance of all points. It is 0 where the two
    distributions are the same. (n, d) and (m, d).
    """
    x, y = rows("mmd", x, y)
    n, m = len(x), len(y)
    if min(n, m) < 2:
        raise ShapeError(f"mmd: wanted two or more points of each sample, got {n} and {m}")
    k = gaussian_kernel(x, y, width)
    own = [(part.sum() - len(part)) / (len(part) * (len(part) - 1)) for part in (k[:n, :n], k[n:, n:])]
    return float(own[0] + own[1] - 2.0 * k[:n, n:].mean())


def frechet_normal(loc: Any, covariance: Any, other_loc: Any, other_covariance: Any) -> float:
    """The squared Frechet (2-Wasserstein) distance of two Gaussians, abs(m - m')^2 + tr(C + C' - 2 (C C')^(1/2)).

    Dowson and Landau 1982. Means (d,), covariances (d, d).
    """
    m, C, other, D = (numpy.asarray(to_numpy(a), "float64") for a in (loc, covariance, other_loc, other_covariance))
    if not (m.ndim == 1 and m.shape == other.shape and C.shape == D.shape == (len(m), len(m))):
        raise ShapeError(
            f"frechet_normal: wanted means (d,) and covariances (d, d), got {', '.join(str(a.shape) for a in (m, C, other, D))}"
        )
    values, vectors = numpy.linalg.eigh(C)
    root = (vectors * numpy.sqrt(numpy.maximum(values, 0.0))) @ vectors.T
    cross = numpy.linalg.eigvalsh(root @ D @ root)  # those of C D, of a matrix that is symmetric
    return float(((m - other) ** 2).sum() + numpy.trace(C) + numpy.trace(D) - 2.0 * numpy.sqrt(numpy.maximum(cross, 0.0)).sum())


def frechet_distance(x: Any, y: Any) -> float:
    """:func:`frechet_normal` of the means and covariances of two samples: of Inception features the FID of Heusel et al. 2017.

    ``x`` (n, d) and ``y`` (m, d) are features; it sees nothing of them but two moments. From few rows it comes out too large:
    compare only numbers of equal n.
    """
    x, y = rows("frechet_distance", x, y)
    if min(len(x), len(y)) <= x.shape[1]:
        raise ShapeError(
            f"frechet_distance: {len(x)} and {len(y)} rows of {x.shape[1]} features: wanted more rows than features"
        )
    moments = [(z.mean(axis=0), numpy.cov(z, rowvar=False).reshape(z.shape[1], -1)) for z in (x, y)]
    return frechet_normal(*moments[0], *moments[1])
