r"""The E-step: which of the components, for a mixture of $variant.

x comes from component k with probability pi_k, and there $density.

The E-step of EM asks how likely each component is, now that x is seen (lecture L1, section 2; L2, "Mixtures"):

    r_k(x) = pi_k p_k(x) / sum_j pi_j p_j(x)

The M-step then moves each component to the mean of the points, weighted by r. Write both in NumPy; log p(x) may be -2000.
"""

import numpy as np
from hypothesis import strategies as st

from pydgm.lesson.exercise import every

VARIANTS = {
    "exponential distributions": {
        "density": "p_k(x) = exp(-x / m_k) / m_k, x > 0",
        "log_p": "-x[:, None] / m - np.log(m)",
        "p": lambda x, m: np.exp(-x / m) / m,
        "points": np.array([0.25, 1.0, 3.0, 6.0]),
        "far": np.array([5e3, 2e4]),
    },
    "Poisson distributions": {
        "density": "P_k(x) = m_k^x exp(-m_k) / x!, x a count (the x! is the same for all k)",
        "log_p": "x[:, None] * np.log(m) - m",
        "p": lambda x, m: m**x * np.exp(-m),
        "points": np.array([0.0, 1.0, 3.0, 8.0]),
        "far": np.array([3e3, 2e4]),
    },
    "Gaussians of width 1/2": {
        "density": "p_k(x) is proportional to exp(-2 (x - m_k)^2)",
        "log_p": "-2.0 * (x[:, None] - m) ** 2",
        "p": lambda x, m: np.exp(-2.0 * (x - m) ** 2),
        "points": np.array([-1.0, 0.5, 1.0, 3.0]),
        "far": np.array([100.0, -90.0]),
    },
    "Rayleigh distributions": {
        "density": "p_k(x) = (2 x / m_k^2) exp(-x^2 / m_k^2), x > 0",
        "log_p": "-((x[:, None] / m) ** 2) - 2.0 * np.log(m)",
        "p": lambda x, m: 2.0 * x / m**2 * np.exp(-((x / m) ** 2)),
        "points": np.array([0.25, 1.0, 2.0, 4.0]),
        "far": np.array([200.0, 500.0]),
    },
}

SOLUTION = '''\
import numpy as np


def log_density(x, m):
    """log p_k(x), what is the same for all k left out if you like, for points x (n,) and parameters m (K,): (n, K)."""
    #< the logarithm of what the text says, x as a column
    return $log_p
    #>


def responsibilities(x, pi, m):
    """r (n, K): how likely each component is for each point. Rows add up to 1."""
    #< Bayes in log space: take out each row's largest before exp
    log_joint = np.log(pi) + log_density(x, m)
    r = np.exp(log_joint - log_joint.max(axis=1, keepdims=True))
    return r / r.sum(axis=1, keepdims=True)
    #>


def m_step(x, r):
    """The new pi (K,), and the mean of the points of each component (K,), weighted by r."""
    #< both are sums over the points
    return r.mean(axis=0), (r * x[:, None]).sum(axis=0) / r.sum(axis=0)
    #>
'''

MISTAKES = {
    "pi is forgotten": ("np.log(pi) + log_density", "0.0 * pi + log_density", "pi"),
    "pi in place of its logarithm": ("np.log(pi) + log_density", "pi + log_density", "pi"),
    "normalised over points": ("r.sum(axis=1, keepdims=True)", "r.sum(axis=0, keepdims=True)", "add up to"),
    "not normalised": ("    return r / r.sum(axis=1, keepdims=True)", "    return r", "add up to"),
    "nothing is taken out": ("np.exp(log_joint - log_joint.max(axis=1, keepdims=True))", "np.exp(log_joint)", "far away"),
    "the sign is turned": ("return $log_p", "return -($log_p)", "Bayes"),
    "the hardest decision": (
        "    return r / r.sum(axis=1, keepdims=True)",
        "    return 1.0 * (r == r.max(axis=1, keepdims=True))",
        "Bayes",
    ),
    "means are not divided by weights": ("/ r.sum(axis=0)", "/ len(x)", "weighted mean"),
    "pi is a sum": ("return r.mean(axis=0),", "return r.sum(axis=0),", "new pi"),
}

SHARE = st.integers(1, 15).map(lambda n: n / 16)
MEAN = st.integers(2, 32).map(lambda n: n / 8)


def check_rows_add_up_to_one(work, v) -> None:
    r = np.asarray(work.responsibilities(v.points, np.array([0.5, 0.25, 0.25]), np.array([0.5, 1.0, 2.0])))
    assert r.shape == (4, 3), f"for 4 points and 3 components r has shape {r.shape}, wanted (4, 3)"
    assert np.allclose(r.sum(axis=1), 1.0), (
        f"rows of r add up to {r.sum(axis=1).round(3).tolist()}, not to 1: x came from one of the components"
    )


def check_bayes(work, v) -> None:
    @every(SHARE, MEAN, MEAN)
    def right(share, first, second) -> None:
        pi, m = np.array([share, 1.0 - share]), np.array([first, second])
        joint = pi * v.p(v.points[:, None], m)
        exact = joint / joint.sum(axis=1, keepdims=True)
        claimed = np.asarray(work.responsibilities(v.points, pi, m))
        said = (
            f"Bayes with pi = {pi.tolist()}, m = {m.tolist()} gives {exact.round(3).tolist()}, not {claimed.round(3).tolist()}"
        )
        assert np.allclose(claimed, exact, atol=1e-9), said


def check_points_far_away(work, v) -> None:
    with np.errstate(all="ignore"):
        r = np.asarray(work.responsibilities(v.far, np.array([0.5, 0.5]), np.array([0.5, 2.0])))
    said = f"r of points far away, {v.far.tolist()}, is {r.tolist()}: take out each row's largest log before exp"
    assert np.allclose(r.sum(axis=1), 1.0), said


def check_the_m_step(work, v) -> None:
    @every(st.lists(st.lists(SHARE, min_size=2, max_size=2), min_size=4, max_size=4))
    def right(rows) -> None:
        r = np.array(rows) / np.sum(rows, axis=1, keepdims=True)
        pi, means = (np.asarray(x) for x in work.m_step(v.points, r))
        exact = np.array([np.average(v.points, weights=column) for column in r.T])
        assert np.allclose(pi, r.mean(axis=0)), (
            f"for r = {r.round(3).tolist()} the new pi is {r.mean(axis=0).round(3)}, not {pi.round(3)}"
        )
        assert np.allclose(means, exact), (
            f"for r = {r.round(3).tolist()} the weighted mean is {exact.round(3)}, not {means.round(3)}"
        )
