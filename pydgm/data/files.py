"""Real data: where it is looked for, and readers that say what is wrong with a file."""

from __future__ import annotations

import gzip
import math
import os
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy

from ..errors import DataError
from . import published
from .dataset import Dataset, Rows, split_off

ByteArray = numpy.ndarray[Any, numpy.dtype[numpy.uint8]]


def cache() -> Path:
    """The user's own cache, where ``python -m pydgm.data`` puts downloads."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pydgm"


def find(name: str, folder: str | os.PathLike[str] | None = None) -> Path | None:
    """The folder of the data set ``name``, or ``None`` if it is nowhere.

    Looked for in ``folder``, else in ``PYDGM_DATA``; what is named there must be there, or :class:`DataError` is raised.
    With neither, in ``../shared/data`` beside the project (one copy for a whole class), then in the user's cache.
    """
    named = folder or os.environ.get("PYDGM_DATA")
    if named:
        wanted = Path(named) / name
        if not wanted.is_dir():
            raise DataError(f"there is no folder {wanted}: --data and PYDGM_DATA name a folder that holds {name}/")
        return wanted
    beside = Path(__file__).resolve().parents[2].parent / "shared" / "data"
    places = [place / name for place in (beside, cache())]
    return next((place for place in places if place.is_dir() and any(place.iterdir())), None)  # a failed download leaves none


def read_idx(path: Path, dims: int) -> ByteArray:
    """An idx file of bytes with ``dims`` axes, gzipped or not: the format of MNIST.

    Header, big-endian: two zero bytes, the type (8: unsigned byte), the number of axes, then each axis's length.
    """
    try:
        with (gzip.open if path.suffix == ".gz" else open)(path, "rb") as file:
            header = file.read(4 + 4 * dims)
            if len(header) < 4 or header[:4] != bytes([0, 0, 8, dims]):
                raise DataError(f"{path} starts with {header[:4].hex()}, an idx file of {dims} axes with 000008{dims:02x}")
            if len(header) < 4 + 4 * dims:
                raise DataError(f"{path} is truncated: its header ends after {len(header)} bytes")
            shape = struct.unpack(f">{dims}I", header[4:])
            size = math.prod(shape)
            if size >= 2**31:
                raise DataError(f"{path} is damaged: its header promises {size} bytes of data")
            body = file.read(size + 1)
    except FileNotFoundError:
        raise DataError(f"{path} is missing") from None
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} cannot be read: {error}") from None
    if len(body) != size:
        held = "more" if len(body) > size else f"only {len(body)}"
        raise DataError(f"{path} is damaged: its header promises {size} bytes of data, it holds {held}")
    return numpy.frombuffer(body, dtype=numpy.uint8).reshape(shape)


def _folder(folder: Any) -> Path:
    if not isinstance(folder, str | os.PathLike):
        raise DataError(
            f"wanted the folder of the data set, dgm.data.find(name), say, which is None where it is not here; got {folder!r}"
        )
    return Path(folder)


def _published_idx(folder: Path, name: str, dims: int) -> ByteArray:
    plain = folder / name
    path = plain if plain.exists() else folder / f"{name}.gz"
    array = read_idx(path, dims)
    header = bytes([0, 0, 8, dims]) + struct.pack(f">{dims}I", *array.shape)
    published.check(name, path, header, array.tobytes())
    return array


def mnist(folder: str | os.PathLike[str]) -> Dataset:
    """Handwritten digits (LeCun, Cortes and Burges) from the four idx files, gzipped or not: 28 x 28, grey values in [0, 1].

    Of the 60,000 training images the last 10,000 are ``valid``; 10,000 are ``test``.
    """
    parts: dict[str, Any] = {}
    for part in ("train", "t10k"):
        images = _published_idx(_folder(folder), f"{part}-images-idx3-ubyte", 3)
        labels = _published_idx(_folder(folder), f"{part}-labels-idx1-ubyte", 1)
        if images.shape[1:] != (28, 28) or len(images) != len(labels) or len(images) == 0:
            raise DataError(f"{folder}: {part} holds images {images.shape} and labels {labels.shape}, not (n, 28, 28) and (n,)")
        if labels.max() > 9:
            raise DataError(f"{folder}: {part} holds the label {labels.max()}, digits end at 9")
        parts[part] = images.reshape(len(images), 784).astype("float32") / numpy.float32(255), labels
    images, labels = parts["train"]
    train, valid = split_off(images, labels, len(images) // 6)
    return Dataset(train, valid, Rows(*parts["t10k"]), (28, 28), "MNIST, handwritten digits")


def _binary(path: str | os.PathLike[str], columns: int | None = None) -> dict[str, ByteArray]:
    """``train``, ``valid`` and ``test`` in one npz file, all with the same number of columns."""
    try:
        with open(path, "rb") as raw, numpy.load(raw, allow_pickle=False) as file:
            parts = {name: numpy.asarray(file[name]) for name in ("train", "valid", "test")}
    except FileNotFoundError:
        raise DataError(f"{path} is missing") from None
    except KeyError as error:
        raise DataError(f"{path} has no array {error}: wanted train, valid and test") from None
    except (OSError, EOFError, ValueError, TypeError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(f"{path} is no readable npz file: {error}") from None
    for name, part in parts.items():
        wanted = parts["train"].shape[1:] if columns is None else (columns,)
        if part.ndim != 2 or part.shape[1:] != wanted or 0 in part.shape:
            raise DataError(
                f"{path}: {name} has shape {part.shape}, wanted (n, {wanted[0] if len(wanted) == 1 else 'columns'})"
            )
        if part.dtype != numpy.uint8 or part.max() > 1:
            raise DataError(f"{path}: {name} holds {part.dtype} up to {part.max()}, wanted uint8 zeros and ones")
    return parts


def binarized_mnist(folder: str | os.PathLike[str]) -> Dataset:
    """The fixed binarisation of MNIST (Larochelle), ``binarized_mnist.npz``: rows of 784 bits; 50,000, 10,000 and 10,000."""
    return _published_rows(_folder(folder) / "binarized_mnist.npz", (28, 28), "binarised MNIST")


def uci_binary(folder: str | os.PathLike[str], name: str) -> Dataset:
    """One of the small sets on which RBM, NADE and MADE are compared: ``dna``, ``mushrooms``, ``nips``. Rows of bits."""
    return _published_rows(_folder(folder) / f"{name}.npz", None, f"UCI, {name}")


def _published_rows(path: Path, shape: tuple[int, ...] | None, source: str) -> Dataset:
    parts = _binary(path, None if shape is None else math.prod(shape))
    published.check(path.stem, path, *[part.tobytes() for part in parts.values()])
    rows = {name: Rows(part.astype("float32")) for name, part in parts.items()}
    shape = rows["train"].x.shape[1:] if shape is None else shape
    return Dataset(rows["train"], rows["valid"], rows["test"], shape, source)
