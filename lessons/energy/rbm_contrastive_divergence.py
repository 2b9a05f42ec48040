# %%
r"""Restricted Boltzmann machines: features of handwritten characters, and what contrastive divergence leaves out

*Lecture L4, "Restricted Boltzmann Machines", "Maximum Likelihood Learning" and "Learning Features". Sources: Hinton, "Training
products of experts by minimizing contrastive divergence" (2002); Tieleman, "Training restricted Boltzmann machines using
approximations to the likelihood gradient" (2008); Salakhutdinov and Murray, "On the quantitative analysis of deep belief
networks" (2008), for ``--full``. (The slide of P(v | h) has a stray :math:`v_i` inside the sigmoid.)*

Characters of all alphabets are made of the same few strokes. A machine with hidden units finds them by itself: a unit's weights
to the pixels are a picture of what it stands for. Learning lowers the energy of the data (easy) and raises that of everything
else (hard: a sum over all states). For images of 4 x 4 pixels the sum can be done, so one sees what chains that are cut short,
contrastive divergence, leave out.
"""

import math
import textwrap

import matplotlib.pyplot as plt
import numpy as np

import pydgm as dgm
from pydgm import data, lesson, mcmc, optim, train
from pydgm.models.energy import RBM, contrastive, rbm

run = lesson.start(
    "energy/rbm_contrastive_divergence",
    __doc__,
    lecture="L4, Restricted Boltzmann Machines",
    figure="Learning Features: observed characters, learned W, a new image",
)
rng = run.rng
characters = run.load("characters", per_character=run.pick(quick=2, default=10))
inked, new = (data.Rows((rows.x > 0.3).astype("float32")) for rows in (characters.train, characters.test))
seen, new = dgm.asarray(inked.x), dgm.asarray(new.x)

# %%
# (a, b) Learning features
# ------------------------
# .. math:: P(v) = \frac{1}{Z} \sum_h e^{v'Wh + b'v + a'h}, \qquad
#           \frac{\partial \log P(v)}{\partial W_{ij}} = E_{P(h|v)}[v_i h_j] - E_{P}[v_i h_j]
#
# The second expectation is taken from chains that go on from update to update (PCD). Hidden units begin switched off, a = -2.


batches = inked.batches(rng, 20, passes=run.pick(quick=12, default=15))
learning = contrastive.step(contrastive.pcd(1, chains=20), optim.sgd(optim.linear(0.3, 0.0, len(batches)), weight_decay=2e-4))
model = RBM.init(rng, 784, run.pick(quick=100, default=400), seen)
model = RBM(model.W, model.b, model.a - 2.0)
model = run.train(learning, learning.init(model, rng), batches, "characters").model
features, activity = dgm.to_numpy(model.W).T, dgm.to_numpy(model.hidden(new))
used = np.argsort(-activity.std(axis=0))[:100]  # the units whose activity varies most from character to character


def spread(weights):
    """Root mean square distance of each feature's squared weights from their centre, in pixels."""
    place = np.indices((28, 28)).reshape(2, 1, 784)
    share = weights**2 / (weights**2).sum(axis=1, keepdims=True)
    centre = (place * share).sum(axis=-1, keepdims=True)
    return np.sqrt((((place - centre) ** 2).sum(axis=0) * share).sum(axis=1))


# %%
# (c) New characters out of the chain
# -----------------------------------
# From noise, v -> h -> v -> ... : block Gibbs sampling updates a whole layer at once, because given the other layer its units
# are independent. The strokes are there; but the chains draw a quarter to a half more ink than people do.

dots = rng.bernoulli(dgm.asarray(np.full((100, 784), 0.1, "float32")))
drawn = model.gibbs(rng, dots, run.pick(quick=200, default=1000))


def joined(images):
    """The chance that a pixel of ink has ink to its right: strokes have, dots have not."""
    ink = dgm.to_numpy(images).reshape(-1, 28, 28)
    return (ink[:, :, 1:] * ink[:, :, :-1]).sum() / ink[:, :, :-1].sum()


# %%
# (d) A new character, written in features
# ----------------------------------------
# .. math:: P(v = 1 | h) = \sigma(a_1 f_1 + a_2 f_2 + \dots + b), \qquad a_j = P(h_j = 1 | v), \quad f_j = (W_{1j}, W_{2j}, ...)
#
# Its alphabet is not among those of the training set.

