"""PyTorch, eager, one thread, its own Adam; where ``BENCHMARK_DEVICE`` says "cuda", on a GPU."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch.nn.functional import (
    binary_cross_entropy_with_logits,
    conv1d,
    conv2d,
    conv_transpose2d,
    cross_entropy,
    embedding,
    layer_norm,
    linear,
    pad,
    scaled_dot_product_attention,
    softplus,
)

from ..problems import LEARNING_RATE, RBM_RATE, made_masks, pixel_masks

torch.set_num_threads(1)
torch.backends.cudnn.allow_tf32 = False  # all 24 bits, as the others
DEVICE = os.environ.get("BENCHMARK_DEVICE", "cpu")
Step = Callable[[], float]


def tensor(a: Any) -> Any:
    return torch.from_numpy(a).to(DEVICE)


def leaves(arrays: Any) -> list[Any]:
    return [tensor(a.copy()).requires_grad_() for a in arrays]


def layer(b: Any, x: Any, w: Any) -> Any:
    return torch.addmm(b, x, w) if x.ndim == 2 else torch.baddbmm(b[:, None, :], x, w)


def network(weights: list[Any], x: Any, activation: Any) -> Any:
    for w, b in zip(weights[:-2:2], weights[1:-2:2], strict=True):
        x = activation(layer(b, x, w))
    return layer(weights[-1], x, weights[-2])


def adam(weights: list[Any]) -> Any:
    return torch.optim.Adam(weights, lr=LEARNING_RATE)


def gan(p: dict[str, Any]) -> Step:
    G, D = leaves(p["G"]), leaves(p["D"])
    x, z, g_opt, d_opt = tensor(p["x"]), tensor(p["z"]), adam(G), adam(D)

    def step() -> float:
        with torch.no_grad():
            fake = network(G, z, torch.relu)
        loss = softplus(-network(D, x, torch.relu)).mean() + softplus(network(D, fake, torch.relu)).mean()
        d_opt.zero_grad()
        loss.backward()
        d_opt.step()
        g_opt.zero_grad()
        for w in D:
            w.requires_grad_(False)
        softplus(-network(D, network(G, z, torch.relu), torch.relu)).mean().backward()
        for w in D:
            w.requires_grad_(True)
        g_opt.step()
        return loss.item()

    return step


games = gan


def wgan_gp(p: dict[str, Any]) -> Step:
    D = leaves(p["D"])
    x, fake, u = (tensor(p[name]) for name in ("x", "fake", "u"))

    def step() -> float:
        between = (u * x + (1 - u) * fake).requires_grad_()
        (slope,) = torch.autograd.grad(network(D, between, torch.tanh).sum(), between, create_graph=True)
        penalty = (slope.norm(dim=1) - 1).square().mean()
        loss = network(D, fake, torch.tanh).mean() - network(D, x, torch.tanh).mean() + 10 * penalty
        torch.autograd.grad(loss, D[:-1])  # the last bias cancels
        return loss.item()

    return step


def planar(p: dict[str, Any]) -> Step:
    v, w, b = leaves([p[name] for name in "vwb"])
    z0, opt = tensor(p["z"]), adam([v, w, b])

    def step() -> float:
        wv = (v * w).sum(dim=1)
        s = softplus(wv + math.log(math.e - 1))
        u = v + ((s - 1 - wv) / (w.square().sum(dim=1) + 1e-30))[:, None] * w
        z, ts = z0, []
        for u_k, w_k, b_k in zip(u.unbind(), w.unbind(), b.unbind(), strict=True):
            ts.append(torch.tanh(z @ w_k + b_k))
            z = z + ts[-1][:, None] * u_k
        t = torch.stack(ts)
        log_det = torch.log(t * t + s[:, None] * (1 - t * t)).sum(dim=0)
        radius = z.square().sum(dim=1).sqrt()
        side = torch.exp(-0.5 * ((z[:, 0] - 2) / 0.6).square()) + torch.exp(-0.5 * ((z[:, 0] + 2) / 0.6).square())
        loss = (0.5 * ((radius - 2) / 0.4).square() - torch.log(side + 1e-6) - log_det).mean()
        opt.zero_grad()
        loss.backward()
        opt.step()
        return loss.item()

    return step


def vae(p: dict[str, Any]) -> Step:
    encoder, decoder = leaves(p["encoder"]), leaves(p["decoder"])
    x, eps, opt = tensor(p["x"]), tensor(p["eps"]), adam([*encoder, *decoder])

    def step() -> float:
        mu, log_sigma = network(encoder, x, torch.relu).chunk(2, dim=1)
        sigma = log_sigma.exp()
        logits = network(decoder, mu + sigma * eps, torch.relu)
        kl = (0.5 * (sigma * sigma + mu * mu - 1) - log_sigma).sum(dim=1)
        loss = (binary_cross_entropy_with_logits(logits, x, reduction="none").sum(dim=1) + kl).mean()
        opt.zero_grad()
        loss.backward()
        opt.step()
        return loss.item()

    return step


def iwae(p: dict[str, Any]) -> Step:
    encoder, decoder = leaves(p["encoder"]), leaves(p["decoder"])
    x, eps, opt = tensor(p["x"]), tensor(p["eps"]), adam([*encoder, *decoder])
    k, n, d = eps.shape

    def step() -> float:
        mu, log_sigma = network(encoder, x, torch.tanh).chunk(2, dim=1)
        z = mu + log_sigma.exp() * eps
        logits = network(decoder, z.reshape(k * n, d), torch.tanh).reshape(k, n, -1)
        log_x = -binary_cross_entropy_with_logits(logits, x.expand_as(logits), reduction="none").sum(dim=2)
        log_w = log_x - 0.5 * (z * z).sum(dim=2) + 0.5 * (eps * eps).sum(dim=2) + log_sigma.sum(dim=1)
        loss = -(torch.logsumexp(log_w, dim=0) - math.log(k)).mean()
        opt.zero_grad()
        loss.backward()
        opt.step()
        return loss.item()

    return step


def rbm(p: dict[str, Any]) -> Step:
    W, a, b, v, uh, uv = (tensor(p[name].copy()) for name in ("W", "a", "b", "x", "uh", "uv"))

    @torch.no_grad()
    def step() -> float:
        h = torch.sigmoid(torch.addmm(b, v, W))
        v1 = (uv < torch.sigmoid(torch.addmm(a, (uh < h).float(), W.T))).float()
        h1 = torch.sigmoid(torch.addmm(b, v1, W))
        rate = RBM_RATE / v.shape[0]
        W.add_(v.T @ h - v1.T @ h1, alpha=rate)
        a.add_((v - v1).sum(dim=0), alpha=rate)
        b.add_((h - h1).sum(dim=0), alpha=rate)
        return (v - v1).square().mean().item()

    return step


def sentence(p: dict[str, Any]) -> Step:
    table, bias, *out = leaves([p["table"], p["b"], *p["out"]])
    places = (0, 3, 7, 12)  # filters of widths 3, 4 and 5, as (100, 300, width)
    filters = leaves([p["filters"][:, a:b].transpose(2, 0, 1).copy() for a, b in pairwise(places)])
    words, labels = tensor(np.pad(p["x"], ((0, 0), (2, 2)))), tensor(p["y"])
    # Rows in use alone. This Adam adds eps before its correction of the second average, which in the first steps is 0.05.
    optimizers = [adam([bias, *out, *filters]), torch.optim.SparseAdam([table], lr=LEARNING_RATE, eps=5e-10)]
    outside = 1e9 * ((words > 0).float()[:, None, :] - 1)  # only windows around a word count

    def step() -> float:
        x, features = embedding(words, table, padding_idx=0, sparse=True).transpose(1, 2), []
        for w, b in zip(filters, bias, strict=True):
            y = conv1d(x, w)
            middle = w.shape[2] // 2
            features.append(torch.relu((y + outside[:, :, middle : middle + y.shape[2]]).amax(dim=2) + b))
        loss = cross_entropy(torch.cat(features, dim=1) @ out[0] + out[1], labels)
        for opt in optimizers:
            opt.zero_grad()
        loss.backward()
        for opt in optimizers:
            opt.step()
        return loss.item()

    return step


def made(p: dict[str, Any]) -> Step:
    W, c, V, b, A = leaves([*p["layers"], p["direct"]])
    first, last, direct = (tensor(mask) for mask in made_masks(p["m"], 784))
    x, opt = tensor(p["x"]), adam([W, c, V, b, A])

    def step() -> float:
        opt.zero_grad()
        logits = torch.addmm(b, torch.relu(torch.addmm(c, x, W * first)), V * last) + x @ (A * direct)
        loss = binary_cross_entropy_with_logits(logits, x, reduction="sum") / len(x)
        loss.backward()
        opt.step()
        return loss.item()

    return step


def _pixels(p: dict[str, Any], logits_of: Callable[..., Any]) -> Step:
    filters, biases, x = leaves(p["filters"]), leaves(p["b"]), tensor(p["x"])
    opt = adam([*filters, *biases])

    def step() -> float:
        opt.zero_grad()
        loss = binary_cross_entropy_with_logits(logits_of(x, filters, biases), x)
        loss.backward()
        opt.step()
        return loss.item()

    return step


def conv(p: dict[str, Any]) -> Step:
    def logits(x: Any, filters: list[Any], biases: list[Any]) -> Any:
        for w, b in zip(filters[:-1], biases[:-1], strict=True):
            x = torch.relu(conv2d(x, w, b, padding=w.shape[2] // 2))
        return conv2d(x, filters[-1], biases[-1])

    return _pixels(p, logits)


def conv_masked(p: dict[str, Any]) -> Step:
    masks = [tensor(mask) for mask in pixel_masks(p["filters"])]

    def logits(x: Any, filters: list[Any], biases: list[Any]) -> Any:
        ws = [w * mask for w, mask in zip(filters, masks, strict=True)]
        for w, b in zip(ws[:-1], biases[:-1], strict=True):
            x = torch.relu(conv2d(x, w, b, padding=w.shape[2] // 2))
        return conv2d(x, ws[-1], biases[-1])

    return _pixels(p, logits)


def conv_down(p: dict[str, Any]) -> Step:
    def logits(x: Any, filters: list[Any], biases: list[Any]) -> Any:
        for w, b in zip(filters[:2], biases[:2], strict=True):
            x = torch.relu(conv2d(x, w, b, stride=2, padding=1))
        x = torch.relu(conv_transpose2d(x, filters[2], biases[2], stride=2, padding=1))
        return conv_transpose2d(x, filters[3], biases[3], stride=2, padding=1)

    return _pixels(p, logits)


def _gate(a: Any) -> Any:
    return torch.tanh(a[:, :32]) * torch.sigmoid(a[:, 32:])


def gated_logits(layers: list[Any], last: list[Any], x: Any) -> Any:
    v = h = x
    for vertical, horizontal, link, out, bias in layers:
        r, side = vertical.shape[2] - 1, horizontal.shape[3]
        a = conv2d(pad(v, (r, r, r, 0)), vertical, bias[0].flatten())
        down = pad(a, (0, 0, 1, 0))[:, :, :-1]
        row = conv2d(pad(h, (r, 0, 0, 0))[:, :, :, : 27 + side], horizontal, bias[1].flatten())
        new = conv2d(_gate(row + conv2d(down, link[:, :, None, None])), out[:, :, None, None])
        v, h = (_gate(a), new) if side == r else (v + _gate(a), h + new)
    return conv2d(torch.relu(conv2d(torch.relu(h), last[0], last[1])), last[2], last[3])


def gated(p: dict[str, Any]) -> Step:
    layers, last, x = [leaves(each) for each in p["layers"]], leaves(p["last"]), tensor(p["x"]).reshape(-1, 1, 28, 28)
    opt = adam([w for each in layers for w in each] + last)

    def step() -> float:
        opt.zero_grad()
        loss = binary_cross_entropy_with_logits(gated_logits(layers, last, x), x, reduction="sum") / len(x)
        loss.backward()
        opt.step()
        return loss.item()

    return step


def block(p: dict[str, Any]) -> Step:
    qkv, out, weights, x = leaves(p["qkv"]), leaves(p["out"]), leaves(p["mlp"]), tensor(p["x"])
    scales, shifts = zip(*[leaves(pair) for pair in zip(*p["norms"], strict=True)], strict=True)
    opt = adam([*qkv, *out, *weights, *scales, *shifts])

    def step() -> float:
        opt.zero_grad()
        parts = linear(layer_norm(x, (64,), scales[0], shifts[0]), qkv[0].T, qkv[1]).reshape(32, 64, 3, 4, 16)
        q, k, v = parts.permute(2, 0, 3, 1, 4)
        answers = scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(32, 64, 64)
        y = x + linear(answers, out[0].T, out[1])
        inside = layer_norm(y, (64,), scales[1], shifts[1]).reshape(-1, 64)
        loss = (y + network(weights, inside, torch.relu).reshape(32, 64, 64)).square().mean()
        loss.backward()
        opt.step()
        return loss.item()

    return step


def mlp(p: dict[str, Any]) -> Step:
    weights, x = leaves(p["weights"]), tensor(p["x"])
    opt = adam(weights)

    def step() -> float:
        opt.zero_grad()
        loss = network(weights, x, torch.tanh).square().mean()
        loss.backward()
        opt.step()
        return loss.item()

    return step
