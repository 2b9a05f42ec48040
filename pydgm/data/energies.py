r"""Four energies in the plane, whose densities exp(-U) / Z are hard for a Gaussian: Rezende and Mohamed 2015, Table 1.

U_2, U_3 and U_4 do not grow along z_1: exp(-U) has no finite integral, and there is no density to fit (the paper shows a
window of the plane). Here every U has walls: outside of abs(z_1) = 4 it grows as the square of the distance, and Z is finite.
"""

from __future__ import annotations

import math

from ..autodiff import abs, exp, logsumexp, relu, sigmoid, sin, square, stack, vector_norm
from ..backend import Array


def _walls(x: Array) -> Array:
    return 0.5 * square(relu(abs(x) - 4.0) / 0.4)


def _either(*energies: Array) -> Array:
    """-log(exp(-U) + exp(-V))."""
    return -logsumexp(stack([-u for u in energies]), axis=0)


def _wave(x: Array) -> Array:
    """w_1 = sin(2 pi z_1 / 4)."""
    return sin(0.5 * math.pi * x)


def two_moons(z: Array) -> Array:
    """U_1 = ((|z| - 2) / 0.4)^2 / 2 - log(exp(-((z_1 - 2) / 0.6)^2 / 2) + exp(-((z_1 + 2) / 0.6)^2 / 2))."""
    x = z[..., 0]
    ring = 0.5 * square((vector_norm(z, axis=-1) - 2.0) / 0.4)
    return ring + _either(*[0.5 * square((x - side) / 0.6) for side in (2.0, -2.0)]) + _walls(x)


def wave(z: Array) -> Array:
    """U_2 = ((z_2 - w_1) / 0.4)^2 / 2, w_1 = sin(2 pi z_1 / 4)."""
    x, y = z[..., 0], z[..., 1]
    return 0.5 * square((y - _wave(x)) / 0.4) + _walls(x)


def split_wave(z: Array) -> Array:
    """U_3: the wave, and beside it one that lies w_2 = 3 exp(-((z_1 - 1) / 0.6)^2 / 2) lower."""
    x, y = z[..., 0], z[..., 1]
    away = y - _wave(x)
    bump = 3.0 * exp(-0.5 * square((x - 1.0) / 0.6))
    return _either(0.5 * square(away / 0.35), 0.5 * square((away + bump) / 0.35)) + _walls(x)


def forked_wave(z: Array) -> Array:
    """U_4: the wave, and beside it one that lies w_3 = 3 sigma((z_1 - 1) / 0.3) lower."""
    x, y = z[..., 0], z[..., 1]
    away = y - _wave(x)
    return _either(0.5 * square(away / 0.4), 0.5 * square((away + 3.0 * sigmoid((x - 1.0) / 0.3)) / 0.35)) + _walls(x)


ENERGIES = {"$U_1$": two_moons, "$U_2$": wave, "$U_3$": split_wave, "$U_4$": forked_wave}
