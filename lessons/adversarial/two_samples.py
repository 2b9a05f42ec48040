# %%
r"""Two samples: what each measure of a generator sees, and where it is blind

*Lectures L2, L3: evaluating GANs. Sources: Gretton et al., "A kernel two-sample test" (2012); Lopez-Paz and Oquab, "Revisiting
classifier two-sample tests" (2017); Salimans et al. (2016), the inception score; Heusel et al. (2017), the Frechet distance;
Kynkaanniemi et al., "Improved precision and recall" (2019).*

A generator has no likelihood; what it makes is compared with data, sample against sample. Here the generators are made by
hand, each with one fault, so that it is known what there is to see: samples that are blurred, modes that are missing, all at
one mode, each mode a single point, a Gaussian with the data's mean and covariance, and copies of the training set. A measure
is blind to a fault where it says no worse of it than of fresh samples of the data's own distribution.

Pictures are compared by features of a network that knows them. In the plane the points are their own features, and the
"classifier" of the score is the exact posterior of the eight modes.
"""

import numpy as np

import pydgm as dgm
from pydgm import data, lesson, metrics

SOURCE = {"lecture": "L2, L3", "figure": "evaluating GANs: two-sample tests, score, Frechet distance, precision and recall"}
run = lesson.start(
    "adversarial/two_samples", __doc__, **SOURCE, live=True, settings={"points": 1000, "blur": 0.15, "width": 0.3}
)
(n, blur, width), rng = run.settings.values(), run.rng
panels = run.panels("aa;bc", width_ratios=[1.7, 1.0], height_ratios=[1.0, 2.3])

# %%
# Six faults
# ----------
# Every second mode of a ring, and a Gaussian of the right width, have the data's own mean and covariance.

ring = data.ring_of_gaussians(scale=0.1)
taught = ring.sample(rng, n)
MAKERS = {
    "perfect": lambda: ring.sample(rng, n),
    "blurred": lambda: ring.sample(rng, n) + blur * rng.normal((n, 2)),
    "4 of 8": lambda: data.ring_of_gaussians(4, scale=0.1).sample(rng, n),
    "1 of 8": lambda: data.ring_of_gaussians(1, scale=0.1).sample(rng, n),
    "8 points": lambda: data.ring_of_gaussians(scale=0.005).sample(rng, n),
    "Gaussian": lambda: 2.01**0.5 * rng.normal((n, 2)),
    "copies": lambda: dgm.take(taught, rng.permutation(n), axis=0),
}
made = {name: dgm.to_numpy(make()) for name, make in MAKERS.items()}


def picture(x) -> np.ndarray:
    return np.minimum(np.histogram2d(*dgm.to_numpy(x).T, bins=60, range=[[-3.2, 3.2]] * 2)[0].T[::-1], 6.0)


lesson.grid(panels["a"], [[picture(x) for x in (taught, *made.values())]], columns=["(a) data", *made])
run.picture("a")

# %%
# What is measured
# ----------------
# .. math:: MMD^2 = E\,k(x, x') + E\,k(y, y') - 2 E\,k(x, y), \qquad
#           F = |m - m'|^2 + \mathrm{tr}\left(C + C' - 2 (C C')^{1/2}\right), \qquad
#           \log S = E_x\,KL(p(y|x) \,\|\, p(y))
#
# Tests, with p-values; and five numbers, which count as noticed four times as far out as twenty fresh samples lie apart. The
# kernel of MMD is as wide as the median distance of the points, or as a mode. Precision and recall ask which points lie among
# those of the other sample. And how far is the nearest training point, over how far it is from new data?


def nearest(x) -> float:
    apart = np.linalg.norm(dgm.to_numpy(x)[:, None] - dgm.to_numpy(taught), axis=2)
    return float(np.median(apart.min(axis=1)))


fresh = [dgm.to_numpy(ring.sample(rng, n)) for _ in range(20)]
usual = np.mean([nearest(x) for x in fresh])
TESTS = {
    "MMD, wide": lambda x: metrics.mmd_test(taught, x, rng, 200).p_value,
    "MMD, narrow": lambda x: metrics.mmd_test(taught, x, rng, 200, width).p_value,
    "classifier": lambda x: metrics.classifier_test(taught, x, rng).p_value,
}
NUMBERS = {
    "Frechet": lambda x: metrics.frechet_distance(taught, x),
    "score, of 8": lambda x: metrics.inception_score(dgm.softmax(ring.log_joint(dgm.asarray(x)))),
    "precision": lambda x: metrics.precision_recall(taught, x).precision,
    "recall": lambda x: metrics.precision_recall(taught, x).recall,
    "nearest": lambda x: nearest(x) / usual,
}
WORSE = {"Frechet": 1.0, "score, of 8": -1.0, "precision": -1.0, "recall": -1.0, "nearest": 0.0}  # larger, smaller, both
values = {name: np.array([measure(x) for x in made.values()]) for name, measure in (TESTS | NUMBERS).items()}
notices = {name: values[name] < 0.006 for name in TESTS}  # MMD: of 200 shuffles none was as far
for name, sign in WORSE.items():
    good = np.array([NUMBERS[name](x) for x in fresh])
    away = (values[name] - good.mean()) / np.ptp(good)
    notices[name] = (sign * away if sign else np.abs(away)) > 4.0
