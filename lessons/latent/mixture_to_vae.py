# %%
r"""From a mixture to a VAE: one model, x = f(z) + noise, and three kinds of f

*Lecture L2, "Generative process", "Combining simple models into more expressive ones" and the clusters of digits. Sources:
Dempster, Laird and Rubin, "Maximum Likelihood from Incomplete Data via the EM Algorithm" (1977); Tipping and Bishop,
"Probabilistic Principal Component Analysis" (1999); Lucas, Tucker, Grosse and Norouzi, "Don't Blame the ELBO! A Linear VAE
Perspective on Posterior Collapse" (2019).*

Draw a z that nobody sees, then draw x around f(z), with the same noise in every pixel. Where z is one of K, f is a table and
the model a mixture, which EM learns. Where z is a vector and f linear, it is probabilistic PCA: everything is known in closed
form, and a VAE without hidden layers can be held against it, number by number. Where f is a network, nothing is known in closed
form, and a VAE learns it by a bound.
"""

import dataclasses

import numpy as np

import pydgm as dgm
from pydgm import lesson, optim, train
from pydgm.divergences import normal_plane
from pydgm.models.latent import GaussianVAE, SphericalMixture, mixture, ppca, vae

SOURCE = {"lecture": "L2, latent variable models", "figure": "clustered digits; Lucas et al. 2019"}
run = lesson.start("latent/mixture_to_vae", __doc__, settings={"K": 30}, **SOURCE)
rng, panels, K = run.rng, run.panels("abc;def"), int(run.settings["K"])
digits = run.load("digits")
seen, test = digits.train[: run.pick(quick=3000, default=10_000)], dgm.asarray(digits.test.x[:1000])
x = dgm.asarray(seen.x)

# %%
# z is one of K
# -------------
# .. math:: p(x) = \sum_k \pi_k \, N(x; \mu_k, \sigma^2 I), \qquad r_{nk} = P(z = k \,|\, x_n), \qquad
#           \mu_k \leftarrow \frac{\sum_n r_{nk} \, x_n}{\sum_n r_{nk}}
#
# The likelihood of the data never falls. EM moves each centre along the slope, by a length that nobody has to choose: the
# derivative by :math:`\mu_k` times :math:`\sigma^2 / \pi_k`, with the new :math:`\pi_k`. Nobody has told the model what a
# digit is; each cluster gets the name that most of its members have.

starts = [SphericalMixture.init(rng, x, K) for _ in range(run.pick(quick=2, default=3))]
# formula: marginal-likelihood
fits = [mixture.fit(start, x, run.pick(quick=25, default=40)) for start in run.progress(starts, "EM")]
climbs = np.array([likelihoods for _, likelihoods in fits])
clusters = fits[climbs[:, -1].argmax()][0]
members, guesses = (dgm.to_numpy(clusters.log_joint(images)).argmax(axis=1) for images in (x, test))
names = np.array([np.bincount(seen.labels[members == k], minlength=10).argmax() for k in range(K)])

