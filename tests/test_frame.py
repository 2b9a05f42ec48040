"""What the frame promises: three tasks in the lines that its design gives them, and a model of one's own in a few more."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import pydgm as dgm
from pydgm import data, mcmc, metrics, nn, optim, train
from pydgm.autodiff import exp, softplus, sum
from pydgm.mcmc import ais
from pydgm.models.adversarial import gan
from pydgm.models.energy import contrastive
from pydgm.models.latent import VAE, vae


def test_a_model_with_a_bound(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(data.registry, "find", lambda name, folder: None)  # the digits that are drawn here
    rng, n = dgm.random.Generator(0), 200
    model = VAE.init(rng, hidden=(64,), latent=4)

    digits = dgm.data.load("digits", seed=0)
    step = train.minimise(vae.loss, optim.adam(optim.linear(1e-3, 0.0, n)))
    run = train.run(step, step.init(model, rng), digits.train.batches(rng, 128, passes=3), save="vae.npz")
    likelihood = metrics.likelihood(run.model, digits.test, rng)

    assert run.losses.shape == (3 * (9000 // 128),)
    assert run.losses[-20:].mean() < run.losses[:20].mean() - 100.0
    assert (likelihood.kind, likelihood.high) == ("bound", float("inf"))
    assert likelihood.low < likelihood.nats < -50.0
    with pytest.raises(data.DataError, match="of another tree"):
        dgm.load("vae.npz", like=model)  # it holds the whole training
    dgm.save("model.npz", run.model)
    again = dgm.load("model.npz", like=model)
    x = dgm.asarray(digits.test.x[:5])
    np.testing.assert_array_equal(again.reconstruct(x), run.model.reconstruct(x))


def test_two_players() -> None:
    rng, ring = dgm.random.Generator(0), data.ring_of_gaussians(scale=0.1)
    D, G = nn.MLP.init(rng, [2, 64, 64, 1]), gan.Generator.init(rng, [2, 64, 64, 2])
    adam, batches = optim.adam(1e-3, beta1=0.5), [ring.sample(rng, 128) for _ in range(400)]

    step = train.alternate(D=(gan.discriminator_loss, adam, 1), G=(gan.generator_loss, adam, 1))
    run = train.run(step, step.init({"D": D, "G": G}, rng), batches)
    modes = metrics.modes(run.models["G"].sample(rng, 2500), ring)

    assert run.losses["D"].shape == run.losses["G"].shape == (400,)
    before = metrics.modes(G.sample(rng, 2500), ring)
    assert modes.all == 8
    assert modes.high_quality > before.high_quality + 0.02


class GaussianRBM(dgm.Module):
    """v in R^n beside binary h: F(v) = |v - b|^2 / 2 - sum_j softplus(a_j + (v' W)_j)."""

    W: dgm.backend.Array
    b: dgm.backend.Array
    a: dgm.backend.Array

    @classmethod
    def init(cls, rng, visible, hidden):
        return cls(0.1 * rng.normal((visible, hidden)), np.zeros(visible, "float32"), np.zeros(hidden, "float32"))

    def free_energy(self, v):
        return 0.5 * sum((v - self.b) ** 2, axis=-1) - sum(softplus(v @ self.W + self.a), axis=-1)

    def gibbs(self, rng, v, k):
        for _ in range(k):
            h = rng.bernoulli(dgm.sigmoid(v @ self.W + self.a))
            v = self.b + h @ self.W.T + rng.normal(v.shape)
        return v

    def tempered(self, base=None):
        normal = dgm.distributions.Independent(dgm.distributions.Normal(self.b if base is None else base, 1.0), 1)
        return mcmc.Annealed(normal, self.free_energy, mcmc.hmc(0.3, 4))


def test_any_energy_model() -> None:
    """A model of its own: log Z by annealing against the sum over its hidden units, before and after it has learned."""
    rng = dgm.random.Generator(0)
    blobs = np.concatenate([np.float32([[2, 2, 0]]), np.float32([[-2, 1, 1]])])[rng.integers(0, 2, (2000,))]
    batches = data.Rows(blobs + 0.7 * rng.normal((2000, 3))).batches(rng, 100, passes=40)

    step = contrastive.step(contrastive.pcd(k=1), optim.sgd(0.1))
    run = train.run(step, step.init(GaussianRBM.init(rng, 3, 4), rng), batches)
    log_z = ais(run.model, rng, chains=500)

    W, b, a = run.model.W, run.model.b, run.model.a
    h = ((np.arange(16)[:, None] >> np.arange(4)) & 1).astype("float32")
    exact = np.log(np.exp(h @ a + h @ W.T @ b + 0.5 * ((h @ W.T) ** 2).sum(axis=1)).sum()) + 1.5 * np.log(2 * np.pi)
    assert log_z.kind == "estimate"
    assert log_z.low < exact < log_z.high
    nats = -float(dgm.mean(run.model.free_energy(blobs))) - exact
    one_gaussian = -0.5 * float(((blobs - blobs.mean(axis=0)) ** 2).sum(axis=1).mean()) - 1.5 * np.log(2 * np.pi)
    assert nats > one_gaussian + 1.0  # it knows that there are two


def test_modes_are_counted() -> None:
    ring = data.ring_of_gaussians(modes=8, scale=0.05)
    rng = dgm.random.Generator(1)
    assert metrics.modes(ring.sample(rng, 2000), ring)[:2] == (8, 8)
    assert metrics.modes(ring.sample(rng, 2000), ring).high_quality == pytest.approx(1 - exp(-4.5), abs=0.01)
    one = ring.components.base.loc[:1] + 0.05 * rng.normal((500, 2))
    assert metrics.modes(one, ring).covered == 1
    assert metrics.modes(np.zeros((10, 2)), ring)[:3] == (0, 8, 0.0)
    with pytest.raises(ValueError, match=r"samples \(n, 2\)"):
        metrics.modes(np.zeros((10, 3)), ring)
    with pytest.raises(TypeError, match="wanted a Mixture"):
        metrics.modes(np.zeros((10, 2)), dgm.distributions.Normal())


PROGRAMS = {  # what is shortened, for a test
    "conditional_vae": ("PASSES = 784, 400, 20, 10, 10", "PASSES = 784, 100, 10, 10, 2"),
    "realnvp": ("STEPS = 5000", "STEPS = 500"),
    "wgan_gp": ("STEPS, CRITIC_STEPS, PENALTY, BATCH = 3000", "STEPS, CRITIC_STEPS, PENALTY, BATCH = 300"),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_new_users_programs(name, monkeypatch) -> None:
    """Three models that are not in the library, each in under 40 lines, trained shortly: they work."""
    text = (Path(__file__).parent / "programs" / f"{name}.py").read_text(encoding="utf-8")
    code = [line for line in text.splitlines()[1:] if line.strip() and not line.strip().startswith("#")]
    assert len(code) < 40
    long, short = PROGRAMS[name]
    assert text.count(long) == 1
    monkeypatch.setattr(data.registry, "find", lambda name, folder: None)
    space: dict[str, object] = {"__name__": __name__}
    exec(compile(text.replace(long, short), name, "exec"), space)
    if name == "conditional_vae":
        assert space["conditional"] > space["plain"] + 1.0  # the label tells something
    elif name == "realnvp":
        rng = dgm.random.Generator(1)
        assert metrics.likelihood(space["flow"], data.moons(rng, 5000), rng).nats > -1.4
    else:
        run, ring = space["run"], space["ring"]
        assert metrics.modes(run.average["G"].sample(dgm.random.Generator(1), 5000), ring).covered >= 7
