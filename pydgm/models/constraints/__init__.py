"""Learning with constraints: logic rules, posterior regularisation, and distillation of rules into a network."""

from . import distillation, logic, posterior, sentence_cnn
from .sentence_cnn import SentenceCNN

__all__ = ["SentenceCNN", "distillation", "logic", "posterior", "sentence_cnn"]
