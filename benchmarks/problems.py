"""The training steps that contestants are timed on: start values, data and noise, the same for all.

One more, ``mlp-DEPTH-WIDTH-BATCH``, shows how cost grows: ``DEPTH`` layers with tanh between them, mean square, Adam. Every
contestant module has functions of these names, ``gan(p)`` ..., that take the problem and return a function which makes
one step and returns its loss as a float. Noise is drawn here once: drawing is nobody's cost, and losses must agree.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

# "planar_rows": the same flow, with all maps in the form that pydgm computes it in
STEPS = (
    "gan",
    "games",
    "wgan_gp",
    "planar",
    "planar_rows",
    "vae",
    "iwae",
    "rbm",
    "sentence",
    "made",
    "conv",
    "conv_masked",
    "conv_down",
    "gated",
    "block",
)
GAMES = (2, 32, 32, 2), (2, 64, 64, 1)  # generators and discriminators of the lesson on mode collapse
_NET = [(32, 1, 7, 7), *3 * [(32, 32, 3, 3)], (1, 32, 1, 1)]
WINDOWS = {"conv": _NET, "conv_masked": _NET, "conv_down": [(32, 1, 4, 4), (64, 32, 4, 4), (64, 32, 4, 4), (32, 1, 4, 4)]}
CHANNELS = {"conv": [32, 32, 32, 32, 1], "conv_masked": [32, 32, 32, 32, 1], "conv_down": [32, 64, 32, 1]}
K = 16  # planar transformations
LEARNING_RATE = 1e-3
RBM_RATE = 0.05


def _mlp(rng: np.random.Generator, *sizes: int) -> list[np.ndarray]:
    """[W1, b1, W2, b2, ...], Glorot-uniform weights."""
    arrays: list[np.ndarray] = []
    for n, m in pairwise(sizes):
        a = np.sqrt(6.0 / (n + m))
        arrays += [rng.uniform(-a, a, (n, m)).astype("float32"), np.zeros(m, "float32")]
    return arrays


def pixel_masks(filters: list[np.ndarray]) -> list[np.ndarray]:
    """PixelCNN's, (k, k): in raster order what comes before a pixel, and from the second layer on the pixel itself."""
    masks = []
    for i, w in enumerate(filters):
        k = w.shape[2]
        masks.append((np.arange(k * k).reshape(k, k) < k * k // 2 + (i > 0)).astype("float32"))
    return masks


def made_masks(degrees: np.ndarray, n: int) -> list[np.ndarray]:
    """MADE's, for pixels in raster order: of the first layer, the last, and the direct weights."""
    place = np.arange(1, n + 1)
    masks = place[:, None] <= degrees, degrees[:, None] < place, place[:, None] < place
    return [mask.astype("float32") for mask in masks]


def problem(name: str) -> dict[str, Any]:
    """Fresh arrays each time: contestants may update them in place."""
    rng = np.random.default_rng(0)

    def normal(*shape: int) -> np.ndarray:
        return rng.standard_normal(shape, dtype="float32")

    if name == "gan":
        return {"G": _mlp(rng, 2, 128, 128, 2), "D": _mlp(rng, 2, 128, 128, 1), "x": normal(256, 2) + 2.0, "z": normal(256, 2)}
    if name == "games":  # five side by side: weights (5, in, out), biases (5, out)
        G, D = ([np.stack(w) for w in zip(*(_mlp(rng, *sizes) for _ in range(5)), strict=True)] for sizes in GAMES)
        return {"G": G, "D": D, "x": normal(5, 128, 2) + 2.0, "z": normal(5, 128, 2)}
    if name == "wgan_gp":
        u = rng.random((256, 1), dtype="float32")
        return {"D": _mlp(rng, 2, 128, 128, 1), "x": normal(256, 2) + 2.0, "fake": normal(256, 2), "u": u}
    if name in ("planar", "planar_rows"):
        return {"v": 0.1 * normal(K, 2), "w": normal(K, 2), "b": np.zeros(K, "float32"), "z": normal(512, 2)}
    if name == "vae":
        x = (rng.random((128, 784)) < 0.13).astype("float32")
        return {"encoder": _mlp(rng, 784, 400, 40), "decoder": _mlp(rng, 20, 400, 784), "x": x, "eps": normal(128, 20)}
    if name == "iwae":  # the published network; 50 guesses for each image
        x = (rng.random((20, 784)) < 0.13).astype("float32")
        networks = {"encoder": _mlp(rng, 784, 200, 200, 100), "decoder": _mlp(rng, 50, 200, 200, 784)}
        return {**networks, "x": x, "eps": normal(50, 20, 50)}
    if name == "rbm":
        x = (rng.random((100, 784)) < 0.13).astype("float32")
        noise = {"uh": rng.random((100, 500), dtype="float32"), "uv": rng.random((100, 784), dtype="float32")}
        return {"W": 0.01 * normal(784, 500), "a": np.zeros(784, "float32"), "b": np.zeros(500, "float32"), "x": x, **noise}
    if name == "sentence":
        table = 0.5 * rng.random((16_000, 300), dtype="float32") - 0.25
        table[0] = 0.0  # no word
        words = (2 + 15_998 * rng.random((50, 24)) ** 4).astype(int)  # three in four differ, as in a batch of SST2
        words[::3, 16:] = 0
        filters = 0.1 * (rng.random((300, 12, 100), dtype="float32") - 0.5)
        out = 0.1 * normal(300, 2), np.zeros(2, "float32")
        labels = rng.integers(0, 2, 50)
        return {"table": table, "filters": filters, "b": np.zeros((3, 100), "float32"), "out": out, "x": words, "y": labels}
    if name == "made":
        x = (rng.random((100, 784)) < 0.13).astype("float32")
        return {
            "layers": _mlp(rng, 784, 500, 784),
            "direct": np.zeros((784, 784), "float32"),
            "m": rng.integers(1, 784, 500),
            "x": x,
        }
    if name in WINDOWS:
        x = (rng.random((64, 1, 28, 28)) < 0.13).astype("float32")
        filters = [0.1 * normal(*shape) for shape in WINDOWS[name]]
        return {"filters": filters, "b": [np.zeros(n, "float32") for n in CHANNELS[name]], "x": x}
    if name == "gated":  # reach 3 in the first layer, 1 in the others; 32 channels
        sizes = [(1, 3, 3)] + 4 * [(32, 1, 2)]  # channels in, reach, pixels of the horizontal window
        parts = [[(64, n, r + 1, 2 * r + 1), (64, n, 1, side), (64, 64), (32, 32), (2, 64, 1, 1)] for n, r, side in sizes]
        last = [(32, 32, 1, 1), (32,), (1, 32, 1, 1), (1,)]
        layers = [[0.1 * normal(*shape) for shape in each] for each in parts]
        x = (rng.random((16, 784)) < 0.13).astype("float32")
        return {"layers": layers, "last": [0.1 * normal(*shape) for shape in last], "x": x}
    if name == "block":
        inside = {"qkv": _mlp(rng, 64, 192), "out": _mlp(rng, 64, 64), "mlp": _mlp(rng, 64, 256, 64)}
        return {**inside, "norms": [np.ones((2, 64), "float32"), np.zeros((2, 64), "float32")], "x": normal(32, 64, 64)}
    if name.startswith("mlp-"):
        depth, width, batch = map(int, name.split("-")[1:])
        return {"weights": _mlp(rng, *[width] * (depth + 1)), "x": normal(batch, width)}
    raise ValueError(f"no step {name!r}: there are {', '.join(STEPS)}")
