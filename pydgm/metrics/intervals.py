"""Confidence intervals."""

from __future__ import annotations

from typing import Any

import numpy

from ..backend import to_numpy


def mean_interval(values: Any) -> tuple[float, float]:
    """The mean of n >= 2 measurements, and half of its 95% interval, t_(n-1) s / sqrt(n).

    If they are independent and normal, the true mean lies in mean +- half in 95 of 100 cases (Student 1908). ``values`` (n,).
    The quantile t has the density cos^(n-2) in the angle whose tangent is t / sqrt(n - 1).
    """
    x = numpy.asarray(to_numpy(values), "float64")
    if x.ndim != 1 or len(x) < 2:
        raise ValueError(f"mean_interval: wanted two or more numbers, (n,), got shape {x.shape}")
    degrees = len(x) - 1
    angle = numpy.linspace(0.0, numpy.pi / 2.0, 100_001)
    density = numpy.cos(angle) ** (degrees - 1)
    area = numpy.concatenate([[0.0], numpy.cumsum(density[1:] + density[:-1])])
    quantile = degrees**0.5 * numpy.tan(numpy.interp(0.95 * area[-1], area, angle))
    return float(x.mean()), float(quantile * x.std(ddof=1) / len(x) ** 0.5)
