"""How safely do the lessons' claims hold? Every lesson over many seeds: how often each claim holds, and how far from its bound.

``python -m benchmarks claims [NAME ...] [--seeds 1000-1039] [--quick] [-j 2] [--out DIR]``. Reports that are in DIR already are
not made again as long as the lesson's code is the same, so an interrupted survey goes on where it stopped. ``--write docs``
puts what they measured into docs/margins.json, and makes docs/margins.md and .png of all that is there, quick and default. What
is there is not made again either, on any machine, under the same condition (a change of the library alone is not noticed: to
begin anew, delete the file).
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy

from pydgm import files
from pydgm.lesson.claims import Claim, in_a_cell

HERE = Path(__file__).resolve().parent
LESSONS = HERE.parent / "lessons"
KEPT = HERE.parent / "docs" / "margins.json"


def _seeds(text: str) -> list[int]:
    """``1000-1039`` or ``3,5,8``."""
    first, dash, last = text.partition("-")
    return list(range(int(first), int(last) + 1)) if dash else [int(number) for number in text.split(",")]


def _run(script: Path, seed: int, quick: bool, out: Path) -> tuple[int, dict[str, Any] | None]:
    """The exit status of one run, and its report; a crash has none."""
    if seed in (before := kept(script, "quick" if quick else "default")):
        return 0, before[seed]
    folder = folder_of(out, script, "quick" if quick else "default", seed)
    report = folder / f"{script.stem}.json"
    status = 0
    if not report.exists():
        command = [sys.executable, str(script), "--seed", str(seed), "--out", str(folder), *(["--quick"] if quick else [])]
        path = os.pathsep.join(filter(None, [str(HERE.parent), os.environ.get("PYTHONPATH")]))
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            env={"OPENBLAS_NUM_THREADS": "1", **os.environ, "PYTHONPATH": path},
            check=False,
        )
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
    return float(distance / spread) if spread > 1e-12 * numpy.abs(x).max() else float("inf") if distance >= 0 else float("-inf")


def rows(reports: dict[int, dict[str, Any]]) -> Iterator[tuple[str, float, str]]:
    """For each claim its sentence, its margin, and a row of Markdown."""
    claims: dict[str, dict[int, Any]] = {}
    for seed, report in reports.items():
        for claim in report["claims"]:
            claims.setdefault(claim["claim"], {})[seed] = claim
    for sentence, by_seed in claims.items():
        some = next(iter(by_seed.values()))
        measured = [float(claim["measured"]) for claim in by_seed.values()]
        failed = [f"{seed} ({float(claim['measured']):.3g})" for seed, claim in by_seed.items() if not claim["holds"]]
        held, bound = len(by_seed) - len(failed), some["bound"]
        bounds = " to ".join(f"{b:g}" for b in (bound if isinstance(bound, list) else [bound]))
        spread = f"{min(measured):.3g} to {max(measured):.3g}"
        distance = margin(measured, some["relation"], bound)
        cells = [
            in_a_cell(sentence),
            f"{some['relation']} {bounds}",
            f"{held} of {len(by_seed)}",
            spread,
            f"{distance:.1f}",
            ", ".join(failed),
        ]
        yield sentence, distance, f"| {' | '.join(cells)} |"


def _digest(script: Path) -> str:
    """Of its code: comments and the docstring may change."""
    module = ast.parse(script.read_text(encoding="utf-8"))
    if ast.get_docstring(module) is not None:
        del module.body[0]
    return hashlib.sha256(ast.unparse(module).encode()).hexdigest()[:16]


def folder_of(out: Path, script: Path, mode: str, seed: int | str) -> Path:
    """Where a run's report is: another script's would be taken for this one's."""
    return out / f"{script.stem}-{mode}-{_digest(script)}-{seed}"


def kept(script: Path, mode: str, path: Path = KEPT) -> dict[int, dict[str, Any]]:
    """What earlier surveys measured of this very script, by seed, as reports."""
    table = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    of_mode = table.get(script.stem, {}).get(mode, {})
    if of_mode.get("script") != _digest(script):
        return {}
    return {
        int(seed): {
            "claims": [Claim(c, float(x), *rest).as_json() for (c, *rest), x in zip(of_mode["claims"], each, strict=True)]
        }
        for seed, each in of_mode["seeds"].items()
    }


def reports_in(out: Path, script: Path, mode: str, path: Path = KEPT) -> dict[int, dict[str, Any]]:
    """Those of one lesson and mode, by seed, and those that are kept."""
    found = kept(script, mode, path)
    for report in sorted(out.glob(f"{folder_of(out, script, mode, '*').name}/{script.stem}.json")):
        found[int(report.parent.name.rpartition("-")[2])] = json.loads(report.read_text(encoding="utf-8"))
    return dict(sorted(found.items()))


