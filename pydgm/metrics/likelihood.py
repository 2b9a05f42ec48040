"""How likely data are under a model: one number, what kind of number it is, and how sure."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy

from ..backend import asarray, chunks, to_numpy
from ..errors import ArgumentError, NaNError, ShapeError, kind_text
from ..random import Generator


class Likelihood(NamedTuple):
    """The mean of log p(x) over some rows, in nats: higher is better, and -nats is the negative log-likelihood of tables.

    The exact mean over these rows lies between ``low`` and ``high``. ``kind`` is "exact" (both are ``nats``), "estimate" (+- 3
    standard errors), or "bound": the mean is ``low`` or more, ``low`` is 3 standard errors below ``nats``, and ``high`` is
    infinite. ``row_error`` answers another question: it is the standard error of a mean over so many rows, by which the number
    would change with other test rows from the same source.
    """

    nats: float
    low: float
    high: float
    kind: str
    row_error: float = math.nan

    def bits_per_dimension(self, dimensions: int) -> float:
        """-nats / (dimensions log 2): how many bits a code of that model takes for each pixel."""
        return -self.nats / (dimensions * math.log(2.0))


def likelihood(model: Any, x: Any, rng: Generator, size: int = 1000) -> Likelihood:
    """The likelihood of the rows ``x``, an array or :class:`pydgm.data.Rows`, under ``model``.

    A pair (x, labels) is for conditional models, whose methods take both. Exact where the model has ``log_prob(x)``, which is
    asked about ``size`` rows at a time. A model whose likelihood can only be bounded or estimated has a method
    ``likelihood(x, rng)``, which says what it gives.
    """
    if hasattr(x, "train"):
        raise ArgumentError("likelihood: a data set has three parts: data.test, or data.valid to choose by")
    rows = tuple(map(asarray, x)) if isinstance(x, tuple) else (asarray(getattr(x, "x", x)),)
    if hasattr(model, "likelihood"):
        result: Likelihood = model.likelihood(*rows, rng)
        return result
    if not hasattr(model, "log_prob"):
        raise ArgumentError(f"likelihood: wanted a model with log_prob(x) or likelihood(x, rng), got {kind_text(model)}")
    parts = zip(*[chunks(part, size) for part in rows], strict=True)
    return exact([to_numpy(model.log_prob(*part)) for part in parts])


def exact(log_p: Any) -> Likelihood:
    """Of log densities, in parts (n,) each, that hold for the rows one by one."""
    parts = [numpy.asarray(part, "float64") for part in log_p]
    if any(part.ndim != 1 for part in parts):
        hint = "Independent(p, 1) makes vectors of coordinates"
        raise ShapeError(f"likelihood: wanted one log density for each row, got {parts[0].shape} of the first rows: {hint}")
    each = numpy.concatenate(parts)
    if numpy.isnan(each).any():
        raise NaNError(f"likelihood: {int(numpy.isnan(each).sum())} of {len(each)} rows have the log density NaN")
    nats = float(each.mean())
    return Likelihood(nats, nats, nats, "exact", _error(each))


def bound(first: Any, second: Any) -> Likelihood:
    """Of two independent estimates (n,) of a lower bound of each row: their difference tells how noisy their mean is."""
    first, second = (numpy.asarray(to_numpy(x), "float64") for x in (first, second))
    nats, noise = float((first + second).mean()) / 2.0, float(numpy.sqrt(((first - second) ** 2).mean())) / 2.0
    return Likelihood(nats, nats - 3.0 * noise / math.sqrt(len(first)), math.inf, "bound", _error(0.5 * (first + second)))


def _error(each: Any) -> float:
    return float(each.std(ddof=1)) / math.sqrt(len(each)) if len(each) > 1 else math.nan
