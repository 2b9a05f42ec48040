"""What samples are worth, where the modes of the data are known."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy

from ..backend import to_numpy
from ..errors import ArgumentError, ShapeError, kind_text, shape_text


class Modes(NamedTuple):
    """How many of the ``all`` modes were ``covered``, and the share of samples that are near one, ``high_quality``."""

    covered: int
    all: int
    high_quality: float


def modes(x: Any, mixture: Any, reach: float = 3.0) -> Modes:
    """Of samples ``x`` (n, d), beside a mixture of Gaussians of one width each, :func:`pydgm.data.ring_of_gaussians` say.

    A sample is of high quality within ``reach`` standard deviations of the nearest mode, in each coordinate's units; a mode is
    covered where at least one such sample is nearest to it (Srivastava et al. 2017, VEEGAN; Lin et al. 2018, PacGAN).
    """
    base = getattr(getattr(mixture, "components", None), "base", None)
    if base is None or not hasattr(base, "loc"):
        raise ArgumentError(f"modes: wanted a Mixture of Independent(Normal(loc, scale), 1), got {kind_text(mixture)}")
    points, loc, scale = (numpy.asarray(to_numpy(a), "float64") for a in (x, base.loc, base.scale))
    if points.ndim != 2 or points.shape[1] != loc.shape[1]:
        raise ShapeError(f"modes: wanted samples (n, {loc.shape[1]}), got {shape_text(x)}")
    away = numpy.linalg.norm((points[:, None] - loc) / scale, axis=2)
    nearest, near = away.argmin(axis=1), away.min(axis=1) <= reach
    return Modes(len(set(nearest[near].tolist())), len(loc), float(near.mean()))


def density_modes(image: Any) -> int:
    """Of a density's picture (n, n): points higher than all eight around them, and at least a twentieth of the highest."""
    x = numpy.asarray(to_numpy(image), "float64")
    middle, n = x[1:-1, 1:-1], len(x)
    around = [x[1 + i : n - 1 + i, 1 + j : n - 1 + j] for i in (-1, 0, 1) for j in (-1, 0, 1) if (i, j) != (0, 0)]
    return int(((middle > numpy.max(around, axis=0)) & (middle > 0.05 * x.max())).sum())


def neighbour_correlation(images: Any, side: int = 28) -> float:
    """The correlation of pixels and the pixel to their right, over square images (n, side^2): strokes have it, noise not."""
    x = numpy.asarray(to_numpy(images), "float64").reshape(-1, side, side)
    return float(numpy.corrcoef(x[:, :, :-1].ravel(), x[:, :, 1:].ravel())[0, 1])
