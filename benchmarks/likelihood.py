"""``python -m benchmarks likelihood``: how likely test rows are under each density model, data set by data set.

A model joins with a function ``(data, rng) -> model`` and a line that says on which data sets it is trained::

    @density("mixture of Bernoullis", "dna", "mushrooms")
    def mixture(data, rng):
        return ...trained on data.train, settings chosen by data.valid

What it returns has ``log_prob(x)`` or ``likelihood(x, rng)``, or is a ``Likelihood`` of the test rows itself. Results are
kept in ``benchmarks/likelihood.json`` with commit, seeds and minutes, so a new model makes no other run again. Tables show
log p of a test row, in nats: higher is better.
"""

from __future__ import annotations

import argparse
import functools
import json
import math
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import pydgm as dgm
from pydgm import files, metrics, optim, train
from pydgm.data import DataError, Dataset
from pydgm.distributions import Bernoulli, Independent
from pydgm.metrics import Likelihood
from pydgm.metrics.likelihood import bound
from pydgm.models.autoregressive import MADE, NADE, Autoregressive, GatedPixelCNN, nll, random_orders
from pydgm.models.energy import RBM, contrastive
from pydgm.models.latent import VAE, iwae, vae

KEPT = Path(__file__).parent / "likelihood.json"
RUNS = Path("build/likelihood")  # where trainings of hours are kept, and go on from
DATA = ("dna", "mushrooms", "nips", "binarized_mnist", "mnist")
BINARY = DATA[:4]
Train = Callable[[Dataset, Any], Any]
MODELS: dict[str, tuple[Train, tuple[str, ...]]] = {}

MEMORY = "papers of NADE, MADE and EoNADE, from memory, not found"
MEMORY_RBM = f"{MEMORY}; a small machine, of 23 hidden units we believe, where ours has 100 to 200"
BURDA = "Burda et al. 2016, from memory: the same bound, after 3280 passes; ours has 80"
PUBLISHED: dict[tuple[str, str], tuple[float, str]] = {
    ("RBM", "dna"): (-96.74, MEMORY_RBM),
    ("RBM", "mushrooms"): (-15.15, MEMORY_RBM),
    ("RBM", "nips"): (-277.37, MEMORY_RBM),
    ("RBM", "binarized_mnist"): (-86.34, "Salakhutdinov and Murray 2008, CD-25, read where others cite it"),
    ("NADE", "dna"): (-84.81, MEMORY),
    ("NADE", "mushrooms"): (-9.81, MEMORY),
    ("NADE", "nips"): (-273.08, MEMORY),
    ("NADE", "binarized_mnist"): (-88.33, "Uria et al. 2016, from memory"),
    ("MADE", "dna"): (-83.63, MEMORY),
    ("MADE", "mushrooms"): (-9.68, MEMORY),
    ("MADE", "nips"): (-280.25, MEMORY),
    ("MADE", "binarized_mnist"): (-88.40, "Germain et al. 2015, from memory"),
    ("MADE, several orders", "binarized_mnist"): (-86.64, "Germain et al. 2015: two layers, 32 orders, from memory"),
    ("VAE", "binarized_mnist"): (-88.71, "Burda et al. 2016, k = 1, static, from memory: an estimate above the bound"),
    ("PixelCNN", "binarized_mnist"): (-81.30, "van den Oord et al. 2016, from memory"),
    ("IWAE, k = 1", "mnist"): (-86.76, BURDA),
    ("IWAE, k = 5", "mnist"): (-85.54, BURDA),
    ("IWAE, k = 50", "mnist"): (-84.78, BURDA),
}
"""log p of a test row, in nats, and where it stands; also of models that are still to come."""


def density(name: str, *data: str) -> Callable[[Train], Train]:
    """Enter a model, trained anew on each of the data sets."""

    def enter(function: Train) -> Train:
        MODELS[name] = function, data
        return function

    return enter


