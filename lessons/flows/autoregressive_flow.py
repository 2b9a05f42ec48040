# %%
r"""Autoregressive flows: fast one way, slow the other, and what affine maps lack

*Lectures L3 and L4, "Fully Observed Models" ("MAF (Papamakarios 2017)") and "Normalizing Flows". Sources: Papamakarios,
Pavlakou and Murray, "Masked autoregressive flow for density estimation" (2017), whose Figure 1 shows what one affine map lacks;
Kingma et al. (2016) for the other direction; Dinh et al. (2017) for couplings. The lectures show no figure of their own.*

If each coordinate is moved and stretched by amounts that those before it decide, the Jacobian is triangular: its determinant
is a product. A masked network gives all amounts in one pass, from x to z. From z to x it takes a pass for each coordinate. And
each map is affine in a coordinate, given those before it: where a point may be on one ring or on the other, that is too little.
"""

import timeit

import numpy as np

import pydgm as dgm
from pydgm import data, lesson, nn, optim, train, trees
from pydgm.bijections import Chain
from pydgm.data import toys
from pydgm.distributions import StandardNormal, Transformed
from pydgm.divergences import over_plane
from pydgm.models.autoregressive import MixtureMADE, random_orders
from pydgm.models.flows import IAF, MAF, Affine, Coupling, Planar, nll
from pydgm.models.latent import GaussianMixture, KernelDensity, mixture

SOURCE = {"lecture": "L3 and L4, Fully Observed Models; Normalizing Flows", "figure": "MAF (Papamakarios et al. 2017)"}
run = lesson.start("flows/autoregressive_flow", __doc__, **SOURCE)
rng, panels, D = run.rng, run.panels("aaa;bcd", height_ratios=[5, 4], width_ratios=[4, 3, 4]), 8

# %%
# Triangular, and exact
# ---------------------
# .. math:: x_i = \mu_i(x_{<i}) + e^{a_i(x_{<i})} z_i, \qquad \log\left|\det \partial x / \partial z\right| = \sum_i a_i
#
# In a MAF the coordinates take turns, one after the other. IAF is the same map the other way round: z decides. A coupling has
# two turns, half of the coordinates each. (b) shows their Jacobians, for random weights.


def strewn(f):
    """In float64, with weights that are nowhere 0."""
    return trees.map(lambda w: w + 0.3 * rng.normal(w.shape, "float64"), nn.double(f))


