"""Points in the plane: ``(generator, n) -> (n, 2)`` in float32, with shapes that are hard in different ways.

The mixtures come as distributions too, where a density is wanted: ``ring_of_gaussians()`` and ``grid_of_gaussians()``.
"""

from __future__ import annotations

import math

import numpy

from ..autodiff import cos, reshape, sin, stack
from ..backend import Array, asarray, to_numpy, xp
from ..distributions import Independent, Mixture, Normal
from ..random import Generator


def _mixture(means: numpy.ndarray, scale: float) -> Mixture:
    means = means.astype("float32")
    return Mixture(asarray(numpy.zeros(len(means), "float32")), Independent(Normal(asarray(means), scale), 1))


def ring_of_gaussians(modes: int = 8, radius: float = 2.0, scale: float = 0.02) -> Mixture:
    """``modes`` equal Gaussians on a circle: the mode-collapse test of the VEEGAN and PacGAN papers."""
    angle = 2.0 * math.pi * numpy.arange(modes) / modes
    return _mixture(radius * numpy.stack([numpy.cos(angle), numpy.sin(angle)], axis=1), scale)


def grid_of_gaussians(side: int = 5, spacing: float = 2.0, scale: float = 0.05) -> Mixture:
    """``side`` x ``side`` equal Gaussians on a square grid around 0."""
    line = spacing * (numpy.arange(side) - (side - 1) / 2.0)
    return _mixture(numpy.stack(numpy.meshgrid(line, line), axis=-1).reshape(-1, 2), scale)


def swiss_roll(rng: Generator, n: int, noise: float = 0.1) -> Array:
    """A spiral of one and a half turns, about 2 wide."""
    t = 1.5 * math.pi * (1.0 + 2.0 * rng.uniform((n,)))
    return (stack([t * cos(t), t * sin(t)], axis=1) + 5.0 * noise * rng.normal((n, 2))) / 7.0


def moons(rng: Generator, n: int, noise: float = 0.1) -> Array:
    """Two half circles, each reaching into the other."""
    angle = math.pi * rng.uniform((n,))
    lower = xp.astype(rng.uniform((n,)) < 0.5, xp.float32)
    x = (1.0 - 2.0 * lower) * cos(angle) + lower
    y = (1.0 - 2.0 * lower) * sin(angle) + 0.5 * lower
    return stack([x, y], axis=1) + noise * rng.normal((n, 2))


def rings(rng: Generator, n: int, noise: float = 0.08) -> Array:
    """Two circles around one centre, of radius 1 and 2."""
    angle = 2.0 * math.pi * rng.uniform((n,))
    radius = 1.0 + xp.astype(rng.uniform((n,)) < 0.5, xp.float32)
    return reshape(radius, (-1, 1)) * stack([cos(angle), sin(angle)], axis=1) + noise * rng.normal((n, 2))


def checkerboard(rng: Generator, n: int, squares: int = 4) -> Array:
    """Uniform on every other square of a board from -2 to 2."""
    row = xp.astype(rng.integers(0, squares, (n,)), xp.float32)
    column = 2.0 * xp.astype(rng.integers(0, squares // 2, (n,)), xp.float32) + row - 2.0 * xp.floor(row / 2.0)
    corner = stack([column, row], axis=1)
    return (corner + rng.uniform((n, 2))) * (4.0 / squares) - 2.0


def moons_curve(n: int) -> numpy.ndarray:
    """``n`` points on each of the two half circles: with Gaussian noise around them, the density of :func:`moons`."""
    angle = math.pi * (numpy.arange(n) + 0.5) / n
    upper = numpy.stack([numpy.cos(angle), numpy.sin(angle)], axis=1)
    return numpy.concatenate([upper, numpy.array([1.0, 0.5]) - upper]).astype("float32")


def rings_curve(n: int) -> numpy.ndarray:
    """``n`` points on each of the two circles: with Gaussian noise around them, the density of :func:`rings`."""
    angle = 2.0 * math.pi * (numpy.arange(n) + 0.5) / n
    circle = numpy.stack([numpy.cos(angle), numpy.sin(angle)], axis=1)
    return numpy.concatenate([circle, 2.0 * circle]).astype("float32")


def checkerboard_log_prob(x: Array, squares: int = 4) -> numpy.ndarray:
    """The log density of :func:`checkerboard` at rows (n, 2): log 1/8 on the squares of one colour, elsewhere -inf."""
    points = to_numpy(x)
    column, row = (numpy.floor((points[:, i] + 2.0) * squares / 4.0) for i in range(2))
    inside = (numpy.abs(points) <= 2.0).all(axis=1) & ((column + row) % 2 == 0)
    return numpy.where(inside, -math.log(8.0), -math.inf)


def bars_and_stripes(side: int) -> numpy.ndarray:
    """All 2 * 2^side - 2 images of side x side bits whose rows, or whose columns, are each of one colour (MacKay 2003)."""
    lines = (numpy.arange(2**side)[:, None] >> numpy.arange(side)) & 1
    rows, columns = numpy.repeat(lines, side, axis=1), numpy.tile(lines, (1, side))
    return numpy.unique(numpy.concatenate([rows, columns]), axis=0).astype("float32")
