"""What users do wrong, and the one sentence that each gets: nothing wrong passes in silence."""

from __future__ import annotations

import collections
import dataclasses
import itertools
import math
import pickle
import random
import re
import types
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest

import pydgm as dgm
from pydgm import data, mcmc, nn, optim, train
from pydgm.bijections import Chain
from pydgm.data import clauses
from pydgm.distributions import (
    Bernoulli,
    Categorical,
    DiscretizedLogistic,
    GumbelSoftmax,
    Independent,
    Mixture,
    Multinomial,
    Normal,
    StandardNormal,
    Transformed,
    Uniform,
)
from pydgm.models.adversarial import wgan
from pydgm.models.constraints import SentenceCNN, distillation, posterior
from pydgm.models.energy import RBM, contrastive, rbm
from pydgm.models.flows import Planar, flow
from pydgm.models.latent import VAE, GaussianMixture, vae

V = np.array([3.0, 4.0])
X, Y = np.linspace(-1.0, 1.0, 16, dtype="float32").reshape(8, 2), np.ones((8, 1), "float32")


class Misuse(NamedTuple):
    """What is done, the words that the sentence holds, and the kind of error."""

    do: Callable[[], Any]
    says: str
    kind: type[Exception] = Exception


def rng() -> dgm.random.Generator:
    return dgm.random.Generator(0)


def mlp() -> nn.MLP:
    return nn.MLP.init(rng(), [2, 4, 1])


def squares(model, x, y):
    return dgm.mean((model(x) - y) ** 2)


def fit(model=None, loss=squares, optimizer=None, batches=None, **more) -> Any:
    model = mlp() if model is None else model
    step = train.minimise(lambda m, batch, rng: loss(m, *batch), optim.adam(1e-2) if optimizer is None else optimizer)
    return train.run(step, step.init(model, rng()), [(X, Y)] * 4 if batches is None else batches, **more)


def contrast(*batches, phase=None) -> Any:
    step = contrastive.step(contrastive.cd(1) if phase is None else phase, optim.sgd(0.1))
    return train.run(step, step.init(RBM.init(rng(), 6, 3), rng()), batches)


def players(**more) -> Any:
    step = train.alternate(D=(lambda m, x, rng: dgm.mean(m["D"](x)), optim.adam(), 1), **more)
    return train.run(step, step.init({"D": mlp()}, rng()), [X])


def calls(f, *arguments, between=lambda: None, times: int = 3) -> None:
    """A compiled function called again and again, with something done in between."""
    step = dgm.compile(f)
    for _ in range(times):
        step(*arguments)
        between()


# The engine


def leaked(x):
    kept: list[Any] = []
    dgm.grad(lambda y: kept.append(x * y) or y * y)(x)
    return kept[-1] * 3.0


def changed_in_place(w):
    total, m = 0.0, np.zeros(3)
    for k in range(3):
        m[:] = 0.0
        m[k] = 1.0
        total = total + (k + 1) * dgm.sum(w * m)
    return total


def pulled_late():
    x = V.copy()
    _, pull = dgm.vjp(lambda x: x * x, x)
    x += 10.0
    return pull(np.ones(2))


def under_debug(do: Callable[[], Any]) -> Any:
    with dgm.debug(), np.errstate(all="ignore"):
        return do()


@dgm.operation(lambda g, y, x: 2.0 * g * x)
def cube(x):
    return x**3


@dgm.operation(lambda g, y, x: g[:1])
def short(x):
    return x * 2.0


@dgm.operation(lambda g, y, x: g)
def broken(x):
    return x.no_such_thing


