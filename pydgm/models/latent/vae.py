"""The variational autoencoder: z ~ N(0, I), x ~ Bernoulli(decoder(z)), with an encoder that guesses z from x.

    log p(x) >= ELBO(x) = E_q[log p(x | z)] - KL(q(z | x) || p(z)),    q(z | x) = N(mu(x), sigma(x)^2)

Kingma and Welling 2014; lectures L2 "Learning the parameters", L3, L4 "Variational Bound". (A slide of L2 has "encoder" and
"decoder" the wrong way round once: phi belongs to the encoder q, theta to the decoder p.)
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from statistics import NormalDist
from typing import NamedTuple

import numpy

from ... import autodiff as ad
from ... import checks
from ...backend import Array, asarray, chunks, eye, is_array, zeros
from ...distributions import Bernoulli, Independent, Normal, StandardNormal
from ...distributions.base import as_floats, log
from ...divergences import kl, plane
from ...errors import ArgumentError, DomainError, ShapeError, kind_text, shape_text
from ...metrics.likelihood import Likelihood, bound
from ...nn import MLP, Module, static
from ...optim import Rate, piecewise
from ...random import Generator


class VAE(Module):
    """Images in rows of pixels in [0, 1]. ``encoder``: pixels -> (mu, log sigma); ``decoder``: z -> logits of the pixels.

    Pixels are 0 or 1. Of grey ones p^x (1 - p)^(1 - x) is no density on [0, 1] (Loaiza-Ganem and Cunningham, "The continuous
    Bernoulli", 2019), but log p(x | z) is the mean of log p(b | z) over pictures b that are white with the probability x. So
    what is said of x, the ELBO or "log p(x)", is below the mean of log p(b). To have that, draw: ``rng.bernoulli(grey)``.
    """

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
        data: Array | None = None,
    ) -> VAE:
        """Fully connected, ``hidden`` widths from pixels to z, and the other way round in the decoder.

        Biases begin at 0; with ``data`` (n, pixels) the outer ones at its mean p: the first is -p W, so that the encoder sees
        x - p, the last log(p / (1 - p)), so that pixels are as likely as they are before z says anything.
        """
        encoder = MLP.init(rng, [pixels, *hidden, 2 * latent], activation)
        decoder = MLP.init(rng, [latent, *reversed(hidden), pixels], activation)
        if data is None:
            return cls(encoder, decoder)
        checks.rows(data, pixels, "VAE.init: data")
        columns = Bernoulli.fit(data)
        return cls(*_centred(encoder, decoder, columns.probs, columns.logits))

    @property
    def prior(self) -> StandardNormal:
        """p(z) = N(0, I)."""
        # formula: decoder
        return StandardNormal(self.decoder.layers[0].weight.shape[-2])

    def posterior(self, x: Array) -> Independent:
        """q(z | x): (n, pixels) -> n Normals of vectors (latent,)."""
        # formula: encoder
        mu, log_sigma = ad.split(self.encoder(x), 2)
        # formula: encoder
        return Independent(Normal(mu, ad.exp(log_sigma)), 1)

    def decode(self, z: Array) -> Independent:
        """p(x | z): (..., latent) -> Bernoulli pixels."""
        # formula: decoder
        return Independent(Bernoulli(self.decoder(z)), 1)

    def log_joint(self, x: Array, z: Array) -> Array:
        """log p(x, z) = log p(x | z) + log p(z), pair by pair: (..., n, pixels) and (..., n, latent) -> (..., n), in nats."""
        return self.decode(z).log_prob(x) + self.prior.log_prob(z)

    def log_likelihoods(self, x: Array, z: Array) -> Array:
        """log p(x | z) of all pairs, (n, pixels) and (m, latent) -> (n, m): x . logits - sum softplus(logits), a product."""
        logits = self.decoder(z)
        return x @ ad.matrix_transpose(logits) - ad.sum(ad.softplus(logits), axis=-1)

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


def _centred(encoder: MLP, decoder: MLP, mean: Array, start: Array) -> tuple[MLP, MLP]:
    """The encoder sees x - ``mean``, and the decoder begins at ``start``."""
    (first, *rest), (*front, last) = encoder.layers, decoder.layers
    mean, start = (ad.astype(x, first.weight.dtype) for x in (mean, start))
    encoder = replace(encoder, layers=(replace(first, bias=-(mean @ first.weight)), *rest))
    return encoder, replace(decoder, layers=(*front, replace(last, bias=start)))


class GaussianVAE(VAE):
    """Numbers of any size in the place of pixels: p(x | z) = N(decoder(z), sigma^2 I).

    ``log_sigma`` is trained where it is an array; a Python float is a setting, and stays.
    """

    log_sigma: Array | float

    @classmethod
    def init(
        cls,
        rng: Generator,
        numbers: int = 784,
        hidden: Sequence[int] = (400,),
        latent: int = 20,
        activation: Callable[[Array], Array] = ad.relu,
        data: Array | None = None,
        sigma: float | None = None,
    ) -> GaussianVAE:
        """As :meth:`VAE.init`; without ``hidden`` widths the network is linear. ``sigma``: fixed, else trained, from 1 on."""
        networks = VAE.init(rng, numbers, hidden, latent, activation)
        encoder, decoder = networks.encoder, networks.decoder
        if data is not None:
            checks.rows(data, numbers, "GaussianVAE.init: data")
            mean = ad.mean(as_floats(data), axis=0)
            encoder, decoder = _centred(encoder, decoder, mean, mean)
        return cls(encoder, decoder, zeros(()) if sigma is None else math.log(sigma))

    @property
    def sigma(self) -> Array:
        """The noise's standard deviation."""
        return ad.exp(self.log_sigma) if is_array(self.log_sigma) else math.exp(self.log_sigma)

    def decode(self, z: Array) -> Independent:
        """p(x | z): (..., latent) -> normal vectors."""
        return Independent(Normal(self.decoder(z), self.sigma), 1)

    def reconstruct(self, x: Array) -> Array:
        """The mean of p(x | z) at the posterior mean."""
        return self.decoder(self.posterior(x).base.loc)

    def generate(self, z: Array) -> Array:
        """The mean of p(x | z)."""
        return self.decoder(z)

    def log_likelihoods(self, x: Array, z: Array) -> Array:
        """As of :class:`VAE`: |x - f|^2 is |x|^2 - 2 x . f + |f|^2."""
        x, f, sigma = as_floats(x), self.decoder(z), self.sigma
        middle = ad.mean(x, axis=0)  # near 0 the squares cancel least
        x, f = x - middle, f - middle
        squares = ad.sum(ad.square(x), axis=1, keepdims=True) - 2.0 * x @ ad.matrix_transpose(f) + ad.sum(ad.square(f), axis=1)
        return -0.5 * squares / sigma**2 - x.shape[1] * (log(sigma) + 0.5 * math.log(2.0 * math.pi))


class Turned(VAE):
    """A VAE with its latent space turned, z' = R z, R orthogonal: the same p(x), since N(0, I) looks the same from all sides.

    The guesses stay factorised, and a turned Gaussian is not: ``posterior`` is the factorised one that is nearest to it, in
    KL(q' || q), with mean R mu and precisions sum_j R_ij^2 / sigma_j^2.
    """

    R: Array = static()  # (latent, latent), not trained

    @classmethod
    def of(cls, model: VAE, R: Array) -> Turned:
        """``model`` turned by ``R`` (latent, latent). Raises :class:`~pydgm.errors.DomainError` where R is not orthogonal."""
        if type(model) is not VAE:
            raise ArgumentError(f"Turned: wanted a plain VAE, got {kind_text(model)}")
        if getattr(R, "shape", ()) != (model.prior.size,) * 2:
            raise ShapeError(f"Turned: wanted R {(model.prior.size,) * 2}, got {shape_text(R)}")
        if not float(ad.max(ad.abs(R @ ad.matrix_transpose(R) - eye(R.shape[0], R)))) <= 1e-3:
            raise DomainError("Turned: R is not orthogonal, R R' is not I: numpy.linalg.qr(numbers)[0] is")
        first, *others = model.decoder.layers
        decoder = replace(model.decoder, layers=(replace(first, weight=R @ first.weight), *others))
        return cls(model.encoder, decoder, R)

    def posterior(self, x: Array) -> Independent:
        """The nearest factorised guess: (n, pixels) -> n Normals of vectors (latent,)."""
        q = super().posterior(x).base
        back = ad.matrix_transpose(self.R)
        return Independent(Normal(q.loc @ back, 1.0 / ad.sqrt((1.0 / ad.square(q.scale)) @ ad.square(back))), 1)


def manifold(model: VAE, n: int) -> Array:
    """What the decoder makes of n x n latent points, at equal quantiles of the prior: (n^2, pixels), row by row from the top.

    For two latent dimensions (Kingma and Welling 2014, Figure 4).
    """
    line = numpy.array([NormalDist().inv_cdf((i + 0.5) / n) for i in range(n)], "float32")
    return model.generate(asarray(numpy.stack(numpy.meshgrid(line, line[::-1]), axis=-1).reshape(-1, 2)))


def elbo(model: VAE, x: Array, rng: Generator) -> Array:
    """One-sample estimate of the bound for each image, reparameterised: (n,), in nats. The KL term is exact."""
    expected, rate = terms(model, x, rng)
    # formula: elbo, jensen
    return expected - ad.sum(rate, axis=-1)


def terms(model: VAE, x: Array, rng: Generator) -> tuple[Array, Array]:
    """What the bound is made of: log p(x | z) at one sample of q for each image, (n,), and KL(q(z_i | x) || p(z_i)) for each
    latent number, (n, latent), in nats."""
    q = model.posterior(x)
    return model.decode(q.sample(rng)).log_prob(x), kl(q.base, Normal())


def burda_schedule(steps: int, stages: int = 8) -> tuple[Rate, int]:
    """The learning rate of Burda et al. 2016, with ``steps`` in a pass: 3^i passes at 0.001 * 10^(-i / 7). And all passes."""
    begins = {steps * (3**i - 1) // 2: 1e-3 * 10.0 ** (-i / 7.0) for i in range(1, stages)}
    return piecewise(1e-3, begins), (3**stages - 1) // 2


def loss(model: VAE, x: Array, rng: Generator, beta: float = 1.0, free: float = 0.0) -> Array:
    """-mean ELBO of the rows of ``x`` (n, pixels), in nats; in general

        beta sum_i max(free, mean KL(q(z_i | x) || p(z_i))) - mean log p(x | z).

    ``beta`` weighs KL: over 1, the beta-VAE (Higgins et al. 2017); raised from 0 by a schedule, it lets the decoder learn to
    use z before KL is paid for (Bowman et al. 2016; Fu et al. 2019). The first ``free`` nats of each latent number are free
    (Kingma et al. 2016). With beta >= 1 and free > 0 it is a looser bound on -log p, with beta < 1 none.
    """
    checks.number(beta, "vae.loss: beta", 0.0)
    checks.number(free, "vae.loss: free", 0.0)
    expected, rate = terms(model, x, rng)
    # formula: decoder-gradient
    return beta * ad.mean(ad.sum(ad.maximum(ad.mean(rate, axis=-2), free), axis=-1)) - ad.mean(expected)


def log_weights(model: VAE, x: Array, k: int, rng: Generator) -> Array:
    """log w_i = log p(x, z_i) - log q(z_i | x) for k samples of each image: (k, n)."""
    q = model.posterior(x)
    z = q.sample(rng, (k,))
    # formula: elbo-entropy
    return model.log_joint(x, z) - q.log_prob(z)


def log_prob_importance(model: VAE, x: Array, k: int, rng: Generator, chunk: int = 250) -> Array:
    """log (1/k) sum_i p(x, z_i) / q(z_i | x), z_i ~ q(. | x): (n,), in nats.

    On average a lower bound on log p(x), and the tighter the larger ``k`` (Burda et al. 2016). Samples are drawn
    ``chunk`` at a time, of which only the k weights of each image are kept.
    """
    parts = [log_weights(model, x, min(chunk, k - done), rng) for done in range(0, k, chunk)]
    # formula: importance-identity, importance-weighted
    return ad.logsumexp(ad.concat(parts, axis=0), axis=0) - math.log(k)


def elbo_quadrature(model: VAE, x: Array, nodes: Array, weights: Array, chunk: int = 100) -> Array:
    """The bound without sampling noise: E_q[log p(x | z)] as a sum over ``nodes`` (m, latent) of N(0, I). (n,), in nats."""
    q = model.posterior(x)
    expected = 0.0
    for eps, weight in zip(chunks(nodes, chunk), chunks(weights, chunk), strict=True):
        z = q.base.loc + q.base.scale * ad.expand_dims(eps, axis=1)
        expected = expected + weight @ model.decode(z).log_prob(x)
    return expected - kl(q, model.prior)


class Exact(NamedTuple):
    """What a VAE with two latent numbers knows of each image, without sampling: log p(x) (n,) and KL(q(z | x) || p(z | x)) (n,)
    in nats, and the most probable z (n, 2)."""

    log_prob: Array
    gap: Array
    mode: Array


def quadrature(model: VAE, x: Array, cells: int, reach: float = 6.0, chunk: int = 2000) -> Exact:
    """Integrals over the square [-reach, reach]^2 of ``cells`` x ``cells`` cells: log p(x) is that of p(z) p(x | z).

    Exact as the cells grow smaller than the narrowest posterior. The gap is what the bound lacks, log p(x) = ELBO + gap
    (lecture L4, "Variational Bound"). It is summed over these cells, apart from :func:`elbo_quadrature`.
    """
    grid, area = plane(reach, cells)
    q, parts, expected, mass = model.posterior(x).base, [], 0.0, 0.0
    best, mode = ad.zeros_like(q.loc[:, 0]) - math.inf, q.loc
    for z in chunks(grid, chunk):
        log_joint = model.log_likelihoods(x, z) + model.prior.log_prob(z)
        parts.append(ad.logsumexp(log_joint, axis=1))
        log_q = _log_q(q, z)
        weight = area * ad.exp(log_q)
        expected, mass = expected + ad.sum(weight * (log_q - log_joint), axis=1), mass + ad.sum(weight, axis=1)
        higher, where = ad.max(log_joint, axis=1), ad.argmax(log_joint, axis=1)
        mode = ad.where((higher > best)[:, None], ad.take(z, where, axis=0), mode)
        best = ad.maximum(best, higher)
    # formula: marginal-likelihood
    log_prob = ad.logsumexp(ad.stack(parts), axis=0) + math.log(area)
    # formula: gap
    return Exact(log_prob, expected / mass + log_prob, mode)


def _log_q(q: Normal, z: Array) -> Array:
    """log q(z | x) of all pairs of image and z, (n, m): squares multiplied out, so that it is a matrix product."""
    precision = 1.0 / ad.square(q.scale)
    squares = precision @ ad.matrix_transpose(ad.square(z)) - 2.0 * (precision * q.loc) @ ad.matrix_transpose(z)
    constant = ad.sum(precision * ad.square(q.loc) + 2.0 * ad.log(q.scale), axis=1, keepdims=True)
    return -0.5 * (squares + constant) - q.loc.shape[1] * 0.5 * math.log(2.0 * math.pi)
