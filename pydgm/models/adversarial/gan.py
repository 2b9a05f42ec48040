"""The vanilla GAN: min over G, max over D of V(D, G) = E_x[log D(x)] + E_z[log(1 - D(G(z)))].

Goodfellow et al. 2014; lectures L0, L1 section 1.1, L2, L3, L4. A discriminator returns a *logit* d, and D = sigmoid(d):
then log D = -softplus(-d) and log(1 - D) = -softplus(d), which neither overflow nor round to log 0.

Losses take the models by name, ``{"D": discriminator, "G": generator}``, as :func:`pydgm.train.alternate` has them. A
generator is whatever has ``sample(rng, n)``: a :class:`Generator`, or a distribution, to see what a discriminator learns
beside a fixed one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from ... import autodiff as ad
from ... import random
from ...autodiff import exp, greater, mean, sigmoid, softplus, where
from ...backend import Array
from ...distributions.base import Shape, as_tuple
from ...divergences import trapezoid
from ...errors import ShapeError, shape_text
from ...nn import MLP, Module

Network = Callable[[Array], Array]
Models = dict[str, Any]


class Generator(Module):
    """x = network(z), z ~ N(0, I) of ``latent`` numbers: a distribution that can be sampled from, and has no density.

    An x is a vector; the pictures of a network that makes (n, channels, height, width) have ``event_ndim=3``.
    """

    network: Network
    latent: int
    event_ndim: int = 1

    @classmethod
    def init(cls, rng: random.Generator, sizes: Sequence[int], activation: Callable[[Array], Array] = ad.relu) -> Generator:
        """``sizes``: widths from z to x, ``[2, 128, 128, 2]``."""
        return cls(MLP.init(rng, sizes, activation), sizes[0])

    def sample(self, rng: random.Generator, shape: int | Shape = ()) -> Array:
        """network(z) for fresh z: (\\*shape, ...). Differentiable in the network.

        A :func:`pydgm.nn.stack` of S generators takes (S, n), to each its own z.
        """
        # formula: gan-maps
        return self.network(rng.normal((*as_tuple(shape), self.latent)))


def batch_shape(models: Models, real: Array) -> Shape:
    """The axes of data that count examples: (n,), of a :func:`pydgm.nn.stack` (S, n). What G makes has the others."""
    return tuple(real.shape[: real.ndim - getattr(models["G"], "event_ndim", real.ndim - 1)])


def fakes(models: Models, real: Array, rng: random.Generator) -> Array:
    """As many generated samples as there are real ones: (n, ...), of a :func:`pydgm.nn.stack` (S, n, ...).

    Raises :class:`ShapeError` where G makes other things than the data are.
    """
    shape = batch_shape(models, real)
    fake: Array = models["G"].sample(rng, shape if len(shape) > 1 else shape[0])
    if fake.shape != real.shape:
        hint = ", and event_ndim=3 where they are pictures" if real.ndim > 2 else ""
        raise ShapeError(f"G makes {shape_text(fake)}, and the data are {shape_text(real)}: wanted samples like them{hint}")
    return fake


def value(discriminator: Network, real: Array, fake: Array) -> Array:
    """V(D, G) = E_x[log D(x)] + E_z[log(1 - D(G(z)))], estimated from samples, in nats."""
    # formula: gan-value
    return -mean(softplus(-discriminator(real))) - mean(softplus(discriminator(fake)))


def discriminator_loss(models: Models, real: Array, rng: random.Generator) -> Array:
    """-V(D, G), with as many generated samples as real ones."""
    # formula: discriminator-step
    return -value(models["D"], real, fakes(models, real, rng))


def saturating_generator_loss(models: Models, real: Array, rng: random.Generator) -> Array:
    """E_z[log(1 - D(G(z)))], the generator's part of V. Flat where D is sure of itself: its gradient there is -D'."""
    # formula: generator-step
    return -mean(softplus(models["D"](fakes(models, real, rng))))


def generator_loss(models: Models, real: Array, rng: random.Generator) -> Array:
    """-E_z[log D(G(z))], the non-saturating form, used in practice: it has a gradient where D is sure."""
    return mean(softplus(-models["D"](fakes(models, real, rng))))


class _Samples(NamedTuple):
    """A generator that has these to offer."""

    x: Array

    def sample(self, rng: random.Generator, shape: int | Shape = ()) -> Array:
        return self.x


def sample_gradient(loss: Callable[[Models, Array, random.Generator], Array], models: Models, x: Array) -> Array:
    """What a generator's ``loss`` tells each sample: n times d loss / dx at the rows of ``x`` (n, ...), loss being a mean.

    Samples go against it. ``loss(models, real, rng)`` must not draw noise of its own beside the generator's.
    """
    rng = random.Generator(0)
    return x.shape[0] * ad.grad(lambda x: loss({**models, "G": _Samples(x)}, x, rng))(x)


def optimal_logit(log_p: Array, log_q: Array) -> Array:
    """The logit of D*(x) = p(x) / (p(x) + q(x)), the best discriminator of data p and generator q: log p - log q."""
    return log_p - log_q


def optimal_discriminator(log_p: Array, log_q: Array) -> Array:
    """D*(x) = p(x) / (p(x) + q(x)) from log densities; right in the far tails too, where p and q round to 0."""
    # formula: optimal-discriminator
    return sigmoid(optimal_logit(log_p, log_q))


def value_quadrature(logit: Array, log_p: Array, log_q: Array, x: Array) -> Array:
    """V(D) = E_p[log D] + E_q[log(1 - D)] on a grid ``x``. At D*: 2 JSD(p, q) - log 4."""
    p, q = exp(log_p), exp(log_q)
    log_D, log_rest = where(greater(p, 0), -softplus(-logit), 0.0), where(greater(q, 0), -softplus(logit), 0.0)
    # formula: value-at-the-best
    return trapezoid(p * log_D + q * log_rest, x)  # where a density is 0, so is its integrand
