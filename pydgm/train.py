r"""Training: a step is made of a loss and an optimiser, and a run repeats it over batches.

    step = train.minimise(loss, optim.adam(1e-3))          # loss(model, batch, rng) -> a number
    run = train.run(step, step.init(model, rng), batches)
    run.model, run.losses

The state of a training is one tree: models, what the optimisers remember, the averaged weights, where the noise stands, the
number of steps, the log. A run takes a state to a later one and changes nothing that it was given: the same state and the same
batches give the same result, to the last bit.
"""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy

from . import checks, lint, optim, origin, storage, trees
from .autodiff import Tensor, value_and_grad
from .backend import Array, copy, is_array, seen, to_numpy, xp
from .compile import compile
from .errors import ArgumentError, NaNError, caller, kind_text, shape_text
from .nn.module import Updates, with_states
from .optim import Optimizer, Rate
from .random import Generator

Tree = Any
Loss = Callable[[Any, Any, Generator], Any]
"""``loss(model, batch, rng)``: a number to be made small; after it, a dict of further numbers to be logged; after these, where
layers have a state, the :class:`pydgm.nn.Updates` that they noted it in."""


class State(NamedTuple):
    """Where a training stands."""

    model: Tree  # of several players: a dict, each by its name
    memory: Tree  # what the optimisers remember
    noise: Array  # where the generator stands
    step: Any = numpy.int64(0)  # steps made
    log: dict[str, Array] = {}  # noqa: RUF012  # a number for each step, under its name
    average: Tree = None  # averaged weights, where they were asked for
    best: Tree = None  # the model with the lowest validation so far, where there is one

    @property
    def models(self) -> Tree:
        """The model; of several players all, by name."""
        return self.model

    @property
    def losses(self) -> Any:
        """The loss before each step, (steps,); of several players a dict of them."""
        if "loss" in self.log:
            return self.log["loss"]
        return {name: losses for name, losses in self.log.items() if "." not in name and name not in lint.RESERVED}


class Step:
    """How a training goes on: ``init(model, rng)`` is the state at its start, :func:`run` repeats the rest.

    Made by :func:`minimise` and :func:`alternate`; a new kind of training needs two functions. ``remember(model, rng)`` gives
    the memory at the start, and ``update(model, memory, batches, rng)`` the new model, the new memory, and the numbers to be
    logged. ``update`` is compiled, once for all runs. ``average`` keeps averaged weights beside the model, a <- average a +
    (1 - average) w; ``batches`` is how many a step takes.
    """

    def __init__(
        self,
        remember: Callable[[Tree, Generator], Tree],
        update: Callable[[Tree, Tree, tuple[Any, ...], Generator], tuple[Tree, Tree, dict[str, Any]]],
        name: str,
        batches: int = 1,
        average: float | None = None,
    ) -> None:
        if average is not None and not (isinstance(average, float) and 0.0 < average < 1.0):
            raise ArgumentError(f"train: average is how much of the past is kept, between 0 and 1, 0.999 say; got {average!r}")
        self.name, self.batches, self.update, self.average = name, batches, update, average
        self._remember = remember
        self._lock = threading.Lock()  # the generator below serves one run at a time
        self._runs_in: int | None = None  # which thread's
        self._rng = rng = Generator(0)  # set to where the state's noise stands, before it is drawn from

        def step(model: Tree, memory: Tree, averaged: Tree, batch: tuple[Any, ...]) -> tuple[Tree, Tree, Tree, dict[str, Any]]:
            model, memory, numbers = update(model, memory, batch, rng)
            if average is not None:
                averaged = trees.map(lambda a, w: average * a + (1.0 - average) * w, averaged, model)
            return model, memory, averaged, numbers

        self.compiled = compile(step, donate=(0, 1, 2))

    def show(self, path: str | os.PathLike[str]) -> None:
        """Write the program of the step that was made last to ``path``, beside the lines of its loss: a page that needs no
        network. :meth:`pydgm.compile.Compiled.show`."""
        self.compiled.show(path)

    def _repr_html_(self) -> str | None:
        return self.compiled._repr_html_()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """One run at a time; a run inside of another one of the same step would take its noise."""
        if self._runs_in == threading.get_ident():
            raise RuntimeError(
                f"train: a run of this step inside of another, in validate or a batch: make another step {caller()}"
            )
        with self._lock:
            self._runs_in = threading.get_ident()
            try:
                yield
            finally:
                self._runs_in = None

    def advance(
        self, model: Tree, memory: Tree, average: Tree, batch: tuple[Any, ...]
    ) -> tuple[Tree, Tree, Tree, dict[str, Any]]:
        """One step of a run, whose arrays it writes over: a run owns them."""
        new: tuple[Tree, Tree, Tree, dict[str, Any]] = self.compiled(model, memory, average, batch)
        return new

    def init(self, model: Tree, rng: Generator) -> State:
        """The state before the first step. The training's noise is a stream of its own, whose seed is drawn from ``rng``.

        Raises :class:`~pydgm.errors.ArgumentError` for what is no model, or no generator.
        """
        lint.check_model(model)
        if not isinstance(rng, Generator):
            raise ArgumentError(f"init: the second argument is a dgm.random.Generator, got {kind_text(rng)}")
        own = rng.spawn()
        average = None if self.average is None else _own(model)
        memory = self._remember(model, own)
        return State(_own(model), memory, own.state(), average=average)


