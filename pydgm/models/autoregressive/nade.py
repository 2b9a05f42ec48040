r"""NADE, the neural autoregressive distribution estimator: conditionals that share their weights (Larochelle and Murray 2011;
Uria et al. 2016; lectures L3 and L4, "Fully Observed Models").

    h_d = sigma(c + sum_(j<d) W_j x_j),        p(x_d = 1 | x_<d) = sigma(b_d + V_d . h_d)

From d to d + 1 only W_d x_d is added to the sum, so all D conditionals cost O(D H) and not O(D^2 H). That recursion is one
operation, :func:`outputs`: a few columns at a time, in memory that stays in the cache.
"""

from __future__ import annotations

from typing import Any

import numpy

from ...autodiff import concat, cumulative_sum, expand_dims, operation, sigmoid, sum, take, vjp
from ...backend import Array, recorded, xp, zeros
from ...nn import glorot_uniform
from ...nn.layers import Initialiser, check_init
from ...random import Generator
from .base import Autoregressive, check_places


class NADE(Autoregressive):
    """b (D,), c (H,), V and W (D, H), whose d-th rows are those of the d-th variable in the order."""

    W: Array
    c: Array
    V: Array
    b: Array

    @classmethod
    def init(
        cls, rng: Generator, D: int, hidden: int, places: Array | None = None, weight: Initialiser = glorot_uniform
    ) -> NADE:
        """For D variables as they stand, or in one other order (1, D): :func:`.base.random_orders`."""
        check_init(rng, "NADE.init", D=D, hidden=hidden)
        W, V = weight(rng, (D, hidden), D, hidden), weight(rng, (D, hidden), hidden, D)
        return cls(check_places(places, D, "NADE.init", most=1), W, zeros((hidden,), W), V, zeros((D,), W))

    def logits(self, x: Array, order: Any = 0) -> Array:
        """b_d + V_d . h_d for each variable, (n, D) -> (n, D)."""
        weights = concat([self.W, self.V, expand_dims(self.c, 0)], axis=0)
        in_order = take(x, xp.argsort(self.places[0, :]), axis=1)
        return take(self.b + outputs(in_order, weights), self.places[0, :], axis=1)

    def complete(self, rng: Generator, x: Array, known: int, order: int = 0) -> Array:
        """As in the base class; with c + sum_(j<d) W_j x_j kept from variable to variable, in O(D H) and not O(D^2 H)."""
        x = self._given(x, known, order)
        columns, a = {}, zeros((x.shape[0], 1), x) + self.c
        for d, i in enumerate(self._sequence(order)):
            drawn = x[:, i : i + 1]
            if d >= known:
                h = sigmoid(a)
                drawn = rng.bernoulli(sigmoid(self.b[d] + sum(h * self.V[d, :], axis=1, keepdims=True)))
            columns[i] = drawn
            a = a + drawn * self.W[d, :]
        return concat([columns[i] for i in sorted(columns)], axis=1)


def _formula(x: Array, weights: Array) -> Array:
    """:func:`outputs` as it is written, with all D H numbers of a row at once: what second derivatives are taken of."""
    D = x.shape[1]
    W, V, c = weights[:D, :], weights[D : 2 * D, :], weights[2 * D, :]
    steps = cumulative_sum(expand_dims(x[:, :-1], 2) * W[:-1, :], axis=1)
    h = sigmoid(c + concat([zeros((x.shape[0], 1, W.shape[1]), x), steps], axis=1))
    return sum(h * V, axis=2)


@operation(
    lambda g, u, x, weights: vjp(lambda x: _formula(x, weights), x)[1](g)[0],
    lambda g, u, x, weights: weights_gradient(g, x, weights),
)
@recorded
def outputs(x: Array, weights: Array) -> Array:
    """u_d = V_d . sigma(c + sum_(j<d) W_j x_j): (n, D) -> (n, D). ``weights`` (2 D + 1, H) are W, V and, the last row, c."""
    D, a, u = x.shape[1], weights[2 * x.shape[1] :, :] + zeros((x.shape[0], 1), x), []
    for part in _blocks(x, weights):
        sums = []
        for d in part:
            sums.append(a)
            a = a + x[:, d : d + 1] * weights[d, :]
        # formula: nade
        u.append(xp.matmul(_sigmoid(sums), weights[D + part.start : D + part.stop, :, None])[:, :, 0])
    return xp.matrix_transpose(xp.concat(u, axis=0))


@operation(
    lambda slope, y, g, x, weights: _second(slope, g, x, weights)[0],
    lambda slope, y, g, x, weights: _second(slope, g, x, weights)[1],
    lambda slope, y, g, x, weights: _second(slope, g, x, weights)[2],
)
@recorded
def weights_gradient(g: Array, x: Array, weights: Array) -> Array:
    """The derivative of sum(g u) by the weights: dW_j = x_j sum_(d>j) e_d, dV_d = g_d h_d, dc = sum_d e_d, summed over rows,
    with e_d = g_d V_d h_d (1 - h_d). From the last column to the first, so that the sums over later ones are at hand.
    """
    D, columns = x.shape[1], xp.matrix_transpose(x)
    a, later, dW, dV = weights[2 * D :, :] + x @ weights[:D, :], zeros((x.shape[0], weights.shape[1]), x), [], []
    for part in reversed(_blocks(x, weights)):
        sums, laters = [], []
        for d in reversed(part):
            a = a - x[:, d : d + 1] * weights[d, :]
            sums.append(a)
        h, each = _sigmoid(sums[::-1]), xp.matrix_transpose(g[:, part.start : part.stop])
        e = each[:, :, None] * weights[D + part.start : D + part.stop, None, :] * (h - h * h)
        for i in reversed(range(len(part))):
            laters.append(later)
            later = later + e[i, ...]
        dW.append(xp.matmul(columns[part.start : part.stop, None, :], xp.stack(laters[::-1]))[:, 0, :])
        dV.append(xp.matmul(each[:, None, :], h)[:, 0, :])
    return xp.concat([*dW[::-1], *dV[::-1], xp.sum(later, axis=0, keepdims=True)], axis=0)


def _blocks(x: Array, weights: Array) -> list[range]:
    """A few columns at a time, so that what is computed of them stays in the cache."""
    (n, D), H = x.shape, weights.shape[1]
    size = max(1, min(D, xp.library.block // max(1, n * H)))
    return [range(i, min(i + size, D)) for i in range(0, D, size)]


def _sigmoid(sums: list[Array]) -> Array:
    with numpy.errstate(over="ignore"):  # 1 / (1 + infinity) is the right 0
        return 1.0 / (1.0 + xp.exp(-xp.stack(sums)))


def _second(slope: Array, *arguments: Array) -> Any:
    """The derivatives of sum(slope dweights) by g, x and the weights."""
    return vjp(lambda g, x, weights: vjp(lambda w: _formula(x, w), weights)[1](g)[0], *arguments)[1](slope)
