"""Sentences with a label: readers of SST2, MR and CR, and a small grammar whose right answers are known."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy

from ..errors import DataError
from . import published
from .dataset import Dataset
from .files import _folder

Words = tuple[str, ...]
PADDING, UNKNOWN = 0, 1  # the numbers of no word, and of a word that is not in the vocabulary


class Sentences(NamedTuple):
    """Tokens of each sentence, and its label: 0 negative, 1 positive."""

    words: list[Words]
    labels: numpy.ndarray[Any, Any]  # (n,)


def read_labelled(path: str | os.PathLike[str], encoding: str = "utf-8") -> Sentences:
    """A file with a sentence on each line: its label 0 or 1, a space, its tokens (CR has a sentence of none).

    Raises :class:`DataError` that names the line, for one that is not so.
    """
    return _labelled(_bytes_of(path), path, encoding)


def _bytes_of(path: str | os.PathLike[str]) -> bytes:
    try:
        return Path(path).read_bytes()
    except FileNotFoundError:
        raise DataError(f"{path} is missing") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error}") from None


def _labelled(raw: bytes, path: str | os.PathLike[str], encoding: str) -> Sentences:
    words, labels = [], []
    for number, line in enumerate(raw.removesuffix(b"\n").split(b"\n"), start=1):
        try:
            text = line.decode(encoding)
        except UnicodeDecodeError as error:
            raise DataError(f"{path}, line {number}: not {encoding}: {error.reason}") from None
        label, space, tokens = text[:1], text[1:2], [token for token in text[2:].strip("\r").split(" ") if token]
        if label not in ("0", "1") or space != " ":
            raise DataError(f"{path}, line {number}: wanted a label, 0 or 1, a space and words, found {text[:40]!r}")
        words.append(tuple(tokens))
        labels.append(int(label))
    return Sentences(words, numpy.array(labels))


def sst2(folder: str | os.PathLike[str], phrases: bool = False) -> Dataset:
    """The Stanford Sentiment Treebank without neutral sentences (Socher et al. 2013): 6920, 872 and 1821 sentences.

    ``phrases=True`` trains on all 76,961 labelled phrases of the training sentences instead.
    """
    names = ("phrases.train" if phrases else "train", "dev", "test")
    train, valid, test = (_published(folder, f"stsa.binary.{name}") for name in names)
    return Dataset(train, valid, test, (), f"SST2, {len(train.words)} {'phrases' if phrases else 'sentences'}")


def mr(folder: str | os.PathLike[str], seed: int = 0) -> Dataset:
    """Movie reviews (Pang and Lee 2005): 10,662 sentences, a tenth of them valid, a tenth test, at random by ``seed``."""
    return _split(_published(folder, "rt-polarity.all", "latin-1"), seed, "movie reviews")


def cr(folder: str | os.PathLike[str], seed: int = 0) -> Dataset:
    """Customer reviews (Hu and Liu 2004): 3775 sentences, a tenth of them valid, a tenth test, at random by ``seed``."""
    return _split(_published(folder, "custrev.all", "ascii"), seed, "customer reviews")


def _split(sentences: Sentences, seed: int, source: str) -> Dataset:
    """A tenth to choose by, a tenth to be tested on: published without a split, these sets are used in tenths."""
    n = len(sentences.words)
    order = numpy.random.default_rng(seed).permutation(n)
    parts = numpy.split(order, [n - 2 * (n // 10), n - n // 10])
    train, valid, test = (Sentences([sentences.words[i] for i in part], sentences.labels[part]) for part in parts)
    return Dataset(train, valid, test, (), f"{source}, {n} sentences")


def _published(folder: str | os.PathLike[str], name: str, encoding: str = "utf-8") -> Sentences:
    path = _folder(folder) / name
    raw = _bytes_of(path)
    published.check(name, path, raw)
    return _labelled(raw, path, encoding)


# A small grammar

_NOUNS = ("film", "plot", "cast", "score", "script", "camera", "ending", "pace", "humour", "story", "acting", "dialogue")
_ADVERBS = ("quite", "rather", "very", "truly", "really")
_POSITIVE = ("good", "great", "funny", "clever", "moving", "bright", "fresh", "warm", "brilliant", "charming")
_NEGATIVE = ("bad", "poor", "dull", "clumsy", "boring", "stale", "weak", "cold", "awful", "tedious")


def but_sentences(rng: numpy.random.Generator, n: int, share: float = 0.5, noise: float = 0.0) -> tuple[Sentences, Sentences]:
    """Generated sentences, and the same with their true labels.

    A clause is "the film is rather dull", positive or negative with its adjective. A sentence is a clause, or, for a ``share``
    of them, "A but B", two clauses, whose label is B's: the rule holds always. In the first result the labels of A-but-B
    sentences are wrong with probability ``noise``; those of single clauses are right.
    """
    words, truth = [], rng.integers(0, 2, n)
    double = rng.random(n) < share

    def clause(label: int) -> Words:
        adverb = (str(rng.choice(_ADVERBS)),) if rng.random() < 0.5 else ()
        return ("the", str(rng.choice(_NOUNS)), "is", *adverb, str(rng.choice(_POSITIVE if label else _NEGATIVE)))

    for label, two in zip(truth, double, strict=True):
        words.append((*clause(int(rng.integers(0, 2))), "but", *clause(label)) if two else clause(label))
    wrong = double & (rng.random(n) < noise)
    return Sentences(words, numpy.where(wrong, 1 - truth, truth)), Sentences(words, truth)


def generated_sentences(rng: numpy.random.Generator, n: int, noise: float = 0.4) -> Dataset:
    """``n`` of :func:`but_sentences` to learn from; 500 to choose by and 1000 to be tested on have their true labels."""
    train, _ = but_sentences(rng, n, noise=noise)
    _, test = but_sentences(rng, 1000)
    _, valid = but_sentences(rng, 500)
    return Dataset(train, valid, test, (), "generated sentences", real=False)


# Words and numbers


def _words(sentence: Words) -> Words:
    if isinstance(sentence, str):
        raise TypeError(f"a sentence is a tuple of words, not the text {sentence[:40]!r}: text.split() makes words of it")
    return sentence


def vocabulary(sentences: Iterable[Words], least: int = 1) -> dict[str, int]:
    """A number for each word that occurs ``least`` times or more, from 2 on, the most frequent first."""
    counts = Counter(word for words in sentences for word in _words(words))
    known = sorted((word for word, n in counts.items() if n >= least), key=lambda word: (-counts[word], word))
    return {word: number for number, word in enumerate(known, start=2)}


def encode(sentences: Sequence[Words], numbers: dict[str, int], length: int | None = None) -> numpy.ndarray[Any, Any]:
    """Rows of numbers (n, length): 1 for unknown words, 0 after a sentence's end. What is longer than ``length`` is cut."""
    length = max(map(len, sentences), default=0) if length is None else length
    rows = numpy.full((len(sentences), length), PADDING)
    for row, words in zip(rows, sentences, strict=True):
        known = [numbers.get(word, UNKNOWN) for word in _words(words)[:length]]
        row[: len(known)] = known
    return rows


def after_but(words: Words) -> Words | None:
    """B of "A but B": what follows the first "but" that is neither the first word nor the last; ``None`` without one."""
    at = next((i for i, word in enumerate(words) if word == "but" and 0 < i < len(words) - 1), None)
    return None if at is None else words[at + 1 :]
