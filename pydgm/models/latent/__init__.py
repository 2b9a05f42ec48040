"""Latent variable models: what is seen comes from what is not."""

from . import estimators, inference, iwae, mixture, ppca, vae
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
    "estimators",
    "inference",
    "iwae",
    "mixture",
    "ppca",
    "vae",
]
