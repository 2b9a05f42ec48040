# %%
r"""The reparameterisation trick, and a variational autoencoder that learns digits with it

*Lecture L2, "Reparameterization trick" and "Learning the parameters"; L4, "Computing Gradients". Sources: Kingma and Welling,
"Auto-Encoding Variational Bayes" (2014), Figures 1 and 4; Burda, Grosse and Salakhutdinov, "Importance Weighted
Autoencoders" (2016), Table 1, for ``--full``.*

The encoder's parameters sit inside the distribution that the expectation is taken over, so the gradient cannot simply be moved
inside. Writing the sample as :math:`z = \mu + \sigma \epsilon` moves the parameters out of the distribution. Two things are
shown: what this buys (a), and what can be learned with it (b, c, d). With two latent dimensions every integral can also be done
exactly, so estimates stand beside the truth.
"""

from statistics import NormalDist

import matplotlib.pyplot as plt
import numpy as np

import pydgm as dgm
from pydgm import lesson, metrics, optim, train
from pydgm.divergences import normal_plane
from pydgm.models.latent import VAE, estimators, vae

run = lesson.start(
    "latent/vae_reparameterization",
    __doc__,
    lecture="L2, Reparameterization trick; L4, Computing Gradients",
    figure="the two graphs and the latent manifold (Kingma and Welling 2014, Figure 4)",
)
digits = run.load("digits")
rng = run.rng


def binarize(x):
    """A fresh sample of black and white pixels, each white with the probability that its grey value gives."""
    return rng.bernoulli(dgm.asarray(x))


# %%
# The model
# ---------
# .. math:: \log p(x) \ge E_{q(z|x)}[\log p(x|z)] - KL(q(z|x) \,\|\, p(z)), \qquad q(z|x) = N(\mu(x), \sigma(x)^2)
#
# One step: draw a batch, one :math:`\epsilon` for each image, climb the bound.


def loss(model, grey, rng):
    return vae.loss(model, rng.bernoulli(grey), rng)


