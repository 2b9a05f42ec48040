"""The models of the lectures, one idea a file, each objective next to its model."""

from . import adversarial, latent

__all__ = ["adversarial", "latent"]
