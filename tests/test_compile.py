"""Compiled and eager agree bit for bit: operations, random programs, training steps."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pydgm as dgm
from pydgm import nn, optim, trees
from pydgm.compile import TraceError
from pydgm.models.adversarial import gan, wgan
from pydgm.models.latent import VAE, vae
from pydgm.testing import arrays

from .cases import CASES


def same_bits(a, b) -> None:
    (x, s), (y, t) = trees.flatten(a), trees.flatten(b)
    assert s == t
    for u, v in zip(x, y, strict=True):
        assert type(u) is type(v)
        if isinstance(u, float) and not isinstance(u, np.generic):
            assert u == v
        else:
            assert u.dtype == v.dtype
            assert u.shape == v.shape
            assert np.array_equal(u, v, equal_nan=u.dtype.kind == "f")
            assert u.tobytes() == v.tobytes()


def copied(tree):
    return trees.map(lambda x: x if isinstance(x, float) else np.array(x), tree)


@pytest.mark.parametrize("case", CASES, ids=[c.name for c in CASES])
@settings(max_examples=10)
@given(data=st.data())
def test_every_operation_and_its_derivative(case, data) -> None:
    arguments, options = data.draw(case.arguments)

    def f(*xs):
        y, pull = dgm.vjp(lambda *xs: case.function(*xs, **options), *xs)
        return y, pull(dgm.cos(y))

    step = dgm.compile(f)
    for _ in range(2):
        same_bits(step(*arguments), f(*arguments))
    assert step.traces == 1


UNARY = ["exp", "sin", "tanh", "sigmoid", "softplus", "relu", "square", "negative", "abs"]
STEPS = [
    *UNARY,
    "add",
    "multiply",
    "subtract",
    "maximum",
    "where",
    "matmul",
    "flip",
    "transpose",
    "reshape",
    "row",
    "slice",
    "gather",
]
STEPS += ["sum", "mean", "max", "logsumexp", "broadcast", "concat", "noise", "bernoulli", "scale", "rows", "parts", "views"]
PROGRAM = st.lists(st.tuples(st.sampled_from(STEPS), st.integers(0, 30), st.integers(0, 30)), min_size=1, max_size=15)


def interpret(program, values, rng):
    """A program on 3x3 arrays; every value is kept, so inputs are reused, passed on, viewed and returned in any order."""
    values = list(values)
    for name, i, j in program:
        x, y = values[i % len(values)], values[j % len(values)]
        if name in UNARY:
            new = getattr(dgm, name)(dgm.tanh(x))
        elif name in ("add", "multiply", "subtract", "maximum"):
            new = getattr(dgm, name)(x, y)
        elif name == "where":
            new = dgm.where(dgm.greater(x, y), x, 0.5)
        elif name == "matmul":
            new = dgm.tanh(x) @ y
        elif name == "flip":
            new = dgm.flip(x, 0)
        elif name == "transpose":
            new = dgm.permute_dims(x, (1, 0))
        elif name == "reshape":
            new = dgm.reshape(dgm.reshape(x, (9,)), (3, 3))
        elif name == "row":
            new = x + y[0]
        elif name == "slice":
            new = dgm.concat([x[1:], y[:1]])
        elif name == "gather":
            new = x[np.array([2, 0, 2])]
        elif name in ("sum", "mean", "max"):
            new = x - getattr(dgm, name)(y, axis=0, keepdims=True)
        elif name == "logsumexp":
            new = x - dgm.logsumexp(dgm.tanh(y), axis=1, keepdims=True)
        elif name == "broadcast":
            new = dgm.broadcast_to(x[:, :1], (3, 3))
        elif name == "concat":
            new = dgm.concat([x, y], axis=1)[:, 2:5]
        elif name == "noise":
            new = x + rng.normal((3, 3), "float64")
        elif name == "bernoulli":
            new = x * rng.bernoulli(dgm.sigmoid(y))
        elif name == "rows":
            new = dgm.stack([y[1] * x[0], x[1] - y[0], x[2]])
        elif name == "parts":
            new = dgm.broadcast_to(x[:, :1] * y[:, 1:2], (3, 3)) + x[..., 2:]
        elif name == "views":  # asked for twice, both are made once
            new = dgm.permute_dims(dgm.sin(x), (1, 0))[::-1]
        else:
            new = 2.0 * x
        values.append(new)
    return values


@settings(max_examples=150)
@given(
    arrays((3, 3)), arrays((3, 3)), PROGRAM, st.booleans(), st.booleans(), st.lists(st.integers(0, 40), min_size=1, max_size=4)
)
def test_random_programs(a, b, program, donate, twice, wanted) -> None:
    """Values, gradients, draws; outputs that are inputs, views, or the same twice; the same array passed twice."""
    b = a if twice and not donate else b

    def f(a, b):
        def g(a, b):
            values = interpret(program, [a, b], rng)
            return dgm.mean(dgm.tanh(values[-1] * 0.1)), [values[i % len(values)] for i in wanted]

        (loss, some), gradients = dgm.value_and_grad(g, argnums=(0, 1), has_aux=True)(a, b)
        return {"loss": loss, "some": some, "gradients": gradients, "updated": a - 0.1 * gradients[0]}

    rng = dgm.random.Generator(7)
    expected = []
    for _ in range(3):
        expected.append(copied(f(a, b)))
    rng = dgm.random.Generator(7)
    step = dgm.compile(f, donate=(0, 1) if donate else ())
    result = [step(*copied((a, b))) if donate else step(a, b) for _ in expected]
    same_bits(result, expected)  # at the end: no call writes over the results of another
    assert step.traces == 1


def test_views_of_a_value_that_was_made_twice() -> None:
    def f(x):
        one, two = (dgm.reshape(dgm.exp(x), (2, 3)) for _ in range(2))
        seen, total = two[0][1:], dgm.sum(one[0])
        return dgm.exp(dgm.exp(2.0 * x)), seen + 0.0, total

    x = np.arange(6.0) / 10
    same_bits(dgm.compile(f)(x), f(x))


def test_sums_and_products_of_repeated_values_round_alike() -> None:
    """Of the size at which BLAS and NumPy's own loops differ."""
    rng = np.random.default_rng(0)
    h, w = (rng.standard_normal(shape, dtype="float32") for shape in [(256, 128), (128, 1)])
    for f in [
        dgm.grad(lambda s, h, w: s * dgm.mean(h @ w), argnums=(0, 1, 2)),
        lambda s, h, w: dgm.sum(dgm.broadcast_to(s * h[0], (100, 128))),
        lambda s, h, w: dgm.mean(dgm.broadcast_to(s * h[:, :1], (256, 77)), axis=0),
        lambda s, h, w: h.T @ dgm.broadcast_to(s * w[0], (256, 3)),
    ]:
        arguments = (np.float32(1.7), h, w)
        same_bits(dgm.compile(f)(*arguments), f(*arguments))


