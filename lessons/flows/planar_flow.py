# %%
r"""Planar flows: a round Gaussian bent into the target, with exact densities

*Lecture L1, section 2.1, Figures 4 and 5; L3 and L4, "Normalizing Flows". Source: Rezende and Mohamed, "Variational
inference with normalizing flows" (2015), Figures 1 and 3. Two slips of the lectures: L0 and L1 write*
:math:`z_i = f_i^{-1}(z_{i-1})`, *with the indices swapped; L3 and L4 maximise*
:math:`\log p(z) - \log|\det \partial f^{-1}/\partial x|`, *where it is a plus.*

A map that can be inverted moves probability about without losing any: where it stretches space, the density falls by the
same factor. Maps as simple as "push everything away from this line" do little; a chain of them bends a Gaussian into almost
anything, and its density stays exact. So every number below can be checked by integration.
"""

import matplotlib.pyplot as plt
import numpy as np

import pydgm as dgm
from pydgm import lesson, nn, optim, train
from pydgm.bijections import Chain
from pydgm.data.energies import ENERGIES
from pydgm.distributions import Independent, StandardNormal, Transformed, Uniform
from pydgm.divergences import normal_plane, plane
from pydgm.models.flows import Planar, Radial, flow, free_energy

run = lesson.start(
    "flows/planar_flow",
    __doc__,
    lecture="L1, section 2.1; L3 and L4, Planar Flows",
    figure="Figures 4 and 5 (Rezende and Mohamed 2015, Figures 1 and 3)",
    live=True,
)
rng = run.rng


def picture(model):
    """Its density over the window [-4, 4]^2."""
    return lesson.density(model.log_prob, 4.0)


# %%
# (a) One, two, ten maps
# ----------------------
# .. math:: f(z) = z + u \tanh(w^\top z + b), \qquad
#           \log\left|\det \partial f / \partial z\right| = \log|1 + (1-\tanh^2) u^\top w|
#
# The determinant of the identity plus a product of two vectors: the matrix determinant lemma. A radial map does the same
# around a point. The first two planar maps are alike: they push apart across the line :math:`z_1 = 0`. One flattens the
# Gaussian's top, two make two modes.

angle = np.array([0.0, 0.0, 0.5, 0.5, 0.25, 0.75, 0.1, 0.6, 0.35, 0.85]) * np.pi
across = np.stack([np.cos(angle), np.sin(angle)], axis=1)
push = np.array([0.75, 0.75, 0.2, 0.2, -0.5, 0.8, -0.5, 0.8, -0.5, 0.5])  # u'w: stretches; below 0 it squeezes
shift = np.array([0.0, 0.0, 0.0, 0.0, 0.3, -0.3, 0.0, 0.0, 0.2, -0.2])
stretch = np.array([1.5, -1.2, 1.0, -1.0, 1.0, -1.0, 1.0, -1.0, 1.0, -1.0])  # above 0 away from the centre, else towards it
centres = 1.3 * across * np.sin(2.0 * np.arange(10))[:, None]
maps = {
    "planar": Planar.of(*[dgm.asarray(p.astype("float32")) for p in (push[:, None] * across, across, shift)]),
    "radial": Radial(*[dgm.asarray(p.reshape(10, 1, -1).astype("float32")) for p in (centres, np.zeros(10), stretch)]),
}
side = dgm.asarray(np.full(2, 2.0, "float32"))
bases = {"Gaussian": StandardNormal(2), "uniform": Independent(Uniform(-side, side), 1)}
effects = {(kind, base): Transformed(bases[base], Chain([maps[kind]])) for kind in maps for base in bases}


def modes(image) -> int:
    """Points that are higher than all eight around them, and at least a twentieth of the highest."""
    middle, size = image[1:-1, 1:-1], image.shape[0]
    around = [image[1 + i : size - 1 + i, 1 + j : size - 1 + j] for i in (-1, 0, 1) for j in (-1, 0, 1) if (i, j) != (0, 0)]
    return int(((middle > np.max(around, axis=0)) & (middle > 0.05 * image.max())).sum())


# an odd number of cells has one in the middle: a symmetric density's highest point must not fall between two
counted = [modes(lesson.density(effects["planar", "Gaussian"][:k].log_prob, 4.0, 161)) for k in range(3)]

# %%
# (b) Fitted to a density
# -----------------------
# .. math:: KL(q \,\|\, p) = E_{z_0}\left[\log p_0(z_0)
#           - \sum_k \log\left|\det \partial z_k / \partial z_{k-1}\right| + U(z_K)\right] + \log Z
#
# Only samples of q are needed, never its inverse, and of the target p = exp(-U) / Z only the energy. As in the paper the
# target is flat at first; here it sharpens during the first half of the training. (The paper's U2, U3 and U4 have infinite
# mass along z1; here are walls at abs(z1) = 4.) All four energies and all seeds are fitted at once, as one stack of flows.

