r"""A teacher that follows a rule: q* for $variant.

A network says p(y | x). A rule says how much it likes each answer, r(y). The teacher is the distribution that stays near p and
is liked (lecture L1, section 4; Hu et al. 2016):

    q* = argmax over q of  $objective

Write q* in NumPy, for log p (n, K), r (n, K) and strength lambda; log p may be -1000.
"""

import numpy as np
from hypothesis import strategies as st

from pydgm.lesson.exercise import every
from pydgm.testing import arrays

VARIANTS = {
    "the rule's reward": {
        "objective": "lambda E_q[r] - KL(q || p)",
        "score": "log_p + strength * r",
        "value": lambda q, log_p, r, s: (q * (s * r - np.log(q) + log_p)).sum(axis=1),
    },
    "a cautious teacher": {
        "objective": "lambda E_q[r] - KL(q || p) + H(q), H(q) = -E_q[log q]",
        "score": "0.5 * (log_p + strength * r)",
        "value": lambda q, log_p, r, s: (q * (s * r - 2.0 * np.log(q) + log_p)).sum(axis=1),
    },
    "a teacher without a network": {
        "objective": "lambda E_q[r] + E_q[log p] / 2 + H(q), H(q) = -E_q[log q]",
        "score": "0.5 * log_p + strength * r",
        "value": lambda q, log_p, r, s: (q * (s * r - np.log(q) + 0.5 * log_p)).sum(axis=1),
    },
    "a patient teacher": {
        "objective": "lambda E_q[r] - 2 KL(q || p)",
        "score": "log_p + 0.5 * strength * r",
        "value": lambda q, log_p, r, s: (q * (s * r - 2.0 * np.log(q) + 2.0 * log_p)).sum(axis=1),
    },
}

SOLUTION = '''\
import numpy as np


def teacher(log_p, r, strength):
    """q* (n, K): rows add up to 1."""
    #< set the derivative to 0, with a multiplier for sum q = 1; then in log space
    score = $score
    q = np.exp(score - score.max(axis=1, keepdims=True))
    return q / q.sum(axis=1, keepdims=True)
    #>
'''

MISTAKES = {
    "the rule is forgotten": ("score = $score", "r = 0.0 * r\n    score = $score", "a better q"),
    "the network is forgotten": ("score = $score", "log_p = 0.0 * log_p\n    score = $score", "a better q"),
    "the sign of the rule": ("score = $score", "r = -r\n    score = $score", "a better q"),
    "twice the strength": ("score = $score", "strength = 2.0 * strength\n    score = $score", "a better q"),
    "p in place of its logarithm": ("score = $score", "log_p = np.exp(log_p)\n    score = $score", "a better q"),
    "normalised over the batch": ("q.sum(axis=1, keepdims=True)", "q.sum(axis=0, keepdims=True)", "add up to"),
    "nothing is taken out": ("np.exp(score - score.max(axis=1, keepdims=True))", "np.exp(score)", "finite"),
}

STRENGTH = st.integers(1, 32).map(lambda n: n / 8)


def check_it_is_a_distribution(work, v) -> None:
    log_p, r = np.log([[0.2, 0.3, 0.5], [0.9, 0.05, 0.05]]), np.array([[1.0, 0.0, 0.5], [0.0, 1.0, 0.0]])
    q = np.asarray(work.teacher(log_p, r, 2.0))
    assert q.shape == (2, 3), f"q has shape {q.shape}, wanted (2, 3)"
    assert np.allclose(q.sum(axis=1), 1.0), f"rows of q add up to {q.sum(axis=1).round(4).tolist()}, not to 1"
    assert (q >= 0.0).all(), f"q has a negative number: {q.round(4).tolist()}"


def check_nothing_is_better(work, v) -> None:
    """The objective at q*, beside that of its neighbours on the simplex."""

    @every(arrays((1, 3)), arrays((1, 3)), STRENGTH)
    def best(score, r, strength) -> None:
        log_p = score - np.log(np.exp(score).sum())
        q = np.asarray(work.teacher(log_p, r, strength))
        assert np.allclose(q.sum(axis=1), 1.0), f"rows of q add up to {q.sum(axis=1).round(4).tolist()}, not to 1"
        own = v.value(np.maximum(q, 1e-300), log_p, r, strength)[0]
        for i, j in ((0, 1), (1, 2), (2, 0)):
            for step in (1e-3, -1e-3, 0.1, -0.1):
                other = q.copy()
                other[0, i] += step * q[0, j]
                other[0, j] -= step * q[0, j]
                if other.min() <= 0.0:
                    continue
                there = v.value(other, log_p, r, strength)[0]
                pair = f"{other.round(4).tolist()} is a better q than {q.round(4).tolist()}"
                assert there <= own + 1e-9, f"{pair}: the objective is {there:.5f}, here {own:.5f}"


def check_no_overflow(work, v) -> None:
    with np.errstate(all="ignore"):
        q = np.asarray(work.teacher(np.array([[-1000.0, -1001.0], [0.0, -800.0]]), np.array([[0.0, 1.0], [0.0, 1000.0]]), 4.0))
    assert np.isfinite(q).all(), f"with log p of -1000 q should be finite, and is {q.tolist()}"
    assert np.allclose(q.sum(axis=1), 1.0), f"with log p of -1000 rows of q add up to {q.sum(axis=1).tolist()}"
