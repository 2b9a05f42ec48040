"""A bijection against itself: there and back, and its log-determinants against the matrix of all derivatives."""

from __future__ import annotations

from typing import Any

import numpy

from ..autodiff import jacobian
from ..backend import to_numpy
from ..nn import double


def check_bijection(bijection: Any, z: Any, atol: float = 1e-6) -> None:
    """Raise ``AssertionError`` unless f^-1(f(z)) is z, and both log-determinants are those of the Jacobian, at the points
    ``z``.

    In float64. ``z`` (n, d), a few points; an operation of one's own is checked by :func:`check_grads`.
    """
    f, z = double(bijection), double(z)
    x, log_det = f.forward_and_log_det(z)
    back, inverse_log_det = f.inverse_and_log_det(x)
    n = z.shape[0]
    for name, value, expected in (
        ("f^-1(f(z)) and z", back, z),
        ("the log-determinants of forward and inverse, which add up to 0,", inverse_log_det, -log_det),
    ):
        gap = float(numpy.abs(to_numpy(value) - to_numpy(expected)).max())
        assert gap <= atol, f"{type(bijection).__name__}: {name} differ by {gap:g}"
    for i in range(n):
        matrix = jacobian(lambda point: f.forward_and_log_det(point[None, :])[0][0, :])(z[i, ...])
        exact = float(numpy.linalg.slogdet(to_numpy(matrix))[1])
        gap = abs(exact - float(log_det[i]))
        assert gap <= atol, f"{type(bijection).__name__}: log |det df/dz| is {exact:g} at point {i}, not {float(log_det[i]):g}"
