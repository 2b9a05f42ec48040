"""Data: toys in the plane, readers for real files, and characters rendered from fonts, for which nothing is downloaded."""

from .files import BinaryRows, DataError, Images, binarized_mnist, find, mnist, uci_binary
from .glyphs import ALPHABETS, glyphs
from .omniglot import omniglot
from .toys import bars_and_stripes, checkerboard, grid_of_gaussians, moons, ring_of_gaussians, rings, swiss_roll

__all__ = [
    "ALPHABETS",
    "BinaryRows",
    "DataError",
    "Images",
    "bars_and_stripes",
    "binarized_mnist",
    "checkerboard",
    "find",
    "glyphs",
    "grid_of_gaussians",
    "mnist",
    "moons",
    "omniglot",
    "ring_of_gaussians",
    "rings",
    "swiss_roll",
    "uci_binary",
]
