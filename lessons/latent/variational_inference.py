# %%
r"""Variational inference: where is somebody of whom a radio says only how far away she is?

*Lecture L2, "The KL divergence", "Variational lower bound"; L3 and L4, "Variational Bound" and "Normalizing Flows". Sources:
Jordan, Ghahramani, Jaakkola and Saul, "An Introduction to Variational Methods for Graphical Models" (1999); Minka, "Divergence
Measures and Message Passing" (2005); Rezende and Mohamed, "Variational Inference with Normalizing Flows" (2015).*

A posterior that cannot be written down is replaced by the nearest q of a family. Two questions decide what one gets: nearest in
which direction, and how rich is the family? In the plane every integral can also be done exactly, so that each answer stands
beside the truth.
"""

import math

import numpy as np

import pydgm as dgm
from pydgm import lesson, nn, optim, train, trees
from pydgm.bijections import Triangular
from pydgm.distributions import Normal, StandardNormal
from pydgm.divergences import kl, normal_plane, over_plane, plane
from pydgm.models.flows import Planar, objectives
from pydgm.models.latent import PPCA, inference

SOURCE = {"lecture": "L2, Variational inference; L4, Variational Bound", "figure": "the posterior, and q's near it"}
run = lesson.start("latent/variational_inference", __doc__, **SOURCE)
rng, panels, steps = run.rng, run.panels("abc;def"), run.pick(quick=1000, default=4000)

# %%
# log p = ELBO + KL
# -----------------
# .. math:: \log p(x) = \underbrace{E_q[\log p(x, z) - \log q(z)]}_{ELBO} + KL(q(z) \,\|\, p(z | x)), \qquad z = f(\epsilon)
#
# This holds for every q. So whoever raises the bound brings q nearer to the posterior, although the posterior does not appear
# in the bound. Probabilistic PCA has a posterior that is known, and both sides can be computed, for a hundred q's that are
# drawn at random.

line = PPCA(*map(dgm.asarray, (np.zeros(2), np.array([[1.0, 0.9], [0.8, 1.0]]), np.array(0.5))))  # in float64
x, (nodes, weights) = dgm.asarray(np.array([0.5, 1.2])), normal_plane(60, reach=8.0, dtype="float64")
truth, log_p = line.posterior(x), float(line.log_prob(x[None, :])[0])


def on_the_line(z):
    return line.log_joint(x, z)


drawn = [trees.map(lambda w: 0.5 * rng.normal(w.shape, "float64"), inference.full_covariance(2)) for _ in range(100)]
# formula: elbo-entropy
elbo = np.array([float(weights @ inference.elbo(q, on_the_line, nodes)) for q in drawn])
# formula: gap, kl
away = np.array([float(kl(q, truth)) for q in map(inference.gaussian, drawn)])
named = {"ELBO": elbo, "log p(x) - KL": log_p - away}
lesson.curves(
    panels["a"], away, named, ("C0o", "0.6"), xlabel="KL(q || p(z | x)), nats", title="(a) ELBO of a hundred q's, nats"
)
run.picture("a")

# %%
# The mean field is too sure
# --------------------------
# .. math:: q(z) = q_1(z_1) \, q_2(z_2) \quad\Rightarrow\quad
#           \mathrm{Var}_q[z_i] = 1 / (\Sigma^{-1})_{ii} = (1 - \rho^2) \, \Sigma_{ii}
#
# Where the posterior's coordinates are correlated, the best q without correlation has the right mean, and a variance that is
# too small, by exactly that factor: it is the variance of one coordinate when the other is known.


def nearest(q, loss, what):
    step = train.minimise(loss, optim.adam(optim.cosine(0.02, 0.0, steps)))
    return run.train(step, step.init(q, rng), steps, what).model


families = {"mean field": inference.mean_field(2), "any covariance": inference.full_covariance(2)}
lines = [inference.gaussian(nearest(nn.double(q), inference.loss(on_the_line), name)) for name, q in families.items()]
for (name, style), q in zip({"p(z | x)": "-", "mean field": "-", "any covariance": ":"}.items(), (truth, *lines), strict=True):
    lesson.ellipse(panels["b"], q.loc, q.L, name, style=style)
panels["b"].legend(loc="upper right")
panels["b"].set(aspect="equal", xlim=(-0.7, 1.9), ylim=(-0.3, 1.9), title="(b) One deviation")
run.picture("b")
covariance, narrow = (dgm.to_numpy(q.L @ q.L.T) for q in (truth, lines[0]))
too_narrow = np.diag(narrow) * np.diag(np.linalg.inv(covariance))  # variance over 1 / (precision)_ii: 1 in theory

# %%
# Two directions
# --------------
# .. math:: KL(q \,\|\, p) = E_q\Big[\log \frac qp\Big] \quad\text{or}\quad KL(p \,\|\, q) = E_p\Big[\log \frac pq\Big]
#
# Somebody stands where a prior N(0, I) says, and two radio masts measure her distance. Two places fit. The first divergence is
# large where q is and p is not: q takes one place, and which one depends on where it began. The second is large where p is and
# q is not: q covers both, and all that lies between; its optimum has the mean and the covariance of p. (To descend the second
# one has to know p. In the plane we do.)


def posterior(*masts):
    """log p(z | r): p(z) prod_j N(r_j; abs(z - m_j), .25^2) for masts (x, y, r), divided by its integral."""

    def log_joint(z):
        away = [dgm.sqrt((z[..., 0] - x) ** 2 + (z[..., 1] - y) ** 2 + 1e-12) for x, y, _ in masts]
        return StandardNormal(2).log_prob(z) + sum(
            Normal(r, 0.25).log_prob(d) for d, (_, _, r) in zip(away, masts, strict=True)
        )

    log_p = math.log(over_plane(log_joint)[0])
    return lambda z: log_joint(z) - log_p


