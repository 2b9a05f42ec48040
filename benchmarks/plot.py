"""The report as one figure: ratios, and how cost grows with batch, depth and the number of operations."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

import pydgm.lesson

LABELS = {"pydgm": "pydgm", "pydgm_eager": "pydgm, not compiled", "torch": "PyTorch", "jax": "JAX", "autograd": "autograd"}
LABELS |= {"sklearn": "scikit-learn", "numpy": "NumPy by hand"}
COLOURS = {name: f"C{i}" for i, name in enumerate(LABELS)}
STYLE = Path(pydgm.lesson.__file__).parent / "lecture.mplstyle"


def ratios(ax: Any, report: dict[str, Any]) -> None:
    """Bars: each contestant's median over pydgm's compiled step."""
    shown = [name for name in LABELS if name != "pydgm" and any(name in figures for figures in report["steps"].values())]
    width = 0.8 / max(len(shown), 1)
    for i, name in enumerate(shown):
        at = [k + (i - (len(shown) - 1) / 2) * width for k, figures in enumerate(report["steps"].values()) if name in figures]
        heights = [f[name]["median_us"] / f["pydgm"]["median_us"] for f in report["steps"].values() if name in f]
        ax.bar(at, heights, 0.9 * width, label=LABELS[name], color=COLOURS[name])
    for k, (step, figures) in enumerate(report["steps"].items()):
        if step in report["products_us"]:
            level = report["products_us"][step] / figures["pydgm"]["median_us"]
            label = "matrix products alone" if k == 0 else None
            ax.hlines(level, k - 0.45, k + 0.45, color="black", linestyle=":", label=label)
    ax.axhline(1.0, color="black", linewidth=1.5)
    ax.set_yscale("log")
    ax.set_yticks([0.25, 0.5, 1, 2, 5, 10], ["1/4", "1/2", "1", "2", "5", "10"])
    ax.minorticks_off()
    ax.set_xticks(range(len(report["steps"])), [step.replace("_", "-") for step in report["steps"]], rotation=30, ha="right")
    ax.set_title("time of a step over pydgm's, compiled")
    ax.set_ylim(top=100)
    ax.legend(ncols=2, fontsize=12, loc="upper right")


def grown(ax: Any, sizes: dict[str, Any], what: str) -> None:
    """Lines: milliseconds of a training step, and of the first one with all that precedes it."""
    for name in [name for name in LABELS if any(name in figures for figures in sizes.values())]:
        at = [int(n) for n, figures in sizes.items() if name in figures]
        own = [figures[name] for figures in sizes.values() if name in figures]
        ax.plot(at, [1e-3 * f["median_us"] for f in own], "o-", label=LABELS[name], color=COLOURS[name])
        if name in ("pydgm", "jax"):
            ax.plot(at, [1e3 * f["first_s"] for f in own], "o:", color=COLOURS[name], label=f"{LABELS[name]}, first step")
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_xticks([int(n) for n in sizes], list(sizes))
    ax.minorticks_off()
    ax.set_xlabel(what)
    ax.set_ylabel("milliseconds")


def chain(ax: Any, growth: dict[str, Any]) -> None:
    """The cost of one operation in chains of different lengths, and of gradients beside forward passes."""
    lengths, costs = zip(*[(int(n), us) for n, us in growth["chain"].items()], strict=True)
    ax.plot(lengths, [us / costs[0] for us in costs], "o-", label="an operation in a chain, over the shortest chain's")
    for i, (network, ratio) in enumerate(growth["gradient_over_forward"].items()):
        ax.axhline(ratio, color=f"C{i + 1}", linestyle="--", label=f"gradient / forward, {network}")
    ax.set_xscale("log")
    ax.set_xticks(lengths, [f"{n:,}" for n in lengths])
    ax.minorticks_off()
    ax.set_ylim(0, 7)
    ax.set_xlabel("operations in the chain")
    ax.set_title("eager cost, relative")
    ax.legend(fontsize=12, loc="upper left")


def plot(report: dict[str, Any], file: str) -> None:
    """Draw ``report`` into ``file``."""
    with plt.style.context(STYLE):
        figure, axes = plt.subplots(2, 2, figsize=(17, 12))
        ratios(axes[0, 0], report)
        grown(axes[0, 1], report["growth"]["batch"], "batch")
        axes[0, 1].set_title("3 layers of 128, a training step")
        axes[0, 1].legend(fontsize=12)
        grown(axes[1, 0], report["growth"]["depth"], "layers")
        axes[1, 0].set_title("layers of 32, batch 64, a training step")
        chain(axes[1, 1], report["growth"])
        versions = report["versions"]
        figure.suptitle(f"{report['date']}, {versions['processor']}, one core, one thread", fontsize=17)
        figure.savefig(file, metadata={"Software": None})
        plt.close(figure)
