"""Files in a folder: written whole or not at all, and those of one run together."""

from __future__ import annotations

import contextlib
import glob
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

try:
    import fcntl
except ImportError:  # not on Windows: there two runs into one folder at the same moment may mix their files
    fcntl = None  # type: ignore[assignment]


@contextlib.contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """One run at a time writes into ``folder``. The lock goes with its process, however that ends."""
    if fcntl is None:
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def closed_pipe() -> int:
    """Nobody reads the output any more: what is still to be printed goes nowhere. The exit status for that."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 141


def write(folder: Path, files: dict[str, Callable[[Any], Any]]) -> None:
    """Every file of ``files`` by its ``write(file)``: all are written beside their places, then moved into them."""
    ready: dict[str, Path] = {}
    with _alone_in(folder):
        try:
            for name, content in files.items():
                for left in folder.glob(f".{glob.escape(name)}.*.tmp"):  # of a run that was killed
                    if left.is_file():
                        left.unlink()
                handle, beside = tempfile.mkstemp(dir=folder, prefix=f".{name}.", suffix=".tmp")
                ready[name] = Path(beside)
                with os.fdopen(handle, "wb") as file:
                    content(file)
                    file.flush()
                    os.fsync(file.fileno())  # or a power cut leaves an empty file in the place of the old one
                umask = os.umask(0)
                os.umask(umask)
                os.chmod(beside, 0o666 & ~umask)  # mkstemp's files are private
            for name, path in ready.items():
                os.replace(path, folder / name)
        except BaseException:
            for path in ready.values():
                path.unlink(missing_ok=True)
            raise
