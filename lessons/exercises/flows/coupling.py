r"""A coupling layer: there, back, and its log-determinant, with $variant.

Half of the numbers stay, and say how the others are moved (lectures L3 and L4, "Normalizing Flows", RealNVP; Dinh et al. 2017):

    y_a = x_a,    y_b = x_b * s(x_a) + t(x_a),    s = $scale

a is the $first half of the numbers, b the other one. net(x_a) gives (r, t), each of x_b's shape; it is never inverted. Write
forward and inverse, each with log |det|: (n,), in pydgm's operations.
"""

import numpy as np

import pydgm as dgm
from pydgm.lesson.exercise import every
from pydgm.testing import arrays

VARIANTS = {
    "an exponential scale": {"scale": "exp(r)", "s": "dgm.exp(r)", "log_s": "r", "first": "first", "a": ":2", "b": "2:"},
    "a softplus scale": {
        "scale": "log(1 + exp(r))",
        "s": "dgm.softplus(r)",
        "log_s": "dgm.log(dgm.softplus(r))",
        "first": "first",
        "a": ":2",
        "b": "2:",
    },
    "a bounded scale": {
        "scale": "exp(tanh(r))",
        "s": "dgm.exp(dgm.tanh(r))",
        "log_s": "dgm.tanh(r)",
        "first": "second",
        "a": "2:",
        "b": ":2",
    },
    "a scale above 1": {
        "scale": "1 + r^2",
        "s": "(1.0 + r**2)",
        "log_s": "dgm.log(1.0 + r**2)",
        "first": "second",
        "a": "2:",
        "b": ":2",
    },
}

SOLUTION = '''\
import pydgm as dgm


def halves(x):
    """x (n, 4) in its two halves, (x_a, x_b)."""
    return x[:, $a], x[:, $b]


def joined(a, b):
    """The inverse of halves."""
    return dgm.concat([a, b] if halves_in_order else [b, a], axis=1)


halves_in_order = "$first" == "first"


def forward(net, x):
    """(y, log |det dy/dx|) for x (n, 4)."""
    #< the Jacobian is triangular: its determinant is the product of s
    a, b = halves(x)
    r, t = net(a)
    return joined(a, b * $s + t), dgm.sum($log_s, axis=1)
    #>


def inverse(net, y):
    """(x, log |det dx/dy|) for y (n, 4)."""
    #< y_a is x_a, so net can be asked again
    a, b = halves(y)
    r, t = net(a)
    return joined(a, (b - t) / $s), -dgm.sum($log_s, axis=1)
    #>
'''

MISTAKES = {
    "the shift is added before the scale": ("b * $s + t", "(b + t) * $s", "y_b"),
    "the inverse adds the shift": ("(b - t) / $s", "(b + t) / $s", "there and back"),
    "the inverse shifts too late": ("(b - t) / $s", "b / $s - t", "there and back"),
    "the inverse's log-determinant has forward's sign": ("-dgm.sum($log_s, axis=1)", "dgm.sum($log_s, axis=1)", "add up to 0"),
    "the determinant without its logarithm": ("t), dgm.sum($log_s, axis=1)", "t), dgm.sum($s, axis=1)", "Jacobian"),
    "the mean of log s": ("t), dgm.sum($log_s, axis=1)", "t), dgm.mean($log_s, axis=1)", "Jacobian"),
    "one log-determinant for the batch": ("t), dgm.sum($log_s, axis=1)", "t), dgm.sum($log_s)", "shape"),
    "the halves change places": ("joined(a, b * $s + t)", "joined(b * $s + t, a)", "y_b"),
}

X = arrays((2, 4))


def _net(seed: float):
    """A small network: two numbers in, twice two out."""
    w = np.array([[0.5, -1.0, 0.25, 1.5], [1.0, 0.5, -0.75, 0.25]])
    return lambda a: (dgm.tanh(a @ w[:, :2] + seed), a @ w[:, 2:] - seed)


def check_forward(work, v) -> None:
    @every(X)
    def moved(x) -> None:
        net = _net(0.25)
        y, log_det = (np.asarray(part) for part in work.forward(net, x))
        a, b = (slice(0, 2), slice(2, 4)) if v.first == "first" else (slice(2, 4), slice(0, 2))
        r, t = net(x[:, a])
        exact = np.zeros_like(x)
        exact[:, a], exact[:, b] = x[:, a], x[:, b] * np.asarray(eval(v.s, {"dgm": dgm, "r": r})) + t
        assert y.shape == (2, 4), f"y has shape {y.shape}, wanted (2, 4)"
        assert np.allclose(y, exact), f"y_a = x_a, y_b = x_b s + t: {exact.round(4).tolist()}, not {y.round(4).tolist()}"
        assert log_det.shape == (2,), f"log |det| has shape {log_det.shape}, wanted (2,): one for each row"


def check_its_log_determinant(work, v) -> None:
    @every(X)
    def exact(x) -> None:
        net = _net(-0.5)
        log_det = np.asarray(work.forward(net, x)[1])
        for row, one in zip(x, log_det, strict=True):
            matrix = np.asarray(dgm.jacobian(lambda p: work.forward(net, p[None, :])[0][0, :])(row))
            truth = np.linalg.slogdet(matrix)[1]
            assert abs(truth - float(one)) < 1e-8, (
                f"log |det| of the Jacobian at {row.tolist()} is {truth:.4f}, not {float(one):.4f}"
            )


def check_there_and_back(work, v) -> None:
    @every(X)
    def back(x) -> None:
        net = _net(1.0)
        y, log_det = work.forward(net, x)
        again, other = (np.asarray(part) for part in work.inverse(net, y))
        assert np.allclose(again, x, atol=1e-9), f"there and back {x.tolist()} became {again.round(4).tolist()}"
        said = f"{np.asarray(log_det).round(4).tolist()} and {other.round(4).tolist()}"
        assert np.allclose(np.asarray(log_det) + other, 0.0), f"log |det| of forward and inverse add up to 0: {said}"