def minimise(loss: Loss, optimizer: Optimizer, average: float | None = None, **scheduled: Rate) -> Step:
    """A step down ``loss(model, batch, rng)``: a number, or a number and a dict of further ones to be logged (:data:`Loss`).

    Noise is drawn from ``rng``. With ``average``, 0.999 say, ``state.average`` holds averaged weights. Further numbers that the
    loss takes are given by name, each a number or a schedule: ``minimise(vae.loss, adam(1e-3), beta=optim.linear(0.0, 1.0,
    5000))``.
    """
    lint.check_arguments(loss, optimizer, *scheduled)

    def update(model: Tree, memory: Tree, batch: tuple[Any, ...], rng: Generator) -> tuple[Tree, Tree, dict[str, Any]]:
        now = {name: optim.scheduled(value, memory.step, name) for name, value in scheduled.items()}
        with_numbers = partial(loss, **now) if now else loss
        (value, (numbers, states)), gradient = _gradient(with_numbers, model, lambda model: model, batch[0], rng)
        model, memory = optimizer.update(model, gradient, memory)
        return with_states(model, states), memory, {"loss": value, **numbers}

    given = "".join(f", {name}={storage.text_of(value)}" for name, value in scheduled.items())
    name = f"minimise {storage.text_of(loss)}{given} by {optimizer.name}"
    return Step(lambda model, rng: optimizer.init(model), update, name, 1, average)


def alternate(*, average: float | None = None, **players: tuple[Loss, Optimizer, int]) -> Step:
    """A step in which players take turns, in this order: ``alternate(D=(loss, optimizer, 5), G=(loss, optimizer, 1))``.

    Each has a loss, an optimiser and a number of updates. ``loss(models, batch, rng)`` sees all models, a dict, and is
    differentiated in the player's own; models without a player stay as they are. A player's learning rate is scheduled by its
    own updates: five for each step, if it makes five. The j-th update of each player in a step takes the step's j-th batch,
    so that a step takes as many batches as its busiest player makes updates (a rest that is no whole step is left out).
    ``losses[player]`` has one number for each update.
    """
    if bad := set(lint.RESERVED) & set(players):
        raise ArgumentError(f"alternate: {', '.join(bad)} is a name in the log already: call the player by another")
    if not players:
        raise ArgumentError("alternate: wanted the players by name, D=(loss, optimizer, 1)")
    for name, player in players.items():
        if not isinstance(player, tuple) or len(player) != 3 or not isinstance(player[2], int) or player[2] < 1:
            raise ArgumentError(f"alternate: {name} is (loss, optimizer, updates from 1 on), got {shape_text(player)}")
        lint.check_arguments(*player[:2])

    names = tuple(players)
    losses, optimizers, turns = zip(*players.values(), strict=True)
    steps = tuple(optimizer.update for optimizer in optimizers)  # flat tuples of functions: compile looks at what they use

    def remember(models: Tree, rng: Generator) -> Tree:
        if not isinstance(models, dict) or not set(players) <= set(models):
            given = f"one with {', '.join(map(str, models))}" if isinstance(models, dict) else kind_text(models)
            raise ArgumentError(f"alternate: wanted the models by name, a dict with {', '.join(players)}; got {given}")
        return {name: optimizer.init(models[name]) for name, optimizer in zip(names, optimizers, strict=True)}

    def update(models: Tree, memory: Tree, batch: tuple[Any, ...], rng: Generator) -> tuple[Tree, Tree, dict[str, Any]]:
        models, memory, logged = dict(models), dict(memory), {}
        for name, loss, descend, n in zip(names, losses, steps, turns, strict=True):
            each: dict[str, list[Any]] = {}
            for x in batch[:n]:
                whole = lambda model, models=models, name=name: _Models({**models, name: model})  # noqa: E731
                (value, (numbers, states)), gradient = _gradient(loss, models[name], whole, x, rng)
                models[name], memory[name] = descend(models[name], gradient, memory[name])
                models = with_states(models, states)
                for key, number in {name: value, **{f"{name}.{k}": n for k, n in numbers.items()}}.items():
                    each.setdefault(key, []).append(number)
            logged.update(each)
        return models, memory, logged

    texts = [f"{name}: {n} x {storage.text_of(loss)} by {opt.name}" for name, (loss, opt, n) in players.items()]
    return Step(remember, update, f"alternate {', '.join(texts)}", max(turns), average)


