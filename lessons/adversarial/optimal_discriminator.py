# %%
r"""The best discriminator, and a generator that follows it: what the game does to the Jensen-Shannon divergence

*Lectures L0, L2, L3, L4: generative adversarial networks. Source: Goodfellow et al., "Generative Adversarial Nets" (2014),
Figure 1, Proposition 1 and Theorem 1.*

For a generator that stands still the best discriminator is known: D* = p / (p + p_g). What it reaches is a divergence between
data and generator, and the generator that makes it smallest has made the data. The figure shows the game: D near D*, the
generator going where D is larger, D following, until nothing can be told apart. The proof takes D to its best before each
step of G; here D makes five steps for one of G, and how near it stays to D* is measured.

On the line all of this can be seen exactly: the density of G(z) is a sum over a fine grid of z.
"""

import math
from typing import NamedTuple

import numpy as np

import pydgm as dgm
from pydgm import data, divergences, lesson, nn, optim, train
from pydgm.distributions import Independent, Mixture, Normal
from pydgm.models.adversarial import Generator, gan

SOURCE = {"lecture": "L0, L2, L3, L4", "figure": "Goodfellow et al. 2014, Figure 1"}
run = lesson.start("adversarial/optimal_discriminator", __doc__, **SOURCE, live=True, settings={"turns": 5, "apart": 1.5})
rng, panels, apart = run.rng, run.panels("abcd;eeee"), run.settings["apart"]

# %%
# Data, and the density of a generator
# ------------------------------------
# .. math:: p_g(x) = \sum_{z: G(z) = x} \frac{N(z; 0, 1)}{|G'(z)|}
#
# Data are two heaps on the line. The generator is a small network, z normal; where its curve is steep the density is thin. Its
# density is counted: the weight of all z of a fine grid that G sends into a cell of x.

means = dgm.asarray(np.float32([[-apart], [apart]]))
real = Mixture(dgm.asarray(np.zeros(2, "float32")), Independent(Normal(means, 0.5), 1))
edges, z = np.linspace(-5.0, 5.0, 401), np.linspace(-5.0, 5.0, 100_001)
x, width, weight = 0.5 * (edges[1:] + edges[:-1]), edges[1] - edges[0], np.exp(-0.5 * z**2) / np.sum(np.exp(-0.5 * z**2))
grid, cells, nodes = dgm.asarray(x), dgm.asarray(np.float32(x)[:, None]), dgm.asarray(np.float32(z)[:, None])
log_p = dgm.astype(real.log_prob(cells), dgm.xp.float64)
p = np.exp(dgm.to_numpy(log_p))


class Seen(NamedTuple):
    q: np.ndarray  # the density of G
    D: np.ndarray
    D_star: np.ndarray
    V: float
    V_star: float
    JSD: float


def look(models) -> Seen:
    made = np.concatenate([dgm.to_numpy(models["G"].network(part))[:, 0] for part in dgm.backend.chunks(nodes, 50_000)])
    q = np.histogram(made, edges, weights=weight)[0] / width
    with np.errstate(divide="ignore"):
        log_q = dgm.asarray(np.log(q))
    logits = dgm.astype(models["D"](cells)[:, 0], dgm.xp.float64), gan.optimal_logit(log_p, log_q)
    # formula: value-at-the-best
    V, V_star = (float(gan.value_quadrature(logit, log_p, log_q, grid)) for logit in logits)
    # formula: optimal-discriminator
    D, D_star = dgm.sigmoid(logits[0]), gan.optimal_discriminator(log_p, log_q)
    # formula: jsd
    return Seen(q, dgm.to_numpy(D), dgm.to_numpy(D_star), V, V_star, float(divergences.js_quadrature(log_p, log_q, grid)))


def show(ax, seen: Seen, title: str) -> None:
    ax.clear()
    named = {"p": p, "$p_g$": seen.q, "D": seen.D, "$D^*$": seen.D_star}
    lesson.curves(ax, x, named, ("C0-", "C2-", "C1-", "k:"), None, ylim=(0.0, 1.6), title=title, xlim=(-4, 4))


# %%
# The game
# --------
# .. math:: V(D, G) = E_{x \sim p}[\log D(x)] + E_{z}[\log(1 - D(G(z)))], \qquad
#           \max_D V(D, G) = V(D^*, G) = 2\,JSD(p, p_g) - \log 4
#
# One G is trained twice: in a game, where D makes ``turns`` steps for each of G; and, the control, against the D that was
# trained at the start and is never changed.

steps, every = run.pick(quick=800, default=4000), run.pick(quick=100, default=50)
G, D = Generator.init(rng, [1, 16, 16, 1], dgm.tanh), nn.MLP.init(rng, [1, 32, 32, 1], dgm.tanh)
alone = train.alternate(D=(gan.discriminator_loss, optim.adam(1e-2), 1))
models = run.train(alone, alone.init({"D": D, "G": G}, rng), data.Fresh(real.sample, rng, 512, 400), "D alone").models
fast, slow = optim.adam(5e-3), optim.adam(optim.linear(2e-3, 0.0, steps))
game = train.alternate(D=(gan.discriminator_loss, fast, run.settings["turns"]), G=(gan.generator_loss, slow, 1))
stale = train.alternate(G=(gan.generator_loss, slow, 1))


