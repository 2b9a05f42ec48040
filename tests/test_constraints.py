"""Rules: logic against truth tables, q* against an optimiser, EM's bound, and a student against its fixed point."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import pydgm as dgm
from pydgm import errors, nn, optim, train, trees
from pydgm.data import clauses
from pydgm.data import sentences as text
from pydgm.models.constraints import SentenceCNN, distillation, logic, posterior
from pydgm.models.latent import GaussianMixture, mixture
from pydgm.rows import by_rows
from pydgm.testing import arrays, check_grads

truths = st.floats(0.0, 1.0)


def random(seed: int = 0) -> dgm.random.Generator:
    return dgm.random.Generator(seed)


# Logic


def test_soft_logic_is_logic_where_truth_is_0_or_1() -> None:
    for a, b in itertools.product((0.0, 1.0), repeat=2):
        assert logic.conjunction(np.array(a), np.array(b)) == float(a and b)
        assert logic.disjunction(np.array(a), np.array(b)) == float(a or b)
        assert logic.implication(np.array(a), np.array(b)) == float(not a or b)
        assert (logic.equivalence(np.array(a), np.array(b)) == 1.0) == (a == b)
        assert logic.negation(np.array(a)) == 1.0 - a
        yes, no = np.array([bool(a)]), np.array([bool(b)])
        assert logic.conjunction(yes, no) == float(a and b)
        assert logic.disjunction(yes, no) == float(a or b)
        assert logic.average(yes, no) == (a + b) / 2


@given(truths, truths)
def test_the_laws_of_soft_logic(a, b) -> None:
    a, b = np.array(a), np.array(b)
    for result in (logic.conjunction(a, b), logic.disjunction(a, b), logic.implication(a, b), logic.average(a, b)):
        assert -1e-12 <= result <= 1.0 + 1e-12
    assert logic.negation(logic.conjunction(a, b)) == pytest.approx(float(logic.disjunction(1 - a, 1 - b)))  # de Morgan
    assert logic.implication(a, b) == pytest.approx(float(logic.disjunction(1 - a, b)))
    assert logic.equivalence(a, b) == pytest.approx(1.0 - abs(a - b) / 2)


@given(truths)
def test_the_but_rule_is_the_papers(b) -> None:
    """(1 + sigma(B)) / 2 for a positive sentence, (2 - sigma(B)) / 2 for a negative one."""
    np.testing.assert_allclose(distillation.but_rule(np.array([b])), [[(2 - b) / 2, (1 + b) / 2]], atol=1e-12)


# Posterior regularisation


@settings(max_examples=25)
@given(arrays((3, 5), -2.0, 2.0), arrays((3, 5), -2.0, 2.0), st.floats(0.0, 3.0))
def test_q_is_what_an_optimiser_finds(scores, f, strength) -> None:
    # formula: e-step, posterior-regularisation
    log_p = dgm.log_softmax(scores)
    closed = np.exp(posterior.project(scores, f, strength))
    result = posterior.minimize_on_simplex(
        lambda q: dgm.sum(posterior.divergence(dgm.log(q), log_p, f, strength)), np.full((3, 5), 0.2)
    )
    np.testing.assert_allclose(result, closed, atol=1e-6)
    np.testing.assert_allclose(closed.sum(axis=1), 1.0, atol=1e-12)
    best = posterior.divergence(np.log(closed), log_p, f, strength)
    assert (best <= posterior.divergence(log_p, log_p, f, strength) + 1e-12).all()


def test_an_optimiser_that_has_not_settled_says_so() -> None:
    with pytest.raises(ValueError, match="positive everywhere"):
        posterior.minimize_on_simplex(lambda q: dgm.sum(q * q), np.array([1.0, 0.0]))
    log_p, f = dgm.log_softmax(np.array([[0.3, -1.0, 0.2]])), np.array([[1.0, 0.0, -1.0]])
    for rate, steps, strength in ((2.0, 500, 1.0), (0.1, 3, 1.0), (0.1, 50, 1.0)):
        with pytest.raises(ValueError, match=f"after {steps} steps"):
            posterior.minimize_on_simplex(
                lambda q, s=strength: dgm.sum(posterior.divergence(dgm.log(q), log_p, f, s)),
                np.full((1, 3), 1 / 3),
                steps,
                rate,
            )


@given(arrays((6,), -2.0, 2.0), arrays((6,), -2.0, 2.0))
def test_the_expected_constraint_rises_with_its_strength(scores, f) -> None:
    """d E_q[f] / d lambda = Var_q[f] >= 0."""
    expected = [float(np.sum(np.exp(posterior.project(scores, f, s)) * f)) for s in np.linspace(0, 5, 20)]
    assert np.diff(expected).min() >= -1e-12
    q = np.exp(posterior.project(scores, f, 1.0))
    slope = dgm.grad(lambda s: dgm.sum(dgm.exp(posterior.project(scores, f, s)) * f))(np.array(1.0))
    assert float(slope) == pytest.approx(np.sum(q * f * f) - np.sum(q * f) ** 2, abs=1e-9)


@given(st.integers(0, 1000), st.floats(0.0, 3.0), st.booleans())
def test_the_bound_of_constrained_em_never_falls(seed, strength, spherical) -> None:
    # formula: whole-objective, m-step
    """A mixture of two Gaussians in the plane, and a constraint that says nothing sensible."""
    rng = np.random.default_rng(seed)
    x, f = rng.standard_normal((30, 2)), strength * rng.standard_normal((30, 2))
    model, bounds = GaussianMixture.init(random(seed), x, 2), []
    for step in range(41):
        joint = model.log_joint(x)
        q = np.exp(posterior.project(joint, f))
        bounds.append(float(np.log(np.exp(joint + f).sum(axis=1)).mean()))
        model = mixture.maximize(x, q, spherical, floor=1e-3)
        if step == 0 and spherical:  # from ellipses to circles: of another family
            bounds.clear()
    assert np.diff(bounds).min() >= -2e-3  # the floor of the variance may cost that much
    np.testing.assert_allclose(model.components.loc, q.T @ x / q.sum(axis=0)[:, None], rtol=1e-6)
    np.testing.assert_allclose(np.exp(dgm.log_softmax(model.logits)), q.mean(axis=0), rtol=1e-6)
    if spherical:
        squares = (q * ((x[:, None] - model.components.loc) ** 2).sum(axis=-1)).sum(axis=0) / q.sum(axis=0) / 2
        np.testing.assert_allclose(model.components.L[:, 0, 0] ** 2, squares + 1e-3 * x.var(axis=0).mean(), rtol=1e-6)
        np.testing.assert_allclose(model.components.L[:, 1, 0], 0.0)


@given(arrays((7, 4), -3.0, 3.0), st.floats(0.05, 0.95))
def test_the_multiplier_reaches_the_expectation_that_is_wanted(log_p, b) -> None:
    """Ganchev's E_q[f] = b; where f says the same of all y there is no such lambda."""
    f = np.array([0.0, 1.0, 1.0, 0.0])
    q = np.exp(posterior.project(log_p, f, posterior.multiplier(log_p, f, b)))
    assert (q @ f).mean() == pytest.approx(b, abs=1e-8)
    with pytest.raises(ValueError, match="is reached by no lambda"):
        posterior.multiplier(log_p, np.ones(4), b)


