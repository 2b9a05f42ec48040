"""How cost grows: with the batch, the depth, the length of a chain of operations, and from a function to its gradient."""

from __future__ import annotations

import json
import statistics
import subprocess
import time
from collections.abc import Callable
from typing import Any

import pydgm as dgm
from pydgm import nn

from .contestants.pydgm import gan
from .problems import problem
from .race import Child, check_equal, command

BATCHES = (64, 256, 1024, 4096, 8192)  # of 3 layers, 128 wide
DEPTHS = (10, 30, 100, 300, 1000)  # layers 32 wide, batch 64
GROWING = ("pydgm", "pydgm_eager", "torch", "jax")
LENGTHS = (1_000, 10_000, 100_000)
SIZES = {"2-128-128-1, batch 256": ((2, 128, 128, 1), 256), "784-400-20, batch 128": ((784, 400, 20), 128)}
SIZES |= {"784-1000-1000-10, batch 512": ((784, 1000, 1000, 10), 512)}


def interleaved(functions: dict[str, Callable[[], Any]], seconds: float) -> dict[str, float]:
    """The median time of each, in microseconds. They take turns, so that a slow moment of the machine meets all."""
    times: dict[str, list[float]] = {name: [] for name in functions}
    for f in functions.values():
        f()
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(next(iter(times.values()))) < 5:
        for name, f in functions.items():
            start = time.perf_counter()
            f()
            times[name].append(1e6 * (time.perf_counter() - start))
    return {name: statistics.median(samples) for name, samples in times.items()}


def chain(length: int) -> Callable[[], Any]:
    def f(x: Any) -> Any:
        for _ in range(length):
            x = dgm.sin(x)
        return x

    return lambda: dgm.grad(f)(1.0)


def steps(peers: list[str], seconds: float) -> dict[str, Any]:
    """``{"batch" | "depth": {size: {contestant: {"median_us", "first_s"}}}}``: a training step, and what came before it."""
    results: dict[str, Any] = {"batch": {}, "depth": {}}
    names = {"batch": {n: f"mlp-3-128-{n}" for n in BATCHES}, "depth": {n: f"mlp-{n}-32-64" for n in DEPTHS}}
    children = {name: Child(name) for name in GROWING if name in peers}
    children = {name: child for name, child in children.items() if "mlp" in child.steps}
    for kind, sizes in names.items():
        for n, step in sizes.items():
            answers = {name: child.ask("losses", step, 2) for name, child in children.items()}
            check_equal(step, {name: answer["losses"] for name, answer in answers.items()})
            times: dict[str, list[float]] = {name: [] for name in children}
            for _ in range(3):
                for name, child in children.items():
                    times[name] += child.ask("time", step, seconds / 3)
            results[kind][str(n)] = {
                name: {"median_us": round(statistics.median(t), 1), "first_s": round(answers[name]["first_s"], 3)}
                for name, t in times.items()
            }
    for child in children.values():
        child.close()
    return results


def self_check(calls: int = 1000, times: int = 3) -> float:
    """What the eager runs at calls 2, 4, 8, ... add to ``calls`` GAN steps, as a share of these: the least of a few tries."""
    shares = []
    for _ in range(times):
        once, took = gan(problem("gan")), []
        for _ in range(calls):
            start = time.perf_counter()
            once()
            took.append(time.perf_counter() - start)
        usual = statistics.median(took)
        checked = [took[call - 1] for call in (2**k for k in range(1, calls.bit_length())) if call <= calls]
        shares.append(sum(t - usual for t in checked) / (calls * usual))
    return min(shares)


def growth(peers: list[str], seconds: float = 1.0) -> dict[str, Any]:
    """What :func:`steps` and, in a child of its own, :func:`main` find."""
    argv, env = command("benchmarks.growth")
    own: dict[str, Any] = json.loads(subprocess.run(argv, env=env, capture_output=True, text=True, check=True).stdout)
    return {**steps(peers, seconds), **own}


def main() -> None:
    """Prints ``{"chain": {length: us an operation}, "gradient_over_forward": {network: ratio}, "self_check": share}``."""
    dgm.backend.keep_freed_memory()
    found = interleaved({str(n): chain(n) for n in LENGTHS}, seconds=5.0)
    per_operation = {n: total / int(n) for n, total in found.items()}
    ratios = {}
    for name, (sizes, batch) in SIZES.items():
        rng = dgm.random.Generator(0)
        model, x = nn.MLP.init(rng, sizes, dgm.tanh), rng.normal((batch, sizes[0]))

        def loss(model: nn.MLP, x: Any = x) -> Any:
            return dgm.mean(dgm.square(model(x)))

        both = interleaved({"forward": lambda: loss(model), "gradient": lambda: dgm.value_and_grad(loss)(model)}, seconds=3.0)  # noqa: B023
        ratios[name] = both["gradient"] / both["forward"]
    print(json.dumps({"chain": per_operation, "gradient_over_forward": ratios, "self_check": self_check()}))


if __name__ == "__main__":
    main()
