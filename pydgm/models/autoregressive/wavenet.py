r"""WaveNet: sound, sample by sample, by dilated causal convolutions (van den Oord et al. 2016, "WaveNet"; lecture L4, "Fully
Observed Models").

    p(x | c) = prod_t p(x_t | x_1, ..., x_(t-1), c)
    z_l = tanh(a_l) sigma(a_l'),  a_l = [h_(t-d), h_t] W_l + c V_l + b_l,  d = 2^(l-1)
    h <- h + z_l R_l,  skip <- skip + z_l S_l

Each layer looks twice as far back as the one before, so that L layers hear 2^L samples. Sound is a number between -1 and 1.
What is drawn is one of some levels, fine around 0 and coarse far from it (:func:`pydgm.data.sounds.mu_law`), since the ear,
too, hears by ratios.

To draw a sample naively takes a pass through all that it hears. But the activations of earlier samples stay what they are, and
of each layer just one is asked for again, d samples later: they wait in queues, and a sample costs L small products (Le Paine
et al. 2016, "Fast WaveNet generation algorithm").
"""

from __future__ import annotations

import collections

from ... import autodiff as ad
from ... import checks
from ...backend import Array, zeros
from ...compile import compile
from ...data.sounds import mu_law_inverse
from ...distributions import Categorical
from ...errors import ArgumentError, DomainError, ShapeError, shape_text
from ...nn import Linear, Module, glorot_uniform
from ...nn.layers import check_init
from ...random import Generator


class DilatedLayer(Module):
    """``weight`` (2, 2 C, C) takes the sample d back and this one, for both halves of the gate, ``told`` (2, E, C) the context;
    ``out`` (C, skip + C) takes z past all layers and to the next one. In the last layer it does the first alone."""

    weight: Array
    bias: Array
    told: Array
    out: Array

    def __call__(self, back: Array, h: Array, context: Array | None, skip: Array) -> tuple[Array, Array]:
        """h_(t-d), h_t and skip (n, T, .) -> the next layer's h, and skip."""
        # formula: wavenet
        a = ad.concat([back, h], axis=-1) @ self.weight[:, None, :, :] + self.bias
        if context is not None:
            a = a + ad.expand_dims(context @ self.told, 2)
        z = ad.tanh(a[0, ...]) * ad.sigmoid(a[1, ...]) @ self.out
        width = skip.shape[-1]
        return h + z[..., width:] if z.shape[-1] > width else h, skip + z[..., :width]


