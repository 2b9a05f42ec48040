"""Latent variable models: what is seen comes from what is not."""

from . import estimators, mixture, vae
from .mixture import GaussianMixture, KernelDensity
from .vae import VAE

__all__ = ["VAE", "GaussianMixture", "KernelDensity", "estimators", "mixture", "vae"]