@density("independent columns", *BINARY)
def independent(data: Dataset, rng: Any) -> Independent:
    """Each column by itself, one of each value added. Exact."""
    return Independent(Bernoulli.fit(dgm.asarray(data.train.x)), 1)


class Recipe(NamedTuple):
    """How an RBM is trained: PCD-k with a rate that falls to 0."""

    hidden: int
    passes: int
    rate: float
    decay: float
    k: int
    batch: int = 20


RECIPES = {  # chosen by the valid rows
    180: Recipe(100, 100, 0.1, 0.01, 2),
    112: Recipe(150, 150, 0.2, 0.001, 5),
    500: Recipe(200, 100, 0.05, 0.03, 5),
    784: Recipe(500, 40, 0.05, 1e-4, 1, batch=100),
}


@density("RBM", *BINARY)
def machine(data: Dataset, rng: Any) -> Likelihood:
    """A restricted Boltzmann machine; log Z by annealed importance sampling from independent columns."""
    rows = dgm.asarray(data.train.x)
    recipe = RECIPES[rows.shape[1]]
    batches = data.train.batches(rng, recipe.batch, recipe.passes)
    falling = optim.sgd(optim.linear(recipe.rate, 0.0, len(batches)), weight_decay=recipe.decay)
    step = contrastive.step(contrastive.pcd(recipe.k, chains=100), falling)
    start = RBM.init(rng, rows.shape[1], recipe.hidden, rows)
    model = train.run(step, step.init(start, rng), batches).model
    return model.likelihood(dgm.asarray(data.test.x), rng, base=start.b)


class Fit(NamedTuple):
    """How an autoregressive model is trained: Adam, a rate that falls to 0, the model of the best validation."""

    hidden: tuple[int, ...]
    passes: int
    rate: float
    decay: float
    batch: int
    orders: int = 1  # random ones


FITS = {  # chosen by the valid rows
    "NADE": {
        180: Fit((200,), 30, 0.01, 0.3, 20),
        112: Fit((200,), 60, 0.01, 0.03, 20),
        500: Fit((100,), 40, 0.003, 1.0, 20),
        784: Fit((500,), 20, 0.01, 0.03, 100),
    },
    "MADE": {
        180: Fit((500,), 60, 0.001, 0.3, 20),
        112: Fit((500,), 60, 0.01, 0.1, 100),
        500: Fit((100,), 60, 0.001, 1.0, 20),
        784: Fit((500,), 40, 0.003, 0.03, 100),
    },
    "MADE, several orders": {
        180: Fit((500,), 600, 0.003, 0.1, 100, orders=32),
        112: Fit((500,), 200, 0.003, 0.0, 20, orders=16),
        500: Fit((500,), 150, 0.001, 1.0, 20, orders=16),
    },
}


