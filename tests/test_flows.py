"""Flows: every log-determinant against the engine's Jacobian, every inverse against its map, every density against 1."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pydgm as dgm
from pydgm import errors, nn, optim, testing, train, trees
from pydgm.bijections import Bijection, Chain
from pydgm.data import energies, toys
from pydgm.distributions import Independent, Normal, StandardNormal, Transformed, Uniform
from pydgm.models.flows import Affine, Planar, Radial, Triangular, flow, free_energy, nll, planar
from pydgm.testing import arrays, check_grads

KINDS = ("planar", "radial", "affine", "triangular", "chain")


def random(seed: int = 0) -> dgm.random.Generator:
    return dgm.random.Generator(seed)


def some(kind: str, seed: int, dim: int, scale: float = 1.0) -> Bijection:
    """A map far from the identity, in float64."""
    rng = random(seed)
    made = {
        "planar": lambda: Planar.init(rng, 3, dim, scale=scale),
        "radial": lambda: Radial.init(rng, 3, dim, scale=scale),
        "affine": lambda: Affine(rng.normal((dim, dim)) + 2.0 * np.eye(dim, dtype="float32"), rng.normal((1, dim))),
        "triangular": lambda: Triangular.init(rng, dim, 8),
    }
    if kind != "chain":
        return nn.double(made[kind]())
    return Chain([nn.double(make()) for make in made.values()])


seeds = st.integers(0, 10_000)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=20)
@given(seeds, st.integers(1, 4), arrays((), 0.0, 3.0))
def test_log_determinants_are_those_of_the_jacobian(kind, seed, dim, scale) -> None:
    # formula: flow-inverse, planar
    f, z = some(kind, seed, dim, float(scale)), random(seed).normal((4, dim), "float64")
    x, log_det = f.forward_and_log_det(z)
    back, inverse_log_det = f.inverse_and_log_det(x)
    for i in range(4):
        there = dgm.jacobian(lambda p: f.forward(p[None, :])[0, :])(z[i])
        assert float(log_det[i]) == pytest.approx(np.linalg.slogdet(there)[1], abs=1e-9)
        here = dgm.jacobian(lambda p: f.inverse(p[None, :])[0, :])(x[i])
        assert float(inverse_log_det[i]) == pytest.approx(np.linalg.slogdet(here)[1], abs=1e-7)
        assert np.linalg.det(there) * np.linalg.det(here) == pytest.approx(1.0, abs=1e-6)
    np.testing.assert_allclose(back, z, atol=1e-8)


@pytest.mark.parametrize("kind", KINDS)
def test_derivatives_of_the_density_in_points_and_parameters(kind) -> None:
    """Through the root that the planar inverse is found as, to second order."""
    f, x = some(kind, 1, 2, 0.3), 0.5 * random(1).normal((3, 2), "float64")
    check_grads(lambda f, x: dgm.sum(flow([f]).log_prob(x)), [f, x], order=2, rtol=1e-5)
    check_grads(
        lambda f, z: dgm.sum(f.forward_and_log_det(z)[1]) + dgm.sum(dgm.square(f.forward(z))), [f, x], order=2, rtol=1e-5
    )


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("base", [StandardNormal(2), Independent(Normal(np.full(2, 0.5), 0.7), 1)])
def test_densities_integrate_to_one(kind, base) -> None:
    # formula: change-of-variables, flow-likelihood
    """Over a plane that is bent so that its grid covers all of it, whatever the map: x = sinh(t)."""
    f = Transformed(base, Chain([some(kind, 3, 2, 0.5)]))
    line = np.linspace(-5.0, 5.0, 1200)
    t = np.stack(np.meshgrid(line, line), axis=-1).reshape(-1, 2)
    p = np.exp(f.log_prob(np.sinh(t))) * np.cosh(t).prod(axis=1)
    assert p.sum() * (line[1] - line[0]) ** 2 == pytest.approx(1.0, abs=1e-3)


@given(st.sampled_from(["float32", "float64"]), seeds)
def test_the_equation_of_the_planar_inverse_at_any_size(dtype, seed) -> None:
    """a + (s - 1) tanh(a) = y, from slopes of 1e-12 at 0 to 1e5, and y from 1e-30 to 1e5."""
    rng = np.random.default_rng(seed)
    y = (rng.choice([-1.0, 1.0], 200) * 10.0 ** rng.uniform(-30, 5, 200)).astype(dtype)
    s = (10.0 ** rng.uniform(-12, 5, 200)).astype(dtype)
    a = planar.solve(y, s).astype("float64")
    rest = a + (s.astype("float64") - 1.0) * np.tanh(a) - y
    assert (np.abs(rest) <= 10 * np.finfo(dtype).eps * np.maximum(np.abs(a), np.abs(y))).all()
    assert (np.sign(a) == np.sign(y)).all()
    assert planar.solve(np.zeros(1, dtype), np.ones(1, dtype)) == 0.0
    assert np.isnan(planar.solve(np.array([math.nan], dtype), np.ones(1, dtype))).all()


@given(seeds, st.floats(0.0, 50.0))
def test_a_planar_map_can_always_be_inverted(seed, scale) -> None:
    """The constraint: u' w > -1 for any v, also where v points against w."""
    layer = nn.double(Planar.init(random(seed), 5, 3, scale=scale))
    w, u, _, s = layer._in_rows()
    assert (s > 0.0).all()
    np.testing.assert_allclose(np.sum(u * w, axis=-1, keepdims=True), s - 1.0, atol=1e-9 * (1.0 + scale))
    assert np.isfinite(layer.forward_and_log_det(random(1).normal((50, 3), "float64"))[1]).all()