def test_rows_of_a_table_are_gathered_in_one_array() -> None:
    def apart(t, s):
        return dgm.sum(t[0] * s) + dgm.sum(dgm.sin(t[2])) + dgm.sum(t[3, 1:] * s[1:]) + dgm.sum(t[3:, :1] * s[0])

    def meeting(t, s):
        return dgm.sum(t[1:] * s) + dgm.sum(t[:3] * s) + dgm.sum(t[2] * s)

    table, nothing = np.arange(12.0).reshape(4, 3), np.full(3, -0.0)  # gradients of -0 tell apart what was added to what
    for function, gathered in [(apart, True), (meeting, False)]:
        step = dgm.compile(dgm.grad(function))
        same_bits(step(table, nothing), dgm.grad(function)(table, nothing))
        assert ("scatter_all" in step.source) is gathered


def test_new_shapes_dtypes_structures_and_settings_are_recorded_anew() -> None:
    step = dgm.compile(lambda t: t["x"] * t.get("n", 1))
    for argument, traces in [
        ({"x": np.ones(3)}, 1),
        ({"x": np.zeros(3)}, 1),
        ({"x": np.ones(4)}, 2),
        ({"x": np.ones(3, "float32")}, 3),
        ({"x": np.ones(3), "n": 2}, 4),
        ({"x": np.ones(3), "n": 3}, 5),
        ({"x": np.ones(3), "n": 2}, 5),
        ({"x": np.ones((3, 3)).T[0]}, 6),  # another memory layout
        ({"x": 2.0}, 7),
        ({"x": 3.0}, 7),
    ]:
        same_bits(step(argument), argument["x"] * argument.get("n", 1))
        assert step.traces == traces


def test_static_arrays_are_part_of_the_structure() -> None:
    class Masked(dgm.Module):
        weight: np.ndarray
        mask: np.ndarray = nn.static()

    step = dgm.compile(lambda m, x: x @ (m.weight * m.mask))
    first, second = Masked(np.ones((2, 2)), np.eye(2)), Masked(np.ones((2, 2)), np.ones((2, 2)))
    for _ in range(2):
        np.testing.assert_array_equal(step(first, np.ones(2)), [1, 1])
        np.testing.assert_array_equal(step(second, np.ones(2)), [2, 2])
    assert step.traces == 2


def test_compiled_functions_inside_other_transformations() -> None:
    """In a gradient they run as they are written; inside another compiled function they become part of its program."""
    cube = dgm.compile(lambda x: dgm.sum(x**3))
    x = np.array([1.0, 2.0])
    for _ in range(2):
        np.testing.assert_array_equal(dgm.grad(cube)(x), 3 * x**2)
        np.testing.assert_array_equal(dgm.hessian(cube)(x), np.diag(6 * x))
        assert cube(x) == 9.0
    outer = dgm.compile(lambda x: dgm.grad(cube)(x) + cube(x))
    for _ in range(2):
        np.testing.assert_array_equal(outer(x), 3 * x**2 + 9)
    assert (cube.traces, outer.traces) == (1, 1)


