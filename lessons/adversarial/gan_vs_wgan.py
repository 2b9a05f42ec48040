# %%
r"""Vanishing gradients: a GAN's discriminator and a WGAN's critic between two Gaussians

*Lecture L1, section 1.2, Figure 1 (also L0 "WGAN vs Vanilla GAN", L2). Source of the figure: Arjovsky, Chintala and
Bottou, "Wasserstein GAN" (2017), Figure 2.*

Real data on the left, a generator's samples far away on the right. A discriminator that can tell them apart perfectly has
nothing more to say: around the fake samples it is flat, and a generator that descends log(1 - D) gets no direction and hardly
moves. A critic that is to be as steep as it may cannot go flat.

Three things are told otherwise elsewhere. The notes say that the vanilla GAN "relies on KL-divergence": at the best
discriminator it minimises the Jensen-Shannon divergence, which on far-apart distributions is finite, log 2, with gradient zero.
They credit the figure to Gulrajani et al.; it is Arjovsky's. And the loss that is used in practice, -log D, does not vanish
here at all: panels (b) and (c).

``--set distance=4`` moves the means; ``penalty`` and ``clip`` are the critics' own. The claims are made for the values below:
with others some may fail, and that is worth a thought.
"""

import functools

import numpy as np

import pydgm as dgm
from pydgm import data, divergences, lesson, nn, optim, train
from pydgm.distributions import Independent, Normal
from pydgm.models.adversarial import gan, wgan

SOURCE = {"lecture": "L1, section 1.2", "figure": "Figure 1 (Arjovsky et al. 2017, Figure 2)"}
run = lesson.start("adversarial/gan_vs_wgan", __doc__, **SOURCE, settings={"distance": 6.0, "penalty": 10.0, "clip": 0.1})
distance, penalty, c = run.settings.values()
panels = run.panels("ab;ac", width_ratios=[1.15, 1.0])

# %%
# The two distributions
# ---------------------
# :math:`p = N(-3, 1)` is the data, :math:`q = N(3, 1)` the generator: six standard deviations apart. Everything below is
# also known exactly on a grid, which is how we shall know what is true. The generator is a network like any other,
# G(z) = a z + b, with a = 1 and b = 3.

grid = dgm.asarray(np.linspace(-8.0, 8.0, 1601))
log_p, log_q = Normal(-distance / 2, 1.0).log_prob(grid), Normal(distance / 2, 1.0).log_prob(grid)
x, p, q = (dgm.to_numpy(values) for values in (grid, dgm.exp(log_p), dgm.exp(log_q)))
# formula: jsd, earth-mover
jsd, W = (float(f(log_p, log_q, grid)) for f in (divergences.js_quadrature, divergences.wasserstein_quadrature))
points, mean = dgm.astype(grid, dgm.xp.float32)[:, None], dgm.asarray(np.float32([distance / 2]))
# formula: gan-maps, data
real, generator = Independent(Normal(-mean, 1.0), 1), gan.Generator(nn.Linear(dgm.ones_like(mean)[None, :], mean), latent=1)
between, at_fakes = np.abs(x) <= distance / 2, int(np.argmin(np.abs(x - distance / 2)))


def fit(player: str, model, loss, optimizer, batch: int, steps: int):
    """One player alone, beside the generator as it is: its values on the grid, itself, and its losses."""
    step = train.alternate(**{player: (loss, optimizer, 1)})
    state = step.init({player: model, "G": generator}, run.rng)
    state = run.train(step, state, data.Fresh(real.sample, run.rng, batch, steps), player)
    return dgm.to_numpy(state.models[player](points))[:, 0].astype("float64"), state.models[player], state.losses[player]


# %%
# The discriminator
# -----------------
# .. math:: V(D, G) = E_{x \sim p}[\log D(x)] + E_{z}[\log(1 - D(G(z)))], \qquad D^*(x) = \frac{p(x)}{p(x) + q(x)}
#
# At its best it reaches :math:`V(D^*) = 2\,JSD(p, q) - \log 4`. The samples that decide where D crosses from 1 to 0 are three
# standard deviations from both means, so they are rare: large batches. Softplus units make D smooth. The rate falls to 0, so
# that the noise averages out.

