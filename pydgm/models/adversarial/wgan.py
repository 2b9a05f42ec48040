"""The Wasserstein GAN: W(p, q) = sup over K-Lipschitz f of (E_p[f(x)] - E_q[f(x)]) / K.

Arjovsky et al. 2017; Gulrajani et al. 2017; lectures L0, L1 section 1.2, L2, L3, L4. The network f is a *critic*: it is
not a classifier and its values have no bounds (L3 and L4 say "1 for real, 0 for generated"; that is the discriminator).
Two ways keep it Lipschitz: its *weights* are clipped (L0 and L2 say "gradient clipping", which is something else), or
its gradient is pulled towards length 1.

Losses take the models by name, ``{"critic": f, "G": generator}``; the generator is as in :mod:`pydgm.models.adversarial.gan`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from ... import trees
from ...autodiff import clip, grad, mean, reshape, square, sum, vector_norm
from ...backend import Array
from ...errors import ShapeError, shape_text
from ...random import Generator
from .gan import Models, batch_shape, fakes

Network = Callable[[Array], Array]
Model = TypeVar("Model")


def distance(critic: Network, real: Array, fake: Array) -> Array:
    """E_p[f(x)] - E_q[f(G(z))], estimated from samples: K times a lower bound on W. In the units of f."""
    # formula: critic
    return mean(critic(real)) - mean(critic(fake))


def critic_loss(models: Models, real: Array, rng: Generator) -> Array:
    """-(E_p[f(x)] - E_q[f(G(z))]), with as many generated samples as real ones.

    By itself it has no bound: the critic's weights have to be clipped after each update, ``optim.project(optimizer,
    functools.partial(clip_weights, c=0.01))``. :func:`penalized_critic_loss` keeps the critic Lipschitz in the other way.
    """
    return -distance(models["critic"], real, fakes(models, real, rng))


def penalized_critic_loss(models: Models, real: Array, rng: Generator, penalty: float = 10.0) -> Array:
    """-(E_p[f(x)] - E_q[f(G(z))]) + lambda E[(|grad f| - 1)^2], lambda being ``penalty`` (WGAN-GP: Gulrajani et al. 2017)."""
    critic, fake = models["critic"], fakes(models, real, rng)
    each = gradient_penalty(critic, real, fake, rng, len(batch_shape(models, real)))
    return -distance(critic, real, fake) + penalty * each


def generator_loss(models: Models, real: Array, rng: Generator) -> Array:
    """-E_z[f(G(z))]."""
    return -mean(models["critic"](fakes(models, real, rng)))


def clip_weights(critic: Model, c: float) -> Model:
    """Every weight and bias put back into [-c, c] after an update, which bounds the slope of f by some K (Arjovsky et al.)."""
    clipped: Model = trees.map(lambda w: clip(w, -c, c), critic)
    return clipped


def gradient_penalty(critic: Network, real: Array, fake: Array, rng: Generator, batch_ndim: int = 1) -> Array:
    """E[(|grad_x f(x^)| - 1)^2] at x^ = u x + (1 - u) G(z), u uniform: one u for each example (Gulrajani et al.).

    The norm is taken over each example's own axes, all but the first; of a :func:`pydgm.nn.stack`, ``batch_ndim=2``, all but
    the first two. Raises :class:`ShapeError` where real and fake are not of one shape.
    """
    if real.shape != fake.shape:
        raise ShapeError(f"gradient_penalty: {shape_text(real)} of real and {shape_text(fake)} of fake examples")
    batch = real.shape[:batch_ndim]
    u = reshape(rng.uniform(batch), (*batch, *(1,) * (real.ndim - batch_ndim)))
    # formula: gradient-penalty
    slope = grad(lambda x: sum(critic(x)))(u * real + (1.0 - u) * fake)
    # formula: gradient-penalty
    return mean(square(vector_norm(reshape(slope, (*batch, -1)), axis=-1) - 1.0))
