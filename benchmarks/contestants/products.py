"""The matrix products of each step and nothing else: what the processor and its BLAS leave to be gained at most."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np

from ..problems import pixel_masks

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


def iwae(p: dict[str, Any]) -> Step:
    k, n, _ = p["eps"].shape
    (e, e_back, e_slopes), (d, d_back, d_slopes) = network(p["encoder"], n), network(p["decoder"], k * n)
    return repeated(e + d + d_back + d_slopes + e_back[1:] + e_slopes)


def rbm(p: dict[str, Any]) -> Step:
    v, W = p["x"], p["W"]
    (up,), (down,), (slope,) = network([W, np.empty(0)], len(v))
    return repeated([up, down, up, slope, slope])


def sentence(p: dict[str, Any]) -> Step:
    words = len(np.unique(p["x"]))  # each meets the filters once
    (up,), (down,), (slope,) = network([p["filters"].reshape(300, 1200), np.empty(0)], words)
    return repeated([up, down, slope])


def made(p: dict[str, Any]) -> Step:
    forward, back, slopes = network(p["layers"], len(p["x"]))
    (direct,), _, (slope,) = network([p["direct"], np.empty(0)], len(p["x"]))
    return repeated([*forward, *back[1:], *slopes, direct, slope])


def _pixels(p: dict[str, Any], places: list[int], taps: list[int], turned: list[bool]) -> Step:
    """All taps of a window side by side, one product for each example: (out, in taps) by (in taps, places)."""
    products: list[Product] = []
    for i, (w, n, t, flipped) in enumerate(zip(p["filters"], places, taps, turned, strict=True)):
        outer, inner = w.shape[:2]
        matrix, columns, y = (np.ones(shape, "float32") for shape in [(outer, inner * t), (inner * t, n), (outer, n)])
        to_y, to_columns = (matrix, columns, np.empty_like(y)), (matrix.T, y, np.empty_like(columns))
        to_weights = y, columns.T, np.empty_like(matrix)
        forward, back = (to_columns, to_y) if flipped else (to_y, to_columns)
        products += len(p["x"]) * [forward, to_weights, *([back] if i else [])]
    return repeated(products)


def conv(p: dict[str, Any]) -> Step:
    return _pixels(p, [784] * 5, [w.shape[2] ** 2 for w in p["filters"]], [False] * 5)


def conv_masked(p: dict[str, Any]) -> Step:
    return _pixels(p, [784] * 5, [int(mask.sum()) for mask in pixel_masks(p["filters"])], [False] * 5)


def conv_down(p: dict[str, Any]) -> Step:
    return _pixels(p, [196, 49, 49, 196], [16] * 4, [False, False, True, True])


def gated(p: dict[str, Any]) -> Step:
    products: list[Product] = []
    for k, (vertical, horizontal, link, out, _) in enumerate(p["layers"]):
        for w in (vertical, horizontal, link, out):
            rows, taps = w.shape[0], w[0].size
            matrix, columns, y = (np.ones(shape, "float32") for shape in [(rows, taps), (taps, 784), (rows, 784)])
            parts = [(matrix, columns, np.empty_like(y)), (y, columns.T, np.empty_like(matrix))]
            parts += [(matrix.T, y, np.empty_like(columns))] if k or w.ndim == 2 else []
            products += len(p["x"]) * parts
    return repeated(products)


def block(p: dict[str, Any]) -> Step:
    rows = p["x"].shape[0] * p["x"].shape[1]
    nets = [network([p["qkv"][0], np.empty(0)], rows), network([p["out"][0], np.empty(0)], rows), network(p["mlp"], rows)]
    dense = [product for parts in nets for part in parts for product in part]
    part, scores = np.ones((128, 64, 16), "float32"), np.ones((128, 64, 64), "float32")  # of each head of each example
    to_scores = part, part.transpose(0, 2, 1), np.empty_like(scores)
    to_part = scores, part, np.empty_like(part)
    return repeated(dense + 2 * [to_scores] + 4 * [to_part])
