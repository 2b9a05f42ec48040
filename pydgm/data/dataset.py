"""What a data set is: rows to learn from, to choose by, and to be tested on. And batches of rows that can be found again."""

from __future__ import annotations

import dataclasses
import functools
import zlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy

from .. import checks
from ..backend import Array, asarray, to_numpy
from ..random import Generator


@dataclasses.dataclass(frozen=True)
class Rows:
    """Examples in rows, ``x`` (n, ...), each perhaps with a label, an integer."""

    x: numpy.ndarray[Any, Any]
    labels: numpy.ndarray[Any, Any] | None = None

    def __post_init__(self) -> None:
        if self.labels is not None and len(self.labels) != len(self.x):
            raise ValueError(f"Rows: {len(self.x)} examples and {len(self.labels)} labels")

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, rows: Any) -> Rows:
        """Some of them: ``rows[:100]``, ``rows[rows.labels == 3]``."""
        return Rows(self.x[rows], None if self.labels is None else self.labels[rows])

    def batches(self, rng: Generator, size: int, passes: int = 1, labels: bool = False) -> Batches:
        """All rows in random order, ``size`` at a time, ``passes`` times over; with ``labels`` pairs (x, labels).

        A last short batch is left out of each pass. The order is a function of one seed, drawn from ``rng``, so that a run can
        go on in the middle.
        """
        return Batches(self, rng, size, passes, labels)


class _Batches(Sequence[Any]):
    """Batch s is a function of a seed, drawn from ``rng``, and of s alone: a sequence, of which nothing is kept."""

    def __init__(self, rng: Generator) -> None:
        self._seed = [int(to_numpy(word)) for word in rng.integers(0, 2**31, (4,))]

    def _batch(self, s: int) -> Any:
        raise NotImplementedError(f"{type(self).__name__} does not say what its batches are")

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise IndexError(f"batch {index} of {len(self)}")
        return self._batch(index % len(self))


class Batches(_Batches):
    """All rows in random order, ``passes`` times over: :meth:`Rows.batches`."""

    def __init__(self, rows: Rows, rng: Generator, size: int, passes: int = 1, labels: bool = False) -> None:
        checks.count(size, "batches: the size of a batch")
        checks.count(passes, "batches: passes")
        if size > len(rows):
            raise ValueError(f"batches of {size} from {len(rows)} examples: wanted between 1 and {len(rows)}")
        if labels and rows.labels is None:
            raise ValueError("batches: these rows have no labels")
        super().__init__(rng)
        self._rows, self._size, self._labels = rows, size, labels
        self._each, self._passes = len(rows) // size, passes
        self._order = functools.lru_cache(maxsize=2)(self._shuffled)  # of this pass, and of the one before

    def name(self) -> str:
        """What they are, to the last bit, for a run that is to go on: :func:`pydgm.train.run`."""
        parts = [part for part in (self._rows.x, self._rows.labels if self._labels else None) if part is not None]
        crc = zlib.crc32(b"".join([f"{part.dtype}{part.shape}".encode() + part.tobytes() for part in parts]))
        return f"{len(self)} of {self._size} from {len(self._rows)} rows {crc:08x}, seed {self._seed}"

    def __len__(self) -> int:
        return self._each * self._passes

    def _batch(self, s: int) -> Any:
        turn, place = divmod(s, self._each)
        # formula: data
        some = self._order(turn)[place * self._size : (place + 1) * self._size]
        x = asarray(self._rows.x[some])
        return (x, asarray(self._rows.labels[some])) if self._labels and self._rows.labels is not None else x

    def _shuffled(self, turn: int) -> Array:
        return numpy.random.default_rng([*self._seed, turn]).permutation(len(self._rows))


class Fresh(_Batches):
    """``steps`` batches of ``size`` new draws each: ``Fresh(p.sample, rng, 256, 1000)``, ``Fresh(moons, rng, 256, 1000)``."""

    def __init__(self, sample: Callable[[Generator, int], Array], rng: Generator, size: int, steps: int) -> None:
        checks.count(size, "Fresh: the size of a batch")
        checks.count(steps, "Fresh: steps")
        super().__init__(rng)
        self._sample, self._size, self._steps = sample, size, steps

    def name(self) -> str:
        """What they are, for a run that is to go on: :func:`pydgm.train.run`."""
        first = to_numpy(self[0])
        return f"{len(self)} of {self._size} draws {zlib.crc32(first.tobytes()):08x}, seed {self._seed}"

    def __len__(self) -> int:
        return self._steps

    def _batch(self, s: int) -> Any:
        return self._sample(Generator([*self._seed, s]), self._size)


@dataclasses.dataclass(frozen=True)
class Dataset:
    """``train`` to learn from, ``valid`` to choose by, ``test`` to report; all :class:`Rows` (or :class:`Sentences`)."""

    train: Any
    valid: Any
    test: Any
    shape: tuple[int, ...]  # of one example, (28, 28) for rows of 784 pixels
    source: str  # what they are, in words
    real: bool = True  # False: made here


def split_off(x: numpy.ndarray[Any, Any], labels: Any, last: int) -> tuple[Rows, Rows]:
    """Rows to learn from, and the ``last`` ones to choose by."""
    at = len(x) - last
    return Rows(x[:at], labels[:at]), Rows(x[at:], labels[at:])
