# %%
r"""Vanishing gradients: a GAN's discriminator and a WGAN's critic between two Gaussians

*Lecture L1, section 1.2, Figure 1 (also L0 "WGAN vs Vanilla GAN", L2). Source of the figure: Arjovsky, Chintala and
Bottou, "Wasserstein GAN" (2017), Figure 2.*

Real data on the left, a generator's samples far away on the right. A discriminator that can tell them apart perfectly has
nothing more to say: around the fake samples it is flat, and the generator gets no direction. A critic cannot go flat.

The notes say that the vanilla GAN "relies on KL-divergence". It does not: at the best discriminator it minimises the
Jensen-Shannon divergence, which on far-apart distributions is finite, log 2, with gradient zero. They also credit the figure
to Gulrajani et al.; it is Arjovsky's. Nor does a critic whose *weights are clipped*, as in that paper, come out as a
straight line: see the dashed line and the last two claims. And the form of the loss that is used in practice, -log D, does not
vanish here at all.
"""

import functools
import math

import matplotlib.pyplot as plt
import numpy as np

import pydgm as dgm
from pydgm import lesson, nn, optim, train
from pydgm.distributions import Independent, Normal
from pydgm.divergences import js_quadrature, wasserstein_quadrature
from pydgm.models.adversarial import gan, wgan

run = lesson.start(
    "adversarial/gan_vs_wgan", __doc__, lecture="L1, section 1.2", figure="Figure 1 (Arjovsky et al. 2017, Figure 2)"
)

# %%
# The two distributions
# ---------------------
# :math:`p = N(-3, 1)` is the data, :math:`q = N(3, 1)` the generator: six standard deviations apart. Everything below is
# also known exactly on a grid, which is how we shall know what is true.

real, fake = Normal(-3.0, 1.0), Normal(3.0, 1.0)
x = dgm.asarray(np.linspace(-8.0, 8.0, 1601))
log_p, log_q = real.log_prob(x), fake.log_prob(x)
jsd = float(js_quadrature(log_p, log_q, x))
w1 = float(wasserstein_quadrature(log_p, log_q, x))
data, generator = (Independent(Normal(dgm.asarray(np.float32([mean])), 1.0), 1) for mean in (-3.0, 3.0))  # points (n, 1)


def fit(loss, models, steps: int, batch: int, rate: float, what: str, project=None):
    """One player alone, beside a generator that stays as it is. The rate falls to 0, so that the noise averages out."""
    (player,) = models
    optimizer = optim.adam(optim.linear(rate, 0.0, steps))
    optimizer = optimizer if project is None else optim.project(optimizer, project)
    step = train.alternate(**{player: (lambda models, _, rng: loss(models, data.sample(rng, batch), rng), optimizer, 1)})
    return run.train(step, step.init({**models, "G": generator}, run.rng), steps, what).models[player]


# %%
# The discriminator
# -----------------
# .. math:: V(D, G) = E_{x \sim p}[\log D(x)] + E_{z}[\log(1 - D(G(z)))], \qquad D^*(x) = \frac{p(x)}{p(x) + q(x)}
#
# The samples that decide where D crosses from 1 to 0 are three standard deviations from both means, so they are rare: large
# batches. Softplus units make D smooth.

discriminator = nn.MLP.init(run.rng, [1, 16, 1], dgm.softplus)
steps = run.pick(quick=300, default=6000)
discriminator = fit(gan.discriminator_loss, {"D": discriminator}, steps, batch=8192, rate=2e-2, what="discriminator")

# %%
# The critic
# ----------
# .. math:: W(p, q) = \frac{1}{K} \sup_{\|f\|_L \leq K} E_{x \sim p}[f(x)] - E_{x \sim q}[f(x)]
#
# First with the gradient penalty :math:`\lambda (|f'| - 1)^2`. If f has slope s on the way from q to p, the objective is
# :math:`s W - \lambda (s - 1)^2`, so the best slope is :math:`1 + W / 2 \lambda`: a straight line, only steeper than 1.
# Then with weights clipped to [-0.1, 0.1], as in the original paper.

LAMBDA, CLIP = 10.0, 0.1


def clip(critic):
    return wgan.clip_weights(critic, CLIP)


penalised_loss = functools.partial(wgan.penalized_critic_loss, penalty=LAMBDA)
critic, clipped = (nn.MLP.init(run.rng, [1, 64, 1], dgm.relu) for _ in range(2))
steps = run.pick(quick=400, default=2000)
critic = fit(penalised_loss, {"critic": critic}, steps, batch=512, rate=1e-2, what="critic, gradient penalty")
clipped = fit(wgan.critic_loss, {"critic": clip(clipped)}, steps, 512, rate=1e-3, what="critic, clipped weights", project=clip)

# %%
# What each tells the generator
# -----------------------------
# The generator moves a sample x against the gradient of its loss at x.

points = dgm.reshape(dgm.astype(x, dgm.xp.float32), (-1, 1))


def values(model):
    return dgm.to_numpy(model(points))[:, 0].astype("float64")


def slopes(loss):
    """d loss / dx at every point of the grid."""
    return dgm.to_numpy(dgm.grad(lambda x: dgm.sum(loss(x)))(points))[:, 0].astype("float64")


