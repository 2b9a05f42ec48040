"""Values that a formula does not allow, refused in one sentence before they become a wrong number.

The numbers are looked at where that is cheap: on the host, when a function runs as it is written, and once when it is recorded
by ``dgm.compile``. On a GPU every look would wait for the device, so there nothing is looked at.
"""

from __future__ import annotations

import math
from typing import Any

import numpy

from .backend import is_array, seen
from .errors import ArgumentError, DomainError, ShapeError, kind_text, shape_text


def _host(x: Any) -> Any:
    """The numbers under tensors and traces, where there are any on the host."""
    x = seen(x)
    known = isinstance(x, numpy.ndarray | numpy.generic) and x.dtype.kind in "fiub" and x.size > 0
    return x if known else numpy.asarray(x) if type(x) in (int, float, bool) else None


def within(x: Any, low: float, high: float, what: str, hint: str = "") -> None:
    """Raise :class:`DomainError` unless ``low <= x <= high`` everywhere; NaN is nowhere in between."""
    host = _host(x)
    if host is None:
        return
    lowest, highest = host.min(), host.max()
    if not (lowest >= low and highest <= high):
        raise DomainError(f"{what}: wanted values from {low:g} to {high:g}, got {lowest:g} to {highest:g}{hint}")


def binary(x: Any, what: str) -> None:
    """Raise :class:`DomainError` unless each number is 0 or 1."""
    host = _host(x)
    if host is not None and not (known := (host == 0) | (host == 1)).all():
        raise DomainError(
            f"{what}: wanted zeros and ones, got {host[~known].flat[0]:g}: grey pixels become black or white by x > 0.5"
        )


def positive(x: Any, what: str) -> None:
    """Raise :class:`DomainError` unless ``x > 0`` everywhere."""
    host = _host(x)
    if host is not None and not host.min() > 0:
        raise DomainError(f"{what} must be above 0, got {host.min():g}")


def finite(x: Any, what: str) -> None:
    """Raise :class:`DomainError` where numbers are NaN or infinite."""
    host = _host(x)
    if host is not None and not numpy.isfinite(host).all():
        bad = int(host.size - numpy.isfinite(host).sum())
        raise DomainError(f"{what} holds NaN or infinity: {bad} of {host.size} numbers")


def array(x: Any, what: str) -> None:
    """Raise :class:`ArgumentError` for what is no array: lists, texts, modules."""
    if not is_array(x):
        hint = ": dgm.asarray(x) makes one" if isinstance(x, list | tuple) else ""
        raise ArgumentError(f"{what}: wanted an array, got {kind_text(x)}{hint}")


def width(x: Any, n: int, what: str) -> None:
    """Raise unless ``x`` is an array (..., n)."""
    array(x, what)
    if x.ndim == 0 or x.shape[-1] != n:
        raise ShapeError(f"{what}: wanted an array (..., {n}), got {shape_text(x)}")


def rows(x: Any, n: int, what: str) -> None:
    """Raise :class:`ShapeError` unless ``x`` are one or more rows of ``n`` numbers."""
    width(x, n, what)
    if x.ndim != 2 or not x.shape[0]:
        raise ShapeError(f"{what}: wanted rows (n, {n}), got {shape_text(x)}")


def parameter(x: Any, what: str) -> None:
    """Raise :class:`ArgumentError` for what is neither a number nor an array."""
    if not is_array(seen(x)) and (isinstance(seen(x), bool) or not isinstance(seen(x), int | float)):
        array(x, what)


def count(x: Any, what: str, least: int = 1) -> None:
    """Raise unless ``x`` is an integer, ``least`` or more."""
    if isinstance(x, bool) or not isinstance(x, int | numpy.integer):
        raise ArgumentError(f"{what}: wanted an integer, got {shape_text(x)}")
    if x < least:
        raise DomainError(f"{what}: wanted {least} or more, got {x}")


def number(x: Any, what: str, low: float, high: float = math.inf, below: bool = False) -> None:
    """Raise unless ``x`` is a number from ``low`` to ``high``; with ``below``, ``high`` itself is too much."""
    x = seen(x)
    if isinstance(x, bool | numpy.bool_) or (not isinstance(x, int | float | numpy.number) and getattr(x, "shape", None) != ()):
        raise ArgumentError(f"{what}: wanted a number, got {shape_text(x)}")
    value = float(x) if isinstance(x, int | float | numpy.number | numpy.ndarray) else low
    if not (math.isfinite(value) and low <= value <= high) or (below and value == high):
        upto = f" and {'below' if below else 'up to'} {high:g}" if high < math.inf else ""
        raise DomainError(f"{what}: wanted a finite number from {low:g}{upto}, got {value:g}")


def labels(k: Any, classes: int, batch: tuple[int, ...], what: str) -> None:
    """Raise unless ``k`` are integers from 0 to ``classes`` - 1, in a shape that can only be meant for ``batch`` rows."""
    shape, n = tuple(k.shape), len(batch)
    if "int" not in str(k.dtype):
        raise ArgumentError(f"{what}: labels are integers from 0 to {classes - 1}, got {shape_text(k)}")
    if n and len(shape) == n + 1 and shape[:-1] == batch and shape[-1] in (1, classes) and max(batch) > 1:
        hint = "one column too many: labels[:, 0]" if shape[-1] == 1 else "one-hot rows: np.argmax(labels, axis=-1)"
        raise ShapeError(f"{what}: labels {shape} for rows {batch}, {hint}")
    within(k, 0, classes - 1, what)
