r"""Radial flows: space pushed away from a point, or drawn to it (Rezende and Mohamed 2015, section 4.1).

    f(z) = z + beta (z - z_0) / (alpha + r),    r = |z - z_0|,    h = 1 / (alpha + r)
    det df/dz = (1 + beta h)^(d-1) (1 + beta h + beta h' r)

which is positive for beta > -alpha: beta = alpha (s - 1) with s = softplus(t + log(e - 1)) > 0, so t = 0 is the identity.
The inverse is a quadratic equation for r; the paper gives none.
"""

from __future__ import annotations

from collections.abc import Iterator

from ... import trees
from ...autodiff import exp, log, softplus, sqrt, square, squeeze, vector_norm, where
from ...backend import Array, zeros
from ...bijections import Bijection
from ...random import Generator
from .planar import SHIFT


class Radial(Bijection):
    """f_K(... f_1(z)), f_k(z) = z + beta_k (z - centre_k) / (alpha_k + r_k).

    Axes of the parameters between the first and the last two make a stack of flows, each for points of its own.
    """

    centre: Array  # (K, ..., 1, d)
    log_alpha: Array  # (K, ..., 1, 1)
    t: Array  # (K, ..., 1, 1), which is beta's

    @classmethod
    def init(cls, rng: Generator, K: int, dim: int = 2, stack: tuple[int, ...] = (), scale: float = 0.1) -> Radial:
        """centre ~ N(0, 1), alpha = 1, t ~ N(0, scale^2): near the identity."""
        centre = rng.normal((K, *stack, 1, dim))
        return cls(centre, zeros((K, *stack, 1, 1), centre), scale * rng.normal((K, *stack, 1, 1)))

    def _maps(self) -> Iterator[tuple[Array, Array, Array]]:
        """For each map: the centre, alpha, and s = 1 + beta / alpha."""
        alpha, s = exp(self.log_alpha), softplus(self.t + SHIFT)
        return ((self.centre[k, ...], alpha[k, ...], s[k, ...]) for k in range(s.shape[0]))

    def forward_and_log_det(self, z: Array) -> tuple[Array, Array]:
        total = 0.0
        for centre, alpha, s in self._maps():
            away = z - centre
            r = vector_norm(away, axis=-1, keepdims=True)
            z, total = z + alpha * (s - 1.0) / (alpha + r) * away, total + _log_det(r, alpha, s, z.shape[-1])
        return z, squeeze(total, -1)

    def inverse_and_log_det(self, x: Array) -> tuple[Array, Array]:
        """|f(z) - centre| = r + beta r / (alpha + r), solved for r >= 0 without cancellation."""
        total = 0.0
        for centre, alpha, s in reversed(list(self._maps())):
            away = x - centre
            distance = vector_norm(away, axis=-1, keepdims=True)
            half = 0.5 * (alpha * s - distance)
            root = sqrt(square(half) + alpha * distance)
            inside = half > 0.0
            r = where(inside, alpha * distance / where(inside, root + half, 1.0), root - half)
            x, total = centre + (alpha + r) / (r + alpha * s) * away, total - _log_det(r, alpha, s, x.shape[-1])
        return x, squeeze(total, -1)

    def __len__(self) -> int:
        return int(self.t.shape[0])

    def __getitem__(self, maps: slice) -> Radial:
        part: Radial = trees.map(lambda p: p[maps, ...], self)
        return part

    def member(self, *index: int) -> Radial:
        """One flow of the stack, whose axes come after that of the maps."""
        one: Radial = trees.map(lambda p: p[(slice(None), *index, ...)], self)
        return one


def _log_det(r: Array, alpha: Array, s: Array, dim: int) -> Array:
    """(d - 1) log(1 + beta h) + log(1 + beta h + beta h' r), over the common denominators alpha + r and its square."""
    across, along = alpha * s + r, square(alpha) * s + r * (2.0 * alpha + r)
    return (dim - 1) * log(across) + log(along) - (dim + 1) * log(alpha + r)
