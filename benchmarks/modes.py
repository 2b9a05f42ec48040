"""``python -m benchmarks modes``: PacGAN's own set-up, and how many modes it finds, beside the published rows.

Lin, Khetan, Fanti and Oh, "PacGAN: The power of two samples in generative adversarial networks" (2018), Table 1; networks and
settings as in the authors' code (fjxmlzn/PacGAN, 2DRing and 2DGrid, after VEEGAN's): 400 passes over 100,000 points, 400,000
steps of some 25 ms. That is three hours a run on one core, so a run is measured on its way, goes on where it was interrupted,
and what is measured is kept in ``benchmarks/modes.json``: ``--passes 10`` makes a fortieth of it. Two things differ. Here D
makes its step before G does, there both at once. And where samples are counted G is normalised by that batch of 2500, not by
means over the training.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy

import pydgm as dgm
from pydgm import data, files, metrics, nn, optim, train
from pydgm.backend import Array, zeros
from pydgm.data import Rows
from pydgm.models.adversarial import Generator, Packed, gan

KEPT = Path(__file__).parent / "modes.json"
DATA = {"ring": data.ring_of_gaussians(radius=1.0, scale=0.01), "grid": data.grid_of_gaussians()}
MARKS = (1, 2, 4, 10, 20, 40, 100, 200, 400)  # passes after which a run is measured
PUBLISHED = {  # modes, share of high quality in percent, reverse KL in nats: means of ten runs
    ("ring", 1): (6.3, 98.2, 0.45),
    ("ring", 2): (7.9, 95.6, 0.07),
    ("ring", 4): (7.8, 95.9, 0.07),
    ("grid", 1): (17.3, 94.8, 0.70),
    ("grid", 2): (23.8, 91.3, 0.13),
    ("grid", 4): (24.8, 93.6, 0.04),
}


class Normalised(dgm.Module):
    """relu(g (h - m) / s + b), h = x W: m and s are mean and deviation of the batch (Ioffe and Szegedy 2015)."""

    weight: Array
    gain: Array
    bias: Array

    def __call__(self, x: Array) -> Array:
        h = x @ self.weight
        h = h - dgm.mean(h, axis=0)
        return dgm.relu(self.gain * (h / dgm.sqrt(dgm.mean(h * h, axis=0) + 1e-5)) + self.bias)


class Maxout(dgm.Module):
    """The largest of some linear maps, number by number: (n, in) -> (n, out) (Goodfellow et al. 2013)."""

    linear: nn.Linear  # (in, pieces * out)
    pieces: int

    def __call__(self, x: Array) -> Array:
        return dgm.max(dgm.reshape(self.linear(x), (x.shape[0], self.pieces, -1)), axis=1)


class Chain(dgm.Module):
    layers: tuple[Any, ...]

    def __call__(self, x: Array) -> Array:
        for layer in self.layers:
            x = layer(x)
        return x


def narrow(rng: Any, shape: tuple[int, ...], n_in: int, n_out: int) -> Array:
    return 0.02 * rng.normal(shape)


def generator(rng: Any, width: int = 400) -> Generator:
    """Four normalised layers of ``width``, from two normal numbers to a point."""
    sizes = [2, *[width] * 4]
    hidden = [Normalised(narrow(rng, (n, m), n, m), 1.0 + zeros((m,)), zeros((m,))) for n, m in pairwise(sizes)]
    return Generator(Chain((*hidden, nn.Linear.init(rng, width, 2, narrow))), 2)


def discriminator(rng: Any, pack: int, width: int = 200, pieces: int = 5) -> Packed:
    """Three layers of ``width`` maxout units of ``pieces`` pieces, from ``pack`` points to a logit."""
    hidden = [Maxout(nn.Linear.init(rng, n, pieces * m, narrow), pieces) for n, m in pairwise([2 * pack, width, width, width])]
    return Packed(Chain((*hidden, nn.Linear.init(rng, width, 1, narrow))), pack)


def measure(name: str, pack: int, seed: int, passes: int, folder: Path, points: int = 100_000) -> list[dict[str, Any]]:
    """A row for each of the marks up to ``passes``. The run is kept in ``folder``, and goes on from there."""
    rng = dgm.random.Generator([seed, pack])
    rows = Rows(dgm.to_numpy(DATA[name].sample(rng, points)))
    adam = optim.adam(1e-4, beta1=0.8)
    step = train.alternate(D=(gan.discriminator_loss, adam, 1), G=(gan.generator_loss, adam, 1))
    state, found = step.init({"D": discriminator(rng, pack), "G": generator(rng)}, rng), []
    folder.mkdir(parents=True, exist_ok=True)
    for before, mark in pairwise((0, *[mark for mark in MARKS if mark <= passes])):
        batches = rows.batches(rng, 100 * pack, passes=(mark - before) * pack)
        kept = folder / f"{name}-{pack}-{seed}-{mark}.npz"
        state = train.run(step, state, batches, f"{name}, packs of {pack}, seed {seed}, to pass {mark}", save=kept)
        seen = metrics.modes(state.models["G"].sample(dgm.random.Generator([seed, mark]), 2500), DATA[name])
        uneven = math.log(seen.all) if seen.covered == 0 else seen.reverse_kl  # near no mode: as if all were at one
        numbers = {"modes": seen.covered, "high_quality": seen.high_quality, "reverse_kl": uneven}
        found.append({"data": name, "pack": pack, "seed": seed, "passes": mark, **numbers})
        said = f"{seen.covered} modes, {100 * seen.high_quality:.1f}% of high quality, reverse KL {uneven:.2f}"
        print(f"{name}, packs of {pack}, seed {seed}, pass {mark}: {said}", flush=True)
    return found


def table(rows: list[dict[str, Any]]) -> str:
    """Means and standard errors over seeds, by data and pack, and where the paper ends, as Markdown."""
    lines = ["| data | pack | passes | runs | modes | high quality, % | reverse KL, nats |", "|---|---|---|---|---|---|---|"]
    for (name, pack), published in PUBLISHED.items():
        some = [row for row in rows if (row["data"], row["pack"]) == (name, pack)]
        for passes in sorted({row["passes"] for row in some}):
            here = [row for row in some if row["passes"] == passes]
            cells = []
            for key, scale, digits in (("modes", 1.0, 1), ("high_quality", 100.0, 1), ("reverse_kl", 1.0, 2)):
                x = scale * numpy.array([row[key] for row in here])
                error = f" +- {x.std(ddof=1) / len(x) ** 0.5:.{digits}f}" if len(x) > 1 else ""
                cells.append(f"{x.mean():.{digits}f}{error}")
            lines.append(f"| {name} | {pack} | {passes} | {len(here)} | {' | '.join(cells)} |")
        modes, quality, kl = published
        lines.append(f"| {name} | {pack} | 400 | published, 10 | {modes} | {quality} | {kl:.2f} |")
    return "\n".join(lines)


def main(argv: list[str]) -> int:
    """Exit status 2 for options that cannot be."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks modes", description=(__doc__ or "").split("\n\n")[1])
    parser.add_argument("--data", nargs="+", choices=list(DATA), default=list(DATA), help="default: both")
    parser.add_argument("--packs", nargs="+", type=int, choices=(1, 2, 4), default=[1, 2], help="samples that D sees at once")
    parser.add_argument("--seeds", type=int, default=10, help="runs of each (default %(default)s)")
    parser.add_argument("--passes", type=int, default=400, help="of the paper's 400 (default: all)")
    parser.add_argument("--keep", type=Path, default=Path("build/modes"), help="where runs are kept (default %(default)s)")
    parser.add_argument("--json", type=Path, default=KEPT, help="where what is measured is kept (default %(default)s)")
    options = parser.parse_args(argv)
    if options.seeds < 1 or options.passes < 1:
        parser.error("--seeds, --passes: wanted 1 or more")
    try:
        rows = json.loads(options.json.read_text(encoding="utf-8")) if options.json.exists() else []
        by_run = {(row["data"], row["pack"], row["seed"], row["passes"]): row for row in rows}
    except (OSError, ValueError, TypeError, KeyError) as error:
        print(f"error: {options.json} is no file of results: {error}", file=sys.stderr)
        return 2
    last = max(mark for mark in MARKS if mark <= options.passes)
    for seed in range(options.seeds):
        for key in [(name, pack, seed) for name in options.data for pack in options.packs]:
            if (*key, last) in by_run:
                continue
            by_run |= {(*key, row["passes"]): row for row in measure(*key, options.passes, options.keep)}
            text = (
                json.dumps([by_run[each] for each in sorted(by_run)], indent=1, allow_nan=False)
                .replace("\n  ", " ")
                .replace("\n }", " }")
            )
            files.write(options.json.parent, {options.json.name: lambda file, text=text: file.write(f"{text}\n".encode())})
    print(table(list(by_run.values())))
    return 0
