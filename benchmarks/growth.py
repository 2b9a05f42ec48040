"""How cost grows: with the length of a chain of operations, and from a function to its gradient.

Run in a child process, with one thread, by ``python -m benchmarks``; prints JSON.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable
from typing import Any

import pydgm as dgm
from pydgm import nn

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
    return {name: statistics.median(found) for name, found in times.items()}


def chain(length: int) -> Callable[[], Any]:
    def f(x: Any) -> Any:
        for _ in range(length):
            x = dgm.sin(x)
        return x

    return lambda: dgm.grad(f)(1.0)


def main() -> None:
    """Prints ``{"chain": {length: microseconds an operation}, "gradient_over_forward": {network: ratio}}``."""
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
    print(json.dumps({"chain": per_operation, "gradient_over_forward": ratios}))


if __name__ == "__main__":
    main()
