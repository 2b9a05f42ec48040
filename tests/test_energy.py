"""The restricted Boltzmann machine against sums over all of its states."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pydgm as dgm
from pydgm import mcmc, optim, train, trees
from pydgm.distributions import Independent, Normal
from pydgm.errors import DomainError, ShapeError
from pydgm.models.energy import RBM, contrastive, rbm


def bits(n: int):
    return np.array(list(itertools.product((0.0, 1.0), repeat=n)))


def machine(visible: int, hidden: int, seed: int, scale: float = 1.0) -> RBM:
    rng = np.random.default_rng(seed)
    return RBM(*[scale * rng.standard_normal(shape) for shape in ((visible, hidden), (visible,), (hidden,))])


def joint(model: RBM):
    """P(v, h) for all v (rows) and all h (columns), from the energy alone, and log Z."""
    visible, hidden = model.W.shape
    v, h = bits(visible), bits(hidden)
    p = np.exp(-np.array([[float(model.energy(x, y)) for y in h] for x in v]))
    return v, h, p / p.sum(), np.log(p.sum())


MACHINES = st.builds(machine, st.integers(1, 5), st.integers(1, 5), st.integers(0, 10_000))


@settings(max_examples=40)
@given(MACHINES)
def test_everything_follows_from_the_energy(model) -> None:
    # formula: rbm-joint, rbm-conditional, rbm-marginal, rbm-likelihood, digit-of-features
    v, h, p, log_z = joint(model)
    np.testing.assert_allclose(rbm.log_partition(model), log_z, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(np.exp(model.log_prob(v, log_z)), p.sum(axis=1), rtol=1e-10)
    np.testing.assert_allclose(model.hidden(v), (p @ h) / p.sum(axis=1, keepdims=True), rtol=1e-10)
    np.testing.assert_allclose(model.visible(h), (p.T @ v) / p.sum(axis=0)[:, None], rtol=1e-10)
    np.testing.assert_allclose(np.exp(model.transposed.log_prob(h, log_z)), p.sum(axis=0), rtol=1e-10)
    expected = rbm.model_moments(model)
    np.testing.assert_allclose(expected.vh, v.T @ p @ h, rtol=1e-10)
    np.testing.assert_allclose(expected.v, p.sum(axis=1) @ v, rtol=1e-10)
    np.testing.assert_allclose(expected.h, p.sum(axis=0) @ h, rtol=1e-10)
    p_v = {tuple(x): q for x, q in zip(v, p.sum(axis=1), strict=True)}
    pseudo = [sum(np.log(q / (q + p_v[tuple(y)])) for y in flips(x)) for x, q in zip(v, p.sum(axis=1), strict=True)]
    np.testing.assert_allclose(rbm.pseudo_log_likelihood(model, v), pseudo, rtol=1e-8)


def flips(x):
    """``x`` with each of its bits flipped in turn."""
    return [np.where(np.arange(len(x)) == i, 1.0 - x, x) for i in range(len(x))]


@settings(max_examples=40)
@given(MACHINES, st.integers(0, 10_000))
def test_the_exact_gradient_is_autodiffs_and_finite_differences(model, seed) -> None:
    # formula: rbm-gradient
    v = (np.random.default_rng(seed).random((6, model.W.shape[0])) < 0.5).astype(float)

    def nll(model):
        return -dgm.mean(model.log_prob(v, rbm.log_partition(model)))

    _, exact, _ = contrastive.exact(rbm.log_partition).gradient(model, v, None, None)
    data, ours = rbm.moments(model, v), rbm.model_moments(model)
    for x, y in zip(trees.leaves(exact), (ours.vh - data.vh, ours.v - data.v, ours.h - data.h), strict=True):
        np.testing.assert_allclose(x, y, atol=1e-12)
    leaves, structure = trees.flatten(model)
    step = 1e-6
    for i, slope in enumerate(trees.leaves(exact)):
        for at in np.ndindex(slope.shape):
            moved = []
            for sign in (1, -1):
                nearby = [w.copy() for w in leaves]
                nearby[i][at] += sign * step
                moved.append(float(nll(trees.unflatten(structure, nearby))))
            assert abs((moved[0] - moved[1]) / (2 * step) - slope[at]) < 1e-6


@settings(max_examples=40)
@given(MACHINES, st.integers(0, 10_000))
def test_contrastive_divergence_is_the_gradient_of_free_energies(model, seed) -> None:
    # formula: contrastive-divergence
    rng = np.random.default_rng(seed)
    v, v_model = ((rng.random((n, model.W.shape[0])) < 0.5).astype(float) for n in (6, 9))
    data, ours = rbm.moments(model, v), rbm.moments(model, v_model)
    by_engine = dgm.grad(contrastive.contrastive_loss)(model, v, v_model)
    for x, y in zip((ours.vh - data.vh, ours.v - data.v, ours.h - data.h), trees.leaves(by_engine), strict=True):
        np.testing.assert_allclose(x, y, atol=1e-12)


def test_the_larger_layer_may_be_either() -> None:
    wide, tall = machine(3, 14, 0), machine(14, 3, 0)
    for model in (wide, tall):
        log_p = np.array([float(rbm.log_partition(model))])
        assert abs(log_p - float(rbm.log_partition(model.transposed))) < 1e-10
    big = RBM(np.zeros((30, 30)), np.zeros(30), np.zeros(30))
    with pytest.raises(ValueError, match="30 x 30 units has too many states"):
        rbm.log_partition(big)


def test_enumeration_goes_in_parts() -> None:
    """2^14 states are four parts of 4096; all-zero weights have log Z = (visible + hidden) log 2."""
    flat = RBM(np.zeros((14, 20)), np.zeros(14), np.zeros(20))
    assert abs(float(rbm.log_partition(flat)) - 34 * np.log(2)) < 1e-10
    np.testing.assert_allclose(rbm.model_moments(flat).vh, 0.25)


def test_gibbs_sampling_leaves_the_distribution_as_it_is() -> None:
    """States drawn from P(v), moved by the chain, are still states drawn from P(v): counts against the exact probabilities."""
    model, n = machine(4, 3, 1), 40_000
    v, _, p, _ = joint(model)
    p_v = p.sum(axis=1)
    rng = dgm.random.Generator(0)
    start = v[np.random.default_rng(0).choice(len(v), n, p=p_v)]
    for k in (1, 3):
        index = model.gibbs(rng, start, k) @ (2 ** np.arange(3, -1, -1))
        counts = np.bincount(index.astype(int), minlength=len(v))
        chi2 = ((counts - n * p_v) ** 2 / (n * p_v)).sum()
        assert chi2 < 45  # 15 degrees of freedom: beyond the 1e-4 quantile
    far = model.gibbs(rng, np.zeros((n, 4)), 30)  # and from anywhere it gets there
    np.testing.assert_allclose(far.mean(axis=0), p_v @ v, atol=0.02)


@pytest.mark.parametrize("seed", range(4))
def test_ais_finds_the_partition_function(seed) -> None:
    model = machine(20, 12, seed, 0.7)
    exact = float(rbm.log_partition(model))
    base = np.random.default_rng(seed).standard_normal(20)
    for start in (None, base, np.zeros(20)):
        result = mcmc.ais(model, dgm.random.Generator(seed), chains=500, temperatures=1000, base=start)
        assert abs(result.nats - exact) < 0.1
        assert result.low < exact < result.high
        assert result.low < result.nats < result.high


def test_ais_is_a_lower_bound_on_average() -> None:
    """With few temperatures the estimates scatter: E[Z] is right, so E[log Z] is below."""
    model, rng = machine(10, 8, 3), dgm.random.Generator(0)
    exact = float(rbm.log_partition(model))
    log_z = np.array([mcmc.ais(model, rng, chains=5, temperatures=3).nats for _ in range(400)])
    w = np.exp(log_z - exact)
    assert abs(w.mean() - 1.0) < 4 * w.std() / np.sqrt(len(w))
    assert log_z.mean() < exact - 3 * log_z.std() / np.sqrt(len(w))
    with pytest.raises(ValueError, match="at least 2 of each"):
        mcmc.ais(model, dgm.random.Generator(0), chains=1)


def run(model, phase, batches, optimizer=None, penalty=None, seed: int = 0):
    """A training; its noise, which is spawned from the seed's."""
    step = contrastive.step(phase, optim.sgd(0.1) if optimizer is None else optimizer, penalty)
    state = step.init(model, dgm.random.Generator(seed))
    noise = dgm.random.Generator(0)
    noise.restore(state.noise)
    return train.run(step, state, batches), noise


