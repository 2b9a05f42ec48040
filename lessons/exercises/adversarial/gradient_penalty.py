r"""A critic's loss and its penalty: $variant.

A critic f is to be steep nowhere. Between each pair of a real point x and a fake one y a point is drawn, t = u x + (1 - u) y
with u of that pair alone, and there the slope of f is looked at (lecture L1, section 1.2; Gulrajani et al. 2017):

    loss = mean f(y) - mean f(x) + $weight mean over pairs of $penalty,    s = |df/dt|, the length of one point's gradient

f is a function of points (n, d) that gives (n,). Write the points, the slopes, the loss; in pydgm's operations, so that the
critic learns from the penalty, too.
"""

import numpy as np

import pydgm as dgm
from pydgm.lesson.exercise import every
from pydgm.testing import arrays

VARIANTS = {
    "pulled to slope 1": {
        "penalty": "(s - 1)^2",
        "weight": "10",
        "p": "(s - 1.0) ** 2",
        "P": lambda s: (s - 1.0) ** 2,
    },
    "held below slope 1": {
        "penalty": "max(s - 1, 0)^2",
        "weight": "5",
        "p": "dgm.maximum(s - 1.0, 0.0) ** 2",
        "P": lambda s: np.maximum(s - 1.0, 0.0) ** 2,
    },
    "pulled to slope 0": {"penalty": "s^2", "weight": "2", "p": "s**2", "P": lambda s: s**2},
    "pulled to slope 2": {
        "penalty": "|s - 2|",
        "weight": "3",
        "p": "dgm.abs(s - 2.0)",
        "P": lambda s: np.abs(s - 2.0),
    },
}

SOLUTION = '''\
import pydgm as dgm


def between(x, y, u):
    """A point between each pair, for u (n,) from 0 to 1: at x where u = 1."""
    #< u stands for each row: a column
    u = dgm.expand_dims(u, axis=1)
    return u * x + (1.0 - u) * y
    #>


def slopes(f, t):
    """The length of f's gradient at each row of t: (n,)."""
    #< dgm.grad of the sum of f gives each row its own gradient; then the length of each row
    gradient = dgm.grad(lambda t: dgm.sum(f(t)))(t)
    return dgm.sqrt(dgm.sum(gradient**2, axis=1) + 1e-12)
    #>


def critic_loss(f, x, y, u):
    """As in the text."""
    #< fakes minus real ones: the critic makes this small
    s = slopes(f, between(x, y, u))
    return dgm.mean(f(y)) - dgm.mean(f(x)) + $weight * dgm.mean($p)
    #>
'''

MISTAKES = {
    "one u for all pairs": ("u = dgm.expand_dims(u, axis=1)", "u = dgm.mean(u)", "its own u"),
    "x and y are exchanged": ("return u * x + (1.0 - u) * y", "return u * y + (1.0 - u) * x", "at x where u = 1"),
    "at real points only": ("return u * x + (1.0 - u) * y", "return x + 0.0 * u * y", "at y where u = 0"),
    "the length is over the batch": ("dgm.sum(gradient**2, axis=1)", "dgm.sum(gradient**2, axis=0)", "each row"),
    "the length of all rows together": (
        "dgm.sum(gradient**2, axis=1)",
        "dgm.sum(gradient**2) + 0.0 * dgm.sum(gradient, axis=1)",
        "each row",
    ),
    "no root": ("dgm.sqrt(dgm.sum(gradient**2, axis=1) + 1e-12)", "dgm.sum(gradient**2, axis=1)", "each row"),
    "the critic climbs down": ("dgm.mean(f(y)) - dgm.mean(f(x))", "dgm.mean(f(x)) - dgm.mean(f(y))", "the loss is"),
    "the penalty is a reward": ("+ $weight *", "- $weight *", "the loss is"),
    "no gradient through the penalty": (
        "s = slopes(f, between(x, y, u))",
        "s = dgm.stop_gradient(slopes(f, between(x, y, u)))",
        "learns from the penalty",
    ),
}

POINTS = arrays((3, 2))


def check_points_between(work, v) -> None:
    @every(POINTS, POINTS)
    def on_the_line(x, y) -> None:
        for u, wanted, where in ((1.0, x, "at x where u = 1"), (0.0, y, "at y where u = 0")):
            t = np.asarray(work.between(x, y, np.full(3, u)))
            assert t.shape == x.shape, f"points between have shape {t.shape}, wanted {x.shape}"
            assert np.allclose(t, wanted), f"a point is {where}: {wanted.tolist()}, not {t.tolist()}"
        u = np.array([0.0, 0.5, 1.0])
        t = np.asarray(work.between(x, y, u))
        exact = u[:, None] * x + (1.0 - u[:, None]) * y
        assert np.allclose(t, exact), (
            f"each pair has its own u: for u = {u.tolist()} they are {exact.tolist()}, not {t.tolist()}"
        )


def _critic(w, q):
    return lambda t: t @ w + q * dgm.sum(t**2, axis=1)


def check_slopes(work, v) -> None:
    """Of f(t) = w't + q t't, whose gradient is w + 2 q t."""

    @every(POINTS, arrays((2,)), arrays(()))
    def lengths(t, w, q) -> None:
        s, exact = np.asarray(work.slopes(_critic(w, q), t)), np.linalg.norm(w + 2.0 * q * t, axis=1)
        said = f"the length of each row of the gradient {(w + 2.0 * q * t).round(3).tolist()} is {exact.round(4).tolist()}"
        assert s.shape == (3,), f"{said}: three numbers, not shape {s.shape}"
        assert np.allclose(s, exact, atol=1e-5), f"{said}, not {s.round(4).tolist()}"


def check_the_loss(work, v) -> None:
    @every(POINTS, POINTS, arrays((2,)))
    def whole(x, y, w) -> None:
        claimed = float(work.critic_loss(_critic(w, 0.0), x, y, np.array([0.25, 0.5, 0.75])))
        slope = np.linalg.norm(w)
        exact = float((y @ w).mean() - (x @ w).mean() + float(v.weight) * v.P(slope))
        said = f"of the straight critic w't, whose slope is {slope:.3f} everywhere, the loss is {exact:.4f}, not {claimed:.4f}"
        assert abs(claimed - exact) < 1e-4, said


def check_the_critic_learns_from_the_penalty(work, v) -> None:
    x = np.array([[1.0, 0.5], [-0.5, 2.0]])
    u, w = np.array([0.25, 0.5]), np.array([3.0, -1.0])
    loss = lambda w: work.critic_loss(_critic(w, 0.0), x, x, u)  # noqa: E731  # equal samples: only the penalty is left
    slope = np.asarray(dgm.grad(loss)(w))
    exact = np.array([float(loss(w + d)) - float(loss(w - d)) for d in 1e-5 * np.eye(2)]) / 2e-5
    said = f"the critic learns from the penalty: its gradient is {exact.round(3).tolist()}, not {slope.round(3).tolist()}"
    assert np.allclose(slope, exact, atol=1e-3), said
