# %%
r"""Two lines: a distance without overlap, and which divergences have a gradient there

*Lectures L0, L1 section 1.2, L2: Wasserstein GAN. Source: Arjovsky, Chintala and Bottou, "Wasserstein GAN" (2017), Example 1
and Figure 1.*

Data lie on a line in the plane, and so does what a generator makes, on a parallel line at the distance theta. A generator of
pictures is in the same place: both it and the data fill surfaces that are thinner than their space, and two of them hardly
meet. What do KL, the Jensen-Shannon divergence and the earth mover's distance say about theta, and what would they tell a
generator that has nothing to learn but this one number?

``--set blur=0.2`` makes the lines thicker; the claims are made for 0.02.
"""

import numpy as np

import pydgm as dgm
from pydgm import data, divergences, lesson, metrics, nn, optim, train
from pydgm.distributions import Normal
from pydgm.models.adversarial import gan, wgan

SOURCE = {"lecture": "L0, L1 section 1.2, L2", "figure": "Arjovsky et al. 2017, Example 1 and Figure 1"}
run = lesson.start("adversarial/earth_mover", __doc__, **SOURCE, live=True, settings={"blur": 0.02, "penalty": 10.0})
blur, penalty = run.settings.values()
rng, panels = run.rng, run.panels("abb;acd", width_ratios=[0.8, 1.0, 1.0])

# %%
# The two lines
# -------------
# .. math:: x = (0, z), \qquad G(z) = (\theta, z), \qquad z \sim U(0, 1)
#
# The generator has one parameter, and it is right where theta = 0.


class Line(nn.Module):
    theta: np.ndarray

    def sample(self, rng, shape=()):
        z = rng.uniform(shape)
        return dgm.stack([self.theta + 0.0 * z, z], axis=-1)


def line(theta: float) -> Line:
    return Line(dgm.asarray(np.float32(theta)))


for theta, style in ((0.0, "C0o"), (1.0, "C1^")):
    panels["a"].plot(*dgm.to_numpy(line(theta).sample(rng, 60)).T, style, ms=8)
panels["a"].annotate("", (0.05, 0.5), (0.95, 0.5), arrowprops={"arrowstyle": "<->", "lw": 3})
panels["a"].set(xlim=(-0.3, 1.3), title=r"(a) Data, and G, $\theta$ away")
run.picture("a")

# %%
# What each divergence says
# -------------------------
# .. math:: KL = \infty, \qquad JSD = \log 2, \qquad W_1 = |\theta| \qquad \text{off 0, and at 0 all are 0}
#
# To have densities at all, let the lines be a little blurred: normal across, with standard deviation blur. Along the line both
# are uniform, so that the divergence across is the divergence. KL is then :math:`\theta^2 / 2\,blur^2`. The thinner the lines,
# the more JSD is a step: constant, with a hole at 0.

grid = dgm.asarray(np.linspace(-2.0, 2.0, 8001))
# formula: jsd, earth-mover
DIVERGENCES = {"KL": divergences.kl_quadrature, "JSD": divergences.js_quadrature, "$W_1$": divergences.wasserstein_quadrature}


def divergence(name: str, theta, blur: float = blur):
    real, made = Normal(0.0, blur).log_prob(grid), Normal(theta, blur).log_prob(grid)
    return DIVERGENCES[name](real, made, grid)


thetas = np.linspace(-1.0, 1.0, 81).tolist()
said = {name: np.array([float(divergence(name, theta)) for theta in thetas]) for name in DIVERGENCES}
said["JSD, blur 0.2"] = np.array([float(divergence("JSD", theta, 0.2)) for theta in thetas])
lesson.curves(panels["b"], thetas, said, ("C3-", "C1-", "C0-", "C1:"), ylim=(0.0, 2.0), xlabel=r"$\theta$")
panels["b"].set_title("(b) Nats; units of x")
run.picture("b")

# %%
# What each tells the generator
# -----------------------------
# The engine differentiates them in theta. JSD has no slope where the lines do not touch, so that a generator that descends it
# stays where it is. :math:`W_1` has a slope of size 1 everywhere else than at 0.


def slope(name: str, theta: float) -> float:
    return float(dgm.grad(lambda t: divergence(name, t))(theta))


slopes = {name: np.array([slope(name, theta) for theta in thetas]) for name in ("JSD", "$W_1$")}
lesson.curves(panels["c"], thetas, slopes, ("C1-", "C0-"), xlabel=r"$\theta$", ylim=(-1.5, 2.2), title=r"(c) Slope in $\theta$")
ways = {name: [1.0] for name in slopes}
for name, way in ways.items():
    while len(way) <= 120:
        way.append(way[-1] - 0.01 * slope(name, way[-1]))
lesson.curves(panels["d"], range(121), ways, ("C1-", "C0-"), None, xlabel="steps", title=r"(d) $\theta$, descending")
run.picture("c", "d")

