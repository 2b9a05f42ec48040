r"""MADE, the masked autoencoder for distribution estimation: all conditionals in one pass (Germain et al. 2015; lectures L3 and
L4, "Fully Observed Models").

    h = relu((W * M_W) x + c),    logits = (V * M_V) h + (A * M_A) x + b

Every unit has a degree m. An input's is its place in the order, 1 to D; a hidden unit's is drawn between 1 and D - 1, and says
how many of the first inputs it may see. A weight is there where

    M_W: m(hidden) >= m(input),    M_V: m(output) > m(hidden),    M_A: m(output) > m(input),

so that output d hears of the inputs before d and of no other: p(x) = prod_d p(x_d | x_<d) is normalised. With several sets of
degrees one network learns several orders at once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

from ... import checks
from ...autodiff import astype, concat, expand_dims, relu, reshape, take
from ...backend import Array, arange, xp, zeros
from ...errors import ArgumentError, shape_text
from ...nn import Linear, MaskedLinear, Module, glorot_uniform, static
from ...nn.layers import Initialiser, check_init
from ...random import Generator
from .base import Autoregressive, check_places


class MADE(Autoregressive):
    """``layers``, with relu between them, and ``direct`` A (D, D) from the inputs to the outputs past all of them.

    ``degrees``: of each hidden layer's units, (K, width), a row for each of the K orders.
    """

    layers: tuple[Linear, ...]
    direct: Array
    degrees: tuple[Array, ...] = static()
    activation: Callable[[Array], Array] = relu

    @classmethod
    def init(
        cls,
        rng: Generator,
        D: int,
        hidden: Sequence[int],
        places: Array | None = None,
        activation: Callable[[Array], Array] = relu,
        weight: Initialiser = glorot_uniform,
    ) -> MADE:
        """For D variables as they stand, or in the orders ``places`` (K, D), :func:`.base.random_orders`; widths of the layers.

        Degrees are drawn by :func:`draw_degrees`: a unit below the lowest of the layer before would hear nothing.
        """
        check_init(rng, "MADE.init", D=D)
        check_hidden(hidden, "MADE.init")
        places = check_places(places, D, "MADE.init")
        layers = tuple(Linear.init(rng, n, m, weight) for n, m in pairwise([D, *hidden, D]))
        return cls(places, layers, zeros((D, D)), draw_degrees(rng, hidden, D, int(places.shape[0])), activation)

    def masks(self, order: Any = 0) -> list[Array]:
        """M_W of each hidden layer (in, out), M_V, and M_A, of zeros and ones."""
        place, *hidden = (_row(m, order) for m in (self.places + 1, *self.degrees))
        return masks(place, hidden, self.direct.dtype)

    def logits(self, x: Array, order: Any = 0) -> Array:
        """Of all conditionals, (n, D) -> (n, D)."""
        *masks, last, direct = self.masks(order)
        h = x
        for layer, mask in zip(self.layers, masks, strict=False):
            h = self.activation(h @ (layer.weight * mask) + layer.bias)
        # formula: made
        return h @ (self.layers[-1].weight * last) + x @ (self.direct * direct) + self.layers[-1].bias


class MaskedMLP(Module):
    """Some numbers about each x_i, heard of those before it alone: (..., D) -> (..., numbers, D).

    The network of MADE in one order, for whatever the numbers are: a mean and a scale, the weights of a mixture. Degrees are
    dealt evenly, so that with as many units as variables each x_i hears of all before it by way of the units. The last layer
    takes x beside them: the direct way, M_A.
    """

    layers: tuple[MaskedLinear, ...]
    activation: Callable[[Array], Array] = relu

    @classmethod
    def init(
        cls,
        rng: Generator,
        place: Array,
        hidden: Sequence[int],
        numbers: int,
        activation: Callable[[Array], Array] = relu,
        last: Initialiser = glorot_uniform,
    ) -> MaskedMLP:
        """``place`` (D,): as which each variable comes, from 0 on; those of one place hear nothing of each other. ``last``
        draws the last layer's weights."""
        check_hidden(hidden, "MaskedMLP.init")
        degrees = [arange(width) * int(xp.max(place)) // width + 1 for width in hidden]  # 1 to D - 1
        *of_layers, above, past = masks(place + 1, degrees, xp.float32)
        layers = [MaskedLinear.init(rng, mask) for mask in of_layers]
        both = concat([above, past], axis=0)
        return cls((*layers, MaskedLinear.init(rng, concat([both] * numbers, axis=1), last)), activation)

    def __call__(self, x: Array) -> Array:
        h = x
        for layer in self.layers[:-1]:
            h = self.activation(layer(h))
        out, D = self.layers[-1](concat([h, x], axis=-1)), x.shape[-1]
        return reshape(out, (*x.shape[:-1], out.shape[-1] // D, D))


def check_hidden(hidden: Sequence[int], who: str) -> None:
    """Raises unless these are widths of one or more layers."""
    if not isinstance(hidden, list | tuple) or not hidden:
        raise ArgumentError(f"{who}: wanted the widths of the hidden layers, [500], got {shape_text(hidden)}")
    for width in hidden:
        checks.count(width, f"{who}: a hidden width")


def draw_degrees(rng: Generator, hidden: Sequence[int], most: int, orders: int) -> tuple[Array, ...]:
    """Of each layer's units, (orders, width): between 1 and ``most`` - 1, none below the lowest of the layer before."""
    degrees, lowest = [], [1] * orders
    for width in hidden:
        drawn = [rng.integers(low, max(most, low + 1), (width,)) for low in lowest]
        lowest = [int(xp.min(m)) for m in drawn]
        degrees.append(concat([expand_dims(m, 0) for m in drawn], axis=0))
    return tuple(degrees)


def masks(place: Array, hidden: Sequence[Array], dtype: object) -> list[Array]:
    """M_W of each hidden layer (in, out), M_V, and M_A, for the degrees of inputs and outputs, and of hidden units."""
    of_layers = [expand_dims(below, 1) <= above for below, above in zip([place, *hidden], hidden, strict=False)]
    last = [expand_dims(below, 1) < place for below in (hidden[-1], place)]
    return [astype(mask, dtype) for mask in (*of_layers, *last)]


def _row(m: Array, order: Any) -> Array:
    """The row of one order, which is a number or, drawn in a compiled step, an array of one."""
    return m[order, :] if isinstance(order, int) else reshape(take(m, reshape(order, (1,)), axis=0), (-1,))
