"""Characters of many alphabets, drawn from the fonts that matplotlib carries: images without a download.

Each image is one character in one typeface, turned, sheared, stretched and moved at random, in MNIST's format: 28 x 28, ink
bright on black, about 20 pixels high. One seed gives one set of images (for one version of matplotlib and its fonts).
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy

from .. import checks
from ..errors import to_install
from .dataset import Dataset, Rows, split_off

ALPHABETS = {
    "digits": "0123456789",
    "latin": "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz",
    "greek": "ΑΒΓΔΕΖΗΘΙΚΛΜΝΞΟΠΡΣΤΥΦΧΨΩαβγδεζηθικλμνξοπρστυφχψω",
    "cyrillic": "АБВГДЕЖЗИЙКЛМНОПРСТУФХЦЧШЩЪЫЬЭЮЯабвгдежзийклмнопрстуфхцчшщъыьэюя",
    "armenian": "".join(map(chr, [*range(0x531, 0x557), *range(0x561, 0x587)])),
    "hebrew": "".join(map(chr, range(0x5D0, 0x5EB))),
    "arabic": "".join(map(chr, [*range(0x627, 0x63B), *range(0x641, 0x64B)])),
    "georgian": "".join(map(chr, range(0x10D0, 0x10F1))),
    "lao": "".join(map(chr, [0xE81, 0xE82, 0xE84, 0xE87, 0xE88, 0xE8A, 0xE8D, *range(0xE94, 0xE98), *range(0xE99, 0xEA0)])),
    "tifinagh": "".join(map(chr, range(0x2D30, 0x2D66))),
    "ogham": "".join(map(chr, range(0x1681, 0x169B))),
}
"""The characters of each alphabet; those that a typeface lacks are drawn in the others."""

_FACES = ["DejaVuSans", "DejaVuSans-Bold", "DejaVuSans-Oblique", "DejaVuSerif", "DejaVuSerif-Italic", "DejaVuSansMono"]
_FACES += ["DejaVuSerif-Bold", "DejaVuSansMono-Bold", "STIXGeneral", "STIXGeneralItalic", "cmr10", "cmss10"]
_TEMPLATE = 40  # pixels a side of a character before it is bent and drawn half as large
Bitmap = numpy.ndarray[Any, numpy.dtype[numpy.float32]]


@functools.cache
def _templates(characters: str) -> tuple[Bitmap, list[list[int]]]:
    """Every character in every typeface that has it: bitmaps (n, 40, 40) in [0, 1], and which of them are each character."""
    try:
        matplotlib = importlib.import_module("matplotlib")
        ft2font = importlib.import_module("matplotlib.ft2font")
    except ImportError as error:
        raise ImportError(f"dgm.data.glyphs draws with matplotlib's fonts ({error}): {to_install('lessons')}") from None
    bitmaps: list[Bitmap] = []
    which: list[list[int]] = [[] for _ in characters]
    for face in _FACES:
        font = ft2font.FT2Font(str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / f"{face}.ttf"))
        font.set_size(3 * _TEMPLATE, 72)
        known = font.get_charmap()
        for k, character in enumerate(characters):
            if ord(character) in known:
                font.set_text(character)
                font.draw_glyphs_to_bitmap(antialiased=True)
                which[k].append(len(bitmaps))
                bitmaps.append(_framed(numpy.asarray(numpy.asarray(font.get_image()) / 255.0, dtype="float32")))
    return numpy.stack(bitmaps), which


def _framed(ink: Bitmap) -> Bitmap:
    """The ink scaled so that its longer side fills the frame, in the middle of it."""
    rows, columns = numpy.flatnonzero(ink.any(axis=1)), numpy.flatnonzero(ink.any(axis=0))
    ink = ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    side = max(ink.shape)
    centre = (numpy.arange(2 * _TEMPLATE) + 0.5) / (2 * _TEMPLATE) - 0.5  # two samples for each pixel, averaged below
    y = centre * side + (ink.shape[0] - 1) / 2
    x = centre * side + (ink.shape[1] - 1) / 2
    fine = _bilinear(ink[None], numpy.zeros(1, int), y[None, :, None], x[None, None, :])
    return numpy.asarray(fine.reshape(_TEMPLATE, 2, _TEMPLATE, 2).mean(axis=(1, 3)), dtype="float32")


def _bilinear(sources: Bitmap, which: Any, y: Any, x: Any) -> Bitmap:
    """``sources[which]`` read at the real positions (y, x); black outside."""
    padded: Any = numpy.pad(sources, ((0, 0), (1, 1), (1, 1)))
    y = numpy.clip(y + 1.0, 0.0, padded.shape[1] - 1.001)
    x = numpy.clip(x + 1.0, 0.0, padded.shape[2] - 1.001)
    top, left = y.astype(int), x.astype(int)
    down, right = (y - top).astype("float32"), (x - left).astype("float32")
    n = which[:, None, None]
    upper = padded[n, top, left] * (1 - right) + padded[n, top, left + 1] * right
    lower = padded[n, top + 1, left] * (1 - right) + padded[n, top + 1, left + 1] * right
    return numpy.asarray(upper * (1 - down) + lower * down, dtype="float32")


def _draw(rng: numpy.random.Generator, n: int, characters: str) -> tuple[Bitmap, Any]:
    bitmaps, faces = _templates(characters)
    labels = rng.integers(0, len(characters), n)
    which = numpy.array([rng.choice(faces[k]) for k in labels])
    angle, shear = rng.normal(0.0, 0.13, n), rng.normal(0.0, 0.15, n)
    wide, high = numpy.exp(rng.normal(0.0, 0.1, (2, n))) * 20.0
    move = rng.normal(0.0, 1.0, (2, n, 1, 1))
    pixel = numpy.arange(28) - 13.5
    y, x = pixel[None, :, None] - move[0], pixel[None, None, :] - move[1]
    cos, sin = numpy.cos(angle)[:, None, None], numpy.sin(angle)[:, None, None]
    turned_x, turned_y = cos * x + sin * y, cos * y - sin * x
    source_y = (turned_y / high[:, None, None] + 0.5) * _TEMPLATE - 0.5
    source_x = ((turned_x + shear[:, None, None] * turned_y) / wide[:, None, None] + 0.5) * _TEMPLATE - 0.5
    images = _bilinear(bitmaps, which, source_y, source_x)
    return images.reshape(n, 784), labels


def by_hand_and_in_type(digits: Rows, seed: int = 0) -> Rows:
    """Two views of each digit of ``digits``, 28 x 28: as it is, in 14 x 14 pixels, and in type beside it, (n, 2, 196).

    All type is in one typeface, ten pixels high, moved to the left or the right by up to two pixels at random, so that the two
    views share which digit it is, and nothing else. Raises ``ImportError`` without matplotlib.
    """
    labels = getattr(digits, "labels", None)
    if labels is None:
        raise ValueError(
            "by_hand_and_in_type: rows without labels: which digits are to be set in type? Of a data set, its train"
        )
    checks.width(digits.x, 784, "by_hand_and_in_type: digits")
    checks.within(digits.x, 0.0, 1.0, "by_hand_and_in_type", ": are pixels to be divided by 255?")
    checks.labels(labels, 10, (len(digits),), "by_hand_and_in_type")
    bitmaps, faces = _templates(ALPHABETS["digits"])
    which, pixel, high = numpy.array([faces[k][0] for k in labels]), (numpy.arange(28) - 13.5) / 2.0, 10.0  # half pixels
    shift = numpy.random.default_rng(seed).uniform(-2.0, 2.0, (len(digits), 1, 1))
    y = numpy.broadcast_to((pixel[None, :, None] / high + 0.5) * _TEMPLATE - 0.5, (len(digits), 28, 1))
    typeset = _bilinear(bitmaps, which, y, ((pixel - shift) / high + 0.5) * _TEMPLATE - 0.5)
    views = numpy.stack([digits.x.reshape(-1, 28, 28), typeset], axis=1).reshape(-1, 2, 14, 2, 14, 2).mean(axis=(3, 5))
    return Rows(views.reshape(-1, 2, 196).astype("float32"), labels)


def glyphs(n_train: int = 10_000, n_test: int = 2_000, seed: int = 0, alphabets: Sequence[str] = tuple(ALPHABETS)) -> Dataset:
    """Images of the characters of ``alphabets``; a label is a character's position in their characters put together.

    The last tenth of the ``n_train`` images is ``valid``.

    Raises ``ValueError`` for an unknown alphabet, ``ImportError`` without matplotlib.
    """
    unknown = set(alphabets) - set(ALPHABETS)
    if unknown or not alphabets:
        raise ValueError(f"glyphs: unknown alphabets {sorted(unknown)}; there are {', '.join(ALPHABETS)}")
    characters = "".join(ALPHABETS[a] for a in alphabets)
    rng = numpy.random.default_rng(seed)
    batches = [_draw(rng, min(1000, n_train + n_test - i), characters) for i in range(0, n_train + n_test, 1000)]
    images, labels = (numpy.concatenate(parts) for parts in zip(*batches, strict=True))
    source = f"characters drawn from fonts ({', '.join(alphabets)})"
    train, valid = split_off(images[:n_train], labels[:n_train], n_train // 10)
    return Dataset(train, valid, Rows(images[n_train:], labels[n_train:]), (28, 28), source, real=False)