named = {f"start {i + 1}": climb for i, climb in enumerate(climbs)}
lesson.curves(panels["a"], range(climbs.shape[1]), named, xlabel="steps of EM")
panels["a"].set(ylim=climbs[:, -1].max() + np.array([-80.0, 20.0]), ylabel="log p, nats an image", title="(a) EM climbs")
order, columns = np.argsort(names), -(-K // 5)
pictures = np.pad(dgm.to_numpy(clusters.components.base.loc)[order].reshape(K, 28, 28), ((0, 0), (5, 5), (10, 0)))
lesson.images(panels["b"], pictures.clip(min=0.0), 5, "(b) Clusters, named by most members", side=38)
for i, name in enumerate(names[order]):
    panels["b"].text(38 * (i % columns) + 2, 38 * (i // columns) + 5, name, color="C3", va="top")
run.picture("a", "b")

# %%
# z is a vector, f is linear
# --------------------------
# .. math:: z \sim N(0, I), \quad x \,|\, z \sim N(W z + \mu, \sigma^2 I) \qquad\Rightarrow\qquad
#           x \sim N(\mu, W W^\top + \sigma^2 I), \quad W = U (\Lambda - \sigma^2 I)^{1/2}
#
# U are the first principal axes of the data, :math:`\Lambda` their eigenvalues: the maximum of the likelihood, found without
# a step. A VAE without hidden layers has the same p, and guesses the posterior, by a Gaussian of independent coordinates. The
# true posterior is Gaussian, too, and its coordinates are independent where the columns of W are orthogonal: there the bound is
# tight, and gradients of a noisy bound find the same numbers. The likelihood does not see which way W is turned within the
# plane of its columns. The bound does, and prefers the principal axes, but only by hundredths of a nat: so W turns last.


def trained(hidden, latent, steps, rate, sigma=None):
    model, batches = GaussianVAE.init(rng, 784, hidden, latent, sigma=sigma), seen.batches(rng, 100, passes=500)[:steps]
    step = train.minimise(vae.loss, optim.adam(optim.cosine(rate, 0.0, steps)))
    what = f"{'network' if hidden else 'linear'}, {latent} latent numbers"
    return run.train(step, step.init(model, rng), batches, what)


best, (eigenvalues, axes) = ppca.fit(x, 2), map(dgm.to_numpy, ppca.eigenvalues(x))
summit = float(dgm.mean(best.log_prob(x)))
state = trained((), 2, run.pick(quick=1000, default=4000), 0.01)
line, each_pass = state.model, len(seen) // 100
below = summit + state.losses[: len(state.losses) // each_pass * each_pass].reshape(-1, each_pass).mean(axis=1)
# formula: elbo
bound = np.mean([float(dgm.mean(vae.elbo_quadrature(line, part, *normal_plane(8)))) for part in dgm.backend.chunks(x, 500)])
W = dgm.to_numpy(line.decoder.layers[0].weight).T
angle = np.degrees(np.arccos(np.linalg.svd(axes[:, :2].T @ np.linalg.qr(W)[0])[1].clip(max=1.0).min()))

panels["c"].plot(below, "C0-")
panels["c"].set(yscale="log", xlabel="passes", ylabel="nats below PPCA's log p", title="(c) The linear VAE's bound")
pictures = np.concatenate([axes[:, :2].T, W.T])
lesson.images(panels["d"], pictures, 2, "(d) Principal axes; columns of W", xlabel="one plane")
run.picture("c", "d")

# %%
# Latent numbers that die
# -----------------------
# .. math:: \mathrm{Var}_x \, E[z_i \,|\, x] = \max(0, \; 1 - \sigma^2 / \lambda_i)
#
# Hold the noise fixed. An axis pays only if its eigenvalue is above the noise: otherwise the best column is 0, and the
# posterior is the prior. So a posterior that collapses need not be the fault of the bound, or of its gradient: here it is the
# maximum of the likelihood.

noise = eigenvalues[0] * np.array(run.pick(quick=[0.1, 0.5, 1.2], default=[0.1, 0.3, 0.5, 0.8, 1.2]))
lines = [trained((), 8, run.pick(quick=1200, default=3000), 0.005, float(v) ** 0.5).model for v in noise]
alive = np.sort([dgm.to_numpy(model.posterior(x).base.loc).var(axis=0) for model in lines])[:, ::-1]
theory = 1.0 - noise[:, None] / eigenvalues[:8]
fine = np.geomspace(noise[0], noise[-1], 200)
panels["e"].plot(fine, (1.0 - fine[:, None] / eigenvalues[:8]).clip(min=0.0), "0.6")
panels["e"].plot(noise, alive, "C1o", ms=9)
panels["e"].set(xlabel="noise $\\sigma^2$", ylabel="variance of guessed means", title="(e) Collapse: theory, and eight $z_i$")
run.picture("e")

# %%
# f is a network
# --------------
# Two latent numbers, as before, but the plane may bend through the space of images. Its log p is an integral over a grid. A
# table of K images, each the centre of a sphere, and linear maps of two and of ten numbers stand beside it.

network = trained((128, 64), 2, run.pick(quick=500, default=2000), 0.01).model
few = test[:200, ...]
log_p = {
    "one sphere": mixture.fit(SphericalMixture.init(rng, x, 1), x, 1)[0].log_prob(few),
    f"{K} spheres": clusters.log_prob(few),
    "linear, 2": best.log_prob(few),
    "linear, 10": ppca.fit(x, 10).log_prob(few),
    "network, 2": vae.quadrature(network, few, cells=400).log_prob,
}
nats = {name: float(dgm.mean(each)) for name, each in log_p.items()}
panels["f"].barh(list(nats), list(nats.values()), color=[f"C{i}" for i in range(5)])
panels["f"].invert_yaxis()
panels["f"].set(xlabel="log p of a test image, nats", title="(f) Spheres, lines, network")
run.picture("f")

# %%
# The claims
# ----------

begin, after, slope = starts[0], mixture.em(starts[0], x)[0], dgm.grad(lambda model: dgm.mean(model.log_prob(x)))
ahead = slope(begin).components.base.loc * begin.components.base.scale**2 / dgm.softmax(after.logits)[:, None]
moved = after.components.base.loc - begin.components.base.loc
stays = float(slope(clusters).components.base.scale * clusters.components.base.scale)
level = slope(best).W / dgm.max(dgm.abs(slope(dataclasses.replace(best, W=0.9 * best.W)).W))
gap, more = np.abs(alive - theory.clip(min=0.0)).max(), nats["network, 2"] - nats["linear, 2"]
bounds = run.pick(quick=(0.25, 5.0, 0.13, 0.06, 30.0), default=(0.05, 2.0, 0.1, 0.03, 80.0))

run.claim("EM never falls: steps that do, by more than 0.002 nats", (np.diff(climbs) < -0.002).sum(), "==", 0)
run.claim("its step is the slope times variance over weight: gap", dgm.max(dgm.abs(moved - ahead)), "<=", 0.001)
run.claim(
    "digits named by their cluster: right of test images", np.mean(names[guesses] == digits.test.labels[:1000]), ">=", 0.6
)
run.claim("its width has no slope left: by log sigma, over d", abs(stays) / x.shape[1], "<=", 0.01)
run.claim("a mixture of spheres over one: test nats", nats[f"{K} spheres"] - nats["one sphere"], ">=", 100.0)
run.claim("PPCA's log p is level in W: slope over that at .9 W", dgm.max(dgm.abs(level)), "<=", 0.01)
run.claim("linear VAE's bound below it, nats", summit - bound, "within", (-0.01, bounds[0]))
run.claim("its columns span the principal axes: angle, degrees", angle, "<=", bounds[1])
run.claim("variance of guessed means is max(0, 1 - noise / eigenvalue): gap", gap, "<=", bounds[2])
run.claim("noise over 1.2 eigenvalues: largest variance left", alive[theory < -0.2].max(), "<=", bounds[3])
run.claim("two latent numbers, network over linear map: test nats", more, "within", (bounds[4], 200.0))

# %%
# What to try next
# ----------------
# * ``--set K=100``. How many nats does a cluster bring, and how many does a latent number of a linear map?
# * Give the linear VAE of eight numbers a ``sigma`` of 1.5. How many of them live? How many did you expect from (e)?
# * Turn ``best.W`` by a rotation, and ask for ``log_prob`` again. What does that say of "the meaning of z_1"?

run.finish({"nats": nats, "noise": noise, "alive": alive, "theory": theory, "climbs": climbs, "below": below})
