"""The harness of lessons: options, seed, data, progress, claims that are checked, figures that can be read from afar."""

from .claims import Claim
from .film import screen
from .pictures import (
    clusters,
    curves,
    densities,
    density,
    dilations,
    dots,
    ellipse,
    equation,
    graph,
    grid,
    images,
    network,
    people,
    smallest_text,
    tiles,
)
from .run import Run, add_options, options, start

__all__ = [
    "Claim",
    "Run",
    "add_options",
    "clusters",
    "curves",
    "densities",
    "density",
    "dilations",
    "dots",
    "ellipse",
    "equation",
    "graph",
    "grid",
    "images",
    "network",
    "options",
    "people",
    "screen",
    "smallest_text",
    "start",
    "tiles",
]
