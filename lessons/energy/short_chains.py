# %%
r"""Short chains: what contrastive divergence leaves out, in exact likelihoods

*Lecture L4, "Maximum Likelihood Learning" ("Contrastive Divergence"). Sources: Hinton (2002); Tieleman (2008); Fischer and
Igel, "Empirical analysis of the divergence of Gibbs sampling based learning algorithms for RBMs" (2010), for (b).*

The gradient of the likelihood needs an average over all that the machine can make. A chain that begins at the data and takes
one step, CD-1, has not been there. On images of 4 x 4 pixels Z can be counted, so the price of a short chain can be read off
in nats; and so can the trap in watching the reconstruction error, which falls while the likelihood does.
"""

import math

import numpy as np

import pydgm as dgm
from pydgm import data, lesson, mcmc, optim, train
from pydgm.models.energy import RBM, contrastive, rbm

SOURCE = {"lecture": "L4, Maximum Likelihood Learning", "figure": "contrastive divergence (Fischer and Igel 2010)"}
run = lesson.start("energy/short_chains", __doc__, **SOURCE, settings={"hidden": 12, "rate": 0.2})
hidden, rate = run.settings.values()
panels = run.panels("ab")

# %%
# Four ways to the same average
# -----------------------------
# .. math:: \frac{\partial \log P(v)}{\partial W_{ij}} = E_{P(h|v)}[v_i h_j] - E_{P}[v_i h_j]
#           \approx E_{P(h|v)}[v_i h_j] - E_{P_k}[v_i h_j], \qquad P_k: k \text{ steps of the chain, from the data (CD-k)}
#
# Bars and stripes: 30 images of 4 x 4 pixels, 12 hidden units. Z is a sum over 2^12 states, so log P(v) is exact, and CD-k can
# go to its limit: k = infinity is the exact gradient. The rate falls to 0, for the sake of PCD, whose chains have to keep up
# with the model; all 30 images are in every batch, since with random batches chance may put PCD before the exact gradient.
# In (b) the rate does not fall, and CD-1 goes on for longer.

patterns = dgm.asarray(data.bars_and_stripes(4))
# formula: rbm-likelihood, rbm-marginal
log_likelihood = dgm.compile(lambda machine: dgm.mean(machine.log_prob(patterns, rbm.log_partition(machine))))
seeds, part = run.pick(quick=3, default=4), run.pick(quick=300, default=450)


def learn(phase, rate, what: str, parts: int = 10):
    """For each seed the machine, and after each part of the training its exact log-likelihood and its reconstruction error."""
    step, machines, curves = contrastive.step(phase, optim.sgd(rate)), [], []
    for seed in run.progress(seeds, what):
        noise = dgm.random.Generator([run.seed, seed])
        state, curve = step.init(RBM.init(noise, 16, hidden, patterns), noise), []
        for _ in range(parts):
            state = train.run(step, state, [dgm.concat([patterns] * 3)] * part)
            error = rbm.reconstruction_error(state.model, noise, dgm.concat([patterns] * 50))
            curve.append((float(log_likelihood(state.model)), float(error)))
        machines.append(state.model)
        curves.append(curve)
    return machines, np.array(curves)


# formula: contrastive-divergence
PHASES = {"CD-1": contrastive.cd(1), "CD-10": contrastive.cd(10), "PCD": contrastive.pcd(1, chains=100)}
PHASES["exact gradient"] = contrastive.exact(rbm.log_partition)
if run.mode == "quick":
    del PHASES["CD-10"]
learned = {name: learn(phase, optim.linear(rate, 0.0, 10 * part), name) for name, phase in PHASES.items()}
late = learn(PHASES["CD-1"], rate, "CD-1, and on", 20)[1]
best = late[np.arange(seeds), late[:, :, 0].argmax(axis=1)]  # the moment of the highest likelihood, for each seed
final = {name: curve[:, -1, 0] for name, (_, curve) in learned.items()}
means = {name: curve[:, :, 0].mean(axis=0) for name, (_, curve) in learned.items()}
lesson.curves(panels["a"], part * np.arange(1, 11), means, xlabel="updates", ylabel="exact log P(v), nats", ylim=(-7, -3))
panels["a"].axhline(-math.log(30), color="black", ls=":")
panels["a"].set_title(f"(a) Bars and stripes, {seeds} seeds; dotted: log 1/30")
panels["b"].semilogx(late[:, :, 1].T, late[:, :, 0].T, "o-", ms=5, lw=1.5, color="C0", alpha=0.6)
panels["b"].plot(late[:, -1, 1], late[:, -1, 0], "X", ms=16, color="C1", label=f"after {part * 20} updates")
panels["b"].set(xlabel="reconstruction error, pixels", ylim=(-9, -4.5), title="(b) CD-1: better pixels, worse likelihood")
panels["b"].legend()
run.picture("a", "b")

# %%
# The claims
# ----------

machine = learned["exact gradient"][0][0]
log_z = float(rbm.log_partition(machine))
estimates = np.array([mcmc.ais(machine, run.rng, chains=5000, temperatures=100)[:3] for _ in range(4)])  # nats, low, high
off = (estimates[:, 0] - log_z) / (0.5 * (estimates[:, 2] - estimates[:, 1]))
even, drift = dgm.asarray(np.full((4000, 16), 0.5, "float32")), []
for machine in learned["exact gradient"][0][: run.pick(quick=1, default=seeds)]:
    made = machine.gibbs(run.rng, run.rng.bernoulli(even), 1000)
    mean, truth = (dgm.to_numpy(moments.v) for moments in (rbm.moments(machine, made), rbm.model_moments(machine)))
    drift.append((mean - truth) ** 2 / (truth * (1.0 - truth) / 4000))  # squared, in standard errors

run.claim("importance sampling against the enumerated log Z, nats", abs(estimates[:, 0].mean() - log_z), "<=", 0.1)
run.claim("log Z lies in its intervals: distance over half of one, root mean square", np.sqrt((off**2).mean()), "<=", 1.0)
run.claim("long chains find E[v_i]: root mean square gap in standard errors", np.mean(drift) ** 0.5, "<=", 2.0)
run.claim("PCD over CD-1, mean over seeds, nats of likelihood", (final["PCD"] - final["CD-1"]).mean(), ">=", 0.3)
run.claim("CD-1 goes on and loses likelihood, mean over seeds, nats", (best - late[:, -1])[:, 0].mean(), ">=", 0.1)
run.claim("while its reconstruction error falls: share left, most over seeds", (late[:, -1] / best)[:, 1].max(), "<=", 0.9)
if run.mode != "quick":
    run.claim("CD-10 over CD-1 on every seed, nats of likelihood", (final["CD-10"] - final["CD-1"]).min(), ">=", 0.3)
    ahead = (final["exact gradient"] - final["PCD"]).mean()  # after fewer updates chance may put either first
    run.claim("exact gradient over PCD, mean over seeds, nats of likelihood", ahead, ">=", 0.0)

# %%
# What to try next
# ----------------
# * Let the rate of PCD stay at 0.2 in (a). Its chains no longer keep up: watch the likelihood.
# * ``--set hidden=6``: is CD-1 still behind?
# * The reconstruction error is what one step of the chain changes. Which machine would make it 0, and how likely are the data
#   under it?

run.finish({"final": final, "late": late, "log_z": log_z, "ais": estimates})
