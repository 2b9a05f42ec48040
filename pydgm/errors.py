"""Errors that teach: one sentence that names the operation, the shapes and the caller's own line."""

from __future__ import annotations

import functools
import linecache
import os
import re
import sys
from types import CodeType
from typing import NamedTuple

_NOT_THE_CALLERS = ("pydgm", "numpy", "cupy", "array_api_strict")  # whose frames stand between the program and an error
_OWN = os.path.dirname(os.path.abspath(__file__)) + os.sep
_FOLDERS = tuple([_OWN.removesuffix(f"pydgm{os.sep}") + f"{name}{os.sep}" for name in _NOT_THE_CALLERS])


@functools.lru_cache(maxsize=1000)
def _is_library(file: str) -> bool:
    if file.startswith(("<compiled", "<frozen", "<__array_function__")):
        return True
    if file.startswith(f"{_OWN}lessons{os.sep}"):  # where they are installed; in a clone they stand beside the package
        return False
    return file.startswith(_FOLDERS) or any(f"site-packages{os.sep}{name}{os.sep}" in file for name in _NOT_THE_CALLERS)


def to_install(extra: str) -> str:
    """What to type for the packages of an extra: its name in a clone, the packages where pydgm was installed otherwise."""
    if os.path.exists(os.path.join(os.path.dirname(_OWN.rstrip(os.sep)), "setup.cfg")):
        return f'pip install -e ".[{extra}]"'
    from importlib import metadata

    texts = [text for text in metadata.requires("pydgm") or [] if f'extra == "{extra}"' in text.replace("'", '"')]
    return " ".join(["pip install", *[re.split(r"[^\w-]", text)[0] for text in texts]])


def caller() -> str:
    """The innermost line of the program that is neither pydgm's nor the array library's, as ``at file.py:12: code``."""
    frame = sys._getframe(1)
    while frame is not None:
        file = frame.f_code.co_filename
        if not _is_library(file) and (file, frame.f_code.co_name) != ("<string>", "__init__"):  # a dataclass's own
            code = linecache.getline(file, frame.f_lineno).strip()
            return f"at {os.path.basename(file)}:{frame.f_lineno}" + (f": {code}" if code else "")
        frame = frame.f_back  # type: ignore[assignment]
    return "(the calling line is not known)"


class Line(NamedTuple):
    """A line of the program or of the library that was being executed, and the function that it belongs to."""

    file: str
    number: int
    function: str
    begins: int  # the function's first line


_COMPREHENSIONS = ("<listcomp>", "<genexpr>", "<dictcomp>", "<setcomp>")
_PLUMBING = ("autodiff", "backend", "compile", "checks.py", "errors.py", "lint.py", "random.py", "train.py", "trees.py")


def trail(until: CodeType) -> tuple[Line, ...]:
    """How a call came about, from the outside in: lines of the program and of the library's models and layers, but not of what
    runs, records and differentiates them. Inside of the frame of ``until``; where that has no line of the program, the
    innermost one outside stands for it."""
    lines: list[Line] = []
    inside, own, frame = True, False, sys._getframe(1)
    within = "", 0  # the line of a comprehension, which counts for the function that it stands in
    while frame is not None and (inside or not own):
        code = frame.f_code
        file, number = code.co_filename, within[1] if within[0] == code.co_filename else frame.f_lineno
        programs = not _is_library(file) and (file, code.co_name) != ("<string>", "__init__")  # a dataclass's own
        within = (file, number) if code.co_name in _COMPREHENSIONS else ("", 0)
        if not within[0] and (programs or (inside and file.startswith(_OWN) and not file[len(_OWN) :].startswith(_PLUMBING))):
            name = getattr(code, "co_qualname", code.co_name).replace("<locals>.", "")  # Python 3.10 has no such name
            lines.append(Line(file, number, name, code.co_firstlineno))
        inside, own = inside and code is not until, own or programs
        frame = frame.f_back  # type: ignore[assignment]
    return tuple(reversed(lines))


_SHOWN = 6  # items of a list or tuple, before the rest is only counted
_PLAIN = (bool, int, float, complex, str, bytes, type(None), slice, type(...))


def shape_text(x: object) -> str:
    """How an argument is named in an error: its shape and dtype, or itself when it is a number or a text. Never contents."""
    if isinstance(x, list | tuple):
        inside = ", ".join(map(shape_text, x[:_SHOWN])) + (f", ... {len(x)} in all" if len(x) > _SHOWN else "")
        return f"[{inside}]" if isinstance(x, list) else f"({inside}{',' if len(x) == 1 else ''})"
    shape = getattr(x, "shape", None)
    if isinstance(shape, tuple) and not isinstance(x, type):
        return f"{shape} {getattr(x, 'dtype', '')}".rstrip()
    text = repr(x) if isinstance(x, _PLAIN) else kind_text(x)
    return text if len(text) < 100 else f"{text[:97]}..."


def kind_text(x: object) -> str:
    """What kind of thing ``x`` is: "the class MLP", "the function tanh", "a dict"."""
    name = getattr(x, "__name__", None)
    if isinstance(x, type):
        return f"the class {name}"
    if callable(x) and isinstance(name, str):
        return f"the function {name}"
    kind = "None" if x is None else type(x).__name__
    return kind if x is None else f"{'an' if kind[0].lower() in 'aeio' else 'a'} {kind}"


class PydgmError(Exception):
    """An error that ends with the caller's own line."""

    def __init__(self, message: str) -> None:
        super().__init__(f"{message} {caller()}")


class ShapeError(PydgmError, ValueError):
    """Shapes that do not fit, axes that do not exist."""


class TreeError(PydgmError, ValueError):
    """Two trees that should have the same structure and do not."""


class NaNError(PydgmError, ArithmeticError):
    """A NaN where there must be none: in the loss or the data of a training, or anywhere under ``dgm.debug_nans()``."""


class DomainError(PydgmError, ValueError):
    """A value outside of what a formula allows: a pixel of 255 for a Bernoulli, a scale of 0, a label that no class has."""


class DataError(ValueError):
    """A data file is missing, or is not what its name says."""


class ArgumentError(PydgmError, TypeError):
    """An argument of another kind than the one that is wanted."""


class BackendError(RuntimeError):
    """An array library that is not there, or has no device to run on."""
