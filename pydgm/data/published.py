"""What the published data sets contain, so that a truncated, zero-filled or half downloaded file is not taken for one of them.

A set that is read by its name (``dgm.data.mnist``, ``sst2``, ...) is compared with these sizes and SHA-256 hashes each time it
is read; hashing takes some 30 ms for MNIST, a tenth of unpacking it. Hashes are of what a file contains: of an idx file's bytes
after unpacking, of an npz file's arrays, so another compression does not matter.
"""

from __future__ import annotations

import hashlib
import os

from ..errors import DataError

CONTENT: dict[str, tuple[int, str]] = {
    "train-images-idx3-ubyte": (47040016, "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db"),
    "train-labels-idx1-ubyte": (60008, "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5"),
    "t10k-images-idx3-ubyte": (7840016, "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7"),
    "t10k-labels-idx1-ubyte": (10008, "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"),
    "binarized_mnist": (54880000, "07ad6da6ba6894a550cb68ae290ff3deb006a01f6b6ce1b3123edec502f1fce8"),
    "dna": (573480, "8f65d8ffdfff0d7fbd88c69e5fb90b05e0a671fbac59900c4fe607a8be3c1b41"),
    "mushrooms": (909888, "c129bab9732f4a35900d99cfc0c259e2cc6efd950292a4eaa193bbc88cc7c092"),
    "nips": (870000, "21d5556732ab50d51830c7c6bae988d0f7ba42dd586ec9df38915c5b955f6f1f"),
    "stsa.binary.train": (738844, "71c04bcc41291fa47454dd670df701b14ee9249156babeaac404cfe2c8d74338"),
    "stsa.binary.phrases.train": (4247520, "84b176bb35794e363b30e63fa17bf61a093753ae456c8037d8103050a9bcb49d"),
    "stsa.binary.dev": (94400, "02fedc82855dbdcabe82c65ed1af6c6570788eaac51073cdb35ee8c7784426d1"),
    "stsa.binary.test": (193562, "6a80dc9b9a0db2d3b37f2f809304febad31c90ab67a5b4157b7d9f881c53ef5b"),
    "rt-polarity.all": (1259719, "b8846c3bbd59241f901efdc58f7c515e4b280ab3561fd1858caa5aa48da95a8a"),
    "custrev.all": (374094, "a3839a79bd3285177a07158c6104b49038a7a06ab2abe897734cde5d22e5e325"),
}
"""Bytes and SHA-256 of each file's content."""

DRAWINGS: dict[str, int] = {"background": 964 * 20, "evaluation": 659 * 20}
"""Of Omniglot the number of drawings; each is guarded by the checksum of its zip file."""


def check(name: str, path: str | os.PathLike[str], *content: bytes) -> None:
    """Raise :class:`DataError` unless ``content``, put together, is what is published under ``name``."""
    if name not in CONTENT:
        return
    size, sha256 = CONTENT[name]
    length = sum(map(len, content))
    if length != size:
        raise DataError(f"{path} is not whole: it holds {length} bytes, the published one {size}")
    digest = hashlib.sha256()
    for part in content:
        digest.update(part)
    if digest.hexdigest() != sha256:
        raise DataError(
            f"{path} is damaged: its SHA-256 is {digest.hexdigest()[:12]}..., that of the published one {sha256[:12]}..."
        )


def check_drawings(part: str, folder: str | os.PathLike[str], number: int) -> None:
    """Raise :class:`DataError` unless Omniglot's ``part`` has all of its drawings."""
    if part in DRAWINGS and number != DRAWINGS[part]:
        raise DataError(f"{folder} is not whole: images_{part} holds {number} drawings, the published one {DRAWINGS[part]}")
