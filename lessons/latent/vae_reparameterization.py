# %%
r"""The reparameterisation trick, and a variational autoencoder that learns digits with it

*Lecture L2, "Reparameterization trick" and "Learning the parameters"; L4, "Computing Gradients" and "Variational Bound".
Sources: Kingma and Welling, "Auto-Encoding Variational Bayes" (2014), Figure 4; Burda, Grosse and Salakhutdinov,
"Importance Weighted Autoencoders" (2016), Table 1, for ``--full``.*

The encoder's parameters sit inside the distribution that the expectation is taken over, so the gradient cannot simply be moved
inside. Writing the sample as :math:`z = \mu + \sigma \epsilon` moves the parameters out of the distribution. Two things are
shown: what this buys (a, b), and what can be learned with it (c to f). With two latent dimensions every integral can also be
done exactly, so estimates stand beside the truth.
"""

from functools import partial

import numpy as np

import pydgm as dgm
from pydgm import estimators, lesson, nn, optim, train, trees
from pydgm.divergences import normal_plane
from pydgm.models.latent import VAE, vae

SOURCE = {"lecture": "L2, Reparameterization trick; L4", "figure": "the two graphs; Kingma and Welling 2014, Figure 4"}
run = lesson.start("latent/vae_reparameterization", __doc__, **SOURCE)
rng, digits, panels = run.rng, run.load("digits"), run.panels("abc;def")

# %%
# The two graphs
# --------------
# Circles are drawn at random, squares are computed. Beside each black arrow into a square an orange one leads back: there a
# derivative flows. None leads back out of a circle. On the left z is drawn from q, and the way to the encoder is barred. On the
# right the draw is outside.

lesson.graph(panels["a"], {"x": (0, 0), "μ,σ": (0, 1), "~z": (0, 2), "r(z)": (0, 3)}, ["x μ,σ", "μ,σ ~z", "~z r(z)"])
computed = {"x": (2, 0), "μ,σ": (2, 1), "z": (2, 2), "r(z)": (2, 3), "~ε": (3.2, 1)}
lesson.graph(panels["a"], computed, ["x μ,σ", "μ,σ z", "~ε z", "z r(z)"], "(a) z is drawn; z is computed")
run.picture("a")

# %%
# The model
# ---------
# .. math:: \log p(x) = \underbrace{E_{q(z|x)}[\log p(x|z)] - KL(q(z|x) \,\|\, p(z))}_{ELBO(x)} + KL(q(z|x) \,\|\, p(z|x)),
#           \qquad q(z|x) = N(\mu(x), \sigma(x)^2)
#
# One step: draw a batch, one :math:`\epsilon` for each image, climb the bound.


def loss(model, grey, rng):
    # formula: elbo, decoder-gradient, encoder, decoder, jensen
    return vae.loss(model, rng.bernoulli(grey), rng)  # each pixel white with the probability that its grey value gives


