# %%
r"""Clipping against penalty: two ways to keep a critic Lipschitz, and what each makes of it

*Lecture L1, section 1.2 (also L0, L2): Wasserstein GAN. Source: Gulrajani, Ahmed, Arjovsky, Dumoulin and Courville, "Improved
training of Wasserstein GANs" (2017), Figure 1. (L0 and L2 say "gradient clipping"; what is clipped are the weights.)*

A critic may be as steep as K, and no steeper. To clip its weights bounds its slope by something that nobody asked for: the
critic spends its weights at the edge of the box and becomes simple. To penalise slopes other than 1 asks for what theory says
of the best critic: its gradient has length 1 along the lines on which mass is moved. Both are trained here on the same data,
beside a generator that stands still: the data with noise of standard deviation 1.

``--set clip=0.1`` for the clipped critics, ``--set penalty=0.1`` for the others, as the authors have it in the plane: then
slopes are steeper than 1.
"""

import functools

import numpy as np

import pydgm as dgm
from pydgm import data, lesson, metrics, nn, optim, train
from pydgm.models.adversarial import wgan

SOURCE = {"lecture": "L1, section 1.2", "figure": "Gulrajani et al. 2017, Figure 1"}
run = lesson.start("adversarial/clipping_vs_penalty", __doc__, **SOURCE, live=True, settings={"clip": 0.05, "penalty": 10.0})
(c, penalty), rng, STEPS = run.settings.values(), run.rng, run.pick(quick=300, default=1500)
panels = run.panels("abcg;defh", width_ratios=[1.0, 1.0, 1.0, 1.6])

# %%
# Data, and data with noise
# -------------------------
# .. math:: W(p, q) = \sup_{\|f\|_L \leq 1} E_{x \sim p}[f(x)] - E_{x \sim q}[f(x)], \qquad q = p * N(0, I)

ring, grid = data.ring_of_gaussians(), data.grid_of_gaussians(spacing=1.0)
DRAWS = {"8 Gaussians": ring.sample, "25 Gaussians": grid.sample, "Swiss roll": data.swiss_roll}
NAMES = tuple(DRAWS) * run.pick(quick=1, default=3)  # so many critics for each


def draw(rng, n: int, names=NAMES):
    """(critics, n, 2)."""
    return dgm.stack([DRAWS[name](rng, n) for name in names])


class Noisy(nn.Module):
    """The data and noise, for as many critics as the shape says."""

    names: tuple[str, ...]
    event_ndim: int = 1

    def sample(self, rng, shape=()):
        return draw(rng, shape[-1], self.names) + rng.normal((*shape, 2))


# %%
# Value surfaces
# --------------
# All critics at once, a stack; for each data set the surface of f, each with heights of its own. How much of W do they
# see? E[f(x) - f(x + noise)] / K, critic by critic: now and then a penalised one has slope 1 the wrong way round, and stays
# there.

# formula: gradient-penalty
PENALISED = functools.partial(wgan.penalized_critic_loss, penalty=penalty)
falling = optim.adam(optim.linear(5e-3, 0.0, STEPS), beta1=0.5)


def in_box(optimizer, c: float):
    return wgan.critic_loss, optim.project(optimizer, functools.partial(wgan.clip_weights, c=c))


WAYS = {"clipped": in_box(falling, c), "penalised": (PENALISED, falling)}


def fit(loss, optimizer, sizes, what: str, names=NAMES, steps: int = STEPS, batch: int = 256):
    """A stack of critics beside the noisy data."""
    step = train.alternate(critic=(loss, optimizer, 1))
    critics = nn.stack([nn.MLP.init(rng, sizes, weight=nn.he_uniform) for _ in names])
    state = step.init({"critic": critics, "G": Noisy(names)}, rng)
    return run.train(step, state, data.Fresh(lambda rng, n: draw(rng, n, names), rng, batch, steps), what).models["critic"]


def slopes(critic, x) -> np.ndarray:
    return np.linalg.norm(dgm.to_numpy(dgm.grad(lambda x: dgm.sum(critic(x)))(x)), axis=-1)


real, noisy = draw(rng, 500), Noisy(NAMES).sample(rng, (len(NAMES), 500))
W = np.array([metrics.wasserstein(x, y) for x, y in zip(*map(dgm.unstack, (real, noisy)), strict=True)])
points, _ = dgm.divergences.plane(3.0, 60)
between = rng.uniform((len(NAMES), 500, 1)) * (real - noisy) + noisy
x, everywhere = draw(rng, 5000), dgm.stack([points] * len(NAMES))
noise = rng.normal(x.shape)
critics = {way: fit(loss, optimizer, [2, 64, 64, 64, 1], way) for way, (loss, optimizer) in WAYS.items()}
on_lines = {way: slopes(critic, between) for way, critic in critics.items()}
K = {way: slopes(f, dgm.concat([everywhere, between], axis=1)).max(axis=1) for way, f in critics.items()}
shares = {way: dgm.to_numpy(dgm.mean(f(x) - f(x + noise), axis=(1, 2))) / K[way] / W for way, f in critics.items()}
heights = [dgm.to_numpy(f(everywhere))[i].reshape(60, 60) for f in critics.values() for i in range(3)]
for panel, height, name in zip("abcdef", heights, [f"{way}, {name}" for way in critics for name in DRAWS], strict=True):
    panels[panel].contourf(height[::-1], 12, extent=(-3, 3, -3, 3), cmap="RdBu_r")
    panels[panel].plot(*dgm.to_numpy(real)[tuple(DRAWS).index(name.split(", ")[1])].T, "k.", ms=2)
    panels[panel].set(xticks=[], yticks=[], aspect="equal", title=f"({panel}) {name if panel < 'd' else 'penalised'}")
