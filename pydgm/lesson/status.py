"""How a lesson ends: exit statuses that tell a claim that fails from everything else that can happen.

0: every claim holds. 1: a claim fails. 2: bad usage. 3: a crash, with its traceback. 130: Ctrl+C. 141: nobody reads the output.
"""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Any

from ..files import closed_pipe

HOLDS, FAILS, USAGE, CRASH, INTERRUPT, CLOSED_PIPE = 0, 1, 2, 3, 130, 141
NAMES = {
    FAILS: "a claim fails",
    CRASH: "it ended with an error",
    INTERRUPT: "interrupted",
    CLOSED_PIPE: "its output was closed",
}


def refuse(message: object) -> Any:
    """Bad usage: one sentence, exit status 2."""
    print(f"error: {message}", file=sys.stderr)
    raise SystemExit(USAGE)


def _ended(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        print("interrupted", file=sys.stderr)
        status = INTERRUPT
    elif issubclass(kind, BrokenPipeError):
        status = closed_pipe()
    else:
        sys.__excepthook__(kind, error, trace)
        status = CRASH
    raise SystemExit(status)


def guard() -> None:
    """From now on an error that nobody catches ends the program with one of the statuses above, and not with Python's 1."""
    sys.excepthook = _ended