SEEDS, STEPS, BATCH = run.pick(quick=3, default=5), run.pick(quick=900, default=6000), 256


def energy(x):
    """For points (4, ..., 2): U1 of the first row, U2 of the second, ..."""
    return dgm.stack([U(x[i, ...]) for i, U in enumerate(ENERGIES.values())])


def problem(K: int, seeds: int, steps: int):
    """How a stack of flows (4, seeds) learns: Adam, with a rate that falls to 0; its start, and beta for each step."""

    def loss(model, beta, rng):
        z = model.base.sample(rng, (4, seeds, BATCH))
        return dgm.sum(dgm.mean(free_energy(model, energy, z, beta), axis=-1))

    noise = dgm.random.Generator([run.seed, K])
    step = train.minimise(loss, optim.adam(optim.linear(0.02, 0.0, steps)))
    betas = np.minimum(1.0, 0.01 + np.arange(steps) / (0.5 * steps)).tolist()
    return step, step.init(flow([Planar.init(noise, K, stack=(4, seeds))]), noise), betas


fine, fine_area = plane(8.0, 800)
log_z = np.array([float(dgm.logsumexp(-U(fine))) + np.log(fine_area) for U in ENERGIES.values()])
targets = [lesson.density(lambda x, U=U, c=c: -U(x) - float(c), 4.0) for U, c in zip(ENERGIES.values(), log_z, strict=True)]

# %%
# ``--live``: the same, watched
# -----------------------------

if run.live:
    screen, views = plt.subplots(1, 4, figsize=(16, 4.6))

    def densities(every: int):
        step, state, betas = problem(16, 1, run.pick(quick=300, default=3000))
        for at in range(0, len(betas), every):
            state = train.run(step, state, betas[at : at + every])
            yield int(state.step), [lesson.density(state.model.member(i, 0).log_prob, 4.0, 100) for i in range(4)]

    def show(frame) -> None:
        step, images = frame
        screen.suptitle(f"a chain of 16 planar maps after {step} steps")
        for ax, image, target, name in zip(views, images, targets, ENERGIES, strict=True):
            ax.clear()
            ax.imshow(image, vmin=0.0, vmax=target.max())
            ax.set(title=name, xticks=[], yticks=[])

    run.film(screen, show, densities(every=run.pick(quick=50, default=40)))

# %%
# The divergence, exactly
# -----------------------
# The expectation over :math:`z_0` as a sum over a grid of the Gaussian, and Z as a sum over a grid of the target. Sharp maps
# need a fine grid: a coarser one must say the same.

cells = run.pick(quick=450, default=600)


def divergence(stack, cells: int):
    """KL(q || p) for every flow of the stack: (4, seeds)."""
    nodes, weights = normal_plane(cells, reach=6.0)
    expected = np.zeros((4, SEEDS))
    for z, weight in zip(dgm.backend.chunks(nodes, 5000), dgm.backend.chunks(weights, 5000), strict=True):
        everywhere = dgm.broadcast_to(z, (4, SEEDS, *z.shape))
        expected += dgm.to_numpy(free_energy(stack, energy, everywhere) @ weight)
    return expected + log_z[:, None]


