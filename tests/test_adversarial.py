"""Objectives of GANs where the best discriminator can be counted, packs of samples, and a derivative through its updates."""

from __future__ import annotations

import numpy as np
import pytest

import pydgm as dgm
from pydgm import data, nn, optim, train, trees
from pydgm.errors import ShapeError
from pydgm.models.adversarial import Generator, Packed, gan, hinge, lsgan, unrolled, wgan

P, Q = np.array([0.5, 0.25, 0.25, 0.0]), np.array([0.25, 0.25, 0.375, 0.125])  # of four things


def random(seed: int = 0) -> dgm.random.Generator:
    return dgm.random.Generator(seed)


class Table(nn.Module):
    """D as a number for each of the four things."""

    d: np.ndarray

    def __call__(self, x):
        return dgm.take(self.d, x, axis=0)


class Counted(nn.Module):
    """A generator whose eight samples are Q to the last one."""

    def sample(self, rng, shape=()):
        return dgm.asarray(np.repeat(np.arange(4), (8 * Q).astype(int)))


REAL = np.repeat(np.arange(4), (8 * P).astype(int))


def loss_of(loss, d) -> float:
    return float(loss({"D": Table(dgm.asarray(d)), "G": Counted()}, dgm.asarray(REAL), random()))


@pytest.mark.parametrize(
    ("module", "best", "least"),
    [
        (gan, np.log(P + 1e-300) - np.log(Q), None),
        (lsgan, P / (P + Q), 0.5 * (P * Q / (P + Q)).sum()),
        (hinge, np.sign(P - Q), 2.0 - np.abs(P - Q).sum()),
    ],
    ids=["gan", "lsgan", "hinge"],
)
def test_the_best_discriminator(module, best, least) -> None:
    # formula: optimal-discriminator
    reached = loss_of(module.discriminator_loss, best)
    if least is not None:
        assert reached == pytest.approx(least)
    rng = np.random.default_rng(0)
    for scale in (1e-3, 0.1, 1.0):
        for _ in range(30):
            assert loss_of(module.discriminator_loss, best + scale * rng.standard_normal(4)) >= reached - 1e-12


def test_least_squares_is_a_parabola_around_its_best() -> None:
    best, other = P / (P + Q), np.array([0.1, 0.9, -0.3, 0.5])
    gap = loss_of(lsgan.discriminator_loss, other) - loss_of(lsgan.discriminator_loss, best)
    assert gap == pytest.approx(0.5 * ((P + Q) * (other - best) ** 2).sum())


@pytest.mark.parametrize(
    "loss", [gan.generator_loss, gan.saturating_generator_loss, lsgan.generator_loss, hinge.generator_loss]
)
def test_generators_climb_what_the_discriminator_says(loss) -> None:
    """Each sample is sent to where D is larger; least squares: up to 1."""
    models = {"D": lambda x: 0.25 * x}
    points = dgm.asarray(np.linspace(-3.0, 3.0, 7)[:, None])
    assert (dgm.to_numpy(gan.sample_gradient(loss, models, points)) < 0.0).all()


def test_least_squares_pulls_the_harder_the_further() -> None:
    points = dgm.asarray(np.array([[-9.0], [-3.0], [1.0], [5.0]]))
    slope = dgm.to_numpy(gan.sample_gradient(lsgan.generator_loss, {"D": lambda x: x}, points))[:, 0]
    np.testing.assert_allclose(slope, [-10.0, -4.0, 0.0, 4.0])


# Packs


def test_a_pack_is_some_rows_side_by_side() -> None:
    network = nn.MLP.init(random(), [6, 8, 1])
    x = random(1).normal((12, 2))
    packed = Packed(network, 3)
    np.testing.assert_array_equal(packed(x), network(dgm.asarray(np.asarray(x).reshape(4, 6))))
    assert packed(x).shape == (4, 1)
    np.testing.assert_array_equal(Packed(nn.MLP.init(random(), [2, 1]), 1)(x), nn.MLP.init(random(), [2, 1])(x))
    with pytest.raises(ShapeError, match="no packs of 3 rows"):
        packed(x[:10])