steps = run.pick(quick=1200, default=8000)
smooth, falling = nn.MLP.init(run.rng, [1, 16, 1], dgm.softplus), optim.adam(optim.linear(2e-2, 0.0, steps))
# formula: gan-value, discriminator-step
logit, discriminator, losses = fit("D", smooth, gan.discriminator_loss, falling, 8192, steps)
# formula: optimal-discriminator
D, D_star = 1.0 / (1.0 + np.exp(-logit)), dgm.to_numpy(gan.optimal_discriminator(log_p, log_q))
best, reached = (float(gan.value_quadrature(d, log_p, log_q, grid)) for d in (log_p - log_q, dgm.asarray(logit)))
shown = {"real density p": p, "fake density q": q, "D, trained": D, "$D^* = p / (p + q)$": D_star}
lesson.curves(panels["a"], x, shown, ("C0-", "C2-", "C1-", "k:"))
run.picture("a")

# %%
# The critic
# ----------
# .. math:: W(p, q) = \frac{1}{K} \sup_{\|f\|_L \leq K} E_{x \sim p}[f(x)] - E_{x \sim q}[f(x)]
#
# First with the gradient penalty :math:`\lambda (|f'| - 1)^2` at points u x + (1 - u) G(z), whose density is r. With the
# distribution functions P and Q of data and generator, the critic climbs
#
# .. math:: \int (P - Q)\,(-f') - \lambda\, r\, (|f'| - 1)^2 \, dx, \qquad\text{so its best slope is}\qquad
#           -f'(x) = 1 + \frac{P(x) - Q(x)}{2 \lambda\, r(x)}.
#
# Between the means that is nearly a constant, 1 + W / 2 lambda: a straight line, only steeper than 1. Then with weights clipped
# to [-c, c], as in the first paper (there c is 0.01, in larger networks).

steps = run.pick(quick=500, default=2000)
penalised, clip = functools.partial(wgan.penalized_critic_loss, penalty=penalty), functools.partial(wgan.clip_weights, c=c)
falling = optim.adam(optim.linear(1e-2, 0.0, steps))
# formula: critic, gradient-penalty
f, critic, _ = fit("critic", nn.MLP.init(run.rng, [1, 64, 1]), penalised, falling, 512, steps)
clipping = optim.project(optim.adam(optim.linear(1e-3, 0.0, steps)), clip)
f_clipped, clipped, _ = fit("critic", nn.MLP.init(run.rng, [1, 64, 1]), wgan.critic_loss, clipping, 512, steps)
slope, slope_clipped = -np.gradient(f, x), -np.gradient(f_clipped, x)
u = np.linspace(0.0, 1.0, 401)[:, None]
mixed = Normal(dgm.asarray(distance * (0.5 - u)), dgm.asarray(np.hypot(u, 1.0 - u)))  # u x + (1 - u) G(z), for each u
r = np.exp(dgm.to_numpy(mixed.log_prob(grid))).mean(axis=0)
best_slope = 1.0 + np.cumsum(p - q) * (x[1] - x[0]) / (2.0 * penalty * r)
critics = {"critic / K, penalised": f / slope.max(), "critic / K, clipped": f_clipped / slope_clipped.max()}  # 1-Lipschitz
twin = panels["a"].twinx()
lesson.curves(twin, x, {name: values - values[between].mean() for name, values in critics.items()}, ("C3-", "C5--"))
twin.set(ylim=(-8.5, 12.5), yticks=(-8, -4, 0, 4, 8), ylabel="critic / K (units of x)")
panels["a"].set(xlabel="x", ylabel="density; D", ylim=(-0.05, 1.55), yticks=[0.0, 0.5, 1.0], title="(a) What is learned")
panels["a"].legend(loc="upper left")
run.picture("a")

# %%
# What each tells the generator
# -----------------------------
# A sample x moves against the derivative of the generator's loss in x. And a whole generator, that descends its loss while D
# or the critic goes on learning, five steps for each of its own? (Plain gradient descent: Adam would divide a vanishing
# gradient by its own size, and move all the same.)
#
# The penalised critic sends its generator past the data, and on. On the line its slope can only turn round through 0, where the
# penalty is at its height: at a distance d beyond the data the slope 1 - d / 2 lambda is a local optimum, and the critic sits
# in it until d = 2 lambda. In more dimensions a gradient can turn without passing through 0.