def play(step, what: str):
    """What is seen at the start, and after every few steps."""
    state = step.init(models, rng)
    yield look(models)
    for _ in run.progress(steps // every, what):
        state = train.run(step, state, dgm.unstack(real.sample(rng, (every * step.batches, 512))))
        yield look(state.models)


seen, control = list(play(game, "D and G")), list(play(stale, "G alone"))
for panel, i in zip("abcd", (0, len(seen) // 16, len(seen) // 4, len(seen) - 1), strict=True):
    show(panels[panel], seen[i], f"{i * every} steps")
panels["a"].legend(ncols=2, loc="upper center")
V, V_star, JSD = np.array([(s.V, s.V_star, s.JSD) for s in seen]).T
JSD_stale, theorem = np.array([s.JSD for s in control]), 2.0 * JSD - math.log(4.0)
values = {"V(D)": V, "$2 JSD - \\log 4$": theorem, "the same of a G against a stale D": 2.0 * JSD_stale - math.log(4.0)}
lesson.curves(panels["e"], every * np.arange(len(seen)), values, ("C1o", "k-", "C3:"), xlabel="steps of G", ylabel="nats")
run.picture("a", "b", "c", "d", "e")

if run.live:
    figure, _ = lesson.screen()
    run.film(figure, lambda s: show(figure.axes[0], s, f"V(D) = {s.V:.3f}, JSD = {s.JSD:.3f}"), play(game, "film"))

# %%
# One turn of each, by hand
# -------------------------
# G answers to the D of now, not to that of before. A generator of one number, theta + z with fixed z: its step in the game,
# beside the same from the formula of V.


class Shift(nn.Module):
    theta: np.ndarray

    def sample(self, rng, shape=()):
        return self.theta + ticks


ticks, some = dgm.asarray(np.linspace(-1.0, 1.0, 64)[:, None]), dgm.astype(real.sample(rng, 64), dgm.xp.float64)
players, sgd = {"D": nn.double(D), "G": Shift(dgm.asarray(np.array(2.0)))}, optim.sgd(0.5)
# formula: discriminator-step, generator-step
turn = train.alternate(D=(gan.discriminator_loss, sgd, 1), G=(gan.generator_loss, sgd, 1))
moved = float(train.run(turn, turn.init(players, rng), [some]).models["G"].theta) - 2.0
says = lambda D, x: dgm.mean(dgm.log(dgm.sigmoid(D(x))))  # noqa: E731
minus = lambda D: lambda x: -D(x)  # noqa: E731  # of which 1 - D is the sigmoid
slope = dgm.grad(lambda D: -says(D, some) - says(minus(D), 2.0 + ticks))(players["D"])
answer = dgm.trees.map(lambda w, g: w - 0.5 * g, players["D"], slope)
by_hand = -0.5 * float(dgm.grad(lambda theta: -says(answer, theta + ticks))(2.0))

# %%
# The claims
# ----------
# V(D) is never above V(D*), whatever D is; how far below tells how well D follows.

off = np.median([np.abs(s.D - s.D_star) @ (p + s.q) * width / 2.0 for s in seen])
undecided = np.abs(seen[-1].D - 0.5) @ p * width
lost = max(abs(s.q.sum() * width - 1.0) for s in seen)

run.claim("the counted density integrates to 1: largest deviation", lost, "<=", 1e-3)
run.claim("one turn of each, by hand: gap in how far G goes, relative", abs(moved / by_hand - 1.0), "<=", 1e-6)
run.claim("V(D*) = 2 JSD - log 4 all along: largest gap, nats", np.abs(V_star - theorem).max(), "<=", 1e-5)
run.claim("V(D) is never above it: largest excess, nats", (V - theorem).max(), "<=", 0.0)
run.claim("and follows it: median gap, nats", np.median(theorem - V), "<=", run.pick(quick=0.1, default=0.03))
run.claim("D is near D* where data or fakes are: median of the mean gap", off, "<=", run.pick(quick=0.1, default=0.05))
run.claim("of the JSD at first there is left at last: share", JSD[-1] / JSD[0], "<=", run.pick(quick=0.2, default=0.1))
run.claim("and D cannot tell: mean gap to 1/2 over the data", undecided, "<=", run.pick(quick=0.2, default=0.08))
run.claim("against a D that stays as it is G does not get there: JSD, nats", JSD_stale[-1], ">=", 0.15)

# %%
# What to try next
# ----------------
# * ``--set turns=1``: how far does V(D) lag behind? Does G still arrive?
# * ``--set apart=3``: does G find both heaps? Which of them first?
# * Take ``gan.saturating_generator_loss``. Where is it slower, and why there?

run.finish({"V": V, "JSD": JSD, "JSD_stale": JSD_stale})
