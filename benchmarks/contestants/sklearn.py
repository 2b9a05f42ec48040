"""scikit-learn's BernoulliRBM. It draws its own noise and keeps its chains, so only its cost can be compared."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sklearn.neural_network import BernoulliRBM

from ..problems import RBM_RATE


def rbm(p: dict[str, Any]) -> Callable[[], float]:
    model = BernoulliRBM(n_components=500, learning_rate=RBM_RATE, batch_size=100, random_state=0)

    def once() -> float:
        model.partial_fit(p["x"])
        return float("nan")

    return once
