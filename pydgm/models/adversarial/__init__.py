"""Generative adversarial networks: a generator against a discriminator (GAN, least squares, hinge) or a critic (WGAN)."""

from . import against_collapse, gan, hinge, lsgan, wgan
from .against_collapse import Packed, unrolled
from .gan import Generator

__all__ = ["Generator", "Packed", "against_collapse", "gan", "hinge", "lsgan", "unrolled", "wgan"]
