"""Optimisers: how a gradient changes a model.

Each is a pair of pure functions: ``state = opt.init(model)``, then ``model, state = opt.update(model, gradient, state)``.
Nothing is changed in place; models, gradients and states are trees. Every optimiser *descends*: to climb an objective,
hand it the gradient of minus the objective. ``learning_rate`` is a number, or a function of the step 0, 1, 2, ... Such a
schedule is part of the compiled step, where a step has no known value: written with ``np.cos``, ``np.minimum`` or ``np.where``
it works, with ``math.cos``, ``min`` or ``if`` it is refused.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple, TypeVar

import numpy

from . import checks, trees
from .autodiff import Tensor, sqrt, value_and_grad
from .backend import copy, is_array, is_floating, seen, to_float, xp
from .compile import compile
from .errors import ArgumentError, DomainError, NaNError, ShapeError, TreeError, kind_text, shape_text

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
    if callable(learning_rate):
        checks.number(rate, "the learning rate that the schedule gives", 0.0)
    return to_float(rate) if is_array(rate) else rate


def _check(model: Tree, gradient: Tree, state: Any) -> None:
    weights, structure = trees.flatten(model)
    slopes, found = trees.flatten(gradient)
    trees.check_same(structure, found, "update: a gradient has the structure of its model")
    for i, (w, g) in enumerate(zip(weights, slopes, strict=True)):
        if getattr(w, "shape", ()) != getattr(g, "shape", ()):  # broadcasting would hide the mistake
            path = trees.paths(structure)[i] or "the model"
            raise TreeError(f"update: the gradient of {path} is {shape_text(g)}, the model {shape_text(w)}")
    if not isinstance(state, State):
        raise ArgumentError(f"update: wanted the state that init(model) or the last update gave, got {kind_text(state)}")


def _check_settings(learning_rate: Rate, eps: float = 0.0, **decays: float) -> None:
    """Refuse a learning rate below 0 and averages that forget nothing, or everything and more."""
    if not callable(learning_rate):
        checks.number(learning_rate, "the learning rate", 0.0)
    checks.number(eps, "eps", 0.0)
    for name, value in decays.items():
        checks.number(value, name, 0.0, 1.0, below=True)


def _zeros_like(model: Tree) -> Tree:
    return trees.map(xp.zeros_like, model)


def sgd(learning_rate: Rate) -> Optimizer:
    """w <- w - lr g."""
    _check_settings(learning_rate)

    def update(model: Tree, gradient: Tree, state: State) -> tuple[Tree, State]:
        _check(model, gradient, state)
        lr = _rate(learning_rate, state.step)
        return trees.map(lambda w, g: w - lr * g, model, gradient), State(state.step + 1.0)

    return Optimizer(lambda model: State(0.0), update)


def momentum(learning_rate: Rate, decay: float = 0.9) -> Optimizer:
    """m <- decay m + g;  w <- w - lr m (Polyak 1964)."""
    _check_settings(learning_rate, decay=decay)

    def update(model: Tree, gradient: Tree, state: State) -> tuple[Tree, State]:
        _check(model, gradient, state)
        lr = _rate(learning_rate, state.step)
        m = trees.map(lambda m, g: decay * m + g, state.first, gradient)
        return trees.map(lambda w, m: w - lr * m, model, m), State(state.step + 1.0, m)

    return Optimizer(lambda model: State(0.0, _zeros_like(model)), update)


def rmsprop(learning_rate: Rate, decay: float = 0.9, eps: float = 1e-8) -> Optimizer:
    """v <- decay v + (1 - decay) g^2;  w <- w - lr g / (sqrt(v) + eps) (Tieleman and Hinton 2012)."""
    _check_settings(learning_rate, eps, decay=decay)

    def update(model: Tree, gradient: Tree, state: State) -> tuple[Tree, State]:
        _check(model, gradient, state)
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
    _check_settings(learning_rate, eps, beta1=beta1, beta2=beta2)

    def update(model: Tree, gradient: Tree, state: State) -> tuple[Tree, State]:
        _check(model, gradient, state)
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

    The step is compiled: recorded at the first batch, then repeated as straight-line NumPy (``dgm.compile``). Each call begins
    with a fresh state of the optimiser. ``model`` itself is not changed.

    Raises: ``ValueError`` where there are no batches; :class:`~pydgm.errors.DomainError` for NaN or infinity in the first
    batch, :class:`~pydgm.errors.NaNError` once the loss is not finite (on a GPU, where asking costs, every hundredth time and
    at the end); :class:`~pydgm.errors.ArgumentError` for a loss that does not depend on the model; :class:`ShapeError` where a
    batch's (n,) meets the model's (n, 1), which broadcasting would make (n, n). What a distribution or a layer refuses, like
    labels that no class has, is looked for in the first batch and where the compiled step is checked (batches 2, 4, 8, ...);
    the broadcasting, where the step is compiled.
    """
    last = model
    for last in _training(model, loss, optimizer, batches, after):  # noqa: B007
        pass
    return last


