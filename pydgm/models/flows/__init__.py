"""Normalizing flows: a simple density pushed through a chain of invertible maps."""

from . import planar, radial, textbook
from .objectives import flow, free_energy, nll
from .planar import Planar
from .radial import Radial
from .textbook import Affine, Triangular

__all__ = ["Affine", "Planar", "Radial", "Triangular", "flow", "free_energy", "nll", "planar", "radial", "textbook"]
