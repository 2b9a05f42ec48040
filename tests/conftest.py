"""Settings of all tests, and the real data where they are."""

from __future__ import annotations

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before NumPy comes: several workers share the cores

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

import pydgm as dgm
from pydgm import data

# The same examples in every run, so that a red test is red again on the next machine.
# ``pytest --hypothesis-profile=search`` draws many other ones.
SLOW = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("repeatable", derandomize=True, max_examples=25, **SLOW)
settings.register_profile("search", max_examples=500, **SLOW)
settings.load_profile("repeatable")

_missing: set[str] = set()


@pytest.fixture(params=["device1", "no_float64"])
def strict(request) -> Iterator[str]:
    """NumPy behind the bare standard, on a device that refuses implicit conversion: a stand-in for a GPU library."""
    dgm.use("array_api_strict", device=request.param)
    yield request.param
    dgm.use("numpy")


@pytest.fixture
def real_data():
    """The folder of a real data set; without it the test does not run, and the last line of the output says so."""

    def folder(name: str) -> Path:
        result = data.find(name)
        if result is None:
            _missing.add(name)
            pytest.skip(f"{name} is not here: set PYDGM_DATA")
        return result

    return folder


def pytest_terminal_summary(terminalreporter) -> None:
    if _missing:
        terminalreporter.write_line(f"NOT RUN, for want of data (set PYDGM_DATA): tests on {', '.join(sorted(_missing))}")