maps = {kind.__name__: strewn(kind.init(rng, D, [24, 24])) for kind in (MAF, IAF, Coupling)}
others = [MAF.init(rng, D, [24], random_orders(rng, D, 1)), Coupling.init(rng, D, [24], flip=True), IAF.init(rng, D, [24])]
z, turns = rng.normal((10, D), "float64"), np.array([np.arange(D), np.arange(D), np.arange(D) // 4])
# formula: autoregressive-flow
slopes = [np.abs(dgm.to_numpy(dgm.jacobian(lambda z, f=f: f.forward(z[None, :])[0, :])(z[0, :]))) for f in maps.values()]
gaps = np.max([dgm.testing.bijection_gaps(f, z) for f in (*maps.values(), Chain([strewn(f) for f in others]))], axis=0)
slopes, before = np.array(slopes), turns[:, :, None] > turns[:, None, :]
lesson.grid(panels["b"], [[slope**0.25 for slope in slopes]], columns=list(maps))
panels["b"].set_title("(b) Slopes, dx / dz", pad=44)

# %%
# Fast to score, or fast to sample
# --------------------------------
# One map of each kind, compiled: the milliseconds that 100 points of 64 coordinates take, one way and the other.

cost, wide = {"to sample": [], "to score": []}, rng.normal((100, 64))
for kind in (MAF, IAF, Coupling):
    f = kind.init(rng, 64, [64, 64])
    for each, way in zip(cost.values(), (kind.forward, kind.inverse), strict=True):
        go = dgm.compile(way)
        each.append(min(timeit.repeat(lambda f=f, go=go: go(f, wide), number=10, repeat=5)) * 100.0)
for i, (way, each) in enumerate(cost.items()):
    panels["c"].bar(np.arange(3) + 0.4 * i - 0.2, each, 0.4, label=way)
panels["c"].set(yscale="log", ylim=(0.05, 100.0), xticks=range(3), xticklabels=list(maps), title="(c) Milliseconds")
panels["c"].legend()
run.picture("b", "c")

# %%
# In the plane
# ------------
# Points drawn from densities that are known: 10,000 to learn from. A planar flow of 16 maps; MAF and IAF of six, in which the
# two coordinates take turns. (In the plane a coupling is a MAF: the same function.) Given :math:`x_1`, one affine map leaves
# :math:`x_2` as Gaussian as it was, so that two rings take many. MAF MoG begins at a density whose conditionals are mixtures of
# 20 Gaussians. Beside them a mixture of 24 Gaussians by EM, and kernels, their width chosen on 1000 further points; these two
# learn from 5000 of the points.

DRAWS = run.pick(quick={}, default={"moons": toys.moons}) | {"rings": toys.rings, "board": toys.checkerboard}
curves = {"moons": (toys.moons_curve(500), 0.1), "rings": (toys.rings_curve(500), 0.08)}
truth = {name: KernelDensity.init(dgm.asarray(curve), width).log_prob for name, (curve, width) in curves.items()}
truth["board"] = toys.checkerboard_log_prob
K, sizes, cells, grid = run.pick(quick=(2, (5000, 1000, 2000), 45, 40_000), default=(6, (10_000, 1000, 5000), 90, 150_000))
planar_steps, steps = run.pick(quick=(200, 400), default=(1200, 800))


def learn(base, maps, x, rate: float, steps: int, what: str):
    """The flow of greatest likelihood, by Adam; an affine map, last, brings it to where the data are."""
    step = train.minimise(nll, optim.adam(optim.cosine(rate, 0.0, steps)))
    model = Transformed(base, Chain([*maps, Affine.fit(x)]))
    return run.train(step, step.init(model, rng), data.Rows(dgm.to_numpy(x)).batches(rng, 250, steps // 40), what).model


models, excess = {}, {}
for name, draw in DRAWS.items():
    x, valid, test = (draw(rng, n) for n in sizes)
    taken = [dgm.asarray(np.array([[k % 2, 1 - k % 2]])) for k in range(K)]
    maf, iaf = ([kind.init(rng, 2, [32, 32], places) for places in taken] for kind in (MAF, IAF))
    kernels = [KernelDensity.init(x[:5000, :], width) for width in (0.03, 0.05, 0.07, 0.1)]
    models[name] = {
        "planar": learn(StandardNormal(2), [Planar.init(rng, 16)], x, 0.02, planar_steps, f"{name}: planar"),
        "MAF": learn(StandardNormal(2), maf, x, 0.01, steps, f"{name}: MAF"),
        "IAF": learn(StandardNormal(2), iaf, x, 0.01, steps, f"{name}: IAF"),
        "MAF MoG": learn(MixtureMADE.init(rng, 2, [64, 64], 20), maf[:1], x, 0.01, steps, f"{name}: MAF MoG"),
        "mixture": mixture.fit(GaussianMixture.init(rng, x[:5000, :], 24), x[:5000, :], run.pick(quick=20, default=60))[0],
        "kernels": max(kernels, key=lambda model, valid=valid: float(dgm.mean(model.log_prob(valid)))),
    }
    own = dgm.to_numpy(truth[name](test))
    excess[name] = {m: own - dgm.to_numpy(model.log_prob(test)) for m, model in models[name].items()}
beyond = {name: {m: each.mean() for m, each in excess[name].items()} for name in DRAWS}
shown = [[lesson.density(f, 3.0, cells) for f in (truth[name], *(m.log_prob for m in models[name].values()))] for name in DRAWS]
lesson.grid(panels["a"], shown, list(DRAWS), ["the truth", *models["rings"]])
for i, name in enumerate(DRAWS):
    panels["d"].plot(list(beyond[name].values()), range(6), "osD"[i], ms=13, label=name)
panels["d"].set(xscale="log", xlim=(5e-3, 30.0), yticks=range(6), yticklabels=list(beyond["rings"]), ylim=(5.5, -0.5))
panels["d"].set_title("(d) Nats above the truth")
panels["d"].legend(loc="right", frameon=True)
run.picture("a", "d")

# %%
# The claims
# ----------

least = min((each.mean() + 3.0 * each.std() / len(each) ** 0.5) for name in DRAWS for each in excess[name].values())
left, (sample, score) = {name: each["MAF MoG"] / each["planar"] for name, each in beyond.items()}, cost.values()
affine = min(beyond["rings"][name] for name in ("MAF", "IAF")) / beyond["rings"]["MAF MoG"]
mass = [over_plane(nn.double(models[name]["MAF MoG"]).log_prob, reach=4.5, least=grid)[0] for name in DRAWS]
run.claim("there and back, and log det both ways against the engine's Jacobian: largest gap", gaps.max(), "<=", 1e-10)
run.claim("no coordinate hears of later ones: largest slope", slopes[~before & ~np.eye(D, dtype=bool)].max(), "==", 0.0)
run.claim("and of all earlier ones: slopes that are 0", (slopes[before] == 0.0).sum(), "==", 0)
run.claim("MAF takes longer to sample than to score, 64 coordinates: times", sample[0] / score[0], ">=", 10.0)
run.claim("IAF takes longer to score than to sample, 64 coordinates: times", score[1] / sample[1], ">=", 10.0)
run.claim("a coupling takes about as long both ways: times", sample[2] / score[2], "within", (0.5, 4.0))
run.claim("densities of MAF MoG integrate to 1: largest deviation", np.abs(np.array(mass) - 1.0).max(), "<=", 1e-3)
run.claim("no model beats the data's own density: least excess and 3 standard errors, nats", least, ">=", 0.0)
run.claim("rings: what MAF MoG leaves of planar's excess, share", left["rings"], "<=", 0.5)
run.claim("checkerboard: what MAF MoG leaves of planar's excess, share", left["board"], "<=", 0.5)
run.claim("rings: the better of MAF and IAF over MAF MoG, as many steps, ratio of excess", affine, ">=", 3.0)

# %%
# What to try next
# ----------------
# * In ``MAF.inverse_and_log_det`` turn the sign of the log-determinant: which claims fail?
# * Give MAF 16 maps of [48, 48] and 3000 steps: how much of the rings can affine maps learn?
# * IAF is fast where an energy is to be fitted (``free_energy``): fit one of ``pydgm.data.energies``.

run.finish({"excess": beyond, "milliseconds": cost, "masses": mass})
