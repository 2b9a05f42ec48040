"""Omniglot: 1,623 characters of fifty alphabets, each drawn by twenty people (Lake, Salakhutdinov and Tenenbaum 2015)."""

from __future__ import annotations

import importlib
import io
import os
import re
import zipfile
import zlib
from typing import Any

import numpy

from ..errors import DataError, to_install
from . import published
from .dataset import Dataset, Rows
from .files import _folder

_NAME = re.compile(r"images_(background|evaluation)/[^/]+/character\d+/(\d{4})_\d{2}\.png$")


def omniglot(folder: str | os.PathLike[str], per_character: int = 20) -> Dataset:
    """The drawings in the zip files of ``folder``, ink bright, 105 x 105 averaged down to 28 x 28 over boxes of 3 to 4 pixels.

    ``train`` are the 30 alphabets of ``images_background`` but for the last tenth of their characters, which is ``valid``;
    ``test`` are the 20 of ``images_evaluation``: valid and test are characters that the training set does not know. A label
    is the character's number. ``per_character`` takes that many drawings of each.
    """
    try:
        pillow: Any = importlib.import_module("PIL.Image")
    except ImportError as error:
        raise ImportError(f"dgm.data.omniglot reads PNG files with Pillow ({error}): {to_install('lessons')}") from None
    archives = sorted(_folder(folder).glob("*.zip"))
    if not archives:
        raise DataError(f"{folder} holds no zip file: wanted images_background.zip and images_evaluation.zip, or both in one")
    images: dict[str, list[Any]] = {"background": [], "evaluation": []}
    labels: dict[str, list[int]] = {"background": [], "evaluation": []}
    drawings = {"background": 0, "evaluation": 0}
    for archive in archives:
        taken: dict[str, int] = {}
        try:
            with zipfile.ZipFile(archive) as file:
                for name in sorted(file.namelist()):
                    match = _NAME.search(name)
                    if match is None:
                        continue
                    drawings[match[1]] += 1
                    if taken.get(match[2], 0) >= per_character:
                        continue
                    taken[match[2]] = taken.get(match[2], 0) + 1
                    images[match[1]].append(_shrunk(pillow, file.read(name), f"{archive}: {name}"))
                    labels[match[1]].append(int(match[2]))
        except (OSError, EOFError, zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError) as error:
            raise DataError(f"{archive} cannot be read: {error}") from None
    if not images["background"] or not images["evaluation"]:
        raise DataError(
            f"{folder}: the zip files hold no images_background/ or no images_evaluation/ with ALPHABET/characterNN/"
        )
    for part, number in drawings.items():
        published.check_drawings(part, folder, number)
    parts = [(numpy.stack(images[part]), numpy.array(labels[part])) for part in ("background", "evaluation")]
    (images_before, known), new = parts
    characters = numpy.unique(known)
    held_out = known > characters[-1 - len(characters) // 10]
    train, valid = (Rows(images_before[some], known[some]) for some in (~held_out, held_out))
    return Dataset(train, valid, Rows(*new), (28, 28), "Omniglot, handwritten characters of fifty alphabets")


def _shrunk(pillow: Any, png: bytes, name: str) -> Any:
    """One drawing as 784 floats, 1 where all is ink."""
    try:
        with pillow.open(io.BytesIO(png), formats=["PNG"]) as image:
            if image.size != (105, 105):
                raise DataError(f"{name} is {image.size[0]} x {image.size[1]}, not 105 x 105")
            small = image.convert("L").resize((28, 28), pillow.Resampling.BOX)
    except (OSError, SyntaxError, ValueError, pillow.DecompressionBombError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{name} is no readable PNG file: {error}") from None
    return 1.0 - numpy.asarray(small, dtype="float32").reshape(784) / numpy.float32(255)
