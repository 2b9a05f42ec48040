"""One contestant in a process of its own: makes its steps, times them when it is told to, and answers in JSON lines.

Commands on standard input: ``losses NAME N`` (of the first N steps, the memory that a further one takes, and the seconds to the
end of the first) and then ``time NAME SECONDS`` (microseconds of each step made in that time).
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
import json
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path

from .problems import STEPS, problem


def peak_mib() -> float:
    """The most memory this process has held, since :func:`forget_peak` where the system can forget."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
        return next(float(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024.0
    except (OSError, StopIteration):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024.0


def forget_peak() -> None:
    """Give unused memory back, and count anew: what compiling and warming up took is not what a step takes."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def main() -> None:
    """``python -m benchmarks.worker CONTESTANT``."""
    module = importlib.import_module(f"benchmarks.contestants.{sys.argv[1]}")
    steps: dict[str, Callable[[], float]] = {}
    known = [name for name in (*STEPS, "mlp") if hasattr(module, name)]
    print(json.dumps({"steps": known}), flush=True)
    for line in sys.stdin:
        command, name, *rest = line.split()
        if command == "losses":
            steps.clear()  # one at a time, and its memory
            forget_peak()
            before = peak_mib()
            begin = time.perf_counter()
            placed = getattr(module, "placed", lambda p: p)
            steps[name] = getattr(module, name.split("-")[0])(placed(problem(name)))
            losses = [steps[name]()]
            first = time.perf_counter() - begin
            losses += [steps[name]() for _ in range(int(rest[0]) - 1)]
            forget_peak()
            steps[name]()
            print(json.dumps({"losses": losses, "peak_mib": peak_mib() - before, "first_s": first}), flush=True)
        else:
            times, end = [], time.perf_counter() + float(rest[0])
            while time.perf_counter() < end or len(times) < 3:
                begin = time.perf_counter()
                steps[name]()
                times.append(1e6 * (time.perf_counter() - begin))
            print(json.dumps(times), flush=True)


if __name__ == "__main__":
    main()
