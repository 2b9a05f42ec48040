"""What a compiled function depends on beside its arguments: it answers as the function does, or it says what has changed."""

from __future__ import annotations

import copy
import functools
import itertools
import pickle
import threading
import types

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pydgm as dgm
from pydgm.compile import TraceError
from pydgm.compile.selfcheck import same_bits as same_leaf
from pydgm.distributions import Bernoulli, Normal, Uniform

from .test_compile import copied, same_bits

X = np.array([[0.5, -1.25], [0.0, 2.0]])


class Holder:
    shared = 1.0

    def __init__(self) -> None:
        self.own = 1.0
        self.array = np.ones(2)


class Outside:
    """One thing outside of a function: how the function reads it, and how it is changed between two calls."""

    def __init__(self, kind: str) -> None:
        number, array, table, items, holder = 1.0, np.ones(2), {"w": np.ones(2)}, [1.0, 2.0], Holder()
        clock, noise = itertools.count(1), np.random.default_rng(0)
        epoch, mode, function, stream = {"epoch": 1}, ["train"], dgm.tanh, dgm.random.Generator(0)

        def helper(x):
            return x * number

        def again() -> None:
            nonlocal number, array, function, stream
            if kind in ("number", "through a helper", "through partial"):
                number += 1.0
            elif kind == "array":
                array = array + 1.0
            elif kind == "array in place":
                array[1] += 1.0
            elif kind == "dict":
                table["w"] = table["w"] + 1.0
            elif kind == "array of a dict in place":
                table["w"][0] += 1.0
            elif kind == "list":
                items[0] += 1.0
            elif kind == "dict of integers":
                epoch["epoch"] += 1
            elif kind == "list of texts":
                mode[0] += "!"
            elif kind == "function":
                function = dgm.sin if function is dgm.tanh else dgm.tanh
            elif kind == "generator":
                stream = dgm.random.Generator(1)
            elif kind == "attribute":
                holder.own += 1.0
            elif kind == "array of an attribute":
                holder.array = holder.array + 1.0
            elif kind == "attribute cast":
                holder.array += 1.0
            elif kind == "class attribute":
                Holder.shared += 1.0

        self.change = again
        self.read = {
            "number": lambda x: x * number,
            "through a helper": helper,
            "through partial": functools.partial(lambda f, x: f(x), helper),
            "array": lambda x: x * array,
            "array in place": lambda x: x * array,
            "dict": lambda x: x * table["w"],
            "array of a dict in place": lambda x: x * table["w"],
            "list": lambda x: x * items[0],
            "dict of integers": lambda x: x * epoch["epoch"],
            "list of texts": lambda x: x * len(mode[0]),
            "function": lambda x: function(x),
            "generator": lambda x: x + 0.0 * stream.normal((2, 2), "float64"),
            "attribute": lambda x: x * holder.own,
            "array of an attribute": lambda x: x * holder.array,
            "attribute cast": lambda x: x * holder.array.astype("float32"),
            "class attribute": lambda x: x * Holder.shared,
            "counter": lambda x: x * next(clock),
            "numpy.random": lambda x: x * np.random.standard_normal(),
            "a generator": lambda x: x * noise.random(),
            "a fresh generator": lambda x: x * np.random.default_rng().random(),
        }[kind]


VARIABLES = [
    "number",
    "through a helper",
    "through partial",
    "array",
    "array in place",
    "dict",
    "array of a dict in place",
    "list",
]
OBJECTS = ["attribute", "array of an attribute", "attribute cast", "class attribute"]
MOVING = ["counter", "numpy.random", "a generator", "a fresh generator"]
AROUND = st.lists(st.sampled_from(["tanh", "sin", "double", "sum", "grad"]), max_size=4)


def around(names, inner):
    """A random program around what reads the outside."""

    def f(x):
        y = inner(x)
        for name in names:
            y = {
                "tanh": dgm.tanh,
                "sin": dgm.sin,
                "double": lambda y: 2.0 * y,
                "sum": lambda y: y - dgm.sum(y, axis=0),
                "grad": lambda y: dgm.grad(lambda z: dgm.sum(z * z * y))(y),
            }[name](y)
        return y

    return f


