# %%
r"""A flow learned from data by maximum likelihood, beside a mixture of Gaussians and a kernel density estimate

*Lecture L0, "Normalizing Flow", "training: maximizes data log-likelihood"; L3 and L4, "Planar Flows" and "Maximum
log-likelihood objective". The lectures have no figure of it; planar flows are Rezende and Mohamed's (2015), whose paper, as
far as we know, trains none by likelihood. L3 and L4 write a minus before the log-determinant of the inverse; it is a plus,
and with the minus the "densities" do not integrate to 1.*

To learn from points one needs their density, so here a flow is run backwards: every point is taken back to where it came from.
A planar map has no formula for that, but across its plane it is a rising function of one number, which Newton's method inverts
up to rounding; the gradient comes from the implicit function theorem. Each data set is one whose own density is known, so that
the distance to the truth can be estimated without bias: it stands beside each model, with three standard errors.
"""

import numpy as np

import pydgm as dgm
from pydgm import lesson, nn, optim, train
from pydgm.data import Rows, toys
from pydgm.divergences import over_plane
from pydgm.models.flows import Affine, Planar, flow, nll
from pydgm.models.latent import GaussianMixture, KernelDensity, mixture

SOURCE = {"lecture": "L0, Normalizing Flow; L3 and L4, Maximum log-likelihood objective", "figure": "planar flows from data"}
run = lesson.start("flows/maximum_likelihood", __doc__, **SOURCE, settings={"rate": 0.02})
rng, panels = run.rng, run.panels("aaa;bcd", height_ratios=[5, 4])

# %%
# The data, and what it is drawn from
# -----------------------------------
# Moons and rings are curves with noise: their densities are mixtures of many Gaussians along the curve. The checkerboard has
# the density 1/8 on eight squares. No model can be better on average than these.

DRAWS = {"moons": toys.moons, "rings": toys.rings, "board": toys.checkerboard}
learn_from, valid, test = (dgm.stack([draw(rng, n) for draw in DRAWS.values()]) for n in (2000, 1000, 5000))
moons, rings = dgm.asarray(toys.moons_curve(500)), dgm.asarray(toys.rings_curve(500))
truth = {"moons": KernelDensity.init(moons, 0.1).log_prob, "rings": KernelDensity.init(rings, 0.08).log_prob}
truth["board"] = toys.checkerboard_log_prob

# %%
# Planar flows
# ------------
# .. math:: \log p(x) = \log p_0(z_0) + \sum_k \log\left|\det \partial z_{k-1} / \partial z_k\right|,
#           \qquad z_{k-1} = f_k^{-1}(z_k)
#
# The last layer is affine and starts as the best Gaussian of the data: the textbook case, whose determinant is that of its
# matrix. All data sets are learned at once, from several starts each, as one stack of flows; the validation points choose the
# start.

STEPS, STARTS = run.pick(quick=600, default=3000), run.pick(quick=2, default=3)


