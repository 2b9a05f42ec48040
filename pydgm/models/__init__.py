"""The models of the lectures, one idea a file, each objective next to its model."""

from . import adversarial, autoregressive, constraints, energy, flows, latent

__all__ = ["adversarial", "autoregressive", "constraints", "energy", "flows", "latent"]
