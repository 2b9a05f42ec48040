"""Optimisers: how a gradient changes a model.

Each is a pair of pure functions: ``state = opt.init(model)``, then ``model, state = opt.update(model, gradient, state)``.
Nothing is changed in place; models, gradients and states are trees. Every optimiser *descends*: to climb an objective,
hand it the gradient of minus the objective. ``learning_rate`` is a number, or a function of the step 0, 1, 2, ...
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple, TypeVar

from . import trees
from .autodiff import grad, sqrt
from .backend import copy, is_array, to_float, xp
from .compile import compile
from .errors import TreeError, shape_text

Tree = Any
Model = TypeVar("Model")
Rate = float | Callable[[float], float]


class Optimizer(NamedTuple):
    """``init(model) -> state`` and ``update(model, gradient, state) -> (model, state)``.

    ``update`` raises :class:`~pydgm.errors.TreeError` when gradient and model are not the same tree.
    """

    init: Callable[[Tree], Tree]
    update: Callable[[Tree, Tree, Tree], tuple[Tree, Tree]]


class State(NamedTuple):
    """What an optimiser remembers: the number of steps, and sums or averages in the shape of the model."""

    step: float
    first: Tree = None
    second: Tree = None


def _rate(learning_rate: Rate, step: float) -> float:
    """A Python number, which leaves float32 weights float32; a schedule written with NumPy answers in float64."""
    rate = learning_rate(step) if callable(learning_rate) else learning_rate
    return to_float(rate) if is_array(rate) else rate


def _check(model: Tree, gradient: Tree) -> None:
    weights, structure = trees.flatten(model)
    slopes, found = trees.flatten(gradient)
    trees.check_same(structure, found, "update: a gradient has the structure of its model")
    for i, (w, g) in enumerate(zip(weights, slopes, strict=True)):
        if getattr(w, "shape", ()) != getattr(g, "shape", ()):  # broadcasting would hide the mistake
            path = trees.paths(structure)[i] or "the model"
            raise TreeError(f"update: the gradient of {path} is {shape_text(g)}, the model {shape_text(w)}")


def _zeros_like(model: Tree) -> Tree:
    return trees.map(xp.zeros_like, model)


def sgd(learning_rate: Rate) -> Optimizer:
    """w <- w - lr g."""

    def update(model: Tree, gradient: Tree, state: State) -> tuple[Tree, State]:
        _check(model, gradient)
        lr = _rate(learning_rate, state.step)
        return trees.map(lambda w, g: w - lr * g, model, gradient), State(state.step + 1.0)

    return Optimizer(lambda model: State(0.0), update)


def momentum(learning_rate: Rate, decay: float = 0.9) -> Optimizer:
    """m <- decay m + g;  w <- w - lr m (Polyak 1964)."""

    def update(model: Tree, gradient: Tree, state: State) -> tuple[Tree, State]:
        _check(model, gradient)
        lr = _rate(learning_rate, state.step)
        m = trees.map(lambda m, g: decay * m + g, state.first, gradient)
        return trees.map(lambda w, m: w - lr * m, model, m), State(state.step + 1.0, m)

    return Optimizer(lambda model: State(0.0, _zeros_like(model)), update)


def rmsprop(learning_rate: Rate, decay: float = 0.9, eps: float = 1e-8) -> Optimizer:
    """v <- decay v + (1 - decay) g^2;  w <- w - lr g / (sqrt(v) + eps) (Tieleman and Hinton 2012)."""

    def update(model: Tree, gradient: Tree, state: State) -> tuple[Tree, State]:
        _check(model, gradient)
        lr = _rate(learning_rate, state.step)
        v = trees.map(lambda v, g: decay * v + (1.0 - decay) * (g * g), state.second, gradient)
        model = trees.map(lambda w, g, v: w - lr * g / (sqrt(v) + eps), model, gradient, v)
        return model, State(state.step + 1.0, None, v)

    return Optimizer(lambda model: State(0.0, None, _zeros_like(model)), update)


def adam(learning_rate: Rate = 1e-3, beta1: float = 0.9, beta2: float = 0.999, eps: float = 1e-8) -> Optimizer:
    """m <- b1 m + g;  v <- b2 v + g^2;  w <- w - lr mh / (sqrt(vh) + eps) (Kingma and Ba 2015).

    mh = m / (1 + b1 + ... + b1^(t-1)) is the mean of all gradients so far, the newest counting most; vh that of their
    squares. The paper's m carries a factor 1 - b1 along and divides by 1 - b1^t at the end: the same mh, two passes more.
    """

    def update(model: Tree, gradient: Tree, state: State) -> tuple[Tree, State]:
        _check(model, gradient)
        t = state.step + 1.0
        m = trees.map(lambda m, g: beta1 * m + g, state.first, gradient)
        v = trees.map(lambda v, g: beta2 * v + g * g, state.second, gradient)
        weight, squares_weight = (1.0 - beta1**t) / (1.0 - beta1), (1.0 - beta2**t) / (1.0 - beta2)
        root = squares_weight**0.5  # taken out of the fraction, which saves a pass over all weights
        size, floor = _rate(learning_rate, state.step) * root / weight, eps * root
        model = trees.map(lambda w, m, v: w - size * (m / (sqrt(v) + floor)), model, m, v)
        return model, State(t, m, v)

    return Optimizer(lambda model: State(0.0, _zeros_like(model), _zeros_like(model)), update)


def fit(
    model: Model,
    loss: Callable[..., Any],
    optimizer: Optimizer,
    batches: Iterable[tuple[Any, ...]],
    after: Callable[[Model], Model] | None = None,
) -> Model:
    """One step down ``loss(model, *batch)`` for each batch; ``after`` each, a change of the model (clipped weights, say).

    The step is compiled: recorded at the first batch, then repeated as straight-line NumPy (``dgm.compile``).
    """
    last = model
    for last in steps(model, loss, optimizer, batches, after):  # noqa: B007
        pass
    return last


def steps(
    model: Model,
    loss: Callable[..., Any],
    optimizer: Optimizer,
    batches: Iterable[tuple[Any, ...]],
    after: Callable[[Model], Model] | None = None,
) -> Iterator[Model]:
    """What :func:`fit` does, to be watched: the model at the start and after each step.

    Its arrays are written over by the next step. ``model`` itself is not.
    """

    def step(model: Model, state: Tree, batch: tuple[Any, ...]) -> tuple[Model, Tree]:
        model, state = optimizer.update(model, grad(loss)(model, *batch), state)
        return (model if after is None else after(model)), state

    compiled = compile(step, donate=(0, 1))
    model = trees.map(lambda w: copy(w) if is_array(w) else w, model)
    state = optimizer.init(model)
    yield model
    for batch in batches:
        if not isinstance(batch, tuple):
            raise TypeError(
                f"fit: a batch is the tuple of the loss's further arguments, (x,) for one; got {type(batch).__name__}"
            )
        model, state = compiled(model, state, batch)
        yield model