table, ax = np.array(list(notices.values())), panels["b"]
ax.imshow(table, cmap="OrRd", vmin=0.0, vmax=2.2, aspect="auto")
for (i, j), _ in np.ndenumerate(table):
    ax.text(j, i, f"{list(values.values())[i][j].round(9) + 0.0:.2g}", ha="center", va="center")
ax.set(xticks=range(len(made)), xticklabels=list(made), yticks=range(len(values)), yticklabels=list(values))
ax.set_title("(b) Dark: noticed; tests show p")
run.picture("b")

# %%
# How often a test errs, and how often it notices
# -----------------------------------------------
# Two samples of one distribution are to be told apart in 5 of 100 cases. Of half of the modes a kernel as wide as the ring sees
# little, with so few points.


def rejects(make, points: int, times: int, width=None) -> float:
    """The share of MMD tests at the level 5%."""
    x, y = ring.sample(rng, (times, points)), make((times, points))
    return np.mean([metrics.mmd_test(x[i, ...], y[i, ...], rng, 199, width).p_value <= 0.05 for i in range(times)])


half = lambda shape: data.ring_of_gaussians(4, scale=0.1).sample(rng, shape)  # noqa: E731
sizes, kernels = (20, 40, 80, 160), {"wide": None, "narrow": width}
power = {name: [rejects(half, points, 100, w) for points in sizes] for name, w in kernels.items()}
lesson.curves(panels["c"], sizes, power, xlabel="points", ylim=(-0.05, 1.05), title="(c) 4 of 8: share noticed")
panels["c"].axhline(0.05, color="black", ls=":")
run.picture("c")
false_alarms = rejects(lambda shape: ring.sample(rng, shape), 30, run.pick(quick=2000, default=4000))

# %%
# The claims
# ----------
# What is there to be seen, and what a measure cannot see, follows from how it is made: Frechet's distance knows two moments,
# the score never looks at the data, precision asks about samples and recall about data. Copies of the training set are perfect
# to all that compare with the training set, unless one asks how far new data would be; and that says nothing of missing modes.
# So each of these measures is blind to something.

SEES = {"MMD, narrow": ("4 of 8", "1 of 8", "Gaussian"), "classifier": ("4 of 8", "1 of 8", "Gaussian")}
SEES |= {"Frechet": ("1 of 8",), "score, of 8": ("4 of 8", "1 of 8"), "precision": ("blurred", "Gaussian")}
SEES |= {"recall": ("4 of 8", "1 of 8", "8 points"), "nearest": ("blurred", "Gaussian", "copies")}
BLIND = {"MMD, narrow": ("copies",), "classifier": ("copies",), "recall": ("copies",), "MMD, wide": ("copies",)}
BLIND |= {"Frechet": ("blurred", "4 of 8", "8 points", "Gaussian", "copies"), "score, of 8": ("blurred", "8 points", "copies")}
BLIND |= {"precision": ("4 of 8", "1 of 8", "copies"), "nearest": ("4 of 8",)}
sees, blind = ([notices[m][list(made).index(f)] for m, faults in pairs.items() for f in faults] for pairs in (SEES, BLIND))

p, q = (rng.normal((500_000, 3), "float64") * dgm.asarray(s) + m for s, m in (([1.0, 2, 3], 0.0), ([2.0, 1, 1.5], 1.0)))
closed = 3 * 1.0**2 + sum((a - b) ** 2 for a, b in ((1, 2), (2, 1), (3, 1.5)))  # both covariances are diagonal
gap, scores = metrics.frechet_distance(p, q) / closed - 1.0, np.mean([NUMBERS["score, of 8"](x) for x in fresh])

run.claim("faults that are to be noticed: share that is", np.mean(sees), "==", 1.0)
run.claim("faults that a measure is blind to: noticed all the same", np.sum(blind), "==", 0.0)
run.claim("copies of the training set: how many of eight measures notice", table[:, -1].sum(), "==", 1.0)
run.claim("the MMD test's false alarms at 5%: share", false_alarms, "within", (0.03, 0.07))
run.claim("half of the modes, 160 points: share noticed with a kernel as narrow as a mode", power["narrow"][-1], ">=", 0.9)
run.claim("with one as wide as the ring", power["wide"][-1], "<=", 0.2)
run.claim("Frechet distance of Gaussians, from samples: gap to the closed form", abs(gap), "<=", 0.01)
run.claim("score of fresh samples: gap to 8, relative", abs(scores / 8.0 - 1.0), "<=", 0.01)
run.claim("of one mode: gap to 1", abs(values["score, of 8"][3] - 1.0), "<=", 0.01)

if run.live:
    blurs = [(b, ring.sample(rng, n) + b * rng.normal((n, 2))) for b in np.linspace(0.0, 1.0, run.pick(quick=5, default=40))]
    run.film(*lesson.screen(), ((f"blur {b:.2f}: precision {NUMBERS['precision'](x):.2f}", [[picture(x)]]) for b, x in blurs))

# %%
# What to try next
# ----------------
# * ``--set blur=0.05``: which measures notice it still? How many points do they need (``--set points=3000``)?
# * Make a generator that all measures but one take for perfect. Then one that all take for perfect. What does it lack?
# * A classifier that was trained on other data gives another score. Which generator would a bad classifier prefer?

run.finish({"values": values, "notices": notices, "power": power, "sizes": sizes})