# The network and its training


def learn(start, batches, optimizer, rule, dropout: float = 0.5, seed: int = 5):
    """The state after the batches, and a generator that draws the noise that was drawn."""
    step = by_rows(distillation.student_loss(rule, dropout), optimizer, distillation.in_use_with_pi)
    state, noise = step.init(start, random(seed)), random()
    noise.restore(state.noise)
    return train.run(step, state, batches), noise


def small_cnn(words: int = 12, dim: int = 4, filters: int = 3) -> SentenceCNN:
    return SentenceCNN.init(random(), words, dim, filters)


def convolved(model: SentenceCNN, words):
    """The features by ``conv1d`` over the padded sentences and ``max`` over all windows."""
    x = dgm.take(model.embedding.table, words, axis=0) * (words > 0)[..., None]
    x = dgm.permute_dims(dgm.pad(x, ((0, 0), (2, 2), (0, 0))), (0, 2, 1))
    n, at, features = words.shape[1], 0, []
    for i, h in enumerate(model.widths):
        kernel = dgm.permute_dims(model.filters[:, at : at + h, :], (2, 0, 1))  # (F, d, h)
        around = dgm.conv1d(x, kernel)[:, :, 2 - h // 2 :][:, :, :n]  # windows with a word in the middle
        features.append(dgm.relu(dgm.max(around - 1e9 * (words == 0)[:, None, :], axis=2) + model.bias[i]))
        at += h
    return dgm.concat(features, axis=1)


@given(hnp.arrays("int64", (3, 7), elements=st.integers(0, 5)))
def test_the_network_is_a_convolution_and_its_slopes_are(words) -> None:
    """Also where a word comes twice, so that windows are equally good: any of them has the slopes of both."""
    words[:, 0] = 1
    model, weights = nn.double(small_cnn(6)), np.random.default_rng(0).normal(size=9)

    def total(features):
        return lambda model: dgm.sum(features(model) * weights)

    result, slopes = dgm.value_and_grad(total(lambda model: model.features(words)))(model)
    wanted, expected = dgm.value_and_grad(total(lambda model: convolved(model, words)))(model)
    assert result == pytest.approx(wanted)
    for a, b in zip(trees.leaves(slopes), trees.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-12)


def test_a_row_may_be_short_long_and_empty() -> None:
    model, words = nn.double(small_cnn()), np.random.default_rng(0).integers(1, 12, (5, 9))
    assert model(words[:, :1]).shape == (5, 2)  # a single word is enough for the widest filter
    words[:, 6:] = 0
    np.testing.assert_allclose(model(words[:, :6]), model(words), atol=1e-12)  # however far a row is filled up
    assert np.isfinite(model(np.zeros((2, 4), int))).all()
    loud = dataclasses.replace(model, embedding=nn.Embedding(1e12 * model.embedding.table))
    np.testing.assert_allclose(loud(words[:, :6]), loud(words))
    with pytest.raises(errors.ShapeError, match="at least one place long"):
        model(text.encode([()], {}))
    with pytest.raises(ValueError, match=r"dropout: wanted a rate"):
        model(words, random(), dropout=1.0)


def test_derivatives_of_the_network_and_the_loss() -> None:
    model, words = nn.double(small_cnn()), np.random.default_rng(1).integers(1, 12, (4, 6))
    model = dataclasses.replace(model, embedding=nn.Embedding(40.0 * model.embedding.table))  # ties of the maximum far apart
    log_q = np.log(np.array([[0.3, 0.7]] * 4))
    check_grads(
        lambda m: distillation.distillation_loss(dgm.log_softmax(m(words)), np.array([0.0, 1.0, 1.0, 0.0]), log_q, 0.3),
        [model],
        order=1,
    )


def test_the_loss_weighs_labels_and_teacher() -> None:
    # formula: distillation, rule-m-step
    log_p, log_q, y = np.log([[0.2, 0.8], [0.6, 0.4]]), np.log([[0.5, 0.5], [0.1, 0.9]]), np.array([1.0, 1.0])
    hard = -(np.log(0.8) + np.log(0.4)) / 2
    soft = -(0.5 * np.log(0.2) + 0.5 * np.log(0.8) + 0.1 * np.log(0.6) + 0.9 * np.log(0.4)) / 2
    for pi in (0.0, 0.3, 1.0):
        assert float(distillation.distillation_loss(log_p, y, log_q, pi)) == pytest.approx((1 - pi) * hard + pi * soft)
    assert [distillation.balance(t) for t in (0, 1, 2)] == pytest.approx([0.0, 0.1, 0.19])
    assert distillation.balance(100, limit=0.6) == 0.6
    with pytest.raises(ValueError, match="rate = 2"):
        distillation.balance(3, rate=2)


def test_the_teacher_follows_the_rule_where_it_speaks() -> None:
    # formula: rule-teacher
    """logit q - logit p = lambda (b - 1/2) for "A but B", 0 elsewhere."""
    sentences = [("a", "but", "b", "c"), ("a", "b"), ("c", "but", "a")]
    numbers = text.vocabulary(sentences)
    model = nn.double(SentenceCNN.init(random(3), len(numbers) + 2, 4, 5))
    b = clauses.batch(sentences, [1, 0, 1], numbers)
    logits = model(b.words)
    log_q = distillation.teacher(model, b, logits, distillation.but(3.0))
    shift = (log_q[:, 1] - log_q[:, 0]) - (logits[:, 1] - logits[:, 0])
    for row, clause in ((0, ("b", "c")), (2, ("a",))):
        other = model(text.encode([clause], numbers, 8))
        positive = 1 / (1 + np.exp(other[0, 0] - other[0, 1]))
        assert shift[row] == pytest.approx(3.0 * (positive - 0.5), abs=1e-6)
    assert shift[1] == pytest.approx(0.0, abs=1e-9)
    np.testing.assert_allclose(np.exp(log_q).sum(axis=1), 1.0)


def test_a_rule_of_ones_own() -> None:
    """After "not", the opposite: logit q - logit p = lambda (1/2 - b)."""
    rule = distillation.Rule(
        lambda words: words[words.index("not") + 1 :] if "not" in words else None, lambda b: distillation.but_rule(1.0 - b), 2.0
    )
    sentences = [("a", "is", "not", "b"), ("a", "but", "b")]
    numbers = text.vocabulary(sentences)
    model = SentenceCNN.init(random(3), len(numbers) + 2, 4, 5)
    log_p, log_q = distillation.log_probs(model, sentences, numbers, rule)
    (log_b,), _ = distillation.log_probs(model, [("b",)], numbers, rule)
    shift = (log_q[:, 1] - log_q[:, 0]) - (log_p[:, 1] - log_p[:, 0])
    assert shift == pytest.approx([2.0 * (0.5 - np.exp(log_b[1])), 0.0], abs=1e-5)
    batches = [(b, 0.5) for b in clauses.batches(sentences, [0, 1], numbers, 2, random(), rule.clause)]
    assert (batches[0][0].rows < 2).sum() == 1
    learned, _ = learn(model, batches, optim.adam(0.1), rule)
    assert np.isfinite(learned.model.embedding.table).all()


def test_training_by_rows_is_training_of_the_whole_table() -> None:
    """Without memory of slopes (sgd) the two must agree: with Adam, rows that a batch does not use keep still instead."""
    sentences = [("a", "b", "c"), ("d", "but", "e"), ("f", "a"), ("g", "but", "h", "a")] * 3
    labels, numbers = np.array([1, 0, 1, 1] * 3), text.vocabulary(sentences)
    start = SentenceCNN.init(random(2), len(numbers) + 2, 4, 3)
    parts = [(b, 0.4) for b in clauses.batches(sentences, labels, numbers, 4, random())]
    by_rows, noise = learn(start, parts, optim.sgd(0.1), distillation.but(2.0))
    whole = start

    def loss(m, b):
        logits = m(b.words, noise)
        return distillation.distillation_loss(
            dgm.log_softmax(logits), b.labels, distillation.teacher(m, b, logits, distillation.but(2.0)), np.float32(0.4)
        )

    for b, _ in parts:
        whole = trees.map(lambda w, g: w - 0.1 * g, whole, dgm.grad(loss)(whole, b))
    for a, b in zip(trees.leaves(by_rows.model), trees.leaves(whole), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)
    assert any((a != b).any() for a, b in zip(trees.leaves(by_rows.model), trees.leaves(start), strict=True))
    unused = dataclasses.replace(start, embedding=nn.Embedding(np.pad(start.embedding.table, ((0, 5), (0, 0)))))
    alone = [learn(start, [(b, pi) for b, _ in parts], optim.sgd(0.1), None)[0].model for pi in (0.0, 0.9)]
    for a, b in zip(*map(trees.leaves, alone), strict=True):
        np.testing.assert_array_equal(a, b)  # without a teacher pi is 0
    kept = learn(unused, parts, optim.adam(0.1), distillation.but(2.0))[0].model
    assert (kept.embedding.table[-5:] == 0.0).all()
    assert (kept.embedding.table[0] == start.embedding.table[0]).all()


def test_batches_hold_no_sentence_twice() -> None:
    sentences, _ = text.but_sentences(np.random.default_rng(0), 130)
    numbers = text.vocabulary(sentences.words)
    result = clauses.batches(sentences.words, sentences.labels, numbers, 20, random())
    assert len(result) == 6
    rows = [tuple(row[row > 0]) for b in result for row in b.words]
    known = [tuple(numbers[w] for w in words) for words in sentences.words]
    assert len(rows) == 120
    assert all(rows.count(row) <= known.count(row) for row in rows)
    assert rows != [
        tuple(r[r > 0]) for b in clauses.batches(sentences.words, sentences.labels, numbers, 20, random(1)) for r in b.words
    ]
    with pytest.raises(ValueError, match="batches of 200 from 130 sentences"):
        clauses.batches(sentences.words, sentences.labels, numbers, 200, random())
    with pytest.raises(ValueError, match="20 from 130 sentences with 3 labels"):
        clauses.batches(sentences.words, [0, 1, 1], numbers, 20, random())
    for labels in ([1], [[0]] * 4):
        with pytest.raises(ValueError, match="a label for each of 4 sentences"):
            clauses.batch(sentences.words[:4], labels, numbers)
    for labels, wrong in (([0, 1, 2, 1], "2"), ([-1, 1, 1, 1], "-1"), (["good"] * 4, "'good'"), ([0.5, 1.0, 0.0, 1.0], "0.5")):
        with pytest.raises(ValueError, match=f"got {wrong}"):
            clauses.batch(sentences.words[:4], labels, numbers)
    for f in (text.vocabulary, lambda text_: clauses.batch(text_, [1], numbers)):
        with pytest.raises(TypeError, match="a tuple of words, not the text 'the plot is dull'"):
            f(["the plot is dull"])
    for b in result:
        assert b.words.shape[1] % 8 == 0
        assert b.clauses.shape[0] % 16 == 0
        but = [i for i, row in enumerate(b.words) if numbers["but"] in row]
        assert sorted(b.rows[b.rows < 20]) == but


@given(st.floats(0.0, 0.9), st.floats(0.0, 6.0), st.floats(0.01, 0.5))
def test_the_fixed_point_is_one(pi, strength, noise) -> None:
    p = distillation.fixed_point(pi, strength, noise, b=0.8)
    q = np.exp(posterior.project(np.log([1 - p, p]), distillation.but_rule(np.array(0.8)), strength))[1]
    assert p == pytest.approx((1 - pi) * (1 - noise) + pi * q, abs=1e-6)


def test_what_is_impossible_adds_nothing_to_the_divergence() -> None:
    log_p, f = np.array([np.log(0.5), np.log(0.5), -np.inf]), np.array([1.0, 0.0, 5.0])
    result = posterior.divergence(posterior.project(log_p, f, 2.0), log_p, f, 2.0)
    assert float(result) == pytest.approx(-np.log(0.5 * np.exp(2.0) + 0.5))  # -log Z
    sure = posterior.divergence(np.array([0.0, -np.inf]), np.log([0.5, 0.5]), np.zeros(2))
    assert float(sure) == pytest.approx(np.log(2.0))


def test_the_fixed_point_at_its_edges() -> None:
    assert distillation.fixed_point(0.0, 2.0, 1.0) == pytest.approx(0.0, abs=1e-12)
    assert distillation.fixed_point(0.2, 2.0, 1.0) == pytest.approx(0.0, abs=1e-12)
    assert distillation.fixed_point(0.5, 2000.0, 0.4, b=0.0) == pytest.approx(0.3)
    assert distillation.fixed_point(0.5, 2000.0, 0.4) == pytest.approx(0.8)
    with pytest.raises(ValueError, match="wanted 0 <= pi < 1"):
        distillation.fixed_point(1.0, 2.0, 0.4)


def test_the_student_reaches_its_fixed_point() -> None:
    rng = np.random.default_rng(0)
    noisy, _ = text.but_sentences(rng, 6000, noise=0.4)
    test, true = text.but_sentences(rng, 1000)
    numbers, noise = text.vocabulary(noisy.words), random()
    start = SentenceCNN.init(noise, len(numbers) + 2, 16, 16)
    batches = [(b, 0.5) for _ in range(4) for b in clauses.batches(noisy.words, noisy.labels, numbers, 50, noise)]
    state, _ = learn(start, batches, optim.adam(optim.linear(3e-3, 0.0, 481)), distillation.but(2.0), dropout=0.0)
    model = state.model
    but = np.array([text.after_but(words) is not None for words in test.words])
    log_p, _ = distillation.log_probs(model, test.words, numbers, distillation.but(2.0))
    right = np.exp(log_p)[np.arange(1000), true.labels]
    assert right[but].mean() == pytest.approx(distillation.fixed_point(0.5, 2.0, 0.4), abs=0.03)
    assert right[~but].mean() > 0.95


def test_rules_on_another_device(elsewhere) -> None:
    sentences = [("a", "but", "b"), ("a", "b"), ("c", "but", "a"), ("b",)]
    numbers = text.vocabulary(sentences)
    start = SentenceCNN.init(random(), len(numbers) + 2, 3, 2)
    parts = [(clauses.batch(sentences, [1, 0, 1, 0], numbers), 0.5)]
    model = learn(start, parts, optim.adam(0.1), distillation.but(2.0))[0].model
    log_p, log_q = distillation.log_probs(model, sentences, numbers, distillation.but(2.0))
    assert np.isfinite(log_p).all()
    np.testing.assert_allclose(log_p[[1, 3]], log_q[[1, 3]], atol=1e-6)


@pytest.mark.parametrize("dropout", [0.2, 0.7])
def test_dropout_changes_the_answers_and_not_their_mean(dropout) -> None:
    """What is left grows by 1 / (1 - dropout), so that logits are right on average, and are not without noise."""
    model, words = small_cnn(filters=40), np.tile([[3, 5, 2, 7, 4, 9]], (20_000, 1))
    exact = np.asarray(model(words[:1]))[0]
    drawn = np.asarray(model(words, random(1), dropout))
    assert (drawn.std(axis=0) > 1e-3).all()
    np.testing.assert_array_less(np.abs(drawn.mean(axis=0) - exact), 5.0 * drawn.std(axis=0) / np.sqrt(len(drawn)))