opponent = {"D": discriminator}, gan.discriminator_loss, optim.adam(1e-3)
# formula: generator-step
LOSSES = {
    "GAN, log(1 - D)": (gan.saturating_generator_loss, *opponent),
    "GAN, -log D": (gan.generator_loss, *opponent),
    "WGAN, clipped": (wgan.generator_loss, {"critic": clipped}, wgan.critic_loss, optim.project(optim.adam(1e-3), clip)),
    "WGAN, penalised": (wgan.generator_loss, {"critic": critic}, penalised, optim.adam(1e-3)),
}
steps, pushes, way = run.pick(quick=300, default=1500), {}, {}
for name, (loss, models, its_loss, its_optimizer) in LOSSES.items():
    pushes[name] = dgm.to_numpy(gan.sample_gradient(loss, models, points))[:, 0].astype("float64")
    watched = functools.partial(lambda loss, models, *rest: (loss(models, *rest), {"mean": models["G"].network.bias[0]}), loss)
    step = train.alternate(**dict.fromkeys(models, (its_loss, its_optimizer, 5)), G=(watched, optim.sgd(40.0 / steps), 1))
    state, batches = step.init({**models, "G": generator}, run.rng), data.Fresh(real.sample, run.rng, 256, 5 * steps)
    way[name] = 0.5 - run.train(step, state, batches, name).log["G.mean"] / distance  # 0 at the start, 1 at the data
told, styles = {name: np.maximum(np.abs(push), 1e-12) for name, push in pushes.items()}, ("C1-", "C4-", "C5--", "C3-")
lesson.curves(panels["b"], x, told, styles, yscale="log", ylim=(1e-9, 1e11), title="(b) What a sample at x is told, abs")
lesson.curves(panels["c"], range(steps), way, styles, None, ylim=(0.0, 1.7), xlabel="steps", title="(c) How far G comes")
run.picture("b", "c")

# %%
# The claims
# ----------

gap = np.abs(D - D_star)[np.maximum(p, q) > 0.01 * p.max()].max()
largest = max(float(dgm.max(dgm.abs(w))) for w in dgm.trees.leaves(clipped)) / c
share, short = (np.trapezoid((p - q) * v, x) / s.max() / W for v, s in ((f, slope), (f_clipped, slope_clipped)))
least = min((push[np.abs(x - distance / 2) <= 2.0] > 0.0).mean() for push in pushes.values())
ratio = pushes["WGAN, penalised"][at_fakes] / pushes["GAN, log(1 - D)"][at_fakes]
arrived = max(np.abs(way[name] - 1.0).min() for name in ("GAN, -log D", "WGAN, clipped"))
slow = way["GAN, log(1 - D)"][int(np.argmax(way["GAN, -log D"] > 0.9))]

run.claim("trained D is D* where a density is over 1% of its peak: gap", gap, "<=", run.pick(quick=0.1, default=0.02))
run.claim("V(D*) - V(D), which is above 0: its log10", np.log10(best - reached), "<=", run.pick(quick=-2.0, default=-4.0))
run.claim("the losses reported at last are -V(D): ratio", -losses[-100:].mean() / reached, "within", (0.9, 1.1))
run.claim("V(D*) = 2 JSD - log 4, by quadrature: gap", abs(best - (2.0 * jsd - np.log(4.0))), "<=", 1e-5)
run.claim("JSD has saturated: its share of log 2", jsd / np.log(2.0), "within", (0.99, 1.0))
run.claim("abs(D') at the fake mean: D gives no direction", np.abs(np.gradient(D, x))[at_fakes], "<", 1e-3)
run.claim("critic's slope is the best one: relative gap", np.abs(slope / best_slope - 1.0)[between].max(), "<=", 0.05)
run.claim("its estimate / K is W: relative gap", abs(share - 1.0), "<=", 0.05)
run.claim("clipped weights reach c, and keep it: largest over c", largest, "within", (0.999, 1.0001))
run.claim("clipped, it bends: least slope over steepest", slope_clipped[between].min() / slope_clipped.max(), "<=", 2 / 3)
run.claim("so its estimate / K falls short of W: share", short, "<=", 0.8)
run.claim("every loss sends all fakes within two deviations towards the data: share", least, "==", 1.0)
run.claim("WGAN's gradient over that of log(1 - D), at the fake mean: log10", np.log10(ratio), ">=", 3.0)
run.claim("G arrives with -log D and with the clipped critic: distance left", arrived, "<=", 0.05)
run.claim("when -log D has gone nine tenths of the way, log(1 - D) has gone", slow, "<=", 0.1)
run.claim("the penalised critic drives G past the data: share of the way", way["WGAN, penalised"].max(), ">=", 1.2)

# %%
# What to try next
# ----------------
# * ``--set distance=2``. Does the discriminator still vanish? Where is D's gradient largest?
# * ``-log D`` does not vanish here: D's logit is a straight line too. Why then is a WGAN's critic safer? Train D longer.
# * ``--set penalty=1``. Predict the slope before you run. Which claim speaks of what you see?
# * ``--set penalty=0.5``: does the penalised critic's generator still pass the data by? Why?

run.finish({"x": x[::40], "D": D[::40], "D_star": D_star[::40], "jsd": jsd, "W": W, "gradient_ratio": ratio})
