r"""Rule knowledge distillation: a student that learns from labels and from a teacher, itself made to follow rules.

    teacher   q(y | x) = p(y | x) exp(sum_l lambda_l r_l(x, y)) / Z
    student   min over theta of the mean of (1 - pi) l(y_n, p(. | x_n)) + pi l(s_n, p(. | x_n)),   s_n = q(. | x_n)

with l the cross-entropy and pi growing with time (Hu, Ma, Liu, Hovy and Xing 2016; lectures L0 "Rule Knowledge
Distillation", L1 section 4.4). The paper's exponent is -C lambda (1 - r): the same, since Z takes away the constant. Its rule
for sentences "A but B": B's sentiment is the sentence's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy

from ...autodiff import exp, log_softmax, mean, scatter_add, stack, stop_gradient, sum
from ...backend import Array, asarray, to_numpy, zeros
from ...data.clauses import Batch, batch, in_use
from ...data.sentences import Words, after_but
from ...random import Generator
from ...rows import rows_of
from ...train import Loss
from .logic import equivalence
from .posterior import project
from .sentence_cnn import SentenceCNN


class Rule(NamedTuple):
    """lambda r(x, y), where the network's own opinion of a clause of x says how true each y is."""

    clause: Callable[[Words], Words | None]  # the clause of a sentence; None where the rule has nothing to say
    truth: Callable[[Array], Array]  # r: the clause's probability of being positive (m,) -> truth of y = 0, 1, (m, 2)
    strength: float  # lambda


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
    # formula: rule-teacher
    return project(log_softmax(logits), r[:-1, ...], rule.strength)


def distillation_loss(log_p: Array, labels: Array, log_q: Array, pi: Array) -> Array:
    """The mean of (1 - pi) l(y_n, p) + pi l(q, p), in nats; q is the teacher, and has no gradient."""
    hard = stack([1.0 - labels, 0.0 + labels], axis=-1)
    # formula: distillation
    target = (1.0 - pi) * hard + pi * stop_gradient(exp(log_q))
    # formula: rule-m-step, distillation
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


def log_probs(
    model: SentenceCNN, sentences: Sequence[Words], numbers: dict[str, int], rule: Rule, size: int = 200
) -> tuple[numpy.ndarray[Any, Any], numpy.ndarray[Any, Any]]:
    """log p(y | x) and log q(y | x) of each sentence: (n, 2) both. No dropout."""
    order = numpy.argsort([len(words) for words in sentences], kind="stable")
    log_p, log_q = numpy.empty((2, len(order), 2), "float32")
    for at in range(0, len(order), size):
        some = order[at : at + size]
        used, b = in_use(batch([sentences[i] for i in some], numpy.zeros(len(some)), numbers, rule.clause))
        small = rows_of(model, used)
        logits = small(b.words)
        log_p[some], log_q[some] = to_numpy(log_softmax(logits)), to_numpy(teacher(small, b, logits, rule))
    return log_p, log_q


def in_use_with_pi(batch: tuple[Batch, float]) -> tuple[Array, tuple[Batch, Array]]:
    """For :class:`pydgm.rows.by_rows`: the words that a batch uses, and the batch in numbers of these, with its pi."""
    used, small = in_use(batch[0])
    return used, (small, asarray(numpy.float32(batch[1])))


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