def test_one_update_is_what_the_lecture_writes() -> None:
    # formula: contrastive-divergence
    """CD-1 in NumPy: h from v, v' from h, then <v h> - <v' h'>."""
    model, rate = machine(6, 4, 0), 0.1
    v = (np.random.default_rng(1).random((8, 6)) < 0.5).astype(float)
    kept = trees.map(np.copy, model)
    new, noise = run(model, contrastive.cd(1), [v], optim.sgd(rate))

    def logistic(x):
        return 1 / (1 + np.exp(-x))

    h = logistic(v @ model.W + model.a)
    sample = (noise.uniform((8, 4), "float64") < h).astype(float)
    v1 = (noise.uniform((8, 6), "float64") < logistic(sample @ model.W.T + model.b)).astype(float)
    h1 = logistic(v1 @ model.W + model.a)
    np.testing.assert_allclose(new.model.W, model.W + rate * (v.T @ h - v1.T @ h1) / 8)
    np.testing.assert_allclose(new.model.b, model.b + rate * (v - v1).mean(axis=0))
    np.testing.assert_allclose(new.model.a, model.a + rate * (h - h1).mean(axis=0))
    assert new.losses[0] == pytest.approx((model.free_energy(v) - model.free_energy(v1)).mean())
    for x, y in zip(trees.leaves(model), trees.leaves(kept), strict=True):
        np.testing.assert_array_equal(x, y)


