r"""Rule knowledge distillation: a student that learns from labels and from a teacher, itself made to follow rules.

    teacher   q(y | x) = p(y | x) exp(sum_l lambda_l r_l(x, y)) / Z
    student   min over theta of the mean of (1 - pi) l(y_n, p(. | x_n)) + pi l(s_n, p(. | x_n)),   s_n = q(. | x_n)

with l the cross-entropy and pi growing with time (Hu, Ma, Liu, Hovy and Xing 2016; lectures L0 "Rule Knowledge
Distillation", L1 section 4.4). The paper's exponent is -C lambda (1 - r): the same, since Z takes away the constant. Its rule
for sentences "A but B": B's sentiment is the sentence's.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy

from ...autodiff import exp, log_softmax, mean, scatter_add, stack, stop_gradient, sum, take, value_and_grad
from ...backend import Array, asarray, put, to_numpy, zeros
from ...data.sentences import Words, after_but, encode
from ...nn import Embedding
from ...optim import Optimizer
from ...random import Generator
from ...storage import text_of
from ...train import Loss, Step
from .logic import equivalence
from .posterior import project
from .sentence_cnn import SentenceCNN


class Rule(NamedTuple):
    """lambda r(x, y), where the network's own opinion of a clause of x says how true each y is."""

    clause: Callable[[Words], Words | None]  # the clause of a sentence; None where the rule has nothing to say
    truth: Callable[[Array], Array]  # r: the clause's probability of being positive (m,) -> truth of y = 0, 1, (m, 2)
    strength: float  # lambda


class Batch(NamedTuple):
    """Sentences as rows of word numbers; of those that the rule speaks of, the clauses, and which rows they belong to."""

    words: Array  # (n, length)
    labels: Array  # (n,)
    clauses: Array  # (m, length), m >= the number of clauses; what is left over belongs to row n, which does not exist
    rows: Array  # (m,)


def but_rule(b: Array) -> Array:
    """r(y) for y = 0, 1: how true "the sentence is positive if and only if B is" is, where B is positive with probability b.

    (y = 1 -> b) averaged with (b -> y = 1): (2 - b) / 2 for y = 0 and (1 + b) / 2 for y = 1. (m,) -> (m, 2).
    """
    false = zeros(b.shape, b)
    return stack([equivalence(false, b), equivalence(1.0 + false, b)], axis=-1)


def but(strength: float = 6.0) -> Rule:
    """The rule for "A but B"."""
    return Rule(after_but, but_rule, strength)


def teacher(model: Callable[[Array], Array], batch: Batch, logits: Array, rule: Rule) -> Array:
    """log q(y | x): (n, 2). Where the rule does not speak, q is p. Clauses are read without dropout."""
    p = exp(log_softmax(model(batch.clauses)))
    r = scatter_add(rule.truth(p[:, 1]), batch.rows, (logits.shape[0] + 1, 2))
    return project(log_softmax(logits), r[:-1, ...], rule.strength)


def distillation_loss(log_p: Array, labels: Array, log_q: Array, pi: Array) -> Array:
    """The mean of (1 - pi) l(y_n, p) + pi l(q, p), in nats; q is the teacher, and has no gradient."""
    hard = stack([1.0 - labels, 0.0 + labels], axis=-1)
    target = (1.0 - pi) * hard + pi * stop_gradient(exp(log_q))
    return -mean(sum(target * log_p, axis=-1))


def balance(t: int, limit: float = 1.0, rate: float = 0.9) -> float:
    """pi(t) = min(limit, 1 - rate^t) in epoch t = 0, 1, ...: the teacher is believed once it knows something."""
    if not 0.0 <= rate <= 1.0:
        raise ValueError(f"balance: rate = {rate}: wanted 0 <= rate <= 1")
    return min(limit, 1.0 - rate**t)


def fixed_point(pi: float, strength: float, noise: float, b: float = 1.0) -> float:
    """p(y | x) of the right label where labels and teacher leave a student that can learn anything.

    p = (1 - pi) (1 - noise) + pi q,   logit q = logit p + strength (b - 1/2)

    if labels are wrong with probability ``noise``, and the network is sure by ``b`` of the clause B. Raises ``ValueError``
    for pi outside [0, 1): without labels a teacher that follows its student goes on for ever.
    """
    if not 0.0 <= pi < 1.0:
        raise ValueError(f"fixed_point: pi = {pi}: wanted 0 <= pi < 1")
    low, high = 0.0, 1.0  # the student's p - (1 - pi)(1 - noise) - pi q is below 0 at low, above at high
    against = math.exp(min(strength * (0.5 - b), 700.0))
    for _ in range(100):
        p = 0.5 * (low + high)
        q = p / (p + (1.0 - p) * against)
        low, high = (p, high) if p < (1.0 - pi) * (1.0 - noise) + pi * q else (low, p)
    return high


