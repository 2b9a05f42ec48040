"""pydgm, compiled or, with ``PYDGM_EAGER=1``, as it is written; with ``PYDGM_BACKEND=cupy`` on a GPU."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pydgm as dgm
from pydgm import nn, optim, train, trees
from pydgm.data.clauses import Batch
from pydgm.models.adversarial import gan as gan_losses
from pydgm.models.autoregressive import MADE, GatedPixelCNN, natural_order, nll, pixel_cnn
from pydgm.models.constraints import SentenceCNN, distillation
from pydgm.models.energy import RBM, contrastive
from pydgm.models.flows import Planar, flow
from pydgm.models.latent import VAE
from pydgm.models.latent import iwae as iwae_losses
from pydgm.rows import by_rows

from ..problems import LEARNING_RATE, RBM_RATE, K

Step = Callable[[], float]


def placed(p: dict[str, Any]) -> dict[str, Any]:
    """A problem's numbers on the device; integers name words, and stay where words are looked up."""
    return trees.map(lambda x: dgm.asarray(x) if x.dtype.kind == "f" else x, p)


def network(arrays: list[Any], activation: Any) -> nn.MLP:
    return nn.MLP(tuple(nn.Linear(w, b) for w, b in zip(arrays[::2], arrays[1::2], strict=True)), activation)


def repeated(step: train.Step, model: Any, batch: Any) -> Step:
    """One step of a run, as :func:`pydgm.train.run` makes it, again and again. Its loss is the first that is logged."""
    state = step.init(model, dgm.random.Generator(0))
    arrays = [state.model, state.memory, None]
    batches = (batch,) * step.batches

    def once() -> float:
        *arrays[:], numbers = step.advance(*arrays, batches)
        loss = next(iter(numbers.values()))
        return float(loss[0] if isinstance(loss, list) else loss)

    return once


def gan(p: dict[str, Any]) -> Step:
    def discriminator_loss(models: Any, batch: Any, rng: Any) -> Any:
        x, z = batch
        return -gan_losses.value(models["D"], x, models["G"](z))

    def generator_loss(models: Any, batch: Any, rng: Any) -> Any:
        return dgm.mean(dgm.softplus(-models["D"](models["G"](batch[1]))))

    opt = optim.adam(LEARNING_RATE)
    step = train.alternate(D=(discriminator_loss, opt, 1), G=(generator_loss, opt, 1))
    return repeated(step, {"G": network(p["G"], dgm.relu), "D": network(p["D"], dgm.relu)}, (p["x"], p["z"]))


games = gan  # a stack of networks is a network


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
    target = flow([Planar(v, w, b)])

    def energy(z):
        radius = dgm.sqrt(dgm.sum(dgm.square(z), axis=1))
        side = dgm.exp(-0.5 * dgm.square((z[:, 0] - 2.0) / 0.6)) + dgm.exp(-0.5 * dgm.square((z[:, 0] + 2.0) / 0.6))
        return 0.5 * dgm.square((radius - 2.0) / 0.4) - dgm.log(side + 1e-6)

    def loss(model, z, rng):
        x, log_det = model.bijection.forward_and_log_det(z)
        return dgm.mean(energy(x) - log_det)

    return repeated(train.minimise(loss, optim.adam(LEARNING_RATE)), target, p["z"])


planar_rows = planar


def vae(p: dict[str, Any]) -> Step:
    model = VAE(network(p["encoder"], dgm.relu), network(p["decoder"], dgm.relu))

    def loss(model, batch, rng):
        x, eps = batch
        q = model.posterior(x)
        z = q.base.loc + q.base.scale * eps
        return -dgm.mean(model.decode(z).log_prob(x) - dgm.divergences.kl(q, model.prior))

    return repeated(train.minimise(loss, optim.adam(LEARNING_RATE)), model, (p["x"], p["eps"]))


def iwae(p: dict[str, Any]) -> Step:
    model = VAE(network(p["encoder"], dgm.tanh), network(p["decoder"], dgm.tanh))

    def loss(model, batch, rng):
        return iwae_losses.loss(len(p["eps"]))(model, batch[0], Given(batch[1]))

    return repeated(train.minimise(loss, optim.adam(LEARNING_RATE)), model, (p["x"], p["eps"]))


class Given:
    """Noise that was drawn before, in place of a generator."""

    def __init__(self, *drawn: Any) -> None:
        self.drawn = iter(drawn)

    def bernoulli(self, p: Any) -> Any:
        return dgm.astype(next(self.drawn) < p, dgm.xp.float32)

    def normal(self, shape: Any, dtype: str) -> Any:
        return next(self.drawn)


