"""Two ways to tell a generator that it makes too few things: show its samples in packs, or let it look ahead.

A discriminator that sees one sample at a time cannot know that all are alike; and a generator that runs to where D is least
sure now does not know that D will follow. Lecture L3, mode collapse.
"""

from __future__ import annotations

from ...autodiff import grad, reshape
from ...backend import Array
from ...errors import ShapeError, shape_text
from ...nn import Module
from ...optim import Optimizer
from ...random import Generator
from ...train import Loss
from .gan import Models, Network


class Packed(Module):
    """A discriminator of ``m`` samples at once, all real or all made: (n, d) -> (n / m, 1) (PacGAN: Lin et al. 2018).

    ``network`` takes m d numbers, ``MLP.init(rng, [m * 2, 128, 1])`` say. The losses of every GAN are means over what D says,
    and stay as they are. In m samples together it can be seen how many are alike: D tells p^m from q^m.
    """

    network: Network
    m: int

    def __call__(self, x: Array) -> Array:
        """One logit for each pack. Raises :class:`ShapeError` where the rows of a batch are no whole packs."""
        *stacked, n, d = x.shape
        if n % self.m:
            raise ShapeError(f"Packed: {shape_text(x)} are no packs of {self.m} rows: take a batch size that {self.m} divides")
        return self.network(reshape(x, (*stacked, n // self.m, self.m * d)))


def unrolled(generator_loss: Loss, discriminator_loss: Loss, optimizer: Optimizer, steps: int, player: str = "D") -> Loss:
    """The generator's loss against the discriminator as it will be ``steps`` updates later (Metz et al. 2017).

        f(theta_G) = generator_loss(theta_D^(k), theta_G),   theta_D^(i+1) = theta_D^(i) - a step of discriminator_loss

    The derivative goes through the updates: it knows how D would answer to a change of G. The discriminator itself is not
    changed by it, and learns as before. ``optimizer`` begins anew each time, sgd or momentum: Adam's first step is the sign of
    the gradient, whose derivative says nothing, and is NaN where a gradient is 0. All updates see the batch's data, and new
    noise.
    """

    def loss(models: Models, real: Array, rng: Generator) -> Array:
        ahead = models[player]
        memory = optimizer.init(ahead)
        for _ in range(steps):
            slope = grad(lambda D: discriminator_loss({**models, player: D}, real, rng))(ahead)
            ahead, memory = optimizer.update(ahead, slope, memory)
        return generator_loss({**models, player: ahead}, real, rng)

    return loss
