"""Distributions: ``sample``, ``log_prob``, mostly ``entropy``. They are modules, so their parameters can be trained.

What one draw is, a number or a vector, is said by the distribution itself (``event_ndim``): ``Normal(loc, scale)`` is one of
numbers for each parameter, and ``Independent(Normal(loc, scale), 1)`` one of vectors, whose ``log_prob`` is a sum. All
quantities are in nats.
"""

from .base import Distribution, Independent, Mixture, Transformed
from .continuous import MultivariateNormal, Normal, StandardNormal, Uniform
from .discrete import Bernoulli, Categorical, DiscretizedLogistic, GumbelSoftmax, Multinomial, straight_through

__all__ = [
    "Bernoulli",
    "Categorical",
    "DiscretizedLogistic",
    "Distribution",
    "GumbelSoftmax",
    "Independent",
    "Mixture",
    "Multinomial",
    "MultivariateNormal",
    "Normal",
    "StandardNormal",
    "Transformed",
    "Uniform",
    "straight_through",
]