@pytest.mark.parametrize(("front", "stack"), [((), ()), ((2,), (2,)), ((3, 2), (2,))])
def test_maps_in_a_row_are_one_after_the_other(front, stack) -> None:
    """Values, and derivatives of the recurrence and of its derivative, with and without a stack, and axes in front of it."""
    rng = np.random.default_rng(0)
    c, A = rng.standard_normal((*front, 4, 3)), rng.standard_normal((*stack, 4, 4))
    g, D = np.zeros(c.shape), rng.standard_normal(c.shape)
    for k in range(4):
        g[..., k, :] = np.tanh(c[..., k, :] + sum(A[..., k, j, None] * g[..., j, :] for j in range(k)))
    np.testing.assert_allclose(planar.maps(c, A), g, rtol=1e-12)
    testing.check_grads(planar.maps, [c, A], order=3)
    for up in (False, True):
        lower = np.tril(A, -1)
        lower = np.swapaxes(lower, -1, -2) if up else lower
        y = planar.substitute(c, D, A, up)
        np.testing.assert_allclose(y, D * (c + lower @ y), rtol=1e-11, atol=1e-12)
        testing.check_grads(lambda c, D, A, up=up: planar.substitute(c, D, A, up), [c, D, A])


def test_planar_maps_by_the_formulas_own_u() -> None:
    # formula: planar
    rng = np.random.default_rng(0)
    u, w, b = rng.standard_normal((5, 3)), rng.standard_normal((5, 3)), rng.standard_normal(5)
    u = np.where((u * w).sum(axis=1, keepdims=True) > -0.99, u, -u)
    layer = Planar.of(u, w, b)
    np.testing.assert_allclose(layer._in_rows()[1], u, atol=1e-9)
    z = rng.standard_normal((7, 3))
    x = z
    for k in range(5):
        x = x + np.tanh(x @ w[k] + b[k])[:, None] * u[k]
    np.testing.assert_allclose(layer.forward(z), x, atol=1e-9)
    far = Planar.of(np.float32([[500.0, 0.0]]), np.float32([[1.0, 0.0]]), np.float32([0.0]))
    np.testing.assert_allclose(far._in_rows()[1][0], [500.0, 0.0], rtol=1e-5)
    with pytest.raises(ValueError, match="u' w is -2: at -1 or below"):
        Planar.of(np.array([[-2.0, 0.0]]), np.array([[1.0, 0.0]]), np.zeros(1))


