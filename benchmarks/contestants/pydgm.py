"""pydgm, compiled or, with ``PYDGM_EAGER=1``, as it is written."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pydgm as dgm
from pydgm import nn, optim
from pydgm.models import energy
from pydgm.models.adversarial import gan as gan_losses
from pydgm.models.constraints import SentenceCNN, distillation
from pydgm.models.energy import RBM
from pydgm.models.flows import Flow, Planar
from pydgm.models.latent import VAE

from ..problems import LEARNING_RATE, RBM_RATE, K

Step = Callable[[], float]


def network(arrays: list[Any], activation: Any) -> nn.MLP:
    return nn.MLP(tuple(nn.Linear(w, b) for w, b in zip(arrays[::2], arrays[1::2], strict=True)), activation)


def repeated(step: Any, *state: Any, data: tuple[Any, ...]) -> Step:
    """``step(*state, *data) -> (*state, loss)``, again and again."""
    compiled = dgm.compile(step, donate=tuple(range(len(state))))
    kept = list(state)

    def once() -> float:
        *kept[:], loss = compiled(*kept, *data)
        return float(loss)

    return once


def gan(p: dict[str, Any]) -> Step:
    G, D, opt = network(p["G"], dgm.relu), network(p["D"], dgm.relu), optim.adam(LEARNING_RATE)

    def step(G, D, g_state, d_state, x, z):
        loss, slope = dgm.value_and_grad(gan_losses.discriminator_loss)(D, x, G(z))
        D, d_state = opt.update(D, slope, d_state)
        G, g_state = opt.update(G, dgm.grad(lambda G: gan_losses.generator_loss(D, G(z)))(G), g_state)
        return G, D, g_state, d_state, loss

    return repeated(step, G, D, opt.init(G), opt.init(D), data=(p["x"], p["z"]))


def wgan_gp(p: dict[str, Any]) -> Step:
    D = network(p["D"], dgm.tanh)

    def loss(D, x, fake, u):
        between = u * x + (1.0 - u) * fake
        slope = dgm.grad(lambda x: dgm.sum(D(x)))(between)
        penalty = dgm.mean(dgm.square(dgm.vector_norm(slope, axis=1) - 1.0))
        return dgm.mean(D(fake)) - dgm.mean(D(x)) + 10.0 * penalty

    step = dgm.compile(dgm.value_and_grad(loss))
    return lambda: float(step(D, p["x"], p["fake"], p["u"])[0])


def planar(p: dict[str, Any]) -> Step:
    v, w, b = (p[name].reshape(K, -1, 1) for name in "vwb")
    flow, opt = Flow([Planar(v, w, b)]), optim.adam(LEARNING_RATE)

    def energy(z):
        radius = dgm.sqrt(dgm.sum(dgm.square(z), axis=1))
        side = dgm.exp(-0.5 * dgm.square((z[:, 0] - 2.0) / 0.6)) + dgm.exp(-0.5 * dgm.square((z[:, 0] + 2.0) / 0.6))
        return 0.5 * dgm.square((radius - 2.0) / 0.4) - dgm.log(side + 1e-6)

    def loss(flow, z):
        x, log_det = flow.forward(z)
        return dgm.mean(energy(x) - log_det)

    def step(flow, state, z):
        value, slope = dgm.value_and_grad(loss)(flow, z)
        return *opt.update(flow, slope, state), value

    return repeated(step, flow, opt.init(flow), data=(p["z"],))


def vae(p: dict[str, Any]) -> Step:
    model, opt = VAE(network(p["encoder"], dgm.relu), network(p["decoder"], dgm.relu)), optim.adam(LEARNING_RATE)

    def loss(model, x, eps):
        q = model.posterior(x)
        kl = dgm.sum(dgm.divergences.kl(q, dgm.distributions.Normal()), axis=-1)
        return -dgm.mean(model.log_likelihood(x, q.mean + q.scale * eps) - kl)

    def step(model, state, x, eps):
        value, slope = dgm.value_and_grad(loss)(model, x, eps)
        return *opt.update(model, slope, state), value

    return repeated(step, model, opt.init(model), data=(p["x"], p["eps"]))


class Given:
    """Noise that was drawn before, in place of a generator."""

    def __init__(self, *uniform: Any) -> None:
        self.uniform = iter(uniform)

    def bernoulli(self, p: Any) -> Any:
        return dgm.astype(next(self.uniform) < p, dgm.xp.float32)


def rbm(p: dict[str, Any]) -> Step:
    model, opt = RBM(p["W"], p["a"], p["b"]), optim.sgd(RBM_RATE)  # the problem's a is the visible bias

    def step(model, state, v, uh, uv):
        v1 = model.gibbs(Given(uh, uv), v, 1)
        return *opt.update(model, energy.rbm.nll_gradient(model, v, v1), state), dgm.mean(dgm.square(v - v1))

    return repeated(step, model, opt.init(model), data=(p["x"], p["uh"], p["uv"]))


def sentence(p: dict[str, Any]) -> Step:
    model = SentenceCNN(nn.Embedding(p["table"]), p["filters"], p["b"], nn.Linear(*p["out"]))
    batch = distillation.Batch(p["x"], p["y"].astype("float32"), p["x"][:0], p["y"][:0])

    def loss(model, batch, pi):
        log_p = dgm.log_softmax(model(batch.words))
        return distillation.distillation_loss(log_p, batch.labels, log_p, pi)

    opt = optim.adam(LEARNING_RATE)
    step, kept = distillation.by_rows(loss, opt), [model, opt.init(model)]

    def once() -> float:
        *kept[:], value = step(*kept, batch, 0.0)
        return float(value)

    return once


def mlp(p: dict[str, Any]) -> Step:
    model, opt = network(p["weights"], dgm.tanh), optim.adam(LEARNING_RATE)

    def step(model, state, x):
        value, slope = dgm.value_and_grad(lambda model: dgm.mean(dgm.square(model(x))))(model)
        return *opt.update(model, slope, state), value

    return repeated(step, model, opt.init(model), data=(p["x"],))
