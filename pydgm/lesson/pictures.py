"""Pictures of densities, and of many small images."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy

from ..backend import to_numpy
from ..divergences import plane


def density(log_prob: Callable[[Any], Any], reach: float, cells: int = 160) -> numpy.ndarray[Any, Any]:
    """exp(log_prob) over the square [-reach, reach]^2, as a picture."""
    points, _ = plane(reach, cells)
    image: numpy.ndarray[Any, Any] = numpy.exp(to_numpy(log_prob(points))).reshape(cells, cells)
    return image


def tiles(images: Any, rows: int, side: int = 28) -> numpy.ndarray[Any, Any]:
    """Square images (n, side * side) as one picture of ``rows`` rows."""
    return to_numpy(images).reshape(rows, -1, side, side).swapaxes(1, 2).reshape(rows * side, -1)


def equation(ax: Any, parts: list[Any], side: int = 28) -> None:
    """Images and texts in a row: ``[x, "= 0.9", f, "+ 0.7", g]``. Images in [0, 1] are drawn as ink, others in two colours."""
    at = 0.0
    for part in parts:
        if isinstance(part, str):
            width = 10.0 + 1.1 * len(part)
            ax.text(at + width / 2, side / 2, part, ha="center", va="center", fontsize=20)
        else:
            width, picture = float(side), to_numpy(part).reshape(side, side)
            limit = float(numpy.abs(picture).max())
            signed = {"cmap": "RdBu_r", "vmin": -limit, "vmax": limit}
            colours = signed if picture.min() < 0.0 else {"cmap": "gray_r", "vmin": 0.0, "vmax": 1.0}
            ax.imshow(picture, extent=(at, at + width, 0, side), **colours)
        at += width
    ax.set(xlim=(0, at), ylim=(0, side), aspect="equal")
    ax.axis("off")