def test_packs_see_how_many_are_alike() -> None:
    """Where a generator has dropped one of two equal modes D* is right in 3 of 4 cases; of packs of four in 31 of 32."""

    def right(m):  # of the best discriminator: q^m is 1 where all are the first mode, p^m is 2^-m there
        return 0.5 * ((1.0 - 0.5**m) + 1.0)

    for m in (1, 4):
        rng = random(m)
        real = data.Fresh(lambda rng, n: dgm.astype(rng.integers(0, 2, (n, 1)), dgm.xp.float32), rng, 400 * m, 300)
        step = train.alternate(D=(gan.discriminator_loss, optim.adam(0.03), 1))
        G = Generator(nn.Linear(dgm.asarray(np.zeros((1, 1), "float32")), dgm.asarray(np.zeros(1, "float32"))), 1)
        D = Packed(nn.MLP.init(rng, [m, 16, 1]), m)
        D = train.run(step, step.init({"D": D, "G": G}, rng), real).models["D"]
        x = dgm.astype(random(9).integers(0, 2, (4000 * m, 1)), dgm.xp.float32)
        accuracy = 0.5 * (np.asarray(D(x)) > 0.0).mean() + 0.5 * (np.asarray(D(0.0 * x)) < 0.0).mean()
        assert accuracy == pytest.approx(right(m), abs=0.02)


# Unrolled


def tiny():
    rng = random(3)
    G, D = (nn.double(m) for m in (Generator.init(rng, [2, 3, 2], dgm.tanh), nn.MLP.init(rng, [2, 4, 1], dgm.tanh)))
    return {"G": G, "D": D}, rng.normal((6, 2), "float64")