@settings(max_examples=150)
@given(st.sampled_from(VARIABLES + OBJECTS), AROUND, st.lists(st.booleans(), min_size=8, max_size=8), st.booleans())
def test_outer_state_is_noticed(kind, names, changes, donate) -> None:
    """A variable at the next call; an attribute at the next call that is checked, 2, 4 or 8. Never a wrong answer there."""
    outside = Outside(kind)
    f = around(names, outside.read)
    step = dgm.compile(f, donate=(0,) if donate else ())
    changed = False
    for call in range(1, 9):
        looked_at = kind in VARIABLES or call in (2, 4, 8)
        x = X.copy()
        with np.errstate(all="ignore"):
            expected = f(X)
        try:
            result = step(x)
        except TraceError:
            assert changed
            np.testing.assert_array_equal(x, X)  # nothing has happened
            return
        if looked_at:
            same_bits(result, expected)
        if changes[call - 1]:
            outside.change()
            changed = True
    Holder.shared = 1.0


@settings(max_examples=40)
@given(st.sampled_from(MOVING), AROUND)
def test_what_moves_by_itself_is_refused_by_the_second_call(kind, names) -> None:
    step = dgm.compile(around(names, Outside(kind).read))
    state = np.random.get_state()[1].copy()

    def twice() -> None:
        for _ in range(2):
            step(X)

    with pytest.raises(TraceError):
        twice()
    assert (np.random.get_state()[1] == state).all()


@settings(max_examples=150)
@given(
    st.integers(0, 2),
    st.lists(st.sampled_from([0.0, 1.0, 2.0, 3.0, 0.5, -1.0, -0.0]), min_size=2, max_size=5),
    st.sampled_from(["float32", "float64", ">f8", "float16"]),
    st.booleans(),
)
def test_exponents_of_every_kind(order, exponents, dtype, by_exponent) -> None:
    """x**t for a float argument t: one program serves them all, also where x and t are 0, and in every derivative."""
    x = X.astype(dtype)

    def f(x, t):
        def power(x, t):
            return dgm.sum(x**t) + dgm.sum(dgm.abs(x) ** (2.0 * t))

        g = power
        for _ in range(order):
            g = (lambda h: lambda x, t: dgm.sum(dgm.grad(h)(x, t)))(g)
        return dgm.grad(g, argnums=1 if by_exponent else 0)(x, t)

    step = dgm.compile(f)
    with np.errstate(all="ignore"):
        for t in exponents:
            result, expected = step(x, t), f(x, t)
            assert same_leaf(np.asarray(result), np.asarray(expected)), (t, result, expected)
    assert step.traces == 1


@settings(max_examples=60)
@given(
    st.sampled_from([">f8", ">f4", "float16", "float32", "float64", "longdouble"]),
    st.sampled_from(["C", "F", "reversed", "strided"]),
    AROUND,
    st.booleans(),
)
def test_dtypes_and_layouts(dtype, layout, names, donate) -> None:
    base = np.linspace(-1.0, 2.0, 24).reshape(4, 6).astype(dtype)
    view = {"C": base, "F": np.asfortranarray(base), "reversed": base[::-1, ::-1], "strided": base[::2, ::3]}[layout]

    def f(x):
        return dgm.value_and_grad(lambda x: dgm.mean(around(names, dgm.tanh)(x)))(x)

    step = dgm.compile(f, donate=(0,) if donate else ())
    for _ in range(3):
        x = view.copy(order="K") if donate else view
        expected = f(view.copy(order="K") if donate else view)
        result = step(x)
        assert all(map(same_leaf, dgm.trees.leaves(result), dgm.trees.leaves(expected)))


