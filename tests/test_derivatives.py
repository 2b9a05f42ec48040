"""Every operation of the table: first and second derivative against differences, dtypes, and other array libraries."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.special
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


def lifted(option, lift):
    if isinstance(option, tuple):
        return tuple(lifted(o, lift) for o in option)
    return lift(option) if isinstance(option, np.ndarray) else option


@every_operation
def test_on_another_device(case: Case, elsewhere) -> None:
    dtype = elsewhere.dtype

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
        elsewhere.use()
        noise = np.random.default_rng(0)
        got = run(backend.asarray)
        tolerance = 1e-4 if dtype == "float32" else 1e-12
        for a, b in zip(got, expected, strict=True):
            assert str(a.dtype).endswith(dtype)
            assert elsewhere.holds(a)
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


def pad_reference(x, widths):
    return np.pad(x, widths) if x.ndim else x


def pool_reference(reduce):
    def pool(x, window, stride):
        stride, n = stride or window, x.ndim - 2
        seen = np.lib.stride_tricks.sliding_window_view(x, (window,) * n, axis=tuple(range(2, x.ndim)))
        return reduce(seen[(slice(None), slice(None), *[slice(None, None, stride)] * n)], axis=tuple(range(-n, 0)))

    return pool


def geometry(n, stride, padding, dilation):
    """Of each of n axes: stride, dilation, zeros before, and zeros in all."""
    ends = np.broadcast_to(np.array(padding), (n, 2))
    return np.broadcast_to(stride, n), np.broadcast_to(dilation, n), ends[:, 0], ends.sum(1)


def conv_reference(x, w, stride, padding, dilation):
    """The definition, one output and one place of the window at a time."""
    s, d, before, around = geometry(x.ndim - 2, stride, padding, dilation)
    window, space = np.array(w.shape[2:]), np.array(x.shape[2:])
    y = np.zeros((x.shape[0], w.shape[0], *((space + around - d * (window - 1) - 1) // s + 1)))
    for q in np.ndindex(*y.shape[2:]):
        for k in np.ndindex(*window):
            r = s * q + d * k - before
            if all(r >= 0) and all(r < space):
                y[(..., *q)] += x[(..., *r)] @ w[(..., *k)].T
    return y


def transposed_reference(x, w, stride, padding, dilation):
    """The definition, one input at a time: each adds its window."""
    s, d, before, around = geometry(x.ndim - 2, stride, padding, dilation)
    window = np.array(w.shape[2:])
    y = np.zeros((x.shape[0], w.shape[1], *((np.array(x.shape[2:]) - 1) * s + d * (window - 1) + 1 - around)))
    for q in np.ndindex(*x.shape[2:]):
        for k in np.ndindex(*window):
            r = s * q + d * k - before
            if all(r >= 0) and all(r < y.shape[2:]):
                y[(..., *r)] += x[(..., *q)] @ w[(..., *k)]
    return y


REFERENCES = {
    "negative": np.negative, "square": lambda x: x * x, "exp": np.exp, "expm1": np.expm1, "abs": np.abs, "sin": np.sin,
    "cos": np.cos, "tanh": np.tanh, "sigmoid": scipy.special.expit, "softplus": lambda x: np.logaddexp(0, x),
    "relu": lambda x: np.maximum(x, 0), "leaky_relu": lambda x: np.where(x > 0, x, 0.2 * x), "sqrt": np.sqrt, "log": np.log,
    "log1p": np.log1p, "add": np.add, "subtract": np.subtract, "multiply": np.multiply, "divide": np.divide, "pow": np.power,
    "pow_fixed": lambda x, p: x**p, "pow_of_number": lambda x: 1.5**x, "maximum": np.maximum, "minimum": np.minimum,
    "clip": lambda x, min, max: np.clip(x, min, max), "where": lambda x, a, b: np.where(x > 0, a * x, b), "sum": np.sum,
    "mean": np.mean, "var": np.var, "max": np.max, "min": np.min, "logsumexp": scipy.special.logsumexp,
    "vector_norm": np.linalg.vector_norm, "cumulative_sum": np.cumsum, "softmax": scipy.special.softmax,
    "log_softmax": scipy.special.log_softmax, "reshape": np.reshape, "permute_dims": np.transpose,
    "matrix_transpose": np.matrix_transpose, "expand_dims": np.expand_dims, "squeeze": lambda x: x,
    "broadcast_to": np.broadcast_to, "concat": lambda *xs, axis: np.concatenate(xs, axis),
    "stack": lambda *xs, axis: np.stack(xs, axis), "flip": np.flip, "pad": pad_reference, "tril": np.tril, "triu": np.triu,
    "diagonal": lambda x: np.diagonal(x, axis1=-2, axis2=-1), "getitem": lambda x, key: x[key], "take": np.take,
    "take_along_axis": np.take_along_axis, "matmul": np.matmul, "einsum": lambda *xs, pattern: np.einsum(pattern, *xs),
    "solve": np.linalg.solve, "inv": np.linalg.inv, "slogdet": lambda a: np.linalg.slogdet(a)[1],
    "cholesky": lambda a: np.linalg.cholesky(a + np.matrix_transpose(a)), "conv1d": conv_reference, "conv2d": conv_reference,
    "conv_transpose1d": transposed_reference, "conv_transpose2d": transposed_reference, "max_pool": pool_reference(np.max),
    "avg_pool": pool_reference(np.mean),
}  # fmt: skip


@every_operation
@given(data=st.data())
def test_values_are_those_of_numpy_and_scipy(case: Case, data) -> None:
    arguments, options = data.draw(case.arguments)
    if case.name == "sum_to":  # the adjoint of broadcast_to is known by its definition: <sum_to(x), v> = <x, broadcast_to(v)>
        v = np.random.default_rng(0).standard_normal(options["shape"])
        expected = np.sum(arguments[0] * np.broadcast_to(v, arguments[0].shape))
        assert np.sum(dgm.sum_to(*arguments, **options) * v) == pytest.approx(expected, abs=1e-9)
    else:
        expected = REFERENCES[case.name](*arguments, **options)
        np.testing.assert_allclose(case.function(*arguments, **options), expected, rtol=1e-11, atol=1e-11)


def test_steps_and_signs_have_numpys_values() -> None:
    x = np.array([-1.5, -0.0, 0.0, 0.5, 2.0, np.nan, np.inf])
    y = np.array([-1.5, 1.0, 0.0, 0.0, np.nan, np.nan, np.inf])
    with np.errstate(invalid="ignore"):
        for name in ["sign", "floor", "isnan", "isfinite", "zeros_like", "ones_like"]:
            np.testing.assert_array_equal(getattr(dgm, name)(x), getattr(np, name)(x))
        for name in ["greater", "greater_equal", "less", "less_equal", "equal", "not_equal"]:
            np.testing.assert_array_equal(getattr(dgm, name)(x, y), getattr(np, name)(x, y))
    z = np.random.default_rng(0).standard_normal((3, 4))
    np.testing.assert_array_equal(dgm.argmax(z, axis=1), np.argmax(z, axis=1))
    np.testing.assert_allclose(dgm.std(z, axis=1), np.std(z, axis=1))
    np.testing.assert_array_equal(dgm.slogdet(np.diag([1.0, -2.0])).sign, -1)
    np.testing.assert_array_equal(dgm.astype(z, np.float32), z.astype("float32"))


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
        "correlate",
        "spread",
        "weight_gradient",
        "fold",
        "unfold",
        "scatter_add",
    }
    compared = {"greater", "greater_equal", "less", "less_equal", "equal", "not_equal"}
    tested = {case.name for case in CASES}
    assert set(named) - steps - compared - tested == set()
