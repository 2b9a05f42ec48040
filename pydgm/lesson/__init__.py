"""The harness of lessons: options, seed, data, progress, claims that are checked, figures that can be read from afar."""

from .claims import Claim
from .pictures import clusters, curves, density, dots, equation, graph, grid, images, people, smallest_text, tiles
from .run import Run, add_options, start

__all__ = [
    "Claim",
    "Run",
    "add_options",
    "clusters",
    "curves",
    "density",
    "dots",
    "equation",
    "graph",
    "grid",
    "images",
    "people",
    "smallest_text",
    "start",
    "tiles",
]