often = run.pick(quick=1, default=6 if len(digits.train) > 20_000 else 30)  # fewer passes over many digits
batches = digits.train.batches(rng, 128, passes=often + often // 2)
batches = run.pick(quick=batches[:300], default=batches)
first = run.pick(quick=150, default=2 * len(batches) // 3)
step = train.minimise(loss, optim.adam(optim.piecewise(2e-3, {first: 5e-4})))
model = VAE.init(rng, hidden=(256, 128), latent=2)
model = run.train(step, step.init(model, rng), batches, "training").model

# %%
# (a) Two estimators of one gradient
# ----------------------------------
# .. math:: \nabla_\phi E_q[r(z)] = E_\epsilon[\nabla_\phi r(\mu + \sigma \epsilon)] = E_q[(r(z) - b)\, \nabla_\phi \log q(z)]
#
# Here r(z) = log p(x | z) for one test image. The first needs the derivative of r, the second only its value: it knows
# that a sample was good, not in which direction it would have been better. The best constant baseline b helps it.

image = binarize(digits.test.x[:1])
q = model.posterior(image).base


def reward(z):
    return model.decode(z).log_prob(image)


def in_parts(estimate, noise):
    return np.concatenate([dgm.to_numpy(estimate(eps)) for eps in dgm.backend.chunks(noise, 1000)])


coarse, exact = (dgm.to_numpy(estimators.quadrature(reward, q, *normal_plane(n))) for n in (100, 200))
noise = rng.normal((run.pick(quick=4000, default=20_000), 2))
baseline = estimators.best_baseline(reward, q, rng.normal((1000, 2)))
samples = {
    "reparameterised": in_parts(lambda e: estimators.reparameterized(reward, q, e), noise),
    "score function, best baseline": in_parts(lambda e: estimators.score_function(reward, q, e, baseline), noise),
    "score function": in_parts(lambda e: estimators.score_function(reward, q, e), noise),
}
sizes = [n for n in (1, 3, 10, 30, 100, 300, 1000) if noise.shape[0] // n >= 10]


def error(drawn, n: int) -> float:
    """Root mean square distance from the exact gradient of means of ``n`` samples, relative to its length."""
    means = drawn[: len(drawn) // n * n].reshape(-1, n, drawn.shape[1]).mean(axis=1)
    return float(np.sqrt(((means - exact) ** 2).sum(axis=1).mean()) / np.linalg.norm(exact))


errors = {name: [error(drawn, n) for n in sizes] for name, drawn in samples.items()}
variance = {name: drawn.astype("float64").var(axis=0).sum() for name, drawn in samples.items()}
bias = {  # in standard errors, the largest of the four components
    name: np.abs((drawn.mean(axis=0, dtype="float64") - exact) / (drawn.std(axis=0) / np.sqrt(len(drawn)))).max()
    for name, drawn in samples.items()
}

# %%
# (c) The bound, the importance-weighted estimate, and the truth
# --------------------------------------------------------------
# .. math:: \log p(x) = \log \int p(z) p(x|z) dz \ge E \log \frac{1}{k} \sum_i \frac{p(x, z_i)}{q(z_i|x)} \ge ELBO(x)
#
# Importance sampling is a lower bound too, on average. 5000 samples make it tight where q covers the posterior; where the
# encoder misses a mode, no sample ever lands there, and the estimate falls short by nats.

held_out = binarize(digits.test.x[: run.pick(quick=20, default=100)])


cells = run.pick(quick=300, default=960)
truth, rough = (dgm.to_numpy(vae.log_prob_quadrature(model, held_out, n)) for n in (cells, cells * 5 // 6))
weighted = dgm.to_numpy(vae.log_prob_importance(model, held_out, run.pick(quick=500, default=5000), rng))
bound = dgm.to_numpy(vae.elbo_quadrature(model, held_out, *normal_plane(40)))
test_elbo = metrics.likelihood(model, binarize(digits.test.x), rng).nats
print(f"ELBO of the {len(digits.test)} test images: {test_elbo:.1f} nats; of the {len(truth)} in panel (c): {bound.mean():.1f}")

# %%
# The figure
# ----------

figure, panels = plt.subplot_mosaic([["a", "m"], ["g", "d"]], figsize=(16, 15))
for (name, measured), style in zip(errors.items(), ("o-", "s--", "^:"), strict=True):
    panels["a"].loglog(sizes, measured, style, ms=10, label=name)
panels["a"].set(
    xlabel="samples in the mean", ylabel="error / length of the exact gradient", title="(a) Same mean, another variance"
)
panels["a"].legend()


quantiles = np.array([NormalDist().inv_cdf((i + 0.5) / 16) for i in range(16)])
plane = np.stack(np.meshgrid(quantiles, quantiles[::-1]), axis=-1).reshape(-1, 2).astype("float32")
panels["m"].imshow(lesson.tiles(model.generate(dgm.asarray(plane)), 16))
panels["m"].set(xlabel="$z_1$, by quantiles of the prior", ylabel="$z_2$", title="(b) The latent manifold")
some = digits.train.x[:50]
pairs = np.stack([some, dgm.to_numpy(model.reconstruct(dgm.asarray(some)))]).reshape(2, 5, 10, 784).swapaxes(0, 1)
panels["d"].imshow(lesson.tiles(pairs, 10))
panels["d"].set(xlabel=digits.source, title="(d) Training digits, reconstructions below")
for name in "md":
    panels[name].set(xticks=[], yticks=[])
    panels[name].spines[:].set_visible(False)
order = np.argsort(truth - weighted)[::-1]
panels["g"].plot((truth - bound)[order], "o", color="C1", label=f"ELBO: {np.mean(bound):.1f} nats on average")
panels["g"].plot((truth - weighted)[order], "o", color="C0", label=f"importance sampling: {np.mean(weighted):.1f}")
panels["g"].axhline(0.0, color="black", label=f"log p(x) by quadrature: {np.mean(truth):.1f}")
panels["g"].set_yscale("symlog")
panels["g"].set(
    xlabel=f"{len(truth)} test images, by importance sampling's gap",
    ylabel="nats below the exact log p(x)",
    title="(c) Bounds and the truth",
)
panels["g"].set(ylim=(-3, 200), yticks=[-1, 0, 1, 10, 100], yticklabels=["-1", "0", "1", "10", "100"])
panels["g"].legend(loc="upper right")

# %%
# The claims
# ----------

ratio = {name: variance[name] / variance["reparameterised"] for name in samples}
change = np.linalg.norm(coarse - exact) / np.linalg.norm(exact)
run.claim("exact gradient by quadrature: relative change from half the nodes", change, "<=", 1e-3)
for name in samples:
    run.claim(f"unbiased, {name}: distance from it in standard errors", bias[name], "<=", 4.5)
run.claim("variance, score function over reparameterised", ratio["score function"], ">=", 100.0)
run.claim("nor does the best constant baseline catch up: ratio", ratio["score function, best baseline"], ">=", 2.0)
run.claim("log p(x) by quadrature, nats: change from 5/6 of the grid", np.abs(truth - rough).max(), "<=", 0.05)
run.claim("ELBO <= log p(x) for every image, nats: largest excess", (bound - truth).max(), "<=", 0.0)
run.claim("ELBO <= importance sampling on average, nats: gain", (weighted - bound).mean(), ">=", 0.1)
run.claim("importance sampling is the truth for the median image: gap", np.median(np.abs(weighted - truth)), "<=", 0.2)
if run.mode != "quick":
    run.claim("importance sampling <= log p(x) on average, nats: gap", (truth - weighted).mean(), ">=", 0.0)
    run.claim("but it falls short where the encoder misses a mode: largest gap", (truth - weighted).max(), ">=", 2.0)
numbers = {"sizes": sizes, "errors": errors, "variance": variance, "exact_gradient": exact}
numbers |= {"test_elbo": test_elbo, "elbo": bound, "importance": weighted, "log_prob": truth}

# %%
# ``--full``: the published setting
# ---------------------------------
# Two layers of 200 tanh units, 50 latent dimensions, dynamic binarisation, Adam with eps 1e-4, batches of 20, 3^i passes at
# rate 0.001 * 10^(-i/7). The paper goes up to i = 7, 3280 passes; here up to i = 5, 364 passes.

if run.mode == "full":
    each, passes = len(digits.train) // 20, [3**i for i in range(6)]
    begins = np.cumsum([0, *passes[:-1]]) * each
    rate = optim.piecewise(1e-3, {int(at): 1e-3 * 10 ** (-i / 7) for i, at in enumerate(begins) if i})
    step = train.minimise(loss, optim.adam(rate, eps=1e-4))
    big = VAE.init(rng, hidden=(200, 200), latent=50, activation=dgm.tanh)
    batches = digits.train.batches(rng, 20, passes=sum(passes))
    big = run.train(step, step.init(big, rng), batches, "two layers of 200, 50 latent").model
    test = binarize(digits.test.x)
    chunks = run.progress(list(dgm.backend.chunks(test, 100)), "log p of the test set")
    nats = [-vae.log_prob_importance(big, x, 5000, rng, chunk=100) for x in chunks]
    full = float(np.mean(dgm.to_numpy(dgm.concat(nats))))
    print(
        f"negative log-likelihood of the test set: {full:.2f} nats; published, with nine times the passes: 86.76 (IWAE, k = 1)"
    )
    run.claim("test negative log-likelihood, nats (published 86.76)", full, "<=", 90.0)
    numbers["full_nll"] = full

# %%
# What to try next
# ----------------
# * Take z = stop_gradient(mean + scale * eps) in ``vae.elbo``. Which network stops learning?
# * Find a test image with a large gap in panel (c). Draw log p(x, z) over the plane, and q beside it.
# * Make the latent space 1-dimensional. Does importance sampling get better or worse?

run.finish(figure, numbers)
