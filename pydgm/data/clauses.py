"""Batches of sentences, each with the clause that a rule speaks of: in few shapes, so that few programs are compiled."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy

from ..backend import Array, asarray, to_numpy
from ..random import Generator
from .sentences import Words, after_but, encode


class Batch(NamedTuple):
    """Sentences as rows of word numbers; of those that the rule speaks of, the clauses, and which rows they belong to."""

    words: Array  # (n, length)
    labels: Array  # (n,)
    clauses: Array  # (m, length), m >= the number of clauses; what is left over belongs to row n, which does not exist
    rows: Array  # (m,)


def batch(
    sentences: Sequence[Words], labels: Any, numbers: dict[str, int], clause: Callable[[Words], Words | None] = after_but
) -> Batch:
    """Lengths are rounded up to multiples of 8 and the number of clauses to one of 16: few shapes, so few compilations.

    Raises ``ValueError`` where sentences and labels are not equally many, or labels are other than 0 and 1.
    """
    labels = numpy.asarray(labels)
    if labels.shape != (len(sentences),) or not len(sentences):
        raise ValueError(f"batch: wanted a label for each of {len(sentences)} sentences, got labels of shape {labels.shape}")
    if wrong := [label for label in labels.tolist() if label not in (0, 1)]:
        raise ValueError(f"batch: labels are 0, negative, and 1, positive; got {wrong[0]!r}")
    clauses_of = [(row, b) for row, b in enumerate(map(clause, sentences)) if b is not None]
    length = max(-(-max(map(len, sentences)) // 8), 1) * 8
    places = max(-(-len(clauses_of) // 16), 1) * 16
    clauses = encode([b for _, b in clauses_of] + [()] * (places - len(clauses_of)), numbers, length)
    rows = numpy.array([row for row, _ in clauses_of] + [len(sentences)] * (places - len(clauses_of)))
    return Batch(encode(sentences, numbers, length), labels.astype("float32"), clauses, rows)


def batches(
    sentences: Sequence[Words],
    labels: Any,
    numbers: dict[str, int],
    size: int,
    rng: Generator,
    clause: Callable[[Words], Words | None] = after_but,
) -> list[Batch]:
    """``size`` sentences at a time, of about one length, in random order; a random rest of less than ``size`` is left out."""
    n = len(sentences)
    if not 0 < size <= n or len(labels) != n:
        raise ValueError(f"batches of {size} from {n} sentences with {len(labels)} labels: wanted 1 to {n}, and {n} labels")
    some = to_numpy(rng.permutation(n))[: n - n % size]
    lengths = numpy.array([len(sentences[i]) for i in some]) + 8.0 * to_numpy(rng.uniform((len(some),)))
    groups = some[numpy.argsort(lengths)].reshape(-1, size)
    shuffled = [groups[i] for i in to_numpy(rng.permutation(len(groups)))]
    return [batch([sentences[i] for i in group], numpy.asarray(labels)[group], numbers, clause) for group in shuffled]


def in_use(b: Batch) -> tuple[Array, Batch]:
    """The words that a batch uses, and the batch in numbers of these. Row 0, no word, has no gradient and fills up."""
    used, places = numpy.unique(numpy.concatenate([[0], b.words.ravel(), b.clauses.ravel()]), return_inverse=True)
    filled = numpy.zeros(-(-len(used) // 128) * 128, used.dtype)  # few sizes, so few compilations
    filled[: len(used)] = used
    words, clauses = numpy.split(places[1:], [b.words.size])
    return asarray(filled), Batch(
        *map(asarray, (words.reshape(b.words.shape), b.labels, clauses.reshape(b.clauses.shape), b.rows))
    )
