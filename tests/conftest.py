"""Settings of all tests, and the real data where they are."""

from __future__ import annotations

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before NumPy comes: several workers share the cores

import contextlib
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, settings

import pydgm as dgm
from pydgm import data
from pydgm.errors import BackendError

# The same examples in every run, so that a red test is red again on the next machine.
# ``pytest --hypothesis-profile=search`` draws many other ones.
SLOW = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("repeatable", derandomize=True, max_examples=25, **SLOW)
settings.register_profile("search", max_examples=500, **SLOW)
settings.load_profile("repeatable")

_missing: set[str] = set()


class Elsewhere(NamedTuple):
    """Another array library than NumPy, on a device that refuses implicit conversion."""

    library: str
    device: str | None
    dtype: str  # the longest numbers that it has

    def use(self) -> None:
        dgm.use(self.library, self.device)

    def holds(self, x: Any) -> bool:
        """Whether an array is on the device."""
        return type(x).__module__.split(".")[0] == self.library and (self.device is None or f"'{self.device}'" in str(x.device))


ELSEWHERE = [Elsewhere("array_api_strict", "device1", "float64"), Elsewhere("array_api_strict", "no_float64", "float32")]
if find_spec("cupy"):  # a GPU itself, beside its stand-in
    with contextlib.suppress(BackendError):
        dgm.use("cupy")
        dgm.use("numpy")
        ELSEWHERE.append(Elsewhere("cupy", None, "float64"))


@pytest.fixture(params=ELSEWHERE, ids=lambda it: it.device or it.library)
def elsewhere(request) -> Iterator[Elsewhere]:
    """NumPy behind the bare standard, a stand-in for a GPU library; and CuPy, where there is a GPU."""
    request.param.use()
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
