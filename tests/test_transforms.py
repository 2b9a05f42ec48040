"""Transformations: nesting, trees, keeping levels apart, agreeing with NumPy, and long chains."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import pydgm as dgm
from pydgm.testing import arrays, check_grads


@pytest.mark.parametrize("order", range(1, 6))
def test_derivatives_of_any_order(order: int) -> None:
    f = dgm.sin
    for _ in range(order):
        f = dgm.grad(f)
    expected = [np.sin, np.cos, lambda x: -np.sin(x), lambda x: -np.cos(x)][order % 4](0.7)
    assert f(0.7) == pytest.approx(expected, abs=1e-14)


def test_nested_levels_are_not_confused() -> None:
    """d/dx [x * d/dy (x + y)] = 1, which an engine that mixes up the two levels gets wrong."""
    assert dgm.grad(lambda x: x * dgm.grad(lambda y: x + y)(1.0))(2.0) == 1.0
    inner = dgm.grad(lambda x: dgm.grad(lambda y: x * y * y)(x))  # d/dx [2 x y at y = x] = 4x, both paths counted
    assert inner(3.0) == 12.0


def test_a_constant_inside_an_inner_transformation_keeps_its_outer_derivative() -> None:
    f = dgm.grad(lambda x: dgm.value_and_grad(lambda y: dgm.exp(x) * y)(2.0)[1])
    assert f(1.0) == pytest.approx(np.e)


def test_gradient_penalty_reaches_the_weights() -> None:
    """The gradient of a squared input-gradient norm, as in WGAN-GP, against differences."""
    x = np.random.default_rng(0).standard_normal((5, 3))

    def penalty(w, v):
        slope = dgm.grad(lambda x: dgm.sum(dgm.tanh(x @ w) @ v))(x)
        return dgm.mean(dgm.square(dgm.vector_norm(slope, axis=1) - 1.0))

    rng = np.random.default_rng(1)
    check_grads(penalty, [rng.standard_normal((3, 4)), rng.standard_normal(4)])


@given(arrays((3,)), arrays((3,)))
def test_hessian_hvp_and_jacobian_agree(x, v) -> None:
    def f(x):
        return dgm.sum(dgm.sin(x) * dgm.exp(x[::-1]))

    H = dgm.hessian(f)(x)
    np.testing.assert_allclose(H, H.T, atol=1e-12)
    np.testing.assert_allclose(dgm.hvp(f, x, v), H @ v, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(dgm.jacobian(dgm.grad(f))(x), H, atol=1e-12)


def test_trees_go_in_and_come_out() -> None:
    model = {"w": np.ones((2, 2)), "rest": [np.zeros(2), (2.0, np.ones(1))], "name": "kept", "n": 3, "none": None}

    def loss(m, scale=1.0):
        return scale * dgm.sum(m["w"] ** 2) * m["rest"][1][0] + m["n"] * dgm.sum(m["rest"][0])

    g = dgm.grad(loss)(model, scale=0.5)
    np.testing.assert_array_equal(g["w"], 2 * np.ones((2, 2)))
    np.testing.assert_array_equal(g["rest"][0], [3, 3])
    assert g["rest"][1][0] == 2.0
    np.testing.assert_array_equal(g["rest"][1][1], [0])
    assert (g["name"], g["n"], g["none"]) == ("kept", 3, None)


def test_cotangents_may_be_plain_numbers() -> None:
    (g,) = dgm.vjp(lambda x: dgm.sum(x**3), np.ones(2, "float32"))[1](1.0)
    np.testing.assert_array_equal(g, np.array([3, 3], "float32"))
    assert g.dtype == np.float32
    (g,) = dgm.vjp(lambda x: x, np.ones(2, "float32"))[1](np.array([1, 2]))
    assert g.dtype == np.float32
    np.testing.assert_array_equal(dgm.jacobian(lambda a: 3.0)(np.ones(2)), [0, 0])
    assert dgm.jacobian(lambda x: x[:0])(np.ones(2)).shape == (0, 2)


def test_numpys_integers_are_integers() -> None:
    x = np.ones((1, 2, 5))
    np.testing.assert_array_equal(dgm.grad(lambda x: dgm.sum(dgm.sum(x, axis=np.int64(0))), argnums=np.int64(0))(x), x)
    assert dgm.conv1d(x, np.ones((3, 2, 2)), stride=np.int64(2)).shape == (1, 3, 2)


def test_argnums_and_aux() -> None:
    def f(a, b):
        return a * b, {"seen": a + b}

    (value, aux), (ga, gb) = dgm.value_and_grad(f, argnums=(0, 1), has_aux=True)(2.0, 3.0)
    assert (value, aux["seen"], ga, gb) == (6.0, 5.0, 3.0, 2.0)
    gradient, aux = dgm.grad(f, argnums=-1, has_aux=True)(2.0, 3.0)
    assert (gradient, aux["seen"]) == (2.0, 5.0)
    assert type(aux["seen"]) is not dgm.Tensor


def test_jacobian_and_hessian_of_trees() -> None:
    x = {"a": np.array([1.0, 2.0]), "b": np.array(3.0)}
    J = dgm.jacobian(lambda t: {"y": t["a"] * t["b"], "z": t["b"]})(x)
    np.testing.assert_array_equal(J["y"]["a"], 3.0 * np.eye(2))
    np.testing.assert_array_equal(J["y"]["b"], x["a"])
    np.testing.assert_array_equal(J["z"]["a"], [0, 0])
    H = dgm.hessian(lambda t: dgm.sum(t["a"] ** 2) * t["b"])(x)
    np.testing.assert_array_equal(H["a"]["a"], 6.0 * np.eye(2))
    np.testing.assert_array_equal(H["a"]["b"], 2.0 * x["a"])


def test_gradients_own_their_memory() -> None:
    """A gradient may be changed in place without changing another gradient or an input."""
    x = np.ones(3)
    ga, gb = dgm.grad(lambda a, b: dgm.sum(a + b), argnums=(0, 1))(x, x)
    ga *= 5.0
    np.testing.assert_array_equal(gb, np.ones(3))
    u = np.ones(3)
    (g,) = dgm.vjp(lambda a: a + 1.0, x)[1](u)
    g *= 5.0
    np.testing.assert_array_equal(u, np.ones(3))


def test_stop_gradient_at_every_level() -> None:
    f = dgm.grad(lambda x: x * dgm.stop_gradient(x))
    assert f(3.0) == 3.0
    assert dgm.grad(f)(3.0) == 0.0


def test_what_does_not_depend_on_the_argument_has_gradient_zero() -> None:
    np.testing.assert_array_equal(dgm.grad(lambda x, y: dgm.sum(y))(np.ones(2), np.ones(3)), [0, 0])
    assert dgm.grad(lambda x: 1.0)(2.0) == 0.0


def test_where_gives_the_side_not_taken_nothing() -> None:
    x = np.array([-1.0, 4.0])

    def safe_root(x):
        some = dgm.greater(x, 0)
        return dgm.sum(dgm.where(some, dgm.sqrt(dgm.where(some, x, 1.0)), 0.0))

    np.testing.assert_array_equal(dgm.grad(safe_root)(x), [0, 0.25])
    (g,) = dgm.vjp(lambda x: dgm.where(dgm.greater(x, 0), x, 0.0), x)[1](np.array([np.nan, 2.0]))
    np.testing.assert_array_equal(g, [0, 2])  # a NaN that comes from above does not pass either


def test_edges_have_finite_derivatives() -> None:
    zero = np.zeros(3)
    assert not dgm.grad(dgm.vector_norm)(zero).any()
    assert not dgm.hessian(dgm.vector_norm)(zero).any()
    far = np.array([-1000.0, 0.0, 1000.0])
    with np.errstate(all="raise", under="ignore"):
        for f, limits in [(dgm.sigmoid, [0, 0.25, 0]), (dgm.softplus, [0, 0.5, 1]), (dgm.tanh, [0, 1, 0])]:
            np.testing.assert_allclose(dgm.grad(lambda x, f=f: dgm.sum(f(x)))(far), limits)
    minus = np.array([-np.inf, 0.0, -np.inf])
    np.testing.assert_array_equal(dgm.grad(dgm.logsumexp)(minus), [0, 1, 0])
    assert dgm.grad(lambda x: x**0)(0.0) == 0.0
    assert dgm.grad(lambda x: x**1)(0.0) == 1.0
    np.testing.assert_array_equal(dgm.grad(dgm.max)(np.ones(4)), np.full(4, 0.25))
    assert not dgm.grad(dgm.std)(np.ones(3)).any()
    with pytest.warns(RuntimeWarning):  # NumPy's: the mean of nothing
        assert dgm.grad(dgm.mean)(np.zeros(0)).shape == (0,)


@pytest.mark.parametrize("x", [12.0, 17.0, 40.0, -40.0])
def test_tails_keep_their_derivatives(x) -> None:
    """sigmoid' = e^-x / (1 + e^-x)^2 and its like, to float32's precision far out."""
    tail = np.exp(-abs(x)) / (1 + np.exp(-abs(x))) ** 2
    at = np.float32(x)
    assert dgm.grad(dgm.sigmoid)(at) == pytest.approx(tail, rel=1e-5)
    assert dgm.grad(dgm.grad(dgm.softplus))(at) == pytest.approx(tail, rel=1e-5)
    assert dgm.grad(dgm.expm1)(np.float64(-x)) == pytest.approx(np.exp(-x), rel=1e-12)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_softplus_is_right_to_the_last_digits(dtype) -> None:
    """In its tail, too, where 1 + exp(x) is 1: log D of a discriminator that is sure must not be 0."""
    x = np.linspace(-80.0, 80.0, 20_001, dtype=dtype)
    exact = np.logaddexp(np.longdouble(0.0), x.astype("longdouble"))
    error = np.abs(np.asarray(dgm.softplus(x)) - exact) / exact
    assert error.max() < 4.0 * np.finfo(dtype).eps


def test_numpy_functions_work_on_tensors() -> None:
    x = np.array([[0.3, 0.7], [1.5, 2.0]])

    def numpys(x):
        y = np.tanh(x) + np.exp(-x) * np.sqrt(x) - x**1.5 + 2.0**x + np.float64(2.0) * x + x * np.ones(2) + np.zeros_like(x)
        z = np.concatenate([y, np.transpose(x)]) @ np.ones((2, 1)) + np.sum(np.maximum(x, 1.0)) / np.sum(np.mean(x, axis=0))
        w = np.dot(x, np.ones(2)) + np.einsum("ij->i", x) + np.cumsum(x)[:2] + np.take(x, np.array([0, 3]))
        return (
            np.sum(z) + np.sum(w) * np.linalg.norm(x) + np.size(x) * np.where(x > 1.0, x, 0.0)[1, 0] + np.shape(x)[0] * x[0, 0]
        )

    def ours(x):
        y = dgm.tanh(x) + dgm.exp(-x) * dgm.sqrt(x) - x**1.5 + 2.0**x + 3.0 * x
        z = dgm.concat([y, x.T]) @ np.ones((2, 1)) + dgm.sum(dgm.maximum(x, 1.0)) / dgm.sum(dgm.mean(x, axis=0))
        flat = dgm.reshape(x, (-1,))
        w = 2.0 * dgm.sum(x, axis=1) + dgm.cumulative_sum(flat)[:2] + flat[np.array([0, 3])]
        return dgm.sum(z) + dgm.sum(w) * dgm.vector_norm(x) + 4 * x[1, 0] + 2 * x[0, 0]

    assert numpys(x) == pytest.approx(ours(x), rel=1e-12)
    np.testing.assert_allclose(dgm.grad(numpys)(x), dgm.grad(ours)(x), rtol=1e-12)
    check_grads(numpys, [x], order=1)
    with pytest.raises(AttributeError, match=r"write dgm.tanh\(x\)"):
        dgm.grad(lambda x: x.tanh())(x)
    with pytest.raises(TypeError, match="say which is meant"):
        dgm.grad(lambda x: np.sum(np.dot(np.ones((2, 3, 4)), x)))(np.ones((2, 4, 6)))


def test_plain_arrays_in_plain_arrays_out() -> None:
    assert type(dgm.exp(np.ones(2))) is np.ndarray
    assert type(dgm.matmul(np.ones((2, 2)), np.ones((2, 2)))) is np.ndarray


def test_tensors_are_unpacked_and_walked_through() -> None:
    def f(x):
        a, b, c = x
        total = 0.0
        for row in x:
            total = total + row * row
        return total + a * b * c

    np.testing.assert_allclose(dgm.grad(f)(np.array([1.0, 2.0, 3.0])), [2 + 6, 4 + 3, 6 + 2])


def test_a_branch_on_a_value_is_a_branch_on_a_number() -> None:
    f = dgm.grad(lambda x: x * x if x > 1.0 else -x)
    assert (f(3.0), f(0.5)) == (6.0, -1.0)


def test_very_long_chains_need_no_recursion() -> None:
    def chain(x):
        for _ in range(20_000):
            x = dgm.sin(x)
        return x

    value, slope = dgm.value_and_grad(chain)(1.0)
    expected, x = 1.0, 1.0
    for _ in range(20_000):
        expected, x = expected * np.cos(x), np.sin(x)
    assert slope == pytest.approx(expected, rel=1e-9)
    assert value == pytest.approx(x)


def test_shared_values_are_visited_once() -> None:
    """x doubled 60 times has 2^60 paths; a walk over paths would never end."""

    def doubled(x):
        for _ in range(60):
            x = x + x
        return x

    assert dgm.grad(doubled)(1.0) == 2.0**60


STEPS = ["sin", "tanh", "sigmoid", "softplus", "add", "multiply", "flip", "matmul", "mean", "getitem", "logsumexp"]
PROGRAM = st.lists(st.tuples(st.sampled_from(STEPS), st.integers(0, 7), st.integers(0, 7)), min_size=1, max_size=12)


@given(arrays((3, 3)), arrays((3, 3)), PROGRAM)
def test_random_programs_against_differences(a, b, program) -> None:
    def run(a, b):
        values = [a, b]
        for name, i, j in program:
            x, y = values[i % len(values)], values[j % len(values)]
            if name in ("add", "multiply"):
                values.append(getattr(dgm, name)(x, y))
            elif name == "matmul":
                values.append(dgm.tanh(x @ y))
            elif name == "mean":
                values.append(x - dgm.mean(y, axis=0))
            elif name == "logsumexp":
                values.append(dgm.logsumexp(x, axis=1, keepdims=True) + y)
            elif name == "getitem":
                values.append(x[np.array([2, 0, 2])] + y)
            else:
                values.append(getattr(dgm, name)(x))
        return dgm.tanh(values[-1] * 0.1)

    check_grads(run, [a, b], order=2)


@given(arrays((3,), -1.0, 1.0), arrays((3,), -1.0, 1.0))
def test_jvp_is_the_jacobian_times_a_vector(x, v) -> None:
    def f(x):
        return dgm.stack([dgm.sin(x[0] * x[1]), x[2] ** 2 * dgm.exp(x[0])])

    value, along = dgm.jvp(f, (x,), (v,))
    np.testing.assert_allclose(value, f(x))
    np.testing.assert_allclose(along, dgm.jacobian(f)(x) @ v, atol=1e-12)
    twice = dgm.grad(lambda x: dgm.sum(dgm.jvp(f, (x,), (v,))[1]))(x)  # and on
    np.testing.assert_allclose(twice, np.einsum("kij,j->i", dgm.jacobian(dgm.jacobian(f))(x), v), atol=1e-9)
    compiled = dgm.compile(lambda x, v: dgm.jvp(f, (x,), (v,)))
    for a, b in zip(compiled(x, v), (value, along), strict=True):
        np.testing.assert_array_equal(a, b)


def test_jvp_of_trees_and_of_several_arguments() -> None:
    def f(model, x):
        return {"y": model["w"] * x, "half": 0.5 * dgm.sum(x)}

    model, dm = {"w": np.array([1.0, 2.0])}, {"w": np.array([0.5, -1.0])}
    x, dx = np.array([3.0, 4.0]), np.array([1.0, 1.0])
    value, along = dgm.jvp(f, (model, x), (dm, dx))
    np.testing.assert_allclose(value["y"], [3.0, 8.0])
    np.testing.assert_allclose(along["y"], dm["w"] * x + model["w"] * dx)
    assert float(along["half"]) == 1.0
    with pytest.raises(ValueError, match="jvp: tangents have the structure"):
        dgm.jvp(dgm.sin, (x,), (x, x))
    with pytest.raises(ValueError, match=r"jvp: a tangent \(3,\)"):
        dgm.jvp(dgm.sin, (x,), (np.ones(3),))
