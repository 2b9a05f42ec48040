r"""Bijections: invertible maps of vectors that know how much they stretch volume, and chains of them.

    f = f_K(... f_2(f_1(z))),      log |det df/dz| = sum_k log |det df_k/dz_(k-1)|

Points are rows, (..., n, d); log-determinants are (..., n), in nats. Further axes in front are welcome: a stack of maps, each
with points of its own, is computed at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from . import autodiff as ad
from . import checks, trees
from .backend import Array, eye, zeros
from .errors import ArgumentError, ShapeError, kind_text, shape_text
from .nn import Module


class Bijection(Module):
    """An invertible map f of points, (..., n, d), with the logarithm of how much it stretches volume there, (..., n)."""

    def forward_and_log_det(self, z: Array) -> tuple[Array, Array]:
        """f(z) and log |det df/dz|."""
        raise NotImplementedError(
            f"{type(self).__name__} has no forward_and_log_det(z), which returns f(z) and log |det df/dz|"
        )

    def inverse_and_log_det(self, x: Array) -> tuple[Array, Array]:
        """f^-1(x) and log |det df^-1/dx|."""
        raise NotImplementedError(
            f"{type(self).__name__} has no inverse_and_log_det(x), which returns f^-1(x) and log |det df^-1/dx|: without it a "
            "flow can be sampled from, but gives x no density"
        )

    def forward(self, z: Array) -> Array:
        """f(z)."""
        return self.forward_and_log_det(z)[0]

    def inverse(self, x: Array) -> Array:
        """f^-1(x)."""
        return self.inverse_and_log_det(x)[0]

    def __len__(self) -> int:
        """How many maps are composed in it."""
        return 1

    def __getitem__(self, maps: slice) -> Bijection:
        """``f[:k]``: the first k maps."""
        first, last, step = maps.indices(len(self))
        if (first, last, step) == (0, len(self), 1):
            return self
        return Chain([])

    def member(self, *index: int) -> Any:
        """One of a stack of maps, whose parameters have the stack's axes in front."""
        return trees.map(lambda p: p[(*index, ...)], self)


class Chain(Bijection):
    """``layers`` f_1, ..., f_K, one after the other: itself a bijection.

    Raises :class:`ShapeError` where a layer changes the shape of the points, or gives other than one log-determinant for each.
    """

    layers: Sequence[Bijection]

    def __post_init__(self) -> None:
        layers: Any = self.layers
        wrong = [x for x in layers if not isinstance(x, Bijection)] if isinstance(layers, list | tuple) else [layers]
        if wrong:
            hint = "[Planar.init(rng, 8)], say"
            raise ArgumentError(f"Chain: wanted its layers, a list of bijections, {hint}; got {kind_text(wrong[0])}")

    def forward_and_log_det(self, z: Array) -> tuple[Array, Array]:
        """z_K from z_0, and the sum of log |det dz_k / dz_(k-1)|."""
        _check_rows(z)
        total = zeros(z.shape[:-1], z)
        # formula: flow-chain
        for layer in self.layers:
            z, total = _added(layer, z, *layer.forward_and_log_det(z), total)
        return z, total

    def inverse_and_log_det(self, x: Array) -> tuple[Array, Array]:
        """z_0 from z_K, z_(k-1) = f_k^-1(z_k), and the sum of log |det dz_(k-1) / dz_k|."""
        _check_rows(x)
        total = zeros(x.shape[:-1], x)
        # formula: flow-likelihood
        for layer in reversed(self.layers):
            x, total = _added(layer, x, *layer.inverse_and_log_det(x), total)
        return x, total

    def __len__(self) -> int:
        return sum(map(len, self.layers))

    def __getitem__(self, maps: slice) -> Chain:
        first, last, step = maps.indices(len(self))
        if step != 1:
            raise ArgumentError(f"a chain is cut into a part without gaps, flow[:k]; got {maps}")
        parts, begin = [], 0
        for layer in self.layers:
            low, high = max(first - begin, 0), min(last - begin, len(layer))
            if low < high:
                parts.append(layer[low:high])
            begin += len(layer)
        return Chain(parts)

    def member(self, *index: int) -> Chain:
        return Chain([layer.member(*index) for layer in self.layers])