fitted, kl, change = {}, {}, {}
for K in (2, 8, 32):
    fitted[K] = run.train(*problem(K, SEEDS, STEPS), f"K = {K}").model
    kl[K] = divergence(fitted[K], cells)
    if run.mode != "quick":
        change[K] = np.abs(kl[K] - divergence(fitted[K], cells * 2 // 3))
    print(f"K = {K}: KL(q || p)", *[f"{name} {nats:.3f}" for name, nats in zip(ENERGIES, kl[K].mean(axis=1), strict=True)])

# %%
# Is all this exact?
# ------------------
# In float64: the log-determinant against the engine's Jacobian, there and back, and the integral of every density. The
# constraint on u lets any parameters be inverted, not only those found by training. (Training by itself stays clear of the
# border, where the log-determinant goes to minus infinity; a long step, or a start beyond it, does not.)


exact = [nn.double(fitted[K].member(i, 0)) for K in fitted for i in range(4)]
exact += [nn.double(effects[kind, "Gaussian"][:n]) for kind in maps for n in (1, 2, 10)]
untrained = [nn.double(flow([Planar.init(rng, 4, scale=1.0)])) for _ in range(10)]
points = rng.normal((20, 2), "float64")


def gap(model) -> float:
    """log |det| by the lemma and by the whole matrix of derivatives, at 20 points."""
    jacobians = dgm.stack(
        [dgm.jacobian(lambda z: model.bijection.forward(z[None, :])[0, :])(points[i, ...]) for i in range(20)]
    )
    return float(dgm.max(dgm.abs(model.bijection.forward_and_log_det(points)[1] - dgm.slogdet(jacobians).logabsdet)))


def round_trip(model) -> float:
    """How far from z is f^-1(f(z))?"""
    z = rng.normal((2000, 2), "float64")
    return float(dgm.max(dgm.abs(model.bijection.inverse(model.bijection.forward(z)) - z)))


def mass(model) -> float:
    points, area = plane(7.0, run.pick(quick=350, default=500), "float64")
    return float(dgm.sum(dgm.exp(model.log_prob(points)))) * area


# %%
# The figure
# ----------

figure = plt.figure(figsize=(19, 24))
top, middle, bottom = figure.subfigures(3, 1, height_ratios=[6.2, 14, 3])


def image(ax, density, title: str = "", ylabel: str = "") -> None:
    ax.imshow(density, vmin=0.0, vmax=np.quantile(density, 0.998))
    ax.set(xticks=[], yticks=[], title=title, ylabel=ylabel)


top.suptitle("(a) One, two and ten maps of a Gaussian and of a uniform square (each picture has its own scale of grey)\n")
panels = top.subplots(2, 7)
for row, base in zip(panels, bases, strict=True):
    image(row[0], picture(effects["planar", base][:0]), "$z_0$", base)
    for i, (kind, n) in enumerate([(kind, n) for kind in maps for n in (1, 2, 10)]):
        image(row[1 + i], picture(effects[kind, base][:n]), f"{kind}, K = {n}")

middle.suptitle("(b) Fitted to exp(-U): the target, and chains of 2, 8 and 32 planar maps, first seed")
left, right = middle.subfigures(1, 2, width_ratios=[12, 7])
for i, row in enumerate(left.subplots(4, 4)):
    image(row[0], targets[i], "target" if i == 0 else "", list(ENERGIES)[i])
    for ax, K in zip(row[1:], fitted, strict=True):
        image(ax, picture(fitted[K].member(i, 0)), f"K = {K}" if i == 0 else "")
        ax.set_xlabel(f"KL = {kl[K][i, 0]:.3f} nats")
ax = right.subplots()
for i, (name, marker) in enumerate(zip(ENERGIES, "os^D", strict=True)):
    curves = np.array([kl[K][i] for K in kl])
    ax.loglog(list(kl), curves.mean(axis=1), f"{marker}-", ms=10, label=name, color=f"C{i}")
    ax.loglog(list(kl), curves, marker, ms=6, alpha=0.5, color=f"C{i}")
ax.set(xlabel="K, planar maps", ylabel="KL(q || p), nats, by quadrature", xticks=list(kl), xticklabels=list(kl))
ax.set_title(f"{SEEDS} seeds and their mean")
ax.minorticks_off()
ax.legend()

bottom.suptitle("(c) The chain: each step of a flow of 8 planar maps, fitted to $U_1$")
for k, ax in enumerate(bottom.subplots(1, 9)):
    image(ax, picture(fitted[8].member(0, 0)[:k]), f"$z_{k}$")

# %%
# The claims
# ----------

falls = np.stack([kl[2] - kl[8], kl[8] - kl[32]])
run.claim("log det against the Jacobian of the engine: largest gap, nats", max(map(gap, exact)), "<=", 1e-6)
run.claim(
    "there and back, float64, fitted and random maps: largest distance", max(map(round_trip, exact + untrained)), "<=", 1e-8
)
run.claim("every density integrates to 1: largest deviation", max(abs(mass(f) - 1.0) for f in exact), "<=", 1e-3)
run.claim("modes of the Gaussian", counted[0], "==", 1)
run.claim("modes after one map", counted[1], "==", 1)
run.claim("modes after two maps", counted[2], "==", 2)
run.claim("KL falls over K = 2, 8, 32, mean over seeds: least fall, nats", falls.mean(axis=2).min(), ">=", 0.0)
run.claim("KL is a divergence: least of all, nats", min(map(np.min, kl.values())), ">=", 0.0)
if run.mode != "quick":  # maps that were trained shortly can be too sharp for the coarser grid
    run.claim("KL is exact: largest change from 2/3 of the grid, nats", max(map(np.max, change.values())), "<=", 0.02)
    run.claim("KL falls for single flows: share of all energies, seeds and steps of K", (falls > 0.0).mean(), ">=", 0.85)
    run.claim("what is left at K = 32, largest mean over seeds, nats", kl[32].mean(axis=1).max(), "<=", 0.25)
numbers = {"kl": kl, "kl_change": change, "log_z": log_z, "modes": counted}

# %%
# What to try next ---------------- * In ``Transformed.log_prob``, put the minus of L3 and L4 before the log-determinant. In
# ``Planar``, train u itself, without the constraint; or take :math:`\log|1 + u^\top w|`, without tanh's derivative. Which
# claims fail? * Fit radial maps. Which of the four energies do they like better? * ``--live`` shows the densities while they
# learn. Which part of a target is found last?

run.finish(figure, numbers)