class WaveNet(Module):
    """p(x | c) of rows of ``levels`` integers, as long as one likes: (n, T). A context c (n, E) is told to each layer."""

    first: Linear
    layers: tuple[DilatedLayer, ...]
    last: tuple[Linear, Linear]

    @classmethod
    def init(
        cls, rng: Generator, layers: int, channels: int = 16, levels: int = 256, context: int = 0, skip: int = 32
    ) -> WaveNet:
        """Dilations 1, 2, 4, ..., 2^(layers - 1). ``context``: E, how many numbers say what is to be heard."""
        check_init(rng, "WaveNet.init", layers=layers, channels=channels, skip=skip)
        checks.count(levels, "WaveNet.init: levels", 2)
        checks.count(context, "WaveNet.init: context", 0)
        if layers > 20:
            raise DomainError(f"WaveNet.init: {layers} layers would hear 2^{layers} samples: wanted 20 at most")
        C, made = channels, []
        for k in range(layers):
            ways = skip + (C if k < layers - 1 else 0)
            weight = glorot_uniform(rng, (2, 2 * C, C), 2 * C, C)
            told, out = glorot_uniform(rng, (2, context, C), 2 * C, C), glorot_uniform(rng, (C, ways), C, C)
            made.append(DilatedLayer(weight, zeros((2, 1, 1, C)), told, out))
        last = Linear.init(rng, skip, skip), Linear.init(rng, skip, levels, glorot_uniform)
        return cls(Linear.init(rng, 1, C), tuple(made), last)

    @property
    def levels(self) -> int:
        return int(self.last[1].bias.shape[0])

    @property
    def reach(self) -> int:
        """How many samples back it hears: 2^L."""
        return int(2 ** len(self.layers))

    def logits(self, s: Array, context: Array | None = None) -> Array:
        """Of each sample's level, given the sound before it: s (n, T), between -1 and 1 -> (n, T, levels)."""
        self._check(s, context, "a sound (n, T)")
        if "int" in str(s.dtype):
            raise ArgumentError("WaveNet.logits: a sound is of numbers between -1 and 1; net.sound(x) makes it of levels")
        s = ad.expand_dims(s, -1)
        h = self.first(_back(s, 1))  # no sample hears itself
        skip = zeros((*s.shape[:2], self.last[0].bias.shape[0]), h)
        for k, layer in enumerate(self.layers):
            h, skip = layer(_back(h, 2**k), h, context, skip)
        return self._head(skip)

    def conditionals(self, x: Array, context: Array | None = None) -> Array:
        """log p(x_t | x_1, ..., x_(t-1), c), in nats: levels x (n, T) -> (n, T)."""
        self._check(x, context, "levels (n, T)")
        checks.labels(x, self.levels, (), "WaveNet: levels")
        return Categorical(self.logits(self.sound(x), context)).log_prob(x)

    def log_prob(self, x: Array, context: Array | None = None) -> Array:
        """log p(x | c), in nats: levels x (n, T) -> (n,)."""
        # formula: autoregression
        return ad.sum(self.conditionals(x, context), axis=-1)

    def sample(self, rng: Generator, n: int, length: int, context: Array | None = None) -> Array:
        """Levels (n, length), one sample after the other, from queues of activations."""
        check_init(rng, "WaveNet.sample")
        checks.count(n, "WaveNet.sample: n")
        checks.count(length, "WaveNet.sample: length")
        silence = zeros((n, 1, self.first.bias.shape[0]), self.first.bias)
        self._check(silence[:, :, 0], context, "")
        queues = [collections.deque([silence] * 2**k) for k in range(len(self.layers))]
        s, step, drawn = silence[:, :, :1], compile(_one_sample), []
        for _ in range(length):
            s, x, heard = step(self, s, tuple([queue.popleft() for queue in queues]), context, rng)
            for queue, h in zip(queues, heard, strict=True):
                queue.append(h)
            drawn.append(x)
        return ad.concat(drawn, axis=1)

    def sound(self, x: Array) -> Array:
        """Levels as numbers between -1 and 1."""
        return ad.astype(mu_law_inverse(x, self.levels), self.first.bias.dtype)

    def _head(self, skip: Array) -> Array:
        return self.last[1](ad.relu(self.last[0](ad.relu(skip))))

    def _check(self, rows: Array, context: Array | None, wanted: str) -> None:
        E = int(self.layers[0].told.shape[1])
        checks.array(rows, "WaveNet")
        if rows.ndim != 2:
            raise ShapeError(f"WaveNet: wanted {wanted}, got {shape_text(rows)}")
        if context is not None:
            checks.array(context, "WaveNet: context")
        if (context is None) != (E == 0) or (context is not None and context.shape != (rows.shape[0], E)):
            of = f"a context ({rows.shape[0]}, {E}); of labels nn.one_hot(labels, {E})" if E else "no context"
            raise ShapeError(f"WaveNet: wanted {of}, got {shape_text(context)}")


def loss(net: WaveNet, x: Array, rng: Generator, context: Array | None = None, noise: float = 0.0, skip: int = 0) -> Array:
    """-mean of log p(x_t | heard before t, c), in nats a sample: levels x (n, T); the first ``skip`` samples do not count.

    What is heard are the levels x + ``noise`` e, e ~ N(0, 1), while x is what has to be said. A network that draws hears its
    own sounds, which are a little off; one that never heard such sounds may go further astray with each sample (Jin,
    Finkelstein, Mysore and Lu, "FFTNet", 2018, have this remedy).
    """
    checks.number(noise, "wavenet.loss: noise", 0.0)
    checks.count(skip, "wavenet.loss: skip", 0)
    if noise == 0.0:
        return -ad.mean(net.conditionals(x, context)[:, skip:])
    checks.labels(x, net.levels, (), "WaveNet: levels")
    e = rng.normal(x.shape)
    heard = ad.clip(ad.astype(x, e.dtype) + noise * e, 0.0, net.levels - 1.0)
    return -ad.mean(Categorical(net.logits(net.sound(heard), context)).log_prob(x)[:, skip:])


def _back(h: Array, d: int) -> Array:
    """h_(t-d), and 0 before the beginning: (n, T, C)."""
    silence = zeros((h.shape[0], min(d, h.shape[1]), h.shape[2]), h)
    return ad.concat([silence, h[:, : h.shape[1] - silence.shape[1], :]], axis=1)


def _one_sample(
    model: WaveNet, s: Array, back: tuple[Array, ...], context: Array | None, rng: Generator
) -> tuple[Array, Array, list[Array]]:
    """The sample after s (n, 1, 1), as a number and as a level; and each layer's h, for later."""
    h, heard = model.first(s), []
    skip = zeros((s.shape[0], 1, model.last[0].bias.shape[0]), h)
    for layer, before in zip(model.layers, back, strict=True):
        heard.append(h)
        h, skip = layer(before, h, context, skip)
    x = rng.categorical(model._head(skip))
    return ad.expand_dims(model.sound(x), -1), x, heard
