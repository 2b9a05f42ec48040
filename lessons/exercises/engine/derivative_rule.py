r"""A derivative rule: teach the engine $variant.

f(x) = $formula, number by number.

The engine goes backwards: it knows g, how fast a loss changes with y = f(x), and asks how fast it changes with x. That is the
vector-Jacobian product, g times f'(x). Write it in pydgm's operations (dgm.exp, dgm.tanh, *, /): then it is differentiated in
turn, and second derivatives follow. Lecture: none, but every lecture needs it; pydgm/autodiff/elementwise.py is full of such
rules, yet not of this one.
"""

import numpy as np

from pydgm.lesson.exercise import every
from pydgm.testing import arrays, check_grads, shapes

VARIANTS = {
    "softsign": {"formula": "x / (1 + |x|)", "forward": "x / (1.0 + dgm.xp.abs(x))", "slope": "1.0 / (1.0 + dgm.abs(x)) ** 2"},
    "the logarithmic cosine": {
        "formula": "log(cosh(x))",
        "forward": "dgm.xp.log(dgm.xp.cosh(x))",
        "slope": "dgm.tanh(x)",
    },
    "the Gaussian bump": {"formula": "exp(-x^2)", "forward": "dgm.xp.exp(-x * x)", "slope": "(-2.0 * x * y)"},
    "a smooth ramp": {
        "formula": "(x + sqrt(x^2 + 1)) / 2",
        "forward": "0.5 * (x + dgm.xp.sqrt(x * x + 1.0))",
        "slope": "(0.5 * (1.0 + x / dgm.sqrt(x * x + 1.0)))",
    },
    "a rational bump": {"formula": "1 / (1 + x^2)", "forward": "1.0 / (1.0 + x * x)", "slope": "(-2.0 * x * y * y)"},
}

SOLUTION = '''\
import pydgm as dgm


def rule(g, y, x):
    """The vector-Jacobian product: g has the shape of y = f(x), the result that of x."""
    #< g times f'(x), in operations of pydgm; y = f(x) is there, should it be of use
    return g * $slope
    #>


@dgm.operation(rule)
def f(x):
    return $forward
'''

MISTAKES = {
    "g is forgotten": ("return g * ", "return 0.0 * g + ", "is it multiplied by g"),
    "the sign is turned": ("return g * ", "return -g * ", "the sign"),
    "twice the slope": ("return g * ", "return 2.0 * g * ", "2 times"),
    "the slope is f itself": ("return g * ", "return g * y + 0.0 * ", "f'(x) is not f(x)"),
    "one g for all": ("return g * ", "return dgm.sum(g) * ", "is it multiplied by g"),
    "the second derivative is cut off": ("return g * $slope", "return g * dgm.stop_gradient($slope)", "Then the second"),
    "a sum where there is one number for each": ("return g * $slope", "return dgm.sum(g * $slope)", "one number for each x"),
}


def check_the_slope_at_some_points(work, v) -> None:
    x = np.array([-1.5, -0.25, 0.5, 2.0])
    shape = np.shape(work.rule(np.ones_like(x), work.f(x), x))
    assert shape == x.shape, f"with x of shape {x.shape} the rule gives shape {shape}: wanted one number for each x"
    claimed = np.array([float(work.rule(np.ones(()), work.f(point), point)) for point in x])
    slope = (work.f(x + 1e-5) - work.f(x - 1e-5)) / 2e-5
    if np.allclose(claimed, slope, atol=1e-6):
        return
    ratio = claimed / slope
    why = f"at {x} it gives {claimed.round(4)}, and the slope is {slope.round(4)}"
    if np.allclose(ratio, -1.0, atol=1e-4):
        why += ": the sign"
    elif np.allclose(ratio, ratio[0], atol=1e-4):
        why += f": it is {ratio[0]:.4g} times what it should be"
    elif np.allclose(claimed, work.f(x), atol=1e-6):
        why += ": that is f(x), and f'(x) is not f(x)"
    raise AssertionError(f"with g = 1 the rule is f'(x): {why}")


def check_every_number_has_its_own_g(work, v) -> None:
    @every(arrays((3,)), arrays((3,)))
    def linear(g, x) -> None:
        one = np.asarray(work.rule(np.ones_like(x), work.f(x), x))
        many = np.asarray(work.rule(g, work.f(x), x))
        assert np.allclose(many, g * one), (
            f"with g = {g} it gives {many}, with g = 1 {one}: is it multiplied by g, number by number?"
        )


def check_first_derivatives(work, v) -> None:
    """Of arrays of any shape, by the engine, against finite differences."""

    @every(arrays(shapes(max_dims=2, max_side=2)))
    def first(x) -> None:
        check_grads(work.f, [x], order=1)


def check_second_derivatives(work, v) -> None:
    @every(arrays(shapes(max_dims=2, max_side=2)))
    def second(x) -> None:
        try:
            check_grads(work.f, [x], order=2)
        except AssertionError as error:
            raise AssertionError(
                f"{error}. Is every part of the rule an operation of pydgm? Then the second derivative follows"
            ) from None
