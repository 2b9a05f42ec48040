r"""A planar map: its log-determinant, and back, with g = $variant.

f(z) = z + u g(w'z + b) moves each point along u, by how far it lies across the plane w'z + b = 0 (lectures L3 and L4, "Planar
Flows"; Rezende and Mohamed 2015). The matrix determinant lemma gives

    log |det df/dz| = log |1 + g'(w'z + b) u'w|,    g(t) = $formula

Write it in pydgm's operations, for points z (n, d); then the log-density of f(z) for z ~ N(0, I): log p_0(z) - log |det df/dz|.
"""

import numpy as np

import pydgm as dgm
from pydgm.lesson.exercise import every
from pydgm.testing import arrays

VARIANTS = {
    "tanh": {"formula": "tanh(t)", "g": "dgm.tanh(t)", "slope": "1.0 - dgm.tanh(t) ** 2"},
    "softsign": {"formula": "t / (1 + |t|)", "g": "t / (1.0 + dgm.abs(t))", "slope": "1.0 / (1.0 + dgm.abs(t)) ** 2"},
    "the sigmoid": {"formula": "1 / (1 + exp(-t))", "g": "dgm.sigmoid(t)", "slope": "dgm.sigmoid(t) * dgm.sigmoid(-t)"},
    "an algebraic bend": {
        "formula": "t / sqrt(1 + t^2)",
        "g": "t / dgm.sqrt(1.0 + t**2)",
        "slope": "(1.0 + t**2) ** -1.5",
    },
}

SOLUTION = '''\
import math

import pydgm as dgm


def g(t):
    return $g


def forward(z, u, w, b):
    """f of each row of z (n, d), for u, w (d,) and a number b."""
    #< t = w'z + b is one number for each row
    t = z @ w + b
    return z + dgm.expand_dims(g(t), axis=1) * u
    #>


def log_det(z, u, w, b):
    """log |det df/dz| at each row of z: (n,)."""
    #< g' by hand, then the formula; the determinant may be negative
    t = z @ w + b
    return dgm.log(dgm.abs(1.0 + ($slope) * dgm.sum(u * w)))
    #>


def log_density(z, u, w, b):
    """log p(x) at x = f(z), for z ~ N(0, I): (n,), nats."""
    #< where the map stretches, the density is thinner
    d = z.shape[1]
    return -0.5 * dgm.sum(z**2, axis=1) - 0.5 * d * math.log(2.0 * math.pi) - log_det(z, u, w, b)
    #>
'''

MISTAKES = {
    "g in place of its slope": ("1.0 + ($slope) * dgm.sum(u * w)", "1.0 + g(t) * dgm.sum(u * w)", "Jacobian"),
    "the 1 is forgotten": ("1.0 + ($slope) * dgm.sum(u * w)", "($slope) * dgm.sum(u * w)", "Jacobian"),
    "u'u in place of u'w": ("dgm.sum(u * w)", "dgm.sum(u * u)", "Jacobian"),
    "no logarithm": ("dgm.log(dgm.abs(", "(dgm.abs(", "Jacobian"),
    "b is forgotten in f": ("t = z @ w + b\n    return z +", "t = z @ w\n    return z +", "u g(w'z + b)"),
    "f forgets z": ("return z + dgm.expand_dims", "return dgm.expand_dims", "u g(w'z + b)"),
    "the density is thicker where the map stretches": ("- log_det(z, u, w, b)", "+ log_det(z, u, w, b)", "stretches"),
    "a constant is missing": (" - 0.5 * d * math.log(2.0 * math.pi)", " + 0.0 * math.log(d)", "N(0, I)"),
}

POINT, PLANE = arrays((2, 2)), arrays((2,))


def check_the_map(work, v) -> None:
    @every(POINT, PLANE, PLANE, arrays(()))
    def moves(z, u, w, b) -> None:
        claimed = np.asarray(work.forward(z, u, w, b))
        exact = np.array([row + u * float(work.g(np.array(row @ w + b))) for row in z])
        assert claimed.shape == z.shape, f"f of points of shape {z.shape} has shape {claimed.shape}"
        assert np.allclose(claimed, exact), f"z + u g(w'z + b) is {exact.round(4).tolist()}, not {claimed.round(4).tolist()}"


def check_the_log_determinant(work, v) -> None:
    """Against the matrix of all derivatives, by the engine."""

    @every(POINT, PLANE, PLANE, arrays(()))
    def exact(z, u, w, b) -> None:
        claimed = np.asarray(work.log_det(z, u, w, b))
        assert claimed.shape == (2,), f"of two points the log-determinant has shape {claimed.shape}, wanted (2,)"
        for row, one in zip(z, claimed, strict=True):
            matrix = np.asarray(dgm.jacobian(lambda p: work.forward(p[None, :], u, w, b)[0, :])(row))
            log_det = np.linalg.slogdet(matrix)[1]
            said = f"at z = {row.tolist()} log |det| of the Jacobian {matrix.round(3).tolist()} is {log_det:.4f}"
            assert log_det < -12.0 or abs(log_det - float(one)) < 1e-6, f"{said}, not {float(one):.4f}"


def check_the_density(work, v) -> None:
    @every(POINT, PLANE, PLANE, arrays(()))
    def changed(z, u, w, b) -> None:
        log_det = np.asarray(work.log_det(z, u, w, b))
        if np.abs(log_det).max() > 12.0:
            return
        claimed = np.asarray(work.log_density(z, u, w, b)) + log_det
        exact = -0.5 * (z**2).sum(axis=1) - np.log(2.0 * np.pi)
        if np.allclose(claimed, exact):
            return
        wrong_way = np.allclose(claimed - 2.0 * log_det, exact)
        why = "where the map stretches, log |det| > 0, the density is thinner" if wrong_way else "log p_0 is that of N(0, I)"
        raise AssertionError(
            f"log p(f(z)) + log |det| is log p_0(z) = {exact.round(4).tolist()}, not {claimed.round(4).tolist()}: {why}"
        )
