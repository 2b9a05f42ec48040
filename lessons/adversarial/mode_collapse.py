# %%
r"""Mode collapse: a generator that forgets most of the data, and what brings it back

*Lecture L3, "Mode Collapse". Sources: Metz, Poole, Pfau and Sohl-Dickstein, "Unrolled Generative Adversarial Networks" (2017),
Figure 2; Lin, Khetan, Fanti and Oh, "PacGAN" (2018); Srivastava et al., "VEEGAN" (2017), whose counts these are.*

Data are eight heaps on a ring. A generator that runs to wherever the discriminator is least sure finds one heap; a
discriminator that learns slowly finds out, much later, that there are too many samples; by then the generator is at the next.
So it goes round, one or two heaps at a time. What helps? To let the generator look ahead, to the discriminator as it will be
(unrolled). To show the discriminator two samples at once, which tell whether they are alike (packed). Or simply a discriminator
that keeps up: without this control one might believe anything of the other two. And a gradient penalty? See the figure.

All players are small networks, the same for all rows; only what a row names is another. Every row is several games at once,
and all rows see the same data (critics have two turns, and see twice as much of it). ``--set rate=0.002`` gives every
discriminator the rate that its generator begins with; ``--set scale=0.02`` is the papers' ring, which needs ten times as many
steps. PacGAN's own networks, steps and numbers: ``python -m benchmarks modes``.
"""

import functools

import numpy as np

import pydgm as dgm
from pydgm import data, lesson, metrics, nn, optim, train
from pydgm.models.adversarial import Generator, Packed, gan, hinge, lsgan, unrolled, wgan

SOURCE = {"lecture": "L3, Mode Collapse", "figure": "Metz et al. 2017, Figure 2; counts of VEEGAN and PacGAN"}
run = lesson.start("adversarial/mode_collapse", __doc__, **SOURCE, live=True, settings={"rate": 1e-4, "scale": 0.1})
(rate, scale), rng, panels = run.settings.values(), run.rng, run.panels("aabc;aade", width_ratios=[1.2, 1.2, 1.0, 1.0])
SEEDS, STEPS, LAST = run.pick(quick=(2, 700, 2e-3), default=(7, 1000, 1e-3))
ring, grid = data.ring_of_gaussians(scale=scale), data.grid_of_gaussians(spacing=1.0, scale=scale / 2.0)

# %%
# Rules of the games
# ------------------
# .. math:: \text{unrolled: } \min_G L_G(\theta_D^{(3)}, \theta_G), \quad
#           \theta_D^{(i+1)} = \theta_D^{(i)} - \eta \nabla_{\theta_D} L_D; \qquad
#           \text{packed: } D(x_1, x_2) \text{ tells } p(x_1) p(x_2) \text{ from } q(x_1) q(x_2)
#
# The derivative of an unrolled loss goes through the updates of D. A pack of a generator with one mode shows two samples of it
# always; a pack of data one time in eight.

slow, fast, falling = (optim.adam(r, beta1=0.5) for r in (rate, 2e-3, optim.linear(2e-3, LAST, STEPS)))
penalised = functools.partial(wgan.penalized_critic_loss, penalty=1.0)
ahead = unrolled(gan.generator_loss, gan.discriminator_loss, optim.sgd(0.1 * SEEDS), 3)  # a stack's losses are means over it
GAMES = {
    "GAN": ("D", gan.discriminator_loss, slow, 1, gan.generator_loss),
    "WGAN": ("critic", penalised, slow, 2, wgan.generator_loss),
    "unrolled": ("D", gan.discriminator_loss, slow, 1, ahead),
    "in pairs": ("D", gan.discriminator_loss, slow, 1, gan.generator_loss),
    "fast GAN": ("D", gan.discriminator_loss, fast, 1, gan.generator_loss),
    "fast LS": ("D", lsgan.discriminator_loss, fast, 1, lsgan.generator_loss),
    "fast hinge": ("D", hinge.discriminator_loss, fast, 1, hinge.generator_loss),
    "fast WGAN": ("critic", penalised, fast, 2, wgan.generator_loss),
}
if run.mode == "quick":
    GAMES = {name: GAMES[name] for name in ("GAN", "unrolled", "in pairs", "fast GAN")}


