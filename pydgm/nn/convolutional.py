r"""Convolutional layers: (batch, channels, \*space) -> (batch, channels', \\*space')."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import ClassVar, TypeVar

from .. import autodiff as ad
from ..backend import Array, arange, zeros
from ..errors import ArgumentError
from ..random import Generator
from .layers import Initialiser, check_init, he_uniform
from .module import Module, Updates
from .normalisation import BatchNorm


def _weight(rng: Generator, n_in: int, n_out: int, window: tuple[int, ...], out_axis: int, weight: Initialiser) -> Array:
    check_init(rng, "a convolution's init", channels=n_in, n_out=n_out, window=window[0])
    area = math.prod(window)
    return weight(rng, (n_in, n_out, *window) if out_axis else (n_out, n_in, *window), n_in * area, n_out * area)


class _Conv(Module):
    """Weight (out, in, \\*window), bias (out,); (batch, in, \\*space) -> (batch, out, \\*space')."""

    axes: ClassVar[int] = 2  # of space
    out_axis: ClassVar[int] = 0
    operation: ClassVar[Callable[..., Array]]
    weight: Array
    bias: Array
    stride: int = 1
    padding: int = 0
    dilation: int = 1

    @classmethod
    def init(
        cls: type[Conv],
        rng: Generator,
        n_in: int,
        n_out: int,
        window: int,
        stride: int = 1,
        padding: int = 0,
        dilation: int = 1,
        weight: Initialiser = he_uniform,
    ) -> Conv:
        w = _weight(rng, n_in, n_out, (window,) * cls.axes, cls.out_axis, weight)
        return cls(w, zeros((n_out,)), stride, padding, dilation)

    def __call__(self, x: Array) -> Array:
        y = type(self).operation(x, self.weight, self.stride, self.padding, self.dilation)
        return y + ad.reshape(self.bias, (-1,) + (1,) * (y.ndim - 2))


Conv = TypeVar("Conv", bound=_Conv)


class Conv1d(_Conv):
    """A convolution along one axis: ``conv1d`` and a bias for each channel."""

    axes: ClassVar[int] = 1
    operation = staticmethod(ad.conv1d)


class Conv2d(_Conv):
    """A convolution over height and width: ``conv2d`` and a bias for each channel."""

    operation = staticmethod(ad.conv2d)


class ConvTranspose2d(_Conv):
    """Upsampling by the adjoint of a convolution: weight (in, out, k, k)."""

    out_axis: ClassVar[int] = 1
    operation = staticmethod(ad.conv_transpose2d)


class MaskedConv2d(Module):
    """A convolution that sees what comes before in raster order: rows above, and in its own row what is on the left.

    ``weight`` is (out, in, k, k). With "A" the taps in the rows above the middle and on its left are used and trained (a first
    layer, which must not see the pixel that it predicts), with "B" the middle too. Rows below are not computed; the taps on the
    right are, as zeros, which is faster than a product of their own for the middle row. The space stays as it is. Source:
    van den Oord, Kalchbrenner and Kavukcuoglu 2016, section 3.4.
    """

    weight: Array
    bias: Array
    mask: str = "B"

    @classmethod
    def init(
        cls, rng: Generator, n_in: int, n_out: int, window: int, mask: str = "B", weight: Initialiser = he_uniform
    ) -> MaskedConv2d:
        """Raises :class:`~pydgm.errors.ArgumentError` for an even window, or one of 1 with "A", and for other masks."""
        w = _weight(rng, n_in, n_out, (window, window), 0, weight)
        if window % 2 == 0 or mask not in ("A", "B") or (window, mask) == (1, "A"):
            wanted = 'wanted an odd window and a mask "A" (from 3 on) or "B"'
            raise ArgumentError(f"MaskedConv2d.init: {wanted}, got {window} and {mask!r}")
        return cls(w, zeros((n_out,)), mask)

    def __call__(self, x: Array) -> Array:
        window = self.weight.shape[2]
        middle = window // 2
        kept = arange((middle + 1) * window, self.weight) < middle * window + middle + (self.mask == "B")
        above = self.weight[:, :, : middle + 1, :]
        above = above * ad.reshape(ad.astype(kept, above.dtype), (middle + 1, window))
        y = ad.conv2d(x, above, padding=((middle, 0), (middle, middle)))
        return y + ad.reshape(self.bias, (-1, 1, 1))


class ResidualBlock(Module):
    """relu(f(x) + x), f = convolution, norm, relu, convolution, norm: what f has to learn is the difference.

    Where channels or stride change, a 1 x 1 convolution and a norm take the place of x. Source: He et al. 2016, figure 2.
    """

    first: Conv2d
    first_norm: BatchNorm
    second: Conv2d
    second_norm: BatchNorm
    shortcut: tuple[Conv2d, BatchNorm] | None = None

    @classmethod
    def init(cls, rng: Generator, n_in: int, n_out: int, stride: int = 1, window: int = 3) -> ResidualBlock:
        """``window`` is odd. At first f is 0 where the second norm's scale is."""
        around = window // 2
        first = Conv2d.init(rng, n_in, n_out, window, stride, around)
        second = Conv2d.init(rng, n_out, n_out, window, 1, around)
        changed = n_in != n_out or stride != 1
        shortcut = (Conv2d.init(rng, n_in, n_out, 1, stride), BatchNorm.init(n_out)) if changed else None
        return cls(first, BatchNorm.init(n_out), second, BatchNorm.init(n_out), shortcut)

    def __call__(self, x: Array, updates: Updates | None = None) -> Array:
        y = self.second_norm(self.second(ad.relu(self.first_norm(self.first(x), updates))), updates)
        if self.shortcut is not None:
            conv, norm = self.shortcut
            x = norm(conv(x), updates)
        return ad.relu(y + x)