often = run.pick(quick=2, default=6 if len(digits.train) > 20_000 else 30)  # fewer passes over many digits
batches = digits.train.batches(rng, 128, passes=often + often // 2)[: run.pick(quick=500, default=None)]
step = train.minimise(loss, optim.adam(optim.linear(3e-3, 0.0, len(batches))))
model = run.train(step, step.init(VAE.init(rng, hidden=(256, 128), latent=2), rng), batches, "training").model

lesson.images(panels["c"], vae.manifold(model, 15), 15, "(c) The latent manifold", xlabel="$z_1$; upwards, $z_2$")
some = digits.train.x[:30]
again = dgm.to_numpy(model.reconstruct(dgm.asarray(some)))
rows = np.stack([some, again]).reshape(2, 5, 6, 784).swapaxes(0, 1).reshape(-1, 784)
lesson.images(panels["d"], rows, 10, "(d) Reconstructions below", xlabel=digits.source.split(",")[0])
run.picture("c", "d")

# %%
# Two estimators of one gradient
# ------------------------------
# .. math:: \nabla_\phi E_q[r(z)] = E_\epsilon[\nabla_\phi r(\mu + \sigma \epsilon)] = E_q[(r(z) - b)\, \nabla_\phi \log q(z)]
#
# Here r(z) = log p(x | z) for one test image. The first needs the derivative of r, the second only its value: it knows that a
# sample was good, not in which direction it would have been better. The best constant baseline b helps it; "twice b" is
# one that is too large. All have the same draws but "left out", which takes four: each has the mean reward of the other three
# for its baseline. The truth is an integral over a grid, checked by differences of E_q[r], which know of neither formula.

image, exactly = rng.bernoulli(dgm.asarray(digits.test.x[:1])), nn.double(model)
q, times = trees.map(lambda w: w[0, :], model.posterior(image)), run.pick(quick=4000, default=10_000)


def reward(z, model=model):
    return model.decode(z).log_prob(image)


# formula: expectation
exact = dgm.to_numpy(estimators.quadrature(reward, q.base, *normal_plane(200)))
differences = estimators.by_differences(lambda z: reward(z, exactly), q.base, *normal_plane(60))
b = estimators.best_baseline(reward, q, dgm.random.Generator(run.seed), times)
baselines = {"score function, best b": b, "score function": 0.0, "twice b": 2.0 * b}
ways = {name: partial(estimators.score_function, reward, baseline=at) for name, at in baselines.items()}
# formula: reparameterise, reparameterised-gradient
ways = {"reparameterised": partial(estimators.reparameterized, reward), **ways}
ways |= {"left out": partial(estimators.leave_one_out, reward, k=4)}
estimates = {name: dgm.to_numpy(estimators.draws(way, q, dgm.random.Generator(run.seed), times)) for name, way in ways.items()}
sizes = [n for n in (1, 3, 10, 30, 100, 300, 1000) if times // n >= 10]
errors = {name: estimators.relative_errors(each, exact, sizes) for name, each in list(estimates.items())[:3]}
lesson.curves(panels["b"], sizes, errors, ("C0o-", "C1s--", "C4^:"), xscale="log", yscale="log", ylabel="relative error")
panels["b"].set(ylim=(0.03, 5e4), xlabel="samples in the mean", title="(b) Same mean, other variances")
run.picture("b")

# %%
# The bound, and the truth
# ------------------------
# .. math:: \log p(x) = \log \int p(z) p(x|z) dz \ge E \log \frac{1}{k} \sum_i \frac{p(x, z_i)}{q(z_i|x)} \ge ELBO(x)
#
# What the bound lacks is KL(q || p(z | x)), to the last nat. Importance sampling is a lower bound too, on average: 2500 samples
# make it tight where q covers the posterior. Where the encoder misses a mode no sample ever lands there, and the estimate
# falls short by nats: (f) has the exact posterior of the worst image, and q beside it.

held_out = rng.bernoulli(dgm.asarray(digits.test.x[: run.pick(quick=40, default=200)]))
# formula: marginal-likelihood, gap, kl
truth, gap, mode = map(dgm.to_numpy, vae.quadrature(model, held_out, cells=run.pick(quick=400, default=680)))
# formula: importance-identity, importance-weighted, elbo-entropy
weighted = dgm.to_numpy(vae.log_prob_importance(model, held_out, run.pick(quick=1000, default=2500), rng))
# formula: elbo
bound = dgm.to_numpy(vae.elbo_quadrature(model, held_out, *normal_plane(40)))
loc, scale = map(dgm.to_numpy, trees.leaves(model.posterior(held_out)))
away = np.abs((mode - loc) / scale).max(axis=1)  # of the posterior's mode from q, in q's standard deviations
order = np.argsort(truth - weighted)[::-1]
below = {"ELBO": (truth - bound)[order], "importance sampling": (truth - weighted)[order]}
lesson.curves(panels["e"], range(len(order)), below, ("C1o", "C0o"), yscale="symlog", ylabel="nats below log p(x)")
panels["e"].set(xlabel="test images", title="(e) Bounds, and the truth: 0")
worst, middle = order[0], 0.5 * (mode + loc)[order[0]]
reach = 0.8 * np.abs(mode - loc)[worst].max() + 0.1


def posterior(z):
    return model.decode(z).log_prob(held_out[worst, ...]) + model.prior.log_prob(z) - truth[worst]


panels["f"].imshow(lesson.density(posterior, reach, centre=middle), extent=(-reach, reach, -reach, reach))
panels["f"].errorbar(*(loc[worst] - middle), *(2.0 * scale[worst][::-1]), fmt="C1o", ms=12, lw=4, label="q, two deviations")
panels["f"].set(xticks=[], yticks=[], title="(f) p(z | x), black; q, orange")
run.picture("e", "f")

# %%
# The claims
# ----------
# Has the training found the best widths? Then the derivative of the bound, taken exactly, in the encoder's bias of log sigma is
# 0, on average over images: counting KL c times would leave about c - 1 of a nat.

binary = rng.bernoulli(dgm.asarray(digits.train.x[:500]))
slope = dgm.grad(lambda m: dgm.mean(vae.elbo_quadrature(m, binary, *normal_plane(8))))(model).encoder.layers[-1].bias[2:]
variance = {name: each.var(axis=0).sum() for name, each in estimates.items()}
square, line, _ = np.polyfit(list(baselines.values()), [variance[name] for name in baselines], 2)  # the variance over b
distance = max(np.abs((x.mean(axis=0) - exact) / (x.std(axis=0) / len(x) ** 0.5)).max() for x in estimates.values())
lost = ((again - some) ** 2).mean() / ((some - some.mean(axis=0)) ** 2).mean()

run.claim("gradient as differences: relative gap", np.abs(differences - exact).max() / np.abs(exact).max(), "<=", 0.01)
run.claim("all estimators are unbiased: largest distance from it in standard errors", distance, "<=", 5.0)
run.claim(
    "variance, the trick's over the score function's", variance["reparameterised"] / variance["score function"], "<=", 0.01
)
run.claim("with the best constant", variance["reparameterised"] / variance["score function, best b"], "<=", 0.5)
run.claim("which is where the parabola of variances is lowest: gap, nats", abs(b + 0.5 * line / square), "<=", 0.5)
run.claim("log p(x) = ELBO + KL(q || p(z | x)), each image: gap, nats", np.abs(truth - bound - gap).max(), "<=", 0.05)
run.claim("the encoder's widths are the best: slope of the bound, nats", np.abs(dgm.to_numpy(slope)).max(), "<=", 0.3)
run.claim("reconstructions: squared error over that of the mean digit", lost, "<=", 0.9)
run.claim("importance sampling above the ELBO on average, nats", (weighted - bound).mean(), ">=", 0.1)
run.claim("importance sampling is the truth for the median image: gap", np.median(np.abs(weighted - truth)), "<=", 0.2)
if run.mode != "quick":
    near = np.median(away) / np.median(away[order[:10]])
    run.claim("but not for all: largest shortfall, log10 of nats", np.log10((truth - weighted).max()), ">=", np.log10(2.0))
    run.claim("where q misses a mode: deviations to it, median of all images over that of the ten worst", near, "<=", 1 / 3)

# %%
# ``--full``: the published setting
# ---------------------------------
# Two layers of 200 tanh units, 50 latent dimensions, dynamic binarisation, Adam with eps 1e-4, batches of 20, 3^i passes at
# rate 0.001 * 10^(-i/7). The paper goes up to i = 7, 3280 passes; here up to i = 5, 364 passes. The number beside it, 86.76
# nats, is from memory (IWAE, Table 1, k = 1); a published replication (xqding's) has 87.78.

if run.mode == "full":
    rate, passes = vae.burda_schedule(len(digits.train) // 20, stages=6)
    step, big = train.minimise(loss, optim.adam(rate, eps=1e-4)), VAE.init(rng, 784, (200, 200), 50, dgm.tanh)
    big = run.train(step, step.init(big, rng), digits.train.batches(rng, 20, passes), "two layers of 200, 50 latent").model
    chunks = run.progress(list(dgm.backend.chunks(rng.bernoulli(dgm.asarray(digits.test.x)), 100)), "log p of the test set")
    nll = -np.mean([dgm.to_numpy(vae.log_prob_importance(big, x, 5000, rng, chunk=100)) for x in chunks])
    run.claim("test negative log-likelihood, nats (published 86.76, from memory)", nll, "<=", 90.0)

# %%
# What to try next
# ----------------
# * Take z = stop_gradient(mean + scale * eps) in ``vae.terms``. Which network stops learning? Which claim says so first?
# * Give the networks ``hidden`` layers of 32 units. Does importance sampling get better or worse?
# * Count KL four times in ``vae.terms`` (L2 calls that a beta-VAE). What happens to (c), and to which claims?

run.finish({"sizes": sizes, "errors": errors, "variance": variance, "elbo": bound, "importance": weighted, "log_prob": truth})