def test_persistent_chains_go_on() -> None:
    """They begin as the machine without bonds, and with each update make k steps."""
    model, v = machine(6, 4, 0), np.ones((8, 6))
    for k in (1, 2):
        once, noise = run(model, contrastive.pcd(k, chains=5), [v], optim.sgd(0.0))
        thrice, _ = run(model, contrastive.pcd(k, chains=5), [v] * 3, optim.sgd(0.0))
        step = contrastive.step(contrastive.pcd(k, chains=5), optim.sgd(0.0))
        start = step.init(model, dgm.random.Generator(0)).memory[1]
        np.testing.assert_array_equal(once.memory[1], model.gibbs(noise, start, k))
        np.testing.assert_array_equal(thrice.memory[1], model.gibbs(noise, once.memory[1], 2 * k))
    wide = contrastive.step(contrastive.pcd(1, chains=20_000), optim.sgd(0.1)).init(model, dgm.random.Generator(1)).memory[1]
    np.testing.assert_allclose(wide.mean(axis=0), 1 / (1 + np.exp(-model.b)), atol=0.02)


def test_decay_and_sparsity() -> None:
    model, v = machine(6, 4, 0), np.ones((8, 6))
    plain = run(model, contrastive.cd(1), [v], optim.sgd(1.0))[0].model
    decayed = run(model, contrastive.cd(1), [v], optim.sgd(1.0, weight_decay=0.1))[0].model
    np.testing.assert_allclose(decayed.W, plain.W - 0.1 * model.W)
    np.testing.assert_allclose(decayed.a, plain.a)
    sparse = run(model, contrastive.cd(1), [v], optim.sgd(1.0), lambda m, v: 3.0 * rbm.sparsity(m, v, 0.2))[0].model
    slope = dgm.grad(rbm.sparsity)(model, v, 0.2)
    np.testing.assert_allclose(sparse.a, plain.a - 3.0 * slope.a)
    activity = model.hidden(v).mean(axis=0)
    np.testing.assert_allclose(slope.a, (activity - 0.2) * (model.hidden(v) * (1 - model.hidden(v))).mean(axis=0))


