"""A bijection against itself: there and back, and its log-determinants against the matrix of all derivatives."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy

from ..autodiff import jacobian
from ..backend import to_numpy
from ..nn import double


class Gaps(NamedTuple):
    """Largest over some points: of f^-1(f(z)) - z, of the sum of f's and f^-1's log-determinants, of log_det - log |det J|."""

    round_trip: float
    inverse: float
    jacobian: float


def bijection_gaps(bijection: Any, z: Any) -> Gaps:
    """A bijection against itself and against the matrix J of all its derivatives at the points ``z`` (n, d), in float64."""
    f, z = double(bijection), double(z)
    x, log_det = f.forward_and_log_det(z)
    back, inverse_log_det = f.inverse_and_log_det(x)
    exact = [
        numpy.linalg.slogdet(to_numpy(jacobian(lambda point: f.forward_and_log_det(point[None, :])[0][0, :])(z[i, ...])))[1]
        for i in range(z.shape[0])
    ]
    pairs = ((back, z), (inverse_log_det, -log_det), (log_det, numpy.array(exact)))
    return Gaps(*[float(numpy.abs(to_numpy(a) - to_numpy(b)).max()) for a, b in pairs])


def check_bijection(bijection: Any, z: Any, atol: float = 1e-6) -> None:
    """Raise ``AssertionError`` unless f^-1(f(z)) is z, and both log-determinants are those of the Jacobian, at the points
    ``z``.

    In float64. ``z`` (n, d), a few points; an operation of one's own is checked by :func:`check_grads`.
    """
    names = (
        "f^-1(f(z)) and z",
        "the log-determinants of forward and inverse, which add up to 0,",
        "its log-determinant and that of the matrix of derivatives, log |det df/dz|,",
    )
    for name, gap in zip(names, bijection_gaps(bijection, z), strict=True):
        assert gap <= atol, f"{type(bijection).__name__}: {name} differ by {gap:g}"
