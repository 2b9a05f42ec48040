"""The models of the lectures, one idea a file, each objective next to its model."""

from . import adversarial, energy, flows, latent

__all__ = ["adversarial", "energy", "flows", "latent"]