ENGINE = {
    "gradient of an integer": Misuse(lambda: dgm.grad(lambda x: x * x)(3), "write 3.0", TypeError),
    "gradient of integers": Misuse(lambda: dgm.grad(dgm.sum)(np.arange(3)), "dtype int64", TypeError),
    "gradient of complex numbers": Misuse(lambda: dgm.grad(dgm.sum)(V * 1j), "dtype complex128", TypeError),
    "complex on the way": Misuse(
        lambda: dgm.grad(lambda x: dgm.sum(dgm.abs(x * (1 + 2j)) ** 2))(V), "became complex", TypeError
    ),
    "complex loss": Misuse(lambda: dgm.grad(lambda x: dgm.sum(x) * 1j)(V), "the loss is complex", TypeError),
    "loss of three numbers": Misuse(lambda: dgm.grad(lambda x: x * x)(np.ones(3)), "must be one number", ValueError),
    "loss of two results": Misuse(lambda: dgm.grad(lambda x: (dgm.sum(x), x))(V), "must be one number", ValueError),
    "argument that is not there": Misuse(lambda: dgm.grad(dgm.sum, argnums=1)(V), "no argument 1", TypeError),
    "has_aux without aux": Misuse(lambda: dgm.grad(dgm.sum, has_aux=True)(V), "must return a pair", TypeError),
    "jacobian of two arguments": Misuse(
        lambda: dgm.jacobian(lambda x, y: x * y, argnums=(0, 1)), "one argument number", TypeError
    ),
    "norm of another order": Misuse(lambda: dgm.grad(lambda x: np.linalg.norm(x, 0))(V), "not ord=0", TypeError),
    "norm of order 1 by name": Misuse(lambda: dgm.grad(lambda x: np.linalg.norm(x, ord=1))(V), "not ord=1", TypeError),
    "sum with a dtype": Misuse(lambda: dgm.grad(lambda x: np.sum(x, 0, float))(V), "dtype=", TypeError),
    "mean with a dtype": Misuse(lambda: dgm.grad(lambda x: np.mean(x, 0, float))(V), "dtype=", TypeError),
    "variance with ddof": Misuse(lambda: dgm.grad(lambda x: x.var(ddof=1))(V), "ddof=1", TypeError),
    "sum with where": Misuse(lambda: dgm.grad(lambda x: np.sum(x, where=V > 3))(V), "where=", TypeError),
    "another diagonal": Misuse(lambda: dgm.grad(lambda x: np.sum(np.diagonal(x, 1)))(np.ones((2, 3))), "offset=1", TypeError),
    "where of one side": Misuse(lambda: dgm.grad(lambda x: np.where(x)[0])(V), "give it both sides", TypeError),
    "a function without a rule": Misuse(lambda: dgm.grad(lambda x: np.sort(x)[0])(V), "np.sort has no derivative", TypeError),
    "a ufunc without a rule": Misuse(lambda: dgm.grad(lambda x: np.sum(np.cbrt(x)))(V), "np.cbrt has no derivative", TypeError),
    "a method that arrays lack": Misuse(lambda: dgm.grad(lambda x: x.tanh())(V), r"write dgm.tanh\(x\)", AttributeError),
    "reshape in another order": Misuse(lambda: dgm.grad(lambda x: x.reshape(1, 2, order="F").sum())(V), "order='F'", TypeError),
    "reduce of a ufunc": Misuse(lambda: dgm.grad(lambda x: np.add.reduce(x))(V), "only the plain call", TypeError),
    "a tensor that outlived its gradient": Misuse(lambda: dgm.grad(leaked)(2.0), "has ended", TypeError),
    "value of that, too": Misuse(lambda: dgm.value_and_grad(leaked)(2.0), "has ended", TypeError),
    "buffer used three times": Misuse(
        lambda: under_debug(lambda: dgm.grad(changed_in_place)(np.ones(3))), "in place", TypeError
    ),
    "argument changed before pull": Misuse(lambda: under_debug(pulled_late), "changed in place before", TypeError),
    "NaN made": Misuse(lambda: under_debug(lambda: dgm.log(-V)), "log made NaN in 2 of 2", ArithmeticError),
    "float of a tensor": Misuse(lambda: dgm.grad(lambda x: x * float(x))(2.0), "derivative would be lost", TypeError),
    "math of a tensor": Misuse(lambda: dgm.grad(lambda x: math.exp(x))(2.0), "derivative would be lost", TypeError),
    "tensor written into": Misuse(lambda: dgm.grad(lambda x: x.__setitem__(0, 1.0))(V), "not changed in place", TypeError),
    "tensor added into an array": Misuse(
        lambda: dgm.grad(lambda x: np.add(x, x, out=np.zeros(2)))(V), "write x = x", TypeError
    ),
    "shapes that do not broadcast": Misuse(lambda: dgm.add(np.ones((2, 3)), np.ones(4)), "do not broadcast", ValueError),
    "matrices that do not fit": Misuse(lambda: dgm.matmul(np.ones((2, 3)), np.ones((2, 3))), "summed over differ", ValueError),
    "matmul of lists": Misuse(lambda: dgm.matmul([[1.0]], [[2.0]]), "wanted an array, got a list", TypeError),
    "concat of two arrays": Misuse(lambda: dgm.concat(np.ones((60_000, 2)), np.ones((60_000, 2))), "wanted a list", TypeError),
    "stack of two arrays": Misuse(lambda: dgm.stack(V, V), "wanted a list", TypeError),
    "concat of arrays of two ranks": Misuse(lambda: dgm.concat([np.ones((2, 2)), V]), "concat", ValueError),
    "mean of a dict": Misuse(lambda: dgm.mean({"a": V}), "mean", TypeError),
    "transpose of a list": Misuse(lambda: dgm.matrix_transpose([[1.0, 2.0]]), "dgm.asarray", TypeError),
    "axes as a number": Misuse(lambda: dgm.permute_dims(X, 1), "the order of all axes", TypeError),
    "einsum without a pattern": Misuse(lambda: dgm.einsum(X, X), "the pattern comes first", ValueError),
    "tanh of a text": Misuse(lambda: dgm.tanh("x"), "tanh", TypeError),
    "reshape to another size": Misuse(lambda: dgm.reshape(V, (3,)), "reshape", ValueError),
    "axis that is not there": Misuse(lambda: dgm.sum(V, axis=3), "axis", ValueError),
    "index beyond the end": Misuse(lambda: dgm.take(V, np.array([7]), 0), "out of bounds", ValueError),
    "index of no class": Misuse(lambda: dgm.take_along_axis(X, np.full((8, 1), -1)), "wanted values from 0 to 1", ValueError),
    "einsum with dots": Misuse(lambda: dgm.einsum("...i->i", X), 'write "ij,jk->ik"', ValueError),
    "conv of other channels": Misuse(lambda: dgm.conv2d(np.ones((1, 2, 5, 5)), np.ones((3, 4, 2, 2))), "conv2d", ValueError),
    "remainder of a tensor": Misuse(lambda: dgm.grad(lambda x: dgm.sum(x % 0.3))(V), "dgm.floor", TypeError),
    "tensor pickled": Misuse(lambda: dgm.grad(lambda x: pickle.loads(pickle.dumps(x)))(2.0), "is not pickled", TypeError),
    "tensor made complex": Misuse(lambda: dgm.grad(lambda x: dgm.sum(x.astype(complex)))(V), "complex numbers", TypeError),
    "an unknown container": Misuse(
        lambda: dgm.grad(lambda t: t["a"])(collections.OrderedDict(a=1.0)), "no container", TypeError
    ),
    "cotangent of another shape": Misuse(lambda: dgm.vjp(dgm.tanh, V)[1](np.ones(3)), "cotangent", ValueError),
    "own rule of the wrong shape": Misuse(
        lambda: dgm.grad(lambda x: dgm.sum(short(x)))(V), "derivative of short has shape", ValueError
    ),
    "own rule that is wrong": Misuse(lambda: dgm.testing.check_grads(cube, [V]), "off by", AssertionError),
    "own operation that fails": Misuse(lambda: broken(V), "has no attribute 'no_such_thing'", AttributeError),
    "check_grads of an array": Misuse(lambda: dgm.testing.check_grads(dgm.tanh, V), "takes the list", TypeError),
    "check_grads in float32": Misuse(
        lambda: dgm.testing.check_grads(dgm.tanh, [V.astype("float32")]), "needs float64", TypeError
    ),
    "check_grads at a kink": Misuse(lambda: dgm.testing.check_grads(dgm.relu, [np.zeros(2)]), "a kink", AssertionError),
    "stranger library": Misuse(lambda: dgm.use("torch"), 'no array library "torch"', RuntimeError),
}


