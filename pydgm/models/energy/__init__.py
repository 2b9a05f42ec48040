"""Energy-based models: a number for every state, low where the data are."""

from . import rbm
from .rbm import RBM

__all__ = ["RBM", "rbm"]
