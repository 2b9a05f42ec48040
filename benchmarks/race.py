"""The race: every contestant in its own child process, one core, one thread, taking turns on each step."""

from __future__ import annotations

import json
import math
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterable
from typing import Any

from .problems import STEPS

FLOOR = "products"  # no contestant: the matrix products alone
CONTESTANTS = ("pydgm", "pydgm_eager", "torch", "jax", "autograd", "sklearn", "numpy")
ON_GPU = {"PYDGM_BACKEND": "cupy", "BENCHMARK_DEVICE": "cuda", "JAX_PLATFORMS": "cuda"}
ON_GPU |= {"JAX_DEFAULT_MATMUL_PRECISION": "highest", "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}  # all 24 bits; room for others


def command(*arguments: str, **more: str) -> tuple[list[str], dict[str, str]]:
    """A Python child on one core with one thread (on a GPU on any, to compile), without the settings that slow some machines'
    BLAS down."""
    env = {key: value for key, value in os.environ.items() if key not in ("OPENBLAS_CORETYPE", "PYDGM_EAGER", "PYDGM_BACKEND")}
    env |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    # freed memory is kept, for every contestant alike: see pydgm.backend.keep_freed_memory
    env |= {"MALLOC_TRIM_THRESHOLD_": str(256 << 20), "MALLOC_MMAP_THRESHOLD_": str(32 << 20)}
    env |= {"XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false", "JAX_PLATFORMS": "cpu", "PYTHONWARNINGS": "ignore"} | more
    core = str(max(os.sched_getaffinity(0))) if hasattr(os, "sched_getaffinity") else ""
    pin = ["taskset", "-c", core] if core and shutil.which("taskset") and more != ON_GPU else []
    return [*pin, sys.executable, "-m", *arguments], env


class Child:
    """A contestant's process. With the ending ``_eager`` it does not compile, with ``_gpu`` it computes on a GPU."""

    def __init__(self, name: str) -> None:
        module, _, how = name.partition("_")
        argv, env = command("benchmarks.worker", module, **{"eager": {"PYDGM_EAGER": "1"}, "gpu": ON_GPU}.get(how, {}))
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(argv, env=env, stdin=pipe, stdout=pipe, stderr=pipe, text=True)
        first = self._line()
        self.steps: list[str] = first["steps"] if first else []

    def _line(self) -> Any:
        assert self.process.stdout is not None
        text = self.process.stdout.readline()
        return json.loads(text) if text else None

    def ask(self, *words: object) -> Any:
        assert self.process.stdin is not None
        self.process.stdin.write(" ".join(map(str, words)) + "\n")
        self.process.stdin.flush()
        answer = self._line()
        if answer is None:
            raise RuntimeError(self.complaint())
        return answer

    def complaint(self) -> str:
        assert self.process.stderr is not None
        lines = self.process.stderr.read().strip().splitlines()
        return lines[-1] if lines else "it ended without a word"

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()
        for pipe in (self.process.stdout, self.process.stderr):
            if pipe is not None:
                pipe.close()


def check_equal(step: str, losses: dict[str, list[float]]) -> None:
    """Raise where contestants compute different losses."""
    reference = next(iter(losses.values()))
    for name, its_losses in losses.items():
        if not all(math.isclose(a, b, rel_tol=1e-4, abs_tol=1e-6) for a, b in zip(its_losses, reference, strict=True)):
            raise RuntimeError(f"{step}: {name} computes {its_losses}, not {reference}")


def race(peers: Iterable[str], seconds: float, rounds: int = 5, steps: Iterable[str] = STEPS) -> dict[str, Any]:
    """The ``steps`` of the report, the products alone, and who is missing and why::

        {"steps": {step: {contestant: {median_us, min_us, max_us, peak_mib}}}, "products_us": {step: median}, "missing": {...}}

    Losses of the first four steps must agree with pydgm's to 1e-4 before anything is timed (scikit-learn's RBM draws its
    own noise and is timed alone).
    """
    children, missing = {}, {}
    for name in (*peers, FLOOR):
        child = Child(name)
        if child.steps:
            children[name] = child
        else:
            missing[name] = child.complaint()
            child.close()
    results: dict[str, dict[str, Any]] = {}
    floor: dict[str, float] = {}
    for step in steps:
        racing = {name: child for name, child in children.items() if step.split("-")[0] in child.steps}
        answers = {name: child.ask("losses", step, 4) for name, child in racing.items()}
        check_equal(step, {name: a["losses"] for name, a in answers.items() if name not in ("sklearn", FLOOR)})
        times: dict[str, list[float]] = {name: [] for name in racing}
        for child in racing.values():
            child.ask("time", step, 0.1)
        for _ in range(rounds):
            for name, child in racing.items():
                times[name] += child.ask("time", step, seconds / rounds)
        if FLOOR in times:
            floor[step] = round(statistics.median(times.pop(FLOOR)), 1)
        results[step] = {
            name: {
                "median_us": round(statistics.median(t), 1),
                "min_us": round(min(t), 1),
                "max_us": round(max(t), 1),
                "peak_mib": round(answers[name]["peak_mib"], 1),
            }
            for name, t in times.items()
        }
    for child in children.values():
        child.close()
    return {"steps": results, "products_us": floor, "missing": missing}


def first_step(peers: Iterable[str], repeats: int = 3) -> dict[str, float]:
    """Seconds from a fresh process to the end of the first GAN step, imports included: the best of ``repeats``."""
    seconds = {}
    for name in peers:
        times = []
        for _ in range(repeats):
            start = time.perf_counter()
            child = Child(name)
            if "gan" in child.steps:
                child.ask("losses", "gan", 1)
                times.append(time.perf_counter() - start)
            child.close()
        if times:
            seconds[name] = round(min(times), 3)
    return seconds
