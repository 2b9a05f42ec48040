"""The variational autoencoder: z ~ N(0, I), x ~ Bernoulli(decoder(z)), with an encoder that guesses z from x.

    log p(x) >= ELBO(x) = E_q[log p(x | z)] - KL(q(z | x) || p(z)),    q(z | x) = N(mu(x), sigma(x)^2)

Kingma and Welling 2014; lectures L2 "Learning the parameters", L3, L4 "Variational Bound". (A slide of L2 has "encoder" and
"decoder" the wrong way round once: phi belongs to the encoder q, theta to the decoder p.)
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from ... import autodiff as ad
from ...backend import Array, chunks
from ...distributions import Bernoulli, Independent, Normal, StandardNormal
from ...divergences import kl, plane
from ...metrics.likelihood import Likelihood, bound
from ...nn import MLP, Module
from ...random import Generator


class VAE(Module):
    """Images in rows of pixels in [0, 1]. ``encoder``: pixels -> (mu, log sigma); ``decoder``: z -> logits of the pixels."""

    encoder: MLP
    decoder: MLP

    @classmethod
    def init(
        cls,
        rng: Generator,
        pixels: int = 784,
        hidden: Sequence[int] = (400,),
        latent: int = 20,
        activation: Callable[[Array], Array] = ad.relu,
    ) -> VAE:
        """Fully connected, ``hidden`` widths from pixels to z, and the other way round in the decoder."""
        encoder = MLP.init(rng, [pixels, *hidden, 2 * latent], activation)
        return cls(encoder, MLP.init(rng, [latent, *reversed(hidden), pixels], activation))

    @property
    def prior(self) -> StandardNormal:
        """p(z) = N(0, I)."""
        return StandardNormal(self.decoder.layers[0].weight.shape[0])

    def posterior(self, x: Array) -> Independent:
        """q(z | x): (n, pixels) -> n Normals of vectors (latent,)."""
        mu, log_sigma = ad.split(self.encoder(x), 2)
        return Independent(Normal(mu, ad.exp(log_sigma)), 1)

    def decode(self, z: Array) -> Independent:
        """p(x | z): (..., latent) -> Bernoulli pixels."""
        return Independent(Bernoulli(self.decoder(z)), 1)

    def likelihood(self, x: Array, rng: Generator, size: int = 1000) -> Likelihood:
        """The ELBO of the rows of ``x``, from two samples for each."""
        both = [ad.concat([elbo(self, part, rng) for part in chunks(x, size)]) for _ in range(2)]
        return bound(*both)

    def reconstruct(self, x: Array) -> Array:
        """The decoder's pixel probabilities at the posterior mean."""
        return ad.sigmoid(self.decoder(self.posterior(x).base.loc))

    def generate(self, z: Array) -> Array:
        """The pixel probabilities that the decoder makes of z."""
        return ad.sigmoid(self.decoder(z))


def elbo(model: VAE, x: Array, rng: Generator) -> Array:
    """One-sample estimate of the bound for each image, reparameterised: (n,), in nats. The KL term is exact."""
    q = model.posterior(x)
    return model.decode(q.sample(rng)).log_prob(x) - kl(q, model.prior)


def loss(model: VAE, x: Array, rng: Generator) -> Array:
    """-mean ELBO of the rows of ``x``, in nats."""
    return -ad.mean(elbo(model, x, rng))


def _log_weights(model: VAE, x: Array, k: int, rng: Generator) -> Array:
    """log w_i = log p(x, z_i) - log q(z_i | x) for k samples of each image: (k, n)."""
    q = model.posterior(x)
    z = q.sample(rng, (k,))
    return model.decode(z).log_prob(x) + model.prior.log_prob(z) - q.log_prob(z)


def log_prob_importance(model: VAE, x: Array, k: int, rng: Generator, chunk: int = 250) -> Array:
    """log (1/k) sum_i p(x, z_i) / q(z_i | x), z_i ~ q(. | x): (n,), in nats.

    On average a lower bound on log p(x), and the tighter the larger ``k`` (Burda et al. 2016). Samples are drawn
    ``chunk`` at a time, of which only the k weights of each image are kept.
    """
    parts = [_log_weights(model, x, min(chunk, k - done), rng) for done in range(0, k, chunk)]
    return ad.logsumexp(ad.concat(parts, axis=0), axis=0) - math.log(k)


def elbo_quadrature(model: VAE, x: Array, nodes: Array, weights: Array, chunk: int = 100) -> Array:
    """The bound without sampling noise: E_q[log p(x | z)] as a sum over ``nodes`` (m, latent) of N(0, I). (n,), in nats."""
    q = model.posterior(x)
    expected = 0.0
    for eps, weight in zip(chunks(nodes, chunk), chunks(weights, chunk), strict=True):
        z = q.base.loc + q.base.scale * ad.expand_dims(eps, axis=1)
        expected = expected + weight @ model.decode(z).log_prob(x)
    return expected - kl(q, model.prior)


def log_prob_quadrature(model: VAE, x: Array, cells: int, reach: float = 6.0, chunk: int = 2000) -> Array:
    """log of the integral of p(z) p(x | z) over the square [-reach, reach]^2 in ``cells``^2 cells: (n,), in nats.

    For two latent dimensions. Exact as the cells grow smaller than the narrowest posterior.
    """
    grid, area = plane(reach, cells)
    parts = []
    for z in chunks(grid, chunk):
        logits = model.decoder(z)
        # log p(x | z) = x . logits - sum softplus(logits): a matrix product for all pairs of image and z
        log_joint = x @ ad.matrix_transpose(logits) + (model.prior.log_prob(z) - ad.sum(ad.softplus(logits), axis=-1))
        parts.append(ad.logsumexp(log_joint, axis=1))
    return ad.logsumexp(ad.stack(parts), axis=0) + math.log(area)
