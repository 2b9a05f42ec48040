"""Every data set by its name: ``dgm.data.load("mnist")``."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy

from ..errors import DataError
from .dataset import Dataset
from .files import binarized_mnist, find, mnist, uci_binary
from .glyphs import glyphs
from .omniglot import omniglot
from .sentences import cr, generated_sentences, mr, sst2


class Source(NamedTuple):
    """``read(folder, **options)`` makes it of the files in the folder ``folder``; ``made(seed, **options)`` needs none."""

    what: str
    folder: str
    read: Callable[..., Dataset]
    made: Callable[..., Dataset] | None = None


def _uci(name: str) -> Callable[..., Dataset]:
    return lambda folder: uci_binary(folder, name)


def _characters(seed: int, per_character: int = 20) -> Dataset:
    n = 964 * per_character
    return glyphs(n, n // 2, seed=seed)


SETS: dict[str, Source] = {
    "digits": Source(
        "MNIST; where it is not at hand, digits drawn from fonts",
        "mnist",
        mnist,
        lambda seed: glyphs(seed=seed, alphabets=["digits"]),
    ),
    "characters": Source("Omniglot; where it is not at hand, characters drawn from fonts", "omniglot", omniglot, _characters),
    "reviews": Source(
        "SST2; where it is not at hand, sentences from a grammar",
        "sst2",
        sst2,
        lambda seed, phrases=False: generated_sentences(numpy.random.default_rng([seed, 1]), 3000),
    ),
    "mnist": Source("handwritten digits, 28 x 28, grey", "mnist", mnist),
    "binarized_mnist": Source("handwritten digits in black and white, as published", "binarized_mnist", binarized_mnist),
    "omniglot": Source("handwritten characters of fifty alphabets, 28 x 28", "omniglot", omniglot),
    "sst2": Source("sentences from film reviews, positive or negative", "sst2", sst2),
    "mr": Source("sentences from movie reviews, positive or negative", "mr", mr),
    "cr": Source("sentences from customer reviews, positive or negative", "cr", cr),
    "dna": Source("UCI, 180 bits", "uci_binary", _uci("dna")),
    "mushrooms": Source("UCI, 112 bits", "uci_binary", _uci("mushrooms")),
    "nips": Source("UCI, 500 bits", "uci_binary", _uci("nips")),
}


def load(name: str, folder: str | os.PathLike[str] | None = None, seed: int = 0, **options: Any) -> Dataset:
    """The data set ``name``: ``train``, ``valid``, ``test``, ``shape``, ``source``, ``real``.

    Its files are looked for in ``folder``, else in ``PYDGM_DATA``; what is named there must be there. With neither, in
    ``../shared/data`` beside the project (one copy for a whole class), then in the user's cache, where ``python -m pydgm.data
    fetch`` puts them. "digits", "characters" and "reviews" are made here, by ``seed``, where they are nowhere. ``options``
    are the reader's: ``per_character`` of Omniglot, ``phrases`` of SST2.

    Raises :class:`DataError` for files that are missing or damaged, ``ValueError`` for an unknown name.
    """
    if name not in SETS:
        raise ValueError(f"no data set {name!r}: there are {', '.join(SETS)}")
    source = SETS[name]
    place: Path | None = find(source.folder, folder)
    if place is not None:
        return source.read(place, **options)
    if source.made is not None:
        return source.made(seed, **options)
    raise DataError(
        f"{name} is not here: PYDGM_DATA, --data or folder= names a folder that holds {source.folder}/; "
        f"python -m pydgm.data fetch {source.folder} puts it into your cache"
    )
