"""Normalisation: of a layer's outputs, over examples or over features, and of its weights.

Layers with a state say in the call what they do: ``layer(x)`` evaluates, ``layer(x, updates)`` trains (:class:`Updates`).
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from .. import autodiff as ad
from .. import checks
from ..backend import Array, xp, zeros
from ..errors import ArgumentError, ShapeError, kind_text, shape_text
from .module import Module, Updates, state

Axes = int | tuple[int, ...]


def _deviation(x: Array, axis: Axes, epsilon: float) -> Array:
    return ad.sqrt(ad.mean(ad.square(x - ad.mean(x, axis, keepdims=True)), axis, keepdims=True) + epsilon)


def _along(g: Array, y: Array, axis: Axes) -> Array:
    """What of g a shift or a stretch of x would undo."""
    return ad.mean(g, axis, keepdims=True) + y * ad.mean(g * y, axis, keepdims=True)


@ad.operation(lambda g, y, x, axis, epsilon: (g - _along(g, y, axis)) / _deviation(x, axis, epsilon))
def _standardised(x: Array, axis: Axes, epsilon: float) -> Array:
    """(x - mu) / sqrt(sigma^2 + epsilon) over ``axis``."""
    return (x - ad.mean(x, axis, keepdims=True)) / _deviation(x, axis, epsilon)


class LayerNorm(Module):
    """y = (x - mu) / sqrt(sigma^2 + epsilon) * scale + shift, with mean and variance over the last axis: (..., d) -> (..., d).

    Each row is normalised for itself, in training as in evaluation. Source: Ba, Kiros and Hinton 2016, equation 4.
    """

    scale: Array  # (d,)
    shift: Array  # (d,)
    epsilon: float = 1e-5

    @classmethod
    def init(cls, dim: int, epsilon: float = 1e-5) -> LayerNorm:
        checks.count(dim, "LayerNorm.init: dim")
        return cls(zeros((dim,)) + 1.0, zeros((dim,)), epsilon)

    def __call__(self, x: Array) -> Array:
        """Raises :class:`~pydgm.errors.ShapeError` where ``x`` is of another width."""
        checks.width(x, self.scale.shape[0], f"LayerNorm({self.scale.shape[0]})")
        return _standardised(x, -1, self.epsilon) * self.scale + self.shift


class BatchNorm(Module):
    """y = (x - mu) / sqrt(sigma^2 + epsilon) * scale + shift, for each channel: (batch, channels, \\*space), any space or none.

    In training mu and sigma^2 are mean and variance over the batch and all places, and running averages of both are noted:
    mean <- (1 - momentum) mean + momentum mu, and the same for the variance (unbiased). In evaluation the averages take their
    place, so that the answer for one example does not depend on the others. Source: Ioffe and Szegedy 2015, algorithms 1, 2.
    """

    scale: Array  # (channels,)
    shift: Array  # (channels,)
    mean: Array = state()  # (channels,)
    variance: Array = state()  # (channels,)
    momentum: float = 0.1
    epsilon: float = 1e-5

    @classmethod
    def init(cls, channels: int, momentum: float = 0.1, epsilon: float = 1e-5) -> BatchNorm:
        checks.count(channels, "BatchNorm.init: channels")
        mean, variance = zeros((channels,)), zeros((channels,)) + 1.0
        return cls(zeros((channels,)) + 1.0, zeros((channels,)), mean, variance, momentum, epsilon)

    def __call__(self, x: Array, updates: Updates | None = None) -> Array:
        """Raises :class:`~pydgm.errors.ShapeError` for other channels, and in training for a single number a channel."""
        checks.array(x, "BatchNorm")
        channels = self.scale.shape[0]
        if x.ndim < 2 or x.shape[1] != channels:
            raise ShapeError(f"BatchNorm({channels}): wanted (batch, {channels}, *space), got {shape_text(x)}")
        along = (1, channels) + (1,) * (x.ndim - 2)
        scale, shift = ad.reshape(self.scale, along), ad.reshape(self.shift, along)
        if updates is None:
            inverse = scale / ad.sqrt(ad.reshape(self.variance, along) + self.epsilon)
            return x * inverse + (shift - ad.reshape(self.mean, along) * inverse)
        axes = (0, *range(2, x.ndim))
        n = math.prod(x.shape) // channels
        if n < 2:
            raise ShapeError(f"BatchNorm in training: one number a channel, {shape_text(x)}, has no variance")
        seen = ad.stop_gradient(x)
        for average, new in ((self.mean, ad.mean(seen, axes)), (self.variance, ad.var(seen, axes) * (n / (n - 1)))):
            latest = updates.latest(average)
            updates.note(average, (1.0 - self.momentum) * latest + self.momentum * new)
        return _standardised(x, axes, self.epsilon) * scale + shift


def _rows(layer: Any) -> Array:
    """A layer's weight as a matrix with a row for each output."""
    w = layer.weight
    axis = layer.out_axis % w.ndim
    return ad.reshape(ad.permute_dims(w, (axis, *[i for i in range(w.ndim) if i != axis])), (w.shape[axis], -1))