def test_learning_raises_the_exact_likelihood() -> None:
    """On every seed: 6 patterns, 8 hidden units; likelihood by enumeration, never above that of the patterns themselves."""
    for seed in range(3):
        rng = dgm.random.Generator(seed)
        patterns = rng.bernoulli(np.full((6, 12), 0.5, "float32"))
        model = RBM.init(rng, 12, 8, patterns)
        before = float(dgm.mean(model.log_prob(patterns, rbm.log_partition(model))))
        model = run(model, contrastive.pcd(1, chains=100), [patterns] * 2000, seed=seed)[0].model
        after = float(dgm.mean(model.log_prob(patterns, rbm.log_partition(model))))
        assert before < after - 3.0
        assert after < -np.log(6)


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (np.full((4, 6), 2.0), "got 2 to 2"),
        (np.full((4, 6), -0.1), "from 0 to 1"),
        (np.full((4, 6), np.nan), "holds NaN"),
        (np.ones((4, 5)), r"an array \(..., 6\), got \(4, 5\)"),
        (np.ones((0, 6)), "empty"),
    ],
)
def test_bad_input_is_refused_and_the_model_is_as_it_was(bad, said) -> None:
    model = machine(6, 4, 0)
    kept = trees.map(np.copy, model)
    for phase in (contrastive.cd(1), contrastive.pcd(1, chains=3)):
        with pytest.raises(ValueError, match=said):
            run(model, phase, [bad])
        with pytest.raises(ValueError, match="no batches"):
            run(model, phase, [])
    for x, y in zip(trees.leaves(model), trees.leaves(kept), strict=True):
        np.testing.assert_array_equal(x, y)


def test_init_starts_at_the_data() -> None:
    v = np.zeros((98, 3), "float32")
    v[:, 1], v[:49, 2] = 1.0, 1.0
    model = RBM.init(dgm.random.Generator(0), 3, 5, v)
    np.testing.assert_allclose(dgm.sigmoid(model.b), [0.01, 0.99, 0.5], rtol=1e-5)
    assert not model.a.any()
    assert not RBM.init(dgm.random.Generator(0), 3, 5).b.any()
    for wrong in (v[:, :2], v[0], v[:0]):
        with pytest.raises(ShapeError, match=r"RBM\.init: data"):
            RBM.init(dgm.random.Generator(0), 3, 5, wrong)
    with pytest.raises(DomainError, match="divided by 255"):
        RBM.init(dgm.random.Generator(0), 3, 5, 255.0 * v)


def test_on_another_device(elsewhere) -> None:
    rng = dgm.random.Generator(0)
    v = rng.bernoulli(dgm.asarray(np.full((10, 5), 0.5, "float32")))
    state, _ = run(RBM.init(rng, 5, 3, v), contrastive.pcd(1, 4), [v, v], optim.sgd(0.1, weight_decay=0.01), rbm.sparsity)
    exact = float(rbm.log_partition(state.model))
    assert abs(mcmc.ais(state.model, rng, chains=50, temperatures=50).nats - exact) < 0.5
    assert rbm.pseudo_log_likelihood(state.model, v).shape == (10,)
    assert float(rbm.reconstruction_error(state.model, rng, v)) >= 0.0
    assert rbm.model_moments(state.model).vh.shape == (5, 3)
    assert run(state.model, contrastive.exact(rbm.log_partition), [v])[0].losses.shape == (1,)


@pytest.mark.parametrize("phase", [contrastive.cd(1), contrastive.pcd(3, 5), contrastive.exact(rbm.log_partition)])
def test_training_is_the_same_not_compiled(phase) -> None:
    """100 updates, bit for bit."""
    model, v = machine(6, 4, 0), (np.random.default_rng(1).random((10, 6)) < 0.5).astype(float)
    options = {"optimizer": optim.momentum(0.02, weight_decay=0.01), "penalty": rbm.sparsity}
    compiled, _ = run(model, phase, [v] * 100, **options)
    with dgm.eager():
        plain, _ = run(model, phase, [v] * 100, **options)
    for x, y in zip(trees.leaves(compiled), trees.leaves(plain), strict=True):
        assert np.asarray(x).tobytes() == np.asarray(y).tobytes()


def test_a_chain_has_a_length() -> None:
    for make, said in ((lambda: contrastive.cd(0), "cd: k"), (lambda: contrastive.pcd(1.5), "pcd: k")):
        with pytest.raises((ValueError, TypeError), match=said):
            make()


# Chains for any energy


