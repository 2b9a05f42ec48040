"""JAX, each step under one jit, on one CPU thread (the child process is pinned to a core)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

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


def vae(p: dict[str, Any]) -> Step:
    return training(L.vae, [*p["encoder"], *p["decoder"]], jnp.asarray(p["x"]), jnp.asarray(p["eps"]))


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