class Inverse(Bijection):
    """``bijection`` the other way round: one map."""

    bijection: Bijection

    def __post_init__(self) -> None:
        if not isinstance(self.bijection, Bijection):
            raise ArgumentError(f"Inverse: wanted a bijection, MAF.init(rng, 2, [64]) say; got {kind_text(self.bijection)}")

    def forward_and_log_det(self, z: Array) -> tuple[Array, Array]:
        """f^-1(z) and log |det df^-1/dz|."""
        return self.bijection.inverse_and_log_det(z)

    def inverse_and_log_det(self, x: Array) -> tuple[Array, Array]:
        """f(x) and log |det df/dx|."""
        return self.bijection.forward_and_log_det(x)


class ActNorm(Bijection):
    """x = loc + exp(log_scale) * z, and log |det dx/dz| = sum log_scale. ``ActNorm.of(x)`` begins where the data's z have mean
    0 and variance 1; from then on both are trained. Source: Kingma and Dhariwal 2018 (Glow), section 3.1, from the other side.
    """

    loc: Array  # (d,)
    log_scale: Array  # (d,)

    @classmethod
    def identity(cls, d: int) -> ActNorm:
        """Of vectors of ``d`` numbers: N(0, I) becomes any Gaussian whose coordinates are independent."""
        return cls(zeros((d,)), zeros((d,)))

    @classmethod
    def of(cls, x: Array) -> ActNorm:
        """From rows of data, (n, d). Raises :class:`~pydgm.errors.DomainError` where a column is constant."""
        _check_rows(x)
        axes = tuple(range(x.ndim - 1))
        spread = ad.std(x, axis=axes)
        checks.positive(spread, "ActNorm.of: the deviation of a column")
        return cls(ad.mean(x, axis=axes), ad.log(spread))

    def forward_and_log_det(self, z: Array) -> tuple[Array, Array]:
        """x and log |det dx/dz|."""
        checks.width(z, self.loc.shape[-1], "ActNorm: points")
        return self.loc + ad.exp(self.log_scale) * z, zeros(z.shape[:-1], z) + ad.sum(self.log_scale)

    def inverse_and_log_det(self, x: Array) -> tuple[Array, Array]:
        """z = (x - loc) exp(-log_scale) and log |det dz/dx|."""
        checks.width(x, self.loc.shape[-1], "ActNorm: points")
        return (x - self.loc) * ad.exp(-self.log_scale), zeros(x.shape[:-1], x) - ad.sum(self.log_scale)


class Triangular(Bijection):
    """x = loc + L z, L lower triangular with exp(log_diagonal) on its diagonal: of N(0, I) it makes every other Gaussian.

    log |det dx/dz| = sum log_diagonal. What ``below`` holds on its diagonal and above is not used.
    """

    loc: Array  # (d,)
    log_diagonal: Array  # (d,)
    below: Array  # (d, d)

    @classmethod
    def identity(cls, d: int) -> Triangular:
        """Of vectors of ``d`` numbers."""
        return cls(zeros((d,)), zeros((d,)), zeros((d, d)))

    @property
    def scale_tril(self) -> Array:
        """L, (d, d)."""
        diagonal = eye(self.loc.shape[-1], self.loc) * ad.expand_dims(ad.exp(self.log_diagonal), axis=-1)
        return ad.tril(self.below, -1) + diagonal

    def forward_and_log_det(self, z: Array) -> tuple[Array, Array]:
        """x and log |det dx/dz|."""
        checks.width(z, self.loc.shape[-1], "Triangular: points")
        return self.loc + z @ ad.matrix_transpose(self.scale_tril), zeros(z.shape[:-1], z) + ad.sum(self.log_diagonal)

    def inverse_and_log_det(self, x: Array) -> tuple[Array, Array]:
        """z = L^-1 (x - loc) and log |det dz/dx|."""
        checks.width(x, self.loc.shape[-1], "Triangular: points")
        z = (x - self.loc) @ ad.matrix_transpose(ad.inv(self.scale_tril))
        return z, zeros(x.shape[:-1], x) - ad.sum(self.log_diagonal)


def _check_rows(points: Array) -> None:
    if getattr(points, "ndim", 0) < 2:
        raise ShapeError(f"a bijection takes points in rows, (n, d), got {shape_text(points)}")


def _added(layer: Bijection, before: Array, after: Array, log_det: Array, total: Array) -> tuple[Array, Array]:
    name = type(layer).__name__
    if after.shape != before.shape:
        raise ShapeError(f"what {name} makes of points {tuple(before.shape)} are points {tuple(after.shape)}")
    if log_det.shape != total.shape:
        raise ShapeError(f"the log-determinants of {name} are {tuple(log_det.shape)}, for points {tuple(before.shape)}")
    return after, total + log_det
