"""Scripts of lessons, exercises and demos: where they lie, what they say of themselves, and how they are imported."""

from __future__ import annotations

import ast
import importlib.util
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def scripts_in(what: str) -> dict[str, Path]:
    """Those of ``lessons/WHAT/FAMILY`` by their names, in a clone or installed."""
    spec = importlib.util.find_spec("pydgm.lessons") or importlib.util.find_spec("lessons")
    (folder,) = (spec.submodule_search_locations if spec else None) or [""]
    return {path.stem: path for path in sorted(Path(folder, what).glob("*/[a-z]*.py"))}


def docstring(path: Path) -> str:
    """What a script says of itself. Its first line is its title."""
    return ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""


def title(path: Path) -> str:
    """The docstring's first line."""
    return docstring(path).split("\n")[0]


def table(titles: Mapping[str, str]) -> str:
    """Names and titles in two columns."""
    width = max(map(len, titles))
    return "\n".join(f"{name:<{width}}  {text}" for name, text in titles.items())


def imported(file: Path, name: str) -> Any:
    """The module of a file, fresh."""
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise ImportError(f"{file} cannot be read as Python")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module
