"""``python -m benchmarks scoreboard``: how likely held-out rows of small binary data sets are under each model.

Another model joins by a function ``(rng, name, data) -> Score`` in :data:`MODELS`. Settings were chosen on the valid rows.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy

import pydgm as dgm
from pydgm import data, optim
from pydgm.models.energy import RBM, rbm

SETS = ("dna", "mushrooms", "nips")
PUBLISHED = {"RBM": {"dna": 96.74, "mushrooms": 15.15, "nips": 277.37}}  # in the papers of NADE and MADE, from memory


class Score(NamedTuple):
    """Mean of -log P over the test rows, in nats; from ``low`` to ``high`` by the estimate's own standard errors."""

    nats: float
    low: float
    high: float


def independent(rng: Any, name: str, found: data.BinaryRows) -> Score:
    """Each column by itself, one of each value added. Exact."""
    p = (found.train.sum(axis=0) + 1.0) / (len(found.train) + 2.0)
    nats = -float((found.test * numpy.log(p) + (1.0 - found.test) * numpy.log(1.0 - p)).sum(axis=1).mean())
    return Score(nats, nats, nats)


class Recipe(NamedTuple):
    """How an RBM is trained: PCD-k in batches of 20, with a rate that falls to 0."""

    hidden: int
    passes: int
    rate: float
    decay: float
    k: int


RECIPES = {
    "dna": Recipe(100, 100, 0.1, 0.01, 2),
    "mushrooms": Recipe(150, 150, 0.2, 0.001, 5),
    "nips": Recipe(200, 100, 0.05, 0.03, 5),
}


def machine(rng: Any, name: str, found: data.BinaryRows) -> Score:
    """A restricted Boltzmann machine; log Z by annealed importance sampling from independent columns."""
    hidden, passes, rate, decay, k = RECIPES[name]
    train, test = dgm.asarray(found.train.astype("float32")), dgm.asarray(found.test.astype("float32"))
    n, steps = len(found.train), passes * (len(found.train) // 20)
    model = RBM.init(rng, train.shape[1], hidden, train)
    base = model.b
    falling = optim.sgd(lambda step: rate * (1.0 - step / steps))
    batches = (train[i, ...] for _ in range(passes) for i in rng.batches(n, 20))
    chains = train[rng.integers(0, n, (100,)), ...]
    model, _ = rbm.fit(model, batches, rng, k, chains, falling, decay)
    log_z = rbm.ais(model, rng, chains=500, temperatures=5000, base=base)
    free = float(dgm.mean(model.free_energy(test)))
    return Score(free + log_z.value, free + log_z.low, free + log_z.high)


MODELS: dict[str, Callable[[Any, str, data.BinaryRows], Score]] = {"independent columns": independent, "RBM": machine}


def scoreboard(seeds: int = 3) -> dict[str, Any]:
    """``{model: {set: {"nats": [a seed's, ...], "low": ..., "high": ...}}}``. Raises :class:`DataError` without the data."""
    folder = data.find("uci_binary")
    if folder is None:
        raise data.DataError("the UCI binary sets are not here: PYDGM_DATA names a folder that holds uci_binary/")
    found: dict[str, Any] = {}
    for model, score in MODELS.items():
        for name in SETS:
            scores = [score(dgm.random.Generator(seed), name, data.uci_binary(Path(folder), name)) for seed in range(seeds)]
            parts = {part: [round(getattr(s, part), 3) for s in scores] for part in Score._fields}
            found.setdefault(model, {})[name] = parts
            print(f"{model}, {name}: {parts['nats']}", flush=True)
    return found


def table(found: dict[str, Any]) -> str:
    """Mean and range over the seeds, as Markdown; published numbers below each model's own."""
    rows = [f"| test nats | {' | '.join(SETS)} |", "|" + "---|" * (len(SETS) + 1)]
    for model, sets in found.items():
        cells = []
        for name in SETS:
            nats = sets[name]["nats"]
            spread = f" ({min(nats):.2f} to {max(nats):.2f})" if max(nats) - min(nats) > 0.005 else ""
            cells.append(f"{statistics.mean(nats):.2f}{spread}")
        rows.append(f"| {model} | {' | '.join(cells)} |")
        if model in PUBLISHED:
            rows.append(f"| {model}, published | {' | '.join(f'{PUBLISHED[model][name]:.2f}' for name in SETS)} |")
    return "\n".join(rows)
