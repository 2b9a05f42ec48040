# %%
r"""Posterior regularisation: a rule of thumb repairs what likelihood alone gets wrong

*Lecture L0, "Learning with Constraints"; L1, sections 4.1 and 4.2. Source: Ganchev, Graca, Gillenwater and Taskar, "Posterior
regularization for structured latent variable models" (2010).*

A mixture that learns without labels explains the data as well as it can, and that need not be what was meant: two long
clusters side by side are cut across, since two round Gaussians fit the halves better. But something is known: each point
comes with a hint of its cluster, right three times out of four. Put into the E-step as a constraint function f, it turns the
clusters the right way round, and the model that comes out is better than the hints that it learned from.
"""

import matplotlib.pyplot as plt
import numpy as np

import pydgm as dgm
from pydgm import lesson
from pydgm.distributions import MultivariateNormal
from pydgm.models.constraints import posterior
from pydgm.models.latent import GaussianMixture, mixture

run = lesson.start(
    "constraints/posterior_regularization",
    __doc__,
    lecture="L0, Learning with Constraints; L1, section 4.2",
    figure="q*(z) = p(z | x) exp(lambda f(z)) / Z in the E-step (Ganchev et al. 2010)",
)

# %%
# Two clusters, a model that is too simple, and hints
# ---------------------------------------------------

HINT, N, SEEDS = 0.75, 3000, run.pick(quick=4, default=10)


def draw(seed: int):
    """Points (N, 2), their clusters, hints, and where EM starts: two round Gaussians."""
    noise = np.random.default_rng([run.seed, seed])
    z = noise.integers(0, 2, N)
    x = np.stack([noise.uniform(-4.0, 4.0, N), 2.0 * z - 1.0 + 0.35 * noise.standard_normal(N)], axis=1)
    hint = np.where(noise.random(N) < HINT, z, 1 - z)
    start = (
        dgm.asarray(np.zeros(2)),
        MultivariateNormal(dgm.asarray(noise.standard_normal((2, 2))), dgm.asarray(np.stack([2.0 * np.eye(2)] * 2))),
    )
    return dgm.asarray(x), z, hint, GaussianMixture(*start)


def agrees(hint, strength: float):
    """lambda f: lambda for the cluster that the hint names, 0 for the other."""
    return dgm.asarray(strength * (np.arange(2) == hint[:, None]))


def most_likely(x, model):
    """The cluster of greatest p(z | x), by the model alone."""
    return dgm.to_numpy(model.log_joint(x)).argmax(axis=1)


# %%
# EM with the constraint in its E-step
# ------------------------------------
# .. math:: q^*(z) = p(z | x) \exp(\lambda f(z)) / Z, \qquad \theta = \arg\max E_{q^*}[\log p_\theta(x, z)]
#
# f = 1 for the cluster that the hint names, 0 for the other (``mixture.em`` takes lambda f as one). With lambda = 0 this is
# plain EM. What is judged is the model p, which never sees a hint again.

STRENGTHS = [0.0, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 6.0]
fits = {}
em = dgm.compile(lambda model, x, f: mixture.em(model, x, f, spherical=True, floor=0.0))
for strength in run.progress(STRENGTHS, "lambda"):
    for seed in range(SEEDS):
        x, _, hint, model = draw(seed)
        f, bounds = agrees(hint, strength), []
        for _ in range(100):
            model, bound = em(model, x, f)
            bounds.append(float(bound))
        fits[strength, seed] = model, np.array(bounds)


def accuracy(strength: float, seed: int, names: bool) -> float:
    """Points in the right cluster, by p alone; without ``names``, under the better naming of the clusters."""
    x, z, *_ = draw(seed)
    right = (most_likely(x, fits[strength, seed][0]) == z).mean()
    return right if names else max(right, 1.0 - right)


accuracies = np.array([[accuracy(s, seed, s > 0.0) for seed in range(SEEDS)] for s in STRENGTHS])
rises = [N * np.diff(bounds).min() for _, bounds in fits.values()]


def log_likelihood(strength: float, seed: int) -> float:
    """log p(x) of a point, on average, in nats."""
    x, *_ = draw(seed)
    return float(dgm.mean(fits[strength, seed][0].log_prob(x)))


price = np.array([log_likelihood(0.0, seed) - log_likelihood(4.0, seed) for seed in range(SEEDS)])

