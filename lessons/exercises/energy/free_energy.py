r"""Free energy: summing out the hidden units of $variant.

A machine of visible units v and hidden units h has $energy, and P(v, h) = exp(-E(v, h)) / Z.

Here $hidden.

Since the hidden units are independent given v, their sum can be taken one by one (lecture L4, "Restricted Boltzmann Machines"):

    F(v) = -log sum_h exp(-E(v, h)),    so that P(v) = exp(-F(v)) / Z,    and    E[h_j | v] = sum_h h_j P(h | v)

Write both in NumPy, for several v at once; nothing may overflow: a weight can be 500.
"""

import itertools

import numpy as np

from pydgm.lesson.exercise import every
from pydgm.testing import arrays

VARIANTS = {
    "a machine of bits": {
        "energy": "E(v, h) = -a'v - b'h - v'W h",
        "hidden": "each h_j is 0 or 1",
        "values": [0.0, 1.0],
        "E": lambda v, h, W, a, b: -(v @ a) - h @ b - v @ W @ h,
        "F": "-(v @ a) - np.logaddexp(0.0, x).sum(axis=1)",
        "mean": "np.exp(-np.logaddexp(0.0, -x))",
    },
    "a machine of spins": {
        "energy": "E(v, h) = -a'v - b'h - v'W h",
        "hidden": "each h_j is -1 or 1",
        "values": [-1.0, 1.0],
        "E": lambda v, h, W, a, b: -(v @ a) - h @ b - v @ W @ h,
        "F": "-(v @ a) - np.logaddexp(x, -x).sum(axis=1)",
        "mean": "np.tanh(x)",
    },
    "a machine with doubtful units": {
        "energy": "E(v, h) = -a'v - b'h - v'W h",
        "hidden": "each h_j is -1, 0 or 1",
        "values": [-1.0, 0.0, 1.0],
        "E": lambda v, h, W, a, b: -(v @ a) - h @ b - v @ W @ h,
        "F": "-(v @ a) - np.logaddexp(0.0, np.logaddexp(x, -x)).sum(axis=1)",
        "mean": "np.sign(x) * (1.0 - np.exp(-2.0 * np.abs(x))) / (1.0 + np.exp(-np.abs(x)) + np.exp(-2.0 * np.abs(x)))",
    },
    "a machine with a bowl": {
        "energy": "E(v, h) = (v - a)'(v - a) / 2 - b'h - v'W h",
        "hidden": "v are any numbers, and each h_j is 0 or 1",
        "values": [0.0, 1.0],
        "E": lambda v, h, W, a, b: 0.5 * ((v - a) @ (v - a)) - h @ b - v @ W @ h,
        "F": "0.5 * ((v - a) ** 2).sum(axis=1) - np.logaddexp(0.0, x).sum(axis=1)",
        "mean": "np.exp(-np.logaddexp(0.0, -x))",
    },
}

SOLUTION = '''\
import numpy as np


def free_energy(v, W, a, b):
    """F of each row of v (n, D), for W (D, H), a (D,), b (H,): (n,)."""
    #< x_j = b_j + (v'W)_j is what unit j hears; np.logaddexp does not overflow
    x = b + v @ W
    return $F
    #>


def mean_hidden(v, W, a, b):
    """E[h_j | v] for each row of v: (n, H)."""
    #< of one unit, from what it hears
    x = b + v @ W
    return $mean
    #>
'''

MISTAKES = {
    "hidden units forget their bias": ("x = b + v @ W\n    return $F", "x = v @ W\n    return $F", "sum over all h"),
    "F has its sign turned": ("return $F", "return -($F)", "sum over all h"),
    "the visible bias is forgotten": ("return $F", "a = 0.0 * a\n    return $F", "sum over all h"),
    "h's values are those of another machine": (
        "return $F",
        "return $F + np.logaddexp(0.0, x).sum(axis=1) - np.logaddexp(0.5 * x, -0.5 * x).sum(axis=1)",
        "sum over all h",
    ),
    "the mean forgets the bias": ("x = b + v @ W\n    return $mean", "x = v @ W\n    return $mean", "E[h_j | v]"),
    "the mean has its sign turned": ("x = b + v @ W\n    return $mean", "x = -(b + v @ W)\n    return $mean", "E[h_j | v]"),
    "one number for all rows": ("return $F", "return ($F).sum()", "shape"),
}


def _by_counting(v, W, a, b, of) -> tuple[np.ndarray, np.ndarray]:
    """F and E[h | v] from the sum over all h."""
    hidden = np.array(list(itertools.product(of.values, repeat=W.shape[1])))
    minus = np.array([[-of.E(row, h, W, a, b) for h in hidden] for row in v])
    top = minus.max(axis=1, keepdims=True)
    p = np.exp(minus - top)
    return -(top[:, 0] + np.log(p.sum(axis=1))), p @ hidden / p.sum(axis=1, keepdims=True)


def check_the_free_energy(work, v) -> None:
    @every(arrays((2, 3)), arrays((3, 2)), arrays((3,)), arrays((2,)))
    def counted(x, W, a, b) -> None:
        claimed, exact = np.asarray(work.free_energy(x, W, a, b)), _by_counting(x, W, a, b, v)[0]
        assert claimed.shape == (2,), f"of two rows v the free energy has shape {claimed.shape}, wanted (2,)"
        said = f"-log of the sum over all h of exp(-E) is {exact.round(4).tolist()}, not {claimed.round(4).tolist()}"
        assert np.allclose(claimed, exact, atol=1e-8), said


def check_what_the_hidden_units_are_on_average(work, v) -> None:
    @every(arrays((2, 3)), arrays((3, 2)), arrays((3,)), arrays((2,)))
    def counted(x, W, a, b) -> None:
        claimed, exact = np.asarray(work.mean_hidden(x, W, a, b)), _by_counting(x, W, a, b, v)[1]
        assert claimed.shape == (2, 2), f"of two rows v and two units E[h | v] has shape {claimed.shape}, wanted (2, 2)"
        said = f"E[h_j | v], counted, is {exact.round(4).tolist()}, not {claimed.round(4).tolist()}"
        assert np.allclose(claimed, exact, atol=1e-8), said


def check_large_weights(work, v) -> None:
    x, W, a, b = np.array([[1.0, -1.0]]), np.array([[500.0], [-600.0]]), np.zeros(2), np.zeros(1)
    for sign in (1.0, -1.0):
        with np.errstate(all="ignore"):
            F, mean = (np.asarray(f(x, sign * W, a, b)) for f in (work.free_energy, work.mean_hidden))
        exact = _by_counting(x, sign * W, a, b, v)
        assert np.isfinite(F).all(), f"with weights of {sign * 500:g} F is {F}: exp({sign * 1100:g}) has to be avoided"
        assert np.allclose(F, exact[0]), f"with weights of {sign * 500:g} F is {F.tolist()}, counted {exact[0].tolist()}"
        assert np.allclose(mean, exact[1]), (
            f"with weights of {sign * 500:g} E[h | v] is {mean.tolist()}, counted {exact[1].tolist()}"
        )
