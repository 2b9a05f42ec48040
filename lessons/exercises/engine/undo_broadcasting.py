r"""Undo broadcasting: gradients of $formula for arrays that were stretched.

NumPy stretches: (3, 1) and (4,) give (3, 4). A number of x that was used four times gets a gradient from each of its uses, and
what arrives at it is their sum. So a gradient has the shape of its array, whatever the shapes. Write in plain NumPy

    loss = sum(g * f(x, y)),    f(x, y) = $formula:    d loss / dx  of x's shape,  d loss / dy  of y's shape.

g has the shape of f(x, y). The library does this in one place; here you do.
"""

import numpy as np

from pydgm.lesson.exercise import every
from pydgm.testing import broadcastable_shapes

VARIANTS = {
    "product": {"formula": "x y", "f": "x * y", "dx": "y + 0.0 * x", "dy": "x + 0.0 * y"},
    "square": {"formula": "(x - y)^2", "f": "(x - y) ** 2", "dx": "2.0 * (x - y)", "dy": "-2.0 * (x - y)"},
    "scaled": {"formula": "x exp(y)", "f": "x * np.exp(y)", "dx": "np.exp(y) + 0.0 * x", "dy": "x * np.exp(y)"},
    "quotient": {
        "formula": "x / (1 + y^2)",
        "f": "x / (1.0 + y**2)",
        "dx": "1.0 / (1.0 + y**2) + 0.0 * x",
        "dy": "-2.0 * x * y / (1.0 + y**2) ** 2",
    },
}

SOLUTION = '''\
import numpy as np


def f(x, y):
    return $f


def undo(share, shape):
    """share, of a shape that ``shape`` was stretched to, summed back to ``shape``."""
    #< sum over the axes that were added in front, then over those that had length 1 (keepdims)
    share = share.sum(axis=tuple(range(share.ndim - len(shape))))
    return share.sum(axis=tuple(i for i, n in enumerate(shape) if n == 1), keepdims=True)
    #>


def gradients(g, x, y):
    """d/dx and d/dy of sum(g * f(x, y))."""
    #< two lines: the chain rule in the stretched shape, then undo
    return undo(g * ($dx), x.shape), undo(g * ($dy), y.shape)
    #>
'''

MISTAKES = {
    "nothing is undone": ("return undo(g * ($dx), x.shape)", "return (g * ($dx))", "shape"),
    "axes of length 1 are forgotten": ("tuple(i for i, n in enumerate(shape) if n == 1)", "()", "shape"),
    "axes in front are forgotten": ("share.sum(axis=tuple(range(share.ndim - len(shape))))", "share", "shape"),
    "mean in place of sum": (
        "share.sum(axis=tuple(i for i, n in enumerate(shape) if n == 1), keepdims=True)",
        "share.mean(axis=tuple(i for i, n in enumerate(shape) if n == 1), keepdims=True)",
        "sum of what arrives",
    ),
    "g is forgotten": ("undo(g * ($dx), x.shape)", "undo(0.0 * g + ($dx), x.shape)", "d loss / dx"),
    "dx and dy are exchanged": ("undo(g * ($dy), y.shape)", "undo(g * ($dx), y.shape)", "d loss / dy"),
}


def _shapes(gradients, x, y) -> None:
    assert len(gradients) == 2, "gradients returns two arrays: d loss / dx, d loss / dy"
    for name, one, array in zip("xy", gradients, (x, y), strict=True):
        assert np.shape(one) == array.shape, f"d loss / d{name} has shape {np.shape(one)}, and {name} has shape {array.shape}"


def _slopes(work, g, x, y) -> None:
    gradients = work.gradients(g, x, y)
    _shapes(gradients, x, y)
    for name, one, at in zip("xy", gradients, (0, 1), strict=True):
        array, slope = (x, y)[at], np.zeros_like((x, y)[at])
        for place in np.ndindex(array.shape):
            step = np.zeros_like(array)
            step[place] = 1e-5
            there, back = (np.sum(g * work.f(*(((x + s * step, y), (x, y + s * step))[at]))) for s in (1.0, -1.0))
            slope[place] = (there - back) / 2e-5
        hint = ""
        if g.size > array.size and np.allclose(np.asarray(one) * (g.size / array.size), slope, atol=1e-6):
            hint = ": a number gets the sum of what arrives, not the mean"
        said = f"d loss / d{name} is {np.round(one, 4).tolist()}, by differences {slope.round(4).tolist()}{hint}"
        assert np.allclose(one, slope, atol=1e-6), said


def check_arrays_of_one_shape(work, v) -> None:
    x, y, g = np.array([0.5, -1.0]), np.array([2.0, 0.25]), np.array([1.0, -3.0])
    _slopes(work, g, x, y)


def check_the_shapes(work, v) -> None:
    @every(broadcastable_shapes())
    def same(shapes) -> None:
        x, y = (np.ones(shape) for shape in shapes)
        _shapes(work.gradients(np.ones_like(work.f(x, y)), x, y), x, y)


def check_against_differences(work, v) -> None:
    @every(broadcastable_shapes(max_dims=2, max_side=3))
    def right(shapes) -> None:
        rng = np.random.default_rng(0)
        x, y = (rng.normal(size=shape) for shape in shapes)
        _slopes(work, rng.normal(size=np.shape(work.f(x, y))), x, y)
