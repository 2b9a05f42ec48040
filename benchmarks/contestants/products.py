"""The matrix products of each step and nothing else: what the processor and its BLAS leave to be gained at most."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np

Step = Callable[[], float]
Product = tuple[np.ndarray, np.ndarray, np.ndarray]  # of the first two, into the third


def network(weights: list[np.ndarray], n: int) -> tuple[list[Product], list[Product], list[Product]]:
    """Products of the forward pass, of the pass back to the input, and of the weights' gradients; layer by layer."""
    sizes = [weights[0].shape[0], *[w.shape[1] for w in weights[::2]]]
    values = [np.ones((n, size), "float32") for size in sizes]
    forward, back, slopes = [], [], []
    for (below, above), w in zip(pairwise(values), weights[::2], strict=True):
        forward.append((below, w, np.empty_like(above)))
        back.append((above, w.T, np.empty_like(below)))
        slopes.append((below.T, above, np.empty_like(w)))
    return forward, back, slopes


def repeated(products: list[Product]) -> Step:
    kept = [(a, b, out) for a, b, out in products if a.shape[1] > 1]  # a column by a row is no work for BLAS

    def once() -> float:
        for a, b, out in kept:
            np.matmul(a, b, out)
        return float("nan")

    return once


def game(p: dict[str, Any]) -> list[Product]:
    n = len(p["x"])
    (g, g_back, g_slopes), (d, d_back, d_slopes) = network(p["G"], n), network(p["D"], n)
    for_d = g + 2 * (d + d_back[1:] + d_slopes)
    return for_d + d + d_back + g_back[1:] + g_slopes


def gan(p: dict[str, Any]) -> Step:
    return repeated(game(p))


def games(p: dict[str, Any]) -> Step:
    each = [{"G": [w[i] for w in p["G"]], "D": [w[i] for w in p["D"]], "x": p["x"][i]} for i in range(len(p["x"]))]
    return repeated([product for one in each for product in game(one)])


def wgan_gp(p: dict[str, Any]) -> Step:
    forward, back, slopes = network(p["D"], len(p["x"]))
    penalty = forward[:-1] + back + 2 * slopes[:-1] + forward[1:-1] + back[1:-1]  # the gradient of a gradient's norm
    return repeated(2 * (forward + back[1:] + slopes) + penalty)


def vae(p: dict[str, Any]) -> Step:
    n = len(p["x"])
    (e, e_back, e_slopes), (d, d_back, d_slopes) = network(p["encoder"], n), network(p["decoder"], n)
    return repeated(e + d + d_back + d_slopes + e_back[1:] + e_slopes)


def rbm(p: dict[str, Any]) -> Step:
    v, W = p["x"], p["W"]
    (up,), (down,), (slope,) = network([W, np.empty(0)], len(v))
    return repeated([up, down, up, slope, slope])


def sentence(p: dict[str, Any]) -> Step:
    words = len(np.unique(p["x"]))  # each meets the filters once
    (up,), (down,), (slope,) = network([p["filters"].reshape(300, 1200), np.empty(0)], words)
    return repeated([up, down, slope])