class _Models(dict[str, Any]):
    """All models by name, as a loss sees them."""

    def __missing__(self, name: str) -> Any:
        raise ArgumentError(f"alternate: the loss asks for the model {name!r}, and there are {', '.join(self)}: name it so")


def _gradient(loss: Loss, model: Tree, whole: Callable[[Tree], Tree], batch: Any, rng: Generator) -> Any:
    """((value, (numbers to be logged, new states)), gradient) of a loss that sees ``whole(model)``; states by leaf, or None."""

    def results(model: Tree) -> tuple[Any, Any]:
        models = whole(model)
        result = loss(models, batch, rng)
        value, *more = result if isinstance(result, tuple) and 2 <= len(result) <= 3 else (result,)
        updates = more.pop() if more and isinstance(more[-1], Updates) else Updates()
        numbers = more.pop(0) if more else {}
        lint.check_numbers(result if more else value, numbers)
        if type(value) is not Tensor:
            raise ArgumentError(
                f"train: the loss does not depend on the model: it is {shape_text(seen(value))} for any weights"
            )
        return value, (numbers, updates.of(dict(models) if isinstance(models, dict) else models))

    return value_and_grad(results, has_aux=True)(model)


def run(
    step: Step,
    state: State,
    batches: Iterable[Any] | int,
    what: str = "",
    save: str | os.PathLike[str] | None = None,
    save_every: float = 60.0,
    validate: Callable[[Tree], Any] | None = None,
    validate_every: int = 100,
) -> State:
    """The state after a step on each of ``batches``: an iterable, or a number of steps for losses that need none.

    ``state`` itself is not changed. ``what`` is written before the progress bar, which is shown on a terminal where tqdm is
    installed. ``validate(model)`` gives a number, lower for a better model, on rows that are not trained on; it is asked
    every ``validate_every`` steps and at the end, about the averaged weights where there are some: ``log["validation"]``, and
    the best model as ``best``.

    With ``save`` the run writes itself to that file every ``save_every`` seconds and at the end, and where the file exists,
    it goes on from there: a run that was killed, at any moment, ends with the same bits as one that was not. Its batches are
    then a number or a sequence (:meth:`pydgm.data.Rows.batches`, a list), which can be entered in the middle. The file also
    holds what the run began with; a file of another model, another seed, loss, optimiser or number of steps is refused
    (:class:`DataError`).

    Raises: ``ValueError`` where there are no batches; :class:`~pydgm.errors.DomainError` for NaN or infinity in the first
    batch, :class:`~pydgm.errors.NaNError` once the loss is not finite (on a GPU, where asking costs, every hundredth time and
    at the end); :class:`ArgumentError` for a loss that does not depend on the model; :class:`ShapeError` where a
    batch's (n,) meets the model's (n, 1), which broadcasting would make (n, n). What a distribution or a layer refuses, like
    labels that no class has, is looked for in the first batch and where the compiled step is checked (batches 2, 4, 8, ...);
    the broadcasting, where the step is compiled.
    """
    lint.check_run(step, Step, state, State, batches, save)
    checks.count(validate_every, "run: validate_every")
    best = state.best if validate is None or state.best is not None else _own(state.model)
    past = state.model if state.average is None else state.average  # averages begin where the model is
    average = None if step.average is None else _own(past)
    state = State(_own(state.model), _own(state.memory), state.noise, state.step, state.log, average, best)
    start, began_with = int(state.step), {}
    if save is not None:
        began_with = origin.of_run(step, state, batches, validate, validate_every)
        if Path(save).exists():
            state = origin.resumed(save, state, began_with)
        else:
            origin.save(save, state, began_with)  # what cannot be written is said before the work, not after it
    log, saved_at = _Log(state.log), time.monotonic()
    with step.alone():
        step._rng.restore(state.noise)
        model, memory, average, best, made = state.model, state.memory, state.average, state.best, int(state.step)
        first = True
        for batch in _grouped(batches, step.batches, made - start, what):
            if first:
                lint.check_batch(batch)
            calls = step.compiled.calls
            model, memory, average, numbers = step.advance(model, memory, average, batch)
            if first:
                if step.compiled.calls > calls:  # not in an eager run
                    lint.check_meetings(*step.compiled.recorded)
                lint.check_precision(model, numbers)
            first, made = False, made + 1
            log.append(numbers, made)
            if validate is not None and made % validate_every == 0:
                best = log.validated(validate, model if average is None else average, best, made)
            if save is not None and time.monotonic() - saved_at > save_every:
                now = State(model, memory, step._rng.state(), numpy.int64(made), log.arrays(), average, best)
                origin.save(save, now, began_with, warn=True)
                saved_at = time.monotonic()
        noise = step._rng.state()
    if made == start:
        raise ValueError("train: there were no batches: an iterator that was used up, or fewer than one step takes")
    if validate is not None and log.last_validated() != made:
        best = log.validated(validate, model if average is None else average, best, made)
    lint.check_finite(model)
    state = State(model, memory, noise, numpy.int64(made), log.arrays(), average, best)
    if save is not None:
        origin.save(save, state, began_with, warn=True)
    return state