received = {
    "GAN, log(1 - D)": slopes(lambda x: -dgm.softplus(discriminator(x))),
    "GAN, -log D": slopes(lambda x: dgm.softplus(-discriminator(x))),
    "WGAN, gradient penalty": slopes(lambda x: -critic(x)),
    "WGAN, clipped weights": slopes(lambda x: -clipped(x)),
}
grid, p, q = (dgm.to_numpy(a) for a in (x, dgm.exp(log_p), dgm.exp(log_q)))
D_star = dgm.to_numpy(gan.optimal_discriminator(log_p, log_q))
logit = values(discriminator)
D = dgm.to_numpy(dgm.sigmoid(dgm.asarray(logit)))
between = np.abs(grid) <= 3.0
at_fake = int(np.argmin(np.abs(grid - 3.0)))

# %%
# The figure
# ----------

figure, (left, right) = plt.subplots(1, 2)
left.fill_between(grid, p, color="C0", alpha=0.25, label="real density p")
left.fill_between(grid, q, color="C2", alpha=0.25, label="fake density q")
left.plot(grid, D, color="C1", label="discriminator, trained")
left.plot(grid, D_star, color="black", ls=":", label=r"$D^* = p \,/\, (p + q)$")
left.set(xlabel="x", ylabel="density; discriminator D", ylim=(-0.05, 1.8), xlim=(-8, 8), title="What is learned")
left.set_yticks([0.0, 0.5, 1.0])
twin = left.twinx()
twin.spines["right"].set_visible(True)
critics = {"critic / K, gradient penalty": (critic, "C3", "-"), "critic / K, clipped weights": (clipped, "C5", "--")}
for name, (model, color, style) in critics.items():
    f, steepest = values(model), np.abs(slopes(model)).max()  # divided by K, both are 1-Lipschitz and comparable
    twin.plot(grid, (f - f[between].mean()) / steepest, color=color, ls=style)
    left.plot([], [], color=color, ls=style, label=name)
twin.set(ylim=(-8.5, 14.5), yticks=(-8, -4, 0, 4, 8))
twin.set_ylabel("critic / K (units of x)")
left.legend(loc="upper center", ncols=2, fontsize=13)
for (name, slope), color, style in zip(received.items(), ("C1", "C4", "C3", "C5"), ("-", "-", "-", "--"), strict=True):
    right.semilogy(grid, np.maximum(np.abs(slope), 1e-12), color=color, ls=style, label=name)
right.axvspan(1.0, 5.0, color="C2", alpha=0.15, lw=0)
right.text(3.0, 12.0, "95% of the\nfake samples", ha="center", color="black", fontsize=15)
right.set(xlabel="x", ylabel="abs(gradient) for a sample at x", ylim=(1e-9, 1e4), xlim=(-8, 8), title="What the generator gets")
right.legend(loc="upper left", fontsize=13, ncols=2)

# %%
# The claims
# ----------

value = float(gan.value_quadrature(log_p - log_q, log_p, log_q, x))
reached = float(gan.value_quadrature(dgm.asarray(logit), log_p, log_q, x))
counts = np.maximum(p, q) > 0.01 * p.max()
slope, kinked = np.abs(slopes(critic)), np.abs(slopes(clipped))
estimate, estimate_clipped = (float(np.trapezoid((p - q) * values(f), grid)) for f in (critic, clipped))
K, K_clipped = slope.max(), kinked.max()
constant = np.abs(slope[between] / slope[between].mean() - 1.0).max()
advantage = (slope / np.abs(received["GAN, log(1 - D)"]))[at_fake]

if run.mode != "quick":
    run.claim("trained D is D* where a density is over 1% of its peak: gap", np.abs(D - D_star)[counts].max(), "<=", 0.02)
run.claim("abs(D') at the fake mean: D gives no direction", np.abs(D * (1 - D) * slopes(discriminator))[at_fake], "<", 1e-3)
run.claim("V(D*) = 2 JSD - log 4, by quadrature: gap", abs(value - (2.0 * jsd - math.log(4.0))), "<=", 1e-5)
run.claim("no discriminator beats D*: V(trained D) - V(D*)", reached - value, "<=", 0.0)
run.claim("JSD has saturated: its share of log 2", jsd / math.log(2.0), "within", (0.99, 1.0))
run.claim("critic's slope between the means is constant: deviation", constant, "<=", 0.1)
run.claim("critic's slope is 1 + W / (2 lambda): relative gap", abs(K / (1.0 + w1 / (2.0 * LAMBDA)) - 1.0), "<=", 0.05)
run.claim("estimate / K is the distance between the means: relative gap", abs(estimate / K / w1 - 1.0), "<=", 0.05)
run.claim("WGAN's gradient over that of log(1 - D), at the fake mean", advantage, ">=", 1e3)
run.claim("clipping gives no straight line: steepest over flattest slope", K_clipped / kinked[between].min(), ">=", 1.5)
run.claim("so its estimate / K falls short of the distance: share", estimate_clipped / K_clipped / w1, "<=", 0.8)

# %%
# What to try next
# ----------------
# * Move the means to -1 and 1. Does the discriminator still vanish? Where is D's gradient largest?
# * ``-log D`` does not vanish here: D's logit is a straight line too. Why then is a WGAN's critic safer? Train D longer.
# * Change LAMBDA to 1. Predict the slope before you run.
# * Leave ``project=`` out of the clipped critic. What happens to its slope, and to the estimate divided by it?

run.finish(
    figure,
    {
        "x": grid[::40],
        "D": D[::40],
        "D_star": D_star[::40],
        "critic_over_K": values(critic)[::40] / K,
        "received": {name: slope[::40] for name, slope in received.items()},
        "jsd": jsd,
        "w1": w1,
    },
)