run.picture(*"abcdef")

# %%
# Where the weights are, and what a deep critic's gradient becomes
# ----------------------------------------------------------------
# A clipped weight has nothing to gain inside its box. Through twelve layers a gradient is multiplied twelve times by weights of
# one size: with a small box it vanishes, with a large one it explodes. The penalty pulls the whole product to 1.


def by_depth(critic) -> np.ndarray:
    """The mean norm of f's gradient in what enters each layer."""
    norms, h = [], real[2:, ...]
    for i, layer in enumerate(critic.layers):
        norms.append(slopes(nn.MLP(critic.layers[i:]), h).mean())
        h = dgm.relu(layer(h))
    return np.array(norms)


sizes, few, fast = [2, *[32] * 12, 1], run.pick(quick=100, default=300), optim.adam(5e-3)
DEEP = {"clipped at 0.01": in_box(fast, 0.01), "clipped at 0.5": in_box(fast, 0.5), "penalised": (PENALISED, fast)}
norms = {name: by_depth(fit(*way, sizes, name, ("Swiss roll",), few, 128)) for name, way in DEEP.items()}
lesson.curves(panels["g"], range(1, 14), norms, yscale="log", xlabel="layer", title="(g) Gradient norm, 13 layers")
weights = {way: np.concatenate([np.abs(dgm.to_numpy(w.weight)).ravel() for w in f.layers]) for way, f in critics.items()}
piles = {way: each / each.max() for way, each in weights.items()}
for way, each in piles.items():
    panels["h"].hist(each, 40, range=(0.0, 1.0), density=True, alpha=0.7, label=way)
panels["h"].set(title="(h) abs(weight) over the largest", yscale="log")
panels["h"].legend(loc="upper center")
run.picture("g", "h")

# %%
# The claims
# ----------

off = {way: np.abs(each.mean(axis=1) - 1.0) for way, each in on_lines.items()}
varies = {way: (each.std(axis=1) / each.mean(axis=1)).mean() for way, each in on_lines.items()}
grows = {name: np.log10(each[0] / each[-1]) for name, each in norms.items()}
run.claim("penalised, the mean slope between data and fakes is 1: largest gap", off["penalised"].max(), "<=", 0.1)
run.claim("clipped, it is something else: least gap", off["clipped"].min(), ">=", 0.3)
run.claim("penalised slopes vary less: deviation over mean, of clipped", varies["penalised"] / varies["clipped"], "<=", 0.6)
run.claim("clipped weights reach c, and keep it: largest over c", weights["clipped"].max() / c, "within", (0.999, 1.0001))
run.claim("clipped weights pile up at the edge: share within 5%", (piles["clipped"] > 0.95).mean(), ">=", 0.5)
run.claim("penalised ones do not: share within 5% of the largest", (piles["penalised"] > 0.95).mean(), "<=", 0.05)
run.claim("13 layers, clipped at 0.01: the first's gradient over the last's, log10", grows["clipped at 0.01"], "<=", -5.0)
run.claim("13 layers, clipped at 0.5: log10", grows["clipped at 0.5"], ">=", 3.0)
run.claim("13 layers, penalised: abs(log10)", abs(grows["penalised"]), "<=", 1.0)
if run.mode != "quick":
    more = (shares["penalised"] > shares["clipped"]).mean()
    run.claim("of W, by estimate / K, the penalised critic sees more than the clipped: share of pairs", more, ">=", 0.6)

if run.live:

    def films(every: int):
        step = train.alternate(critic=(PENALISED, optim.adam(5e-3), 1))
        state = step.init({"critic": nn.stack([nn.MLP.init(rng, [2, 64, 64, 64, 1])]), "G": Noisy(("8 Gaussians",))}, rng)
        for at in range(0, STEPS, every):
            state = train.run(step, state, [draw(rng, 256, ("8 Gaussians",)) for _ in range(every)])
            height = dgm.softplus(state.models["critic"](points[None, ...]))
            yield f"a penalised critic, {at + every} steps", [[dgm.to_numpy(height).reshape(60, 60)]]

    run.film(*lesson.screen(), films(run.pick(quick=100, default=25)))

# %%
# What to try next
# ----------------
# * ``--set clip=0.01``, ``--set clip=0.5``: how steep are the clipped critics now? Which c would make the slope 1?
# * ``--set penalty=0.1``: slopes are steeper than 1. ``adversarial/gan_vs_wgan`` says by how much.
# * Clip before the update instead of after it. Which claim notices?

run.finish({"W": W, "shares": shares, "norms": norms, "slopes": {way: each.mean(axis=1) for way, each in on_lines.items()}})