# Compiled functions

beta = 0.1
count = 0


def annealed(x):
    return x * beta


def raise_beta() -> None:
    global beta
    beta += 0.1


def counted(x):
    global count
    count += 1
    return x * count


class Config:
    table = V.copy()
    rate = 0.1

    def __init__(self) -> None:
        self.scale = 2.0

    def grow(self) -> None:
        self.scale += 1.0
        Config.rate += 1.0
        Config.table = Config.table + 1.0


@dataclasses.dataclass
class Settings:
    w: Any


config = Config()
holder = {"w": V.copy(), "list": [1.0, 2.0]}
host_rng = np.random.default_rng(0)
kept: list[Any] = []
clock = itertools.count(1)
masked = np.ma.array(V, mask=[0, 1])


def swallowed(x):
    try:
        return x if x[0] > 0 else -x
    except Exception:
        return -x


def quiet(x):
    with np.errstate(divide="raise"):
        return x / 2.0


def in_place(x):
    x += 1.0
    return x


def annealed_fit():
    """KL annealing by a variable of an outer scope."""
    weight = itertools.count()
    loss_weight = [0.0]

    def batches():
        for _ in range(6):
            loss_weight[0] = 0.1 * next(weight)
            yield np.ones((4, 6), "float32")

    def loss(model, x, rng):
        q = model.posterior(x)
        kl = dgm.divergences.kl(q, model.prior)
        return -dgm.mean(model.decode(q.sample(rng)).log_prob(x)) + loss_weight[0] * dgm.mean(kl)

    step = train.minimise(loss, optim.adam(1e-2))
    return train.run(step, step.init(VAE.init(rng(), 6, (4,), 2), rng()), batches())


def donated_twice():
    step = dgm.compile(lambda w: w * 2.0, donate=0)
    w = V.copy()
    step(w)
    return step(w)


def branch_on_attribute(x):
    return x * 2.0 if hasattr(x, "strides") else x * 3.0


def moved(x):
    holder["w"][0] += 1.0
    return x * holder["w"]


