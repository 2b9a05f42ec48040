"""HIPS autograd, as its users write it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import autograd.numpy as anp
import numpy as np
from autograd import grad, value_and_grad

from .functional import Losses, mlp

Step = Callable[[], float]
L = Losses(anp, grad)


def start(weights: Any) -> Any:
    return 0.0, [np.zeros_like(w) for w in weights], [np.zeros_like(w) for w in weights]


def training(loss: Any, weights: Any, *data: Any) -> Step:
    both = value_and_grad(loss)
    kept = [weights, start(weights)]

    def once() -> float:
        value, slopes = both(kept[0], *data)
        kept[:] = L.adam(kept[0], slopes, kept[1])
        return float(value)

    return once


def gan(p: dict[str, Any]) -> Step:
    kept = [p["G"], start(p["G"]), p["D"], start(p["D"])]
    d_loss, g_slope = value_and_grad(L.discriminator), grad(L.generator)

    def once() -> float:
        G, g_state, D, d_state = kept
        value, slopes = d_loss(D, p["x"], mlp(G, p["z"], L.relu))
        D, d_state = L.adam(D, slopes, d_state)
        kept[:] = [*L.adam(G, g_slope(G, D, p["z"]), g_state), D, d_state]
        return float(value)

    return once


games = gan


def wgan_gp(p: dict[str, Any]) -> Step:
    both = value_and_grad(L.wgan_gp)
    return lambda: float(both(p["D"], p["x"], p["fake"], p["u"])[0])


def planar(p: dict[str, Any]) -> Step:
    return training(L.planar, [p[name] for name in "vwb"], p["z"])


def vae(p: dict[str, Any]) -> Step:
    return training(L.vae, [*p["encoder"], *p["decoder"]], p["x"], p["eps"])


def iwae(p: dict[str, Any]) -> Step:
    return training(L.iwae, [*p["encoder"], *p["decoder"]], p["x"], p["eps"])
