"""Measures: how likely data are under a model, what samples are worth, and how sure one can be of a mean."""

from .disentanglement import entropies, factor_vae_score, mutual_information, mutual_information_gap
from .distances import frechet_distance, frechet_normal, mmd, sliced_wasserstein, wasserstein
from .intervals import mean_interval
from .likelihood import Likelihood, likelihood
from .samples import (
    Modes,
    PrecisionRecall,
    centre_of_mass,
    density_modes,
    inception_score,
    modes,
    nearest,
    neighbour_correlation,
    precision_recall,
    slant,
)
from .two_samples import TwoSamples, classifier_test, mmd_test

__all__ = [
    "Likelihood",
    "Modes",
    "PrecisionRecall",
    "TwoSamples",
    "centre_of_mass",
    "classifier_test",
    "density_modes",
    "entropies",
    "factor_vae_score",
    "frechet_distance",
    "frechet_normal",
    "inception_score",
    "likelihood",
    "mean_interval",
    "mmd",
    "mmd_test",
    "modes",
    "mutual_information",
    "mutual_information_gap",
    "nearest",
    "neighbour_correlation",
    "precision_recall",
    "slant",
    "sliced_wasserstein",
    "wasserstein",
]
