"""Energy-based models: a number for every state, low where the data are."""

from . import contrastive, rbm
from .rbm import RBM

__all__ = ["RBM", "contrastive", "rbm"]
