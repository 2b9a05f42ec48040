"""Small pictures whose factors of variation are known: a square, an ellipse or a heart, of some size, turned, at some place.

All combinations, once each: the idea of dSprites (Matthey, Higgins, Hassabis and Lerchner 2017), in a size that a laptop learns
in seconds. No shape looks the same after any of the four turns, so no two combinations are one picture.
"""

from __future__ import annotations

import itertools
from typing import Any, NamedTuple

import numpy

from .. import checks

_FINE = 4  # points a pixel, along each side


class Sprites(NamedTuple):
    """``x`` (n, side^2) in [0, 1], ink bright on black; ``factors`` (n, 5) integers; ``names`` of the five."""

    x: numpy.ndarray[Any, Any]
    factors: numpy.ndarray[Any, Any]
    names: tuple[str, ...]


def _inside(shape: int, u: Any, v: Any) -> Any:
    """Whether points, in units of the sprite's size from its middle, are in it."""
    if shape == 0:
        return numpy.maximum(abs(u), abs(v)) < 0.8
    if shape == 1:
        return (u / 1.1) ** 2 + (v / 0.55) ** 2 < 1.0
    return (u / 1.1) ** 2 + (1.2 * v + 0.35 - 0.75 * numpy.sqrt(abs(u))) ** 2 < 0.75


def sprites(side: int = 12, places: int = 6) -> Sprites:
    """Three shapes, three sizes, four turns by 22.5 degrees, ``places`` x ``places`` places: 1296 pictures of 12 x 12."""
    checks.count(side, "sprites: side", 10)
    checks.count(places, "sprites: places", 2)
    points = (numpy.arange(side * _FINE) + 0.5) / _FINE
    line = numpy.linspace(side / 3.0, 2.0 * side / 3.0, places)
    sizes, turns = side * numpy.array([0.14, 0.19, 0.24]), numpy.arange(4) * numpy.pi / 8.0
    factors = numpy.array(list(itertools.product(range(3), range(3), range(4), range(places), range(places))))
    pictures = []
    for shape, size, turn, x, y in factors:
        right, up = (points[None, :] - line[x]) / sizes[size], (line[y] - points[:, None]) / sizes[size]
        cos, sin = numpy.cos(turns[turn]), numpy.sin(turns[turn])
        ink = _inside(shape, cos * right + sin * up, cos * up - sin * right)
        pictures.append(ink.reshape(side, _FINE, side, _FINE).mean(axis=(1, 3)).ravel())
    return Sprites(numpy.array(pictures, "float32"), factors, ("shape", "size", "turn", "x", "y"))
