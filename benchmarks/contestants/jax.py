"""JAX, each step under one jit, on one CPU thread (the child process is pinned to a core)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from ..problems import made_masks, pixel_masks
from .functional import Losses
from .functional import mlp as network

Step = Callable[[], float]
L = Losses(jnp, jax.grad)


def start(weights: Any) -> Any:
    weights = [jnp.asarray(w) for w in weights]
    return weights, (0.0, [jnp.zeros_like(w) for w in weights], [jnp.zeros_like(w) for w in weights])


def training(loss: Any, weights: Any, *data: Any) -> Step:
    @jax.jit
    def step(weights: Any, state: Any) -> Any:
        value, slopes = jax.value_and_grad(loss)(weights, *data)
        return *L.adam(weights, slopes, state), value

    kept = list(start(weights))

    def once() -> float:
        *kept[:], value = step(*kept)
        return float(value)

    return once


def gan(p: dict[str, Any]) -> Step:
    x, z = jnp.asarray(p["x"]), jnp.asarray(p["z"])

    @jax.jit
    def step(G: Any, g_state: Any, D: Any, d_state: Any) -> Any:
        value, slopes = jax.value_and_grad(L.discriminator)(D, x, network(G, z, L.relu))
        D, d_state = L.adam(D, slopes, d_state)
        return *L.adam(G, jax.grad(L.generator)(G, D, z), g_state), D, d_state, value

    kept = [*start(p["G"]), *start(p["D"])]

    def once() -> float:
        *kept[:], value = step(*kept)
        return float(value)

    return once


games = gan


def wgan_gp(p: dict[str, Any]) -> Step:
    D, (x, fake, u) = [jnp.asarray(w) for w in p["D"]], (jnp.asarray(p[name]) for name in ("x", "fake", "u"))
    step = jax.jit(jax.value_and_grad(L.wgan_gp))

    def once() -> float:
        value, slopes = step(D, x, fake, u)
        jax.block_until_ready(slopes)
        return float(value)

    return once


def planar(p: dict[str, Any]) -> Step:
    return training(L.planar, [p[name] for name in "vwb"], jnp.asarray(p["z"]))


def planar_rows(p: dict[str, Any]) -> Step:
    return training(L.planar_rows, [p[name] for name in "vwb"], jnp.asarray(p["z"]))


def vae(p: dict[str, Any]) -> Step:
    return training(L.vae, [*p["encoder"], *p["decoder"]], jnp.asarray(p["x"]), jnp.asarray(p["eps"]))


def iwae(p: dict[str, Any]) -> Step:
    return training(L.iwae, [*p["encoder"], *p["decoder"]], jnp.asarray(p["x"]), jnp.asarray(p["eps"]))


def _convolved(x: Any, w: Any, stride: int, padding: int, turned: bool = False) -> Any:
    around, inside = [(padding, padding)] * 2, (1, 1)
    if turned:  # the adjoint of a convolution, as one
        k = w.shape[2]
        w, stride, inside = jnp.flip(w, (2, 3)).transpose(1, 0, 2, 3), 1, (stride, stride)
        around = [(k - 1 - padding, k - 1 - padding)] * 2
    return jax.lax.conv_general_dilated(x, w, (stride, stride), around, lhs_dilation=inside)


def _pixels(p: dict[str, Any], how: list[tuple[int, int, bool]], masks: list[Any]) -> Step:
    """Stride, padding and kind of each layer."""

    def loss(weights: Any, x: Any) -> Any:
        y, n = x, len(how)
        for i, (w, b, mask, layer) in enumerate(zip(weights[:n], weights[n:], masks, how, strict=True)):
            y = _convolved(y, w if mask is None else w * mask, *layer) + b[:, None, None]
            y = y if i == n - 1 else L.relu(y)
        return jnp.mean(L.softplus(y) - x * y)

    return training(loss, [*p["filters"], *p["b"]], jnp.asarray(p["x"]))


def conv(p: dict[str, Any]) -> Step:
    return _pixels(p, [(1, w.shape[2] // 2, False) for w in p["filters"]], [None] * 5)


def conv_masked(p: dict[str, Any]) -> Step:
    return _pixels(p, [(1, w.shape[2] // 2, False) for w in p["filters"]], pixel_masks(p["filters"]))


def conv_down(p: dict[str, Any]) -> Step:
    return _pixels(p, [(2, 1, turned) for turned in (False, False, True, True)], [None] * 4)


def gated(p: dict[str, Any]) -> Step:
    def around(x: Any, w: Any, padding: Any) -> Any:
        return jax.lax.conv_general_dilated(x, w, (1, 1), padding)

    def gate(a: Any) -> Any:
        return jnp.tanh(a[:, :32]) * jax.nn.sigmoid(a[:, 32:])

    def loss(weights: Any, x: Any) -> Any:
        v = h = x.reshape(-1, 1, 28, 28)
        for i in range(0, 25, 5):
            vertical, horizontal, link, out, bias = weights[i : i + 5]
            r, side = vertical.shape[2] - 1, horizontal.shape[3]
            a = around(v, vertical, [(r, 0), (r, r)]) + bias[0]
            down = jnp.pad(a, [(0, 0), (0, 0), (1, 0), (0, 0)])[:, :, :-1]
            row = around(h, horizontal, [(0, 0), (r, side - r - 1)]) + bias[1]
            new = jnp.einsum("oc,nchw->nohw", out, gate(row + jnp.einsum("oc,nchw->nohw", link, down)))
            v, h = (gate(a), new) if side == r else (v + gate(a), h + new)
        w, b, u, c = weights[25:]
        y = around(L.relu(h), w, "VALID") + b[:, None, None]
        logits = (around(L.relu(y), u, "VALID") + c[:, None, None]).reshape(x.shape)
        return jnp.mean(jnp.sum(L.softplus(logits) - x * logits, axis=1))

    return training(loss, [w for each in p["layers"] for w in each] + p["last"], jnp.asarray(p["x"]))


def _normed(x: Any, scale: Any, shift: Any) -> Any:
    away = x - x.mean(axis=-1, keepdims=True)
    return away / jnp.sqrt((away * away).mean(axis=-1, keepdims=True) + 1e-5) * scale + shift


def block(p: dict[str, Any]) -> Step:
    def loss(weights: Any, x: Any) -> Any:
        w, b, out, c, scales, shifts, *inner = weights
        parts = (_normed(x, scales[0], shifts[0]) @ w + b).reshape(32, 64, 3, 4, 16)
        q, k, v = parts.transpose(2, 0, 3, 1, 4)
        answers = jax.nn.softmax(q @ k.swapaxes(2, 3) / 4.0) @ v
        y = x + answers.transpose(0, 2, 1, 3).reshape(32, 64, 64) @ out + c
        z = y + network(inner, _normed(y, scales[1], shifts[1]).reshape(-1, 64), L.relu).reshape(32, 64, 64)
        return jnp.mean(z * z)

    return training(loss, [*p["qkv"], *p["out"], *p["norms"], *p["mlp"]], jnp.asarray(p["x"]))


def made(p: dict[str, Any]) -> Step:
    first, last, direct = (jnp.asarray(mask) for mask in made_masks(p["m"], 784))

    def loss(weights: Any, x: Any) -> Any:
        W, c, V, b, A = weights
        logits = L.relu(x @ (W * first) + c) @ (V * last) + x @ (A * direct) + b
        return jnp.mean(jnp.sum(L.softplus(logits) - x * logits, axis=1))

    return training(loss, [*p["layers"], p["direct"]], jnp.asarray(p["x"]))


def rbm(p: dict[str, Any]) -> Step:
    data = [jnp.asarray(p[name]) for name in ("x", "uh", "uv")]
    step = jax.jit(L.rbm)
    kept = [jnp.asarray(p[name]) for name in "Wab"]

    def once() -> float:
        *kept[:], value = step(*kept, *data)
        return float(value)

    return once


def mlp(p: dict[str, Any]) -> Step:
    return training(L.mlp, p["weights"], jnp.asarray(p["x"]))
