"""Normalizing flows: a simple density pushed through a chain of invertible maps."""

from . import flow, planar, radial, textbook
from .flow import Bijection, Flow
from .planar import Planar
from .radial import Radial
from .textbook import Affine, Triangular

__all__ = ["Affine", "Bijection", "Flow", "Planar", "Radial", "Triangular", "flow", "planar", "radial", "textbook"]
