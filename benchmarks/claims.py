"""How safely do the lessons' claims hold? Every lesson over many seeds: how often each claim holds, and how far from its bound.

``python -m benchmarks claims [NAME ...] [--seeds 1000-1039] [--quick] [-j 2] [--out DIR]``. Reports that are in DIR already are
not made again, so an interrupted survey goes on where it stopped.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy

HERE = Path(__file__).resolve().parent
LESSONS = HERE.parent / "lessons"


def _seeds(text: str) -> list[int]:
    """``1000-1039`` or ``3,5,8``."""
    first, dash, last = text.partition("-")
    return list(range(int(first), int(last) + 1)) if dash else [int(number) for number in text.split(",")]


def _run(script: Path, seed: int, quick: bool, out: Path) -> tuple[int, dict[str, Any] | None]:
    """The exit status of one run, and its report; a crash has none."""
    folder = out / f"{script.stem}-{'quick' if quick else 'default'}-{seed}"
    report = folder / f"{script.stem}.json"
    status = 0
    if not report.exists():
        command = [sys.executable, str(script), "--seed", str(seed), "--out", str(folder), *(["--quick"] if quick else [])]
        path = os.pathsep.join(filter(None, [str(HERE.parent), os.environ.get("PYTHONPATH")]))
        done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": path}, check=False)
        status = done.returncode
        if status not in (0, 1):
            print(f"{script.stem}, seed {seed}: exit status {status}\n{done.stderr}", file=sys.stderr)
    return status, json.loads(report.read_text(encoding="utf-8")) if report.exists() else None


def margin(measured: Iterable[float], relation: str, bound: Any) -> float:
    """The distance from the mean to the nearest bound, in standard deviations; infinite where the numbers do not vary."""
    x = numpy.array(list(measured), "float64")
    bounds = bound if isinstance(bound, list) else [bound]
    signs = {"<=": [1], "<": [1], ">=": [-1], ">": [-1], "==": [1], "within": [-1, 1]}[relation]
    distance = min(sign * (b - x.mean()) for sign, b in zip(signs, bounds, strict=True))
    spread = x.std(ddof=1) if len(x) > 1 else 0.0
    return float(distance / spread) if spread > 0 else float("inf") if distance >= 0 else float("-inf")


def rows(reports: dict[int, dict[str, Any]]) -> Iterator[str]:
    """One Markdown row for each claim."""
    claims: dict[str, dict[int, Any]] = {}
    for seed, report in reports.items():
        for claim in report["claims"]:
            claims.setdefault(claim["claim"], {})[seed] = claim
    for sentence, by_seed in claims.items():
        some = next(iter(by_seed.values()))
        measured = [claim["measured"] for claim in by_seed.values()]
        failed = [f"{seed} ({claim['measured']:.3g})" for seed, claim in by_seed.items() if not claim["holds"]]
        held, bound = len(by_seed) - len(failed), some["bound"]
        bounds = " to ".join(f"{b:g}" for b in (bound if isinstance(bound, list) else [bound]))
        spread = f"{min(measured):.3g} to {max(measured):.3g}"
        distance = f"{margin(measured, some['relation'], bound):.1f}"
        cells = [sentence, f"{some['relation']} {bounds}", f"{held} of {len(by_seed)}", spread, distance, ", ".join(failed)]
        yield f"| {' | '.join(cells)} |"


def main(argv: list[str]) -> int:
    """Exit status 0 where every claim holds on at least 39 of 40 seeds and nothing crashed, else 1."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks claims", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="lessons (default: all)")
    parser.add_argument("--seeds", type=_seeds, default=_seeds("1000-1039"), help="1000-1039, or 3,5,8")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("-j", type=int, default=1, metavar="N", help="runs at a time")
    parser.add_argument("--out", type=Path, default=Path("build/claims"), help="where the reports are kept")
    options = parser.parse_args(argv)
    scripts = [path for path in sorted(LESSONS.glob("*/*.py")) if not path.stem.startswith("_")]
    unknown = set(options.names) - {path.stem for path in scripts}
    if unknown:
        parser.error(f"no lesson {', '.join(sorted(unknown))}")
    scripts = [path for path in scripts if not options.names or path.stem in options.names]
    jobs = [(script, seed) for seed in options.seeds for script in scripts]
    with ThreadPoolExecutor(options.j) as pool:
        results = list(pool.map(lambda job: _run(*job, options.quick, options.out), jobs))
    safe = True
    for script in scripts:
        reports = {seed: report for (path, seed), (_, report) in zip(jobs, results, strict=True) if path == script and report}
        crashed = [seed for (path, seed), (status, _) in zip(jobs, results, strict=True) if path == script and status > 1]
        seconds = [report["seconds"] for report in reports.values()]
        print(f"\n{script.stem}, {'quick' if options.quick else 'default'}: {len(reports)} seeds", end="")
        print(f", {min(seconds):.1f} to {max(seconds):.1f} s" if seconds else "", f", crashed: {crashed}" if crashed else "")
        print("| claim | bound | holds | measured | margin, deviations | fails on |\n|---|---|---|---|---|---|")
        print("\n".join(rows(reports)), flush=True)
        holds = [sum(all(c["holds"] for c in r["claims"]) for r in reports.values())]
        safe &= not crashed and holds[0] * 40 >= 39 * len(reports)
    return 0 if safe else 1