COMPILED = {
    "number of an outer scope": Misuse(lambda: calls(annealed, V, between=raise_beta), "beta has changed"),
    "number through a helper": Misuse(lambda: calls(lambda x: annealed(x) + 1.0, V, between=raise_beta), "beta has changed"),
    "KL annealing in fit": Misuse(annealed_fit, "loss_weight has changed since .* pass it as an argument"),
    "attribute that changes": Misuse(
        lambda: calls(lambda x: x * config.scale, V, between=config.grow), "was recorded, and now it is"
    ),
    "class attribute": Misuse(lambda: calls(lambda x: x * Config.rate, V, between=config.grow), "was recorded, and now it is"),
    "array that is a class attribute": Misuse(
        lambda: calls(lambda x: x * Config.table, V, between=config.grow), "had other numbers"
    ),
    "array of an outer dict": Misuse(
        lambda: calls(lambda x: x * holder["w"], V, between=lambda: holder.update(w=holder["w"] + 1.0)), "has changed since"
    ),
    "array changed in place": Misuse(
        lambda: calls(lambda x: x * holder["w"], V, between=lambda: holder["w"].__iadd__(1.0)), "has changed since"
    ),
    "item of a list": Misuse(
        lambda: calls(
            lambda x: x * holder["list"][0], V, between=lambda: holder["list"].__setitem__(0, holder["list"][0] + 1.0)
        ),
        "has changed since|was recorded",
    ),
    "global counter": Misuse(lambda: calls(counted, V), "counted no longer does what was recorded"),
    "counter of an iterator": Misuse(lambda: calls(lambda x: x * next(clock), V), "1 was recorded, and now it is"),
    "numpy.random": Misuse(lambda: calls(lambda x: x * np.random.rand(), V), "draw from a dgm.random.Generator"),
    "dropout by numpy.random": Misuse(lambda: calls(lambda x: x * (np.random.rand(2) < 0.5), V), "dgm.random.Generator"),
    "a NumPy generator": Misuse(lambda: calls(lambda x: x * host_rng.random(), V), "dgm.random.Generator"),
    "random.random": Misuse(lambda: calls(lambda x: x * random.random(), V), "dgm.random.Generator"),
    "a generator without a seed": Misuse(
        lambda: calls(lambda x: x * np.random.default_rng().random(), V), "was recorded, and now"
    ),
    "generator made inside": Misuse(lambda: calls(lambda x: x * rng().normal(()), V), "makes a generator"),
    "losses.append": Misuse(
        lambda: calls(lambda x: kept.append(dgm.sum(x)) or x, V), r"kept outside of it .*return it instead"
    ),
    "append in a gradient": Misuse(
        lambda: calls(dgm.grad(lambda x: kept.append(dgm.sum(x)) or dgm.sum(x)), V), "kept outside of it"
    ),
    "plain object": Misuse(lambda: calls(lambda p, x: x * p.w, types.SimpleNamespace(w=V), V), "p is a SimpleNamespace"),
    "dataclass": Misuse(lambda: calls(lambda p, x: x * p.w, Settings(V), V), "p is a Settings"),
    "set": Misuse(lambda: calls(lambda p, x: x * len(p), {1, 2}, V), "p is a set"),
    "deque": Misuse(lambda: calls(lambda p, x: x * p[0], collections.deque([V]), V), "p is a deque"),
    "object in a dict": Misuse(lambda: calls(lambda p, x: x, {"a": Settings(V)}, V), r"p\['a'\] is a Settings"),
    "masked array": Misuse(lambda: calls(dgm.sum, np.ma.array(V, mask=[0, 1])), "MaskedArray"),
    "matrix": Misuse(lambda: calls(lambda x: x * x, np.matrix("1. 2.; 3. 4.")), "is a matrix"),
    "outer masked array": Misuse(lambda: calls(lambda x: x + masked, V), "MaskedArray"),
    "branch on type": Misuse(
        lambda: calls(lambda x: x * 2.0 if type(x) is np.ndarray else x * 3.0, V), "test of an argument's kind"
    ),
    "branch on attribute": Misuse(lambda: calls(branch_on_attribute, V), "test of an argument's kind"),
    "branch on value": Misuse(lambda: calls(lambda x: x if x[0] > 0 else -x, V), "cannot use the value"),
    "branch that is swallowed": Misuse(lambda: calls(swallowed, V), "cannot use the value"),
    "float of a traced value": Misuse(lambda: calls(lambda x: x * float(x[0]), V), "cannot use the value"),
    "printing with a format": Misuse(lambda: calls(lambda x: f"{x[0]:.2f}" and x, V), "cannot use the value"),
    "mask as an index": Misuse(lambda: calls(lambda x: x[x > 3.0], V), "shape of the result depends"),
    "in place": Misuse(lambda: calls(in_place, V), "write x = x"),
    "outer array indexed by an argument": Misuse(lambda: calls(lambda i: V[i], np.array([0])), r"dgm.take\(array, x, axis=0\)"),
    "a method that is not recorded": Misuse(lambda: calls(lambda x: x.argsort(), V), r"write np.argsort\(x\)"),
    "rounded": Misuse(lambda: calls(lambda x, t: x * round(t), V, 0.3), "cannot use the value"),
    "errstate": Misuse(lambda: calls(quiet, V), "put it around the call"),
    "outer array written inside": Misuse(lambda: calls(moved, V), "changed in place afterwards|has changed|no longer does"),
    "donated, used again": Misuse(donated_twice, "was donated to an earlier call"),
    "keyword-only argument": Misuse(lambda: dgm.compile(lambda x, *, a: x * a)(V, a=2.0), "keyword-only"),
    "donate from the end": Misuse(lambda: dgm.compile(lambda x: x, donate=-1), "from 0"),
    "source before a call": Misuse(lambda: dgm.compile(lambda x: x).source, "no program yet"),
}


# Building blocks


class Torchlike(nn.Module):
    w: Any = None

    def __init__(self) -> None:
        self.w = V


def set_field():
    mlp().activation = dgm.tanh


def delete_field():
    del mlp().activation


def scheduled(rate: Any) -> Any:
    return fit(optimizer=optim.sgd(lambda step: rate))


def state_of_another():
    opt = optim.adam()
    return opt.update({"w": V}, {"w": V}, opt.init({"v": V}))