def test_the_discriminator_is_that_of_some_steps_later() -> None:
    """Taken by hand down its loss: the loss against it is the generator's, and D itself stays where it was."""
    models, real = tiny()
    rng, D, before = random(7), models["D"], trees.map(np.copy, models["D"])
    for _ in range(3):
        slope = dgm.grad(lambda D: gan.discriminator_loss({**models, "D": D}, real, rng))(D)
        D = trees.map(lambda w, g: w - 0.5 * g, D, slope)
    expected = float(gan.generator_loss({**models, "D": D}, real, rng))
    ahead = unrolled(gan.generator_loss, gan.discriminator_loss, optim.sgd(0.5), 3)
    assert float(ahead(models, real, random(7))) == pytest.approx(expected, rel=1e-12)
    for a, b in zip(trees.leaves(models["D"]), trees.leaves(before), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("optimizer", [optim.sgd(0.5), optim.momentum(0.3), optim.adam(0.05)], ids=["sgd", "momentum", "adam"])
@pytest.mark.parametrize("steps", [0, 1, 3])
def test_the_derivative_goes_through_the_updates(steps, optimizer) -> None:
    models, real = tiny()
    ahead = unrolled(gan.generator_loss, gan.discriminator_loss, optimizer, steps)

    def loss(G):
        return ahead({**models, "G": G}, real, random(7))

    dgm.testing.check_grads(loss, (models["G"],), order=1)


def test_the_derivative_knows_of_the_answer() -> None:
    """Against a discriminator that was moved k steps and then held still, the derivative is another one; the value is not."""
    models, real = tiny()
    optimizer, steps = optim.sgd(0.5), 3
    whole = unrolled(gan.generator_loss, gan.discriminator_loss, optimizer, steps)

    def deaf(models, x, rng):  # D answers to a generator whose derivative it does not pass on
        return gan.discriminator_loss({**models, "G": trees.map(dgm.stop_gradient, models["G"])}, x, rng)

    kept = unrolled(gan.generator_loss, deaf, optimizer, steps)

    def at(loss):
        return dgm.value_and_grad(lambda G: loss({**models, "G": G}, real, random(7)))(models["G"])

    (value, slope), (same, other) = at(whole), at(kept)
    assert float(value) == pytest.approx(float(same), rel=1e-12)
    gap = max(float(dgm.max(dgm.abs(a - b))) for a, b in zip(trees.leaves(slope), trees.leaves(other), strict=True))
    assert gap > 1e-3


def test_all_of_it_is_compiled() -> None:
    """Packs, unrolled updates and hinges through train.alternate, compiled and eager: the same bits."""
    losses = {
        "hinge": (hinge.discriminator_loss, hinge.generator_loss),
        "least squares": (lsgan.discriminator_loss, lsgan.generator_loss),
        "unrolled": (gan.discriminator_loss, unrolled(gan.generator_loss, gan.discriminator_loss, optim.sgd(0.1), 2)),
    }
    for name, (of_D, of_G) in losses.items():
        step = train.alternate(D=(of_D, optim.adam(), 1), G=(of_G, optim.adam(), 1))
        rng = random(5)
        models = {"D": Packed(nn.MLP.init(rng, [4, 8, 1]), 2), "G": Generator.init(rng, [2, 8, 2])}
        state, batches = step.init(models, rng), [random(i).normal((8, 2)) for i in range(4)]
        compiled = train.run(step, state, batches)
        with dgm.eager():
            eager = train.run(step, state, batches)
        for a, b in zip(trees.leaves(compiled.models), trees.leaves(eager.models), strict=True):
            assert np.asarray(a).tobytes() == np.asarray(b).tobytes(), name


def test_a_critic_may_be_packed_too() -> None:
    """The penalty's norm is each row's own: of a linear critic of pairs |w_1| for the first of each, |w_2| for the second."""
    w = np.array([[3.0], [4.0], [0.0], [1.0]])
    critic, x = Packed(nn.Linear(dgm.asarray(w), dgm.asarray(np.zeros(1))), 2), random(5).normal((8, 2), "float64")
    penalty = wgan.gradient_penalty(critic, x, x, random(6))
    assert float(penalty) == pytest.approx(0.5 * ((5.0 - 1.0) ** 2 + (1.0 - 1.0) ** 2))


# Stacks of games

LOSSES = {
    "gan": (gan.discriminator_loss, gan.generator_loss),
    "saturating": (gan.discriminator_loss, gan.saturating_generator_loss),
    "least squares": (lsgan.discriminator_loss, lsgan.generator_loss),
    "hinge": (hinge.discriminator_loss, hinge.generator_loss),
    "unrolled": (gan.discriminator_loss, unrolled(gan.generator_loss, gan.discriminator_loss, optim.sgd(0.3), 2)),
    "wasserstein": (wgan.penalized_critic_loss, wgan.generator_loss),
}


class Given:
    """Noise that was drawn before, for a whole stack or for one of it."""

    def __init__(self, z, u):
        self.z, self.u = z, u

    def normal(self, shape):
        assert self.z.shape == shape
        return self.z

    def uniform(self, shape):
        assert self.u.shape == shape
        return self.u


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("pack", [1, 2])
def test_a_stack_of_games_is_many_games(name, pack) -> None:
    """Its losses are the mean of theirs, with the same noise; an update inside of a stack takes a rate times its size."""
    judges = [nn.double(Packed(nn.MLP.init(random(i), [2 * pack, 6, 1], dgm.tanh), pack)) for i in range(3)]
    makers = [nn.double(Generator.init(random(10 + i), [2, 6, 2], dgm.tanh)) for i in range(3)]
    real, z, u = random(20).normal((3, 8, 2), "float64"), random(21).normal((3, 8, 2), "float64"), random(22).uniform((3, 8))
    player = "critic" if name == "wasserstein" else "D"
    of_stack, of_one = LOSSES[name], LOSSES[name]
    if name == "unrolled":
        of_stack = gan.discriminator_loss, unrolled(gan.generator_loss, gan.discriminator_loss, optim.sgd(0.3 * 3), 2)
    models = {player: nn.stack(judges), "G": nn.stack(makers)}
    for loss, one in zip(of_stack, of_one, strict=True):
        each = [
            float(one({player: D, "G": G}, real[i], Given(z[i], u[i])))
            for i, (D, G) in enumerate(zip(judges, makers, strict=True))
        ]
        assert float(loss(models, real, Given(z, u))) == pytest.approx(np.mean(each), rel=1e-12)


def test_a_generator_is_its_network_at_noise() -> None:
    # formula: gan-maps
    G = Generator.init(random(), [2, 4, 3])
    np.testing.assert_array_equal(G.sample(random(3), 5), G.network(random(3).normal((5, 2))))


def test_a_generator_of_other_things_than_the_data_is_refused() -> None:
    models = {"D": nn.MLP.init(random(), [2, 1]), "G": Generator.init(random(), [2, 4, 3])}
    with pytest.raises(ShapeError, match=r"G makes \(8, 3\).*, and the data are \(8, 2\)"):
        gan.discriminator_loss(models, random().normal((8, 2)), random())
    pictures = Generator(lambda z: dgm.reshape(z, (-1, 1, 2, 2)), 4)
    with pytest.raises(ShapeError, match="event_ndim=3 where they are pictures"):
        gan.fakes({"G": pictures}, random().normal((8, 1, 2, 2)), random())
    pictures = Generator(lambda z: dgm.reshape(z, (-1, 1, 2, 2)), 4, event_ndim=3)
    assert gan.fakes({"G": pictures}, random().normal((8, 1, 2, 2)), random()).shape == (8, 1, 2, 2)
    slope_of_pictures = wgan.penalized_critic_loss(
        {"critic": lambda x: dgm.sum(x, axis=(1, 2, 3)), "G": pictures}, random().normal((8, 1, 2, 2)), random(), 1.0
    )
    assert np.isfinite(float(slope_of_pictures))
