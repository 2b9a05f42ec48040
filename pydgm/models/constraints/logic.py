r"""Soft logic: truth between 0 and 1, and rules that have a slope (Lukasiewicz; probabilistic soft logic, Bach et al. 2017).

    a & b = max(a + b - 1, 0),   a | b = min(a + b, 1),   not a = 1 - a,   a -> b = min(1 - a + b, 1)

At 0 and 1 these are the truth tables. A conjunction of rules that should each count, even where another fails, is their mean
(Hu et al. 2016, section 3.1; lecture L0, "Logical Rule Constraints": r(X, Y) in [0, 1]).
"""

from __future__ import annotations

from ...autodiff import maximum, minimum
from ...backend import Array


def conjunction(a: Array, b: Array) -> Array:
    """max(a + b - 1, 0)."""
    return maximum(a - 1.0 + b, 0.0)


def disjunction(a: Array, b: Array) -> Array:
    """min(a + b, 1)."""
    return minimum(a + b, 1.0)


def negation(a: Array) -> Array:
    """1 - a."""
    return 1.0 - a


def implication(a: Array, b: Array) -> Array:
    """min(1 - a + b, 1): as true as "not a, or b"."""
    return minimum(1.0 - a + b, 1.0)


def average(first: Array, *others: Array) -> Array:
    """(a + b + ...) / n: a conjunction that is still partly true where one part fails."""
    total = 0.0 + first
    for truth in others:
        total = total + truth
    return total / (1 + len(others))


def equivalence(a: Array, b: Array) -> Array:
    """(a -> b) and (b -> a), averaged: 1 - abs(a - b) / 2, so that opposite truths are still half equivalent."""
    return average(implication(a, b), implication(b, a))