def test_operators_and_keywords() -> None:
    def f(x, k=2.0, *, only=None):
        mask = ~((x > 0) & (x < 3)) | (x == 1)
        return -(x**2) + abs(x) % 2 + x // 2 + +x * k, np.where(mask, x, 0.0), abs(k), x.T @ x

    x = np.array([[2.0, -3.0], [0.5, 1.0]])
    step = dgm.compile(f)
    for _ in range(2):
        same_bits(step(x, k=-3.0), f(x, k=-3.0))
    with pytest.raises(TypeError, match="no keyword-only arguments"):
        step(x, only=1)
    with pytest.raises(TypeError):
        step(x, nonsense=1)


def test_numbers_follow_pythons_arithmetic() -> None:
    def f(x, t):
        s = 0.9**t
        return (1.0 - s) * x / (2.0 + t), -s, t + 1.0, t

    step = dgm.compile(f)
    for t in (1.0, 2.0, 7.5):
        same_bits(step(np.ones(3, "float32"), t), f(np.ones(3, "float32"), t))
    assert step.traces == 1


def test_the_source_is_a_program_that_runs() -> None:
    model = nn.MLP.init(dgm.random.Generator(0), [3, 4, 1], dgm.tanh)
    x = np.ones((2, 3), "float32")

    def slope(model, x):
        return dgm.grad(lambda m: dgm.mean(m(x)))(model)

    step = dgm.compile(slope)
    with pytest.raises(TraceError, match="no program yet"):
        _ = step.source
    expected = step(model, x)
    assert "model_layers_0_weight" in step.source
    assert "model_layers_0_weight_grad = " in step.source
    assert "# test_compile.py" in step.source
    assert "# derivative of test_compile.py" in step.source
    space = dict(step.constants)
    exec(step.source, space)
    same_bits(space["slope"](*trees.leaves((model, x))), trees.leaves(expected))


def test_what_runs_is_what_is_shown_in_another_spelling() -> None:
    """Line by line: the same names are given values by the same functions of the same names."""

    def parts(line):
        target, _, call = line.strip().partition(" = ")
        function, _, rest = call.replace("np.", "").replace("reduce", "").partition("(")
        names = re.findall(r"\b(?!number|out\b)[a-z]\w*", re.sub(r"_number\d+|axis=\w+|float\d+", "", rest))
        return target, function.lstrip("_"), names

    step = dgm.compile(lambda w, x: w - 0.1 * dgm.grad(lambda w: dgm.mean(dgm.softplus(x @ w) * 2.0))(w), donate=0)
    step(np.ones(3, "float32"), np.ones((4, 3), "float32"))
    shown, run = (
        [line for line in text.split("):\n")[-1].splitlines() if line.strip()] for text in (step.source, step.fast_source)
    )
    shown = [line for line in shown if not line.strip().startswith("#")]
    run = [line for line in run if not line.strip().startswith("#")]
    assert len(shown) == len(run) > 10
    for a, b in zip(shown, run, strict=True):
        assert parts(a) == parts(b), (a, b)
    assert any("_number" in line for line in run)


def training_steps():
    rng = dgm.random.Generator(0)
    opt = optim.adam(1e-3)

    def vae_step(model, state, x):
        loss, g = dgm.value_and_grad(lambda m: -dgm.mean(vae.elbo(m, x, rng)))(model)
        return *opt.update(model, g, state), loss

    def gan_step(both, states, x):
        G, D = both
        loss, g = dgm.value_and_grad(lambda D: -gan.value(D, x, G(rng.normal((16, 2)))))(D)
        D, d_state = opt.update(D, g, states[1])
        g = dgm.grad(lambda G: dgm.mean(dgm.softplus(-D(G(rng.normal((16, 2)))))))(G)
        G, g_state = opt.update(G, g, states[0])
        return (G, D), (g_state, d_state), loss

    def wgan_step(critic, state, x):
        def loss(c):
            return 10.0 * wgan.gradient_penalty(c, x, x + 1.0, rng) - wgan.distance(c, x, x + 1.0)

        value, g = dgm.value_and_grad(loss)(critic)
        return *opt.update(critic, g, state), value

    model = VAE.init(rng, pixels=12, hidden=(8,), latent=2)
    G, D = nn.MLP.init(rng, [2, 8, 2]), nn.MLP.init(rng, [2, 8, 1])
    bits = rng.bernoulli(np.full((16, 12), 0.5, "float32"))
    plane = rng.normal((16, 2))
    return rng, {
        "vae": (vae_step, model, opt.init(model), bits),
        "gan": (gan_step, (G, D), (opt.init(G), opt.init(D)), plane),
        "wgan_gp": (wgan_step, D, opt.init(D), plane),
    }


@pytest.mark.parametrize("name", ["vae", "gan", "wgan_gp"])
@pytest.mark.parametrize("donate", [(), (0, 1)])
def test_training_steps_over_100_steps(name, donate) -> None:
    rng, steps = training_steps()
    step, model, state, x = steps[name]
    start = rng.state()
    a = b = (model, state)
    b = copied(b)
    for _ in range(100):
        *a, value = step(*a, x)
    rng.restore(start)
    fast = dgm.compile(step, donate)
    for _ in range(100):
        *b, other = fast(*b, x)
    same_bits([*a, value], [*b, other])
    assert fast.traces == 1
