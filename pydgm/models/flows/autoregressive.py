r"""Autoregressive flows: each coordinate is moved and stretched by amounts that those before it decide (lectures L3 and L4,
"Fully Observed Models").

    x_i = mu_i(x_<i) + exp(a_i(x_<i)) z_i,      log |det dx/dz| = sum_i a_i

One masked network gives mu and a of all coordinates, so the way back, from x to z, is one pass. Forward x_i has to be there
before x_(i+1) can be: :class:`MAF` is fast to score and slow to sample (Papamakarios, Pavlakou and Murray 2017). :class:`IAF`
is the same map the other way round, fast to sample and slow to score (Kingma et al. 2016). With two groups in place of single
coordinates, of which the first decides about the second, both ways are fast: :class:`Coupling` (Dinh, Sohl-Dickstein and Bengio
2017, RealNVP).

Given those before it, each x_i of one such map is as Gaussian as z_i was. So a chain of them begins better at a density whose
conditionals are mixtures, :class:`pydgm.models.autoregressive.MixtureMADE` (the first of these papers, section 4).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ...autodiff import exp, relu, sum, tanh
from ...backend import Array, arange, xp, zeros
from ...bijections import Bijection, Inverse
from ...nn import static
from ...nn.layers import check_init
from ...random import Generator
from ..autoregressive.base import check_places
from ..autoregressive.made import MaskedMLP

BOUND = 2.0
"""No map stretches by more than e^BOUND: where a is any number, chains of maps overflow while they learn."""


class MAF(Bijection):
    """``network`` gives mu and a: x (..., d) -> (..., 2, d). ``turn`` (d,): when each coordinate is drawn, from 0 on; those of
    one turn decide nothing about each other. At first it is the identity.

    One map stretches by e^-2 to e^2 at most: data of another width are standardised first, or the chain ends with
    :meth:`.Affine.fit`.
    """

    network: MaskedMLP
    turn: Array = static()

    @classmethod
    def init(
        cls,
        rng: Generator,
        dim: int,
        hidden: Sequence[int],
        places: Array | None = None,
        activation: Callable[[Array], Array] = relu,
    ) -> MAF:
        """One coordinate a turn, as they stand or in the order ``places`` (1, dim); widths of the hidden layers."""
        check_init(rng, "MAF.init", dim=dim)
        maf: MAF = cls._of(rng, hidden, check_places(places, dim, "MAF.init", 1)[0, :], activation)
        return maf

    @classmethod
    def _of(cls, rng: Generator, hidden: Sequence[int], turn: Array, activation: Callable[[Array], Array]) -> Any:
        return cls(MaskedMLP.init(rng, turn, hidden, 2, activation, lambda rng, shape, *fans: zeros(shape)), turn)

    def _amounts(self, x: Array) -> tuple[Array, Array]:
        """mu and a, (..., d) each. abs(a) stays below BOUND."""
        both = self.network(x)
        return both[..., 0, :], BOUND * tanh(both[..., 1, :] / BOUND)

    def inverse_and_log_det(self, x: Array) -> tuple[Array, Array]:
        """z and log |det dz/dx|, in one pass."""
        mu, a = self._amounts(x)
        # formula: autoregressive-flow
        return (x - mu) * exp(-a), -sum(a, axis=-1)

    def forward_and_log_det(self, z: Array) -> tuple[Array, Array]:
        """x and log |det dx/dz|, in a pass for each turn: after t passes the coordinates of the first t turns are there."""
        x = a = zeros(z.shape, z)
        for _ in range(int(xp.max(self.turn)) + 1):
            mu, a = self._amounts(x)
            # formula: autoregressive-flow
            x = mu + exp(a) * z
        return x, sum(a, axis=-1)


class Coupling(MAF):
    """Two turns: the second half of the coordinates after the first, or with ``flip`` before it.

    (RealNVP leaves the first group as it is; here it is moved and stretched by constants.)
    """

    @classmethod
    def init(  # type: ignore[override]
        cls,
        rng: Generator,
        dim: int,
        hidden: Sequence[int],
        *,
        flip: bool = False,
        activation: Callable[[Array], Array] = relu,
    ) -> Coupling:
        check_init(rng, "Coupling.init", dim=dim)
        second = arange(dim) // ((dim + 1) // 2)
        coupling: Coupling = cls._of(rng, hidden, 1 - second if flip else second, activation)
        return coupling


class IAF(Inverse):
    """A :class:`MAF` the other way round: z decides, and x_i = (z_i - mu_i(z_<i)) exp(-a_i(z_<i))."""

    @classmethod
    def init(
        cls,
        rng: Generator,
        dim: int,
        hidden: Sequence[int],
        places: Array | None = None,
        activation: Callable[[Array], Array] = relu,
    ) -> IAF:
        """As :meth:`MAF.init`."""
        return cls(MAF.init(rng, dim, hidden, places, activation))
