"""Several views of one thing: products of experts, bounds against quadrature, what is missing or exchanged."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import pydgm as dgm
from pydgm import nn, optim, train
from pydgm.distributions import Normal
from pydgm.errors import ArgumentError, DomainError, ShapeError
from pydgm.models.latent import Multimodal, multimodal, product_of_experts
from pydgm.random import Generator


def random(seed: int = 0) -> Generator:
    return Generator(seed)


@given(st.integers(0, 2**32), st.integers(1, 4), st.booleans())
def test_a_product_of_experts_is_proportional_to_the_product_of_densities(seed, n, prior) -> None:
    rng, z = np.random.default_rng(seed), np.linspace(-3.0, 3.0, 7)
    experts = [Normal(rng.standard_normal(), rng.uniform(0.3, 2.0)) for _ in range(n)]
    product = product_of_experts(experts) if prior else product_of_experts(experts, None)
    log_product = sum(q.log_prob(z) for q in experts) + (Normal().log_prob(z) if prior else 0.0)
    ratio = product.log_prob(z) - log_product
    np.testing.assert_allclose(ratio, ratio[0], atol=1e-9)
    with pytest.raises(ArgumentError, match="no experts"):
        product_of_experts([], None)


def views(seed: int = 0) -> tuple[Multimodal, np.ndarray]:
    """Two views of 3 pixels; one shared number, one private number for each, so that z is a point in space."""
    model = nn.double(Multimodal.init(random(seed), 3, (4,), 1, (1, 1), dgm.tanh))
    return model, np.random.default_rng(seed).integers(0, 2, (2, 2, 3)).astype("float64")


def log_p_of_views(model: Multimodal, x: np.ndarray) -> np.ndarray:
    """By quadrature over z_s, z_1, z_2: for each z_s the views are independent."""
    line = np.linspace(-6.0, 6.0, 121)
    weight = np.exp(-0.5 * line**2) * (line[1] - line[0]) / np.sqrt(2.0 * np.pi)
    nodes = np.stack([grid.ravel() for grid in np.meshgrid(line, line, indexing="ij")], axis=1)  # z_s, z_i
    density = np.ones((len(x), len(line)))
    for i in range(2):
        each = np.exp(model.decode(i, nodes[:, :1], nodes[:, 1:]).log_prob(x[:, i][:, None, :]))
        density *= each.reshape(len(x), len(line), len(line)) @ weight
    return np.log(density @ weight)


@pytest.mark.parametrize("seed", range(2))
def test_bounds_of_several_views(seed) -> None:
    """From one view or both, blindly or not: none is above log p(x_1, x_2); and the mean weight is p(x_1, x_2)."""
    model, x = views(seed)
    truth = log_p_of_views(model, x)
    many = np.repeat(x, 20_000, axis=0)
    for sources in ((0,), (1,), None):
        each = np.asarray(multimodal.elbo(model, many, random(seed), sources)).reshape(2, -1)
        assert (each.mean(axis=1) < truth + 5.0 * each.std(axis=1) / np.sqrt(20_000)).all()
    for blind in (0.0, 0.5, 1.0):
        loss = np.mean([float(multimodal.loss(model, many, random(seed + i), blind=blind)) for i in range(3)])
        assert -loss < truth.mean()
    log_w = weights_by_hand(model, many, random(seed))
    np.testing.assert_allclose(np.log(np.exp(log_w).reshape(2, -1).mean(axis=1)), truth, atol=0.1)


def weights_by_hand(model: Multimodal, x: np.ndarray, rng: Generator) -> np.ndarray:
    """log p(x, z) - log q(z) with z_s from both views."""
    q = model.posterior({0: x[:, 0], 1: x[:, 1]})
    z = q.sample(rng)
    log_w = dgm.sum(Normal().log_prob(z) - q.log_prob(z), axis=1)
    for i in range(2):
        own = model.guesses(i, x[:, i])[1]
        z_i = own.sample(rng)
        log_w = log_w + model.decode(i, z, z_i).log_prob(x[:, i]) + dgm.sum(Normal().log_prob(z_i) - own.log_prob(z_i), axis=1)
    return np.asarray(log_w)


@given(st.integers(0, 2**32), st.floats(0.0, 3.0), st.floats(0.0, 1.0))
def test_the_loss_of_several_views_by_hand(seed, beta, blind) -> None:
    model, x = views()
    rng, total = random(seed), 0.0
    outputs = [np.asarray(model.encoders[i](x[:, i])) for i in range(2)]
    kl_of = lambda m, s: (0.5 * (m**2 + s**2 - 1.0) - np.log(s)).sum(axis=1)  # noqa: E731
    own = [(o[:, 1:2], np.exp(o[:, 3:4])) for o in outputs]
    drawn = [m + s * rng.normal((2, 1), "float64") for m, s in own]
    for source in range(2):
        m, s = outputs[source][:, :1], np.exp(outputs[source][:, 2:3])
        variance = 1.0 / (1.0 + 1.0 / s**2)
        loc, scale = variance * m / s**2, np.sqrt(variance)
        z = loc + scale * rng.normal((2, 1), "float64")
        total = total - beta * kl_of(loc, scale)
        for i in range(2):
            seen = model.decode(i, z, drawn[i]).log_prob(x[:, i]) - beta * kl_of(*own[i])
            if i != source:
                seen = blind * model.decode(i, z, rng.normal((2, 1))).log_prob(x[:, i]) + (1.0 - blind) * seen
            total = total + seen
    assert float(multimodal.loss(model, x, random(seed), beta, blind)) == pytest.approx(-np.mean(total) / 2, rel=1e-5)


def test_views_that_are_missing_or_exchanged() -> None:
    model, x = views()
    only = model.posterior({1: x[:, 1]})
    expert = model.guesses(1, x[:, 1])[0]
    np.testing.assert_allclose(only.scale, 1.0 / np.sqrt(1.0 + 1.0 / np.asarray(expert.scale) ** 2))
    assert (np.asarray(model.posterior({0: x[:, 0], 1: x[:, 1]}).scale) < np.asarray(only.scale)).all()  # two are surer
    taken, given = multimodal.swapped(model, x, np.array([0, 1]))
    for a, b in zip(taken, given, strict=True):
        np.testing.assert_allclose(a, b)  # each with its own
    taken, given = multimodal.swapped(model, x, np.array([1, 0]))
    both = model.posterior({0: x[:, 0], 1: x[:, 1]}).loc
    for i in range(2):
        z = model.guesses(i, x[:, i])[1].loc
        np.testing.assert_allclose(taken[i], model.decode(i, both[::-1], z).base.probs)
        np.testing.assert_allclose(given[i], model.decode(i, both, z[::-1]).base.probs)
    filled = model.fill({1: x[:, 1]}, 0, random(3))
    rng = random(3)
    shared = model.posterior({1: x[:, 1]}).sample(rng)
    np.testing.assert_allclose(filled, model.decode(0, shared, rng.normal((2, 1))).base.probs)
    for wrong in ({}, {2: x[:, 0]}, x[:, 0]):
        with pytest.raises(ArgumentError, match="views by their numbers"):
            model.posterior(wrong)
    with pytest.raises(ArgumentError, match="a view from 0 to 1, got -1"):
        model.fill({0: x[:, 0]}, -1, random())
    with pytest.raises(ShapeError, match=r"wanted views \(n, 2, pixels\)"):
        multimodal.loss(model, x[:, :1], random())
    for setting in ({"beta": -1.0}, {"blind": 1.5}):
        with pytest.raises(DomainError):
            multimodal.loss(model, x, random(), **setting)
    whole = Multimodal.init(random(), 3, (4,), 2, (0, 0))
    assert np.isfinite(float(multimodal.loss(whole, x.astype("float32"), random())))


def test_on_another_array_library(elsewhere) -> None:
    """Trained for three steps, its losses are finite, and what it fills in is on the device."""
    rng = random()
    model, x = Multimodal.init(rng, 5, (4,), 2, (1, 0)), rng.bernoulli(dgm.sigmoid(rng.normal((40, 2, 5))))
    step = train.minimise(multimodal.loss, optim.adam(1e-3), blind=optim.linear(1.0, 0.0, 3))
    run = train.run(step, step.init(model, rng), [x] * 3)
    assert np.isfinite(run.losses).all()
    assert elsewhere.holds(run.model.fill({0: x[:, 0, :]}, 1, rng))
