"""What goes wrong most often in a training, refused in one sentence before it becomes a wrong result: called by ``train``."""

from __future__ import annotations

import inspect
import itertools
import math
import warnings
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy

from . import checks, storage, trees
from .backend import is_array, is_floating
from .errors import ArgumentError, DomainError, NaNError, ShapeError, kind_text, shape_text
from .optim import Optimizer

RESERVED = ("loss", "validation", "validation_step")
"""Names that the log gives a meaning of its own."""


def check_arguments(loss: Any, optimizer: Any, *names: str) -> None:
    """Of ``minimise`` and ``alternate``; ``names`` of further numbers that the loss is to take."""
    if isinstance(loss, type) or not callable(loss):
        raise ArgumentError(f"train: the loss is a function, loss(model, batch, rng); got {kind_text(loss)}")
    if not isinstance(optimizer, Optimizer):
        raise ArgumentError(f"train: after the loss comes an optimiser, optim.adam(1e-3), called; got {kind_text(optimizer)}")
    taken = inspect.signature(loss).parameters.values() if names else ()
    if not any(p.kind is p.VAR_KEYWORD for p in taken) and (odd := set(names) - {p.name for p in list(taken)[3:]}):
        raise ArgumentError(
            f"minimise: {storage.text_of(loss)} takes no {', '.join(sorted(odd))}: what is given by name is average, or a "
            "number of the loss's own, the beta of loss(model, batch, rng, beta)"
        )


def check_model(model: Any) -> None:
    """Of ``init``: something that can be trained."""
    if isinstance(model, type) or not any(is_array(w) and is_floating(w) for w in trees.leaves(model)):
        raise ArgumentError(f"init: the first argument is the model, a tree of arrays to be trained; got {kind_text(model)}")


def check_run(step: Any, step_type: type, state: Any, state_type: type, batches: Any, save: Any) -> None:
    """Of ``run``."""
    if not isinstance(step, step_type):
        raise ArgumentError(f"run: the first argument is a step, train.minimise(loss, optimizer); got {kind_text(step)}")
    if not isinstance(state, state_type):
        raise ArgumentError(f"run: the second argument is a state, step.init(model, rng); got {kind_text(state)}")
    if (
        isinstance(batches, bool)
        or not isinstance(batches, Iterable | int)
        or isinstance(batches, str | dict)
        or is_array(batches)
    ):
        hint = ": one batch is [batch]" if isinstance(batches, dict) or is_array(batches) else ""
        raise ArgumentError(f"run: wanted batches, an iterable of them, or a number of steps; got {shape_text(batches)}{hint}")
    if save is not None and not isinstance(batches, int | Sequence):
        raise ArgumentError(
            "run: with save= the batches are a number or a sequence, so that a run can go on in the middle: "
            f"rows.batches(rng, 128), a list; got {kind_text(batches)}"
        )


def check_batch(batch: tuple[Any, ...]) -> None:
    """The first batch in full: what is not finite, and what is empty."""
    leaves, structure = trees.flatten(batch if len(batch) > 1 else batch[0])
    for x, path in zip(leaves, trees.paths(structure, "batch"), strict=True):
        if is_array(x) and 0 in x.shape[:1]:
            raise DomainError(f"train: {path} is empty, {shape_text(x)}")
        checks.finite(x, f"train: {path}")


def check_precision(model: Any, numbers: dict[str, Any]) -> None:
    """Warn where a float32 model is trained in float64: it costs twice the time, and nothing shows it."""
    floats = [str(w.dtype) for w in trees.leaves(model) if is_array(w) and is_floating(w)]
    if set(floats) == {"float32"} and any(str(getattr(value, "dtype", "")) == "float64" for _, value in _losses(numbers)):
        warnings.warn(
            "the model is float32 and its loss float64, which takes twice the time: a batch of float64, np.eye or np.array "
            "in the loss; x.astype('float32') there, or nn.double(model)",
            RuntimeWarning,
            stacklevel=3,
        )


def check_losses(numbers: dict[str, Any], made: int) -> None:
    """Each player's loss at step ``made`` is finite."""
    for name, value in _losses(numbers):
        number = float(value)
        if not math.isfinite(number):
            raise NaNError(
                f"train: the loss{'' if name == 'loss' else f' of {name}'} is {number} at step {made}: a learning rate that is "
                "too large, or a batch that holds NaN; dgm.debug_nans() names the operation that made it"
            )


def _losses(numbers: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Of what a step logs, the losses: one, or each player's."""
    for name in ("loss",) if "loss" in numbers else [name for name in numbers if "." not in name]:
        for value in numbers[name] if isinstance(numbers[name], list) else [numbers[name]]:
            yield name, value


def check_numbers(value: Any, numbers: Any) -> None:
    """What a loss returns: a number, or a number and a dict of further ones under names of their own."""
    wanted = 'a loss returns a number, or (number, {"name": number, ...})'
    if isinstance(value, tuple):
        raise ArgumentError(f"train: {wanted}; got {len(value)} results")
    if not isinstance(numbers, dict):
        raise ArgumentError(f"train: {wanted}; got a number and {kind_text(numbers)}")
    for name, number in numbers.items():
        if not isinstance(name, str) or not name.isidentifier() or name in RESERVED:
            raise ArgumentError(f"train: {name!r} cannot be logged: wanted a word that is not in the log already")
        if getattr(number, "shape", ()) != () or not (is_array(number) or isinstance(number, int | float)):
            raise ArgumentError(f"train: {name} cannot be logged: wanted one number, got {shape_text(number)}")


def check_finite(model: Any) -> None:
    """The model that a run ends with."""
    for w, path in zip(trees.leaves(model), trees.paths(trees.flatten(model)[1], "model"), strict=True):
        checks.finite(w, f"train: after the last step {path}")


def check_meetings(inputs: list[Any], recorded: list[Any]) -> None:
    """Refuse what broadcasting hides: labels (n,) against the model's (n, 1), or the other way round, which give (n, n); and
    one label for all rows, (1, 1) against (n, 1)."""
    own = {id(x) for x in inputs if x.array and x.name.startswith("batch")}  # what is in the batch, or made of it alone
    lengths = {x.shape[0] for x in inputs if id(x) in own and x.shape and x.shape[0] > 1}
    for step in recorded:
        arguments = [x for x in step.args if hasattr(x, "shape") and hasattr(x, "line")]
        if arguments and all(id(x) in own for x in arguments):
            own.add(id(step.out))
        if not isinstance(step.function, numpy.ufunc) and step.function is not numpy.where:
            continue
        for x, other in itertools.permutations(arguments, 2):
            if id(x) not in own or id(other) in own:
                continue
            crossed = any({x.shape, other.shape} == {(n,), (n, 1)} for n in lengths)
            single = x.shape == (1,) * len(other.shape) and len(x.shape) > 1 and other.shape[0] in lengths
            if crossed or single:
                raise ShapeError(
                    f"train: {x.shape} of the batch meets {other.shape} of the model and becomes {step.out.shape} "
                    f"({step.out.line}): give both one shape"
                )
