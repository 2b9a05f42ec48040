# %%
r"""Rule knowledge distillation: what a student believes of its labels and of a teacher that follows a rule

*Lecture L0, "Logical Rule Constraints" and "Rule Knowledge Distillation"; L1, sections 4.3 and 4.4, Figure 8. Sources: Hu,
Ma, Liu, Hovy and Xing, "Harnessing deep neural networks with logic rules" (2016); Kim (2014) for the network.*

In "the plot is dull, but the cast is great" the second clause decides. A teacher q is the network p with that rule put in;
the student learns from labels and teacher. Does it learn what theory says? On sentences from a grammar, whose labels are
often wrong where the rule is right, the answer is a fixed point that can be computed. Whether it helps on real reviews is the
next lesson, ``constraints/rules_on_reviews``.
"""

import numpy as np

import pydgm as dgm
from pydgm import data, lesson, optim
from pydgm.data import clauses, sentences
from pydgm.models.constraints import SentenceCNN, distillation, posterior
from pydgm.rows import by_rows

SOURCE = {"lecture": "L0, Rule Knowledge Distillation; L1, section 4.4", "figure": "Figure 8: teacher and student"}
run = lesson.start("constraints/rule_distillation", __doc__, **SOURCE, settings={"strength": 2.0, "pi": 0.5, "noise": 0.4})
strength, pi, noise = run.settings.values()
panels = run.panels("ab;cd")

# %%
# The teacher
# -----------
# .. math:: q(y | x) = p(y | x) \exp(\lambda\, r(y)) / Z, \qquad
#           r(1) = (1 + \sigma(B)) / 2, \quad r(0) = (2 - \sigma(B)) / 2
#
# :math:`\sigma(B)` is the network's own probability that clause B is positive, and the soft rule "y if and only if B" is as
# true as r(y) says. So logit q = logit p + lambda (sigma(B) - 1/2). In (a) no derivative goes through the teacher.

places = {"x,y": (0, 1), "p": (2, 2), "B": (2, 0), "q": (4, 1), "loss": (6, 2)}
lesson.graph(
    panels["a"], places, ["x,y p", "x,y B", "B q", "p q", "p loss", "q loss"], "(a) Student p, teacher q", derivatives=False
)
run.picture("a")

# %%
# The student
# -----------
# .. math:: \min_\theta \frac{1}{N} \sum_n (1 - \pi)\, \ell(y_n, p(\cdot | x_n)) + \pi\, \ell(q(\cdot | x_n), p(\cdot | x_n))
#
# with the cross-entropy :math:`\ell`. The weight pi(t) = min(limit, 1 - rate^t) grows with the epoch t. In a small grammar
# the rule holds always, but the labels of "A but B" sentences are wrong in 40 of 100 cases. The network that minimises the
# loss then believes in the right label with a probability p that solves
#
# .. math:: p = (1 - \pi)(1 - 0.4) + \pi\, q, \qquad \mathrm{logit}\, q = \mathrm{logit}\, p + \lambda (\sigma(B) - 1/2),
#
# since labels pull it to 0.6 and the teacher to q. Clauses alone are labelled right, so :math:`\sigma(B)` is near 0 or 1.

n = run.pick(quick=10_000, default=20_000)
corpus, right = (data.generated_sentences(np.random.default_rng([run.seed, 0]), n, wrong) for wrong in (noise, 0.0))
vocabulary = sentences.vocabulary(corpus.train.words)
doubled, but = (np.array(["but" in words for words in part.words]) for part in (corpus.train, corpus.test))
wrong = [(corpus.train.labels != right.train.labels)[doubled & (right.train.labels == y)].mean() for y in (0, 1)]  # near 0.4


def learn(limit: float, rule, some=corpus.train, epochs: int = run.pick(quick=6, default=4)):
    """The network after some passes, with the weight min(limit, 1 - 0.3^t) on its teacher in pass t."""
    rng, batches = dgm.random.Generator([run.seed, 1]), []
    for t in range(epochs):
        each = clauses.batches(*some, vocabulary, 50, rng)
        batches += [(batch, distillation.balance(t, limit, 0.3)) for batch in each]
    falling = optim.adam(optim.linear(3e-3, 0.0, len(batches)))
    # formula: distillation, rule-m-step
    step = by_rows(distillation.student_loss(rule, dropout=0.0), falling, distillation.in_use_with_pi)
    state = step.init(SentenceCNN.init(rng, len(vocabulary) + 2, 16, 16), rng)
    return run.train(step, state, batches, f"lambda {rule.strength:g}, pi {limit:.2f}").model


def theory(limit: float, strength: float, noise: float = noise) -> float:
    return distillation.fixed_point(limit, strength, noise)


