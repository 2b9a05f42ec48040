# %%
r"""A flow learned from data by maximum likelihood, beside a mixture of Gaussians and a kernel density estimate

*Lecture L0, "Normalizing Flow", "training: maximizes data log-likelihood"; L3 and L4, "Planar Flows" and "Maximum
log-likelihood objective". Source: Rezende and Mohamed, "Variational inference with normalizing flows" (2015). L3 and L4 write
a minus before the log-determinant of the inverse; it is a plus, and with the minus the "densities" do not integrate to 1.*

To learn from points one needs their density, so here a flow is run backwards: every point is taken back to where it came from.
A planar map has no formula for that, but across its plane it is a rising function of one number, which Newton's method
inverts up to rounding; the gradient comes from the implicit function theorem. Each data set is one whose own density is
known, so that the exact distance to the truth stands beside each model.
"""

import math

import matplotlib.pyplot as plt
import numpy as np

import pydgm as dgm
from pydgm import lesson, nn, optim, train
from pydgm.data import Rows, toys
from pydgm.divergences import plane
from pydgm.models.flows import Affine, Planar, flow, nll
from pydgm.models.latent import GaussianMixture, KernelDensity, mixture

run = lesson.start(
    "flows/maximum_likelihood",
    __doc__,
    lecture="L0, Normalizing Flow; L3 and L4, Maximum log-likelihood objective",
    figure="planar flows from data (Rezende and Mohamed 2015)",
)
rng = run.rng

# %%
# The data, and what it is drawn from
# -----------------------------------
# Moons and rings are curves with noise: their densities are mixtures of many Gaussians along the curve. The checkerboard has
# the density 1/8 on eight squares. No model can be better on average than these.

DATA = {"two moons": toys.moons, "rings": toys.rings, "checkerboard": toys.checkerboard}
learn_from, valid, test = (dgm.stack([draw(rng, n) for draw in DATA.values()]) for n in (2000, 1000, 5000))


def in_parts(log_prob, x, size: int = 1000):
    """Log densities of many points, some at a time."""
    return np.concatenate([dgm.to_numpy(log_prob(part)) for part in dgm.backend.chunks(x, size)])


turn = np.pi * (np.arange(500) + 0.5) / 500
circle = np.stack([np.cos(2 * turn), np.sin(2 * turn)], axis=1)
upper, lower = np.stack([np.cos(turn), np.sin(turn)], axis=1), np.stack([1 - np.cos(turn), 0.5 - np.sin(turn)], axis=1)


def board(x):
    """log 1/8 on the squares of one colour, and minus infinity elsewhere."""
    column, row = (np.floor(dgm.to_numpy(x)[:, i] + 2.0) for i in range(2))
    inside = (np.abs(dgm.to_numpy(x)) <= 2.0).all(axis=1) & ((column + row) % 2 == 0)
    return np.where(inside, -math.log(8.0), -math.inf)


truth = {
    "two moons": KernelDensity.init(dgm.asarray(np.concatenate([upper, lower]).astype("float32")), 0.1).log_prob,
    "rings": KernelDensity.init(dgm.asarray(np.concatenate([circle, 2 * circle]).astype("float32")), 0.08).log_prob,
    "checkerboard": board,
}

# %%
# Planar flows
# ------------
# .. math:: \log p(x) = \log p_0(z_0) + \sum_k \log\left|\det \partial z_{k-1} / \partial z_k\right|,
#           \qquad z_{k-1} = f_k^{-1}(z_k)
#
# The last layer is affine and starts as the best Gaussian of the data: the textbook case, whose determinant is that of its
# matrix. All data sets are learned at once, from several starts each, as one stack of flows; the validation points choose
# the start.

STEPS, STARTS = run.pick(quick=600, default=3000), run.pick(quick=2, default=3)


