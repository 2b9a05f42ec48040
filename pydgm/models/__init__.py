"""The models of the lectures, one idea a file, each objective next to its model."""

from . import adversarial, constraints, energy, flows, latent

__all__ = ["adversarial", "constraints", "energy", "flows", "latent"]