ink = dgm.to_numpy(new).sum(axis=1)
shown = int(np.argsort(-ink)[len(ink) // 3])
terms = np.argsort(-activity[shown] * np.linalg.norm(features, axis=1))
rewritten = dgm.to_numpy(model.visible(dgm.asarray(activity)))
strongest = np.where(np.isin(np.arange(len(terms)), terms[:30]), activity[shown], 0.0).astype("float32")
wrong = (np.abs(rewritten - dgm.to_numpy(new)) > 0.5).sum() / ink.sum()  # with all pixels blank it would be 1

# %%
# (e, f) What a short chain leaves out
# ------------------------------------
# Bars and stripes: 30 images of 4 x 4 pixels, 12 hidden units. Z is a sum over 2^12 states, so log P(v) is exact, and CD-k can
# go to its limit: k = infinity is the exact gradient. The rate falls to 0, for the sake of PCD, whose chains have to keep up
# with the model; all 30 images are in every batch, since with random batches chance may put PCD before the exact gradient.
# In (f) the rate does not fall, and CD-1 goes on for longer.

patterns = dgm.asarray(data.bars_and_stripes(4))
ninety = dgm.concat([patterns] * 3)
log_likelihood = dgm.compile(lambda machine: dgm.mean(machine.log_prob(patterns, rbm.log_partition(machine))))
kinds = {"CD-1": contrastive.cd(1), "CD-10": contrastive.cd(10), "PCD": contrastive.pcd(1, chains=100)}
kinds["exact gradient"] = contrastive.exact(rbm.log_partition)
if run.mode == "quick":
    del kinds["CD-10"]  # no claim needs it
seeds, parts, part = run.pick(quick=2, default=4), 10, run.pick(quick=300, default=450)


def learn(kind: str, rate, parts: int):
    """For each seed a machine, and after each part of the training its exact log-likelihood and its reconstruction error."""
    step, machines = contrastive.step(kinds[kind], optim.sgd(rate)), []
    for seed in run.progress(seeds, kind):
        noise = dgm.random.Generator([run.seed, seed])
        state, curve = step.init(RBM.init(noise, 16, 12, patterns), noise), []
        for _ in range(parts):
            state = train.run(step, state, [ninety] * part)
            error = rbm.reconstruction_error(state.model, noise, dgm.concat([patterns] * 50))
            curve.append((float(log_likelihood(state.model)), float(error)))
        machines.append((state.model, np.array(curve)))
    return machines


trained = {kind: learn(kind, optim.linear(0.2, 0.0, parts * part), parts) for kind in kinds}
final = {kind: np.array([curve[-1, 0] for _, curve in machines]) for kind, machines in trained.items()}
late = np.array([curve for _, curve in learn("CD-1", 0.2, 20)])
best = late[np.arange(seeds), late[:, :, 0].argmax(axis=1)]  # the moment of the highest likelihood, for each seed

# %%
# Is all this exact?
# ------------------
# The gradient against finite differences, along random directions d; importance sampling and long chains against enumeration.

small, *directions = (RBM(*[rng.normal(shape, "float64") for shape in ((6, 4), (6,), (4,))]) for _ in range(6))
few = rng.bernoulli(dgm.asarray(np.full((10, 6), 0.5)))


def gap(d: RBM) -> float:
    """<gradient, d> and the slope of the negative log-likelihood along d."""

    def nll(t: float) -> float:
        moved = dgm.trees.map(lambda w, x: w + t * x, small, d)
        return -float(dgm.mean(moved.log_prob(few, rbm.log_partition(moved))))

    averages = zip(rbm.moments(small, few), rbm.model_moments(small), (d.W, d.b, d.a), strict=True)
    slope = sum(float(dgm.sum((of_model - of_data) * x)) for of_data, of_model, x in averages)
    return abs(slope - dgm.testing.numerical_derivative(nll))


machine = trained["exact gradient"][0][0]
log_z, estimate = float(rbm.log_partition(machine)), mcmc.ais(machine, rng, chains=2000, temperatures=1000)
walkers = rng.bernoulli(dgm.asarray(np.full((2000, 16), 0.5, "float32")))
walked = rbm.moments(machine, machine.gibbs(rng, walkers, 1000))
mean, truth = dgm.to_numpy(walked.v), dgm.to_numpy(rbm.model_moments(machine).v)
drift = np.abs((mean - truth) / np.sqrt(truth * (1.0 - truth) / 2000)).max()

# %%
# The figure
# ----------

figure, panels = plt.subplot_mosaic("aabbcc;dddddd;eeefff", figsize=(19, 17), height_ratios=[5, 2, 5])
scaled = features[used] / np.abs(features[used]).max(axis=1, keepdims=True)
fantasies = model.visible(rng.bernoulli(model.hidden(drawn)))
some = inked.x[:: len(inked) // 100][:100]
for name, images, title in (
    ("a", some, "Observed characters"),
    ("b", scaled, "Learned W"),
    ("c", fantasies, "Out of the chain"),
):
    panels[name].imshow(lesson.tiles(images, 10), cmap="RdBu_r" if name == "b" else "gray_r")
    panels[name].set(title=f"({name}) {title}", xticks=[], yticks=[])
panels["a"].set_xlabel(textwrap.fill(characters.source, 45))

row = [new[shown, ...], r"$=\sigma($", f"{activity[shown, terms[0]]:.2f}", features[terms[0]]]
row += [x for j in terms[1:5] for x in (f"+ {activity[shown, j]:.2f}", features[j])]
row += [r"$+ \dots)$  30:", model.visible(dgm.asarray(strongest)), "all:", rewritten[shown]]
lesson.equation(panels["d"], row)
panels["d"].set_title("(d) A character of an alphabet never seen, written in features; with 30 of them, and with all")

for kind, style in zip(kinds, ("s--", "^:", "D-.", "o-"), strict=False):
    curves = np.array([curve[:, 0] for _, curve in trained[kind]])
    at = part * np.arange(1, parts + 1)
    panels["e"].plot(at, curves.mean(axis=0), style, ms=8, label=kind)
    panels["e"].fill_between(at, curves.min(axis=0), curves.max(axis=0), alpha=0.2)
panels["e"].axhline(-math.log(30), color="black", lw=1.5, label="the 30 patterns, log 1/30")
panels["e"].set(
    xlabel="updates", ylabel="exact log P(v), nats", ylim=(-7, -3), title=f"(e) Bars and stripes, {seeds} seeds each"
)
panels["f"].semilogx(late[:, :, 1].T, late[:, :, 0].T, "o-", ms=5, lw=1.5, color="C0", alpha=0.6)
panels["f"].plot(late[:, -1, 1], late[:, -1, 0], "X", ms=16, color="C1", label=f"after {part * 20} updates")
panels["f"].set(xlabel="reconstruction error, pixels", ylim=(-9, -4.5), title="(f) CD-1: better pixels, worse likelihood")
for name in "ef":
    panels[name].legend()

# %%
# The claims
# ----------

run.claim("gradient against finite differences: largest gap", max(map(gap, directions)), "<=", 1e-6)
run.claim("importance sampling against the enumerated log Z, nats", abs(estimate.nats - log_z), "<=", 0.1)
run.claim("log Z lies in its interval: nats outside", max(estimate.low - log_z, log_z - estimate.high), "<=", 0.0)
run.claim("long chains find E[v_i]: largest gap in standard errors", drift, "<=", 4.5)
run.claim("PCD over CD-1 on every seed, nats of likelihood", (final["PCD"] - final["CD-1"]).min(), ">=", 0.3)
run.claim("CD-1 goes on and loses likelihood, least over seeds, nats", (best - late[:, -1])[:, 0].min(), ">=", 0.1)
run.claim("while its reconstruction error falls: share left, most over seeds", (late[:, -1] / best)[:, 1].max(), "<=", 0.9)
narrow = np.median(spread(features[used])) / np.median(spread(dgm.to_numpy(rng.normal((100, 784)))))
run.claim("features are localised: spread over that of random weights", narrow, "<=", 0.8)
strokes, more = joined(drawn) / joined(seen), float(dgm.mean(drawn) / dgm.mean(seen))
print(f"chains draw {more:.2f} times as much ink as people; ink has ink to its right: people {joined(seen):.2f}, ", end="")
print(f"dots {joined(dots):.2f}, chains {joined(drawn):.2f}")
if run.mode != "quick":
    ahead = (final["exact gradient"] - final["PCD"]).min()  # after fewer updates chance may put either first
    run.claim("exact gradient over PCD on every seed, nats of likelihood", ahead, ">=", 0.0)
    run.claim("unseen alphabets written in features: wrong pixels over ink", wrong, "<=", 0.4)
    run.claim("chains from noise draw strokes: ink beside ink, over people's", strokes, "within", (0.75, 1.25))
numbers = {"final": final, "late": late, "log_z": log_z, "ais": estimate[:3]}

# %%
# ``--full``: the published setting
# ---------------------------------
# 500 hidden units on binarised MNIST. Salakhutdinov and Murray report -86.34 nats a test image for CD-25, and in the same table
# -125.5 for CD-1 and -105.5 for CD-3 (from memory). Here PCD-1 with 200 chains and a rate that falls to 0; of five settings
# tried, the best by the validation images and by the test images.

if run.mode == "full":
    mnist = run.load("binarized_mnist")
    big = RBM.init(rng, 784, 500, dgm.asarray(mnist.train.x))
    base, batches = big.b, mnist.train.batches(rng, 100, passes=400)
    falling = optim.sgd(optim.linear(0.03, 0.0, len(batches)), weight_decay=1e-4)
    learning = contrastive.step(contrastive.pcd(1, chains=200), falling)
    big = run.train(learning, learning.init(big, rng), batches, "binarised MNIST").model
    z = mcmc.ais(big, rng, chains=100, temperatures=10_000, base=base)
    free = float(dgm.mean(big.free_energy(dgm.asarray(mnist.test.x))))
    print(f"log P of a test image: {-free - z.nats:.2f} nats, between {-free - z.high:.2f} and {-free - z.low:.2f}")
    run.claim("test log-likelihood on binarised MNIST, nats (published -86.34)", -free - z.nats, ">=", -86.5)
    numbers["full"] = [-free - x for x in z[:3]]

# %%
# What to try next
# ----------------
# * In ``RBM.gibbs``, pass on probabilities where samples belong. In ``RBM.hidden``, forget the bias. In
#   ``contrastive_loss``, turn the sign of the second term. Which claims fail?
# * Let the rate of PCD stay at 0.2 in (e). Its chains no longer keep up: watch the likelihood.
# * ``penalty=rbm.sparsity`` in (b), with a weight of your choice: do more of the features become strokes?

run.finish(figure, numbers)
