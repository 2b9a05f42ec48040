"""Compiled functions: what is left alone, what may be written over, and what is refused, with the line of the user's code."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pydgm as dgm
from pydgm import nn, trees
from pydgm.compile import TraceError
from pydgm.compile.unpack import packer, unpacker

from .test_compile import copied, same_bits


def test_results_do_not_change_later() -> None:
    """What a call returned is not written over by the next one."""
    step = dgm.compile(lambda x: (dgm.exp(x) + 1.0, dgm.exp(x)[:2], dgm.permute_dims(dgm.exp(x), (1, 0))))
    first = step(np.ones((3, 3)))
    kept = copied(first)
    step(np.zeros((3, 3)))
    same_bits(first, kept)


def test_inputs_are_left_alone() -> None:
    x = np.ones((4, 4))
    y = dgm.compile(lambda x: (x + 1.0) * 2.0)(x)
    assert (x == 1).all()
    assert (y == 4).all()


def test_donated_memory_is_reused_and_not_to_be_used_again() -> None:
    step = dgm.compile(lambda w, x: w - 0.5 * x, donate=0)
    w, x = np.ones((100, 100)), np.ones((100, 100))
    first = step(w, x)
    assert np.shares_memory(first, w)
    assert first is not w
    with pytest.raises(TraceError, match=r"w was donated to an earlier call.*test_compile_limits.py"):
        step(w, x)
    assert (step(first, x) == 0.0).all()


def test_donated_memory_that_is_shared_is_not_written_over() -> None:
    def f(a, b):
        return a * 2.0, b + 1.0, a - b

    step = dgm.compile(f, donate=(0, 1))
    w = np.ones(3)
    same_bits(step(w, w), f(np.ones(3), np.ones(3)))
    assert (w == 1.0).all()
    whole = np.arange(4.0)
    same_bits(step(whole[:3], whole[1:]), f(np.arange(3.0), np.arange(1.0, 4.0)))
    assert (whole == np.arange(4.0)).all()
    frozen = np.ones(3)
    frozen.flags.writeable = False
    same_bits(step(frozen, np.zeros(3)), f(np.ones(3), np.zeros(3)))


def test_a_constant_that_is_returned_is_the_callers() -> None:
    step = dgm.compile(lambda w: dgm.grad(lambda t: dgm.sum(t["used"]))({"used": w, "unused": 2.0 * w})["unused"])
    first = step(np.ones(3))
    first += 7.0
    np.testing.assert_array_equal(step(np.ones(3)), np.zeros(3))


def test_an_outer_array_is_not_written_over_through_a_view() -> None:
    table = np.arange(6.0).reshape(2, 3)
    step = dgm.compile(lambda i, x: dgm.take(table, i, axis=0) * 2.0 + x)
    for _ in range(2):
        np.testing.assert_array_equal(step(np.array(1), np.zeros(3)), [6, 8, 10])
    np.testing.assert_array_equal(table, np.arange(6.0).reshape(2, 3))


@pytest.mark.parametrize(
    "f",
    [
        lambda x: x if x[0] > 0 else -x,
        lambda x: x * float(dgm.sum(x)),
        lambda x: x[: int(x[0])],
        lambda x: np.asarray(x).copy(),
        lambda x: dgm.grad(lambda y: y if y > 0.5 else -y)(x[0]),
    ],
)
def test_the_value_of_a_traced_array_cannot_be_used(f) -> None:
    with pytest.raises(TraceError, match=r"cannot use the value of a traced array.*at test_compile_limits.py:\d+"):
        dgm.compile(f)(np.ones(3))


@pytest.mark.parametrize(
    "f",
    [
        lambda x: dgm.sum(x[x > 1.0] * 2.0 + x[x > 1.0]),
        lambda x: dgm.grad(lambda x: dgm.sum(x[dgm.greater(x, 1.0)]))(x),
        lambda x: np.nonzero(x)[0],
        lambda x: np.where(x > 1.0)[0],
        lambda x: np.unique(x),
    ],
)
def test_shapes_that_depend_on_values_are_refused(f) -> None:
    with pytest.raises(TraceError, match=r"shape of the result depends on the values.*at test_compile_limits.py:\d+"):
        dgm.compile(f)(np.arange(4.0))


def test_a_constant_mask_has_a_fixed_shape() -> None:
    mask = np.array([True, False, True, True])
    step = dgm.compile(lambda x: dgm.grad(lambda x: dgm.sum(x[mask] ** 2))(x))
    for x in (np.arange(4.0), np.ones(4)):
        np.testing.assert_array_equal(step(x), 2 * x * mask)


def test_an_escaped_value_is_named() -> None:
    kept = []

    def f(x):
        kept.append(x * 2.0)
        return x

    with pytest.raises(TraceError, match=r"kept outside of it \(test_compile_limits.py:\d+: kept.append\(x \* 2.0\)\)"):
        dgm.compile(f)(np.ones(3))
    with pytest.raises(TraceError, match="escaped"):
        _ = kept[0] + 1.0


scale = np.array([2.0, 3.0])


def test_a_changed_array_of_an_outer_scope_is_named(monkeypatch) -> None:
    offset, inner = np.zeros(2), {"shift": np.ones(2)}

    def helper(x):
        return x + inner["shift"]

    step = dgm.compile(lambda x: helper(x) * scale + offset)
    np.testing.assert_array_equal(step(np.zeros(2)), [2, 3])
    offset[1] = 5.0
    with pytest.raises(TraceError, match=r"offset has changed since <lambda> was compiled.*test_compile_limits.py"):
        step(np.zeros(2))
    offset[1] = 0.0
    np.testing.assert_array_equal(step(np.zeros(2)), [2, 3])
    monkeypatch.setitem(globals(), "scale", np.array([2.0, 3.0]))
    with pytest.raises(TraceError, match="scale has changed"):
        step(np.zeros(2))
    monkeypatch.undo()
    inner["shift"] = np.ones(2)
    with pytest.raises(TraceError, match="inner has changed"):
        step(np.zeros(2))


def test_a_failed_recording_leaves_everything_as_it_was() -> None:
    rng = dgm.random.Generator(0)
    before = rng.state()

    def f(x):
        rng.normal((3,), "float64")
        raise ValueError("the user's own")

    step = dgm.compile(f)
    for _ in range(2):
        with pytest.raises(ValueError, match="own"):
            step(np.ones(3))
    assert (rng.state() == before).all()
    assert step.traces == 0
    assert not dgm.backend.recorders


class Calls:
    made = 0

    def count(self) -> None:
        self.made += 1


def test_eager_switches_compilation_off() -> None:
    calls = Calls()
    step = dgm.compile(lambda x: calls.count() or x * 2.0)
    with dgm.eager():
        step(np.ones(2))
        step(np.ones(2))
    assert (calls.made, step.traces) == (2, 0)
    step(np.ones(2))
    assert (calls.made, step.traces) == (3, 1)
    step(np.ones(2))  # the second call is checked
    step(np.ones(2))
    assert (calls.made, step.traces) == (4, 1)
    code = "import numpy as np, pydgm as dgm; s = dgm.compile(lambda x: x * 2.0); s(np.ones(2)); print(s.traces)"

    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ, "PYDGM_EAGER": "1"})
    assert run.stdout.strip() == "0", run.stderr


def test_threads_take_turns() -> None:
    step = dgm.compile(lambda x: dgm.sum(dgm.tanh(x @ x), axis=0))
    inputs = [np.random.default_rng(i).standard_normal((60, 60)) for i in range(8)]
    expected = [step(x) for x in inputs]
    outcome = [None] * 8

    def work(i):
        for _ in range(50):
            outcome[i] = step(inputs[i])

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    same_bits(outcome, expected)


class Layer(nn.Module):
    weight: object
    table: object = nn.static()
    size: int = 2
    activation: object = dgm.relu


class Pair(NamedTuple):
    first: object
    second: object


LEAVES = st.one_of(st.just(0.5), st.integers(1, 3).map(np.ones), st.integers(1, 2).map(lambda n: np.zeros((n, 2), "float32")))
SETTINGS = st.one_of(st.none(), st.integers(0, 2), st.sampled_from(["a", dgm.tanh]))
TREES = st.recursive(
    LEAVES | SETTINGS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(st.sampled_from(["x", "y", 1]), inner, max_size=3),
        st.builds(Pair, inner, inner),
        st.builds(Layer, LEAVES, st.integers(1, 2).map(np.ones), st.integers(0, 1)),
    ),
    max_leaves=8,
)


@settings(max_examples=300)
@given(TREES, TREES)
def test_the_quick_way_in_and_out_is_flatten_and_unflatten(tree, other) -> None:
    """It takes exactly the trees of its structure, and leaves like those it was made for."""

    def described(tree):
        leaves, structure = trees.flatten(tree)
        return structure, tuple((x.shape, x.dtype, x.strides) if isinstance(x, np.ndarray) else type(x) for x in leaves)

    leaves, structure = trees.flatten(tree)
    unpack, pack = unpacker(*described(tree)), packer(structure)
    outcome = unpack(tree)
    assert outcome is not None
    assert [id(x) for x in outcome] == [id(x) for x in leaves]
    assert described(pack(leaves)) == described(tree)
    assert [id(x) for x in trees.leaves(pack(leaves))] == [id(x) for x in leaves]
    assert (unpack(other) is not None) == (described(other) == described(tree))
