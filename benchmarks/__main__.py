"""``python -m benchmarks``: what a training step costs beside its peers, and how pydgm's own cost grows. With ``likelihood``:
test likelihoods of every density model (:mod:`benchmarks.likelihood`). With ``claims``: how safely the lessons' claims hold,
over many seeds (:mod:`benchmarks.claims`). With ``gpu``: the same steps on a GPU (:mod:`benchmarks.gpu`). With ``modes``:
PacGAN's own set-up, for hours (:mod:`benchmarks.modes`).

Each step is the same for all: losses are compared before anything is timed. Every contestant runs in a child process of its own
on one core with one thread, and they take turns, so that a slow moment of the machine meets all. Read the ratios, not the
microseconds.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import Any

from . import claims, gpu, likelihood, modes
from .growth import growth
from .problems import STEPS, K
from .race import CONTESTANTS, first_step, race

PACKAGES = {"torch": "torch", "jax": "jax", "autograd": "autograd", "sklearn": "scikit-learn", "numpy": "numpy"}


def processor() -> str:
    """The processor's name, where the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def versions() -> dict[str, str]:
    by_name = {"python": platform.python_version(), "processor": processor()}
    for name, package in PACKAGES.items():
        try:
            by_name[name] = metadata.version(package)
        except metadata.PackageNotFoundError:
            by_name[name] = "not installed"
    return by_name


TITLES = {"pydgm_eager": "pydgm, not compiled", "torch": "PyTorch", "jax": "JAX", "sklearn": "scikit-learn"}
TITLES |= {"numpy": "NumPy by hand", "gan": "GAN, 2-128-128 networks, batch 256, Adam"}
TITLES |= {"games": "five GANs side by side, 2-32-32-2 and 2-64-64-1, batch 128, Adam"}
TITLES |= {"wgan_gp": "WGAN-GP critic gradient, the same with tanh", "planar": f"planar flow, K = {K}, batch 512, Adam"}
TITLES |= {"planar_rows": "the same, JAX with pydgm's recurrence in place of points"}
TITLES |= {"iwae": "IWAE 784-200-200-50, 50 guesses for each of 20 images, Adam"}
TITLES |= {"vae": "VAE 784-400-20, batch 128, Adam", "rbm": "RBM 784 x 500, CD-1, batch 100"}
TITLES |= {
    "conv": "convolutions, 7 x 7, three 3 x 3 of 32 channels, 1 x 1; batch 64 of 28 x 28, Adam",
    "conv_masked": "the same with PixelCNN's masks",
    "conv_down": "4 x 4 convolutions 1-32-64 with stride 2, and back, transposed; batch 64 of 28 x 28, Adam",
    "gated": "gated PixelCNN, five layers of 32 channels, batch 16 of 28 x 28, Adam",
    "block": "layer norm, self-attention of 4 heads over 64 places of 64, MLP; batch 32, Adam",
}
TITLES |= {"made": "MADE 784-500-784 with direct weights, batch 100, Adam"}
TITLES |= {"sentence": "sentence CNN, 16,000 words of 300, 3 x 100 filters, batch 50, Adam on the rows in use"}
MEMORY = {"vae": "VAE", "conv": "convolutions'", "block": "attention"}  # of which steps it is shown


def table(report: dict[str, Any]) -> str:
    """Microseconds of pydgm's compiled step, and every other contestant's median over it, as Markdown."""
    others = [name for name in CONTESTANTS if name != "pydgm" and any(name in s for s in report["steps"].values())]
    heads = ["step", "pydgm, us", *[TITLES.get(name, name) for name in others], "matrix products alone"]
    rows = [f"| {' | '.join(heads)} |", "|" + "---|" * len(heads)]
    for step, figures in report["steps"].items():
        own = figures["pydgm"]["median_us"]
        ratios = [f"{figures[name]['median_us'] / own:.2f}" if name in figures else "" for name in others]
        floor = report["products_us"].get(step, 0.0) / own
        rows.append(f"| {TITLES[step]} | {own:.0f} | {' | '.join(ratios)} | {floor:.2f} |")
    start = report["start"]
    first = [f"{start[name] / start['pydgm']:.1f}" if name in start else "" for name in others]
    rows.append(f"| start to end of the first GAN step | {start['pydgm']:.2f} s | {' | '.join(first)} | |")
    for step, name in MEMORY.items():
        figures = report["steps"][step]
        own = figures["pydgm"]["peak_mib"]
        memory = [f"{figures[other]['peak_mib'] / own:.1f}" if other in figures else "" for other in others]
        rows.append(f"| memory of the {name} step | {own:.0f} MiB | {' | '.join(memory)} | |")
    return "\n".join(rows)


def main(argv: list[str] | None = None) -> int:
    """Exit status 0, also where a bound is missed: the figures of one run depend on the machine."""
    argv = sys.argv[1:] if argv is None else argv
    if argv[:1] == ["claims"]:
        return claims.main(argv[1:])
    if argv[:1] == ["likelihood"]:
        return likelihood.main(argv[1:])
    if argv[:1] == ["gpu"]:
        return gpu.main(argv[1:], TITLES)
    if argv[:1] == ["modes"]:
        return modes.main(argv[1:])
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__.split("\n\n")[0])
    parser.add_argument(
        "what", nargs="?", choices=["race", "likelihood", "claims", "modes", "gpu"], default="race", help="default: race"
    )
    parser.add_argument("--peers", nargs="*", choices=CONTESTANTS, default=list(CONTESTANTS), help="who runs (default: all)")
    parser.add_argument("--seconds", type=float, default=5.0, help="for each step and contestant (default %(default)s)")
    parser.add_argument("--json", metavar="FILE", help="write the numbers there too")
    parser.add_argument("--figure", metavar="FILE", help="draw them there (needs matplotlib)")
    options = parser.parse_args(argv)
    peers = ["pydgm", *[name for name in options.peers if name != "pydgm"]]
    report = {**race(peers, options.seconds), "start": first_step(peers), "growth": growth(peers), "versions": versions()}
    report["date"] = datetime.now(tz=timezone.utc).date().isoformat()
    for name, why in report.pop("missing").items():
        print(f"not here: {name} ({why})")
    print(f"times over pydgm's: {', '.join(STEPS)}; {report['versions']['processor']}")
    print(table(report))
    per_operation = list(report["growth"]["chain"].values())
    print(f"an operation in a chain of 100,000 over one in 1,000: {per_operation[-1] / per_operation[0]:.2f} (bound 1.5)")
    for name, ratio in report["growth"]["gradient_over_forward"].items():
        print(f"gradient over forward pass, MLP {name}: {ratio:.2f} (bound 4)")
    print(f"checks of the compiled step, in 1,000 GAN steps: {100.0 * report['growth']['self_check']:.1f}% (bound 2%)")
    if options.json:
        Path(options.json).write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    if options.figure:
        from .plot import plot  # here, because matplotlib is needed by it alone

        plot(report, options.figure)
    return 0


if __name__ == "__main__":
    sys.exit(main())
