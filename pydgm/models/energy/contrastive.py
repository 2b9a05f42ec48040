r"""Learning an energy-based model: lower the energy of the data, raise that of what the model makes instead.

    P(v) = exp(-F(v)) / Z,        -d log P(v) / d theta = dF(v) / d theta - E_model[dF / d theta]

The second average is over all states. It is taken from chains started at the data (contrastive divergence, CD-k: Hinton 2002;
lecture L4, "Maximum Likelihood Learning"), from chains that go on from update to update (PCD: Tieleman 2008), or exactly,
where Z can be counted. A model needs ``free_energy(v)``, ``gibbs(rng, v, k)``, which makes k steps of its chain, and
``tempered()``, whose ``sample(rng, n)`` chains begin with.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from ... import checks, trees
from ...autodiff import grad, mean, stop_gradient, value_and_grad
from ...backend import Array
from ...optim import Optimizer
from ...random import Generator
from ...storage import text_of
from ...train import Step

Model = Any


class NegativePhase(NamedTuple):
    """How E_model is taken: ``init(model, rng)`` gives the chains, ``gradient`` the loss, its gradient and the chains' next
    places."""

    init: Callable[[Model, Generator], Any]
    gradient: Callable[[Model, Array, Any, Generator], tuple[Array, Model, Any]]
    name: str


def contrastive_loss(model: Model, v: Array, v_model: Array) -> Array:
    """mean F(v) - mean F(v_model): its gradient is E_data - E_model of dF / d theta, where ``v_model`` stands for the model."""
    # formula: contrastive-divergence
    return mean(model.free_energy(v)) - mean(model.free_energy(stop_gradient(v_model)))


def cd(k: int = 1) -> NegativePhase:
    """CD-k: for each update chains of k steps begin at the data. As k grows, this tends to maximum likelihood."""
    checks.count(k, "cd: k")

    def gradient(model: Model, v: Array, chains: None, rng: Generator) -> tuple[Array, Model, None]:
        # formula: contrastive-divergence
        return *value_and_grad(contrastive_loss)(model, v, model.gibbs(rng, v, k)), None

    return NegativePhase(lambda model, rng: None, gradient, f"CD-{k}")


def pcd(k: int = 1, chains: int = 100) -> NegativePhase:
    """PCD-k: ``chains`` chains go on by k steps with each update, and begin as independent units."""
    checks.count(k, "pcd: k")
    checks.count(chains, "pcd: chains")

    def gradient(model: Model, v: Array, v_model: Array, rng: Generator) -> tuple[Array, Model, Array]:
        v_model = model.gibbs(rng, v_model, k)
        return *value_and_grad(contrastive_loss)(model, v, v_model), v_model

    return NegativePhase(lambda model, rng: model.tempered().sample(rng, chains), gradient, f"PCD-{k}, {chains} chains")


def exact(log_partition: Callable[[Model], Array]) -> NegativePhase:
    """Maximum likelihood, for machines so small that log Z can be counted: :func:`pydgm.models.energy.rbm.log_partition`."""

    def nll(model: Model, v: Array) -> Array:
        return mean(model.free_energy(v)) + log_partition(model)

    def gradient(model: Model, v: Array, chains: None, rng: Generator) -> tuple[Array, Model, None]:
        return *value_and_grad(nll)(model, v), None

    return NegativePhase(lambda model, rng: None, gradient, f"exact {text_of(log_partition)}")


def step(phase: NegativePhase, optimizer: Optimizer, penalty: Callable[[Model, Array], Array] | None = None) -> Step:
    """A step of learning on a batch v (n, visible). ``penalty(model, v)`` is a number that is made small, too: sparsity, say.

    The chains are part of the training's memory, ``run.memory[1]``. Logged as loss is :func:`contrastive_loss`, which is 0
    where model and data agree, and no likelihood.
    """

    def update(model: Model, memory: Any, batch: tuple[Any, ...], rng: Generator) -> tuple[Model, Any, dict[str, Any]]:
        (v,), (averages, chains) = batch, memory
        loss, gradient, chains = phase.gradient(model, v, chains, rng)
        if penalty is not None:
            gradient = trees.map(lambda g, more: g + more, gradient, grad(penalty)(model, v))
        model, averages = optimizer.update(model, gradient, averages)
        return model, (averages, chains), {"loss": loss}

    name = f"{phase.name} by {optimizer.name}" + (f" and {text_of(penalty)}" if penalty else "")
    return Step(lambda model, rng: (optimizer.init(model), phase.init(model, rng)), update, name)
