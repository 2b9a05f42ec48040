"""Data: toys in the plane, readers for real files; characters and sentences that are made here, so nothing is downloaded."""

from ..errors import DataError
from .dataset import Batches, Dataset, Fresh, Rows
from .files import binarized_mnist, find, mnist, uci_binary
from .glyphs import ALPHABETS, by_hand_and_in_type, glyphs
from .omniglot import omniglot
from .registry import SETS, load
from .sentences import Sentences, but_sentences, cr, generated_sentences, mr, sst2
from .sprites import Sprites, sprites
from .toys import bars_and_stripes, checkerboard, grid_of_gaussians, moons, ring_of_gaussians, rings, swiss_roll

__all__ = [
    "ALPHABETS",
    "SETS",
    "Batches",
    "DataError",
    "Dataset",
    "Fresh",
    "Rows",
    "Sentences",
    "Sprites",
    "bars_and_stripes",
    "binarized_mnist",
    "but_sentences",
    "by_hand_and_in_type",
    "checkerboard",
    "cr",
    "find",
    "generated_sentences",
    "glyphs",
    "grid_of_gaussians",
    "load",
    "mnist",
    "moons",
    "mr",
    "omniglot",
    "ring_of_gaussians",
    "rings",
    "sprites",
    "sst2",
    "swiss_roll",
    "uci_binary",
]
