"""The steps as pure functions of arrays, in whichever NumPy-like namespace: shared by JAX and HIPS autograd."""

from __future__ import annotations

import math
from typing import Any

from ..problems import LEARNING_RATE, RBM_RATE, K


def mlp(weights: Any, x: Any, activation: Any) -> Any:
    for w, b in zip(weights[:-2:2], weights[1:-2:2], strict=True):
        x = activation(x @ w + row(b))
    return x @ weights[-2] + row(weights[-1])


def row(b: Any) -> Any:
    """Of networks side by side, biases (5, out), to each its own."""
    return b if b.ndim == 1 else b[:, None, :]


class Losses:
    """Losses in ``np``: ``jax.numpy`` or ``autograd.numpy``."""

    def __init__(self, np: Any, grad: Any) -> None:
        self.np, self.grad = np, grad

    def relu(self, x: Any) -> Any:
        return self.np.maximum(x, 0.0)

    def softplus(self, x: Any) -> Any:
        return self.np.maximum(x, 0.0) + self.np.log1p(self.np.exp(-self.np.abs(x)))

    def discriminator(self, D: Any, x: Any, fake: Any) -> Any:
        np = self.np
        return np.mean(self.softplus(-mlp(D, x, self.relu))) + np.mean(self.softplus(mlp(D, fake, self.relu)))

    def generator(self, G: Any, D: Any, z: Any) -> Any:
        return self.np.mean(self.softplus(-mlp(D, mlp(G, z, self.relu), self.relu)))

    def wgan_gp(self, D: Any, x: Any, fake: Any, u: Any) -> Any:
        np = self.np
        slope = self.grad(lambda x: np.sum(mlp(D, x, np.tanh)))(u * x + (1.0 - u) * fake)
        penalty = np.mean((np.sqrt(np.sum(slope * slope, axis=1)) - 1.0) ** 2)
        return np.mean(mlp(D, fake, np.tanh)) - np.mean(mlp(D, x, np.tanh)) + 10.0 * penalty

    def planar(self, flow: Any, z: Any, rows: bool = False) -> Any:
        """With ``rows``, w_k' z_(k-1) from w_k' z_0 and what earlier maps add to it; else from point to point."""
        np = self.np
        V, W, B = flow
        wv = np.sum(V * W, axis=1)
        s = self.softplus(wv + math.log(math.e - 1.0))
        U = V + ((s - 1.0 - wv) / (np.sum(W * W, axis=1) + 1e-30))[:, None] * W
        ts = []
        if rows:
            a, A = np.dot(W, z.T) + B[:, None], np.dot(W, U.T)
            for k in range(K):
                ts.append(np.tanh(a[k] + np.dot(A[k, :k], np.stack(ts)) if k else a[k]))
            z = z + np.dot(np.stack(ts).T, U)
        else:
            for k in range(K):
                ts.append(np.tanh(np.dot(z, W[k]) + B[k]))
                z = z + ts[k][:, None] * U[k]
        t = np.stack(ts)
        log_det = np.sum(np.log(t * t + s[:, None] * (1.0 - t * t)), axis=0)
        radius = np.sqrt(np.sum(z * z, axis=1))
        side = np.exp(-0.5 * ((z[:, 0] - 2.0) / 0.6) ** 2) + np.exp(-0.5 * ((z[:, 0] + 2.0) / 0.6) ** 2)
        return np.mean(0.5 * ((radius - 2.0) / 0.4) ** 2 - np.log(side + 1e-6) - log_det)

    def planar_rows(self, flow: Any, z: Any) -> Any:
        return self.planar(flow, z, rows=True)

    def vae(self, weights: Any, x: Any, eps: Any) -> Any:
        np = self.np
        encoder, decoder = weights[:4], weights[4:]
        out = mlp(encoder, x, self.relu)
        mu, log_sigma = out[:, :20], out[:, 20:]
        sigma = np.exp(log_sigma)
        logits = mlp(decoder, mu + sigma * eps, self.relu)
        kl = np.sum(0.5 * (sigma * sigma + mu * mu - 1.0) - log_sigma, axis=1)
        return np.mean(np.sum(self.softplus(logits) - x * logits, axis=1) + kl)

    def iwae(self, weights: Any, x: Any, eps: Any) -> Any:
        np, (k, n, d) = self.np, eps.shape
        out = mlp(weights[:6], x, np.tanh)
        mu, log_sigma = out[:, :d], out[:, d:]
        z = mu + np.exp(log_sigma) * eps
        logits = mlp(weights[6:], z.reshape(k * n, d), np.tanh).reshape(k, n, -1)
        log_q = -np.sum(0.5 * eps * eps, axis=2) - np.sum(log_sigma, axis=1)  # and prior, but for what both have
        log_w = np.sum(x * logits - self.softplus(logits), axis=2) - np.sum(0.5 * z * z, axis=2) - log_q
        most = np.max(log_w, axis=0)
        return -np.mean(most + np.log(np.mean(np.exp(log_w - most), axis=0)))

    def mlp(self, weights: Any, x: Any) -> Any:
        return self.np.mean(self.np.square(mlp(weights, x, self.np.tanh)))

    def rbm(self, W: Any, a: Any, b: Any, v: Any, uh: Any, uv: Any) -> Any:
        np = self.np

        def sigmoid(x: Any) -> Any:
            return 1.0 / (1.0 + np.exp(-x))

        h = sigmoid(v @ W + b)
        v1 = (uv < sigmoid((uh < h).astype("float32") @ W.T + a)).astype("float32")
        h1 = sigmoid(v1 @ W + b)
        rate = RBM_RATE / v.shape[0]
        W = W + rate * (v.T @ h - v1.T @ h1)
        return W, a + rate * np.sum(v - v1, axis=0), b + rate * np.sum(h - h1, axis=0), np.mean((v - v1) ** 2)

    def adam(self, weights: Any, slopes: Any, state: Any) -> Any:
        """State: (t, [m], [v])."""
        t, m, v = state
        t = t + 1.0
        m = [0.9 * a + 0.1 * g for a, g in zip(m, slopes, strict=True)]
        v = [0.999 * a + 0.001 * g * g for a, g in zip(v, slopes, strict=True)]
        size, scale = LEARNING_RATE / (1.0 - 0.9**t), (1.0 - 0.999**t) ** -0.5
        new = [w - size * a / (scale * self.np.sqrt(b) + 1e-8) for w, a, b in zip(weights, m, v, strict=True)]
        return new, (t, m, v)
