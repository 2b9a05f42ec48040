"""NumPy's own functions and methods on tensors, in every form in which they are called: NumPy's answer, or a refusal."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import pydgm as dgm

X = np.random.default_rng(0).standard_normal((2, 3, 3))
OPTIONS = {
    "sum": [(), (0,), (0, None), (0, float), (0, None, None, True), ((0, 1),), {"axis": 1}, {"axis": -1, "keepdims": True}],
    "mean": [(), (0,), (1, float), (1, None), {"axis": (0, 2)}, {"axis": 1, "keepdims": True}, {"dtype": "float32"}],
    "var": [(), (0,), (0, None, None, 1), {"ddof": 0}, {"ddof": 1}, {"axis": 1, "keepdims": True}, {"correction": 1}],
    "std": [(), (0,), (0, float), {"ddof": 0}, {"ddof": 1}, {"axis": 2}],
    "max": [(), (0,), (0, None, True), {"axis": 1}, {"initial": 9.0}, {"axis": (0, 1)}],
    "min": [(), (0,), (0, None, True), {"axis": 1, "keepdims": True}, {"where": X > 0, "initial": 9.0}],
    "amax": [(), (1,), (0, None, True)],
    "amin": [(), (1,), (0, None, True)],
    "argmax": [(), (0,), (1,), {"axis": 1}, {"axis": 1, "keepdims": True}],
    "cumsum": [(), (0,), (1, float), {"axis": 2}],
    "reshape": [((3, 6),), (-1,), ((3, 6), "C"), ((3, 6), "F"), ((9, 2), {"order": "F"})],
    "ravel": [(), ("C",), ("F",), ("K",), ("A",)],
    "squeeze": [(), (0,)],
    "expand_dims": [(0,), (1,), {"axis": -1}],
    "broadcast_to": [((4, 2, 3, 3),)],
    "transpose": [(), ((2, 0, 1),), {"axes": (1, 0, 2)}],
    "permute_dims": [((2, 0, 1),)],
    "swapaxes": [(0, 1), (0, -1), (-1, 1)],
    "matrix_transpose": [()],
    "flip": [(), (0,), ((0, 1),), {"axis": 1}],
    "tril": [(), (1,), {"k": -1}],
    "triu": [(), (1,), {"k": -1}],
    "pad": [(1,), ((1, 2),), (((0, 0), (1, 2), (0, 1)),), (1, "constant"), (1, "edge")],
    "diagonal": [(), (0,), (1,), (0, 1, 2), (0, 0, 2), (0, 2, 1), {"axis1": 1, "axis2": 2}],
    "take": [([0, 4],), ([0, 1], 0), ([2, -1], 1), {"indices": np.array([1]), "axis": 2}, ([0, 7], 1, None, "wrap")],
    "take_along_axis": [(np.zeros((2, 3, 1), int), 2), (np.zeros((2, 1, 3), int), 1)],
    "clip": [(-0.5, 0.5), (None, 0.5), {"a_min": -0.5, "a_max": 0.5}, {"min": 0.0}],
    "copy": [()],
    "size": [(), (1,), {"axis": 0}],
    "shape": [()],
    "ndim": [()],
    "dot": [(np.ones(3),), (np.ones((3, 2)),), (2.0,)],
    "zeros_like": [(), (int,)],
    "ones_like": [(), {"dtype": float}],
    "astype": [(float,), ("float64",)],
    "linalg.norm": [(), (2,), (1,), (None, 0), (None, (0, 1)), ("fro", (1, 2)), (2, 1), (1, 1), {"axis": 1, "keepdims": True}],
    "linalg.vector_norm": [(), {"axis": 1}, {"axis": 1, "ord": 1}, {"axis": 0, "keepdims": True}],
    "linalg.diagonal": [(), {"offset": 1}],
    "linalg.inv": [()],
    "linalg.solve": [(np.ones((3, 2)),), (np.ones((2, 3, 1)),)],
    "linalg.slogdet": [()],
    "linalg.matmul": [(np.ones((3, 2)),)],
    "cumulative_sum": [{"axis": 1}, {"axis": 0, "include_initial": True}],
    "sort": [()],
    "prod": [()],
    "median": [()],
    "argsort": [()],
}
FORMS = [(name, form) for name, forms in OPTIONS.items() for form in forms]
METHODS = [
    (name, form) for name, form in FORMS if "." not in name and hasattr(X, name) and name not in ("size", "shape", "ndim")
]


def called(function, x, form):
    if isinstance(form, dict):
        return function(x, **form)
    *plain, last = form or (None,)
    return function(x, *plain, **last) if isinstance(last, dict) else function(x, *form)


def agrees(expected, do) -> None:
    """The tensor's answer is NumPy's, and so is its derivative; or it is a refusal, of one sentence."""
    answers = []

    def total(x):
        answer = do(x)
        parts = answer if isinstance(answer, tuple) and not isinstance(answer[0], int) else [answer]
        answers.append(dgm.stop_gradient(list(parts)))
        floats = [p for p in parts if getattr(p, "dtype", None) == "float64"]
        return sum([dgm.sum(dgm.sin(p)) for p in floats], 0.0 * dgm.sum(x))

    try:
        dgm.grad(total)(X)
    except (TypeError, AttributeError) as error:
        assert "at test_numpy_forms.py" in str(error)  # noqa: PT017
        return
    expected = expected if isinstance(expected, tuple) and not isinstance(expected[0], int) else [expected]
    for a, b in zip(answers[0], expected, strict=True):
        assert np.shape(a) == np.shape(b)
        np.testing.assert_allclose(a, b, rtol=1e-12)
    dgm.testing.check_grads(total, [X], order=1)


def result(name):
    function = np
    for part in name.split("."):
        function = getattr(function, part)
    return function


@pytest.mark.parametrize(("name", "form"), FORMS, ids=[f"np.{name}{form}"[:60] for name, form in FORMS])
def test_functions(name, form) -> None:
    try:
        expected = called(result(name), X, form)
    except (TypeError, ValueError):  # NumPy has no such form
        return
    agrees(expected, lambda x: called(result(name), x, form))


@pytest.mark.parametrize(("name", "form"), METHODS, ids=[f"x.{name}{form}"[:60] for name, form in METHODS])
def test_methods(name, form) -> None:
    try:
        expected = called(getattr(type(X), name), X, form)
    except (TypeError, ValueError):
        return
    agrees(expected, lambda x: called(lambda x, *a, **k: getattr(x, name)(*a, **k), x, form))


def test_most_forms_are_answered() -> None:
    """Refusing everything would pass the tests above."""
    answered = 0
    for name, form in FORMS:
        try:
            dgm.grad(
                lambda x, name=name, form=form: dgm.sum(x) + 0.0 * np.sum(dgm.stop_gradient([called(result(name), x, form)])[0])
            )(X)
            answered += 1
        except (TypeError, ValueError):
            continue
    assert answered >= 100
    assert len(FORMS) + len(METHODS) >= 200


def test_methods_in_one_chain() -> None:
    """A function of plain NumPy keeps its form when its gradient is wanted, and when it is compiled."""

    def f(x):
        y = x.reshape(2, 9).transpose(1, 0).swapaxes(0, 1)
        return (y.sum(axis=1, keepdims=True) * y.mean(0)).clip(-1.0, 1.0).ravel().cumsum().max() + y.std() + x.T.flatten().var()

    compiled = dgm.compile(dgm.value_and_grad(f))
    for _, do in itertools.product(range(2), (dgm.value_and_grad(f), compiled)):
        value, slope = do(X)
        assert value == pytest.approx(f(X), rel=1e-12)
        assert slope.shape == X.shape
    dgm.testing.check_grads(f, [X], order=1)


@pytest.mark.parametrize("order", ["C", "F", "A", "K"])
@pytest.mark.parametrize("layout", [np.ascontiguousarray, np.asfortranarray, lambda x: x[::-1].swapaxes(0, 2)])
def test_memory_orders(order, layout) -> None:
    """Where the order of elements depends on memory, a tensor does not guess."""
    x, weights = layout(X), np.arange(18.0)
    for form in (lambda x: x.reshape(18, order=order), lambda x: np.ravel(x, order), lambda x: x.T.copy(order).reshape(18)):
        try:
            value, _ = dgm.value_and_grad(lambda x, form=form: dgm.sum(form(x) * weights))(x)
        except TypeError:
            continue
        assert value == pytest.approx(np.sum(form(x) * weights))


def test_errors_of_constructors_name_the_users_line() -> None:
    for do in (lambda: dgm.distributions.Normal(0.0, -1.0), lambda: dgm.nn.MLP([2, 1])):
        with pytest.raises((ValueError, TypeError), match=r"at test_numpy_forms.py:\d+: for do in"):
            do()