@settings(max_examples=40)
@given(
    st.sampled_from([Normal, Uniform, Bernoulli]),
    st.sampled_from(["float32", "float64"]),
    st.lists(st.floats(0.1, 3.0), min_size=2, max_size=4),
)
def test_distributions_of_numbers_keep_the_dtype(kind, dtype, numbers) -> None:
    x = np.array([0.25, 0.0625], dtype)

    def f(x, s):
        p = kind(s) if kind is Bernoulli else kind(0.0, s)
        return p.log_prob(x), p.entropy() + 0.0 * x

    step = dgm.compile(f)
    for s in numbers:
        same_bits(step(x, s), f(x, s))
    assert step.traces == 1


class Marked(np.ndarray):
    """A subclass that somebody wrote."""


@pytest.mark.filterwarnings("ignore:the matrix subclass")
@pytest.mark.parametrize("make", [lambda x: np.ma.array(x, mask=x > 1), np.matrix, lambda x: x.view(Marked)])
def test_subclasses_are_refused_wherever_they_come_from(make) -> None:
    outer = make(X)
    for f, arguments in [
        (dgm.sum, (make(X),)),
        (lambda p: p["a"] * 2.0, ({"a": make(X)},)),
        (lambda x: x + outer, (X,)),
    ]:
        with pytest.raises(TraceError, match="takes plain arrays"):
            dgm.compile(f)(*arguments)


def test_files_mapped_into_memory_are_arrays(tmp_path) -> None:
    np.save(tmp_path / "x.npy", X)
    x = np.load(tmp_path / "x.npy", mmap_mode="r")
    step = dgm.compile(lambda x: dgm.tanh(x) * 2.0)
    for _ in range(3):
        same_bits(copied(step(x)), np.tanh(X) * 2.0)


@settings(max_examples=60)
@given(st.lists(st.sampled_from(["array", "replace", "number", "append", "key"]), min_size=8, max_size=8))
def test_arguments_that_change_are_seen_at_every_call(changes) -> None:
    """Dicts and lists are taken apart at each call, so whatever happens to them in between counts."""
    tree = {"w": np.ones((2, 2)), "list": [1.0, 2.0], "n": 1}

    def f(tree, x):
        total = x * tree["w"] * tree["n"]
        for number in tree["list"]:
            total = total + number
        return total + sum(1.0 for key in tree if key.startswith("extra"))

    step = dgm.compile(f)
    for i, change in enumerate(changes):
        same_bits(step(tree, X), f(tree, X))
        if change == "array":
            tree["w"] += 1.0
        elif change == "replace":
            tree["w"] = tree["w"] * 2.0
        elif change == "number":
            tree["n"] += 1
        elif change == "append":
            tree["list"].append(float(i))
        else:
            tree[f"extra{i}"] = None


def test_a_check_can_be_left_out_and_costs_a_run_of_the_function() -> None:
    runs = []
    for check in (True, False):
        count = itertools.count()
        step = dgm.compile(lambda x, count=count: (next(count), x * 2.0)[1], check=check)
        for _ in range(100):
            step(X)
        runs.append(next(count))
    assert runs == [1 + 6, 1]  # recorded; checked at calls 2, 4, 8, 16, 32, 64


def test_noise_is_drawn_once_by_a_call_that_is_checked() -> None:
    rng, again = dgm.random.Generator(0), dgm.random.Generator(0)
    step = dgm.compile(lambda x: x + rng.normal((2, 2), "float64"), donate=0)
    for _ in range(20):
        np.testing.assert_array_equal(step(X.copy()), X + again.normal((2, 2), "float64"))


def test_threads_debug_and_run_eagerly_each_for_itself() -> None:
    step = dgm.compile(lambda x: x * 2.0)
    seen = {}

    def other() -> None:
        step(X)
        seen["traces"] = step.traces
        with np.errstate(all="ignore"):
            seen["nan"] = dgm.log(-np.ones(1))

    with dgm.eager(), dgm.debug_nans():
        step(X)
        assert step.traces == 0
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
    assert seen["traces"] == 1
    assert np.isnan(seen["nan"]).all()


