"""The restricted Boltzmann machine against sums over all of its states."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pydgm as dgm
from pydgm import optim, trees
from pydgm.models.energy import RBM, rbm


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
    v, h, p, log_z = joint(model)
    np.testing.assert_allclose(rbm.log_partition(model), log_z, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(np.exp(model.log_prob(v, log_z)), p.sum(axis=1), rtol=1e-10)
    np.testing.assert_allclose(model.hidden(v), (p @ h) / p.sum(axis=1, keepdims=True), rtol=1e-10)
    np.testing.assert_allclose(model.visible(h), (p.T @ v) / p.sum(axis=0)[:, None], rtol=1e-10)
    np.testing.assert_allclose(np.exp(model.transposed.log_prob(h, log_z)), p.sum(axis=0), rtol=1e-10)
    expected = rbm.model_moments(model)
    np.testing.assert_allclose(expected.W, v.T @ p @ h, rtol=1e-10)
    np.testing.assert_allclose(expected.b, p.sum(axis=1) @ v, rtol=1e-10)
    np.testing.assert_allclose(expected.a, p.sum(axis=0) @ h, rtol=1e-10)
    p_v = {tuple(x): q for x, q in zip(v, p.sum(axis=1), strict=True)}
    pseudo = [sum(np.log(q / (q + p_v[tuple(y)])) for y in flips(x)) for x, q in zip(v, p.sum(axis=1), strict=True)]
    np.testing.assert_allclose(rbm.pseudo_log_likelihood(model, v), pseudo, rtol=1e-8)


def flips(x):
    """``x`` with each of its bits flipped in turn."""
    return [np.where(np.arange(len(x)) == i, 1.0 - x, x) for i in range(len(x))]


@settings(max_examples=40)
@given(MACHINES, st.integers(0, 10_000))
def test_the_exact_gradient_is_autodiffs_and_finite_differences(model, seed) -> None:
    v = (np.random.default_rng(seed).random((6, model.W.shape[0])) < 0.5).astype(float)

    def nll(model):
        return -dgm.mean(model.log_prob(v, rbm.log_partition(model)))

    exact = rbm.exact_nll_gradient(model, v)
    for x, y in zip(trees.leaves(exact), trees.leaves(dgm.grad(nll)(model)), strict=True):
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
    rng = np.random.default_rng(seed)
    v, v_model = ((rng.random((n, model.W.shape[0])) < 0.5).astype(float) for n in (6, 9))
    by_hand = rbm.nll_gradient(model, v, v_model)
    by_engine = dgm.grad(rbm.contrastive_loss)(model, v, v_model)
    for x, y in zip(trees.leaves(by_hand), trees.leaves(by_engine), strict=True):
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
    np.testing.assert_allclose(rbm.model_moments(flat).W, 0.25)


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
        found = rbm.ais(model, dgm.random.Generator(seed), chains=500, temperatures=1000, base=start)
        assert abs(found.value - exact) < 0.1
        assert found.low < exact < found.high
        assert found.low < found.value < found.high


def test_ais_is_a_lower_bound_on_average() -> None:
    """With few temperatures the estimates scatter: E[Z] is right, so E[log Z] is below."""
    model = machine(10, 8, 3)
    exact = float(rbm.log_partition(model))
    log_w = np.asarray(rbm.ais(model, dgm.random.Generator(0), chains=20_000, temperatures=20).log_weights)
    w = np.exp(log_w - exact)
    assert abs(w.mean() - 1.0) < 4 * w.std() / np.sqrt(len(w))
    assert log_w.mean() < exact - 0.01
    with pytest.raises(ValueError, match="at least 2 of each"):
        rbm.ais(model, dgm.random.Generator(0), chains=1)


def test_one_update_is_what_the_lecture_writes() -> None:
    """CD-1 in NumPy: h from v, v' from h, then <v h> - <v' h'>."""
    model, rate = machine(6, 4, 0), 0.1
    v = (np.random.default_rng(1).random((8, 6)) < 0.5).astype(float)
    kept = trees.map(np.copy, model)
    found, chains = rbm.fit(model, [v], dgm.random.Generator(5), optimizer=optim.sgd(rate))
    assert chains is None
    rng = np.random.default_rng(5)

    def logistic(x):
        return 1 / (1 + np.exp(-x))

    h = logistic(v @ model.W + model.a)
    sample = (rng.random((8, 4)) < h).astype(float)
    v1 = (rng.random((8, 6)) < logistic(sample @ model.W.T + model.b)).astype(float)
    h1 = logistic(v1 @ model.W + model.a)
    np.testing.assert_allclose(found.W, model.W + rate * (v.T @ h - v1.T @ h1) / 8)
    np.testing.assert_allclose(found.b, model.b + rate * (v - v1).mean(axis=0))
    np.testing.assert_allclose(found.a, model.a + rate * (h - h1).mean(axis=0))
    for x, y in zip(trees.leaves(model), trees.leaves(kept), strict=True):
        np.testing.assert_array_equal(x, y)


def test_persistent_chains_go_on() -> None:
    model = machine(6, 4, 0)
    v, start = np.ones((8, 6)), np.zeros((5, 6))
    opt = optim.sgd(0.0)
    _, once = rbm.fit(model, [v], dgm.random.Generator(0), chains=start, optimizer=opt)
    _, thrice = rbm.fit(model, [v] * 3, dgm.random.Generator(0), chains=start, optimizer=opt)
    rng = dgm.random.Generator(0)
    np.testing.assert_array_equal(once, model.gibbs(rng, start, 1))
    np.testing.assert_array_equal(thrice, model.gibbs(rng, once, 2))
    assert not start.any()


