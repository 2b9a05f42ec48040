r"""A puzzle: which function does this program differentiate?

pydgm recorded one step of gradient descent, x <- x - 0.1 f'(x), and this is what NumPy does in it (lines of memory left out):

$program

f is a sum over the numbers of x of one function of each, times $weight. Find f, and write it in pydgm's operations. Any f with
this derivative is right. (print(dgm.compile(step).source) after a call shows you the program of your own f.)
"""

import re

import numpy as np

import pydgm as dgm
from pydgm.lesson.exercise import every
from pydgm.testing import arrays


def _program(f, weight: float) -> str:
    step = dgm.compile(lambda x: x - 0.1 * dgm.grad(lambda x: weight * dgm.sum(f(x)))(x))
    step(np.ones(3))
    lines = [line.strip() for line in step.source.splitlines() if line.startswith("    ") and "#" not in line]
    return "\n".join(f"    {re.sub(r', out=[a-z_0-9]+', '', line)}" for line in lines)


VARIANTS = {
    "a square of a sine": {
        "weight": 2.0,
        "program": _program(lambda x: dgm.sin(x) ** 2, 2.0),
        "f": "dgm.sin(x) ** 2",
        "slope": lambda x: 2.0 * np.sin(x) * np.cos(x),
    },
    "a bump": {
        "weight": 3.0,
        "program": _program(lambda x: dgm.exp(-(x**2)), 3.0),
        "f": "dgm.exp(-(x**2))",
        "slope": lambda x: -2.0 * x * np.exp(-(x**2)),
    },
    "a logarithm": {
        "weight": 0.5,
        "program": _program(lambda x: dgm.log(1.0 + x**2), 0.5),
        "f": "dgm.log(1.0 + x**2)",
        "slope": lambda x: 2.0 * x / (1.0 + x**2),
    },
    "a product": {
        "weight": 4.0,
        "program": _program(lambda x: x * dgm.tanh(x), 4.0),
        "f": "x * dgm.tanh(x)",
        "slope": lambda x: np.tanh(x) + x * (1.0 - np.tanh(x) ** 2),
    },
}

SOLUTION = '''\
import pydgm as dgm


def f(x):
    """A number, for x (n,)."""
    #< read the program from its end: what is subtracted from x is 0.1 f'(x)
    return $weight * dgm.sum($f)
    #>
'''

MISTAKES = {
    "the weight is forgotten": ("return $weight *", "return 1.0 *", "times"),
    "the sign is turned": ("return $weight *", "return -$weight *", "-1 times"),
    "twice as much": ("return $weight *", "return 2.0 * $weight *", "2 times"),
    "another function": ("dgm.sum($f)", "dgm.sum(x**3)", "the program's f'"),
    "the mean": ("dgm.sum($f)", "dgm.mean($f)", "times"),
    "its own derivative": ("dgm.sum($f)", "dgm.sum(dgm.grad(lambda x: dgm.sum($f))(x))", "the program's f'"),
    "one number for each": ("return $weight * dgm.sum($f)", "return $weight * ($f)", "a number"),
}


def check_it_is_a_number(work, v) -> None:
    shape = np.shape(work.f(np.array([0.5, -1.0])))
    assert shape == (), f"f is a number, and yours has shape {shape}: a sum over the numbers of x"


def check_the_slope(work, v) -> None:
    x = np.array([0.5, -1.0, 1.5])
    claimed, exact = np.asarray(dgm.grad(work.f)(x)), float(v.weight) * v.slope(x)
    if np.allclose(claimed, exact):
        return
    ratio = claimed / exact
    hint = f": it is {ratio[0]:.4g} times that" if np.allclose(ratio, ratio[0]) else ""
    raise AssertionError(
        f"at {x.tolist()} the program's f' is {exact.round(4).tolist()}, and yours {claimed.round(4).tolist()}{hint}"
    )


def check_the_step(work, v) -> None:
    """The whole step, compiled, on any numbers."""
    step = dgm.compile(lambda x: x - 0.1 * dgm.grad(work.f)(x))

    @every(arrays((3,)))
    def same(x) -> None:
        made, exact = step(x), x - 0.1 * float(v.weight) * v.slope(x)
        assert np.allclose(made, exact), (
            f"the step takes {x.tolist()} to {exact.round(4).tolist()}, yours to {made.round(4).tolist()}"
        )