# From sentences to batches


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


def log_probs(
    model: SentenceCNN, sentences: Sequence[Words], numbers: dict[str, int], rule: Rule, size: int = 200
) -> tuple[numpy.ndarray[Any, Any], numpy.ndarray[Any, Any]]:
    """log p(y | x) and log q(y | x) of each sentence: (n, 2) both. No dropout."""
    order = numpy.argsort([len(words) for words in sentences], kind="stable")
    log_p, log_q = numpy.empty((2, len(order), 2), "float32")
    for at in range(0, len(order), size):
        some = order[at : at + size]
        used, b = _in_use(batch([sentences[i] for i in some], numpy.zeros(len(some)), numbers, rule.clause))
        small = _rows(model, used)
        logits = small(b.words)
        log_p[some], log_q[some] = to_numpy(log_softmax(logits)), to_numpy(teacher(small, b, logits, rule))
    return log_p, log_q


# Training


def _rows(model: SentenceCNN, used: Array) -> SentenceCNN:
    """The model with these rows of its table alone."""
    return dataclasses.replace(model, embedding=Embedding(take(model.embedding.table, used, axis=0)))


def _put_back(model: SentenceCNN, used: Array, small: SentenceCNN) -> SentenceCNN:
    put(model.embedding.table, used, small.embedding.table)
    return dataclasses.replace(small, embedding=model.embedding)


def student_loss(rule: Rule | None, dropout: float = 0.5) -> Loss:
    """The student's loss on a batch and its pi. Without a ``rule`` there is no teacher: the labels are all."""

    def loss(model: SentenceCNN, batch: tuple[Batch, Array], rng: Generator) -> Array:
        b, pi = batch
        logits = model(b.words, rng if dropout else None, dropout)
        log_p = log_softmax(logits)
        if rule is None:
            return distillation_loss(log_p, b.labels, log_p, 0.0)
        return distillation_loss(log_p, b.labels, teacher(model, b, logits, rule), pi)

    return loss


class by_rows(Step):  # noqa: N801  made like train.minimise
    """A step down ``loss(model, (batch, pi), rng)`` that reads, differentiates and updates those rows of the word table alone
    which the batch uses, each with its own averages in the optimiser's memory: it costs the same however large the vocabulary
    is.
    """

    def __init__(self, loss: Loss, optimizer: Optimizer) -> None:
        def update(model: SentenceCNN, memory: Any, batch: tuple[Any, ...], rng: Generator) -> tuple[Any, Any, dict[str, Any]]:
            value, gradient = value_and_grad(loss)(model, batch[0], rng)
            return *optimizer.update(model, gradient, memory), {"loss": value}

        super().__init__(lambda model, rng: optimizer.init(model), update, f"{text_of(loss)} by rows by {optimizer.name}")

    def advance(self, model: SentenceCNN, memory: Any, average: None, batch: tuple[Any, ...]) -> tuple[Any, Any, None, Any]:
        ((b, pi),) = batch
        used, small_batch = _in_use(b)
        small_memory = memory._replace(**{name: _rows(past, used) for name, past in _averages(memory)})
        pi = asarray(numpy.float32(pi))
        small, small_memory, _, numbers = self.compiled(_rows(model, used), small_memory, None, ((small_batch, pi),))
        past = {name: _put_back(past, used, getattr(small_memory, name)) for name, past in _averages(memory)}
        return _put_back(model, used, small), small_memory._replace(**past), None, numbers


def _in_use(b: Batch) -> tuple[Array, Batch]:
    """The words that a batch uses, and the batch in numbers of these. Row 0, no word, has no gradient and fills up."""
    used, places = numpy.unique(numpy.concatenate([[0], b.words.ravel(), b.clauses.ravel()]), return_inverse=True)
    filled = numpy.zeros(-(-len(used) // 128) * 128, used.dtype)  # few sizes, so few compilations
    filled[: len(used)] = used
    words, clauses = numpy.split(places[1:], [b.words.size])
    return asarray(filled), Batch(
        *map(asarray, (words.reshape(b.words.shape), b.labels, clauses.reshape(b.clauses.shape), b.rows))
    )


def _averages(memory: Any) -> list[tuple[str, Any]]:
    return [(name, getattr(memory, name)) for name in ("first", "second") if getattr(memory, name) is not None]
