r"""PixelCNN: a picture's pixels one after the other, each from those above it and on its left (van den Oord, Kalchbrenner and
Kavukcuoglu 2016; van den Oord et al. 2016, "Conditional image generation"; lectures L3 and L4, "Fully Observed Models").

    p(x) = prod_i p(x_i | x_1, ..., x_(i-1)),  pixels in raster order, all conditionals by one stack of convolutions

:class:`PixelCNN` masks its windows: "A" in the first layer, which must not see the pixel that it predicts, "B" in the others. A
way to the right then must lead up, in each layer as far as its window reaches: a wedge on the right stays unseen, the *blind
spot*. :class:`GatedPixelCNN` has none. One stack of convolutions, the vertical one, sees its own row and those above; another,
the horizontal one, its own row on the left, and is told what the vertical one found one row further up:

    v' = v + gate(a), a = W_v * v;    h' = h + W_o gate(W_h * h + W_l down(a));    gate(a, b) = tanh(a) sigma(b)

(In the first layer without h +, since the horizontal stack must not see the pixel itself, and without v +. The paper has v + in
no layer; with it learning is faster.) Two things let a small network know more. *Dilated* windows, whose taps are d pixels
apart, reach further at no cost. A bias of its own for each *place*, the paper's location-dependent bias without a label, says
where in the picture a pixel is, which one window for all pixels cannot know.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

from ... import checks
from ...autodiff import broadcast_to, concat, conv2d, matrix_transpose, relu, reshape, sigmoid, squeeze, tanh
from ...backend import Array, zeros
from ...errors import ArgumentError, shape_text
from ...nn import Conv2d, MaskedConv2d, Module, glorot_uniform
from ...nn.layers import check_init
from ...random import Generator
from .base import Autoregressive, natural_order

Size = tuple[int, int]


class _Pixels(Autoregressive):
    """Black and white pictures as rows (n, height width); ``last`` are the windows of 1 x 1 in front of the log-odds."""

    size: Size
    last: tuple[Conv2d, Conv2d]

    def _log_odds(self, h: Array) -> Array:
        """(n, C, height, width) -> (n, height width)."""
        return reshape(self.last[1](relu(self.last[0](relu(h)))), (-1, self.shape[0]))


def _last(rng: Generator, channels: int) -> tuple[Conv2d, Conv2d]:
    return Conv2d.init(rng, channels, channels, 1), Conv2d.init(rng, channels, 1, 1, weight=glorot_uniform)


class PixelCNN(_Pixels):
    """By masked windows, with a blind spot. Black and white pictures are rows (n, height width)."""

    first: MaskedConv2d
    layers: tuple[MaskedConv2d, ...]

    @classmethod
    def init(cls, rng: Generator, size: Size, channels: int = 32, layers: int = 4, first: int = 7, window: int = 3) -> PixelCNN:
        """A window of ``first`` with the mask "A", then ``layers`` of ``window`` with "B", then two of 1 x 1."""
        size = _checked(rng, size, "PixelCNN.init", channels=channels, layers=layers)
        begin = MaskedConv2d.init(rng, 1, channels, first, "A")
        between = tuple(MaskedConv2d.init(rng, channels, channels, window, "B") for _ in range(layers))
        return cls(natural_order(size[0] * size[1]), size, _last(rng, channels), begin, between)

    def logits(self, x: Array, order: Any = 0) -> Array:
        h = self.first(reshape(x, (-1, 1, *self.size)))
        for layer in self.layers:
            h = layer(relu(h))
        return self._log_odds(h)


def gate(a: Array) -> Array:
    """tanh of the first half of the channels, times the sigmoid of the other half: axis 1."""
    half = a.shape[1] // 2
    return tanh(a[:, :half, ...]) * sigmoid(a[:, half:, ...])


class GatedLayer(Module):
    """One step of both stacks, for windows of r taps each way, ``dilation`` pixels apart.

    ``vertical`` (2 C, in, r + 1, 2 r + 1), ``horizontal`` (2 C, in, 1, r + 1), ``link`` (2 C, 2 C), ``out`` (C, C). The first
    layer's horizontal window leaves the pixel out: r. ``bias``, of both stacks, (2, 2 C, 1, 1), or (2, 2 C, height, width)
    where each place has its own.
    """

    vertical: Array
    horizontal: Array
    link: Array
    out: Array
    bias: Array
    dilation: int = 1

    @classmethod
    def init(
        cls, rng: Generator, n_in: int, channels: int, reach: int, first: bool, dilation: int = 1, size: Size = (1, 1)
    ) -> GatedLayer:
        def weight(n_out: int, n: int, *window: int) -> Array:
            area = math.prod(window)
            return glorot_uniform(rng, (n_out, n, *window), n * area, n_out * area)

        C = channels
        vertical = weight(2 * C, n_in, reach + 1, 2 * reach + 1)
        horizontal = weight(2 * C, n_in, 1, reach + (not first))
        bias = zeros((2, 2 * C, *size), vertical)
        return cls(vertical, horizontal, weight(2 * C, 2 * C), weight(C, C), bias, dilation)

    @property
    def reach(self) -> int:
        """In pixels."""
        return self.dilation * (int(self.vertical.shape[2]) - 1)

    @property
    def first(self) -> bool:
        return int(self.horizontal.shape[3]) == int(self.vertical.shape[2]) - 1

    def __call__(self, v: Array, h: Array) -> tuple[Array, Array]:
        """v and h (n, in, height, width) -> (n, C, height, width) each."""
        r, d = self.reach, self.dilation
        a = conv2d(v, self.vertical, padding=((r, 0), (r, r)), dilation=d) + self.bias[0, ...]
        down = concat([zeros((*a.shape[:2], 1, a.shape[3]), a), a[:, :, :-1, :]], axis=2)
        side = conv2d(h, self.horizontal, padding=((0, 0), (r, -d if self.first else 0)), dilation=d)
        # formula: pixel-cnn
        told = side + _each_pixel(self.link, down) + self.bias[1, ...]
        new = _each_pixel(self.out, gate(told))
        return (gate(a), new) if self.first else (v + gate(a), h + new)


def _each_pixel(weight: Array, x: Array) -> Array:
    """A convolution of 1 x 1: weight (out, in), x (n, in, height, width)."""
    return conv2d(x, reshape(weight, (*weight.shape, 1, 1)))


class GatedPixelCNN(_Pixels):
    """By two stacks, without a blind spot. Black and white pictures are rows (n, height width)."""

    layers: tuple[GatedLayer, ...]

    @classmethod
    def init(
        cls,
        rng: Generator,
        size: Size,
        channels: int = 32,
        layers: int = 5,
        first_reach: int = 3,
        dilations: Sequence[int] = (1,),
        place_bias: bool = False,
    ) -> GatedPixelCNN:
        """``layers``, and two of 1 x 1. The first one's windows reach ``first_reach`` pixels far and have, with ``place_bias``,
        a bias for each place; the others' taps are ``dilations`` pixels apart, over and over: (1, 2, 4) is 1, 2, 4, 1, ..."""
        size = _checked(rng, size, "GatedPixelCNN.init", channels=channels, layers=layers, first_reach=first_reach)
        if not isinstance(dilations, list | tuple) or not dilations:
            raise ArgumentError(f"GatedPixelCNN.init: wanted dilations, (1, 2, 4) say, got {dilations!r}")
        for d in dilations:
            checks.count(d, "GatedPixelCNN.init: a dilation")
        begin = GatedLayer.init(rng, 1, channels, first_reach, True, size=size if place_bias else (1, 1))
        apart = itertools.islice(itertools.cycle(dilations), layers - 1)
        others = [GatedLayer.init(rng, channels, channels, 1, False, d) for d in apart]
        return cls(natural_order(size[0] * size[1]), size, _last(rng, channels), (begin, *others))

    def logits(self, x: Array, order: Any = 0) -> Array:
        v = h = reshape(x, (-1, 1, *self.size))
        for layer in self.layers:
            v, h = layer(v, h)
        return self._log_odds(h)

    def complete(self, rng: Generator, x: Array, known: int, order: int = 0) -> Array:
        """As in the base class, from what is kept: of the vertical stack the last rows, of the horizontal one the row so far.
        Each activation is computed once, and not once for each pixel that comes after it."""
        x = self._given(x, known, order)
        n, (height, width) = x.shape[0], self.size
        wide = [int(layer.vertical.shape[1]) for layer in self.layers]
        above = [zeros((n, c, layer.reach + 1, width), x) for c, layer in zip(wide, self.layers, strict=True)]
        biases = [broadcast_to(layer.bias, (*layer.bias.shape[:2], height, width)) for layer in self.layers]
        told = [zeros((n, width, layer.link.shape[0]), x) for layer in self.layers]  # what the row above has to say
        pixels = []
        for i in range(height):
            row: list[list[Array]] = [[zeros((n, c), x)] * self.layers[k].reach for k, c in enumerate(wide)]
            for j in range(width):
                h = None
                for k, layer in enumerate(self.layers):
                    if h is not None:
                        row[k].append(h)
                    taps = row[k][-layer.reach - (not layer.first) :: layer.dilation]
                    a = told[k][:, j, :] + biases[k][1, :, i, j]
                    for t, tap in enumerate(taps):
                        a = a + tap @ matrix_transpose(layer.horizontal[:, :, 0, t])
                    new = gate(a) @ matrix_transpose(layer.out)
                    h = new if h is None else h + new
                for conv in self.last:
                    h = relu(h) @ matrix_transpose(conv.weight[:, :, 0, 0]) + conv.bias
                at = i * width + j
                pixel = x[:, at : at + 1] if at < known else rng.bernoulli(sigmoid(h))
                row[0].append(pixel)
                pixels.append(pixel)
            v = reshape(concat(pixels[-width:], axis=1), (n, 1, 1, width))
            for k, layer in enumerate(self.layers if i + 1 < height else ()):
                above[k] = concat([above[k][:, :, 1:, :], v], axis=2)
                a = conv2d(above[k], layer.vertical, padding=((0, 0), (layer.reach, layer.reach)), dilation=layer.dilation)
                a = a + biases[k][0, :, i : i + 1, :]
                told[k] = matrix_transpose(squeeze(_each_pixel(layer.link, a), 2))
                v = gate(a) if layer.first else v + gate(a)
        return concat(pixels, axis=1)


def _checked(rng: Generator, size: Size, who: str, **counts: int) -> Size:
    """Height and width. Raises unless all are counts."""
    check_init(rng, who, **counts)
    if not isinstance(size, list | tuple) or len(size) != 2:
        raise ArgumentError(f"{who}: wanted height and width, (28, 28), got {shape_text(size)}")
    for side in size:
        checks.count(side, f"{who}: height and width")
    return int(size[0]), int(size[1])
