"""``python -m benchmarks``: what pydgm costs. One core, one BLAS thread, in a child process.

Bounds that are printed beside the figures: the time of an operation does not depend on the length of the chain it is in
(100,000 against 1,000: at most 1.5 times), and a gradient costs at most 4 forward passes.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any


def child(module: str) -> dict[str, Any]:
    """The JSON that ``module`` prints, run alone on one core with one thread."""
    env = {key: value for key, value in os.environ.items() if key != "OPENBLAS_CORETYPE"}
    env |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    pin = ["taskset", "-c", "0"] if hasattr(os, "sched_setaffinity") and _has("taskset") else []
    run = subprocess.run([*pin, sys.executable, "-m", module], env=env, capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(run.stdout)
    return found


def _has(program: str) -> bool:
    return any((Path(folder) / program).exists() for folder in os.environ.get("PATH", "").split(os.pathsep))


def main(argv: list[str] | None = None) -> int:
    """Exit status 0, also where a bound is missed: the figures of one run depend on the machine."""
    import numpy

    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__.split("\n")[0])
    parser.add_argument("--json", metavar="FILE", help="write the figures there too")
    options = parser.parse_args(argv)
    growth = child("benchmarks.growth")
    print("time of one operation, forwards and backwards, in a chain of")
    for length, microseconds in growth["chain"].items():
        print(f"  {int(length):>9,}   {microseconds:6.2f} us")
    per_operation = list(growth["chain"].values())
    print(f"  longest over shortest: {per_operation[-1] / per_operation[0]:.2f} (bound 1.5)")
    print("gradient of an MLP, in forward passes (bound 4)")
    for name, ratio in growth["gradient_over_forward"].items():
        print(f"  {name:<28} {ratio:.2f}")
    report = {"growth": growth, "versions": {"python": platform.python_version(), "numpy": numpy.__version__}}
    if options.json:
        Path(options.json).write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
