r"""Planar flows: space stretched or squeezed across planes (Rezende and Mohamed 2015; lectures L3 and L4 "Planar Flows").

    f(z) = z + u g(w' z + b),    g = tanh,    log |det df/dz| = log |1 + g'(w' z + b) u' w|

The second is the matrix determinant lemma. f can be inverted where 1 + g' u' w > 0, which g' <= 1 makes hold for
u' w > -1. So the u of the formulas is not the one that is trained, v, but

    u = v + (m(w' v) - w' v) w / |w|^2,    which has u' w = m(w' v),    m(t) = softplus(t + log(e - 1)) - 1 > -1.

(The paper's m lacks log(e - 1). With it m(0) = 0: v = 0 is the identity, and u stays bounded as w goes to 0.) Rounding has the
last word: in float32, 1 + u' w is 0 from w' v = -105 on.

Maps in a row are computed together. What they add up to is z_K = z_0 + sum_k u_k g_k, g_k = tanh(a_k), so that

    a_k = w_k' z_(k-1) + b_k = w_k' z_0 + b_k + sum_(j<k) (w_k' u_j) g_j

needs no point in between: one product for all w_k' z_0, one for all w_k' u_j, and a small one for each map.
"""

from __future__ import annotations

import math

from ... import trees
from ...autodiff import (
    concat,
    expm1,
    log,
    matrix_transpose,
    operation,
    permute_dims,
    reshape,
    softplus,
    square,
    squeeze,
    sum,
    tanh,
    tril,
)
from ...backend import Array, recorded, xp, zeros
from ...bijections import Bijection
from ...random import Generator

SHIFT = math.log(math.e - 1.0)


class Planar(Bijection):
    """f_K(... f_1(z)), f_k(z) = z + u_k tanh(w_k' z + b_k), with v_k in place of u_k.

    Axes of the parameters between the first and the last two make a stack of flows, each for points of its own.
    """

    v: Array  # (K, ..., d, 1)
    w: Array  # (K, ..., d, 1)
    b: Array  # (K, ..., 1, 1)

    @classmethod
    def init(cls, rng: Generator, K: int, dim: int = 2, stack: tuple[int, ...] = (), scale: float = 0.1) -> Planar:
        """w ~ N(0, 1), v ~ N(0, scale^2), b = 0: near the identity."""
        w = rng.normal((K, *stack, dim, 1))
        return cls(scale * rng.normal((K, *stack, dim, 1)), w, zeros((K, *stack, 1, 1), w))

    @classmethod
    def of(cls, u: Array, w: Array, b: Array) -> Planar:
        """The maps with the formula's own u (K, d), w (K, d) and b (K,). Raises ``ValueError`` where not all u' w > -1."""
        uw = sum(u * w, axis=-1, keepdims=True)
        if not bool(xp.all(uw > -1.0)):
            raise ValueError(f"Planar.of: u' w is {float(xp.min(uw)):g}: at -1 or below, the map cannot be inverted")
        t = 1.0 + uw + log(-expm1(-1.0 - uw)) - SHIFT  # m(t) = u' w
        v = u + (t - uw) * w / (sum(square(w), axis=-1, keepdims=True) + 1e-30)
        return cls(*[reshape(p, (w.shape[0], -1, 1)) for p in (v, w, b)])

    def _in_rows(self) -> tuple[Array, Array, Array, Array]:
        """w, u (..., K, d), b, and s = 1 + u' w > 0, (..., K, 1)."""
        w, v, b = (squeeze(p, -1) for p in (self.w, self.v, self.b))
        order = *range(1, w.ndim - 1), 0, w.ndim - 1  # the maps behind the stack
        w, v, b = (permute_dims(p, order) for p in (w, v, b))
        wv = sum(w * v, axis=-1, keepdims=True)
        s = softplus(wv + SHIFT)
        return w, v + (s - 1.0 - wv) * w / (sum(square(w), axis=-1, keepdims=True) + 1e-30), b, s

    def forward_and_log_det(self, z: Array) -> tuple[Array, Array]:
        (w, u, b, s), z = self._in_rows(), matrix_transpose(z)  # points as columns, as in the formula
        # formula: planar
        g = maps(w @ z + b, w @ matrix_transpose(u))
        return matrix_transpose(z + matrix_transpose(u) @ g), _log_det(g, s)

    def inverse_and_log_det(self, x: Array) -> tuple[Array, Array]:
        """Across its plane a map is one number's: a + u' w tanh(a) = w' x + b gives a = w' z + b, and z = x - u tanh(a)."""
        (w, u, b, s), x, g = self._in_rows(), matrix_transpose(x), []
        for k in reversed(range(w.shape[-2])):
            k_th = (..., slice(k, k + 1), slice(None))
            g.append(tanh(solve(w[k_th] @ x + b[k_th], s[k_th])))
            x = matrix_transpose(u[k_th]) @ -g[-1] + x
        return matrix_transpose(x), -_log_det(concat(g[::-1], axis=-2), s)

    def __len__(self) -> int:
        return int(self.w.shape[0])

    def __getitem__(self, maps: slice) -> Planar:
        part: Planar = trees.map(lambda p: p[maps, ...], self)
        return part

    def member(self, *index: int) -> Planar:
        """One flow of the stack, whose axes come after that of the maps."""
        one: Planar = trees.map(lambda p: p[(slice(None), *index, ...)], self)
        return one