def fitted(model: Autoregressive, fit: Fit, data: Dataset, rng: Any, judges: int | None = None) -> Autoregressive:
    """The model of the best validation, of twenty in the course of the training, by the first ``judges`` valid rows."""
    batches, valid = data.train.batches(rng, fit.batch, fit.passes), dgm.asarray(data.valid.x[:judges])
    step = train.minimise(nll, optim.adam(optim.cosine(fit.rate, 0.0, len(batches)), weight_decay=fit.decay))
    score = dgm.compile(lambda model: -dgm.mean(model.log_prob(valid)))
    state = train.run(step, step.init(model, rng), batches, validate=score, validate_every=len(batches) // 20)
    best: Autoregressive = state.best
    return best


@density("NADE", *BINARY)
def nade(data: Dataset, rng: Any) -> Autoregressive:
    """Exact. In a random order."""
    D = data.train.x.shape[1]
    fit = FITS["NADE"][D]
    return fitted(NADE.init(rng, D, *fit.hidden, random_orders(rng, D, fit.orders)), fit, data, rng, judges=2000)


@density("MADE", *BINARY)
def made(data: Dataset, rng: Any, name: str = "MADE") -> Autoregressive:
    """Exact. In a random order."""
    D = data.train.x.shape[1]
    fit = FITS[name][D]
    return fitted(MADE.init(rng, D, fit.hidden, random_orders(rng, D, fit.orders)), fit, data, rng)


@density("MADE, several orders", *BINARY[:3])
def made_of_orders(data: Dataset, rng: Any) -> Autoregressive:
    """Exact: the mixture of 16 or 32 orders that one network has learned."""
    return made(data, rng, "MADE, several orders")


@density("PixelCNN", "binarized_mnist")
def pixels(data: Dataset, rng: Any) -> Autoregressive:
    """Exact. Gated, five layers of 32 channels, dilated, a bias for each place: as the lesson's ``--full``."""
    model = GatedPixelCNN.init(rng, (28, 28), dilations=(1, 2, 4), place_bias=True)
    return fitted(model, Fit((), 3, 0.004, 0.0, 8), data, rng, judges=500)


@density("VAE", "binarized_mnist")
def autoencoder(data: Dataset, rng: Any) -> VAE:
    """Two layers of 200 tanh units, 50 latent numbers: the network of Burda et al., trained for 30 passes. A bound."""
    batches = data.train.batches(rng, 100, passes=30)
    step = train.minimise(vae.loss, optim.adam(optim.cosine(1e-3, 0.0, len(batches))))
    start = VAE.init(rng, hidden=(200, 200), latent=50, activation=dgm.tanh)
    return train.run(step, step.init(start, rng), batches).model


def importance_weighted(data: Dataset, rng: Any, k: int) -> Likelihood:
    """The network and batches of Burda et al. 2016, as the lesson's ``--full``: 80 of their 3280 passes, at a rate that falls.

    A pixel is white with the probability of its grey, drawn anew for each batch, once for the test rows. A bound: L_5000.
    """
    batches, what = data.train.batches(rng, 20, passes=80), f"IWAE, k = {k}"
    falling = optim.adam(optim.cosine(1e-3, 0.0, len(batches)), eps=1e-4)
    step = train.minimise(lambda m, grey, rng: iwae.loss(k)(m, rng.bernoulli(grey), rng), falling)
    state = step.init(VAE.init(rng, 784, (200, 200), 50, dgm.tanh, dgm.asarray(data.train.x)), rng)
    RUNS.mkdir(parents=True, exist_ok=True)
    model = train.run(step, state, batches, what, save=RUNS / f"iwae-{k}-{int(rng.state()[0])}.npz").model
    x = [rng.bernoulli(part) for part in dgm.backend.chunks(dgm.asarray(data.test.x), 20)]
    one, other = (dgm.concat([vae.log_prob_importance(model, part, 2500, rng, 50) for part in x]) for _ in range(2))
    found = bound(one, other)  # of L_2500, twice
    nats = float(dgm.mean(dgm.logsumexp(dgm.stack([one, other]), axis=0))) - math.log(2.0)
    return found._replace(nats=nats, low=found.low + nats - found.nats)


MODELS |= {f"IWAE, k = {k}": (functools.partial(importance_weighted, k=k), ("mnist",)) for k in (1, 5, 50)}


def measure(name: str, data: str, seeds: int) -> dict[str, Any]:
    """One row of the report. Raises :class:`DataError` without the data."""
    function, _ = MODELS[name]
    dataset, begin, results = dgm.data.load(data), time.perf_counter(), []
    for seed in range(seeds):
        rng = dgm.random.Generator(seed)
        result = function(dataset, rng)
        results.append(result if isinstance(result, Likelihood) else metrics.likelihood(result, dataset.test, rng))
        print(f"{name}, {data}, seed {seed}: {results[-1].nats:.2f} ({results[-1].kind})", flush=True)
    published, source = PUBLISHED.get((name, data), (None, None))
    return {
        "model": name,
        "data": data,
        "nats": round(statistics.mean(r.nats for r in results), 3),
        "low": round(min(r.low for r in results), 3),
        "high": round(high, 3) if (high := max(r.high for r in results)) < float("inf") else None,
        "kind": results[0].kind,
        "published": published,
        "source": source,
        "seeds": seeds,
        "minutes": round((time.perf_counter() - begin) / 60.0, 1),
        "each": [round(r.nats, 3) for r in results],
        "commit": _commit(),
    }


def _commit() -> str:
    here = Path(__file__).parent
    done = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, cwd=here, check=False)
    return done.stdout.strip() or "unknown"


