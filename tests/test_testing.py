"""The public test tools: they pass what is right, catch what is wrong, and shrink it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

import pydgm as dgm
from pydgm.autodiff import transforms
from pydgm.autodiff.tensor import named, pull_back
from pydgm.backend import xp
from pydgm.testing import arrays, broadcastable_shapes, check_grads, trees

from .cases import CASES


def students_operation(rule):
    @dgm.operation(rule)
    def _swish(x):
        return x / (1.0 + xp.exp(-x))

    return _swish


def right(g, y, x):
    s = dgm.sigmoid(x)
    return g * (s + x * s * (1.0 - s))


def forgets_a_term(g, y, x):
    return g * dgm.sigmoid(x)


def raw_library(g, y, x):
    """Right at first order; but it calls the library, not operations, so it has no second derivative."""
    x = x.value if type(x) is dgm.Tensor else x
    s = 1.0 / (1.0 + xp.exp(-x))
    return g * (s + x * s * (1.0 - s))


@given(arrays())
def test_a_right_derivative_passes(x) -> None:
    check_grads(students_operation(right), [x])


def test_a_wrong_derivative_is_caught_and_shrunk() -> None:
    seen = []

    @settings(max_examples=100)
    @given(arrays())
    def property_test(x):
        seen.append(x)
        check_grads(students_operation(forgets_a_term), [x])

    with pytest.raises(AssertionError, match=r"derivative of order 1 in args\[0\]: reverse mode says .* finite differences"):
        property_test()
    assert seen[-1].size == 1  # the failure that is shown is a single number,
    assert abs(seen[-1]).item() == 1 / 32  # and the simplest there is


def test_a_rule_that_ends_at_first_order_is_caught_at_the_second() -> None:
    check_grads(students_operation(raw_library), [np.array([0.3])], order=1)
    with pytest.raises(AssertionError, match="derivative of order 2"):
        check_grads(students_operation(raw_library), [np.array([0.3])], order=2)


def test_a_rule_of_the_wrong_shape_is_named() -> None:
    op = students_operation(lambda g, y, x: dgm.sum(g))
    with pytest.raises(dgm.errors.ShapeError, match=r"the derivative of _swish has shape \(\) for an argument of shape \(3,\)"):
        dgm.grad(lambda x: dgm.sum(op(x)))(np.ones(3))


def test_a_students_operation_does_not_replace_pydgms() -> None:
    @dgm.operation(lambda g, y, x: 5.0 * g * y)
    def exp(x):
        return xp.exp(x)

    assert dgm.grad(exp)(0.0) == 5.0
    assert dgm.grad(lambda x: np.exp(x))(0.0) == 1.0


def test_a_missing_rule_is_named() -> None:
    @dgm.operation(lambda g, y, a, b: g * b)
    def product(a, b):
        return a * b

    with pytest.raises(TypeError, match="product has no derivative in its argument 1"):
        dgm.grad(lambda b: product(2.0, b))(3.0)


def test_an_all_ones_cotangent_would_not_do() -> None:
    """A rule that reverses its cotangent passes with ones and fails here."""

    @dgm.operation(lambda g, y, x: dgm.flip(g, 0))
    def _copy(x):
        return 1.0 * x

    np.testing.assert_array_equal(dgm.grad(lambda x: dgm.sum(_copy(x)))(np.ones(3)), np.ones(3))
    with pytest.raises(AssertionError):
        check_grads(_copy, [np.ones(3)])


def test_a_kink_is_called_a_kink() -> None:
    with pytest.raises(AssertionError, match="a kink, or too much curvature, is near"):
        check_grads(dgm.relu, [np.array([1e-5])])


def test_one_array_is_not_a_list_of_arguments() -> None:
    with pytest.raises(TypeError, match=r"\[x\], not x"):
        check_grads(dgm.exp, np.ones(2))


def test_float32_is_refused() -> None:
    with pytest.raises(TypeError, match="needs float64"):
        check_grads(dgm.exp, [np.ones(2, "float32")])


with_a_derivative = [case for case in CASES if case.name in named]


@pytest.mark.parametrize("case", with_a_derivative, ids=[c.name for c in with_a_derivative])
def test_a_factor_of_1_00001_in_any_derivative_is_seen(case, monkeypatch) -> None:
    """Mutation: with its gradient made wrong by 1e-5, the test of every operation turns red."""
    monkeypatch.setattr(transforms, "pull_back", lambda *run: [g if g is None else g * 1.00001 for g in pull_back(*run)])

    @settings(max_examples=50, phases=[Phase.generate])
    @given(case.arguments)
    def check(drawn):
        arguments, options = drawn
        check_grads(lambda *xs: case.function(*xs, **options), arguments, order=1)

    with pytest.raises(AssertionError, match="derivative of order 1"):
        check()


@given(broadcastable_shapes(3))
def test_broadcastable_shapes_broadcast(result) -> None:
    np.broadcast_shapes(*result)


@given(trees(), st.integers(0, 3))
def test_trees_survive_being_taken_apart(tree, n) -> None:
    leaves, structure = dgm.trees.flatten(tree)
    again = dgm.trees.unflatten(structure, leaves)
    assert dgm.trees.flatten(again)[1] == structure
    assert all(a is b for a, b in zip(dgm.trees.leaves(again), leaves, strict=True))
    assert len(dgm.trees.paths(structure)) == len(leaves)
    doubled = dgm.trees.map(lambda x: 2.0 * x, tree)
    for a, b in zip(dgm.trees.leaves(doubled), leaves, strict=True):
        np.testing.assert_array_equal(a, 2.0 * b)