# %%
# From samples alone
# ------------------
# .. math:: W_1 = \min_{\text{pairs}} \frac{1}{n} \sum_i |x_i - y_{\pi(i)}| \;=\; \sup_{\|f\|_L \le 1} E[f(x)] - E[f(y)], \qquad
#           JSD \ge \tfrac{1}{2} \left(V(D) + \log 4\right)
#
# Without densities: the earth mover's distance by pairing points so that the whole way is shortest; by a critic, which is
# Kantorovich's other side of it; and JSD by a discriminator, which is a lower bound.

apart = run.pick(quick=(0.5, 1.0), default=(-1.0, -0.5, 0.25, 0.5, 1.0))
z = (np.arange(200) + 0.5) / 200
even, drawn, judged, told = [], [], [], []
SIZES, updates = [2, 32, 32, 1], run.pick(quick=400, default=1000)
losses = {"critic": lambda m, x, rng: wgan.penalized_critic_loss(m, x, rng, penalty), "D": gan.discriminator_loss}
for theta in apart:
    even.append(metrics.wasserstein(np.stack([0 * z, z], 1), np.stack([0 * z + theta, z[::-1]], 1)))
    drawn.append(metrics.wasserstein(line(0.0).sample(rng, 300), line(theta).sample(rng, 300)))
    for player, loss in losses.items():
        step = train.alternate(**{player: (loss, optim.adam(optim.linear(1e-2, 0.0, updates)), 1)})
        state = step.init({player: nn.MLP.init(rng, SIZES, dgm.softplus), "G": line(theta)}, rng)
        state = run.train(step, state, data.Fresh(line(0.0).sample, rng, 256, updates), f"{player}, theta = {theta:g}")
        judge = state.models[player]
        real, fake = (line(t).sample(rng, 2000) for t in (0.0, theta))
        if player == "critic":
            gradient = dgm.grad(lambda x, f=judge: dgm.sum(f(x)))(rng.uniform((2000, 1)) * (fake - real) + real)
            K = dgm.max(dgm.vector_norm(gradient, axis=1))
            # formula: critic
            judged.append(float(wgan.distance(judge, real, fake) / K))
        else:
            told.append(0.5 * (float(gan.value(judge, real, fake)) + np.log(4.0)))
panels["b"].plot(apart, judged, "C0o", ms=12, label="critic / K")
panels["b"].plot(apart, told, "C1^", ms=12, label="discriminator")
panels["b"].legend(ncols=2, loc="upper left")
run.picture("b")

# %%
# The claims
# ----------

far, size = np.abs(thetas) >= 0.3, np.abs(thetas)
kl = said["KL"][size > 0.0] / (size[size > 0.0] ** 2 / (2.0 * blur**2))
of_even, of_drawn, of_critic = (np.abs(np.array(v) / np.abs(apart) - 1.0).max() for v in (even, drawn, judged))

run.claim("KL is theta^2 / 2 blur^2, and has no limit: largest relative gap", np.abs(kl - 1.0).max(), "<=", 1e-3)
run.claim("JSD is log 2 from 0.3 on: largest gap", np.abs(said["JSD"] - np.log(2.0))[far].max(), "<=", 1e-3)
run.claim("W1 is abs(theta): largest gap", np.abs(said["$W_1$"] - size).max(), "<=", 1e-3)
run.claim("there JSD has no slope: largest", np.abs(slopes["JSD"])[far].max(), "<=", 1e-6)
run.claim("while W1's is the sign of theta: largest gap", np.abs(slopes["$W_1$"] - np.sign(thetas))[far].max(), "<=", 0.01)
run.claim("descending JSD from 1 moves theta by", abs(ways["JSD"][-1] - 1.0), "<=", 1e-3)
run.claim("descending W1 brings it to 0: distance left", abs(ways["$W_1$"][-1]), "<=", 0.02)
run.claim("W1 by pairs of points, evenly along both lines: largest relative gap", of_even, "<=", 1e-6)
run.claim("W1 by pairs of 300 points that are drawn: largest relative gap", of_drawn, "<=", 0.05)
run.claim("W1 by a critic: largest relative gap", of_critic, "<=", 0.05)
run.claim("JSD by a discriminator: least over log 2", min(told) / np.log(2.0), "within", (0.9, 1.0))

# %%
# What to try next
# ----------------
# * ``--set blur=0.2``: from which theta on does a generator that descends JSD feel the data?
# * Descend KL. Why does it need another learning rate for each blur, and which one arrives in a single step?
# * Turn the second line by 90 degrees. What is W1 now? Does a pair of lines that cross have an overlap?

if run.live:

    def films(every: int):
        step = train.alternate(critic=(losses["critic"], optim.adam(3e-3), 1))
        state = step.init({"critic": nn.MLP.init(rng, SIZES), "G": line(1.0)}, rng)
        for at in range(0, 600, every):
            state = train.run(step, state, data.Fresh(line(0.0).sample, rng, 256, every))
            height = lesson.density(lambda x, f=state.models["critic"]: dgm.log(dgm.sigmoid(f(x)[:, 0])), 1.5, 80, (0.5, 0.5))
            yield f"a critic of two lines, {at + every} steps", [[height]]

    run.film(*lesson.screen(), films(run.pick(quick=200, default=10)))

run.finish({"theta": thetas, **said, "critic": judged, "pairs": drawn, "discriminator": told})