def test_a_method_binds() -> None:
    class Scale(dgm.Module):
        w: object

        @dgm.compile
        def apply(self, x):
            return self.w * x

    for w in (np.ones(2), np.full(2, 3.0)):
        same_bits(Scale(w).apply(X), w * X)
    assert Scale.apply.traces == 1


def test_namedtuples_of_numpy_keep_their_names() -> None:
    step = dgm.compile(lambda x: np.linalg.slogdet(x).logabsdet + np.linalg.eigh(x).eigenvalues)
    for _ in range(2):
        np.testing.assert_allclose(step(np.eye(2) * 2.0), np.full(2, 2.0 * np.log(2.0) + 2.0))


def test_a_constant_changed_and_changed_back_is_noticed() -> None:
    table = np.ones(2)

    def f(x):
        y = x * table
        table[:] = 5.0
        y = y + x * table
        table[:] = 1.0
        return y

    step = dgm.compile(f)
    step(X)
    with pytest.raises(TraceError):
        step(X)


def test_the_source_that_is_shown_gives_the_same_bits() -> None:
    """Also where buffers lie in another memory order."""

    def f(a, b):
        return dgm.sum(dgm.tanh(a.T + b) * 2.0 + b, axis=0), dgm.exp(a.T) @ b.T

    a, b = np.asfortranarray(np.linspace(-1.0, 1.0, 30).reshape(5, 6)), np.linspace(0.0, 1.0, 30).reshape(6, 5)
    step = dgm.compile(f)
    result = step(a, b)
    space = dict(step.constants)
    exec(step.source, space)
    same_bits(list(result), space["f"](a, b))


def test_results_that_are_no_arrays() -> None:
    """A flag made of traced numbers is a result like any other; a text that is made of them is frozen, and says so."""
    step = dgm.compile(lambda w, t: (w * t, t > 3.0, np.array_equal(w, w)))
    for t in (2.0, 4.0, 5.0, 1.0):
        result, above, same = step(X, t)
        np.testing.assert_array_equal(result, X * t)
        assert (bool(above), bool(same)) == (t > 3.0, True)
    step = dgm.compile(lambda x: (x, str(x)))
    step(X)
    with pytest.raises(TraceError, match="another text or number"):
        step(X)


def test_copies_have_the_gradient_of_what_they_copy() -> None:
    for how in (copy.copy, copy.deepcopy):
        f = dgm.value_and_grad(lambda w, how=how: dgm.sum(how(w) ** 2))
        for do in (f, dgm.compile(f)):
            np.testing.assert_array_equal(do(X)[1], 2.0 * X)
    for do in (
        dgm.grad(lambda w: dgm.sum(pickle.loads(pickle.dumps(w)))),
        dgm.compile(lambda w: pickle.loads(pickle.dumps(w))),
    ):
        with pytest.raises((TypeError, TraceError), match="is not pickled"):
            do(X)


def test_integers_made_of_floats_are_steps() -> None:
    w = np.array([1.5, 2.5, -0.75])
    for dtype in (int, "int64", np.int32, bool, np.dtype("uint8")):
        slope = dgm.grad(lambda w, dtype=dtype: dgm.sum(dgm.astype(w, dtype) * w))(np.abs(w))
        np.testing.assert_array_equal(slope, np.abs(w).astype(dtype).astype(float))
    for dtype in (float, "float32", np.float64, np.dtype(">f8"), "f4"):
        np.testing.assert_array_equal(dgm.grad(lambda w, dtype=dtype: dgm.sum(dgm.astype(w, dtype) * 2.0))(w), [2.0, 2.0, 2.0])
    with pytest.raises(TypeError, match="complex"):
        dgm.grad(lambda w: dgm.sum(dgm.astype(w, complex)))(w)