def test_decay_and_sparsity() -> None:
    model, v = machine(6, 4, 0), np.ones((8, 6))

    def moved(**options):
        new, _ = rbm.fit(model, [v], dgm.random.Generator(0), optimizer=optim.sgd(1.0), **options)
        return new

    plain = moved()
    np.testing.assert_allclose(moved(weight_decay=0.1).W, plain.W - 0.1 * model.W)
    activity = model.hidden(v).mean(axis=0)
    np.testing.assert_allclose(moved(sparsity=(0.2, 3.0)).a, plain.a - 3.0 * (activity - 0.2))


def test_learning_raises_the_exact_likelihood() -> None:
    """On every seed: 6 patterns, 8 hidden units; likelihood by enumeration, never above that of the patterns themselves."""
    for seed in range(3):
        rng = dgm.random.Generator(seed)
        patterns = rng.bernoulli(np.full((6, 12), 0.5, "float32"))
        model = RBM.init(rng, 12, 8, patterns)
        before = float(dgm.mean(model.log_prob(patterns, rbm.log_partition(model))))
        chains = rng.bernoulli(np.full((100, 12), 0.5, "float32"))
        model, _ = rbm.fit(model, [patterns] * 2000, rng, chains=chains, optimizer=optim.sgd(0.1))
        after = float(dgm.mean(model.log_prob(patterns, rbm.log_partition(model))))
        assert before < after - 3.0
        assert after < -np.log(6)


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (np.full((4, 6), 2.0), "from 2 to 2"),
        (np.full((4, 6), -0.1), "0 to 1"),
        (np.full((4, 6), np.nan), "from nan to nan"),
        (np.ones((4, 5)), r"an array \(n, 6\), not \(4, 5\)"),
        (np.ones(6), r"not \(6,\)"),
        (np.ones((0, 6)), "empty"),
        ([[1.0] * 6], "not list"),
    ],
)
def test_bad_input_is_refused_and_the_model_is_as_it_was(bad, said) -> None:
    model = machine(6, 4, 0)
    kept = trees.map(np.copy, model)
    for arguments, options in [(([np.ones((4, 6)), bad],), {}), (([np.ones((4, 6))],), {"chains": bad})]:
        with pytest.raises(ValueError, match=said):
            rbm.fit(model, *arguments, dgm.random.Generator(0), **options)
    with pytest.raises(ValueError, match="no batches"):
        rbm.fit(model, [], dgm.random.Generator(0))
    for x, y in zip(trees.leaves(model), trees.leaves(kept), strict=True):
        np.testing.assert_array_equal(x, y)


def test_whole_numbers_are_taken() -> None:
    model = trees.map(lambda w: w.astype("float32"), machine(6, 4, 0))
    for v in (np.ones((4, 6), "uint8"), np.ones((4, 6), bool), np.ones((4, 6))):
        new, _ = rbm.fit(model, [v], dgm.random.Generator(0))
        assert new.W.dtype == np.float32


def test_init_starts_at_the_data() -> None:
    v = np.zeros((98, 3), "float32")
    v[:, 1], v[:49, 2] = 1.0, 1.0
    model = RBM.init(dgm.random.Generator(0), 3, 5, v)
    np.testing.assert_allclose(dgm.sigmoid(model.b), [0.01, 0.99, 0.5], rtol=1e-5)
    assert not model.a.any()
    assert not RBM.init(dgm.random.Generator(0), 3, 5).b.any()


def test_on_the_bare_standard(strict) -> None:
    rng = dgm.random.Generator(0)
    v = rng.bernoulli(dgm.asarray(np.full((10, 5), 0.5, "float32")))
    model, chains = rbm.fit(RBM.init(rng, 5, 3, v), [v, v], rng, chains=v, weight_decay=0.01, sparsity=(0.1, 0.1))
    exact = float(rbm.log_partition(model))
    found = rbm.ais(model, rng, chains=50, temperatures=50)
    assert abs(found.value - exact) < 0.5
    assert rbm.pseudo_log_likelihood(model, v).shape == (10,)
    assert chains is not None
    assert float(rbm.reconstruction_error(model, rng, v)) >= 0.0
    assert trees.leaves(rbm.exact_nll_gradient(model, v))[0].shape == (5, 3)


@pytest.mark.parametrize(("k", "persistent"), [(1, False), (3, True), (float("inf"), False)])
def test_training_is_the_same_not_compiled(k, persistent) -> None:
    """100 updates, bit for bit."""
    model, v = machine(6, 4, 0), (np.random.default_rng(1).random((10, 6)) < 0.5).astype(float)
    options = {"k": k, "chains": v[:5] if persistent else None, "weight_decay": 0.01, "sparsity": (0.2, 0.1)}
    compiled, chains = rbm.fit(model, [v] * 100, dgm.random.Generator(0), **options)
    with dgm.eager():
        plain, others = rbm.fit(model, [v] * 100, dgm.random.Generator(0), **options)
    for x, y in zip(trees.leaves((compiled, chains)), trees.leaves((plain, others)), strict=True):
        assert x.tobytes() == y.tobytes()


def test_a_chain_has_a_length() -> None:
    model, v = machine(6, 4, 0), np.ones((2, 6))
    for k, chains in ((0, None), (1.5, None), (-1, None), (float("inf"), v)):
        with pytest.raises(ValueError, match="fit: "):
            rbm.fit(model, [v], dgm.random.Generator(0), k=k, chains=chains)
