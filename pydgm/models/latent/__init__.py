"""Latent variable models: what is seen comes from what is not."""

from . import inference, iwae, mixture, multimodal, ppca, vae
from .mixture import GaussianMixture, KernelDensity, SphericalMixture
from .multimodal import Multimodal, product_of_experts
from .ppca import PPCA
from .vae import VAE, GaussianVAE

__all__ = [
    "PPCA",
    "VAE",
    "GaussianMixture",
    "GaussianVAE",
    "KernelDensity",
    "Multimodal",
    "SphericalMixture",
    "inference",
    "iwae",
    "mixture",
    "multimodal",
    "ppca",
    "product_of_experts",
    "vae",
]