def _log_det(g: Array, s: Array) -> Array:
    """The sum of log(1 + g' u' w) over the maps, with g' = 1 - tanh^2 and u' w = s - 1: log of a sum of positive terms."""
    # formula: planar
    return sum(log(square(g) + s * (1.0 - square(g))), axis=-2)


@operation(
    lambda grad, g, c, A: substitute(grad, 1.0 - square(g), A, True),
    lambda grad, g, c, A: _below(substitute(grad, 1.0 - square(g), A, True) @ matrix_transpose(g)),
    broadcasts=True,
)
@recorded
def maps(c: Array, A: Array, out: Array | None = None) -> Array:
    """g_k = tanh(c_k + sum_(j<k) A_kj g_j), one k after the other: c (..., K, n), A (..., K, K) -> (..., K, n)."""
    g = xp.empty_like(c) if out is None else out
    g[..., :1, :] = xp.tanh(c[..., :1, :])
    for k in range(1, c.shape[-2]):
        g[..., k : k + 1, :] = xp.tanh(c[..., k : k + 1, :] + A[..., k : k + 1, :k] @ g[..., :k, :])
    return g


@operation(
    lambda grad, y, x, D, A, up: substitute(grad, D, A, not up),
    lambda grad, y, x, D, A, up: _with_others(grad, substitute(grad, D, A, not up), A, not up) * _with_others(x, y, A, up),
    lambda grad, y, x, D, A, up: _taken(substitute(grad, D, A, not up), y, up),
    broadcasts=True,
)
@recorded
def substitute(x: Array, D: Array, A: Array, up: bool, out: Array | None = None) -> Array:
    """y = D (x + L y), L the strictly lower triangle of A; with ``up`` y = D (x + L' y): the derivative of :func:`maps`."""
    y, K = xp.empty_like(x) if out is None else out, x.shape[-2]
    A = xp.matrix_transpose(A) if up else A
    for i in range(K):  # how many rows are known
        k, known = (K - 1 - i, slice(K - i, K)) if up else (i, slice(0, i))
        row = x[..., k : k + 1, :]
        if i:
            row = row + A[..., k : k + 1, known] @ y[..., known, :]
        y[..., k : k + 1, :] = D[..., k : k + 1, :] * row
    return y


def _below(A: Array) -> Array:
    """L."""
    return A * tril(xp.ones_like(A), -1)


def _with_others(x: Array, y: Array, A: Array, up: bool) -> Array:
    """x + L y, or x + L' y."""
    return x + (matrix_transpose(_below(A)) if up else _below(A)) @ y


def _taken(q: Array, y: Array, up: bool) -> Array:
    """The derivative by A: q_k y_j where row k takes from row j."""
    return _below(y @ matrix_transpose(q) if up else q @ matrix_transpose(y))


@operation(
    lambda grad, a, y, s: grad / _slope(a, s),
    lambda grad, a, y, s: -grad * tanh(a) / _slope(a, s),
    broadcasts=True,
)
def solve(y: Array, s: Array, /) -> Array:
    """The one a with a + (s - 1) tanh(a) = y, for s > 0."""
    return _newton(y, s)


def _slope(a: Array, s: Array) -> Array:
    """d/da of a + (s - 1) tanh(a)."""
    g = square(tanh(a))
    return g + s * (1.0 - g)


@recorded
def _newton(y: Array, s: Array) -> Array:
    """Newton's method on the side y >= 0, where the curve bends one way only: from the right start it never overshoots.

    For s > 1 the curve is concave and Newton climbs from below; for s < 1 it is convex, and Newton comes down from above.
    """
    c, size = s - 1.0, xp.abs(y)
    first, second = size - c, size / s
    cubic = size + xp.sqrt(xp.sqrt(4.2 * size))  # a - tanh(a) >= a^3 / 4.2 up to a = 1, and a - 1 beyond
    a = xp.where(c > 0.0, xp.maximum(first, second), xp.minimum(xp.minimum(first, second), cubic))
    tolerance = 4.0 * float(xp.finfo(y.dtype).eps)
    for _ in range(100):
        t = xp.tanh(a)
        rest, square_t = a + c * t - size, t * t
        if not xp.any(xp.abs(rest) > tolerance * xp.maximum(a, size)):  # NaN is not waited for
            break
        a = a - rest / (square_t + s * (1.0 - square_t))
    return xp.sign(y) * a
