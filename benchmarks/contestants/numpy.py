"""NumPy with the derivatives derived by hand and the buffers reused: what a patient expert writes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..problems import LEARNING_RATE, RBM_RATE

Step = Callable[[], float]


class Adam:
    def __init__(self, weights: list[np.ndarray]) -> None:
        self.weights, self.t = weights, 0
        self.m, self.v = [np.zeros_like(w) for w in weights], [np.zeros_like(w) for w in weights]
        self.a, self.b = [np.empty_like(w) for w in weights], [np.empty_like(w) for w in weights]

    def step(self, slopes: list[np.ndarray]) -> None:
        self.t += 1
        size, scale = LEARNING_RATE / (1 - 0.9**self.t), (1 - 0.999**self.t) ** -0.5
        for w, g, m, v, a, b in zip(self.weights, slopes, self.m, self.v, self.a, self.b, strict=True):
            m *= 0.9
            np.multiply(g, 0.1, out=a)
            m += a
            v *= 0.999
            np.multiply(g, g, out=a)
            a *= 0.001
            v += a
            np.sqrt(v, out=b)
            b *= scale
            b += 1e-8
            np.multiply(m, size, out=a)
            a /= b
            w -= a


class Network:
    """Two hidden relu layers (or one), forwards and backwards into buffers that stay."""

    def __init__(self, weights: list[np.ndarray], n: int) -> None:
        self.weights = weights
        self.z = [np.empty((n, w.shape[1]), "float32") for w in weights[::2]]
        self.h = [np.empty_like(z) for z in self.z]
        self.mask = [np.empty(z.shape, "float32") for z in self.z]
        self.d = [np.empty_like(z) for z in self.z]
        self.slopes = [np.empty_like(w) for w in weights]
        self.ones = np.ones(n, "float32")
        self.zero = [np.zeros_like(z) for z in self.z]

    def forward(self, x: np.ndarray) -> np.ndarray:
        self.x = x
        last = len(self.z) - 1
        for i, (w, b) in enumerate(zip(self.weights[::2], self.weights[1::2], strict=True)):
            np.matmul(x, w, out=self.z[i])
            self.z[i] += b
            x = self.z[i] if i == last else np.maximum(self.z[i], self.zero[i], out=self.h[i])
        return x

    def backward(self, g: np.ndarray, weights: bool = True, into: np.ndarray | None = None) -> np.ndarray | None:
        for i in range(len(self.z) - 1, -1, -1):
            below = self.h[i - 1] if i else self.x
            if weights:
                np.matmul(below.T, g, out=self.slopes[2 * i])
                np.matmul(self.ones, g, out=self.slopes[2 * i + 1])
            if i == 0:
                return None if into is None else np.matmul(g, self.weights[0].T, out=into)
            d = np.matmul(g, self.weights[2 * i].T, out=self.d[i - 1])
            np.greater(self.z[i - 1], 0, out=self.mask[i - 1], casting="unsafe")
            d *= self.mask[i - 1]
            g = d
        return None


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def softplus_mean(x: np.ndarray) -> float:
    return float((np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))).mean())


def gan(p: dict[str, Any]) -> Step:
    x, z = p["x"], p["z"]
    n = len(x)
    G, real, fake = Network(p["G"], n), Network(p["D"], n), Network(p["D"], n)
    g_opt, d_opt, to_x = Adam(p["G"]), Adam(p["D"]), np.empty_like(x)

    def step() -> float:
        a, b = real.forward(x), fake.forward(G.forward(z))
        loss = softplus_mean(-a) + softplus_mean(b)
        real.backward(-sigmoid(-a) / n)
        fake.backward(sigmoid(b) / n)
        for s, t in zip(real.slopes, fake.slopes, strict=True):
            s += t
        d_opt.step(real.slopes)
        b = fake.forward(G.z[-1])
        fake.backward(-sigmoid(-b) / n, weights=False, into=to_x)
        G.backward(to_x)
        g_opt.step(G.slopes)
        return loss

    return step


def vae(p: dict[str, Any]) -> Step:
    x, eps = p["x"], p["eps"]
    n = len(x)
    encoder, decoder = Network(p["encoder"], n), Network(p["decoder"], n)
    opt, to_z, g_out = Adam([*p["encoder"], *p["decoder"]]), np.empty_like(eps), np.empty((n, 40), "float32")
    small, part = np.empty((n, 784), "float32"), np.empty((n, 784), "float32")

    def step() -> float:
        nonlocal small, part
        out = encoder.forward(x)
        mu, log_sigma = out[:, :20], out[:, 20:]
        sigma = np.exp(log_sigma)
        logits = decoder.forward(mu + sigma * eps)
        np.abs(logits, out=small)
        np.negative(small, out=small)
        np.exp(small, out=small)
        np.log1p(small, out=part)
        part += np.maximum(logits, decoder.zero[-1])
        part -= x * logits
        kl = 0.5 * (sigma * sigma + mu * mu - 1) - log_sigma
        loss = float(part.sum() + kl.sum()) / n
        np.minimum(logits, decoder.zero[-1], out=part)
        np.exp(part, out=part)
        small += 1
        part /= small  # sigmoid
        part -= x
        part /= n
        decoder.backward(part, into=to_z)
        g_out[:, :20] = to_z + mu / n
        g_out[:, 20:] = to_z * sigma * eps + (sigma * sigma - 1) / n
        encoder.backward(g_out)
        opt.step([*encoder.slopes, *decoder.slopes])
        return loss

    return step


def rbm(p: dict[str, Any]) -> Step:
    W, a, b, v, uh, uv = (p[name] for name in ("W", "a", "b", "x", "uh", "uv"))
    n = len(v)
    h, h1, s = (np.empty((n, 500), "float32") for _ in range(3))
    v1, up, down = np.empty_like(v), np.empty_like(W), np.empty_like(W)
    ones = np.ones(n, "float32")

    def logistic(x: np.ndarray) -> np.ndarray:
        np.negative(x, out=x)
        np.exp(x, out=x)
        x += 1
        return np.divide(1, x, out=x)

    def step() -> float:
        np.matmul(v, W, out=h)
        np.add(h, b, out=h)
        logistic(h)
        np.less(uh, h, out=s, casting="unsafe")
        np.matmul(s, W.T, out=v1)
        np.add(v1, a, out=v1)
        np.less(uv, logistic(v1), out=v1, casting="unsafe")
        np.matmul(v1, W, out=h1)
        np.add(h1, b, out=h1)
        logistic(h1)
        np.matmul(v.T, h, out=up)
        np.matmul(v1.T, h1, out=down)
        rate = RBM_RATE / n
        np.subtract(up, down, out=up)
        np.multiply(up, rate, out=up)
        np.add(W, up, out=W)
        np.add(a, rate * (ones @ (v - v1)), out=a)
        np.add(b, rate * (ones @ (h - h1)), out=b)
        return float(np.square(v - v1).mean())

    return step
