"""Two-sample tests: could these two samples come from one distribution?"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy

from .. import checks, nn, optim, train
from ..autodiff import mean, relu
from ..backend import Array, asarray, to_numpy
from ..data import Rows
from ..distributions import Bernoulli
from ..errors import ShapeError
from ..random import Generator
from .distances import gaussian_kernel, rows


class TwoSamples(NamedTuple):
    """What was measured, and the probability of as much or more where both samples have one distribution."""

    statistic: float
    p_value: float


def mmd_test(x: Any, y: Any, rng: Generator, permutations: int = 500, width: float | None = None) -> TwoSamples:
    """Is the discrepancy of :func:`pydgm.metrics.mmd` larger than chance? The labels "x" and "y" are shuffled to find out.

    If both samples have one distribution, all shuffles are equally likely, so that p <= a in at most a share a of all tests,
    whatever n is (Gretton 2012; Fisher 1935). The statistic is the mean discrepancy with k(a, a) counted, never below 0.
    """
    x, y = rows("mmd_test", x, y)
    checks.count(permutations, "mmd_test: permutations")
    k = gaussian_kernel(x, y, width)
    shares = numpy.concatenate([numpy.full(len(x), 1.0 / len(x)), numpy.full(len(y), -1.0 / len(y))])
    order = numpy.argsort(to_numpy(rng.uniform((permutations, len(shares)), "float64")), axis=1)
    each = shares[numpy.concatenate([numpy.arange(len(shares))[None], order])]
    statistics = ((each @ k) * each).sum(axis=1)
    tie = 1e-12 * abs(statistics[0])  # the same shuffle may be summed in another order
    return TwoSamples(float(statistics[0]), float((statistics >= statistics[0] - tie).mean()))


def classifier_test(x: Any, y: Any, rng: Generator, hidden: int = 20, steps: int = 500) -> TwoSamples:
    """Can a small network tell x from y? Half of each teaches it, the statistic is its accuracy on the rest.

    If both samples have one distribution, it is right as often as a coin: the p-value is the normal approximation, of mean 1/2
    and variance 1 / 4n (Lopez-Paz and Oquab 2017). ``x`` and ``y`` (n, d), of one size.
    """
    x, y = rows("classifier_test", x, y)
    if len(x) != len(y) or len(x) < 4:
        raise ShapeError(f"classifier_test: wanted two samples of one size, four points or more, got {len(x)} and {len(y)}")
    n, half = len(x), len(x) // 2
    x, y = (z[numpy.argsort(to_numpy(rng.uniform((n,), "float64")))] for z in (x, y))
    seen, new = numpy.concatenate([x[:half], y[:half]]), numpy.concatenate([x[half:], y[half:]])
    middle, spread = seen.mean(axis=0), seen.std(axis=0)
    seen, new = (((z - middle) / numpy.where(spread > 0.0, spread, 1.0)).astype("float32") for z in (seen, new))

    def loss(model: nn.MLP, batch: tuple[Array, Array], rng: Generator) -> Array:
        points, label = batch
        return -mean(Bernoulli(model(points)[:, 0]).log_prob(label))

    size = min(2 * half, 100)
    labels = numpy.repeat(numpy.array([1.0, 0.0], "float32"), half)
    learn_from = Rows(seen, labels).batches(rng, size, passes=-(-steps // (2 * half // size)), labels=True)[:steps]
    step = train.minimise(loss, optim.adam(optim.linear(1e-2, 0.0, steps)))
    network = train.run(step, step.init(nn.MLP.init(rng, [x.shape[1], hidden, 1], relu), rng), learn_from).model
    says_x = to_numpy(network(asarray(new)))[:, 0] > 0.0
    accuracy = float((says_x == (numpy.arange(len(new)) < n - half)).mean())
    return TwoSamples(accuracy, 0.5 * math.erfc((accuracy - 0.5) * math.sqrt(2.0 * len(new))))
