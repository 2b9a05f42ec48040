"""Normalizing flows: a simple density pushed through a chain of invertible maps."""

from . import autoregressive, planar, radial, textbook
from .autoregressive import IAF, MAF, Coupling
from .objectives import flow, free_energy, nll
from .planar import Planar
from .radial import Radial
from .textbook import Affine, Triangular

__all__ = [
    "IAF",
    "MAF",
    "Affine",
    "Coupling",
    "Planar",
    "Radial",
    "Triangular",
    "autoregressive",
    "flow",
    "free_energy",
    "nll",
    "planar",
    "radial",
    "textbook",
]