two, (grid, area), (nodes, weights) = posterior((-1.0, 0.0, 1.5), (1.0, 0.0, 1.5)), plane(4.0, 160), normal_plane(40)
p = area * dgm.exp(two(grid))
corner, begin = Triangular.identity(2), [dgm.asarray(np.array([0.0, y], "float32")) for y in (0.5, -0.5)]
above, below = (objectives.flow([Triangular(loc, corner.log_diagonal - 1.0, corner.below)]) for loc in begin)
ways = {
    "KL(q || p), from above": (above, inference.loss(two)),
    "KL(q || p), from below": (below, inference.loss(two)),
    "KL(p || q)": (inference.full_covariance(2), lambda q, batch, rng: -dgm.sum(p * q.log_prob(grid))),
    "without noise": (above, lambda q, batch, rng: -(weights @ inference.elbo(q, two, nodes))),
}
fits = {name: nearest(*way, name) for name, way in ways.items()}
both = np.array([[over_plane(q.log_prob, two)[1], over_plane(two, q.log_prob)[1]] for q in fits.values()])
panels["c"].imshow(lesson.density(two, 2.0), extent=(-2.0, 2.0, -2.0, 2.0))
for i, (name, q) in enumerate(zip(list(fits)[:3], map(inference.gaussian, fits.values()), strict=False)):
    lesson.ellipse(panels["c"], q.loc, q.L)
    panels["d"].bar(np.arange(2) + 0.27 * (i - 1), both[i], 0.25, label=name.replace("KL", "least KL"))
panels["c"].set(xticks=[], yticks=[], title="(c) Two places fit")
panels["d"].legend(loc="upper left")
panels["d"].set(xticks=[0, 1], xticklabels=["KL(q || p)", "KL(p || q)"], yscale="log", ylim=(0.1, 1e3), title="(d) Both, nats")
run.picture("c", "d")

# %%
# Richer families
# ---------------
# One mast alone leaves a ring of places, of which the prior likes the nearer part. No Gaussian is like that. Planar maps bend
# noise until it is, and what the bound lacks shrinks with more maps.

ring, sizes = posterior((-1.0, 0.0, 1.5)), run.pick(quick=(1, 4, 16), default=(1, 2, 4, 8, 16, 32))
families |= {K: objectives.flow([Planar.init(rng, K), Triangular.identity(2)]) for K in sizes}
rings = {name: nearest(q, inference.loss(ring), f"{name}, a ring") for name, q in families.items()}
lacks = {name: over_plane(q.log_prob, ring)[1] for name, q in rings.items()}  # KL(q || p(z | x)), an integral
shown = [[ring, rings["any covariance"].log_prob], [rings[K].log_prob for K in (1, sizes[-1])]]
lesson.densities(panels["e"], shown, ("p, Gaussian", f"1, {sizes[-1]} maps"), (), reach=2.5)
panels["e"].set_title("(e) A ring, and q's")
named = {"planar maps": [lacks[K] for K in sizes]} | {name: [lacks[name]] * len(sizes) for name in list(lacks)[:2]}
lesson.curves(panels["f"], sizes, named, ("C0o-", "C1-", "C2:"), xscale="log", title="(f) log p(x) - ELBO, nats")
panels["f"].set(xlabel="planar maps", xticks=sizes, xticklabels=sizes)
run.picture("e", "f")

# %%
# The claims
# ----------

cover, covariance_of_p = inference.gaussian(fits["KL(p || q)"]), dgm.to_numpy((p[:, None] * grid).T @ grid)  # its mean is 0
sides = [np.mean(dgm.to_numpy(q.sample(rng, 4000))[:, 1] > 0.0) for q in fits.values()]
left = lacks[sizes[-1]] / lacks["mean field"]

run.claim("log p = ELBO + KL, a hundred q's: largest gap, nats", np.abs(elbo + away - log_p).max(), "<=", 1e-6)
run.claim("mean field: variance over the true one is 1 - rho^2: gap", np.abs(too_narrow - 1.0).max(), "<=", 0.02)
run.claim("any covariance finds the posterior: KL, nats", kl(lines[1], truth), "<=", 0.001)
run.claim("least KL(q || p) takes one place: share", min(sides[0], 1.0 - sides[1]), ">=", 0.99)
run.claim("and is log 2 or little more, nats", both[0, 0], "within", (0.69, 0.75))
run.claim("by noise or without: gap, nats", abs(both[0, 0] - both[3, 0]), "<=", 0.005)
run.claim("least KL(p || q) has p's covariance: gap", np.abs(cover.L @ cover.L.T - covariance_of_p).max(), "<=", 0.01)
run.claim("each is best at its own: larger of the ratios", max(both[0, 0] / both[2, 0], both[2, 1] / both[0, 1]), "<=", 0.5)
run.claim("no bound is above log p: least that one lacks, nats", min(lacks.values()), ">=", -1e-4)
run.claim("a ring: what the mean field lacks is left to the longest flow: share", left, "<=", run.pick(quick=0.25, default=0.1))

# %%
# What to try next
# ----------------
# * Three masts. How many places are left, and which divergence would you use now?
# * Let the first q begin at (0, 0). Where does it go? Why?
# * Give two masts a flow of 16 planar maps, by KL(q || p). Does it find both places?

run.finish({"elbo": elbo, "kl": away, "divergences": both, "lacks": list(lacks.values())})
