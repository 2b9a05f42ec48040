"""Noise. Nothing in pydgm is random unless a :class:`Generator` was handed to it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy

from . import backend, checks
from .autodiff import stop_gradient
from .backend import Array, xp
from .errors import caller


class Generator:
    """Draws from a ``seed``. One seed and one array library give one stream; different libraries give different streams.

    Floats are float32 unless ``dtype="float64"`` is asked for.
    """

    def __init__(self, seed: int | Any = 0) -> None:
        _not_while_recording("makes a generator")
        self._rng = backend.default_rng(seed)

    def _draw(self, method: str, dtype: str, *arguments: Any) -> Array:
        """A draw, or, while a function is being compiled, the note that its program shall draw."""
        notes = backend.recorder()
        if notes is not None:
            return notes.draw(self, method, dtype, *arguments)
        for thread, states in _watchers:
            if thread == threading.get_ident():
                states.setdefault(id(self), (self, self.state()))
        return self.draw_now(method, dtype, *arguments)

    def draw_now(self, method: str, dtype: str, *arguments: Any) -> Array:
        """``method`` of the library's generator, as an array of the library in use."""
        if dtype not in ("", "float32", "float64"):
            raise ValueError(f'random numbers are "float32" or "float64", not {dtype!r}')
        options = {"dtype": dtype} if dtype else {}
        return backend.asarray(getattr(self._rng, method)(*arguments, **options), dtype=getattr(xp, dtype) if dtype else None)

    def state(self) -> numpy.ndarray[Any, Any]:
        """Where the stream is, as an array on the host: for :meth:`restore`, and to be saved."""
        return backend.rng_state(self._rng)

    def restore(self, state: numpy.ndarray[Any, Any]) -> None:
        """Go to where :meth:`state` was taken."""
        _not_while_recording("restores a generator")
        backend.restore_rng(self._rng, state)

    def spawn(self) -> Generator:
        """A generator with a stream of its own, whose seed is drawn from this one."""
        return Generator([int(backend.to_numpy(word)) for word in self.integers(0, 2**31, (4,))])

    def normal(self, shape: int | tuple[int, ...] = (), dtype: str = "float32") -> Array:
        """Standard normal numbers, N(0, 1)."""
        return self._draw("standard_normal", dtype, shape)

    def uniform(self, shape: int | tuple[int, ...] = (), dtype: str = "float32") -> Array:
        """Uniform numbers in [0, 1)."""
        return self._draw("random", dtype, shape)

    def integers(self, low: int, high: int, shape: int | tuple[int, ...] = ()) -> Array:
        """Integers from ``low`` up to, but not with, ``high``."""
        return self._draw("integers", "", low, high, shape)

    def bernoulli(self, p: Array) -> Array:
        """1 with probability ``p``, else 0, in the shape and dtype of ``p``. The draw has no derivative in ``p``.

        Raises :class:`~pydgm.errors.DomainError` for probabilities below 0, above 1 or NaN.
        """
        checks.array(p, "Generator.bernoulli: p")
        checks.within(p, 0.0, 1.0, "Generator.bernoulli: p")
        p = stop_gradient(p)
        dtype = "float64" if "64" in str(p.dtype) else "float32"
        return xp.astype(self.uniform(tuple(p.shape), dtype) < p, p.dtype)

    def categorical(self, logits: Array) -> Array:
        """One index for each row of ``logits`` over the last axis, with probabilities softmax(logits): Gumbel's maximum."""
        logits = stop_gradient(logits)
        dtype = "float64" if "64" in str(logits.dtype) else "float32"
        return xp.argmax(logits + self.gumbel(tuple(logits.shape), dtype), axis=-1)

    def gumbel(self, shape: int | tuple[int, ...] = (), dtype: str = "float32") -> Array:
        """Standard Gumbel numbers, -log(-log u): the largest of logits and these is a draw of softmax(logits)."""
        return -xp.log(-xp.log1p(-self.uniform(shape, dtype)) + 1e-30)  # log1p: uniform can be 0, not 1

    def permutation(self, n: int) -> Array:
        """0, ..., n - 1 in random order."""
        return xp.argsort(self.uniform((n,), xp.library.longest_float))


_watchers: list[tuple[int, dict[int, tuple[Generator, Any]]]] = []


@contextmanager
def states_before(states: dict[int, tuple[Generator, Any]]) -> Iterator[None]:
    """Write down where each generator stood before this thread first drew from it."""
    watcher = (threading.get_ident(), states)
    _watchers.append(watcher)
    try:
        yield
    finally:
        _watchers.remove(watcher)


def _not_while_recording(what: str) -> None:
    """A compiled function's draws go on from call to call: a stream cannot begin inside it."""
    notes = backend.recorder()
    if notes is not None and notes.open:
        raise RuntimeError(f"a compiled function {what}: do that outside, and let it draw from there {caller()}")