limits, strengths = np.linspace(0.0, 0.9, 40), np.linspace(0.0, 8.0, 40)
by_pi = [(0.25, strength), (0.75, strength), (0.25, 0.0)]  # the last: a teacher without a rule, the control
by_strength = run.pick(quick=[], default=[(pi, strength), (pi, 1.0), (pi, 4.0), (pi, 6.0)])
labels, believed = corpus.test.labels, {}
for setting in by_pi + by_strength:
    rule = distillation.but(setting[1])
    log_p, _ = distillation.log_probs(learn(setting[0], rule), corpus.test.words, vocabulary, rule)
    p = np.exp(log_p)[np.arange(len(labels)), labels]
    believed[setting] = [p[but & (labels == y)].mean() for y in (0, 1)]  # of negative and of positive sentences
    print(f"pi, lambda = {setting}: p(right) {np.round(believed[setting], 3)}, theory {theory(*setting):.3f}", flush=True)

lesson.curves(
    panels["b"], limits, {"theory": [theory(x, strength) for x in limits]}, ["k-"], xlabel=r"$\pi$", ylabel="p(right label)"
)
lesson.curves(
    panels["c"], strengths, {"theory": [theory(pi, x) for x in strengths]}, ["k-"], xlabel=r"$\lambda$", ylabel="p(right label)"
)
for (limit, lam), shares in believed.items():
    for panel, at in (("b", limit), ("c", lam)):
        if (lam == strength) if panel == "b" else (limit == pi):
            panels[panel].plot([at] * 2, shares, "C1o", ms=12)
panels["b"].set_title(f"(b) lambda = {strength:g}; dots: both labels")
panels["c"].set_title(f"(c) pi = {pi:g}")
run.picture("b", "c")

# %%
# What the teacher says
# ---------------------
# A network that has seen few sentences is surer of some clauses than of others. Over its own opinion of a clause, its
# teacher's answer is moved by lambda (sigma(B) - 1/2), and by nothing else.

# formula: rule-teacher
rule = distillation.but(strength)
unsure = learn(0.0, rule, corpus.train[:250], epochs=1)
doubles = [words for words, two in zip(corpus.test.words, but, strict=True) if two]
log_p, log_q = distillation.log_probs(unsure, doubles, vocabulary, rule)
b = np.exp(distillation.log_probs(unsure, [sentences.after_but(words) for words in doubles], vocabulary, rule)[0][:, 1])
moved = np.diff(log_q - log_p, axis=1)[:, 0]
panels["d"].plot(b, moved, "C1o", ms=8)
panels["d"].plot([0, 1], [-strength / 2, strength / 2], "k-")
panels["d"].set(xlabel=r"$\sigma(B)$", ylabel="logit q - logit p", title="(d) What the rule adds; line: theory")
run.picture("d")

# %%
# The claims
# ----------
# The closed form against an optimiser on the simplex that does not know it; theory against the students, of either label.

log_p, r = dgm.log_softmax(run.rng.normal((50, 2), "float64")), distillation.but_rule(run.rng.uniform((50,), "float64"))
searched = posterior.minimize_on_simplex(
    lambda q: dgm.sum(posterior.divergence(dgm.log(q), log_p, r, 6.0)), 0.0 * log_p + 0.5, rate=0.2
)
gap = float(dgm.max(dgm.abs(searched - dgm.exp(posterior.project(log_p, r, 6.0)))))
expected = [float(dgm.mean(dgm.sum(dgm.exp(posterior.project(log_p, r, s)) * r, axis=1))) for s in (0.0, 1.0, 2.0, 4.0, 8.0)]
own = {setting: [theory(*setting, share) for share in wrong] for setting in believed}  # with the labels as they were drawn
off = max(abs(np.mean(np.array(shares) - own[setting])) for setting, shares in believed.items())
ruled = [setting for setting in believed if setting[1]]
more = [[p - (1.0 - noise) for p in (*believed[setting], theory(*setting))] for setting in ruled]  # than from labels alone
reached = np.min(np.sum(more, axis=0)[:2] / np.sum(more, axis=0)[2])

run.claim("q* against an optimiser on the simplex: largest gap", gap, "<=", 1e-6)
run.claim("E_q[r] rises with lambda: least rise", np.diff(expected).min(), ">", 0.0)
run.claim(
    "the teacher's logit moves by lambda (sigma(B) - 1/2): largest gap", np.abs(moved - strength * (b - 0.5)).max(), "<=", 1e-4
)
run.claim("though clauses differ: spread of sigma(B)", b.max() - b.min(), ">=", 0.2)
run.claim("students believe what theory says, mean of both labels: largest gap in p", off, "<=", 0.04)
run.claim("what theory promises over the labels alone: share reached, of the worse label", reached, ">=", 0.5)

# %%
# What to try next
# ----------------
# * In ``sentences.after_but``, return A instead of B. Let ``balance`` be 0 for ever. Forget Z in ``project``. Which claims
#   fail?
# * ``--set strength=20``: the teacher is sure, and still the student is not: why?
# * Write a ``distillation.Rule`` for "not": its clause is what follows, and the truth of y the opposite of the clause's.

run.finish({"believed": believed, "theory": {str(s): theory(*s) for s in believed}, "expected": expected})
