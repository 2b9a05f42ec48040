"""``python -m benchmarks gpu``: the race's steps on an NVIDIA GPU: pydgm through CuPy, PyTorch, JAX; and pydgm on one core.

pydgm's steps are not compiled there: each array operation is a call of CuPy. Small steps measure how long a call takes, large
ones how fast the GPU multiplies; one step more, four layers of 2,048 and a batch of 4,096, is large.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import pydgm as dgm
from pydgm.errors import BackendError

from .problems import STEPS
from .race import race

CONTESTANTS = ("pydgm_gpu", "torch_gpu", "jax_gpu", "pydgm")
TITLES = {"torch_gpu": "PyTorch", "jax_gpu": "JAX", "pydgm": "pydgm, compiled, one core"}
LARGE = "mlp-4-2048-4096"


def table(report: dict[str, dict[str, dict[str, float]]], titles: dict[str, str]) -> str:
    """Microseconds of pydgm's step on the GPU, and every other contestant's over it, as Markdown."""
    rows = ["| step | pydgm, us | " + " | ".join(TITLES.values()) + " |", "|" + "---|" * (len(TITLES) + 2)]
    for step, figures in report.items():
        if "pydgm_gpu" not in figures:
            continue
        own = figures["pydgm_gpu"]["median_us"]
        ratios = [f"{figures[name]['median_us'] / own:.2f}" if name in figures else "" for name in TITLES]
        rows.append(f"| {titles.get(step, step)} | {own:.0f} | {' | '.join(ratios)} |")
    return "\n".join(rows)


def main(argv: list[str], titles: dict[str, str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks gpu", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--seconds", type=float, default=3.0, help="for each step and contestant (default %(default)s)")
    parser.add_argument("--json", metavar="FILE", help="write the numbers there too")
    options = parser.parse_args(argv)
    try:
        dgm.use("cupy")
    except BackendError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    report = race(CONTESTANTS, options.seconds, steps=(*STEPS, LARGE))
    for name, why in report["missing"].items():
        print(f"not here: {name} ({why})")
    print(table(report["steps"], titles | {LARGE: "four layers of 2,048, batch 4,096, Adam"}))
    if options.json:
        Path(options.json).write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    return 0