def play(name: str, batches, width: int, looks: int = 20):
    """Samples (seeds, 2500, 2) of the generators, after each part of the training."""
    player, loss, optimizer, turns, generator_loss = GAMES[name]
    pack = 2 if name == "in pairs" else 1
    judges = Packed(nn.stack([nn.MLP.init(rng, [2 * pack, 64, 64, 1]) for _ in range(SEEDS)]), pack)
    makers = nn.stack([Generator.init(rng, [2, width, width, 2]) for _ in range(SEEDS)])
    step = train.alternate(**{player: (loss, optimizer, turns)}, G=(generator_loss, falling, 1))
    state = step.init({player: judges, "G": makers}, rng)
    part = STEPS // looks * turns
    for i in range(looks):
        state = run.train(step, state, batches[i * part : (i + 1) * part], name)
        yield dgm.to_numpy(state.models["G"].sample(rng, (SEEDS, 2500)))


def late(looks, target) -> np.ndarray:
    """The modes that are covered, of the last three looks and each game."""
    return np.array([[metrics.modes(x, target).covered for x in look] for look in looks[-3:]])


def picture(x) -> np.ndarray:
    return np.minimum(np.histogram2d(*x.T, bins=40, range=[[-3, 3]] * 2)[0].T[::-1], 30.0)


# %%
# The ring
# --------
# Rows of samples, 2500 at a time, of the first game of each row. A mode is covered where a sample lies within three standard
# deviations of it; high quality is the share of samples that do; reverse KL says how unevenly these are spread over the modes.

batches, of_grid = (dgm.unstack(target.sample(rng, (2 * STEPS, SEEDS, 128))) for target in (ring, grid))  # the same for all
seen = {name: list(play(name, batches, 32)) for name in GAMES}
target = picture(dgm.to_numpy(ring.sample(rng, 2500)))  # the rows left out look like the other fast ones
shown = {n: [*[picture(x[0]) for x in each[3::4]], target] for n, each in seen.items() if n not in ("fast LS", "fast hinge")}
columns = [*[f"{STEPS // 5 * i}{' steps' * (i == 1)}" for i in range(1, 6)], "data"]
lesson.grid(panels["a"], list(shown.values()), [name.replace(" ", "\n") for name in shown], columns)
# near no mode: as uneven as if all were at one
table = {name: np.nan_to_num([metrics.modes(x, ring) for x in each[-1]], nan=np.log(8.0)) for name, each in seen.items()}
covered, good, uneven = ({name: each[:, i] for name, each in table.items()} for i in (0, 2, 3))
lesson.dots(panels["b"], covered, title="(b) Modes of 8", xlim=(-0.5, 8.9))
lesson.dots(panels["c"], good, title="(c) High quality", xlim=(-0.05, 1.05))
lesson.dots(panels["d"], uneven, title="(d) Reverse KL, nats", xlim=(-0.2, 2.3))
panels["c"].set_yticklabels([])
run.picture("a", "b", "c", "d")

# %%
# The grid
# --------
# Twenty-five modes, a wider generator, and the two that differ least in price: a game, and the same game in pairs. So few steps
# do not make the heaps sharp; what is counted is how many of them are remembered.

names = run.pick(quick=(), default=("GAN", "in pairs"))
remembered = {name: late(list(play(name, of_grid, 64)), grid).mean(axis=0) for name in names}
lesson.dots(panels["e"], remembered, title="(e) Modes of 25", xlim=(-1.0, 26.0))
run.picture("e")

# %%
# Through the updates
# -------------------
# The engine differentiates the unrolled loss through three gradient steps of the discriminator. Along a random direction of the
# generator, against differences; and beside the derivative that holds D's answer for a constant.

