"""Errors that teach: one sentence that names the operation, the shapes and the caller's own line."""

from __future__ import annotations

import linecache
import os
import sys

_NOT_THE_CALLERS = ("pydgm", "numpy", "cupy", "array_api_strict")  # whose frames stand between the program and an error
_FOLDERS = tuple(
    os.path.dirname(os.path.abspath(__file__)).removesuffix("pydgm") + f"{name}{os.sep}" for name in _NOT_THE_CALLERS
)


def _is_library(file: str) -> bool:
    if file.startswith(("<compiled", "<frozen", "<__array_function__")):
        return True
    return file.startswith(_FOLDERS) or any(f"site-packages{os.sep}{name}{os.sep}" in file for name in _NOT_THE_CALLERS)


def caller() -> str:
    """The innermost line of the program that is neither pydgm's nor the array library's, as ``at file.py:12: code``."""
    frame = sys._getframe(1)
    while frame is not None:
        file = frame.f_code.co_filename
        if not _is_library(file):
            code = linecache.getline(file, frame.f_lineno).strip()
            return f"at {os.path.basename(file)}:{frame.f_lineno}" + (f": {code}" if code else "")
        frame = frame.f_back  # type: ignore[assignment]
    return "(the calling line is not known)"


def shape_text(x: object) -> str:
    """How an argument is named in an error: its shape and dtype, or itself when it is no array."""
    if isinstance(x, list | tuple):
        inside = ", ".join(map(shape_text, x))
        return f"[{inside}]" if isinstance(x, list) else f"({inside}{',' if len(x) == 1 else ''})"
    shape = getattr(x, "shape", None)
    text = repr(x) if shape is None or isinstance(x, type) else f"{tuple(shape)} {getattr(x, 'dtype', '')}".rstrip()
    return text if len(text) < 100 else f"{text[:97]}..."


class TaughtError(Exception):
    """An error that ends with the caller's own line."""

    def __init__(self, message: str) -> None:
        super().__init__(f"{message} {caller()}")


class ShapeError(TaughtError, ValueError):
    """Shapes that do not fit, axes that do not exist."""


class TreeError(TaughtError, ValueError):
    """Two trees that should have the same structure and do not."""


class NaNError(TaughtError, ArithmeticError):
    """A NaN was made while ``dgm.debug_nans()`` was on."""


class BackendError(RuntimeError):
    """An array library that is not there, or has no device to run on."""
