"""Errors that teach: one sentence that names the operation, the shapes and the caller's own line."""

from __future__ import annotations

import linecache
import os
import sys

_HERE = os.path.dirname(os.path.abspath(__file__)) + os.sep


def caller() -> str:
    """The innermost line of the program that is not pydgm's own, as ``at file.py:12: code``."""
    frame = sys._getframe(1)
    while frame is not None:
        file = frame.f_code.co_filename
        if not file.startswith(_HERE) and not file.startswith("<"):
            code = linecache.getline(file, frame.f_lineno).strip()
            return f"at {os.path.basename(file)}:{frame.f_lineno}" + (f": {code}" if code else "")
        frame = frame.f_back  # type: ignore[assignment]
    return "(the calling line is not known)"


def shape_text(x: object) -> str:
    """How an argument is named in an error: its shape and dtype, or itself when it is no array."""
    shape = getattr(x, "shape", None)
    return repr(x) if shape is None else f"{tuple(shape)} {getattr(x, 'dtype', '')}".rstrip()


class ShapeError(ValueError):
    """Shapes that do not fit, axes that do not exist."""


class TreeError(ValueError):
    """Two trees that should have the same structure and do not."""


class NaNError(ArithmeticError):
    """A NaN was made while ``dgm.debug_nans()`` was on."""


class BackendError(RuntimeError):
    """An array library that is not there, or has no device to run on."""
