"""Latent variable models: what is seen comes from what is not."""

from . import inference, iwae, mixture, ppca, vae
from .mixture import GaussianMixture, KernelDensity, SphericalMixture
from .ppca import PPCA
from .vae import VAE, GaussianVAE

__all__ = [
    "PPCA",
    "VAE",
    "GaussianMixture",
    "GaussianVAE",
    "KernelDensity",
    "SphericalMixture",
    "inference",
    "iwae",
    "mixture",
    "ppca",
    "vae",
]
