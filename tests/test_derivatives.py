"""Every operation of the table: first and second derivative against differences, dtypes, and other array libraries."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pydgm as dgm
from pydgm import backend
from pydgm.testing import check_grads

from .cases import CASES, Case

every_operation = pytest.mark.parametrize("case", CASES, ids=[c.name for c in CASES])


@every_operation
def test_first_and_second_derivative(case: Case) -> None:
    @given(case.arguments)
    def check(drawn):
        arguments, options = drawn
        check_grads(lambda *xs: case.function(*xs, **options), arguments, order=2, rtol=1e-6)

    check()


@every_operation
@settings(max_examples=10)
@given(data=st.data())
def test_float32_stays_float32(case: Case, data) -> None:
    arguments, options = data.draw(case.arguments)
    arguments = [np.asarray(x, dtype="float32") for x in arguments]

    def f(*xs):
        return case.function(*xs, **options)

    y, pull = dgm.vjp(f, *arguments)
    gradients = pull(np.ones_like(y))
    second = dgm.vjp(lambda *xs: dgm.vjp(f, *xs)[1](np.ones_like(y)), *arguments)[1](gradients)
    for got in (f(*arguments), y, *gradients, *second):
        assert got.dtype == np.float32
    for x, g in zip(arguments, gradients, strict=True):
        assert g.shape == x.shape


@pytest.fixture(params=["device1", "no_float64"])
def strict(request) -> Iterator[str]:
    """NumPy behind the bare standard, on a device that refuses implicit conversion: a stand-in for a GPU library."""
    dgm.use("array_api_strict", device=request.param)
    yield request.param
    dgm.use("numpy")


def lifted(option, lift):
    if isinstance(option, tuple):
        return tuple(lifted(o, lift) for o in option)
    return lift(option) if isinstance(option, np.ndarray) else option


@every_operation
def test_on_the_bare_standard(case: Case, strict: str) -> None:
    dtype = "float32" if strict == "no_float64" else "float64"

    @settings(max_examples=5)
    @given(case.arguments)
    def check(drawn):
        arguments, options = drawn
        arguments = [np.asarray(x, dtype=dtype) for x in arguments]

        def run(lift):
            inputs = [lift(x) for x in arguments]
            settled = {k: lifted(v, lift) for k, v in options.items()}

            def f(*xs):
                return case.function(*xs, **settled)

            y, pull = dgm.vjp(f, *inputs)
            cotangent = lift(noise.standard_normal(y.shape).astype(dtype))
            first = pull(cotangent)
            second = dgm.vjp(lambda *xs: dgm.vjp(f, *xs)[1](cotangent), *inputs)[1](first)
            return y, *first, *second

        dgm.use("numpy")
        noise = np.random.default_rng(0)
        expected = run(lambda x: x)
        dgm.use("array_api_strict", device=strict)
        noise = np.random.default_rng(0)
        got = run(backend.asarray)
        tolerance = 1e-4 if dtype == "float32" else 1e-12
        for a, b in zip(got, expected, strict=True):
            assert str(a.dtype).endswith(dtype)
            assert str(a.device).endswith(f"{strict}')")
            np.testing.assert_allclose(dgm.to_numpy(a), b, rtol=tolerance, atol=tolerance)

    check()


@every_operation
@settings(max_examples=10)
@given(data=st.data())
def test_vjp_is_linear_in_the_cotangent(case: Case, data) -> None:
    arguments, options = data.draw(case.arguments)
    y, pull = dgm.vjp(lambda *xs: case.function(*xs, **options), *arguments)
    rng = np.random.default_rng(0)
    u, v = rng.standard_normal(y.shape), rng.standard_normal(y.shape)
    for together, a, b in zip(pull(2.0 * u - 3.0 * v), pull(u), pull(v), strict=True):
        np.testing.assert_allclose(together, 2.0 * a - 3.0 * b, rtol=1e-10, atol=1e-10)


@every_operation
@settings(max_examples=5)
@given(data=st.data())
def test_jacobian_is_the_stack_of_vjps_and_is_dual(case: Case, data) -> None:
    """J from ``jacobian``; then <u, J v> = <J' u, v>."""
    arguments, options = data.draw(case.arguments)
    x, rest = arguments[0], arguments[1:]

    def f(x):
        return case.function(x, *rest, **options)

    J = dgm.jacobian(f)(x)
    y, pull = dgm.vjp(f, x)
    assert J.shape == (*np.shape(y), *np.shape(x))
    rng = np.random.default_rng(1)
    u, v = rng.standard_normal(np.shape(y)), rng.standard_normal(np.shape(x))
    stacked = [pull(np.reshape(row, np.shape(y)))[0] for row in np.eye(np.size(y))]
    np.testing.assert_allclose(J.reshape(np.size(y), *np.shape(x)), stacked, rtol=1e-12, atol=1e-12)
    Jv = np.tensordot(J, v, axes=np.ndim(x))
    np.testing.assert_allclose(np.sum(u * Jv), np.sum(pull(u)[0] * v), rtol=1e-9, atol=1e-9)


def test_every_public_operation_is_in_the_table() -> None:
    from pydgm.autodiff.tensor import named

    steps = {
        "stop_gradient",
        "sign",
        "floor",
        "isnan",
        "isfinite",
        "argmax",
        "astype",
        "zeros_like",
        "ones_like",
        "fold",
        "unfold",
        "scatter_add",
    }
    compared = {"greater", "greater_equal", "less", "less_equal", "equal", "not_equal"}
    tested = {case.name for case in CASES}
    assert set(named) - steps - compared - tested == set()
