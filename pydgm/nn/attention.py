"""Self-attention: each place of a sequence looks at the others."""

from __future__ import annotations

import math

from .. import autodiff as ad
from .. import checks
from ..backend import Array, arange
from ..errors import DomainError, ShapeError, shape_text
from ..random import Generator
from .layers import Initialiser, Linear, check_init, glorot_uniform
from .module import Module


class SelfAttention(Module):
    """softmax(Q K' / sqrt(d)) V for each of ``heads`` parts of d = dim / heads numbers: (..., n, dim) -> (..., n, dim).

    Q, K and V are affine in x, and so is the result in the heads' answers side by side. Source: Vaswani et al. 2017, equation
    1 and section 3.2.2.
    """

    qkv: Linear  # dim -> 3 dim: queries, keys, values
    out: Linear  # dim -> dim
    heads: int = 1

    @classmethod
    def init(cls, rng: Generator, dim: int, heads: int = 1, weight: Initialiser = glorot_uniform) -> SelfAttention:
        """Raises :class:`~pydgm.errors.DomainError` where ``heads`` does not divide ``dim``."""
        check_init(rng, "SelfAttention.init", dim=dim, heads=heads)
        if dim % heads:
            raise DomainError(f"SelfAttention.init: {heads} heads do not divide {dim} numbers")
        return cls(Linear.init(rng, dim, 3 * dim, weight), Linear.init(rng, dim, dim, weight), heads)

    def __call__(self, x: Array, causal: bool = False) -> Array:
        """With ``causal``, place i looks at places j <= i alone. Raises :class:`~pydgm.errors.ShapeError` for other shapes."""
        dim = self.out.weight.shape[0]
        checks.width(x, dim, f"SelfAttention({dim})")
        if x.ndim < 2:
            raise ShapeError(f"SelfAttention({dim}): wanted places in rows, (..., n, {dim}), got {shape_text(x)}")
        n, d, batch = x.shape[-2], dim // self.heads, tuple(range(x.ndim - 2))
        heads_first = *batch, len(batch) + 1, len(batch), len(batch) + 2  # (..., n, heads, d) <-> (..., heads, n, d)
        qkv = ad.reshape(self.qkv(x), (*x.shape[:-1], 3, self.heads, d))
        q, k, v = [ad.permute_dims(qkv[..., i, :, :], heads_first) for i in range(3)]
        scores = (q * (1.0 / math.sqrt(d))) @ ad.matrix_transpose(k)
        if causal:
            place = arange(n, x)
            scores = ad.where(place[:, None] >= place[None, :], scores, -math.inf)
        answers = ad.permute_dims(ad.softmax(scores, axis=-1) @ v, heads_first)
        return self.out(ad.reshape(answers, x.shape))
