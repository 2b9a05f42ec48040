r"""A convolutional network that classifies sentences (Kim 2014), the base network of rule distillation (Hu et al. 2016).

    x_t: the vector of word t;    c_t = w . (x_t, ..., x_(t+h-1)),  h = 3, 4, 5;    feature = relu(max_t c_t + b)

100 filters of each width h, dropout, and a linear layer to the logits of the labels.

Two facts make it cheap. c_t is a sum over the words of a window, of w's column for the place times the word's vector: so each
word of the table meets the filters once, and a window adds up numbers that are there. And the maximum has a derivative in its
largest window only: so all windows are compared without one, and of the best alone the sum is differentiated.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

from ...autodiff import (
    argmax,
    astype,
    concat,
    getitem,
    greater,
    pad,
    relu,
    reshape,
    stack,
    stop_gradient,
    sum,
    take,
    take_along_axis,
    where,
)
from ...backend import Array, arange, zeros
from ...errors import ShapeError, shape_text
from ...nn import Embedding, Linear, Module, static
from ...nn import dropout as drop_out
from ...random import Generator


class SentenceCNN(Module):
    """Rows of word numbers (n, length), 0 where there is no word -> logits (n, classes)."""

    embedding: Embedding
    filters: Array  # (d, 3 + 4 + 5, F): all places of all widths, one after the other
    bias: Array  # (3, F)
    out: Linear
    widths: tuple[int, ...] = static((3, 4, 5))

    @classmethod
    def init(
        cls, rng: Generator, words: int, dim: int = 300, filters: int = 100, classes: int = 2, widths: Sequence[int] = (3, 4, 5)
    ) -> SentenceCNN:
        """``words`` in the vocabulary, with 0 and 1; vectors of ``dim`` numbers in [-0.25, 0.25], as in Kim's code."""
        table = 0.5 * rng.uniform((words, dim)) - 0.25
        scale = [(6.0 / (h * dim + h * filters)) ** 0.5 for h in widths for _ in range(h)]
        kernels = [(2.0 * rng.uniform((dim, 1, filters)) - 1.0) * s for s in scale]
        bias = zeros((len(widths), filters), table)
        return cls(
            Embedding(table), concat(kernels, axis=1), bias, Linear.init(rng, len(widths) * filters, classes), tuple(widths)
        )

    def features(self, words: Array) -> Array:
        """(n, length) -> (n, F of each width): the highest response of each filter to the words around any word.

        Raises :class:`ShapeError` for other than rows of one place or more.
        """
        if words.ndim != 2 or words.shape[1] == 0:
            raise ShapeError(f"SentenceCNN: wanted word numbers (n, length), at least one place long, got {shape_text(words)}")
        edge = sorted(self.widths)[-1] // 2  # so that the widest filter fits a single word
        words = pad(words, ((0, 0), (edge, edge)))
        there = greater(words, 0)
        d, places, F = self.filters.shape
        rows = self.embedding.table.shape[0]
        known = self.embedding.table * astype(arange(rows, words) > 0, self.filters.dtype)[:, None]  # row 0 is no word
        responses = reshape(known @ reshape(self.filters, (d, places * F)), (rows, places, F))  # of a filter's place to a word
        fixed, chosen = stop_gradient(responses), []
        begins = list(itertools.accumulate(self.widths, initial=0))[:-1]
        for h, at in zip(self.widths, begins, strict=True):
            fit = words.shape[1] - h + 1
            response = take(fixed[:, at, :], words[:, :fit], axis=0)
            for k in range(1, h):
                response = response + take(fixed[:, at + k, :], words[:, k : k + fit], axis=0)
            # only windows around a word count, so that an answer does not depend on how far a row is filled up
            largest = argmax(where(there[:, h // 2 : h // 2 + fit, None], response, -math.inf), axis=1)
            chosen += [take_along_axis(words, largest + k, axis=1) for k in range(h)]
        at_best = stack(chosen, axis=1), arange(places, words)[:, None], arange(F, words)
        best = getitem(responses, at_best)  # (n, places, F)
        highest = [sum(best[:, at : at + h, :], axis=1) for h, at in zip(self.widths, begins, strict=True)]
        return concat([relu(c + self.bias[i, ...]) for i, c in enumerate(highest)], axis=1)

    def __call__(self, words: Array, rng: Generator | None = None, dropout: float = 0.5) -> Array:
        """Logits. With a generator, each feature is left out with probability ``dropout``, and the others grow instead.

        Raises :class:`DomainError` for a ``dropout`` outside [0, 1).
        """
        return self.out(drop_out(self.features(words), dropout, rng))