# %%
# Is q* what it claims to be?
# ---------------------------
# The distribution that makes KL(q || p) - lambda E_q[f] smallest, found by an optimiser that knows no closed form; and the
# constraint's expectation, whose slope in lambda is a variance, so that it rises.

x, z, hint, _ = draw(0)
log_p, f, half = (
    dgm.log_softmax(fits[0.0, 0][0].log_joint(x))[:50, :],
    agrees(hint, 1.0)[:50, :],
    dgm.asarray(np.full((50, 2), 0.5)),
)
searched = posterior.minimize_on_simplex(lambda q: dgm.sum(posterior.divergence(dgm.log(q), log_p, f, 2.0)), half)
gap = float(dgm.max(dgm.abs(searched - dgm.exp(posterior.project(log_p, f, 2.0)))))
expected = [float(dgm.mean(dgm.sum(dgm.exp(posterior.project(log_p, f, s)) * f, axis=1))) for s in STRENGTHS]

# %%
# The figure
# ----------

figure, panels = plt.subplot_mosaic("abc;def", figsize=(19, 11))


def clusters(ax, label, title: str, model=None) -> None:
    for k in range(2):
        ax.plot(*points[label[:1000] == k].T, "o^"[k], ms=5, alpha=0.6, color=f"C{k}")
        if model is not None:
            loc, width = dgm.to_numpy(model.components.loc)[k], float(model.components.L[k, 0, 0])
            ax.add_patch(plt.Circle(loc, width, fill=False, lw=4, color=f"C{k}"))
    ax.set(title=title, aspect="equal", xlim=(-5.2, 5.2), ylim=(-3.4, 3.4), xticks=[], yticks=[])


points = dgm.to_numpy(x)[:1000]  # of 3000
clusters(panels["a"], hint, f"(a) The hints: {100 * (hint == z).mean():.0f}% are right")
for name, strength in (("b", 0.0), ("c", 4.0)):
    model = fits[strength, 0][0]
    label = most_likely(x, model)
    title = f"({name}) $\\lambda$ = {strength:g}: {100 * accuracies[STRENGTHS.index(strength), 0]:.0f}% are right"
    clusters(panels[name], label, title, model)
panels["d"].plot(STRENGTHS, accuracies, "o", ms=6, color="C0", alpha=0.4)
panels["d"].plot(STRENGTHS, accuracies.mean(axis=1), "o-", ms=10, color="C0", label="the model p, without hints")
panels["d"].axhline(HINT, color="C1", ls="--", label="the hints")
panels["d"].set(ylabel="points in the right cluster", title=f"(d) {SEEDS} seeds and their mean")
panels["d"].set_xlabel(r"$\lambda$ (at 0 the clusters have no names: the better ones)")
for strength in (0.0, 2.0, 4.0):
    bounds = fits[strength, 0][1][:40]
    panels["e"].plot(bounds - bounds[0], label=rf"$\lambda$ = {strength:g}")
panels["e"].set(xlabel="step of EM", ylabel="rise of the bound, nats a point", title="(e) The bound never falls")
panels["f"].plot(STRENGTHS, expected, "o-", ms=10)
panels["f"].set(xlabel=r"$\lambda$", ylabel="$E_q[f]$ of 50 points", title="(f) How far q follows the hints, p as in (b)")
for name in "de":
    panels[name].legend()

# %%
# The claims
# ----------

run.claim("q* against an optimiser on the simplex: largest gap", gap, "<=", 1e-6)
run.claim("E_q[f] rises with lambda: least rise", np.diff(expected).min(), ">=", 0.0)
run.claim("the bound never falls: least rise in a step of EM, nats", min(rises), ">=", -1e-8)
run.claim("likelihood alone cuts the clusters across: best accuracy over seeds", accuracies[0].max(), "<=", 0.65)
turned = accuracies[STRENGTHS.index(4.0)]
run.claim("hints in the E-step (lambda = 4) turn it round: mean accuracy", turned.mean(), ">=", 0.9)
run.claim("so p is better than the hints it learned from, on every seed: least gain", turned.min() - HINT, ">=", 0.05)
run.claim("although its likelihood is lower: least price, nats a point", price.min(), ">=", 0.0)
numbers = {"strengths": STRENGTHS, "accuracy": accuracies, "expected": expected, "price": price}

# %%
# What to try next
# ----------------
# * In ``posterior.project``, forget Z: return log p + lambda f. Which claim fails?
# * Make the hints right in 60% of all cases. How many points make up for that?
# * With the right model, Gaussians of any covariance, is there anything left to repair?

run.finish(figure, numbers)
