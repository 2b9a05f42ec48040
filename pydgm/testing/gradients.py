"""Is this derivative right? Any function of arrays against its finite differences, to any order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy

from .. import trees
from ..autodiff import vjp
from ..backend import asarray, is_array, is_floating, to_numpy
from ..errors import caller

STEP = 1e-3
"""The step of the differences, along a random direction of about unit size. Keep kinks further away than ten of it."""


def numerical_derivative(f: Callable[[float], float], step: float = STEP) -> float:
    """f'(0) by the fourth-order central stencil (-f(2h) + 8 f(h) - 8 f(-h) + f(-2h)) / 12h; its error is O(h^4)."""
    return (8.0 * (f(step) - f(-step)) - (f(2 * step) - f(-2 * step))) / (12.0 * step)


def check_grads(f: Callable[..., Any], args: Sequence[Any], order: int = 2, rtol: float = 1e-6, seed: int = 0) -> None:
    """Raise ``AssertionError`` unless the derivatives of ``f`` at ``args`` agree with finite differences up to ``order``.

    For a random cotangent u and, for every array in ``args``, a random direction v, compares u' J v by reverse mode with
    the slope of u' f along v. Then the same for the derivative itself, up to ``order``. The random cotangent matters: with
    all ones, many wrong rules pass.

    ``args`` are trees of float64 arrays; ``f`` may return any tree. Where the numeric slope depends on the step, the
    message says that the function has a kink or is too curved there: the derivative may be right.

        def my_op(x): return dgm.exp(-dgm.square(x))
        dgm.testing.check_grads(my_op, [np.array([0.3, -1.2])])
    """
    if is_array(args):
        raise TypeError(f"check_grads takes the list of the function's arguments: [x], not x {caller()}")
    for leaf in trees.leaves(list(args)):
        if not isinstance(leaf, float) and (not is_floating(leaf) or "64" not in str(leaf.dtype)):
            raise TypeError(f"check_grads needs float64 arrays, differences drown in {leaf.dtype}'s rounding {caller()}")
    _check(f, list(args), order, rtol, numpy.random.default_rng(seed), 1)


def _check(f: Callable[..., Any], args: list[Any], order: int, rtol: float, rng: Any, now: int) -> None:
    value, pull = vjp(f, *args)
    cotangent = trees.map(lambda y: _noise_like(y, rng), value)
    analytic = pull(cotangent)
    leaves, structure = trees.flatten(args)
    names = trees.paths(structure, "args")
    for i, (gradient, x) in enumerate(zip(trees.leaves(analytic), leaves, strict=True)):
        direction = _noise_like(x, rng)

        def along(t: float, i: int = i, v: Any = direction) -> float:
            moved = [leaf + t * v if j == i else leaf for j, leaf in enumerate(leaves)]
            return _dot(cotangent, f(*trees.unflatten(structure, moved)))

        claimed = _dot(direction, gradient)
        measured, finer = numerical_derivative(along), numerical_derivative(along, STEP / 2)
        scale = max(abs(measured), float(numpy.sum(numpy.abs(to_numpy(direction) * to_numpy(gradient)))))
        floor = 1e-10 * (1.0 + abs(along(0.0)))  # what rounding leaves of a difference over 1e-3
        if abs(claimed - measured) <= rtol * scale + floor:
            continue
        left, right = (sign * (along(sign * STEP) - along(0.0)) / STEP for sign in (-1.0, 1.0))
        if abs(measured - finer) > 0.1 * abs(claimed - finer):
            why = f"but the slope is {finer:.9g} with half the step: a kink, or too much curvature, is near"
        elif abs(left - right) > 0.1 * scale and min(left, right) - 0.1 * scale <= claimed <= max(left, right) + 0.1 * scale:
            why = (
                f"but the slope is {left:.3g} on one side and {right:.3g} on the other: a kink, and any slope between is right"
            )
        else:
            why = f"off by {abs(claimed - measured):.2g}, where {rtol * scale + floor:.2g} is allowed"
        raise AssertionError(
            f"derivative of order {now} in {names[i]}: "
            f"reverse mode says {claimed:.9g}, finite differences {measured:.9g}; {why}"
        )
    if order > now:
        _check(lambda *inner: vjp(f, *inner)[1](cotangent), args, order, rtol, rng, now + 1)


def _noise_like(x: Any, rng: Any) -> Any:
    shape = getattr(x, "shape", ())
    return asarray(rng.standard_normal(shape), like=None if isinstance(x, float) else x)


def _dot(u: Any, v: Any) -> float:
    return float(sum(numpy.sum(to_numpy(a) * to_numpy(b)) for a, b in zip(trees.leaves(u), trees.leaves(v), strict=True)))