def test_the_radial_inverse_near_its_centre() -> None:
    """Where space is stretched a thousandfold, in float32: the quadratic equation without its cancellation."""
    layer = Radial(np.zeros((1, 1, 2), "float32"), np.zeros((1, 1, 1), "float32"), np.full((1, 1, 1), 1000.0, "float32"))
    z = 10.0 ** np.random.default_rng(0).uniform(-6, 0, (100, 2)).astype("float32")
    np.testing.assert_allclose(layer.inverse(layer.forward(z)), z, rtol=1e-5)


@pytest.mark.parametrize("kind", ["planar", "radial"])
def test_the_identity_is_where_the_trained_parameters_are_zero(kind) -> None:
    layer = Planar.init(random(), 4, scale=0.0) if kind == "planar" else Radial.init(random(), 4, scale=0.0)
    z = random().normal((10, 2))
    x, log_det = layer.forward_and_log_det(z)
    np.testing.assert_allclose(x, z, atol=1e-6)
    np.testing.assert_allclose(log_det, 0.0, atol=1e-6)
    zero = Planar(*[np.zeros_like(w) for w in trees.leaves(Planar.init(random(), 1))])
    assert all(np.isfinite(w).all() for w in trees.leaves(dgm.grad(lambda f: dgm.sum(f.forward(z)))(zero)))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("front", [(1,), (3,), (2, 4)])
def test_points_may_have_axes_in_front(kind, front) -> None:
    """Three of them, as many as there are maps; with a stack of flows, in front of the stack's."""
    f = flow([some(kind, 5, 2)])
    z = random(6).normal((*front, 5, 2), "float64")
    x, log_det = f.bijection.forward_and_log_det(z)
    density = f.log_prob(x)
    assert (log_det.shape, density.shape, f.sample(random(), (*front, 5)).shape) == ((*front, 5), (*front, 5), (*front, 5, 2))
    for at in np.ndindex(front):
        one = f.bijection.forward_and_log_det(z[at])
        for a, b in ((x[at], one[0]), (log_det[at], one[1]), (density[at], f.log_prob(x[at]))):
            np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9)
    if kind in ("planar", "radial"):
        make = {"planar": Planar, "radial": Radial}[kind]
        stack = flow([nn.double(make.init(random(5), 3, 2, stack=(2,), scale=1.0))])
        many = random(6).normal((3, 2, 5, 2), "float64")
        np.testing.assert_allclose(stack.log_prob(many)[1], stack.log_prob(many[1]), rtol=1e-9, atol=1e-9)