def learn(K: int):
    """The flow of each data set."""

    def loss(stack, x, rng):
        # formula: flow-likelihood
        return dgm.sum(nll(stack, dgm.stack([dgm.permute_dims(x, (1, 0, 2))] * STARTS)))

    begin = flow([Planar.init(rng, K, stack=(STARTS, 3)), Affine.fit(dgm.stack([learn_from] * STARTS))])
    step = train.minimise(loss, optim.adam(optim.linear(run.settings["rate"], 0.0, STEPS)))
    batches = Rows(dgm.to_numpy(learn_from).swapaxes(0, 1)).batches(rng, 128, passes=STEPS // 15)
    stack = run.train(step, step.init(begin, rng), batches, f"K = {K}").model
    nats = dgm.to_numpy(nll(stack, dgm.stack([valid] * STARTS)))  # (starts, data sets)
    return [stack.member(int(nats[:, i].argmin()), i) for i in range(3)]


flows = {K: learn(K) for K in run.pick(quick=(2, 16), default=(4, 16, 64))}

# %%
# A mixture of Gaussians, and kernels
# -----------------------------------
# Both with one setting that the 1000 validation points choose: the number of Gaussians (two starts each), the width of the
# kernels. Each step of EM raises the likelihood, and where it stays the gradient is 0: in the weights, the means, the
# covariances.

WIDTHS = (0.04, 0.06, 0.08, 0.1, 0.13, 0.16, 0.2)
models, rises, slopes = {}, [], []


def log_probs(log_prob, x) -> np.ndarray:
    """Of many points, some at a time."""
    return np.concatenate([dgm.to_numpy(log_prob(part)) for part in dgm.backend.chunks(x, 1000)])


for i, name in enumerate(DRAWS):
    x, v = learn_from[i, ...], valid[i, ...]
    sizes = run.pick(quick=[8, 16], default=[8, 12, 16, 24, 32] * 2)
    # formula: marginal-likelihood
    fits = [mixture.fit(GaussianMixture.init(rng, x, K), x, run.pick(quick=40, default=80)) for K in run.progress(sizes, "EM")]
    best = max((model for model, _ in fits), key=lambda model: log_probs(model.log_prob, v).mean())
    fits.append(mixture.fit(best, x, 200))  # to where it stays
    gaussians, rises = fits[-1][0], rises + [np.diff(likelihoods).min() for _, likelihoods in fits]
    slope = dgm.grad(lambda model, x=x: dgm.mean(model.log_prob(x)))(gaussians)
    L = gaussians.components.L  # slopes in means and covariances are taken in units of each Gaussian's own width
    parts = (slope.logits, slope.components.loc[:, None, :] @ L, dgm.tril(slope.components.L) * L)
    slopes.append([float(dgm.max(dgm.abs(part))) for part in parts])
    kernels = max((KernelDensity.init(x, width) for width in WIDTHS), key=lambda model: log_probs(model.log_prob, v).mean())
    models[name] = {f"K = {K}": each[i] for K, each in flows.items()} | {"mixture": gaussians, "kernels": kernels}
own, excess = {}, {}
for i, name in enumerate(DRAWS):
    own[name] = log_probs(truth[name], test[i, ...])
    excess[name] = {m: own[name] - log_probs(model.log_prob, test[i, ...]) for m, model in models[name].items()}
beyond = {name: {m: each.mean() for m, each in excess[name].items()} for name in DRAWS}
error = {name: {m: each.std() / len(each) ** 0.5 for m, each in excess[name].items()} for name in DRAWS}

columns = ["data", *models["rings"], "the truth"]
seen = [np.histogram2d(*dgm.to_numpy(learn_from[i, ...]).T, bins=45, range=[[-3, 3]] * 2)[0].T[::-1] for i in range(3)]
shown = [[lesson.density(f, 3.0, 90) for f in (*(m.log_prob for m in models[name].values()), truth[name])] for name in DRAWS]
lesson.grid(panels["a"], [[s, *row] for s, row in zip(seen, shown, strict=True)], list(DRAWS), columns)
for panel, name in zip("bcd", DRAWS, strict=True):
    rows = {m: (beyond[name][m], 3.0 * error[name][m]) for m in beyond[name]}
    for y, (m, (mean, half)) in enumerate(rows.items()):
        panels[panel].errorbar(mean, y, xerr=half, fmt="o", ms=12, capsize=6, color="C0" if m.startswith("K") else f"C{y}")
    panels[panel].set(yticks=range(len(rows)), yticklabels=list(rows), xscale="log", xlim=(0.01, 3.0), title=name)
    panels[panel].set_ylim(len(rows) - 0.5, -0.7)
panels["c"].set_xlabel("nats that a held-out point lies above the truth; bars: three standard errors")
run.picture("a", "b", "c", "d")

# %%
# The claims
# ----------

exact = {(name, K): nn.double(f) for K, each in flows.items() for name, f in zip(DRAWS, each, strict=True)}
points = run.pick(quick=150_000, default=300_000)
masses = [over_plane(f.log_prob, reach=4.5, least=points * max(1, K // 32))[0] for (_, K), f in exact.items()]  # finer folds
for kind, reach, points in (("mixture", 4.5, run.pick(quick=200_000, default=400_000)), ("kernels", 3.2, 14_000)):
    masses += [over_plane(nn.double(m[kind]).log_prob, None, reach, points, size=2000)[0] for m in models.values()]
z = rng.normal((20, 2), "float64")
trip, inverse, jacobian = np.array([dgm.testing.bijection_gaps(f.bijection, z) for f in exact.values()]).max(axis=0)
weights, means, covariances = np.max(slopes, axis=0)
few, some, many = (f"K = {K}" for K in (flows if len(flows) == 3 else [*flows, 16]))
left = np.array([[beyond[name][b] / beyond[name][a] for a, b in ((few, some), (some, many))] for name in DRAWS])
behind = max(beyond[name][many] - min(beyond[name]["mixture"], beyond[name]["kernels"]) for name in DRAWS)
least = min(beyond[name][m] + 3.0 * error[name][m] for name in DRAWS for m in beyond[name])

run.claim("every density integrates to 1: largest deviation", max(abs(m - 1.0) for m in masses), "<=", 1e-3)
run.claim("flows there and back, float64: largest distance", trip, "<=", 1e-8)
run.claim("their log det against the Jacobian of the engine: largest gap, nats", max(inverse, jacobian), "<=", 1e-6)
run.claim("EM's likelihood never falls: least rise in a step, nats", min(rises), ">=", -1e-5)
run.claim("where EM stays it is flat: largest slope in a weight's logit", weights, "<=", 0.005)
run.claim("in a mean or a width", max(means, covariances), "<=", 0.01)
run.claim("no model beats the data's own density: least excess and 3 standard errors, nats", least, ">=", 0.0)
run.claim("more maps, better held-out likelihood: excess left at first, mean", left[:, 0].mean(), "<=", 0.8)
if run.mode != "quick":
    ahead = beyond["board"][many] / beyond["board"]["mixture"]
    run.claim("64 maps instead of 16: excess left on the rings", left[1, 1], "<=", 0.75)
    run.claim("64 maps instead of 16: excess left on the checkerboard", left[2, 1], "<=", 1.0)
    run.claim("64 maps and the mixture on the checkerboard: ratio of their excess", ahead, "<=", 1.0)
    run.claim("64 maps behind the better of mixture and kernels: at most, nats", behind, "<=", 0.15)
K, of_board = max(flows), models["board"]["mixture"].logits.shape[0]
print(f"numbers to learn: {of_board} Gaussians on the checkerboard {6 * of_board - 1}; {K} maps and Affine {5 * K + 6}")

# %%
# What to try next
# ----------------
# * In ``Transformed.log_prob`` turn the sign of the log-determinant, as in L3 and L4. Which claims fail?
# * ``Triangular`` maps with ``Affine`` ones between them: are they better than planar ones, for as many parameters?
# * A continuous map cannot cut a hole into the plane. Where do the rings of (K = 64) keep a bridge?

run.finish({"excess": beyond, "standard_error": error, "own": {name: each.mean() for name, each in own.items()}})