def curved(x):
    """A bent valley in the plane: x_1 ~ N(0, 1), x_2 given x_1 ~ N(x_1^2 / 2, 0.5^2). Z is pi."""
    return 0.5 * x[..., 0] ** 2 + 2.0 * (x[..., 1] - 0.5 * x[..., 0] ** 2) ** 2


KERNELS = {"metropolis": mcmc.metropolis(0.6), "langevin": mcmc.langevin(0.5), "hmc": mcmc.hmc(0.3, 5)}


@pytest.mark.parametrize("kernel", list(KERNELS))
def test_samplers_leave_their_distribution_as_it_is(kernel) -> None:
    """Points drawn from the density itself, moved, are still drawn from it; without the acceptance they are not."""
    rng, n = np.random.default_rng(0), 40_000
    x1 = rng.standard_normal(n)
    x = np.stack([x1, 0.5 * x1**2 + 0.5 * rng.standard_normal(n)], axis=1)
    moved = mcmc.walk(lambda r, x: KERNELS[kernel](r, x, lambda x: -curved(x)), dgm.random.Generator(0), x, 8)
    assert (moved != x).any(axis=1).mean() > 0.2
    truth = {"x1": 0.0, "x1^2": 1.0, "x2": 0.5, "x2^2": 0.25 + 0.75}
    for name, value in zip(truth, (moved[:, 0], moved[:, 0] ** 2, moved[:, 1], moved[:, 1] ** 2), strict=True):
        assert abs(value.mean() - truth[name]) < 5 * value.std() / np.sqrt(n), name


@pytest.mark.parametrize("kernel", list(KERNELS))
def test_annealing_finds_the_z_of_any_energy(kernel) -> None:
    base = Independent(Normal(np.zeros(2), 2.0), 1)
    path = mcmc.Annealed(base, curved, KERNELS[kernel])
    for seed in range(3):
        result = mcmc.ais(path, dgm.random.Generator(seed), chains=500, temperatures=300)
        assert result.low < np.log(np.pi) < result.high
        assert result.high - result.low < 0.6
        assert result.kind == "estimate"


def test_no_chain_goes_where_there_is_no_density() -> None:
    """Gamma(3): the logarithm is NaN below 0."""

    def log_prob(x):
        return 2.0 * dgm.log(x[:, 0]) - x[:, 0]

    for kernel in KERNELS.values():
        with np.errstate(invalid="ignore"):
            x = mcmc.walk(lambda r, x, k=kernel: k(r, x, log_prob), dgm.random.Generator(0), np.full((2000, 1), 3.0), 300)
        assert (x > 0.0).all()
        assert abs(x.mean() - 3.0) < 0.35


@pytest.mark.parametrize(
    "log_prob", [lambda x: -0.5 * dgm.sum(x**2), lambda x: -0.5 * dgm.sum(x**2, axis=-1, keepdims=True), lambda x: -0.5 * x**2]
)
def test_a_log_density_for_each_chain(log_prob) -> None:
    x = np.zeros((5, 2))
    for kernel in KERNELS.values():
        with pytest.raises(ValueError, match=r"needs a log density for each, \(5,\)"):
            kernel(dgm.random.Generator(0), x, log_prob)
    path = mcmc.Annealed(Independent(Normal(np.zeros(2), 2.0), 1), lambda x: -log_prob(x), mcmc.metropolis(0.5))
    with pytest.raises(ValueError, match=r"needs a log density|the energies of 5 chains"):
        mcmc.ais(path, dgm.random.Generator(0), chains=5, temperatures=3)


def test_the_reconstruction_error_is_the_pixels_that_a_step_changes() -> None:
    """Without bonds each pixel is drawn anew, white with probability sigma(b)."""
    p = np.array([0.1, 0.5, 0.8, 0.9])
    machine = RBM(np.zeros((4, 3)), np.log(p / (1 - p)), np.zeros(3))
    v = np.tile([0.0, 1.0, 1.0, 0.0], (50_000, 1))
    expected = (v[0] * (1 - p) + (1 - v[0]) * p).sum()
    assert float(rbm.reconstruction_error(machine, dgm.random.Generator(0), v)) == pytest.approx(expected, abs=0.02)
