r"""Change of variables: z_0 from a simple density, x = z_K = f_K(... f_2(f_1(z_0))), and the density of x is exact.

    log p(x) = log p_0(z_0) + sum_i log |det dz_(i-1) / dz_i|,      z_(i-1) = f_i^-1(z_i)

Rezende and Mohamed 2015; lectures L0 and L1 "Normalizing Flow", L3 and L4 "Normalizing Flows". Two slips of the lectures: L0
and L1 write z_i = f_i^-1(z_(i-1)), with the indices swapped; in the maximum likelihood of L3 and L4 a minus stands before
log |det df^-1/dx|, where the formula one slide earlier makes it a plus. (With the Jacobian of f itself it would be a minus.)

A flow is ``Transformed(StandardNormal(d), Chain([...]))``; the formula is :meth:`pydgm.distributions.Transformed.log_prob`.
Here are the two ways to learn one: from data, and from an energy.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ...autodiff import mean
from ...backend import Array
from ...bijections import Bijection, Chain
from ...distributions import StandardNormal, Transformed
from ...errors import ShapeError, shape_text
from ...random import Generator


def flow(layers: Sequence[Bijection], dim: int = 2) -> Transformed:
    """N(0, I) in ``dim`` dimensions, pushed through ``layers``."""
    return Transformed(StandardNormal(dim), Chain(layers))


def nll(model: Any, x: Array, rng: Generator | None = None) -> Array:
    """-mean log p(x) of the rows of ``x``, in nats: maximum likelihood descends it. Takes the inverse of every layer."""
    # formula: flow-likelihood
    return -mean(model.log_prob(x), axis=-1)


def free_energy(model: Transformed, energy: Callable[[Array], Array], z: Array, beta: float = 1.0) -> Array:
    """log q(x) + beta U(x) at x = f(z), for z drawn from the base: (..., n, d) -> (..., n), in nats.

    Its mean is KL(q || p) - log Z for the target p = exp(-U) / Z and beta = 1; smaller ``beta`` flattens the target. Takes no
    inverse: log q(x) = log p_0(z) - log |det df/dz| (Rezende and Mohamed 2015, section 4.2). Raises :class:`ShapeError` where
    ``energy`` does not give one number for each point.
    """
    x, log_det = model.bijection.forward_and_log_det(z)
    U = energy(x)
    if getattr(U, "shape", None) != log_det.shape:
        raise ShapeError(
            f"free_energy: the energies of points {tuple(x.shape)} are {tuple(log_det.shape)}, not {shape_text(U)}"
        )
    # formula: free-energy
    return model.base.log_prob(z) - log_det + beta * U
