"""Optimisers: how a gradient changes a model. Schedules: how the learning rate, or another number, changes with time.

An optimiser is a pair of pure functions: ``memory = opt.init(model)``, then ``model, memory = opt.update(model, gradient,
memory)``. Nothing is changed in place; models, gradients and memories are trees. Every optimiser *descends*: to climb an
objective, hand it the gradient of minus the objective. ``weight_decay`` takes that share of the learning rate off all weights
of two axes or more, but not off biases: w <- w - lr decay w, apart from the gradient (Loshchilov and Hutter 2019).

``learning_rate`` is a number, or a schedule: :class:`linear`, :class:`cosine`, :class:`piecewise`, :class:`warm_up`,
:class:`cyclical`, or any function of the step 0, 1, 2, ..., which counts the updates of its own model. It is part of the
compiled step, where a step has no known value: written with ``np.cos``, ``np.minimum`` or ``np.where`` it works, with
``math.cos``, ``min`` or ``if`` it is refused. A loss can have scheduled numbers, too: :func:`pydgm.train.minimise`.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy

from . import checks, trees
from .autodiff import abs, max, maximum, minimum, sqrt, square, sum
from .backend import is_array, to_float, xp
from .errors import ArgumentError, TreeError, kind_text, shape_text
from .storage import text_of

Tree = Any
Rate = float | Callable[[float], float]


class Optimizer(NamedTuple):
    """``init(model) -> memory`` and ``update(model, gradient, memory) -> (model, memory)``.

    ``update`` raises :class:`~pydgm.errors.TreeError` when gradient and model are not the same tree.
    """

    init: Callable[[Tree], Tree]
    update: Callable[[Tree, Tree, Tree], tuple[Tree, Tree]]
    name: str = "an optimizer"  # with its settings: a run that goes on must go on with the same


class Memory(NamedTuple):
    """What an optimiser remembers: the number of steps, and sums or averages in the shape of the model."""

    step: float
    first: Tree = None
    second: Tree = None


def scheduled(value: Rate, step: float, what: str, least: float = -math.inf) -> float:
    """``value`` itself, or what a schedule gives for this step, as a Python number: it leaves float32 weights float32, where a
    schedule written with NumPy answers in float64."""
    now = value(step) if callable(value) else value
    if callable(value):
        checks.number(now, f"{what} that the schedule gives", least)
    return to_float(now) if is_array(now) else now


def _check(model: Tree, gradient: Tree, memory: Any) -> None:
    weights, structure = trees.flatten(model)
    slopes, its_structure = trees.flatten(gradient)
    trees.check_same(structure, its_structure, "update: a gradient has the structure of its model")
    for i, (w, g) in enumerate(zip(weights, slopes, strict=True)):
        if getattr(w, "shape", ()) != getattr(g, "shape", ()):  # broadcasting would hide the mistake
            path = trees.paths(structure)[i] or "the model"
            raise TreeError(f"update: the gradient of {path} is {shape_text(g)}, the model {shape_text(w)}")
    if not isinstance(memory, Memory):
        raise ArgumentError(f"update: wanted the memory that init(model) or the last update gave, got {kind_text(memory)}")


def _zeros_like(model: Tree) -> Tree:
    return trees.map(xp.zeros_like, model)


def _optimizer(
    name: str,
    settings: dict[str, Any],
    init: Callable[[Tree], Memory],
    descend: Callable[[Tree, Tree, Memory, float], tuple[Tree, Memory]],
) -> Optimizer:
    """``descend(model, gradient, memory, lr)`` with all that optimisers have in common."""
    learning_rate, decay = settings["learning_rate"], settings["weight_decay"]
    for key, value in settings.items():
        if key == "learning_rate" and callable(value):
            continue
        share = key in ("decay", "beta1", "beta2")  # of the past, which is not all of it
        checks.number(value, "the learning rate" if key == "learning_rate" else key, 0.0, 1.0 if share else math.inf, share)

    def update(model: Tree, gradient: Tree, memory: Memory) -> tuple[Tree, Memory]:
        _check(model, gradient, memory)
        lr = scheduled(learning_rate, memory.step, "the learning rate", 0.0)
        new, memory = descend(model, gradient, memory, lr)
        if decay:
            new = trees.map(lambda w, before: w - lr * decay * before if getattr(w, "ndim", 0) > 1 else w, new, model)
        return new, memory

    return Optimizer(init, update, f"{name}({', '.join(f'{key}={text_of(value)}' for key, value in settings.items())})")


def _settings(learning_rate: Rate, weight_decay: float, **others: float) -> dict[str, Any]:
    return {"learning_rate": learning_rate, **others, "weight_decay": weight_decay}


def sgd(learning_rate: Rate, weight_decay: float = 0.0) -> Optimizer:
    """w <- w - lr g."""

    def descend(model: Tree, gradient: Tree, memory: Memory, lr: float) -> tuple[Tree, Memory]:
        return trees.map(lambda w, g: w - lr * g, model, gradient), Memory(memory.step + 1.0)

    return _optimizer("sgd", _settings(learning_rate, weight_decay), lambda model: Memory(0.0), descend)


def momentum(learning_rate: Rate, decay: float = 0.9, weight_decay: float = 0.0) -> Optimizer:
    """m <- decay m + g;  w <- w - lr m (Polyak 1964)."""

    def descend(model: Tree, gradient: Tree, memory: Memory, lr: float) -> tuple[Tree, Memory]:
        m = trees.map(lambda m, g: decay * m + g, memory.first, gradient)
        return trees.map(lambda w, m: w - lr * m, model, m), Memory(memory.step + 1.0, m)

    settings = _settings(learning_rate, weight_decay, decay=decay)
    return _optimizer("momentum", settings, lambda model: Memory(0.0, _zeros_like(model)), descend)


def rmsprop(learning_rate: Rate, decay: float = 0.9, eps: float = 1e-8, weight_decay: float = 0.0) -> Optimizer:
    """v <- decay v + (1 - decay) g^2;  w <- w - lr g / (sqrt(v) + eps) (Tieleman and Hinton 2012)."""

    def descend(model: Tree, gradient: Tree, memory: Memory, lr: float) -> tuple[Tree, Memory]:
        v = trees.map(lambda v, g: decay * v + (1.0 - decay) * (g * g), memory.second, gradient)
        model = trees.map(lambda w, g, v: w - lr * g / (sqrt(v) + eps), model, gradient, v)
        return model, Memory(memory.step + 1.0, None, v)

    settings = _settings(learning_rate, weight_decay, decay=decay, eps=eps)
    return _optimizer("rmsprop", settings, lambda model: Memory(0.0, None, _zeros_like(model)), descend)


def adam(
    learning_rate: Rate = 1e-3, beta1: float = 0.9, beta2: float = 0.999, eps: float = 1e-8, weight_decay: float = 0.0
) -> Optimizer:
    """m <- b1 m + (1 - b1) g;  v <- b2 v + (1 - b2) g^2;  w <- w - lr mh / (sqrt(vh) + eps) (Kingma and Ba 2015).

    mh = m / (1 - b1^t) and vh = v / (1 - b2^t) are the means of all gradients so far, and of their squares, the newest
    counting most. In the code m and v lack their factors 1 - b1 and 1 - b2, which come in with mh and vh: two passes fewer
    over the weights.
    """

    def descend(model: Tree, gradient: Tree, memory: Memory, lr: float) -> tuple[Tree, Memory]:
        t = memory.step + 1.0
        m = trees.map(lambda m, g: beta1 * m + g, memory.first, gradient)
        v = trees.map(lambda v, g: beta2 * v + g * g, memory.second, gradient)
        weight, squares_weight = (1.0 - beta1**t) / (1.0 - beta1), (1.0 - beta2**t) / (1.0 - beta2)
        root = squares_weight**0.5  # taken out of the fraction, which saves a pass over all weights
        size, floor = lr * root / weight, eps * root
        model = trees.map(lambda w, m, v: w - size * (m / (sqrt(v) + floor)), model, m, v)
        return model, Memory(t, m, v)

    settings = _settings(learning_rate, weight_decay, beta1=beta1, beta2=beta2, eps=eps)
    return _optimizer("adam", settings, lambda model: Memory(0.0, _zeros_like(model), _zeros_like(model)), descend)


# What can be put around an optimiser


def clip(optimizer: Optimizer, norm: float) -> Optimizer:
    """The gradient, all of it as one vector, made no longer than ``norm`` (Pascanu, Mikolov and Bengio 2013)."""
    checks.number(norm, "clip: the norm", 0.0)

    def update(model: Tree, gradient: Tree, memory: Tree) -> tuple[Tree, Tree]:
        largest, squares = 1e-30, 0.0  # the largest number is taken out, so that no square overflows
        for g in trees.leaves(gradient):
            largest = maximum(largest, max(abs(g)))
        for g in trees.leaves(gradient):
            squares = squares + sum(square(g / largest))
        shrink = minimum(1.0, (norm / largest) / sqrt(maximum(squares, 1.0)))  # the largest square is 1
        return optimizer.update(model, trees.map(lambda g: shrink * g, gradient), memory)

    return Optimizer(optimizer.init, update, f"clip({optimizer.name}, {norm!r})")


def project(optimizer: Optimizer, onto: Callable[[Tree], Tree]) -> Optimizer:
    """After each update the model is replaced by ``onto(model)``: clipped weights, say. Projected gradient descent."""

    def update(model: Tree, gradient: Tree, memory: Tree) -> tuple[Tree, Tree]:
        new, memory = optimizer.update(model, gradient, memory)
        projected = onto(new)
        (before, structure), (after, its_structure) = trees.flatten(new), trees.flatten(projected)
        trees.check_same(structure, its_structure, "project: what onto(model) returns is a model, too")
        for w, v, path in zip(before, after, trees.paths(structure), strict=True):
            if (getattr(w, "shape", ()), getattr(w, "dtype", "")) != (getattr(v, "shape", ()), getattr(v, "dtype", "")):
                raise TreeError(f"project: onto(model) makes {shape_text(v)} of {path or 'the model'}, {shape_text(w)}")
        return projected, memory

    return Optimizer(optimizer.init, update, f"project({optimizer.name}, {text_of(onto)})")


# Schedules: the number that belongs to step 0, 1, 2, ...


@dataclasses.dataclass(frozen=True)
class _Ramp:
    start: float
    end: float
    steps: int

    def __post_init__(self) -> None:
        _check_schedule(self)


class linear(_Ramp):  # noqa: N801  a schedule reads like a function
    """From ``start`` to ``end`` in ``steps`` steps, on a straight line; then ``end``."""

    def __call__(self, step: float) -> Any:
        return self.start + (self.end - self.start) * numpy.minimum(step / self.steps, 1.0)


class cosine(_Ramp):  # noqa: N801
    """From ``start`` to ``end`` in ``steps`` steps, along half a cosine; then ``end`` (Loshchilov and Hutter 2017)."""

    def __call__(self, step: float) -> Any:
        turned = numpy.cos(math.pi * numpy.minimum(step / self.steps, 1.0))
        return self.end + 0.5 * (self.start - self.end) * (1.0 + turned)


@dataclasses.dataclass(frozen=True)
class cyclical(_Ramp):  # noqa: N801
    """Again and again, in cycles of ``steps`` steps: from ``start`` to ``end`` in the first ``rise`` of it, on a straight line,
    then ``end``. For the weight of KL (Fu et al. 2019)."""

    rise: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.number(self.rise, "cyclical: rise, a share of the cycle,", 1e-9, 1.0)

    def __call__(self, step: float) -> Any:
        place = step / self.steps - numpy.floor(step / self.steps)
        return self.start + (self.end - self.start) * numpy.minimum(place / self.rise, 1.0)


@dataclasses.dataclass(frozen=True)
class piecewise:  # noqa: N801
    """``start``, and from step b on ``after[b]``: ``piecewise(1e-3, {6000: 1e-4})``."""

    start: float
    after: Mapping[int, float]

    def __post_init__(self) -> None:
        _check_schedule(self)
        object.__setattr__(self, "after", dict(sorted(self.after.items())))

    def __call__(self, step: float) -> Any:
        rate: Any = self.start
        for boundary, value in self.after.items():
            rate = numpy.where(step >= boundary, value, rate)
        return rate


@dataclasses.dataclass(frozen=True)
class warm_up:  # noqa: N801
    """``then``, and in its first ``steps`` steps a growing share of it: 1/n, 2/n, ..., 1 (Goyal et al. 2017)."""

    steps: int
    then: Rate

    def __post_init__(self) -> None:
        _check_schedule(self)

    def __call__(self, step: float) -> Any:
        rate = self.then(step) if callable(self.then) else self.then
        return rate * numpy.minimum((step + 1.0) / self.steps, 1.0)


def _check_schedule(schedule: Any) -> None:
    name = type(schedule).__name__
    for field in dataclasses.fields(schedule):
        value = getattr(schedule, field.name)
        if field.name == "steps":
            checks.count(value, f"{name}: steps")
        elif field.name == "after":
            if not isinstance(value, Mapping):
                raise ArgumentError(
                    f"{name}: wanted the rates by the step they begin at, {{6000: 1e-4}}; got {shape_text(value)}"
                )
            for boundary, rate in value.items():
                checks.count(boundary, f"{name}: a step at which a rate begins")
                checks.number(rate, f"{name}: the rate from step {boundary} on", 0.0)
        elif not callable(value):
            checks.number(value, f"{name}: {field.name}", 0.0)