def _check_layer(layer: Any, who: str) -> None:
    if not (isinstance(layer, Module) and hasattr(layer, "weight") and hasattr(layer, "out_axis")):
        raise ArgumentError(f"{who}: wanted a layer with a weight, nn.Linear or a convolution, got {kind_text(layer)}")


class WeightNorm(Module):
    """A layer whose weights are w = g v / ||v||, for each output: a length g and a direction v are trained in their place.

    ``WeightNorm.of(layer)`` computes at first what the layer does. Source: Salimans and Kingma 2016, equation 2.
    """

    layer: Any  # its weight is v
    length: Array  # (out,), g

    @classmethod
    def of(cls, layer: Any) -> WeightNorm:
        """Raises :class:`~pydgm.errors.DomainError` where all weights of an output are 0, which has no direction."""
        _check_layer(layer, "WeightNorm.of")
        length = ad.vector_norm(_rows(layer), axis=1)
        checks.positive(length, "WeightNorm.of: the length of an output's weights")
        return cls(layer, length)

    def __call__(self, x: Array) -> Array:
        shape = [1] * self.layer.weight.ndim
        shape[self.layer.out_axis] = -1
        factor = ad.reshape(self.length / ad.vector_norm(_rows(self.layer), axis=1), tuple(shape))
        return dataclasses.replace(self.layer, weight=self.layer.weight * factor)(x)


class SpectralNorm(Module):
    """A layer whose weights are divided by their largest singular value, W / sigma, so that it stretches nothing.

    sigma = u' W v by power iteration: v <- W' u / ||W' u||, u <- W v / ||W v||, once in each training step; u is kept, and u
    and v count as constants in the derivative. A convolution's weight counts as a matrix with a row for each output channel.
    ``SpectralNorm.of(layer)`` begins with the exact u. Source: Miyato et al. 2018, algorithm 1.
    """

    layer: Any
    u: Array = state()  # (out,), of length 1

    @classmethod
    def of(cls, layer: Any) -> SpectralNorm:
        """Raises :class:`~pydgm.errors.DomainError` where all weights are 0, which no division makes larger."""
        _check_layer(layer, "SpectralNorm.of")
        u, largest, _ = xp.linalg.svd(_rows(layer), full_matrices=False)
        checks.positive(largest[:1], "SpectralNorm.of: the largest singular value")
        return cls(layer, u[:, 0])

    def __call__(self, x: Array, updates: Updates | None = None) -> Array:
        return dataclasses.replace(self.layer, weight=self.layer.weight / self.sigma(updates))(x)

    def sigma(self, updates: Updates | None = None) -> Array:
        """The estimate of the largest singular value, never above it."""
        w = _rows(self.layer)
        fixed = ad.stop_gradient(w)
        u = ad.stop_gradient(self.u if updates is None else updates.latest(self.u))
        v = _unit(u @ fixed)
        if updates is not None:
            u = _unit(fixed @ v)
            updates.note(self.u, u)
        return u @ w @ v


def _unit(x: Array) -> Array:
    return x / (ad.vector_norm(x) + 1e-12)