class _Log:
    """Numbers as steps give them: kept where they are, and brought to the host some hundred at a time."""

    def __init__(self, log: dict[str, Array]) -> None:
        self.parts: dict[str, list[Any]] = {name: [numbers] for name, numbers in log.items()}
        self.waiting: list[dict[str, Any]] = []
        self.made = 0

    def append(self, numbers: dict[str, Any], made: int) -> None:
        """The numbers of step ``made``."""
        self.waiting.append(numbers)
        self.made = made
        if xp.library.on_host:  # elsewhere each look waits for the device
            lint.check_losses(numbers, made)
        if len(self.waiting) == 100:
            self.settle()

    def settle(self) -> None:
        """What is waiting, as arrays on the host."""
        if self.waiting:
            lint.check_losses(self.waiting[-1], self.made)
            for name in self.waiting[0]:
                each = [numbers[name] for numbers in self.waiting]
                flat = [n for x in each for n in x] if isinstance(each[0], list) else each
                self.parts.setdefault(name, []).append(_stacked(flat))
            self.waiting = []

    def validated(self, validate: Callable[[Tree], Any], model: Tree, best: Tree, made: int) -> Tree:
        """The best model so far, now that this one is validated, too."""
        result = validate(_own(model))
        if getattr(result, "shape", ()) != () or not (is_array(result) or isinstance(result, int | float)):
            raise ArgumentError(f"train: validate(model) gives one number, lower for a better model; got {shape_text(result)}")
        value = float(to_numpy(result))
        if not math.isfinite(value):
            raise NaNError(f"train: validate gave {value} at step {made}")
        before = [float(x.min()) for x in self.parts.get("validation", []) if x.size]
        self.parts.setdefault("validation", []).append(numpy.array([value]))
        self.parts.setdefault("validation_step", []).append(numpy.array([float(made)]))
        return _own(model) if not before or value < min(before) else best

    def last_validated(self) -> float:
        """The step at which :meth:`validated` was last asked; before the first, -1."""
        steps = [x[-1] for x in self.parts.get("validation_step", []) if x.size]
        return float(steps[-1]) if steps else -1.0

    def arrays(self) -> dict[str, Array]:
        """All numbers so far, by name."""
        self.settle()
        for name, parts in self.parts.items():
            self.parts[name] = [numpy.concatenate(parts)]
        return {name: parts[0] for name, parts in self.parts.items()}


def _stacked(numbers: list[Any]) -> Any:
    return (
        numpy.array(numbers) if isinstance(numbers[0], float | numpy.ndarray | numpy.generic) else to_numpy(xp.stack(numbers))
    )


def _own(tree: Tree) -> Tree:
    """A copy: what is returned, or given, is not written over by the next step."""
    return trees.map(lambda w: copy(w) if is_array(w) else w, tree)


def _grouped(batches: Iterable[Any] | int, size: int, done: int, what: str) -> Iterator[tuple[Any, ...]]:
    """``size`` batches for each step, from step ``done`` on, with a progress bar."""
    steps = batches if isinstance(batches, int) else len(batches) // size if isinstance(batches, Sequence) else None
    each: Iterator[tuple[Any, ...]]
    if isinstance(batches, int):
        each = ((None,) * size for _ in range(done, batches))
    elif isinstance(batches, Sequence):
        each = (tuple(batches[step * size + i] for i in range(size)) for step in range(done, steps or 0))
    else:
        each = zip(*[iter(batches)] * size, strict=False)
    if not what:
        return each
    try:
        from tqdm import tqdm
    except ImportError:  # a bar is for comfort
        return each
    bar: Iterator[tuple[Any, ...]] = iter(tqdm(each, desc=what, total=steps, initial=done, disable=None, leave=False))
    return bar
