r"""Density estimation by autoregression: any joint probability is a product of conditionals, in whatever order.

    p(x) = prod_t p(x_o(t) | x_o(1), ..., x_o(t-1))                                (lectures L3 and L4, "Fully Observed Models")

No latent variable and no Z, so log p(x) is exact. Which order o one takes is no matter of probability, but of what a network
can learn: models of several orders are a mixture of them, p(x) = 1/K sum_k p_k(x). (A mean over the orders' *logits* is another
thing, and no probability: it does not sum to 1 over x.)
"""

from __future__ import annotations

import math
from typing import Any

import numpy

from ... import checks
from ...autodiff import concat, expand_dims, logsumexp, mean, reshape, sigmoid, softplus, sum, take, where
from ...backend import Array, arange, to_numpy, zeros
from ...distributions.base import Distribution, Shape, as_floats, as_tuple
from ...errors import ArgumentError, shape_text
from ...nn import static
from ...nn.layers import check_init
from ...random import Generator


class Autoregressive(Distribution):
    """A probability of rows of ``D`` zeros and ones. A model of this kind has ``places`` and ``logits``.

    ``places`` (K, D), integers: ``places[k, i]`` says as which variable, from 0 on, x_i comes in order k.
    """

    places: Array = static()

    def logits(self, x: Array, order: Any = 0) -> Array:
        """log p / (1 - p) of p = p(x_i = 1 | what comes before x_i in that order), for each i: (n, D) -> (n, D)."""
        raise NotImplementedError(f"{type(self).__name__} has no logits(x, order)")

    @property
    def event_ndim(self) -> int:
        return 1

    @property
    def shape(self) -> Shape:
        return (int(self.places.shape[1]),)

    @property
    def orders(self) -> int:
        """K, how many orders p is the mixture of."""
        return int(self.places.shape[0])

    def log_prob_in(self, x: Array, order: Any = 0) -> Array:
        """log p_k(x), in nats, in one order: (..., D) -> (...)."""
        self._check_rows(x, order)
        rows = as_floats(reshape(x, (-1, self.shape[0])))
        l = self.logits(rows, order)  # noqa: E741
        # formula: autoregression
        return reshape(sum(rows * l - softplus(l), axis=-1), x.shape[:-1])

    def log_prob(self, x: Array) -> Array:
        """log p(x), in nats: (..., D) -> (...). Of several orders log 1/K sum_k p_k(x)."""
        each = [expand_dims(self.log_prob_in(x, k), 0) for k in range(self.orders)]
        return logsumexp(concat(each, axis=0), axis=0) - math.log(self.orders)

    def sample(self, rng: Generator, shape: int | Shape = ()) -> Array:
        """Rows (\\*shape, D), each in an order of its own, one variable after the other."""
        shape, D = as_tuple(shape), self.shape[0]
        n = math.prod(shape)
        which = to_numpy(rng.integers(0, self.orders, (n,)))
        parts = [self.complete(rng, zeros((m, D)), 0, k) for k in range(self.orders) if (m := int((which == k).sum()))]
        # those of one order stand side by side, until they are mixed
        return reshape(take(concat(parts, axis=0), rng.permutation(n), axis=0), (*shape, D)) if parts else zeros((*shape, D))

    def complete(self, rng: Generator, x: Array, known: int, order: int = 0) -> Array:
        """The rows ``x`` (n, D) with all but the first ``known`` variables of the order drawn anew, given these."""
        x = self._given(x, known, order)
        for i in self._sequence(order)[known:]:
            p = sigmoid(self.logits(x, order)[:, i : i + 1])
            x = where(arange(self.shape[0], x) == i, rng.bernoulli(p), x)
        return x

    def _sequence(self, order: int) -> list[int]:
        """The variables in order: o(1), o(2), ... as indices from 0 on."""
        places: list[int] = to_numpy(self.places)[order].tolist()
        return sorted(range(len(places)), key=places.__getitem__)

    def _check_rows(self, x: Array, order: Any) -> None:
        name = type(self).__name__
        checks.width(x, self.shape[0], f"{name}: rows of x")
        checks.binary(x, f"{name}: x")
        if isinstance(order, int) and order not in range(self.orders):
            raise ArgumentError(f"{name}: wanted one of {self.orders} orders, from 0 on, got {order}")

    def _given(self, x: Array, known: int, order: int) -> Array:
        """The rows that :meth:`complete` starts from: 0 in the place of what is not known."""
        name = f"{type(self).__name__}.complete"
        checks.width(x, self.shape[0], f"{name}: x")
        checks.count(known, f"{name}: how many are known", 0)
        if x.ndim != 2 or known > self.shape[0] or order not in range(self.orders):
            wanted = f"rows (n, {self.shape[0]}), at most as many known, and one of {self.orders} orders, from 0 on"
            raise ArgumentError(f"{name}: wanted {wanted}; got {tuple(x.shape)}, {known} and {order}")
        given = as_floats(where(self.places[order, :] < known, x, zeros(x.shape)))
        self._check_rows(given, order)
        return given


def nll(model: Autoregressive, x: Array, rng: Generator) -> Array:
    """-log p_k(x), the mean over the rows, in nats, in an order k that is drawn for each batch.

    For one order that is the negative log-likelihood; for several its mean over k is an upper bound of it (Jensen; Uria et al.
    2014).
    """
    order = rng.integers(0, model.orders) if model.orders > 1 else 0
    return -mean(model.log_prob_in(x, order))


def natural_order(D: int) -> Array:
    """That of the variables as they stand: places (1, D)."""
    return expand_dims(arange(D), 0)


def random_orders(rng: Generator, D: int, n: int) -> Array:
    """``n`` orders, each as likely as any other: places (n, D)."""
    check_init(rng, "random_orders", D=D, n=n)
    return concat([expand_dims(rng.permutation(D), 0) for _ in range(n)], axis=0)


def check_places(places: Array | None, D: int, who: str, most: float = math.inf) -> Array:
    """``places``, or the natural order. Raises unless each row holds 0 to D - 1, each once."""
    if places is None:
        return natural_order(D)
    checks.width(places, D, f"{who}: places")
    host = to_numpy(places)
    whole = host.ndim == 2 and host.dtype.kind in "iu" and 1 <= len(host) <= most
    if not whole or (numpy.sort(host, axis=1) != numpy.arange(D)).any():
        wanted = f"{'one order' if most == 1 else 'orders'}, integers (n, {D}), each row 0 to {D - 1} in some order"
        raise ArgumentError(f"{who}: places: wanted {wanted}; random_orders(rng, {D}, 1) is one; got {shape_text(places)}")
    return places