def rbm(p: dict[str, Any]) -> Step:
    model, opt = RBM(p["W"], p["a"], p["b"]), optim.sgd(RBM_RATE)  # the problem's a is the visible bias

    def update(model, memory, batches, rng):
        ((v, uh, uv),) = batches
        v1 = model.gibbs(Given(uh, uv), v, 1)
        gradient = dgm.grad(contrastive.contrastive_loss)(model, v, v1)
        return *opt.update(model, gradient, memory), {"loss": dgm.mean(dgm.square(v - v1))}

    step = train.Step(lambda model, rng: opt.init(model), update, "CD-1 with noise that is given")
    return repeated(step, model, (p["x"], p["uh"], p["uv"]))


def sentence(p: dict[str, Any]) -> Step:
    model = SentenceCNN(nn.Embedding(p["table"]), p["filters"], p["b"], nn.Linear(*p["out"]))
    batch = Batch(p["x"], p["y"].astype("float32"), p["x"][:0], p["y"][:0])

    step = by_rows(distillation.student_loss(None, dropout=0.0), optim.adam(LEARNING_RATE), distillation.in_use_with_pi)
    return repeated(step, model, (batch, 0.0))


def made(p: dict[str, Any]) -> Step:
    layers = network(p["layers"], dgm.relu).layers
    model = MADE(natural_order(784), layers, p["direct"], (p["m"][None, :],))
    return repeated(train.minimise(nll, optim.adam(LEARNING_RATE)), model, p["x"])


class Layers(dgm.Module):
    """Layers with relu between them."""

    layers: tuple[Any, ...]

    def __call__(self, x):
        for layer in self.layers[:-1]:
            x = dgm.relu(layer(x))
        return self.layers[-1](x)


def _pixels(p: dict[str, Any], *layers: Any) -> Step:
    """Each pixel's probability, from what the layers see of the picture."""

    def loss(model, x, rng):
        logits = model(x)
        return dgm.mean(dgm.softplus(logits) - x * logits)

    return repeated(train.minimise(loss, optim.adam(LEARNING_RATE)), Layers(layers), p["x"])


def conv(p: dict[str, Any]) -> Step:
    return _pixels(p, *[nn.Conv2d(w, b, 1, w.shape[2] // 2) for w, b in zip(p["filters"], p["b"], strict=True)])


def conv_masked(p: dict[str, Any]) -> Step:
    masks = "ABBBB"
    return _pixels(p, *[nn.MaskedConv2d(w, b, mask) for w, b, mask in zip(p["filters"], p["b"], masks, strict=True)])


def conv_down(p: dict[str, Any]) -> Step:
    kinds = nn.Conv2d, nn.Conv2d, nn.ConvTranspose2d, nn.ConvTranspose2d
    return _pixels(p, *[kind(w, b, 2, 1) for kind, w, b in zip(kinds, p["filters"], p["b"], strict=True)])


def gated(p: dict[str, Any]) -> Step:
    w, b, v, c = p["last"]
    layers = tuple(pixel_cnn.GatedLayer(*each) for each in p["layers"])
    model = GatedPixelCNN(natural_order(784), (28, 28), (nn.Conv2d(w, b), nn.Conv2d(v, c)), layers)
    return repeated(train.minimise(nll, optim.adam(LEARNING_RATE)), model, p["x"])


class Block(dgm.Module):
    norms: tuple[nn.LayerNorm, nn.LayerNorm]
    attention: nn.SelfAttention
    mlp: nn.MLP

    def __call__(self, x):
        x = x + self.attention(self.norms[0](x))
        return x + self.mlp(self.norms[1](x))


def block(p: dict[str, Any]) -> Step:
    norms = tuple(nn.LayerNorm(scale, shift) for scale, shift in zip(*p["norms"], strict=True))
    attention = nn.SelfAttention(nn.Linear(*p["qkv"]), nn.Linear(*p["out"]), 4)

    def loss(model, x, rng):
        return dgm.mean(dgm.square(model(x)))

    model = Block(norms, attention, network(p["mlp"], dgm.relu))
    return repeated(train.minimise(loss, optim.adam(LEARNING_RATE)), model, p["x"])


def mlp(p: dict[str, Any]) -> Step:
    def loss(model, x, rng):
        return dgm.mean(dgm.square(model(x)))

    return repeated(train.minimise(loss, optim.adam(LEARNING_RATE)), network(p["weights"], dgm.tanh), p["x"])
