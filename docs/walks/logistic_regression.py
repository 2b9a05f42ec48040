r"""
Logistic regression: a gradient by hand
=======================================

The smallest model that is worth a gradient: a probability from a weighted sum,

.. math:: s = X w + b, \qquad p(y = 1 | x) = \sigma(s), \qquad
          L = -\frac1n \sum_i y_i \log \sigma(s_i) + (1 - y_i) \log(1 - \sigma(s_i)).

Since :math:`-\log \sigma(s) = \mathrm{softplus}(-s)` and :math:`-\log(1 - \sigma(s)) = \mathrm{softplus}(s)`, which is
:math:`\mathrm{softplus}(-s) + s`, the loss is the mean of :math:`\mathrm{softplus}(s) - y s`. That neither overflows nor takes
log 0.
"""

import numpy as np

import pydgm as dgm
from pydgm import optim, train

rng = np.random.default_rng(0)
X = rng.standard_normal((200, 3))
y = (rng.random(200) < 1.0 / (1.0 + np.exp(-X @ [2.0, -1.0, 0.0]))).astype("float64")


def loss(model, batch, rng=None):
    X, y = batch
    s = X @ model["w"] + model["b"]
    return dgm.mean(dgm.softplus(s) - y * s)


model = {"w": np.array([0.1, 0.2, -0.3]), "b": np.array(0.0)}
loss(model, (X, y))

# %%
# By hand
# -------
# Go through the lines of ``loss`` backwards, and ask of each: if its result changes a little, how much does L change? Write
# :math:`\bar s` for :math:`\partial L / \partial s`, a vector like s.
#
# * ``mean``: each of the n terms counts 1 / n.
# * ``softplus(s) - y * s``: the slope of softplus is the sigmoid, so :math:`\bar s = (\sigma(s) - y) / n`. What the model says,
#   less what is true.
# * ``X @ w + b``: :math:`s_i = \sum_j X_{ij} w_j + b`. w_j is in every s_i, and its effects add up:
#   :math:`\bar w_j = \sum_i X_{ij} \bar s_i`, which is :math:`X^\top \bar s`. And b is in every s_i with the weight 1:
#   :math:`\bar b = \sum_i \bar s_i`.

s = X @ model["w"] + model["b"]
s_bar = (1.0 / (1.0 + np.exp(-s)) - y) / len(y)
by_hand = {"w": X.T @ s_bar, "b": s_bar.sum()}

gradient = dgm.grad(loss)(model, (X, y))
for name in model:
    np.testing.assert_allclose(gradient[name], by_hand[name], rtol=1e-12)
dgm.testing.check_grads(lambda model: loss(model, (X, y)), [model])  # and both are slopes of L: against differences
{name: np.round(slope, 4) for name, slope in by_hand.items()}

# %%
# By the engine
# -------------
# The engine does the same. While ``loss`` runs it writes down which operation made which array; then it goes backwards, and
# asks each operation for its rule. This is what it has written down:

dgm.graph(lambda model: loss(model, (X, y)))(model)

# %%
# As a program
# ------------
# A training step calls ``loss``, its gradient and the optimiser. After one recording it is a NumPy program without any graph.
# Below, on the left the lines above, on the right the program. Point at a line, or press ↓ and ↑: its other side lights up.
# Find :math:`\bar s` (a sigmoid, less y), the product with :math:`X^\top`, and the sum for b.

step = train.minimise(loss, optim.sgd(0.5))
run = train.run(step, step.init(model, dgm.random.Generator(0)), [(X, y)] * 100)
step

# %%
# It has learned: at the minimum the gradient is 0, so the mean of p over the data is the share of ones.

gradient = dgm.grad(loss)(run.model, (X, y))
print("w:", np.round(run.model["w"], 2), " b:", np.round(run.model["b"], 2), " slope in b:", f"{float(gradient['b']):.1e}")
assert abs(float(gradient["b"])) < 1e-2
