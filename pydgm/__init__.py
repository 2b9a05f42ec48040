"""pydgm: learn deep generative models from code that reads like the lecture. ``import pydgm as dgm``."""

import importlib
from typing import Any

from . import autodiff, backend, bijections, distributions, divergences, errors, mcmc, metrics, nn, optim, random, train, trees
from .autodiff import *
from .backend import asarray, to_numpy, use, xp
from .compile import compile, eager
from .nn import Module
from .storage import load, save

_LAZY_MODULES = ("data", "estimators", "lesson", "models", "testing")


def __getattr__(name: str) -> Any:
    """Modules that few programs use, or that need more than NumPy, are imported when they are first asked for."""
    if name in _LAZY_MODULES:
        return importlib.import_module(f"pydgm.{name}")
    if name == "__version__":
        return importlib.import_module("importlib.metadata").version("pydgm")
    raise AttributeError(f"pydgm has no {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_LAZY_MODULES])