def test_debug_looks_into_indices_and_only_where_it_is_on() -> None:
    for read in (
        lambda x, k: x[np.arange(3), k],
        lambda x, k: dgm.take(x, k, axis=0),
        lambda x, k: dgm.take_along_axis(x, k[:, None], 1),
    ):
        labels = np.array([0, 1, 0])
        with dgm.debug():
            y, pull = dgm.vjp(lambda x, read=read, k=labels: read(x, k), np.arange(6.0).reshape(3, 2))
            labels[:] = 1
            with pytest.raises(TypeError, match="changed in place"):
                pull(np.ones(y.shape))
    with dgm.debug():
        _, pull = dgm.vjp(dgm.tanh, X)
    with dgm.debug_nans():
        pull(np.ones(X.shape))


def test_another_threads_random_numbers_are_its_own() -> None:
    stop, drawn = threading.Event(), []

    def loader() -> None:
        own = np.random.RandomState(3)
        np.random.seed(3)
        while not stop.is_set():
            drawn.append((np.random.rand(), own.rand()))

    thread = threading.Thread(target=loader)
    thread.start()
    try:
        for n in range(20):
            dgm.compile(lambda x: dgm.grad(lambda x: dgm.sum(dgm.tanh(x @ x.T)))(x))(np.ones((20 + n, 20)))
    finally:
        stop.set()
        thread.join()
    assert all(a == b for a, b in drawn)  # never put back


def test_a_generator_that_was_exchanged_is_put_back_too() -> None:
    streams = types.SimpleNamespace(now=dgm.random.Generator(0))
    step = dgm.compile(lambda x: x + streams.now.normal((2, 2), "float64"))
    step(X)
    streams.now = dgm.random.Generator(9)
    state = streams.now.state()
    with pytest.raises(TraceError, match="draw"):
        step(X)
    assert (streams.now.state() == state).all()


def test_many_programs_share_the_checks() -> None:
    """Arguments of fifty shapes: few calls are checked, each program in its turn; of two in alternation, both."""
    runs = itertools.count()
    step = dgm.compile(lambda x: (next(runs), x * 2.0)[1])
    for call in range(1000):
        step(np.ones(1 + call % 50))
    assert step.traces == 50
    assert 50 + 18 <= next(runs) <= 50 + 22
    holder = Holder()
    step = dgm.compile(lambda x: x * holder.own)
    for n in (1, 2, 1, 2):
        step(np.ones(n))
    holder.own = 7.0
    for n in (1, 2):
        for _ in range(2):  # the third call, and the fourth, which is checked
            caught = None
            try:
                step(np.ones(n))
            except TraceError as error:
                caught = error
        assert caught is not None


def test_powers_of_0_1_and_2_at_0() -> None:
    """d/dx x^t is 0 for t = 0 and 1 for t = 1, also where x is 0, and so on for the second derivative."""
    x = np.array([0.0, 2.0])

    def slopes(x, t):
        first = dgm.grad(lambda x: dgm.sum(x**t))
        return first(x), dgm.grad(lambda x: dgm.sum(first(x)))(x)

    for f in (slopes, dgm.compile(slopes)):
        for t, first, second in ((0.0, [0, 0], [0, 0]), (1.0, [1, 1], [0, 0]), (2.0, [0, 4], [2, 2])):
            result = f(x, t)
            np.testing.assert_array_equal(result[0], first)
            np.testing.assert_array_equal(result[1], second)


def test_only_arrays_that_somebody_else_holds_are_looked_at() -> None:
    """Those that the function makes for itself cannot change, and cost nothing at a call."""
    outer, attribute = np.ones((2, 2)), types.SimpleNamespace(w=np.ones((2, 2)), view=np.ones((3, 2))[1:])
    for f, expected in (
        (lambda x: x * np.ones((2, 2)) + dgm.zeros_like(x), []),
        (lambda x: x * outer, [outer]),
        (lambda x: x * attribute.w, [attribute.w]),
        (lambda x: x * attribute.view, [attribute.view]),
    ):
        step = dgm.compile(f)
        step(X)
        looked_at = [w.value for w in step._program.watched if isinstance(w.value, np.ndarray)]
        assert {id(x) for x in looked_at} == {id(x) for x in expected}
