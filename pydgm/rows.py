"""Steps that read and write those rows of a large table alone which a batch uses: a vocabulary may be as large as it likes."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from .autodiff import take, value_and_grad
from .backend import Array, put
from .optim import Optimizer
from .random import Generator
from .storage import text_of
from .train import Loss, Step

Model = Any
"""With a field ``embedding``, whose ``table`` has the rows."""


def rows_of(model: Model, used: Array) -> Model:
    """The model with these rows of its table alone."""
    table = take(model.embedding.table, used, axis=0)
    return dataclasses.replace(model, embedding=dataclasses.replace(model.embedding, table=table))


def _put_back(model: Model, used: Array, small: Model) -> Model:
    put(model.embedding.table, used, small.embedding.table)
    return dataclasses.replace(small, embedding=model.embedding)


class by_rows(Step):  # noqa: N801  made like train.minimise
    """A step down ``loss(model, batch, rng)`` on the rows that ``in_use(batch)`` names, and the batch in numbers of these.

    They alone are read, differentiated and updated, each with its own averages in the optimiser's memory: a step costs the same
    however large the table is.
    """

    def __init__(self, loss: Loss, optimizer: Optimizer, in_use: Callable[[Any], tuple[Array, Any]]) -> None:
        def update(model: Model, memory: Any, batch: tuple[Any, ...], rng: Generator) -> tuple[Model, Any, dict[str, Any]]:
            value, gradient = value_and_grad(loss)(model, batch[0], rng)
            return *optimizer.update(model, gradient, memory), {"loss": value}

        super().__init__(lambda model, rng: optimizer.init(model), update, f"{text_of(loss)} by rows by {optimizer.name}")
        self.in_use = in_use

    def advance(self, model: Model, memory: Any, average: None, batch: tuple[Any, ...]) -> tuple[Model, Any, None, Any]:
        used, small_batch = self.in_use(batch[0])
        averages = {name: past for name, past in memory._asdict().items() if hasattr(past, "embedding")}
        small_memory = memory._replace(**{name: rows_of(past, used) for name, past in averages.items()})
        small, small_memory, _, numbers = self.compiled(rows_of(model, used), small_memory, None, (small_batch,))
        past = {name: _put_back(past, used, getattr(small_memory, name)) for name, past in averages.items()}
        return _put_back(model, used, small), small_memory._replace(**past), None, numbers
