"""Measures: how likely data are under a model, what samples are worth, and how sure one can be of a mean."""

from .intervals import mean_interval
from .likelihood import Likelihood, likelihood
from .samples import Modes, density_modes, modes, neighbour_correlation

__all__ = ["Likelihood", "Modes", "density_modes", "likelihood", "mean_interval", "modes", "neighbour_correlation"]
