"""Building blocks: what a model is, and the layers most models are made of.

A model is a dataclass of arrays and of other modules, and nothing else: no registration, no hidden state. It is itself a
tree (``pydgm.trees``), so ``dgm.grad(loss)(model)`` is a model of gradients and ``trees.map`` reaches every weight. Whether a
layer trains or evaluates is said in the call: noise comes from a generator, and layers with a state take :class:`Updates`.
"""

from .attention import SelfAttention
from .convolutional import Conv1d, Conv2d, ConvTranspose2d, MaskedConv2d, ResidualBlock
from .layers import (
    MLP,
    Embedding,
    Initialiser,
    Linear,
    MaskedLinear,
    dropout,
    glorot_normal,
    glorot_uniform,
    he_normal,
    he_uniform,
    lecun_normal,
    one_hot,
)
from .module import Module, Updates, count_parameters, double, member, stack, state, static
from .normalisation import BatchNorm, LayerNorm, SpectralNorm, WeightNorm

__all__ = [
    "MLP",
    "BatchNorm",
    "Conv1d",
    "Conv2d",
    "ConvTranspose2d",
    "Embedding",
    "Initialiser",
    "LayerNorm",
    "Linear",
    "MaskedConv2d",
    "MaskedLinear",
    "Module",
    "ResidualBlock",
    "SelfAttention",
    "SpectralNorm",
    "Updates",
    "WeightNorm",
    "count_parameters",
    "double",
    "dropout",
    "glorot_normal",
    "glorot_uniform",
    "he_normal",
    "he_uniform",
    "lecun_normal",
    "member",
    "one_hot",
    "stack",
    "state",
    "static",
]
