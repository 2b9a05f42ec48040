"""Program: what one recording became."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from .emit import Written
from .traced import Node, Step
from .watch import Watched


@dataclasses.dataclass
class Program:
    """The function that runs, what it was made of, and what is known of its calls."""

    run: Callable[..., list[Any]]
    unpack: Callable[[Any], list[Any] | None]  # arguments to leaves; None if they are not of this program's kind
    pack: Callable[[list[Any]], Any]  # leaves to results
    written: Written
    arrays: list[int]  # which leaves of the arguments are arrays
    donated: list[int]  # which of them may be written over
    owners: frozenset[int | None]  # the memory of the constants
    watched: list[Watched]  # what the function uses and is not given
    inputs: list[Node]
    steps: list[Step]  # as they were recorded, to find out what is different
    outputs: list[Any]
    generators: list[Any]
    calls: int = 0
    unchecked: bool = False  # a call is to be checked, and none was since
