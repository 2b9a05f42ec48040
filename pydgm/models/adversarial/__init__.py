"""Generative adversarial networks: a generator against a discriminator (GAN) or a critic (WGAN)."""

from . import gan, wgan

__all__ = ["gan", "wgan"]
