r"""Importance weights: $variant, in log space.

k draws z_i from q, and log w_i = log p(x, z_i) - log q(z_i). With them (lecture L4, "Importance Weighted Autoencoders"; Burda
et al. 2016) one has

    $formula

Weights are products of hundreds of probabilities: log w may be -2000, and exp of it is 0. So everything stays in log space:
take out the largest first. And a known fault of programs is to favour the *worst* draw. In pydgm's operations, log_w (n, k):
for each row one number.
"""

import numpy as np

import pydgm as dgm
from pydgm.lesson.exercise import every
from pydgm.testing import arrays

VARIANTS = {
    "the bound of k draws": {
        "formula": "L_k = log((w_1 + ... + w_k) / k), nats",
        "answer": "top[:, 0] + dgm.log(dgm.mean(w, axis=1))",
        "exact": lambda w: np.log(w.mean()),
        "shift": 1.0,
    },
    "the effective number of draws": {
        "formula": "n_eff = (w_1 + ... + w_k)^2 / (w_1^2 + ... + w_k^2), between 1 and k",
        "answer": "dgm.sum(w, axis=1) ** 2 / dgm.sum(w**2, axis=1)",
        "exact": lambda w: w.sum() ** 2 / (w**2).sum(),
        "shift": 0.0,
    },
    "Renyi's bound, order 1/2": {
        "formula": "L = 2 log((w_1^(1/2) + ... + w_k^(1/2)) / k), nats",
        "answer": "top[:, 0] + 2.0 * dgm.log(dgm.mean(dgm.sqrt(w), axis=1))",
        "exact": lambda w: 2.0 * np.log(np.sqrt(w).mean()),
        "shift": 1.0,
    },
    "the entropy of the normalised weights": {
        "formula": "H = -sum_i v_i log v_i, v_i = w_i / (w_1 + ... + w_k), nats",
        "answer": "dgm.log(dgm.sum(w, axis=1)) - dgm.sum(w * (log_w - top), axis=1) / dgm.sum(w, axis=1)",
        "exact": lambda w: -(w / w.sum() * np.log(w / w.sum())).sum(),
        "shift": 0.0,
    },
}

SOLUTION = '''\
import pydgm as dgm


def estimate(log_w):
    """From log weights (n, k) one number for each row: (n,)."""
    #< the largest of a row first: exp of what is left is between 0 and 1
    top = dgm.max(log_w, axis=1, keepdims=True)
    w = dgm.exp(log_w - top)
    return $answer
    #>
'''

MISTAKES = {
    "the worst draw is favoured": ("w = dgm.exp(log_w - top)", "w = dgm.exp(top - log_w)", "weights"),
    "nothing is taken out": ("top = dgm.max(log_w, axis=1, keepdims=True)", "top = 0.0 * log_w[:, :1]", "finite"),
    "the largest of all rows": ("dgm.max(log_w, axis=1, keepdims=True)", "dgm.max(log_w) + 0.0 * log_w[:, :1]", "finite"),
    "over the wrong axis": (
        "def estimate(log_w):",
        "def estimate(log_w):\n    log_w = dgm.permute_dims(log_w, (1, 0))",
        "shape",
    ),
    "the mean of logarithms": ("return $answer", "return dgm.mean(log_w, axis=1)", "weights"),
    "no gradient": ("return $answer", "return dgm.stop_gradient($answer)", "gradient"),
}


def check_small_weights_by_hand(work, v) -> None:
    @every(arrays((2, 3)))
    def right(log_w) -> None:
        claimed = np.asarray(work.estimate(log_w))
        assert claimed.shape == (2,), (
            f"for log weights of shape (2, 3) the result has shape {claimed.shape}, wanted (2,): one for each row"
        )
        exact = [v.exact(np.exp(row)) for row in log_w]
        of_weights = f"for weights {np.exp(log_w).round(3).tolist()} it is"
        said = f"{of_weights} {np.round(exact, 4).tolist()}, not {claimed.round(4).tolist()}"
        assert np.allclose(claimed, exact, atol=1e-9), said


def check_tiny_and_huge_weights(work, v) -> None:
    """All log weights moved by c."""
    log_w = np.array([[0.0, -1.0, 0.5], [-0.25, 2.0, 1.0]])
    exact = np.array([v.exact(np.exp(row)) for row in log_w])
    for c in (-2000.0, 2000.0):
        for moved in (np.array([[c], [c]]), np.array([[c], [0.0]])):
            with np.errstate(all="ignore"):
                claimed = np.asarray(work.estimate(log_w + moved))
            assert np.isfinite(claimed).all(), (
                f"with log weights near {moved.ravel()} it is {claimed}: it should be finite. Take out each row's largest"
            )
            assert np.allclose(claimed, exact + v.shift * moved.ravel(), atol=1e-6), (
                f"with log weights near {moved.ravel()} it is {claimed}"
            )


def check_its_gradient(work, v) -> None:
    log_w = np.array([[0.0, -1.0, 0.5]])
    slope = np.asarray(dgm.grad(lambda w: dgm.sum(work.estimate(w)))(log_w))
    step = 1e-5 * np.eye(3)
    exact = [(v.exact(np.exp(log_w[0] + d)) - v.exact(np.exp(log_w[0] - d))) / 2e-5 for d in step]
    assert np.allclose(slope[0], exact, atol=1e-6), (
        f"its gradient at {log_w.tolist()} is {np.round(exact, 4).tolist()}, not {slope[0].round(4).tolist()}"
    )
