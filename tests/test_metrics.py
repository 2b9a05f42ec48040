"""Measures of samples: against scipy, closed forms, enumeration, and samples that are wrong in a known way."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import scipy.linalg
import scipy.optimize
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

import pydgm as dgm
from pydgm import data, metrics
from pydgm.errors import ArgumentError, DomainError, NaNError, ShapeError
from pydgm.metrics.distances import assignment


def random(seed: int = 0) -> dgm.random.Generator:
    return dgm.random.Generator(seed)


def normal(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


# Distances


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 12), st.integers(0, 10_000), st.booleans())
def test_the_cheapest_pairs(n, seed, ties) -> None:
    rng = np.random.default_rng(seed)
    cost = rng.integers(0, 4, (n, n)).astype(float) if ties else rng.normal(size=(n, n))
    columns = assignment(cost)
    assert sorted(columns) == list(range(n))
    best = cost[scipy.optimize.linear_sum_assignment(cost)].sum()
    assert cost[np.arange(n), columns].sum() == pytest.approx(best, abs=1e-12)


def test_the_earth_movers_distance() -> None:
    # formula: earth-mover
    x, y = normal(0, 150, 2), 2.0 + normal(1, 150, 2)
    cost = np.linalg.norm(x[:, None] - y, axis=2)
    assert metrics.wasserstein(x, y) == pytest.approx(cost[scipy.optimize.linear_sum_assignment(cost)].mean(), rel=1e-12)
    assert metrics.wasserstein(x, x + np.array([3.0, -4.0])) == pytest.approx(5.0)  # all go the same way
    assert metrics.wasserstein(x, np.random.default_rng(0).permutation(x)) == 0.0
    assert metrics.wasserstein(x[:, 0], y[:, 0]) == pytest.approx(scipy.stats.wasserstein_distance(x[:, 0], y[:, 0]))
    assert metrics.wasserstein(dgm.asarray(x[:, :1]), dgm.asarray(y[:, :1])) == metrics.wasserstein(x[:, 0], y[:, 0])


def test_on_slices_the_earth_moves_less() -> None:
    x, y = normal(0, 100, 3), 0.5 + 2.0 * normal(1, 100, 3)
    assert 0.0 < metrics.sliced_wasserstein(x, y, random()) <= metrics.wasserstein(x, y)
    assert metrics.sliced_wasserstein(x[:, 0], y[:, 0], random()) == pytest.approx(metrics.wasserstein(x[:, 0], y[:, 0]))
    shifted = metrics.sliced_wasserstein(x, x + np.array([2.0, 0.0, 0.0]), random(), 20_000)
    assert shifted == pytest.approx(1.0, abs=0.02)  # E abs(w_1) = 1/2 on the sphere


def test_mmd_is_its_definition_and_its_closed_form() -> None:
    x, y, width = normal(0, 7, 2), 1.0 + normal(1, 5, 2), 0.8

    def k(a, b):
        return math.exp(-((a - b) ** 2).sum() / (2.0 * width**2))

    within = [np.mean([k(a, b) for a, b in itertools.permutations(z, 2)]) for z in (x, y)]
    between = np.mean([k(a, b) for a in x for b in y])
    assert metrics.mmd(x, y, width) == pytest.approx(sum(within) - 2.0 * between)
    many = np.array([metrics.mmd(normal(2 + i, 300), 1.5 + normal(300 + i, 300), width) for i in range(20)])
    exact = 2.0 * width / math.sqrt(width**2 + 2.0) * (1.0 - math.exp(-(1.5**2) / (2.0 * (width**2 + 2.0))))
    assert abs(many.mean() - exact) < 3.5 * many.std(ddof=1) / math.sqrt(20)
    null = [metrics.mmd(normal(100 + i, 30, 2), normal(900 + i, 30, 2), width) for i in range(200)]
    assert abs(np.mean(null)) < 3.0 * np.std(null) / math.sqrt(200)  # without bias
    assert metrics.mmd(x + 1e6, y + 1e6) == pytest.approx(metrics.mmd(x, y), rel=1e-4)


def test_frechet_of_gaussians() -> None:
    A, B = normal(0, 3, 3), normal(1, 3, 3)
    C, D, m = A @ A.T, B @ B.T, np.array([1.0, 0.0, -2.0])
    expected = 5.0 + np.trace(C + D - 2.0 * scipy.linalg.sqrtm(C @ D).real)
    assert metrics.frechet_normal(m, C, 0.0 * m, D) == pytest.approx(expected)
    assert metrics.frechet_normal(m, C, m, C) == pytest.approx(0.0, abs=1e-10)
    assert metrics.frechet_normal([0.0], [[4.0]], [1.0], [[9.0]]) == pytest.approx(1.0 + (3.0 - 2.0) ** 2)
    x, y = normal(2, 40_000, 3) @ A.T + m, normal(3, 40_000, 3) @ B.T
    assert metrics.frechet_distance(x, y) == pytest.approx(expected, rel=0.01)


# Tests


def test_shuffling_is_what_enumeration_says() -> None:
    x, y = np.array([0.0, 1.0, 2.5]), np.array([1.5, 4.0, 3.0])
    points = np.concatenate([x, y])

    def statistic(chosen):
        s = np.where(np.isin(np.arange(6), chosen), 1.0, -1.0) / 3.0
        return s @ np.exp(-((points[:, None] - points) ** 2) / 2.0) @ s

    each = [statistic(chosen) for chosen in itertools.combinations(range(6), 3)]
    exact = np.mean(np.array(each) >= statistic((0, 1, 2)) - 1e-12)
    result = metrics.mmd_test(x, y, random(), 20_000, width=1.0)
    assert result.statistic == pytest.approx(statistic((0, 1, 2)))
    assert result.p_value == pytest.approx(exact, abs=0.015)


def test_mmd_test_errs_as_often_as_it_says() -> None:
    p = np.array([metrics.mmd_test(normal(i, 12, 2), normal(5000 + i, 20, 2), random(i), 99).p_value for i in range(600)])
    for level in (0.05, 0.2, 0.5):
        assert abs((p <= level).mean() - level) < 3.5 * math.sqrt(level * (1 - level) / 600)
    assert (p > 0.0).all()
    found = [metrics.mmd_test(normal(i, 60, 2), 0.8 + normal(5000 + i, 60, 2), random(i), 99).p_value for i in range(20)]
    assert max(found) <= 0.05


def test_classifier_test_tells_apart_and_does_not() -> None:
    x, y = normal(1, 600, 2), normal(2, 600, 2)
    same, apart = metrics.classifier_test(x, y, random()), metrics.classifier_test(x, 2.0 * y, random())  # no line tells them
    assert same.p_value > 0.01
    assert same.statistic == pytest.approx(0.5, abs=0.06)
    assert apart.p_value < 1e-6
    expected = scipy.stats.norm(0.5, math.sqrt(1.0 / (4 * 600))).sf(apart.statistic)
    assert apart.p_value == pytest.approx(expected, rel=1e-6)


@pytest.mark.slow
def test_classifier_test_errs_as_often_as_it_says() -> None:
    p = np.array(
        [metrics.classifier_test(normal(i, 100), normal(5000 + i, 100), random(i), steps=50).p_value for i in range(150)]
    )
    assert (p <= 0.05).mean() <= 0.05 + 3.0 * math.sqrt(0.05 * 0.95 / 150)
    assert (p <= 0.5).mean() == pytest.approx(0.5, abs=0.15)


# Samples and pictures


def test_modes_and_how_evenly_they_are_covered() -> None:
    ring = data.ring_of_gaussians()
    loc = np.asarray(ring.components.base.loc)
    even = metrics.modes(np.repeat(loc, 10, axis=0), ring)
    assert even[:3] == (8, 8, 1.0)
    assert even.reverse_kl == pytest.approx(0.0, abs=1e-12)
    one = metrics.modes(np.repeat(loc[:1], 10, axis=0), ring)
    assert one == (1, 8, 1.0, pytest.approx(math.log(8)))
    three = metrics.modes(np.concatenate([loc[[0, 0, 0, 1]], [[9.0, 9.0]]]), ring)  # the last is near none
    assert three[:3] == (2, 8, 0.8)
    assert three.reverse_kl == pytest.approx(math.log(8) - scipy.stats.entropy([0.75, 0.25]))
    nowhere = metrics.modes(loc + 1.0, ring)
    assert nowhere[:3] == (0, 8, 0.0)
    assert math.isnan(nowhere.reverse_kl)
    grid = data.grid_of_gaussians()  # on the ring, opposite modes could be taken for one another and nobody would see
    assert metrics.modes(np.asarray(grid.components.base.loc), grid)[:3] == (25, 25, 1.0)


def test_precision_and_recall() -> None:
    ring = data.ring_of_gaussians(scale=0.05)
    real, good = (np.asarray(ring.sample(random(i), 800)) for i in (1, 2))
    p, r = metrics.precision_recall(real, good)
    assert min(p, r) > 0.85
    half = good[good[:, 0] > 0.0]  # modes are missing
    p, r = metrics.precision_recall(real, half)
    assert p > 0.85
    assert r == pytest.approx((real[:, 0] > 0.0).mean(), abs=0.1)
    p, _ = metrics.precision_recall(real, good + 0.5 * normal(0, 800, 2))  # noise
    assert p < 0.2
    assert metrics.precision_recall(real, real) == (1.0, 1.0)  # copies are not noticed
    x, y = normal(1, 30, 2), 1.0 + normal(2, 25, 2)

    def covered(point, centres, k):
        apart = np.linalg.norm(centres[:, None] - centres, axis=2)
        return any(np.linalg.norm(point - c) <= np.sort(row)[k] for c, row in zip(centres, apart, strict=True))

    for k in (1, 4):
        expected = np.mean([covered(a, x, k) for a in y]), np.mean([covered(a, y, k) for a in x])
        assert metrics.precision_recall(x, y, k) == pytest.approx(expected)


def test_inception_score() -> None:
    assert metrics.inception_score(np.eye(10)[np.arange(200) % 10]) == pytest.approx(10.0)
    assert metrics.inception_score(np.tile([0.7, 0.2, 0.1], (50, 1))) == pytest.approx(1.0)
    assert metrics.inception_score(np.eye(10)[np.zeros(50, int)]) == pytest.approx(1.0)  # sure, and always of the same
    p = np.array([[0.9, 0.1], [0.2, 0.8]])
    expected = np.exp(np.mean([scipy.stats.entropy(row, p.mean(axis=0)) for row in p]))
    assert metrics.inception_score(p) == pytest.approx(expected)


REFUSED = {
    "other dimensions": (lambda x: metrics.mmd(x, x[:, :1]), ShapeError, "samples \\(n, d\\) with one d"),
    "an image": (lambda x: metrics.frechet_distance(x[None], x[None]), ShapeError, "wanted samples"),
    "no points": (lambda x: metrics.precision_recall(x[:0], x), ShapeError, "wanted samples"),
    "NaN": (lambda x: metrics.wasserstein(x, np.nan * x), NaNError, "NaN or infinity"),
    "other sizes": (lambda x: metrics.wasserstein(x, x[:-1]), ShapeError, "one size, got 9 and 8 points"),
    "sizes of slices": (lambda x: metrics.sliced_wasserstein(x, x[:-1], random()), ShapeError, "one size"),
    "one point": (lambda x: metrics.mmd(x[:1], x), ShapeError, "two or more points"),
    "all one point": (lambda x: metrics.mmd_test(0 * x, 0 * x, random()), ArgumentError, "give a width above 0"),
    "no shuffles": (lambda x: metrics.mmd_test(x, x, random(), 0), DomainError, "wanted 1 or more"),
    "few rows": (lambda x: metrics.frechet_distance(x[:2], x), ShapeError, "more rows than features"),
    "no covariance": (lambda x: metrics.frechet_normal(x[0], x[0], x[0], x[0]), ShapeError, "covariances \\(d, d\\)"),
    "too many neighbours": (lambda x: metrics.precision_recall(x, x, 9), ArgumentError, "9. neighbour among 9"),
    "logits": (lambda x: metrics.inception_score(x), DomainError, "softmax makes them"),
    "few to teach": (lambda x: metrics.classifier_test(x[:3], x[:3], random()), ShapeError, "four points or more"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_measured_is_refused(name) -> None:
    do, error, said = REFUSED[name]
    with pytest.raises(error, match=said):
        do(normal(0, 9, 2))


# Disentanglement


@given(st.integers(0, 10_000), st.integers(1, 4), st.integers(2, 4))
def test_mutual_information_by_its_definition(seed, latent, values) -> None:
    """H(v) - H(v | z), from counts; codes that are symbols have a bin each."""
    rng = np.random.default_rng(seed)
    z, v = rng.integers(0, 4, (60, latent)), rng.integers(0, values, (60, 2))
    z[:2] = [[0], [3]]  # their range
    information = metrics.mutual_information(z, v, bins=4)
    for j in range(latent):
        for k in range(2):
            groups = [v[z[:, j] == symbol, k] for symbol in range(4)]
            left = sum(len(group) / 60 * scipy.stats.entropy(np.bincount(group)) for group in groups if len(group))
            expected = scipy.stats.entropy(np.bincount(v[:, k])) - left
            assert information[j, k] == pytest.approx(expected, abs=1e-12)
    np.testing.assert_allclose(metrics.entropies(v), [scipy.stats.entropy(np.bincount(each)) for each in v.T])


@given(st.integers(0, 10_000), st.permutations(range(3)))
def test_codes_that_are_the_factors(seed, order) -> None:
    """In any order, scaled, mirrored: both measures are 1. Twice over, or turned by 45 degrees, MIG is less."""
    rng = np.random.default_rng(seed)
    factors = np.array(list(itertools.product(range(3), range(4), range(5))))
    scale = rng.uniform(0.1, 10.0, 3) * rng.choice([-1, 1], 3)
    codes = (factors * scale)[:, order]
    np.testing.assert_allclose(metrics.mutual_information_gap(codes, factors), 1.0)
    assert metrics.factor_vae_score(codes, factors, random(seed), 100, least=0.0) == 1.0
    twice = np.concatenate([codes, 2.0 * codes[:, :1] + 1.0], axis=1)
    gaps = metrics.mutual_information_gap(twice, factors)
    assert gaps[order[0]] == pytest.approx(0.0, abs=1e-12)
    assert np.delete(gaps, order[0]).min() == pytest.approx(1.0)
    turned = (factors / factors.std(axis=0))[:, 1:] @ np.array([[1.0, 1.0], [-1.0, 1.0]])
    assert metrics.mutual_information_gap(turned, factors)[1:].max() < 0.3
    assert metrics.factor_vae_score(turned, factors, random(seed), 100, 16) < 0.85


def test_codes_that_know_nothing() -> None:
    factors = np.array(list(itertools.product(range(3), range(4), range(5), range(20))))[:, :3]
    noise = normal(0, len(factors), 6)
    assert metrics.mutual_information_gap(noise, factors).max() < 0.03
    assert metrics.mutual_information(noise, factors).mean() == pytest.approx(19 * 3 / 2 / len(factors), rel=0.3)  # chance
    assert metrics.factor_vae_score(noise, factors, random()) < 0.45
    constant = np.zeros((len(factors), 2))
    assert metrics.mutual_information_gap(constant, factors).max() == 0.0
    assert metrics.factor_vae_score(constant, factors, random()) == pytest.approx(1 / 3)
    faint = factors * np.array([1e-4, 1.0, 1.0])
    assert metrics.factor_vae_score(faint, factors, random()) < 0.9  # what is hardly used has no vote
    assert metrics.factor_vae_score(faint, factors, random(), least=0.0) == 1.0
    noisy = (factors + 0.05 * normal(1, *factors.shape)) * np.array([0.01, 1.0, 100.0])  # each in units of its own
    assert metrics.factor_vae_score(noisy, factors, random(), least=0.0) == 1.0


def test_what_codes_and_factors_cannot_be() -> None:
    z, v = normal(0, 10, 2), np.arange(10)[:, None] % 3
    for codes, factors, error in (
        (z[:9], v, ShapeError),
        (z, v[:, 0], ShapeError),
        (z, v + 0.5, DomainError),
        (z, v - 1, DomainError),
        (np.full((10, 2), np.nan), v, DomainError),
        (z, 0 * v, DomainError),
        (z[:, :1], v, DomainError),
        (z, np.arange(10)[:, None] * 3, DomainError),  # more values than bins
    ):
        with pytest.raises(error):
            metrics.mutual_information_gap(codes, factors)
    with pytest.raises(DomainError, match="one value alone"):
        metrics.factor_vae_score(z, 0 * v, random())
    with pytest.raises(ArgumentError, match="rng is a"):
        metrics.factor_vae_score(z, v, 3)


def test_sprites_are_what_their_factors_say() -> None:
    """All combinations, each once, no two alike; where they lie, how large they are, how they are turned."""
    sprites = data.sprites()
    assert len({picture.tobytes() for picture in sprites.x}) == len(sprites.x) == 3 * 3 * 4 * 36
    assert len({tuple(row) for row in sprites.factors}) == len(sprites.x)
    assert (sprites.x.min(), sprites.x.max()) == (0.0, 1.0)
    ink, place = sprites.x.reshape(-1, 12, 12), np.arange(12) - 5.5
    weight = ink.sum(axis=(1, 2))
    middle = np.stack([(ink.sum(axis=1) @ place) / weight, (ink.sum(axis=2) @ place) / weight], axis=1)
    shape, size, turn, *xy = sprites.factors.T
    assert np.abs(middle - (np.stack(xy, axis=1) - 2.5) * 0.8).max() < 0.5
    for k in range(3):  # each shape grows with its size, and a turn leaves its ink as it is
        by_size = [weight[(shape == k) & (size == s)] for s in range(3)]
        assert by_size[0].max() < by_size[1].min()
        assert by_size[1].max() < by_size[2].min()
        assert all(each.std() < 0.06 * each.mean() for each in by_size)
    square = ink[(shape == 0) & (size == 2) & (turn == 0) & (xy[0] == 0) & (xy[1] == 0)][0]
    np.testing.assert_allclose(square, square.T, atol=0.1)
    ellipse = ink[(shape == 1) & (size == 2) & (turn == 0) & (xy[0] == 3) & (xy[1] == 3)][0]
    assert ellipse.any(axis=0).sum() > ellipse.any(axis=1).sum()  # it lies, until it is turned
    for wrong in ({"side": 8}, {"places": 1}, {"places": 2.5}):
        with pytest.raises((ArgumentError, DomainError)):
            data.sprites(**wrong)


# Pictures


@given(st.floats(-1.0, 1.0), st.floats(-2.0, 2.0), st.floats(-2.0, 2.0))
def test_middle_and_slant_of_a_sheared_blot(shear, right, down) -> None:
    place = np.arange(28) - 13.5
    y, x = np.meshgrid(place - down, place - right, indexing="ij")
    image = np.exp(-0.5 * ((x + shear * y) ** 2 / 2.0 + y**2 / 4.0)).reshape(1, -1)
    np.testing.assert_allclose(metrics.centre_of_mass(image), [[right, down]], atol=1e-3)
    np.testing.assert_allclose(metrics.slant(image), [shear], atol=1e-2)
    for wrong in (np.zeros((1, 784)), image - 0.5):
        with pytest.raises(DomainError, match="ink"):
            metrics.centre_of_mass(wrong)
    with pytest.raises(ShapeError, match=r"wanted images \(n, 196\)"):
        metrics.centre_of_mass(image, 14)
    with pytest.raises(DomainError, match="one row"):
        metrics.slant(np.eye(784)[3:4])


@given(st.integers(0, 10_000))
def test_the_nearest_row(seed) -> None:
    known, x = normal(seed, 30, 4), normal(seed + 1, 1100, 4)
    expected = np.linalg.norm(x[:, None] - known, axis=2).argmin(axis=1)
    np.testing.assert_array_equal(metrics.nearest(x, known), expected)


def test_by_hand_and_in_type() -> None:
    """As it was, smaller; and the same digit in the same type, somewhere else."""
    digits = data.glyphs(200, 50, alphabets=["digits"]).train
    pairs = data.by_hand_and_in_type(digits, 3)
    assert pairs.x.shape == (len(digits), 2, 196)
    assert pairs.x.dtype == np.float32
    np.testing.assert_allclose(pairs.x[0, 0].reshape(14, 14)[3, 4], digits.x[0].reshape(28, 28)[6:8, 8:10].mean(), rtol=1e-5)
    typed, where = pairs.x[:, 1], metrics.centre_of_mass(pairs.x[:, 1], 14)
    for k in range(10):
        same = where[pairs.labels == k]
        assert np.ptp(same[:, 0]) > 1.5
        assert np.ptp(same[:, 0]) < 4.1
        assert np.ptp(same[:, 1]) < 0.2
        assert np.ptp(typed[pairs.labels == k].sum(axis=1)) < 0.1 * typed[pairs.labels == k].sum(axis=1).mean()
    assert (data.by_hand_and_in_type(digits, 3).x == pairs.x).all()
    assert (data.by_hand_and_in_type(digits, 4).x != pairs.x).any()
    with pytest.raises(ValueError, match="without labels"):
        data.by_hand_and_in_type(data.Rows(digits.x))
    for x, labels, error in (
        (digits.x, digits.labels - 1, DomainError),
        (255.0 * digits.x, digits.labels, DomainError),
        (digits.x[:, :100], digits.labels, ShapeError),
    ):
        with pytest.raises(error):
            data.by_hand_and_in_type(data.Rows(x, labels))
