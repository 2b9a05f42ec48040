"""Autoregressive models: a joint density as a product of conditionals, one variable after the other."""

from . import made, mixture_made, nade, pixel_cnn, wavenet
from .base import Autoregressive, natural_order, nll, random_orders
from .made import MADE
from .mixture_made import MixtureMADE
from .nade import NADE
from .pixel_cnn import GatedPixelCNN, PixelCNN
from .wavenet import WaveNet

__all__ = [
    "MADE",
    "NADE",
    "Autoregressive",
    "GatedPixelCNN",
    "MixtureMADE",
    "PixelCNN",
    "WaveNet",
    "made",
    "mixture_made",
    "nade",
    "natural_order",
    "nll",
    "pixel_cnn",
    "random_orders",
    "wavenet",
]