BLOCKS = {
    "model of another width": Misuse(
        lambda: mlp()(np.ones((8, 3))), r"Linear\(2 -> 4\): wanted an array \(..., 2\), got \(8, 3\)", ValueError
    ),
    "the same in a gradient": Misuse(lambda: fit(batches=[(np.ones((8, 3)), Y)]), r"Linear\(2 -> 4\)", ValueError),
    "model of a list": Misuse(lambda: mlp()([[1.0, 2.0]]), "got a list: dgm.asarray", TypeError),
    "model of a number": Misuse(lambda: mlp()(np.float64(1.0)), r"wanted an array \(..., 2\)", ValueError),
    "images not in rows": Misuse(
        lambda: VAE.init(rng()).posterior(np.ones((3, 28, 28))), r"\(..., 784\), got \(3, 28, 28\)", ValueError
    ),
    "seed for a generator": Misuse(lambda: nn.MLP.init(0, [2, 1]), "dgm.random.Generator, got an int", TypeError),
    "NumPy's generator": Misuse(lambda: nn.MLP.init(host_rng, [2, 1]), "dgm.random.Generator, got a Generator", TypeError),
    "no generator": Misuse(lambda: nn.MLP.init([2, 4, 1], dgm.relu), "dgm.random.Generator, got a list", TypeError),
    "MLP without init": Misuse(lambda: nn.MLP([2, 4, 1]), "MLP.init", TypeError),
    "MLP with a generator, without init": Misuse(lambda: nn.MLP(rng(), [2, 1]), "MLP.init", TypeError),
    "width that is a float": Misuse(
        lambda: nn.MLP.init(rng(), [2, 3.0, 1]), "width 1 .* wanted an integer, got 3.0", TypeError
    ),
    "width below 1": Misuse(lambda: nn.MLP.init(rng(), [2, 0, 1]), "width 1 .* 1 or more, got 0", ValueError),
    "one width": Misuse(lambda: nn.MLP.init(rng(), [2]), "from input to output", ValueError),
    "widths as arguments": Misuse(lambda: nn.MLP.init(rng(), 2, 4), "from input to output", TypeError),
    "activation as text": Misuse(lambda: nn.MLP.init(rng(), [2, 1], "relu"), "dgm.relu, got 'relu'", TypeError),
    "Linear of a float": Misuse(lambda: nn.Linear.init(rng(), 2.0, 1), "n_in: wanted an integer", TypeError),
    "field set": Misuse(set_field, r"dataclasses.replace\(model, activation=...\)", AttributeError),
    "field deleted": Misuse(delete_field, "not changed in place", AttributeError),
    "__init__ as in PyTorch": Misuse(Torchlike, "in a classmethod, init", AttributeError),
    "model as an array": Misuse(lambda: np.asarray(mlp()), "is a Module and no array", TypeError),
    "symbol below 0": Misuse(lambda: nn.Embedding.init(rng(), 5, 2)(np.array([-1])), "wanted values from 0 to 4", ValueError),
    "symbol beyond": Misuse(lambda: nn.Embedding.init(rng(), 5, 2)(np.array([5])), "wanted values from 0 to 4", ValueError),
    "channels of a Conv2d": Misuse(lambda: nn.Conv2d.init(rng(), 1, 2, 3)(np.ones((1, 2, 5, 5))), "conv2d", ValueError),
    "window of a Conv2d": Misuse(lambda: nn.Conv2d.init(rng(), 1, 2, 3.0), "window: wanted an integer", TypeError),
    "negative scale": Misuse(lambda: Normal(0.0, -1.0), "above 0, got -1", ValueError),
    "scale 0": Misuse(lambda: Normal(0, 0), "above 0, got 0", ValueError),
    "scale NaN": Misuse(lambda: Normal(0.0, np.array([1.0, np.nan])), "above 0, got nan", ValueError),
    "loc as a list": Misuse(lambda: Normal([0.0, 1.0], 1.0), "loc: wanted an array, got a list", TypeError),
    "scale as text": Misuse(lambda: Normal(0.0, "1"), "scale: wanted an array", TypeError),
    "uniform backwards": Misuse(lambda: Uniform(1.0, 0.0), "high - low must be above 0", ValueError),
    "grey levels to 255": Misuse(lambda: Bernoulli(V).log_prob(255.0 * V), "divided by 255", ValueError),
    "logits that are None": Misuse(lambda: Bernoulli(None), "logits: wanted an array, got None", TypeError),
    "labels that are floats": Misuse(lambda: Categorical(X).log_prob(np.zeros(8)), "labels are integers", TypeError),
    "labels in a column": Misuse(lambda: Categorical(X).log_prob(np.zeros((8, 1), int)), r"labels\[:, 0\]", ValueError),
    "one-hot labels": Misuse(lambda: Categorical(X).log_prob(np.zeros((8, 2), int)), "argmax", ValueError),
    "label -1": Misuse(lambda: Categorical(X).log_prob(np.full(8, -1)), "wanted values from 0 to 1", ValueError),
    "label beyond": Misuse(lambda: Categorical(X).log_prob(np.full(8, 2)), "wanted values from 0 to 1", ValueError),
    "one logit": Misuse(lambda: Categorical(np.float64(1.0)), r"logits \(..., K\)", ValueError),
    "probability 3": Misuse(lambda: rng().bernoulli(V), "wanted values from 0 to 1, got 3 to 4", ValueError),
    "probability NaN": Misuse(lambda: rng().bernoulli(np.array([np.nan])), "got nan", ValueError),
    "probability as a number": Misuse(lambda: rng().bernoulli(0.5), "wanted an array, got a float", TypeError),
    "batches of a float": Misuse(lambda: data.Rows(X).batches(rng(), 10.0), "wanted an integer, got 10.0", TypeError),
    "batches that are too large": Misuse(lambda: data.Rows(X[:3]).batches(rng(), 5), "batches of 5 from 3", ValueError),
    "independent axes that are not there": Misuse(lambda: Independent(Normal(), 1), "has 0 batch axes", ValueError),
    "independent of a function": Misuse(lambda: Independent(dgm.tanh, 1), "wanted a distribution", TypeError),
    "events of another size": Misuse(
        lambda: Independent(Normal(np.zeros(3), 1.0), 1).log_prob(X), r"wanted events \(3,\)", ValueError
    ),
    "mixture of vectors that are numbers": Misuse(
        lambda: Mixture(np.zeros(3), Normal(np.zeros((3, 2)), 1.0)), "count the same components", ValueError
    ),
    "mixture of other components": Misuse(lambda: Mixture(np.zeros(2), Normal(np.zeros(3), 1.0)), "logits", ValueError),
    "counts that are too many": Misuse(lambda: Multinomial(3, V).log_prob(np.array([4, 0])), "from 0 to 3", ValueError),
    "levels from high down to low": Misuse(lambda: DiscretizedLogistic(0.5, 0.1, 1.0, 0.0), "from low up to high", ValueError),
    "pixels beyond the levels": Misuse(lambda: DiscretizedLogistic(0.5, 0.1).log_prob(V), "from 0 to 1", ValueError),
    "temperature 0": Misuse(lambda: GumbelSoftmax(V, 0.0), "temperature must be above 0", ValueError),
    "KL of vectors to numbers": Misuse(
        lambda: dgm.divergences.kl(Independent(Normal(V, 1.0), 1), Normal()), "no closed form", TypeError
    ),
    "KL of vectors of other sizes": Misuse(
        lambda: dgm.divergences.kl(Independent(Normal(V, 1.0), 1), StandardNormal(3)), "events", ValueError
    ),
    "schedule of no steps": Misuse(lambda: optim.linear(1e-3, 0.0, 0), "linear: steps: wanted 1 or more", ValueError),
    "schedule that rises to minus": Misuse(lambda: optim.cosine(1e-3, -1.0, 10), "cosine: end: wanted", ValueError),
    "schedule of pairs": Misuse(lambda: optim.piecewise(1e-3, [(10, 1e-4)]), "piecewise: wanted the rates", TypeError),
    "negative weight decay": Misuse(lambda: optim.adam(1e-3, weight_decay=-1.0), "weight_decay: wanted", ValueError),
    "clip at minus one": Misuse(lambda: optim.clip(optim.adam(), -1.0), "clip: the norm: wanted", ValueError),
    "average of 2": Misuse(lambda: train.minimise(squares, optim.adam(), average=2.0), "between 0 and 1", TypeError),
    "player without a number": Misuse(lambda: players(G=(squares, optim.adam())), "alternate: G is", TypeError),
    "player without updates": Misuse(lambda: players(G=(squares, optim.adam(), 0)), "alternate: G is", TypeError),
    "player without a model": Misuse(lambda: players(G=(squares, optim.adam(), 1)), "a dict with D, G", TypeError),
    "no players": Misuse(lambda: train.alternate(), "wanted the players by name", TypeError),
    "state that is a model": Misuse(
        lambda: train.run(train.minimise(squares, optim.adam()), mlp(), [X]), "second argument is a state", TypeError
    ),
    "step that is a loss": Misuse(lambda: train.run(squares, mlp(), [X]), "first argument is a step", TypeError),
    "init without noise": Misuse(
        lambda: train.minimise(squares, optim.adam()).init(mlp(), 0), "second argument is a dgm.random.Generator", TypeError
    ),
    "saving what cannot be found again": Misuse(
        lambda: fit(batches=iter([(X, Y)]), save="/nowhere/run.npz"), "a number or a sequence", TypeError
    ),
    "validation that is NaN": Misuse(lambda: fit(validate=lambda m: math.nan), "validate gave nan at step 4", ArithmeticError),
    "saving a text": Misuse(lambda: dgm.save("/nowhere/x.npz", {"w": np.array(["a"])}), "take numbers", TypeError),
    "saving inside a gradient": Misuse(
        lambda: dgm.grad(lambda x: dgm.save("/nowhere/x.npz", x) or dgm.sum(x))(V), "part of a gradient", TypeError
    ),
    "mean of a list": Misuse(lambda: dgm.mean([1.0, 2.0]), "wanted an array", TypeError),
    "variance of a tuple": Misuse(lambda: dgm.var((1.0, 2.0)), "wanted an array", TypeError),
    "sample without a generator": Misuse(lambda: Normal(V, 1.0).sample(100), "wanted a dgm.random.Generator first", TypeError),
    "loss that asks for another model": Misuse(
        lambda: train.run(
            step := train.alternate(D=(wgan.generator_loss, optim.adam(), 1)), step.init({"D": mlp()}, rng()), [X]
        ),
        "asks for the model 'critic', and there are D",
        TypeError,
    ),
    "players named as the log is": Misuse(
        lambda: train.alternate(loss=(squares, optim.adam(), 1)), "is a name in the log", TypeError
    ),
    "validation every 0 steps": Misuse(lambda: fit(validate=lambda m: 1.0, validate_every=0), "validate_every", ValueError),
    "validation that is an array": Misuse(lambda: fit(validate=lambda m: np.ones(1)), "gives one number", TypeError),
    "average as text": Misuse(lambda: train.minimise(squares, optim.adam(), average="x"), "between 0 and 1", TypeError),
    "derivative of integers along": Misuse(lambda: dgm.jvp(lambda x: np.arange(3), (V,), (V,)), "return floats", TypeError),
    "derivative of a number along": Misuse(
        lambda: dgm.jvp(lambda x: (dgm.sum(x), 3), (V,), (V,)), "returns 3, which has no derivative", TypeError
    ),
    "likelihood of coordinates": Misuse(
        lambda: dgm.metrics.likelihood(Normal(np.zeros(2), 1.0), X, rng()), "one log density for each row", ValueError
    ),
    "likelihood of NaN": Misuse(
        lambda: dgm.metrics.likelihood(StandardNormal(2), X * np.nan, rng()), "8 of 8 rows", ArithmeticError
    ),
    "likelihood of a data set": Misuse(
        lambda: dgm.metrics.likelihood(StandardNormal(2), data.Dataset(X, X, X, (2,), ""), rng()), "data.test", TypeError
    ),
    "KL of other numbers of symbols": Misuse(
        lambda: dgm.divergences.kl(Categorical(np.zeros(4)), Categorical(np.zeros(1))), "4 symbols and 1", ValueError
    ),
    "counts in between": Misuse(lambda: Multinomial(2, V).log_prob(np.array([0.5, 1.5])), "counts are integers", ValueError),
    "labels of other rows": Misuse(lambda: data.Rows(X, np.arange(3)), "8 examples and 3 labels", ValueError),
    "split that does not come out": Misuse(lambda: dgm.split(X, 3, axis=0), "no 3 equal parts", ValueError),
    "loading nothing": Misuse(lambda: dgm.load("/nowhere/x.npz", like=V), "is missing", ValueError),
    "KL without a closed form": Misuse(lambda: dgm.divergences.kl(Normal(), Uniform()), "no closed form", TypeError),
    "interval of one number": Misuse(lambda: dgm.metrics.mean_interval(np.ones(1)), "two or more", ValueError),
    # optimisers
    "negative learning rate": Misuse(lambda: optim.adam(-1.0), "learning rate: wanted a finite number from 0", ValueError),
    "learning rate NaN": Misuse(lambda: optim.sgd(math.nan), "learning rate", ValueError),
    "learning rate as text": Misuse(lambda: optim.adam("0.1"), "wanted a number, got '0.1'", TypeError),
    "no learning rate": Misuse(lambda: optim.momentum(None), "wanted a number, got None", TypeError),
    "beta1 of 1": Misuse(lambda: optim.adam(1e-3, beta1=1.0), "beta1: wanted .* below 1", ValueError),
    "decay of 2": Misuse(lambda: optim.momentum(1e-3, 2.0), "decay: wanted", ValueError),
    "negative eps": Misuse(lambda: optim.rmsprop(1e-3, eps=-1.0), "eps: wanted", ValueError),
    "schedule below 0": Misuse(lambda: scheduled(-0.1), "that the schedule gives", ValueError),
    "schedule without return": Misuse(lambda: scheduled(None), "that the schedule gives: wanted a number", TypeError),
    "optimiser not called": Misuse(
        lambda: fit(optimizer=optim.adam), r"optim.adam\(1e-3\), called; got the function adam", TypeError
    ),
    "optimiser as text": Misuse(lambda: fit(optimizer="adam"), "called; got a str", TypeError),
    "optimiser as a number": Misuse(lambda: fit(optimizer=1e-3), "called; got a float", TypeError),
    "loss and model swapped": Misuse(lambda: train.minimise(optim.adam(), squares), "the loss is a function", TypeError),
    "model class": Misuse(lambda: fit(model=nn.MLP), "a tree of arrays to be trained; got the class MLP", TypeError),
    "batches that are one array": Misuse(lambda: fit(batches=X), r"one batch is \[batch\]", TypeError),
    "no batches": Misuse(lambda: fit(batches=[]), "there were no batches", ValueError),
    "iterator used up": Misuse(lambda: fit(batches=iter([])), "used up", ValueError),
    "batches that are a text": Misuse(lambda: fit(batches="abc"), "wanted batches", TypeError),
    "empty batch": Misuse(lambda: fit(batches=[(X[:0], Y[:0])]), r"batch\[0\] is empty", ValueError),
    "NaN in the data": Misuse(
        lambda: fit(batches=[(X * np.nan, Y)]), r"batch\[0\] holds NaN or infinity: 16 of 16", ValueError
    ),
    "infinity in the labels": Misuse(lambda: fit(batches=[(X, Y * np.inf)]), r"batch\[1\] holds NaN or infinity", ValueError),
    "NaN in a later batch": Misuse(
        lambda: fit(batches=[(X, Y), (X, Y * np.nan), (X, Y), (X, Y)]), "the loss is nan at step 2", ArithmeticError
    ),
    "rate that explodes": Misuse(
        lambda: fit(optimizer=optim.sgd(1e6), batches=[(X, Y)] * 100), "the loss is (nan|inf) at step", ArithmeticError
    ),
    "labels (n,) against (n, 1)": Misuse(
        lambda: fit(batches=[(X, Y[:, 0])]), r"\(8,\) of the batch meets \(8, 1\)", ValueError
    ),
    "one label for all rows": Misuse(lambda: fit(batches=[(X, Y[:1])]), r"\(1, 1\) of the batch meets \(8, 1\)", ValueError),
    "labels (n, 1) against (n,)": Misuse(
        lambda: fit(loss=lambda m, x, y: dgm.mean((m(x)[:, 0] - y) ** 2)), r"\(8, 1\) of the batch meets \(8,\)", ValueError
    ),
    "labels made of the batch": Misuse(
        lambda: fit(loss=lambda m, x, y: dgm.mean((m(x)[:, 0] - (y - dgm.mean(y))) ** 2)), "of the batch meets", ValueError
    ),
    "labels in a where": Misuse(
        lambda: fit(loss=lambda m, x, y: dgm.mean(dgm.where(y[:, 0] > 0, m(x), 0.0))), "of the batch meets", ValueError
    ),
    "a last step into NaN": Misuse(
        lambda: fit(np.zeros(3), lambda w, x: dgm.sum(dgm.sqrt(w * w)) + dgm.sum(w * x), batches=[(np.ones(3),)]),
        "after the last step model holds NaN",
        ValueError,
    ),
    "loss that ignores the model": Misuse(
        lambda: fit(loss=lambda m, x, y: dgm.mean(x)), "does not depend on the model", TypeError
    ),
    "loss that is complex": Misuse(lambda: fit(loss=lambda m, x, y: dgm.mean(m(x)) * 1j), "complex", TypeError),
    "loss for each row": Misuse(lambda: fit(loss=lambda m, x, y: (m(x) - y) ** 2), "must be one number", ValueError),
    "projection onto nothing": Misuse(
        lambda: fit(optimizer=optim.project(optim.adam(), lambda m: None)),
        "what onto\\(model\\) returns is a model",
        ValueError,
    ),
    "gradient of another tree": Misuse(
        lambda: optim.sgd(0.1).update({"w": V}, {"v": V}, None), "structure of its model", ValueError
    ),
    "gradient None": Misuse(
        lambda: optim.adam().update(mlp(), None, optim.adam().init(mlp())), "structure of its model", ValueError
    ),
    "state of another model": Misuse(state_of_another, "the same structure: the tree was dict", ValueError),
    "state None": Misuse(lambda: optim.adam().update({"w": V}, {"w": V}, None), "state", TypeError),
}


