"""Autoregressive models: a joint density as a product of conditionals, one variable after the other."""

from . import made, nade
from .base import Autoregressive, natural_order, nll, random_orders
from .made import MADE
from .nade import NADE

__all__ = ["MADE", "NADE", "Autoregressive", "made", "nade", "natural_order", "nll", "random_orders"]
