# %%
r"""Two views of one digit: what they share, what is each one's own, and what to do when one is missing

*Lecture L2, "Multimodal factorised model" and "Self-supervised multimodal VAE". Sources: Tsai, Liang, Zadeh, Morency and
Salakhutdinov, "Learning Factorized Multimodal Representations" (2019); Wu and Goodman, "Multimodal Generative Models for
Scalable Weakly-Supervised Learning" (2018); Palumbo, Daunhawer and Vogt, "MMVAE+" (2023).*

One digit is written by hand, and set in type beside it. What the two have in common is which digit it is; how the hand slants,
and where the type stands, is nobody else's business. Nobody tells the model so, and no label is shown to it: it is to find out
by having to draw one view from the other. (Pixels are grey: what is said of them, in nats, is a little below the mean log p of
black and white pictures that are drawn from them.)
"""

import numpy as np

import pydgm as dgm
from pydgm import data, lesson, metrics, optim, train
from pydgm.distributions import Normal
from pydgm.divergences import kl_quadrature
from pydgm.models.latent import PPCA, Multimodal, multimodal, product_of_experts

SOURCE = {"lecture": "L2, multimodal factorised model", "figure": "one factor of two digits exchanged"}
run = lesson.start("latent/multimodal", __doc__, **SOURCE)
rng, panels, digits = run.rng, run.panels("abc;def"), run.load("digits")

pairs = data.by_hand_and_in_type(digits.train[: run.pick(quick=10_000, default=30_000)], run.seed)
test = data.by_hand_and_in_type(digits.test[:1000], run.seed + 1)
x, labels = dgm.asarray(test.x), test.labels
lesson.images(panels["a"], np.concatenate([test.x[:6, 0], test.x[:6, 1]]), 2, "(a) By hand, and in type", side=14)
run.picture("a")

# %%
# A product of experts
# --------------------
# .. math:: p(z | x_1, x_2) \propto p(z) \, p(x_1 | z) \, p(x_2 | z), \qquad
#           q(z | x_1, x_2) \propto p(z) \, N(z; \mu_1, \sigma_1^2) \, N(z; \mu_2, \sigma_2^2)
#
# Whoever has seen one view is an expert; where a view is missing its expert is left out. Here all is linear and Gaussian,
# x_i = w_i z + noise, and the posterior is known. The product is exact. Multiply posteriors, and the prior counts twice; take
# the mean of the densities, and agreement of the two does not make them surer.

w, noise, seen, line = [1.0, -0.8], 0.9, [2.0, 0.6], np.linspace(-12.0, 12.0, 8001)
twin = PPCA(*map(dgm.asarray, (np.zeros(2), np.array(w)[:, None], np.array(noise))))
z, both = dgm.asarray(line), dgm.asarray(np.array(seen))
exact, log_joint = twin.posterior(both).log_prob(z[:, None]), twin.log_joint(both, z[:, None])
experts = [Normal(seen[i] / w[i], noise / abs(w[i])) for i in (0, 1)]
alone = [product_of_experts([expert]) for expert in experts]
log_q = {
    "product with the prior": product_of_experts(experts).log_prob(z),
    "product, no prior": product_of_experts(experts, None).log_prob(z),
    "prior twice": product_of_experts(alone, None).log_prob(z),
    "first view alone": alone[0].log_prob(z),
    "mixture": dgm.logsumexp(dgm.stack([q.log_prob(z) for q in alone]), axis=0) - float(np.log(2.0)),
}
gaps = {name: float(kl_quadrature(each, exact, z)) for name, each in log_q.items()}
bounds = {name: -float(kl_quadrature(each, log_joint, z)) for name, each in log_q.items()}
named = {f"{name}: {gaps[name]:.2f}": np.exp(dgm.to_numpy(each)) for name, each in log_q.items()}
lesson.curves(panels["b"], line, named, ("C0-", "C1-", "C2-", "C3-", "C4-"), None)
panels["b"].plot(line[::200], np.exp(dgm.to_numpy(exact))[::200], "ko", ms=9)
panels["b"].set(xlim=(-2.5, 3.5), ylim=(0.0, 1.6), xlabel="z", title="(b) p(z | x), dots; KL(q || p(z | x))")
panels["b"].legend()
run.picture("b")

# %%
# Factors that are factors
# ------------------------
# .. math:: z_s, z_1, z_2 \sim N(0, I), \qquad x_i \sim p(x_i \,|\, z_s, z_i), \qquad
#           \log p(x_1, x_2) \ge E_q \Big[\sum_i \log p(x_i | z_s, z_i)\Big] - KL(q \,\|\, p)
#
# The arrows of the graph do not make z_s carry the digit: private numbers that know everything give as good a bound. So one
# has to be unable to cheat. Type has one private number, which is just enough for where it stands; the hand has eight. z_s is
# guessed from one view alone, and the other is drawn from it, for a part of the loss with private numbers from the prior,
# blindly. That part falls, so that decoders do not unlearn to listen to private numbers. Beside it: the same without that
# part, and a model where all is shared.

steps, size = run.pick(quick=1800, default=5000), run.pick(quick=64, default=100)


