"""Latent variable models: what is seen comes from what is not."""

from . import estimators, vae
from .vae import VAE

__all__ = ["VAE", "estimators", "vae"]