def table(rows: Iterable[dict[str, Any]]) -> str:
    """One table for each data set, as Markdown: models, and below them published ones that are not here yet."""
    rows, parts = list(rows), []
    for data in [name for name in DATA if any(row["data"] == name for row in rows)]:
        lines = [f"| {data} | log p of a test row, nats | kind | published |", "|---|---|---|---|"]
        here = {row["model"]: row for row in rows if row["data"] == data}
        for name, row in here.items():
            spread = max(row["each"]) - min(row["each"])
            each = f" ({min(row['each']):.2f} to {max(row['each']):.2f})" if spread > 0.005 else ""
            published = "" if row["published"] is None else f"{row['published']:.2f}: {row['source']}"
            lines.append(f"| {name} | {row['nats']:.2f}{each} | {row['kind']} | {published} |")
        for (name, where), (nats, source) in PUBLISHED.items():
            if where == data and name not in here:
                lines.append(f"| {name} | | | {nats:.2f}: {source} |")
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def main(argv: list[str]) -> int:
    """Exit status 2 where data are missing or a name is unknown."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks likelihood", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--model", nargs="*", choices=list(MODELS), default=list(MODELS), help="which models (default: all)")
    parser.add_argument("--data", nargs="*", choices=DATA, default=list(DATA), help="which data sets (default: all)")
    parser.add_argument("--seeds", type=int, default=3, help="trainings of each (default %(default)s)")
    parser.add_argument("--again", action="store_true", help="measure also what is kept already")
    parser.add_argument("--json", metavar="FILE", type=Path, default=KEPT, help="where results are kept (default: %(default)s)")
    options = parser.parse_args(argv)
    if options.seeds < 1:
        parser.error("--seeds: wanted 1 or more")
    if not options.json.absolute().parent.is_dir():
        parser.error(f"--json {options.json}: there is no such folder")
    if not any(data in options.data for name in options.model for data in MODELS[name][1]):
        parser.error(f"none of {', '.join(options.model)} is trained on {', '.join(options.data)}")
    try:
        kept = json.loads(options.json.read_text(encoding="utf-8")) if options.json.exists() else []
        rows = {(row["model"], row["data"]): row for row in kept}
        _ = [(DATA.index(data), list(MODELS).index(name)) for name, data in rows]
    except (ValueError, TypeError, KeyError) as error:
        print(f"error: {options.json} is no file of results: {error}", file=sys.stderr)
        return 2
    for name in options.model:
        for data in [data for data in MODELS[name][1] if data in options.data]:
            if (name, data) in rows and rows[name, data]["seeds"] >= options.seeds and not options.again:
                continue
            try:
                rows[name, data] = measure(name, data, options.seeds)
            except DataError as error:
                print(f"error: {error}", file=sys.stderr)
                return 2
            in_order = [rows[key] for key in sorted(rows, key=lambda key: (DATA.index(key[1]), list(MODELS).index(key[0])))]
            text = json.dumps(in_order, indent=1, allow_nan=False) + "\n"
            files.write(options.json.parent, {options.json.name: lambda file, text=text: file.write(text.encode())})
    print(table(row for (name, data), row in rows.items() if name in options.model and data in options.data))
    return 0
