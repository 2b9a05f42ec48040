"""Programs that once came out wrong when compiled, or changed memory that was not theirs: each stays right."""

from __future__ import annotations

import enum
import types

import numpy as np
import pytest

import pydgm as dgm
from pydgm import nn, optim, train
from pydgm.compile import TraceError

from .test_compile import same_bits

X = np.array([0.5, 2.0, 3.0])
SQUARE = np.arange(9.0).reshape(3, 3) / 7 + 0.3
WIDE = np.random.default_rng(0).standard_normal((33, 100))
F_ORDER = np.asfortranarray(np.random.default_rng(1).standard_normal((137, 91), dtype="float32"))
HALVES = np.full((137, 91), 0.5, "float32")


class Axis(enum.IntEnum):
    ROWS, COLUMNS = 0, 1


def _unstacked(x):
    a, _ = np.unstack(np.exp(x[:2]))
    return a + np.exp(2.0 * x)[0]


RIGHT = {
    "views inside the results of one call": (_unstacked, (X,)),
    "negative base of a power": (lambda x, t: (x * (-2.0) ** t, (-2.0) ** t), (X, 2.0)),
    "axes and order as keywords": (
        lambda x: (np.transpose(x, axes=(0, 2, 1)), np.reshape(x, (4, 2), order="F"), np.reshape(x, (4, 2), "F")),
        (np.arange(8.0).reshape(2, 2, 2),),
    ),
    "a traced array to the left of a tensor": (
        lambda x, w: dgm.grad(
            lambda w: dgm.sum(x**w) + dgm.sum(np.concatenate([x, w]) ** 2) + np.dot(x, w) + dgm.sum(np.where(x > 1, w, 0.0))
        )(w),
        (X, X + 1.0),
    ),
    "numbers are Python's, scalars NumPy's": (
        lambda x, t: (
            x * dgm.exp(t),
            x * (t * np.float64(0.5)),
            x * ((t > 0) * 2.0),
            x * ((t > 0) + (t > 1)),
            np.cos(t),
            x * (t + 1j),
        ),
        (X.astype("float32"), 2.0),
    ),
    "derivatives in and with numbers": (
        lambda x, p: (dgm.grad(lambda p: p * p)(p), dgm.grad(lambda x: dgm.sum(x**p))(x), dgm.grad(lambda x: dgm.sum(p**x))(x)),
        (X, 1.7),
    ),
    "arrays made of numbers": (lambda t: (dgm.reshape(t, (1,)), dgm.stack([t, t])), (2.0,)),
    "order of a dict": (lambda d: (sum(d.values()), {"z": d["a"], "b": 1.0}), ({"z": 1e16 * X, "b": -1e16 * X, "a": X},)),
    "memory order beside constants": (lambda x: (HALVES * x, dgm.sum(HALVES * x), dgm.sum(1.0 * (HALVES * x))), (F_ORDER,)),
    "scalars stay scalars": (lambda x: 1.0 * np.copy(x), (np.array(2.0),)),
    "a repeated value that is returned": (
        lambda x: (lambda y: (y, dgm.sum(y, axis=0)))(dgm.broadcast_to(x * 1.1, (5, 20, 100))[0]),
        (WIDE[0],),
    ),
    "equal factors of a matrix product": (lambda x: (dgm.exp(x) @ dgm.exp(x).T, (1.0 * (x + 1.0)) @ (x + 1.0).T), (WIDE,)),
    "rows by a tuple": (lambda x: dgm.take(x, (0, 2), axis=0), (SQUARE,)),
    "an enumeration as axis": (lambda x: np.sum(x, axis=Axis.COLUMNS), (SQUARE,)),
    "other operators": (lambda x, t: (2 % x, 2 // t, t % 1.5, (x > 1) ^ (x > 2)), (X, 2.5)),
    "parts in a list": (lambda x: np.split(x * 2.0, 3), (X,)),
    "methods": (lambda x: (x.sum(axis=0), x.reshape(9), x.reshape(1, 9), x.T.mean(), x.max(), x.astype("float32")), (SQUARE,)),
    "other ufuncs": (lambda x: np.float_power(x, 0.1), (X.astype("float32"),)),
}


@pytest.mark.parametrize("name", RIGHT)
def test_right(name) -> None:
    function, arguments = RIGHT[name]
    step = dgm.compile(function)
    first = step(*arguments)
    again = step(*arguments)
    same_bits(first, function(*arguments))
    same_bits(again, function(*arguments))
    if isinstance(first, dict):
        assert list(first) == list(function(*arguments))


def test_settings_that_are_equal_but_not_the_same() -> None:
    class Scale(nn.Module):
        w: object
        by: object = 1

    step = dgm.compile(lambda m: m.w * m.by if m.by else m.w / m.by)
    w = np.arange(1, 4)
    with np.errstate(divide="ignore"):
        for by in (2, 2.0, True, 1, 1.0, 0.0, -0.0):
            same_bits(step(Scale(w, by)), step.function(Scale(w, by)))

    class Masked(nn.Module):
        w: object
        table: object = nn.static()

    step = dgm.compile(lambda m: m.w / m.table)
    table = np.zeros(3)
    with np.errstate(divide="ignore"):
        for sign in (1.0, -1.0):
            same_bits(step(Masked(X, sign * table)), X / (sign * table))
        table[0] = 2.0
        step(Masked(X, -table))
    kept = np.ones(3)
    step(Masked(X, kept))
    kept[0] = 5.0
    with pytest.raises(TraceError, match="has changed since"):
        step(Masked(X, kept))


def one_hot(labels):
    z = np.zeros((2, 3))
    np.put_along_axis(z, labels[:, None], 1.0, axis=1)
    return z


def masks(x):
    mask, total = np.zeros(3), 0.0
    for k in range(3):
        mask[k] = 1.0
        total = total + x * mask
    return total


def augmented(x):
    y = x * 2.0
    y += 1.0
    return y


@pytest.mark.parametrize(
    ("function", "argument", "said"),
    [
        (one_hot, np.array([0, 2]), "put_along_axis writes into an array"),
        (lambda x: np.sum(x, axis=0, out=np.zeros(3)), SQUARE, "writes into an array"),
        (lambda x: np.nan_to_num(x, copy=False), X, "writes into an array"),
        (masks, X, "was changed in place afterwards"),
        (augmented, X, r"write x = x \+ y"),
        (np.bincount, np.array([0, 2]), "shape of the result depends"),
        (lambda x: f"{x:.2f}", 2.0, "cannot use the value"),
        (lambda x: x + dgm.random.Generator(0).normal((3,)), X, "makes a generator"),
    ],
)
def test_refused(function, argument, said) -> None:
    with pytest.raises((TraceError, RuntimeError), match=said) as error:
        dgm.compile(function)(argument)
    assert "test_compile_reported.py" in str(error.value)


class Holder:
    def __init__(self) -> None:
        self.w, self.history = np.ones(2), [np.zeros(2)]

    def step(self, x):
        return x * self.w

    def __call__(self, x):
        return x + self.w


def test_outer_arrays_are_watched_wherever_they_are() -> None:
    holder, inner_w, default = Holder(), np.ones(2), np.ones(2)
    inner = dgm.compile(lambda x: x * inner_w)
    space = types.SimpleNamespace(w=np.ones(2))

    def with_default(x, w=default):
        return x * w

    cases = [
        (holder.step, holder.w),
        (holder, holder.w),
        (lambda x: x * holder.w, holder.w),
        (lambda x: inner(x), inner_w),
        (lambda x: x * space.w, space.w),
    ]
    for function, array in cases:
        step = dgm.compile(function)
        array[0] = 1.0
        step(np.ones(2))
        holder.history.append(np.ones(2))  # not used, so it may change
        step(np.ones(2))
        array[0] = 7.0
        with pytest.raises(TraceError, match="has changed"):
            step(np.ones(2))
    assert with_default(1.0) is not None


def test_donated_memory_of_other_kinds() -> None:
    memory = bytearray(np.arange(4.0).tobytes())
    a, b = np.frombuffer(memory), np.frombuffer(memory)
    first, second = dgm.compile(lambda a, b: (2.0 * a + 1.0, 3.0 * b), donate=0)(a, b)
    np.testing.assert_array_equal(first, 2 * np.arange(4.0) + 1)
    np.testing.assert_array_equal(second, 3 * np.arange(4.0))
    np.testing.assert_array_equal(b, np.arange(4.0))
    for make in (lambda: WIDE.copy()[:, ::2], lambda: WIDE.copy()[::-1, 1::3]):  # a copy sums in the same order
        w, plain = make(), make()
        w.setflags(write=False)
        same_bits(dgm.compile(lambda w: (w + 1.0, dgm.sum(w)), donate=0)(w), (plain + 1.0, dgm.sum(plain)))


def test_a_call_that_fails_has_spent_what_was_donated() -> None:
    step = dgm.compile(lambda w, a: (w * 2.0) @ dgm.inv(a), donate=0)
    step(np.ones((2, 2)), np.eye(2))
    w = np.ones((2, 2))
    with pytest.raises(np.linalg.LinAlgError):  # in a call that is checked, it is not
        step(w, np.zeros((2, 2)))
    np.testing.assert_array_equal(step(w, np.eye(2)), np.full((2, 2), 2.0))
    w = np.ones((2, 2))
    with pytest.raises(np.linalg.LinAlgError):
        step(w, np.zeros((2, 2)))
    with pytest.raises(TraceError, match="was donated"):
        step(w, np.eye(2))


def test_two_results_are_two_arrays() -> None:
    a, b = dgm.compile(lambda x: (dgm.exp(x), dgm.exp(x)))(X)
    a[0] = 0.0
    assert b[0] == np.exp(0.5)


def test_arguments_by_keyword_and_left_out() -> None:
    step = dgm.compile(lambda x, a=1.0, b=2.0: x * a + b, donate=1)
    np.testing.assert_array_equal(step(X, b=3.0), X + 3.0)
    np.testing.assert_array_equal(step(X), X + 2.0)
    with pytest.raises(ValueError, match="from 0"):
        dgm.compile(lambda x: x, donate=-1)


def test_a_schedule_with_where_keeps_float32() -> None:
    def rate(step):
        return dgm.where(step < 2, 0.1, 0.01)

    step = train.minimise(lambda w, x, rng: dgm.sum((w - x) ** 2), optim.sgd(rate))
    start = step.init(np.zeros(3, "float32"), dgm.random.Generator(0))
    assert train.run(step, start, [X.astype("float32")] * 4).model.dtype == np.float32
