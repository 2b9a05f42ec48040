r"""The importance-weighted autoencoder: k samples for each image, weighted before the logarithm, not after it.

    L_k(x) = E[log (1/k) sum_i w_i],      w_i = p(x, z_i) / q(z_i | x),      z_1, ..., z_k ~ q(. | x)

L_1 is the ELBO, L_k never falls with k, and tends to log p(x) (Burda, Grosse and Salakhutdinov 2016; lecture L4, "Importance
Weighted Autoencoders"). Its gradient is the weighted mean of the samples' own, by w~_i = w_i / sum_j w_j: the *best* sample
counts most. (A common fault is to take the weights from a softmax over losses, -log w: there the worst counts most.)

:func:`pydgm.models.latent.vae.log_prob_importance` is one draw of L_k for each image. Here are the losses that climb it.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from ... import autodiff as ad
from ... import checks, trees
from ...backend import Array
from ...random import Generator
from .vae import VAE, log_prob_importance

Loss = Callable[[VAE, Array, Generator], Array]


def loss(k: int) -> Loss:
    """-mean L_k of the rows of x, in nats, its gradient taken as it stands."""
    checks.count(k, "iwae.loss: k")

    def negative_bound(model: VAE, x: Array, rng: Generator) -> Array:
        # formula: importance-weighted
        return -ad.mean(log_prob_importance(model, x, k, rng, chunk=k))

    return negative_bound


def doubly_reparameterized(k: int) -> Loss:
    """The same loss with another gradient in the encoder, of the same mean, and with less noise: the larger k, the greater the
    difference.

    As it stands, the encoder's gradient holds a score function, d log q(z_i) / d phi at fixed z_i, and as k grows its noise
    falls more slowly than its mean: the ratio of the two as k^(-1/2) (Rainforth et al. 2018). Reparameterised once more it is

        sum_i w~_i^2 (d log w_i / d z_i) (d z_i / d phi),

    and for large k the ratio rises as k^(1/2) (Tucker, Lawson, Gu and Maddison 2019); for k = 1 it is the gradient of Roeder,
    Wu and Duvenaud (2017). The decoder's gradient is that of :func:`loss`.
    """
    checks.count(k, "iwae.doubly_reparameterized: k")

    def negative_bound(model: VAE, x: Array, rng: Generator) -> Array:
        q = model.posterior(x)
        z, fixed = q.sample(rng, (k,)), trees.map(ad.stop_gradient, q)

        def log_weights(z: Array) -> Array:
            return model.log_joint(x, z) - fixed.log_prob(z)

        log_w, back = ad.vjp(log_weights, ad.stop_gradient(z))
        w = ad.softmax(ad.stop_gradient(log_w), axis=0)
        (by_z,) = back(w)  # w~_i d log w_i / d z_i
        encoder = ad.sum(ad.stop_gradient(ad.expand_dims(w, axis=-1) * by_z) * z, axis=(0, -1))
        climbs = ad.sum(w * log_w, axis=0) + encoder  # has the gradient, and not the value
        value = ad.logsumexp(ad.stop_gradient(log_w), axis=0) - math.log(k)
        return -ad.mean(climbs - ad.stop_gradient(climbs) + value)

    return negative_bound
