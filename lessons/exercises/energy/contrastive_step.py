r"""One step of contrastive divergence, CD-1, for $variant.

The energy is $energy.

So -log P(v) has the gradient dF/dtheta(v) - E_model[dF/dtheta]. CD-1 takes the second average where one step of Gibbs sampling
from the data leads (lecture L4, "Maximum Likelihood Learning"; Hinton 2002): from v to h to a new v, v_model. With m(v) =
E[h | v] = $mean, x = b + v'W, the gradient is

    dW = -mean(v m(v)') + mean(v_model m(v_model)'),    and so for a and b

Write E[h | v], E[v | h], and the gradient in NumPy; the update is W <- W - rate dW.
"""

import numpy as np

from pydgm.lesson.exercise import every
from pydgm.testing import arrays

VARIANTS = {
    "bits": {
        "energy": "E(v, h) = -a'v - b'h - v'W h, all units 0 or 1",
        "mean": "sigmoid(x)",
        "h": "1.0 / (1.0 + np.exp(-(b + v @ W)))",
        "v": "1.0 / (1.0 + np.exp(-(a + h @ W.T)))",
        "mean_v": lambda x: 1.0 / (1.0 + np.exp(-x)),
        "F": lambda v, W, a, b: -(v @ a) - np.logaddexp(0.0, b + v @ W).sum(axis=1),
    },
    "spins": {
        "energy": "E(v, h) = -a'v - b'h - v'W h, all units -1 or 1",
        "mean": "tanh(x)",
        "h": "np.tanh(b + v @ W)",
        "v": "np.tanh(a + h @ W.T)",
        "mean_v": lambda x: np.tanh(x),
        "F": lambda v, W, a, b: -(v @ a) - np.logaddexp(b + v @ W, -(b + v @ W)).sum(axis=1),
    },
    "numbers above bits": {
        "energy": "E(v, h) = |v - a|^2 / 2 - b'h - v'W h, v any numbers, h 0 or 1",
        "mean": "sigmoid(x)",
        "h": "1.0 / (1.0 + np.exp(-(b + v @ W)))",
        "v": "a + h @ W.T",
        "mean_v": lambda x: x,
        "F": lambda v, W, a, b: 0.5 * ((v - a) ** 2).sum(axis=1) - np.logaddexp(0.0, b + v @ W).sum(axis=1),
    },
    "bits above spins": {
        "energy": "E(v, h) = -a'v - b'h - v'W h, v -1 or 1, h 0 or 1",
        "mean": "sigmoid(x)",
        "h": "1.0 / (1.0 + np.exp(-(b + v @ W)))",
        "v": "np.tanh(a + h @ W.T)",
        "mean_v": lambda x: np.tanh(x),
        "F": lambda v, W, a, b: -(v @ a) - np.logaddexp(0.0, b + v @ W).sum(axis=1),
    },
}

SOLUTION = '''\
import numpy as np


def mean_hidden(v, W, b):
    """E[h | v] (n, H) for v (n, D), W (D, H), b (H,)."""
    #< as in the text
    return $h
    #>


def mean_visible(h, W, a):
    """E[v | h] (n, D) for h (n, H), a (D,)."""
    #< from the energy, with h held fixed
    return $v
    #>


def gradient(v, v_model, W, a, b):
    """(dW, da, db): of -log P, with v_model (m, D) in the place of the model's own states."""
    #< data minus model for each; means over the rows
    m, m_model = mean_hidden(v, W, b), mean_hidden(v_model, W, b)
    dW = v_model.T @ m_model / len(v_model) - v.T @ m / len(v)
    return dW, v_model.mean(axis=0) - v.mean(axis=0), m_model.mean(axis=0) - m.mean(axis=0)
    #>
'''

MISTAKES = {
    "the sign is turned": ("    return dW, ", "    dW = -dW\n    return dW, ", "rises where it should fall"),
    "only the data": ("v_model.T @ m_model / len(v_model) - v.T", "-v.T", "dW"),
    "sums in place of means": ("/ len(v_model) - v.T @ m / len(v)", "- v.T @ m", "dW"),
    "the hidden bias is never learned": ("m_model.mean(axis=0) - m.mean(axis=0)", "0.0 * b", "db"),
    "the visible bias is never learned": ("v_model.mean(axis=0) - v.mean(axis=0)", "0.0 * a", "da"),
    "W is not turned for the visible units": (
        "def mean_visible(h, W, a):",
        "def mean_visible(h, W, a):\n    W = -W",
        "E[v | h]",
    ),
    "the hidden bias is forgotten": ("return $h", "b = 0.0 * b\n    return $h", "E[h | v]"),
    "half of the model's part": ("v_model.T @ m_model", "0.5 * v_model.T @ m_model", "dW"),
}


def _slope(F, x, j: int, step: float = 1e-5) -> np.ndarray:
    """d mean F / d x[j] by differences, x a list of arrays."""
    slope = np.zeros_like(x[j])
    for place in np.ndindex(slope.shape):
        there, back = ([*x], [*x])
        for some, sign in ((there, 1.0), (back, -1.0)):
            some[j] = x[j].copy()
            some[j][place] += sign * step
        slope[place] = (F(*there) - F(*back)) / (2.0 * step)
    return slope


def check_hidden_units(work, v) -> None:
    """dF/db = -E[h | v]."""

    @every(arrays((1, 3)), arrays((3, 2)), arrays((3,)), arrays((2,)))
    def mean(x, W, a, b) -> None:
        exact = -_slope(lambda *p: float(v.F(x, *p)[0]), [W, a, b], 2)
        claimed = np.asarray(work.mean_hidden(x, W, b))
        assert claimed.shape == (1, 2), f"E[h | v] of one row and two units has shape {claimed.shape}"
        assert np.allclose(claimed[0], exact, atol=1e-5), (
            f"E[h | v] is {exact.round(4).tolist()}, not {claimed[0].round(4).tolist()}"
        )


def check_visible_units(work, v) -> None:

    @every(arrays((1, 2)), arrays((3, 2)), arrays((3,)))
    def mean(h, W, a) -> None:
        claimed, x = np.asarray(work.mean_visible(h, W, a)), a + h @ W.T
        assert claimed.shape == (1, 3), f"E[v | h] of three units has shape {claimed.shape}"
        exact = v.mean_v(x)
        assert np.allclose(claimed, exact), f"E[v | h] is {exact.round(4).tolist()}, not {claimed.round(4).tolist()}"


def check_the_gradient(work, v) -> None:
    """Of mean F(v) - mean F(v_model), the samples held fixed."""

    @every(arrays((2, 3)), arrays((3, 3)), arrays((3, 2)), arrays((3,)), arrays((2,)))
    def falls(x, made, W, a, b) -> None:
        loss = lambda *p: float(v.F(x, *p).mean() - v.F(made, *p).mean())  # noqa: E731
        claimed = work.gradient(x, made, W, a, b)
        assert len(claimed) == 3, f"gradient returns dW, da, db: three arrays, not {len(claimed)}"
        for j, (name, one) in enumerate(zip(("dW", "da", "db"), claimed, strict=True)):
            exact, one = _slope(loss, [W, a, b], j), np.asarray(one)
            assert one.shape == exact.shape, f"{name} has shape {one.shape}, and its array {exact.shape}"
            turned = np.allclose(one, -exact, atol=1e-5) and np.abs(exact).max() > 1e-4
            hint = ": the loss rises where it should fall" if turned else ""
            said = f"{name} is {exact.round(4).tolist()}, not {one.round(4).tolist()}{hint}"
            assert np.allclose(one, exact, atol=1e-5), said
