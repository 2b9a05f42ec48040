"""Measures: how likely data are under a model, and how sure one can be of a mean."""

from .intervals import mean_interval
from .likelihood import Likelihood, likelihood

__all__ = ["Likelihood", "likelihood", "mean_interval"]