def steps(
    model: Model,
    loss: Callable[..., Any],
    optimizer: Optimizer,
    batches: Iterable[tuple[Any, ...]],
    after: Callable[[Model], Model] | None = None,
) -> Iterator[Model]:
    """What :func:`fit` does, to be watched: the model at the start and after each step, each a copy of its own."""
    return (_copied(now) for now in _training(model, loss, optimizer, batches, after))


def _copied(model: Model) -> Model:
    copied: Model = trees.map(lambda w: copy(w) if is_array(w) else w, model)
    return copied


def _training(
    model: Model,
    loss: Callable[..., Any],
    optimizer: Optimizer,
    batches: Iterable[tuple[Any, ...]],
    after: Callable[[Model], Model] | None,
) -> Iterator[Model]:
    """The model at the start and after each step; its arrays are written over by the next step."""
    _check_arguments(model, loss, optimizer, batches)

    def dependent(model: Model, *batch: Any) -> Any:
        value = loss(model, *batch)
        if type(value) is not Tensor:
            raise ArgumentError(f"fit: the loss does not depend on the model: it is {shape_text(seen(value))} for any weights")
        return value

    def step(model: Model, state: Tree, batch: tuple[Any, ...]) -> tuple[Model, Tree, Any]:
        value, slope = value_and_grad(dependent)(model, *batch)
        model, state = optimizer.update(model, slope, state)
        if after is not None:
            changed = after(model)
            trees.check_same(
                trees.flatten(model)[1], trees.flatten(changed)[1], "fit: what after= returns must be a model, too"
            )
            model = changed
        return model, state, value

    compiled = compile(step, donate=(0, 1))
    model = _copied(model)
    state = optimizer.init(model)
    yield model
    value: Any = 0.0
    made = 0
    for batch in batches:
        if not isinstance(batch, tuple):
            raise TypeError(
                f"fit: a batch is the tuple of the loss's further arguments, (x,) for one; got {type(batch).__name__}"
            )
        if made == 0:
            _check_batch(batch)
        model, state, value = compiled(model, state, batch)
        if made == 0 and compiled.traces:
            _check_meetings(*compiled.recorded)
        made += 1
        if xp.name == "numpy" or made % 100 == 0:
            _check_loss(value, made)
        yield model
    if not made:
        raise ValueError("fit: there were no batches: an iterator that was used up, or empty")
    _check_loss(value, made)
    for w, path in zip(trees.leaves(model), trees.paths(trees.flatten(model)[1], "model"), strict=True):
        checks.finite(w, f"fit: after the last step {path}")


def _check_arguments(model: Tree, loss: Any, optimizer: Any, batches: Any) -> None:
    if isinstance(loss, type) or not callable(loss):
        raise ArgumentError(f"fit: the second argument is the loss, a function of the model and a batch; got {kind_text(loss)}")
    if not isinstance(optimizer, Optimizer):
        raise ArgumentError(f"fit: the third argument is an optimiser, optim.adam(1e-3), called; got {kind_text(optimizer)}")
    if not any(is_array(w) and is_floating(w) for w in trees.leaves(model)):
        raise ArgumentError(f"fit: the first argument is the model, a tree of arrays to be trained; got {kind_text(model)}")
    if not isinstance(batches, Iterable):
        raise ArgumentError(f"fit: the fourth argument is an iterable of batches, tuples; got {kind_text(batches)}")


def _check_batch(batch: tuple[Any, ...]) -> None:
    """The first batch in full: what is not finite, and what is empty."""
    leaves, structure = trees.flatten(batch)
    for x, path in zip(leaves, trees.paths(structure, "batch"), strict=True):
        if is_array(x) and 0 in x.shape[:1]:
            raise DomainError(f"fit: {path} is empty, {shape_text(x)}")
        checks.finite(x, f"fit: {path}")


def _check_loss(value: Any, made: int) -> None:
    number = float(value)
    if not math.isfinite(number):
        raise NaNError(
            f"fit: the loss is {number} at step {made}: a learning rate that is too large, or a batch that holds NaN; "
            "dgm.debug_nans() names the operation that made it"
        )


def _check_meetings(inputs: list[Any], recorded: list[Any]) -> None:
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
                    f"fit: {x.shape} of the batch meets {other.shape} of the model and becomes {step.out.shape} "
                    f"({step.out.line}): give both one shape"
                )