def keep(scripts: list[Path], out: Path, path: Path = KEPT) -> None:
    """Measured numbers of the reports in ``out`` beside those that are kept, a line for each seed."""
    table = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    for script in scripts:
        for mode in ("quick", "default"):
            reports = reports_in(out, script, mode, path)
            claims = [[c["claim"], c["relation"], c["bound"]] for r in list(reports.values())[-1:] for c in r["claims"]]
            seeds = {
                str(seed): [c["measured"] for c in r["claims"]]
                for seed, r in reports.items()
                if [c["claim"] for c in r["claims"]] == [sentence for sentence, *_ in claims]
            }
            if seeds:
                table.setdefault(script.stem, {})[mode] = {"script": _digest(script), "claims": claims, "seeds": seeds}
    text = json.dumps(table, indent=1, ensure_ascii=False)
    flat = re.sub(r"\[\n\s+([^\[\]{}]*?)\n\s+\]", lambda m: f"[{' '.join(m[1].split())}]", text)
    path.parent.mkdir(parents=True, exist_ok=True)
    files.write(path.parent, {path.name: lambda file: file.write(f"{flat}\n".encode())})


def write(scripts: list[Path], out: Path, folder: Path) -> None:
    """margins.md, a table for each lesson and mode, and margins.png, a point for each claim."""
    import matplotlib.pyplot as plt

    lines = ["# How far each claim is from its bound", "", "![Margins of all claims](margins.png)", ""]
    lines += [
        "Mean distance to the nearest bound, in standard deviations over seeds; infinite where a number does not vary.",
        "",
    ]
    points: dict[str, list[tuple[str, float]]] = {"quick": [], "default": []}
    for script in scripts:
        for mode in points:
            reports = reports_in(out, script, mode, folder / KEPT.name)
            if len(reports) > 2:
                table = list(rows(reports))
                holds = sum(all(c["holds"] for c in r["claims"]) for r in reports.values())
                lines += [
                    f"## {script.stem}, {mode}: every claim holds on {holds} of {len(reports)} seeds",
                    "",
                    HEAD,
                    *(row for *_, row in table),
                    "",
                ]
                points[mode] += [(f"{script.stem}: {sentence}", distance) for sentence, distance, _ in table]
    names = list(dict.fromkeys(name for each in points.values() for name, _ in each))
    figure, ax = plt.subplots(figsize=(16, 0.3 * len(names) + 2), layout="constrained")
    for (mode, each), marker in zip(points.items(), "so", strict=True):
        shown = [min(max(margin, -3.0), 30.0) for _, margin in each]
        ax.plot(shown, [names.index(name) for name, _ in each], marker, ms=8, alpha=0.7, label=mode)
    ax.axvline(0.0, color="black")
    ax.axvline(3.0, color="black", ls=":")
    ax.set(
        yticks=range(len(names)),
        yticklabels=names,
        ylim=(len(names), -1),
        xlabel="standard deviations to the bound, at most 30",
    )
    ax.legend(loc="lower right")
    folder.mkdir(parents=True, exist_ok=True)
    files.write(
        folder,
        {
            "margins.png": lambda file: figure.savefig(file, dpi=80, format="png"),
            "margins.md": lambda file: file.write("\n".join(lines).encode()),
        },
    )


HEAD = "| claim | bound | holds | measured | margin, deviations | fails on |\n|---|---|---|---|---|---|"


def main(argv: list[str]) -> int:
    """Exit status 0 where every claim holds on at least 39 of 40 seeds and nothing crashed, else 1."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks claims", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="lessons (default: all)")
    parser.add_argument("--seeds", type=_seeds, default=_seeds("1000-1039"), help="1000-1039, or 3,5,8")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("-j", type=int, default=1, metavar="N", help="runs at a time")
    parser.add_argument("--write", type=Path, metavar="DIR", help="write margins.md and margins.png there")
    parser.add_argument("--out", type=Path, default=Path("build/claims"), help="where the reports are kept")
    options = parser.parse_args(argv)
    known = [path for path in sorted(LESSONS.glob("*/*.py")) if not path.stem.startswith("_")]
    unknown = set(options.names) - {path.stem for path in known}
    if unknown:
        parser.error(f"no lesson {', '.join(sorted(unknown))}")
    scripts = [path for path in known if not options.names or path.stem in options.names]
    jobs = [(script, seed) for seed in options.seeds for script in scripts]
    with ThreadPoolExecutor(options.j) as pool:
        results = list(pool.map(lambda job: _run(*job, options.quick, options.out), jobs))
    safe = True
    for script in scripts:
        reports = {seed: report for (path, seed), (_, report) in zip(jobs, results, strict=True) if path == script and report}
        crashed = [seed for (path, seed), (status, _) in zip(jobs, results, strict=True) if path == script and status > 1]
        seconds = [report["seconds"] for report in reports.values() if "seconds" in report]
        print(f"\n{script.stem}, {'quick' if options.quick else 'default'}: {len(reports)} seeds", end="")
        print(f", {min(seconds):.1f} to {max(seconds):.1f} s" if seconds else "", f", crashed: {crashed}" if crashed else "")
        print(HEAD)
        print("\n".join(row for *_, row in rows(reports)), flush=True)
        holds = [sum(all(c["holds"] for c in r["claims"]) for r in reports.values())]
        safe &= not crashed and holds[0] * 40 >= 39 * len(reports)
    if options.write:
        keep(scripts, options.out, options.write / KEPT.name)
        write(known, options.out, options.write)  # whichever were asked for: the page has them all
    return 0 if safe else 1
