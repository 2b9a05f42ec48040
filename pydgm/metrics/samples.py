"""What samples are worth: beside modes that are known, beside other samples, or as pictures."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy

from ..backend import to_numpy
from ..errors import ArgumentError, DomainError, ShapeError, kind_text, shape_text
from .distances import rows, squared_distances


class Modes(NamedTuple):
    """How many of the ``all`` modes were ``covered``, the share of samples that are near one, ``high_quality``, and
    ``reverse_kl``, how unevenly these are spread over the modes: 0 where all have as many, log ``all`` nats where one has
    them all, NaN where there are none."""

    covered: int
    all: int
    high_quality: float
    reverse_kl: float


def modes(x: Any, mixture: Any, reach: float = 3.0) -> Modes:
    """Of samples ``x`` (n, d), beside a mixture of Gaussians of one width each, :func:`pydgm.data.ring_of_gaussians` say.

    A sample is of high quality within ``reach`` standard deviations of the nearest mode, in each coordinate's units; a mode is
    covered where at least one such sample is nearest to it (Srivastava et al. 2017, VEEGAN; Lin et al. 2018, PacGAN). With s_k
    the share of mode k among them, ``reverse_kl`` is KL(s || 1/K) = log K + sum_k s_k log s_k, in nats.
    """
    base = getattr(getattr(mixture, "components", None), "base", None)
    if base is None or not hasattr(base, "loc"):
        raise ArgumentError(f"modes: wanted a Mixture of Independent(Normal(loc, scale), 1), got {kind_text(mixture)}")
    points, loc, scale = (numpy.asarray(to_numpy(a), "float64") for a in (x, base.loc, base.scale))
    if points.ndim != 2 or points.shape[1] != loc.shape[1]:
        raise ShapeError(f"modes: wanted samples (n, {loc.shape[1]}), got {shape_text(x)}")
    away = numpy.linalg.norm((points[:, None] - loc) / scale, axis=2)
    nearest, near = away.argmin(axis=1), away.min(axis=1) <= reach
    counts = numpy.bincount(nearest[near], minlength=len(loc))
    s = counts[counts > 0] / max(counts.sum(), 1)
    unevenness = float(numpy.log(len(loc)) + (s * numpy.log(s)).sum()) if len(s) else float("nan")
    return Modes(len(s), len(loc), float(near.mean()), unevenness)


class PrecisionRecall(NamedTuple):
    """The share of generated samples where there are data, and of data where there are generated samples."""

    precision: float
    recall: float


def precision_recall(real: Any, generated: Any, k: int = 3) -> PrecisionRecall:
    """Of samples (n, d) and (m, d): is a point inside of any ball around a point of the other sample?

    Each ball reaches to its centre's k-th neighbour in its own sample (Kynkaanniemi et al. 2019). Precision falls where samples
    are bad, recall where modes are missing; copies of the data have both at 1.
    """
    real, generated = rows("precision_recall", real, generated)
    if not 1 <= k < min(len(real), len(generated)):
        raise ArgumentError(f"precision_recall: the {k}. neighbour among {len(real)} and {len(generated)} points")
    apart = squared_distances(real, generated)
    reach = [numpy.partition(squared_distances(x, x), k, axis=1)[:, k] for x in (real, generated)]
    inside = (apart <= reach[0][:, None]).any(axis=0), (apart <= reach[1]).any(axis=1)
    return PrecisionRecall(float(inside[0].mean()), float(inside[1].mean()))


def inception_score(probabilities: Any) -> float:
    """exp of the mean of KL(p(y | x) || p(y)), of the class probabilities (n, K) that a classifier gives samples.

    p(y) is their mean over the samples. K where the classifier is sure of each sample and all classes come equally often; 1
    where it says the same of all. It never sees the data (Salimans et al. 2016, where the classifier is Inception).
    """
    (p,) = rows("inception_score", probabilities)
    if (p < 0.0).any() or numpy.abs(p.sum(axis=1) - 1.0).max() > 1e-3:
        raise DomainError("inception_score: wanted probabilities, rows that sum to 1: softmax makes them of logits")
    each = numpy.where(
        p > 0.0, p * (numpy.log(numpy.where(p > 0.0, p, 1.0)) - numpy.log(numpy.maximum(p.mean(axis=0), 1e-300))), 0.0
    )
    return float(numpy.exp(each.sum(axis=1).mean()))


def density_modes(image: Any) -> int:
    """Of a density's picture (n, n): points higher than all eight around them, and at least a twentieth of the highest."""
    x = numpy.asarray(to_numpy(image), "float64")
    middle, n = x[1:-1, 1:-1], len(x)
    around = [x[1 + i : n - 1 + i, 1 + j : n - 1 + j] for i in (-1, 0, 1) for j in (-1, 0, 1) if (i, j) != (0, 0)]
    return int(((middle > numpy.max(around, axis=0)) & (middle > 0.05 * x.max())).sum())


def nearest(images: Any, known: Any) -> numpy.ndarray[Any, Any]:
    """Of each row of ``images`` (n, d) which row of ``known`` (m, d) is nearest to it, (n,): ``labels[nearest(x, known)]``."""
    images, known = rows("nearest", images, known)
    return numpy.concatenate([squared_distances(images[i : i + 500], known).argmin(axis=1) for i in range(0, len(images), 500)])


def centre_of_mass(images: Any, side: int = 28) -> numpy.ndarray[Any, Any]:
    """Of the ink of square images (n, side^2), (n, 2): to the right and downwards of the image's middle, in pixels."""
    ink, place = _ink(images, side)
    return numpy.stack([ink.sum(axis=1) @ place, ink.sum(axis=2) @ place], axis=1)


def slant(images: Any, side: int = 28) -> numpy.ndarray[Any, Any]:
    """How far the ink of square images (n, side^2) moves to the right for each pixel upwards, (n,): a regression on height.

    Raises :class:`~pydgm.errors.DomainError` for ink in one row of pixels, which has no slant.
    """
    ink, place = _ink(images, side)
    right, down = (place - m[:, None] for m in centre_of_mass(images, side).T)
    spread = numpy.einsum("nyx,ny->n", ink, down**2)
    if spread.size and spread.min() < 1e-9:
        raise DomainError("slant: all ink of an image is in one row")
    slope: numpy.ndarray[Any, Any] = numpy.einsum("nyx,ny,nx->n", ink, down, right) / spread
    return -slope


def _ink(images: Any, side: int) -> tuple[numpy.ndarray[Any, Any], numpy.ndarray[Any, Any]]:
    x = numpy.asarray(to_numpy(images), "float64")
    if x.ndim < 2 or side * side not in (x.shape[-1], x.shape[-1] * x.shape[-2]):
        raise ShapeError(f"wanted images (n, {side * side}), bright ink on black; got {shape_text(images)}")
    x = x.reshape(-1, side, side)
    all_of_it = x.sum(axis=(1, 2), keepdims=True)
    if not (x >= 0.0).all() or not (all_of_it > 0.0).all():
        raise DomainError("wanted images with ink, 0 where there is none: some are empty, below 0, or not finite")
    return x / all_of_it, numpy.arange(side) - (side - 1) / 2


def neighbour_correlation(images: Any, side: int = 28) -> float:
    """The correlation of pixels and the pixel to their right, over square images (n, side^2): strokes have it, noise not."""
    x = numpy.asarray(to_numpy(images), "float64").reshape(-1, side, side)
    return float(numpy.corrcoef(x[:, :, :-1].ravel(), x[:, :, 1:].ravel())[0, 1])