def trained(private, blind, what):
    batches = pairs.batches(rng, size, passes=-(-steps * size // len(pairs)) + 1)[:steps]
    schedules = {"beta": optim.linear(0.1, 1.0, steps // 3), "blind": blind}
    step = train.minimise(multimodal.loss, optim.adam(optim.cosine(2e-3, 0.0, steps)), **schedules)
    return run.train(step, step.init(Multimodal.init(rng, 196, (128,), 8, private), rng), batches, what).model


models = {
    "factorised": trained((8, 1), optim.linear(0.8, 0.1, steps * 2 // 3), "factorised"),
    "not blind": trained((8, 1), 0.0, "not blind"),
}
if run.mode != "quick":
    models["all is shared"] = trained((0, 0), 0.0, "all is shared")

# %%
# Swaps
# -----
# Each test digit gets the z_s of another one, or its z_i. Which digit it is now, is judged by the nearest training picture.
# Style is measured: the slant of the hand, and where the type stands.

other = np.roll(np.arange(len(test)), 1)
STYLES = (lambda images: metrics.slant(images, 14), lambda images: metrics.centre_of_mass(images, 14)[:, 0])


def right(views, wanted):
    """The share of pictures that are the digit they should be, for each view."""
    return [np.mean(pairs.labels[metrics.nearest(views[i], pairs.x[:8000, i])] == wanted) for i in (0, 1)]


def alike(views, rows):
    """The correlation of the style of pictures with that of test pictures, for each view."""
    return [np.corrcoef(STYLES[i](views[i]), STYLES[i](test.x[rows, i]))[0, 1] for i in (0, 1)]


(taken, given), (cheating, _) = (multimodal.swapped(model, x, dgm.asarray(other)) for model in [*models.values()][:2])
followed, stayed, cheated = right(taken, labels[other]), right(given, labels), right(cheating, labels[other])
rows = [test.x[1:7, 0], test.x[0:6, 0], *(dgm.to_numpy(each[0])[1:7] for each in (taken, given))]
lesson.images(panels["c"], np.concatenate(rows), 4, "(c) A; B; A with B's $z_s$; with B's $z_1$", side=14)
place = {"xticks": [0, 1], "xticklabels": ["by hand", "in type"], "xlim": (-0.5, 1.5), "ylim": (0.0, 1.05)}
shares = {"factorised": followed, "not blind": cheated}
lesson.curves(panels["d"], [0, 1], shares, ("C0o", "C1s"), "lower right", title="(d) The digit follows $z_s$, share", **place)
run.picture("c", "d")

# %%
# A view that is missing
# ----------------------
# z_s is guessed from the view that is there, z_i drawn from the prior: the digit is right, and its style any style. Where all
# is shared the style has to be guessed, too, and the picture is a mean over styles. (f): type says more surely which digit it
# is. With both views the product of experts is in (f) no better than its surer one: each was trained alone, and never asked to
# agree.

fills = {name: [m.fill({1 - i: x[:, 1 - i, :]}, i, rng) for i in (0, 1)] for name, m in models.items()}
spread = {name: [STYLES[i](v[i]).std() / STYLES[i](test.x[:, i]).std() for i in (0, 1)] for name, v in fills.items()}
shown = [test.x[:6, 0], fills["factorised"][1][:6, :], test.x[:6, 1], fills["factorised"][0][:6, :]]
lesson.images(panels["e"], np.concatenate(list(map(dgm.to_numpy, shown))), 4, "(e) Seen, drawn; seen, drawn", side=14)


def bound(model, *sources):
    return np.mean([float(dgm.mean(multimodal.elbo(model, x, rng, sources))) for _ in range(5)])


nats = {name: [bound(model, 0), bound(model, 1), bound(model, 0, 1)] for name, model in models.items()}
sources = {"xticks": range(3), "xticklabels": ["hand", "type", "both"]}
lesson.curves(panels["f"], range(3), nats, title="(f) Bound, nats; $z_s$ guessed from", **sources)
run.picture("e", "f")

# %%
# The claims
# ----------

sums = max(abs(bounds[name] + gaps[name] - float(twin.log_prob(both[None, :])[0])) for name in gaps)
most, least = run.pick(quick=(0.7, 0.6), default=(0.9, 0.85))
first, second, product = nats["factorised"]

run.claim("linear twin: KL of the product of experts and prior, nats", gaps["product with the prior"], "<=", 1e-9)
run.claim("least KL of the four others, nats", sorted(gaps.values())[1], ">=", 0.05)
run.claim("log p = ELBO + KL, all five: gap, nats", sums, "<=", 1e-6)
run.claim("who judges: real test digits that are named rightly, least", min(right(test.x.swapaxes(0, 1), labels)), ">=", 0.9)
run.claim("z_s of another digit: it is that digit, share, least of two views", min(followed), ">=", most)
run.claim("z_i of another digit: it stays the digit", min(stayed), ">=", most)
run.claim("and has the other's style: correlation, least", min(alike(given, other)), ">=", 0.6)
run.claim("with z_s of another it has its own: correlation, least", min(alike(taken, slice(None))), ">=", 0.6)
run.claim("trained without the blind part: the digit follows z_s, less by", min(followed) - min(cheated), ">=", 0.05)
run.claim("filled in: the digit is right, least", min(right(fills["factorised"], labels)), ">=", least)
run.claim("filled in: deviation of style over the data's, least", min(spread["factorised"]), ">=", 0.5)
run.claim("bound, z_s guessed from type over from hand: nats", second - first, ">=", 1.0)
if run.mode != "quick":
    run.claim("where all is shared: deviation of style over the data's, most", max(spread["all is shared"]), "<=", 0.5)
    run.claim("but factors cost: nats of the bound, by the blind part", nats["not blind"][2] - product, ">=", 1.0)

# %%
# What to try next
# ----------------
# * Leave out the prior in ``product_of_experts``, as several programs do. Which claim speaks first?
# * Set ``blind`` to 1 to the end. What becomes of the style of what is filled in, and why?
# * Give type eight private numbers, too. What does the digit follow without the blind part, and with it?

run.finish({"gaps": gaps, "followed": followed, "cheated": cheated, "spread": spread, "bound": nats})