# Models and data


def dgm_rows(n: int, width: int = 6) -> Any:
    return np.zeros((n, width), "float32")


MODELS = {
    "penalty of unequal numbers": Misuse(lambda: wgan.gradient_penalty(mlp(), X, X[:4], rng()), "gradient_penalty", ValueError),
    "chain of a class": Misuse(lambda: Chain(Planar), "layers", TypeError),
    "chain of classes": Misuse(lambda: Chain([Planar]), "layers", TypeError),
    "flow on other points": Misuse(
        lambda: flow([Planar.init(rng(), 2)]).log_prob(np.ones((5, 3), "float32")), r"\(..., 2\), got \(5, 3\)", ValueError
    ),
    "flow on one point": Misuse(
        lambda: flow([Planar.init(rng(), 2)]).log_prob(np.ones(2, "float32")), "points in rows", ValueError
    ),
    "flow on a density of numbers": Misuse(
        lambda: Transformed(Normal(np.zeros(2), 1.0), Chain([])), "events of Normal have 0 axes", ValueError
    ),
    "flow through a function": Misuse(lambda: Transformed(StandardNormal(2), dgm.tanh), "wanted a bijection", TypeError),
    "planar map that folds": Misuse(lambda: Planar.of(-2.0 * X[:1], X[:1], np.zeros(1)), "cannot be inverted", ValueError),
    "VAE on grey levels": Misuse(
        lambda: vae.elbo(VAE.init(rng(), 6, (4,), 2), 255.0 + dgm_rows(3), rng()), "divided by 255", ValueError
    ),
    "VAE of another z": Misuse(
        lambda: VAE.init(rng(), 6, (4,), 2).generate(np.ones((3, 5), "float32")), r"Linear\(2 -> 4\)", ValueError
    ),
    "RBM on grey levels": Misuse(
        lambda: contrast(255.0 + dgm_rows(3)), "binary visible units: wanted values from 0 to 1", ValueError
    ),
    "RBM of another width": Misuse(lambda: contrast(dgm_rows(3, 5)), r"\(..., 6\), got \(3, 5\)", ValueError),
    "RBM, hidden from another width": Misuse(
        lambda: RBM.init(rng(), 6, 3).hidden(dgm_rows(3, 5)), r"\(..., 6\), got \(3, 5\)", ValueError
    ),
    "mixture of other points": Misuse(
        lambda: GaussianMixture.init(rng(), rng().normal((9, 2)), 2).log_prob(Y), r"\(..., 2\), got \(8, 1\)", ValueError
    ),
    "RBM without batches": Misuse(lambda: contrast(), "no batches", ValueError),
    "RBM, no steps": Misuse(lambda: contrast(dgm_rows(3), phase=contrastive.cd(0)), "cd: k: wanted 1 or more", ValueError),
    "RBM too large to count": Misuse(lambda: rbm.log_partition(RBM.init(rng(), 30, 30)), "at most 24", ValueError),
    "AIS of one chain": Misuse(lambda: mcmc.ais(RBM.init(rng(), 6, 3), rng(), chains=1), "at least 2", ValueError),
    "more Gaussians than points": Misuse(lambda: GaussianMixture.init(rng(), X, 9), "9 components from 8 points", ValueError),
    "labels that are no labels": Misuse(lambda: clauses.batch([("a",)], [3], {}), "labels are 0", ValueError),
    "sentence as text": Misuse(lambda: data.sentences.vocabulary(["a b"]), "text.split", TypeError),
    "dropout of everything": Misuse(
        lambda: SentenceCNN.init(rng(), 5, 4, 2)(np.array([[1, 2]]), rng(), 1.0), "dropout", ValueError
    ),
    "only a teacher": Misuse(lambda: distillation.fixed_point(1.0, 2.0, 0.1), "pi = 1.0", ValueError),
    "simplex with zeros": Misuse(lambda: posterior.minimize_on_simplex(dgm.sum, np.array([1.0, 0.0])), "positive", ValueError),
    "unknown alphabet": Misuse(lambda: data.glyphs(alphabets=["klingon"]), "unknown alphabets", ValueError),
    "MNIST in no folder": Misuse(lambda: data.mnist(None), "folder", ValueError),
    "MNIST that is not there": Misuse(lambda: data.mnist("/nowhere"), "is missing", ValueError),
    "SST2 that is not there": Misuse(lambda: data.sst2("/nowhere"), "is missing", ValueError),
    "a folder without data": Misuse(lambda: data.find("mnist", "/nowhere"), "there is no folder", ValueError),
}

CASES = {"engine": ENGINE, "compiled": COMPILED, "blocks": BLOCKS, "models": MODELS}
EVERY = [pytest.param(case, id=f"{part}: {name}") for part, cases in CASES.items() for name, case in cases.items()]


def test_there_are_many() -> None:
    assert len(EVERY) >= 120


@pytest.mark.filterwarnings("ignore:the matrix subclass")
@pytest.mark.parametrize("case", EVERY)
def test_one_sentence(case) -> None:
    state = np.random.get_state()[1].copy(), random.getstate()
    with np.errstate(all="ignore"), pytest.raises(case.kind) as caught:
        case.do()
    text = str(caught.value)
    assert re.search(case.says, text), text
    assert len(text) < 700, text
    assert text.count("\n") == 0, text
    message = text.split(" at test_misuse.py")[0]
    assert not re.search(r"gufunc|<built-in|object at 0x|\[\[|Traced\(|Tensor\(", message), text
    assert (np.random.get_state()[1] == state[0]).all()  # a call that failed has drawn nothing
    assert random.getstate() == state[1]