small = nn.double({"D": nn.MLP.init(rng, [2, 8, 1], dgm.tanh), "G": Generator.init(rng, [2, 8, 2], dgm.tanh)})
points, way = nn.double(ring.sample(rng, 32)), dgm.trees.map(lambda w: rng.normal(w.shape, "float64"), small["G"])
deaf = lambda m, x, r: gan.discriminator_loss({**m, "G": dgm.trees.map(dgm.stop_gradient, m["G"])}, x, r)  # noqa: E731
flat = lambda tree: np.concatenate([dgm.to_numpy(w).ravel() for w in dgm.trees.leaves(tree)])  # noqa: E731


def in_three_steps(G, answer=gan.discriminator_loss):
    loss = unrolled(gan.generator_loss, answer, optim.sgd(1.0), 3)
    return loss({**small, "G": G}, points, dgm.random.Generator(run.seed))


there, back = (in_three_steps(dgm.trees.map(lambda w, d, t=t: w + t * d, small["G"], way)) for t in (1e-5, -1e-5))
slope, held = (flat(dgm.grad(lambda G, a=a: in_three_steps(G, a))(small["G"])) for a in (gan.discriminator_loss, deaf))

# %%
# The claims
# ----------

off, missing = slope @ flat(way) / ((there - back) / 2e-5) - 1.0, np.linalg.norm(slope - held) / np.linalg.norm(slope)
of_game = [metrics.modes(x, ring) for x in np.concatenate(seen["GAN"][4:])]
found, _, _, apart = np.nan_to_num(of_game, nan=np.log(8.0)).mean(axis=0)
ends, least = {name: late(looks, ring) for name, looks in seen.items()}, run.pick(quick=6.5, default=7.5)
run.claim("the derivative goes through D's updates: gap to differences, relative", abs(off), "<=", 1e-4)
run.claim("held for a constant, D's answer is missing in it: share of the derivative, log10", np.log10(missing), ">=", -2.0)
run.claim("the game collapses: modes of 8, mean over games and time", found, "<=", 3.0)
run.claim("and is uneven: reverse KL, mean over games and time, nats", apart, ">=", 1.0)
run.claim("unrolled, it does not collapse: modes of 8, late mean over games", ends["unrolled"].mean(), ">=", least)
run.claim("nor in pairs: modes of 8, late mean over games", ends["in pairs"].mean(), ">=", least)
run.claim("nor with a discriminator that keeps up: modes of 8, late mean over games", ends["fast GAN"].mean(), ">=", least)
if run.mode != "quick":
    keeping_up = np.mean([ends[name] == 8 for name in list(GAMES)[4:]])
    worst = max(uneven[name].mean() for name in ("unrolled", "in pairs", "fast GAN"))
    more, half = metrics.mean_interval(remembered["in pairs"] - remembered["GAN"])
    run.claim("all 8, unrolled: share of late looks", np.mean(ends["unrolled"] == 8), ">=", 0.8)
    run.claim("all 8, whatever the objective, where D keeps up: share", keeping_up, ">=", 0.8)
    run.claim("all three are even: mean reverse KL, nats, at most", worst, "<=", 0.4)
    run.claim("25 modes: in pairs it remembers more of them, low end of the difference", more - half, ">", 0.0)
    run.claim("a penalty does not help a critic that lags: modes behind", np.mean(ends["fast WGAN"] - ends["WGAN"]), ">=", 2.0)

# %%
# What to try next
# ----------------
# * ``--set rate=0.0005``: from which rate on does the plain game not collapse?
# * ``--set scale=0.02``: the papers' heaps. Why does the count of covered modes say little of a generator whose samples lie
#   everywhere? Which number does?
# * Unroll one step, or ten. What does a step of it cost?

if run.live:
    games = [play(name, batches, 32, 80) for name in ("GAN", "in pairs")]
    run.film(*lesson.screen(), (("GAN; in pairs", [[picture(x[0]) for x in both]]) for both in zip(*games, strict=True)))

run.finish({"covered": covered, "high_quality": good, "reverse_kl": uneven, "grid": remembered})