def test_a_stack_of_flows_is_many_flows_at_once() -> None:
    for kind in (Planar, Radial):
        stack = flow([kind.init(random(1), 3, 2, stack=(2, 4), scale=1.0)])
        x = random(2).normal((2, 4, 7, 2))
        log_p, (z, log_det) = stack.log_prob(x), stack.bijection.forward_and_log_det(x)
        assert log_p.shape == log_det.shape == (2, 4, 7)
        one = trees.map(lambda w: w[:, 1, 3], stack)
        np.testing.assert_allclose(one.log_prob(x[1, 3]), log_p[1, 3], rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(one.bijection.forward(x[1, 3]), z[1, 3], rtol=1e-5, atol=1e-6)


def test_sampling_and_density_are_of_one_distribution() -> None:
    # formula: flow-sample
    """E[-log p] of its own samples is E[log q] from the forward side; a histogram of cells fits the density."""
    f = flow([Planar.init(random(4), 4, scale=1.0)])
    x = f.sample(random(), 20_000)
    z = f.base.sample(random(), 20_000)
    log_q = np.sum(Normal().log_prob(z), axis=-1) - f.bijection.forward_and_log_det(z)[1]
    np.testing.assert_allclose(f.log_prob(x), log_q, atol=1e-3)
    counts, _, _ = np.histogram2d(x[:, 0], x[:, 1], bins=12, range=[[-3, 3], [-3, 3]])
    fine = (np.arange(240) + 0.5) / 40 - 3.0
    points = np.stack(np.meshgrid(fine, fine, indexing="ij"), axis=-1).reshape(-1, 2)
    p = np.exp(nn.double(f).log_prob(points)).reshape(12, 20, 12, 20).sum(axis=(1, 3)) / 40**2
    expected = 20_000 * p
    often = expected > 5
    chi = ((counts - expected) ** 2 / expected)[often].sum()
    assert abs(chi - often.sum()) < 5 * math.sqrt(2 * often.sum())


def test_a_chain_is_its_maps_one_after_the_other() -> None:
    # formula: flow-chain, flow-likelihood
    """And the lectures' index slip: z_(i-1) = f_i^-1(z_i), last map first."""
    a, b = some("planar", 1, 2), some("triangular", 2, 2)
    z = random().normal((5, 2), "float64")
    chain = Chain([a, b])
    x, log_det = chain.forward_and_log_det(z)
    np.testing.assert_allclose(x, b.forward(a.forward(z)))
    np.testing.assert_allclose(log_det, a.forward_and_log_det(z)[1] + b.forward_and_log_det(a.forward(z))[1])
    np.testing.assert_allclose(flow([chain]).log_prob(x), np.sum(Normal().log_prob(z), axis=-1) - log_det)
    swapped = b.inverse(a.inverse(x))
    assert np.abs(swapped - z).max() > 0.1
    uniform = Transformed(Independent(Uniform(np.full(2, -1.0), np.ones(2)), 1), Chain([a]))
    np.testing.assert_allclose(
        uniform.log_prob(a.forward(0.5 * np.tanh(z))), -2 * math.log(2) - a.forward_and_log_det(0.5 * np.tanh(z))[1]
    )
    assert (np.abs(uniform.base.sample(random(), (3, 50))) <= 1.0).all()
    np.testing.assert_allclose(flow([]).log_prob(z), np.sum(Normal().log_prob(z), axis=-1))
    assert Chain([]).forward_and_log_det(z)[1].shape == (5,)


def test_a_triangular_map_is_triangular() -> None:
    f = some("triangular", 1, 4)
    z = random().normal((1, 4), "float64")
    there = dgm.jacobian(lambda p: f.forward(p[None, :])[0, :])(z[0])
    assert np.abs(np.triu(there, 1)).max() == 0.0
    assert (np.diag(there) > 0.0).all()


def test_the_best_affine_flow_is_the_best_normal_distribution() -> None:
    x = random().normal((500, 3), "float64") @ np.array([[1.0, 2.0, 0.0], [0.0, 0.5, 1.0], [0.0, 0.0, 3.0]]) + 7.0
    f = flow([Affine.fit(x)], dim=3)
    from scipy.stats import multivariate_normal

    normal = multivariate_normal(x.mean(axis=0), np.cov(x.T, bias=True))
    np.testing.assert_allclose(f.log_prob(x[:20]), normal.logpdf(x[:20]), atol=1e-9)
    slope = dgm.grad(nll)(f, x)
    assert all(np.abs(g).max() < 1e-9 for g in trees.leaves(slope))


def test_the_free_energy_is_the_divergence_up_to_log_z() -> None:
    # formula: free-energy
    """KL(q || p) for two normal distributions: q by an affine flow, p by an energy with a known Z."""
    q = flow([Affine(np.diag([0.5, 3.0]), np.array([[1.0, -1.0]]))])
    z = random().normal((200_000, 2), "float64")
    result = free_energy(q, lambda x: 0.5 * np.sum(x * x, axis=-1), z)
    closed = sum(-math.log(s) + (s * s + m * m - 1.0) / 2.0 for s, m in [(0.5, 1.0), (3.0, -1.0)])
    assert result.mean() + math.log(2 * math.pi) == pytest.approx(closed, abs=0.02)
    flat = free_energy(q, lambda x: 0.5 * np.sum(x * x, axis=-1), z, beta=0.0)
    np.testing.assert_allclose(flat, q.log_prob(q.bijection.forward(z)))


@pytest.mark.parametrize("fitted", ["by the inverse", "by the forward"])
def test_both_ways_of_fitting_reach_a_known_flow(fitted) -> None:
    """Data, or an energy, that a planar flow made: another one comes near it, in nats."""
    truth = flow([Planar.init(random(5), 2, scale=1.5)])
    start = flow([Planar.init(random(6), 4)])
    noise = random()
    if fitted == "by the inverse":
        step = train.minimise(nll, optim.adam(0.02))
        result = train.run(step, step.init(start, noise), [truth.sample(noise, 256) for _ in range(600)]).model
        x = truth.sample(noise, 5000)
        assert float(dgm.mean(truth.log_prob(x) - result.log_prob(x))) < 0.05
    else:

        def loss(f, _, rng):
            return dgm.mean(free_energy(f, lambda x: -truth.log_prob(x), f.base.sample(rng, 256)))

        step = train.minimise(loss, optim.adam(0.02))
        result = train.run(step, step.init(start, noise), 600).model
        x, log_q = result.sample_and_log_prob(noise, 5000)
        np.testing.assert_allclose(log_q, result.log_prob(x), atol=1e-3)
        assert float(dgm.mean(log_q - truth.log_prob(x))) < 0.05


@pytest.mark.parametrize("name", list(energies.ENERGIES))
def test_the_energies_are_the_papers_inside_the_walls(name) -> None:
    z = np.random.default_rng(0).uniform(-4, 4, (200, 2))
    x, y = z.T
    w1, w2, w3 = np.sin(np.pi * x / 2), 3 * np.exp(-0.5 * ((x - 1) / 0.6) ** 2), 3 / (1 + np.exp(-(x - 1) / 0.3))
    two = np.exp(-0.5 * ((x - 2) / 0.6) ** 2) + np.exp(-0.5 * ((x + 2) / 0.6) ** 2)
    papers = {
        "$U_1$": 0.5 * ((np.hypot(x, y) - 2) / 0.4) ** 2 - np.log(two),
        "$U_2$": 0.5 * ((y - w1) / 0.4) ** 2,
        "$U_3$": -np.log(np.exp(-0.5 * ((y - w1) / 0.35) ** 2) + np.exp(-0.5 * ((y - w1 + w2) / 0.35) ** 2)),
        "$U_4$": -np.log(np.exp(-0.5 * ((y - w1) / 0.4) ** 2) + np.exp(-0.5 * ((y - w1 + w3) / 0.35) ** 2)),
    }
    np.testing.assert_allclose(energies.ENERGIES[name](z), papers[name], rtol=1e-9)
    far = np.array([[40.0, 0.0], [-40.0, 0.0]])
    assert (energies.ENERGIES[name](far) > 100.0).all()


def test_what_is_refused() -> None:
    f = flow([Planar.init(random(), 2)])
    for points in (np.zeros((4, 3)), 1.0):
        with pytest.raises((errors.ShapeError, TypeError), match="points") as refused:
            f.log_prob(points)
        assert str(refused.value).count("test_flows.py") == 1
    with pytest.raises(errors.ShapeError, match=r"points in rows, \(n, d\), got \(2,\)"):
        f.log_prob(np.zeros(2))
    z = random().normal((4, 2))
    with pytest.raises(errors.ShapeError, match="what Triangular makes"):
        flow([Triangular.init(random(), 1)]).log_prob(z)
    for energy in (dgm.sum, lambda x: dgm.sum(x, axis=-1, keepdims=True), lambda x: 1.0):
        with pytest.raises(errors.ShapeError, match=r"the energies of points \(4, 2\) are \(4,\)"):
            free_energy(f, energy, z)

    class Square(Bijection):
        def forward_and_log_det(self, z):
            return z * z, dgm.sum(dgm.log(2.0 * dgm.abs(z)), axis=-1)

    x = flow([Square()]).sample(random(), 5)
    assert (x >= 0.0).all()
    with pytest.raises(NotImplementedError, match="Square has no inverse_and_log_det"):
        flow([Square()]).log_prob(x)

    class Summed(Bijection):
        def forward_and_log_det(self, z):
            return z, dgm.log(dgm.abs(z))  # one for each coordinate

    with pytest.raises(errors.ShapeError, match=r"the log-determinants of Summed are \(5, 2\), for points \(5, 2\)"):
        flow([Summed()]).sample(random(), 5)


def test_a_wrong_map_is_told() -> None:
    """A log-determinant of the wrong sign, one that is forgotten, an inverse that is none."""
    z = random().normal((4, 2))
    for kind in KINDS:
        testing.check_bijection(some(kind, 3, 2), z)

    class Wrong(Planar):
        how: str = ""

        def forward_and_log_det(self, z):
            x, log_det = super().forward_and_log_det(z)
            return x, {"sign": -log_det, "none": 0.0 * log_det}.get(self.how, log_det)

        def inverse_and_log_det(self, x):
            z, log_det = super().inverse_and_log_det(x)
            return z + (0.1 if self.how == "place" else 0.0), {"sign": -log_det, "none": 0.0 * log_det}.get(self.how, log_det)

    right = Planar.init(random(2), 3, scale=1.0)
    for how, said in (
        ("sign", "log .det df/dz., differ"),
        ("none", "log .det df/dz., differ"),
        ("place", "f.-1.f.z.. and z differ"),
    ):
        with pytest.raises(AssertionError, match=said):
            testing.check_bijection(Wrong(right.v, right.w, right.b, how), z)


def test_the_first_maps_of_a_flow_and_one_of_a_stack() -> None:
    """``flow[:k]`` counts maps, not layers, and ``member`` picks the same flow out of every layer."""
    layers = [Planar.init(random(1), 3), Affine(np.eye(2) * 2.0, np.ones((1, 2))), Radial.init(random(2), 2)]
    f, z = flow(layers), random().normal((6, 2))
    assert len(f.bijection) == 6
    x = z
    singles = [layers[0][:1], layers[0][1:2], layers[0][2:], layers[1], layers[2][:1], layers[2][1:]]
    for k in range(7):
        np.testing.assert_allclose(f[:k].bijection.forward(z), x, atol=1e-6)
        x = singles[k].forward(x) if k < 6 else x
    np.testing.assert_allclose(f.bijection[2:5].forward(z), Chain(singles[2:5]).forward(z), atol=1e-6)
    with pytest.raises(TypeError, match="without gaps"):
        f[::2]
    stack = flow([Planar.init(random(1), 3, stack=(4, 2)), Radial.init(random(1), 3, stack=(4, 2))])
    z = random().normal((4, 2, 5, 2))
    np.testing.assert_allclose(stack.member(3, 1).log_prob(z[3, 1]), stack.log_prob(z)[3, 1], rtol=1e-5)


def test_a_base_may_be_any_density_of_vectors() -> None:
    """Eight Gaussians pushed through a flow: samples are points, and the density integrates to 1."""
    f = Transformed(toys.ring_of_gaussians(scale=0.5), Chain([some("affine", 3, 2)]))
    assert f.sample(random(), 7).shape == (7, 2)
    assert f.sample(random()).shape == (2,)
    line = np.linspace(-25.0, 25.0, 1000)
    points = np.stack(np.meshgrid(line, line), axis=-1).reshape(-1, 2)
    assert np.exp(f.log_prob(points)).sum() * (line[1] - line[0]) ** 2 == pytest.approx(1.0, abs=1e-3)


def test_flows_on_another_device(elsewhere) -> None:
    for layer in (Planar.init(random(), 2), Radial.init(random(), 2), Triangular.init(random(), 2)):
        f = flow([layer])
        x = f.sample(random(1), 6)
        value, slope = dgm.value_and_grad(nll)(f, x)
        assert np.isfinite(float(value))
        assert len(trees.leaves(slope)) == len(trees.leaves(f))
        assert dgm.to_numpy(energies.split_wave(x)).shape == (6,)


def test_compiled_and_eager_fits_are_the_same() -> None:
    x = toys.moons(random(), 100)
    for layer in (Planar.init(random(), 3), Radial.init(random(), 3), Triangular.init(random(), hidden=5)):

        def fit(layer=layer):
            step = train.minimise(nll, optim.adam(0.01))
            return train.run(step, step.init(flow([layer]), random()), [x] * 20).model

        compiled = fit()
        with dgm.eager():
            eager = fit()
        for a, b in zip(trees.leaves(compiled), trees.leaves(eager), strict=True):
            np.testing.assert_array_equal(a, b)
    assert nn.count_parameters(Planar.init(random(), 3)) == 15
