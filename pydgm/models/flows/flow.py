r"""Change of variables: z_0 from a simple density, x = z_K = f_K(... f_2(f_1(z_0))), and the density of x is exact.

    log p(x) = log p_0(z_0) + sum_i log |det dz_(i-1) / dz_i|,      z_(i-1) = f_i^-1(z_i)

Rezende and Mohamed 2015; lectures L0 and L1 "Normalizing Flow", L3 and L4 "Normalizing Flows". Two slips of the lectures: L0
and L1 write z_i = f_i^-1(z_(i-1)), with the indices swapped; in the maximum likelihood of L3 and L4 a minus stands before
log |det df^-1/dx|, where the formula one slide earlier makes it a plus. (With the Jacobian of f itself it would be a minus.)

Points are rows, (n, d); log-determinants are (n,), in nats. Further axes in front are welcome: a stack of flows, each with
points of its own, is computed at once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ...autodiff import mean, sum
from ...backend import Array, zeros
from ...distributions import Normal
from ...errors import ArgumentError, ShapeError, kind_text, shape_text
from ...nn import Module
from ...random import Generator


class Bijection(Module):
    """An invertible map f of points, (..., n, d), with the logarithm of how much it stretches volume there, (..., n)."""

    def forward(self, z: Array) -> tuple[Array, Array]:
        """f(z) and log |det df/dz|."""
        raise NotImplementedError(f"{type(self).__name__} has no forward")

    def inverse(self, x: Array) -> tuple[Array, Array]:
        """f^-1(x) and log |det df^-1/dx|."""
        raise NotImplementedError(f"{type(self).__name__} has no inverse: it can be sampled from, but gives x no density")


class Flow(Bijection):
    """The chain of ``layers`` f_1, ..., f_K behind ``dim`` independent numbers of the density ``base``: itself a bijection.

    Raises :class:`ShapeError` for points that are not rows of ``dim`` numbers, and where a layer or the base makes others.
    """

    layers: Sequence[Bijection]
    dim: int = 2
    base: Any = Normal()

    def __post_init__(self) -> None:
        wrong = (
            [x for x in self.layers if not isinstance(x, Bijection)] if isinstance(self.layers, list | tuple) else [self.layers]
        )
        if wrong:
            hint = "[Planar.init(rng, 8)], say"
            raise ArgumentError(f"Flow: wanted its layers, a list of bijections, {hint}; got {kind_text(wrong[0])}")

    def forward(self, z: Array) -> tuple[Array, Array]:
        """z_K from z_0, and the sum of log |det dz_i / dz_(i-1)|."""
        z, total = self._rows(z, "points"), zeros(z.shape[:-1], z)
        for layer in self.layers:
            z, log_det = layer.forward(z)
            z, total = self._rows(z, f"what {type(layer).__name__} makes"), total + log_det
        return z, total

    def inverse(self, x: Array) -> tuple[Array, Array]:
        """z_0 from z_K, z_(i-1) = f_i^-1(z_i), and the sum of log |det dz_(i-1) / dz_i|."""
        x, total = self._rows(x, "points"), zeros(x.shape[:-1], x)
        for layer in reversed(self.layers):
            x, log_det = layer.inverse(x)
            x, total = self._rows(x, f"what {type(layer).__name__} makes"), total + log_det
        return x, total

    def log_prob(self, x: Array) -> Array:
        """log p(x) = log p_0(z_0) + log |det dz_0 / dx|: (..., n, d) -> (..., n), in nats."""
        z, log_det = self.inverse(x)
        return self.log_base(z) + log_det

    def log_base(self, z: Array) -> Array:
        """log p_0(z): the sum over the coordinates, which the base takes as independent. (..., n, d) -> (..., n)."""
        each = self.base.log_prob(z)
        if each.shape != z.shape:
            raise ShapeError(
                f"a flow's base gives a log density for each coordinate, {tuple(z.shape)}; {type(self.base).__name__} gave "
                f"{tuple(each.shape)}: one density of whole points cannot be a base"
            )
        return sum(each, axis=-1)

    def _rows(self, x: Array, what: str) -> Array:
        if getattr(x, "ndim", 0) < 2 or x.shape[-1] != self.dim:
            raise ShapeError(f"a flow of {self.dim} dimensions takes arrays (n, {self.dim}): {what}: {shape_text(x)}")
        return x

    def draw(self, rng: Generator, shape: int | tuple[int, ...]) -> Array:
        """z_0 from the base: (\\*shape, d). For a stack of flows, ``shape`` begins with the stack's."""
        shape = shape if isinstance(shape, tuple) else (shape,)
        return self._rows(self.base.sample(rng, (*shape, self.dim)), "what the base makes")

    def sample(self, rng: Generator, shape: int | tuple[int, ...]) -> Array:
        """x = f(z_0), z_0 from the base: (\\*shape, d)."""
        return self.forward(self.draw(rng, shape))[0]


def nll(flow: Flow, x: Array) -> Array:
    """-mean log p(x) of the rows of ``x``: maximum likelihood descends it. Takes the inverse of every layer."""
    return -mean(flow.log_prob(x), axis=-1)


def free_energy(flow: Flow, energy: Callable[[Array], Array], z: Array, beta: float = 1.0) -> Array:
    """log q(x) + beta U(x) at x = f(z), for z drawn from the base: (..., n, d) -> (..., n), in nats.

    Its mean is KL(q || p) - log Z for the target p = exp(-U) / Z and beta = 1; smaller ``beta`` flattens the target. Takes no
    inverse: log q(x) = log p_0(z) - log |det df/dz| (Rezende and Mohamed 2015, section 4.2). Raises :class:`ShapeError` where
    ``energy`` does not give one number for each point.
    """
    x, log_det = flow.forward(z)
    U = energy(x)
    if getattr(U, "shape", None) != log_det.shape:
        raise ShapeError(
            f"free_energy: the energies of points {tuple(x.shape)} are {tuple(log_det.shape)}, not {shape_text(U)}"
        )
    return flow.log_base(z) - log_det + beta * U
