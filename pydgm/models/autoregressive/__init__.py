"""Autoregressive models: a joint density as a product of conditionals, one variable after the other."""

from . import made, nade, pixel_cnn
from .base import Autoregressive, natural_order, nll, random_orders
from .made import MADE
from .nade import NADE
from .pixel_cnn import GatedPixelCNN, PixelCNN

__all__ = [
    "MADE",
    "NADE",
    "Autoregressive",
    "GatedPixelCNN",
    "PixelCNN",
    "made",
    "nade",
    "natural_order",
    "nll",
    "pixel_cnn",
    "random_orders",
]