def learn(K: int):
    """The flow of each data set."""

    def loss(stack, x, rng):
        return dgm.sum(nll(stack, dgm.stack([dgm.permute_dims(x, (1, 0, 2))] * STARTS)))

    begin = flow([Planar.init(rng, K, stack=(STARTS, 3)), Affine.fit(dgm.stack([learn_from] * STARTS))])
    step = train.minimise(loss, optim.adam(optim.linear(0.02, 0.0, STEPS)))
    batches = Rows(dgm.to_numpy(learn_from).swapaxes(0, 1)).batches(rng, 128, passes=STEPS // 15)
    stack = run.train(step, step.init(begin, rng), batches, f"K = {K}").model
    nats = dgm.to_numpy(nll(stack, dgm.stack([valid] * STARTS)))  # (starts, data sets)
    return [stack.member(int(nats[:, i].argmin()), i) for i in range(3)]


flows = {K: learn(K) for K in run.pick(quick=(2, 16), default=(4, 16, 64))}

# %%
# A mixture of Gaussians, and kernels
# -----------------------------------
# Both with one setting that the 1000 validation points choose: the number of Gaussians (two starts each), the width of the
# kernels.

em = dgm.compile(mixture.em)
rises = []


def best_mixture(x, v) -> GaussianMixture:
    fits = []
    for K in run.progress(run.pick(quick=[8, 16], default=[8, 12, 16, 24, 32]) * run.pick(quick=1, default=2), "EM"):
        model, likelihood = GaussianMixture.init(rng, x, K), []
        for _ in range(run.pick(quick=40, default=80)):
            model, before = em(model, x)
            likelihood.append(float(before))
        rises.append(np.diff(likelihood).min())
        fits.append((float(dgm.mean(model.log_prob(v))), model))
    return max(fits, key=lambda pair: pair[0])[1]


def best_width(x, v) -> float:
    return max(
        (0.04, 0.06, 0.08, 0.1, 0.13, 0.16, 0.2),
        key=lambda width: in_parts(KernelDensity.init(x, width).log_prob, v).mean(),
    )


models = {}
for i, name in enumerate(DATA):
    x, v = learn_from[i, ...], valid[i, ...]
    gaussians, width = best_mixture(x, v), best_width(x, v)
    models[name] = {f"planar, K = {K}": f[i].log_prob for K, f in flows.items()}
    models[name] |= {"mixture": gaussians.log_prob, "kernels": KernelDensity.init(x, width).log_prob}
    print(f"{name}: {gaussians.logits.shape[0]} Gaussians, kernels of width {width}")

idle = {K: [int((dgm.vector_norm(f.bijection.layers[0].w, axis=1) < 0.01).sum()) for f in each] for K, each in flows.items()}
print(f"maps that ended as the identity, w = 0: {idle}")
own = {name: in_parts(truth[name], test[i, ...]) for i, name in enumerate(DATA)}
nats = {name: {m: in_parts(f, test[i, ...]) for m, f in models[name].items()} for i, name in enumerate(DATA)}
beyond = {name: {m: (own[name] - log_p).mean() for m, log_p in nats[name].items()} for name in DATA}
error = {name: {m: (own[name] - log_p).std() / math.sqrt(5000) for m, log_p in nats[name].items()} for name in DATA}

# %%
# Is all this exact?
# ------------------


exact = {(name, K): nn.double(f) for K, each in flows.items() for name, f in zip(DATA, each, strict=True)}


def mass(model) -> float:
    points, area = plane(run.pick(quick=5.0, default=4.5), run.pick(quick=700, default=1000), "float64")
    return np.exp(in_parts(model.log_prob, points, 8000)).sum() * area


def round_trip(model, x) -> float:
    """How far from x is f(f^-1(x))?"""
    return float(dgm.max(dgm.abs(model.bijection.forward(model.bijection.inverse(x)) - x)))


trips = [round_trip(f, dgm.astype(test[list(DATA).index(name), ...], dgm.xp.float64)) for (name, _), f in exact.items()]
masses = [mass(f) for f in exact.values()]

# %%
# The figure
# ----------

titles = ["data", *models["rings"], "the truth"]
figure = plt.figure(figsize=(22, 15))
pictures, bars = figure.subfigures(2, 1, height_ratios=[10, 5])
for row, (i, name) in zip(pictures.subplots(3, len(titles)), enumerate(DATA), strict=True):
    row[0].plot(*dgm.to_numpy(learn_from[i, ...]).T, ".", ms=2, color="black")
    row[0].set(xlim=(-3, 3), ylim=(-3, 3), aspect="equal", ylabel=name)
    images = [lesson.density(lambda x, f=f: in_parts(f, x), 3.0) for f in (*models[name].values(), truth[name])]
    for ax, image in zip(row[1:], images, strict=True):
        ax.imshow(image, vmin=0.0, vmax=images[-1].max())
    for ax, title in zip(row, titles, strict=True):
        ax.set(xticks=[], yticks=[], title=title if i == 0 else "")
for ax, name in zip(bars.subplots(1, 3), DATA, strict=True):
    for y, (m, excess) in enumerate(beyond[name].items()):
        colour = {"mixture": "C1", "kernels": "C2"}.get(m, "C0")
        ax.errorbar(excess, y, xerr=3.0 * error[name][m], fmt="o", ms=12, color=colour, capsize=6)
        ax.annotate(f"{-nats[name][m].mean():.3f}", (excess, y), xytext=(0, 12), textcoords="offset points", ha="center")
    ax.set(yticks=range(len(beyond[name])), yticklabels=list(beyond[name]), xscale="log", xlim=(0.01, 3.0))
    ax.set(title=f"{name}: the truth has {-own[name].mean():.3f} nats", xlabel="nats of a held-out point above the truth")
    ax.set_ylim(len(beyond[name]) - 0.5, -0.7)

# %%
# The claims
# ----------

few, some, many = (f"planar, K = {K}" for K in (flows if len(flows) == 3 else [*flows, 16]))
gain = {name: [beyond[name][few] - beyond[name][some], beyond[name][some] - beyond[name][many]] for name in DATA}
short = {name: beyond[name][many] - min(beyond[name]["mixture"], beyond[name]["kernels"]) for name in DATA}
before = beyond["checkerboard"]["mixture"] - beyond["checkerboard"][many]
least = min(beyond[name][m] + 3.0 * error[name][m] for name in DATA for m in nats[name])
run.claim("every density integrates to 1: largest deviation", max(abs(m - 1.0) for m in masses), "<=", 1e-3)
run.claim("from x to z and back, float64: largest distance", max(trips), "<=", 1e-8)
run.claim("EM's likelihood never falls: least rise in a step, nats", min(rises), ">=", -1e-5)
run.claim("no model beats the data's own density: least excess and 3 standard errors, nats", least, ">=", 0.0)
run.claim("more maps, better held-out likelihood: least gain at first, nats", min(g[0] for g in gain.values()), ">=", 0.0)
if run.mode != "quick":
    run.claim("64 maps instead of 16: gain on the rings, nats", gain["rings"][1], ">=", 0.1)
    run.claim("64 maps instead of 16: gain on the checkerboard, nats", gain["checkerboard"][1], ">=", 0.0)
    run.claim("64 maps before the mixture on the checkerboard, nats", before, ">=", 0.0)
    run.claim("64 maps behind the better of mixture and kernels: at most, nats", max(short.values()), "<=", 0.15)
numbers = {"nats": {n: {m: -x.mean() for m, x in nats[n].items()} for n in DATA}, "own": {n: -own[n].mean() for n in DATA}}
numbers |= {"excess": beyond, "idle_maps": idle, "standard_error": error}

# %%
# What to try next
# ----------------
# * In ``Transformed.log_prob`` turn the sign of the log-determinant, as in L3 and L4. Which claims fail?
# * ``Triangular`` maps with ``Affine`` ones between them: are they better than planar ones, for as many parameters?
# * A continuous map cannot cut a hole into the plane. Where do the rings of (K = 64) keep a bridge?

run.finish(figure, numbers)
