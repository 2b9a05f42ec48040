"""What the array API standard lacks, or libraries spell differently: one adapter for each library.

:class:`Library` is NumPy, which the others are closest to; an adapter says where its own differs.
"""

from __future__ import annotations

import importlib
import math
from typing import Any

import numpy

from ..errors import BackendError

Array = Any


class Library:
    """NumPy."""

    name = "numpy"
    on_host = True  # numbers can be looked at without waiting for a device
    compiles = True  # dgm.compile writes programs for it
    block = 1 << 17  # numbers of an array that stays in the cache, where a computation is made block by block

    def __init__(self, xp: Any, device: Any = None) -> None:
        self.xp, self.device = xp, device

    @classmethod
    def load(cls, device: Any) -> tuple[Any, Any]:
        """The module, and the device in its own terms. Raises ``ImportError`` and :class:`BackendError`."""
        return importlib.import_module(cls.name), device

    @property
    def longest_float(self) -> str:
        """The dtype of the most digits that the device has."""
        return "float64"

    def placed(self, like: Array | None) -> dict[str, Any]:
        """The argument that puts a new array beside ``like``."""
        return {}

    def asarray(self, x: Any, dtype: Any, like: Array | None) -> Array:
        return self.xp.asarray(x, dtype=dtype)

    def to_numpy(self, x: Array) -> numpy.ndarray[Any, Any]:
        return numpy.asarray(x)

    def copy(self, x: Array, order: str = "K") -> Array:
        return self.xp.copy(x, order=order)

    def index(self, x: Array, key: Any, basic: bool) -> Array:
        """``x[key]``; a ``basic`` key selects each element at most once."""
        return x[key]

    def scatter_add(self, out: Array, key: Any, g: Array, basic: bool) -> Array:
        """``g`` added to ``out`` at ``key``; ``out`` may be written over."""
        if basic:
            keys = tuple([k for k in (key if isinstance(key, tuple) else (key,)) if k is not None])  # new axes hold nothing new
            out[keys] = self.xp.reshape(g, out[keys].shape)
        elif isinstance(key, tuple) and len(key) == out.ndim and all(map(_integers, key)) and type(out) is numpy.ndarray:
            places = [numpy.where(k < 0, k + n, k) for k, n in zip(numpy.broadcast_arrays(*key), out.shape, strict=True)]
            flat = numpy.ravel_multi_index(tuple(places), out.shape)  # one index is five times as fast as one for each axis
            numpy.add.at(out.reshape(-1), flat.ravel(), numpy.broadcast_to(g, flat.shape).ravel())
        else:
            self.xp.add.at(out, key, g)
        return out

    def put(self, x: Array, rows: Array, values: Array) -> None:
        """``x[rows] = values``, in place."""
        x[rows] = values

    def default_rng(self, seed: Any) -> Any:
        return numpy.random.default_rng(seed)

    def rng_state(self, rng: Any) -> numpy.ndarray[Any, Any]:
        state = rng.bit_generator.state
        numbers = state["state"]["state"], state["state"]["inc"]
        words = [n >> shift & (2**64 - 1) for n in numbers for shift in (64, 0)]
        return numpy.array([*words, state["has_uint32"], state["uinteger"]], numpy.uint64)

    def restore_rng(self, rng: Any, state: numpy.ndarray[Any, Any]) -> None:
        high, low, inc_high, inc_low, has_uint32, uinteger = state.tolist()
        numbers = {"state": high << 64 | low, "inc": inc_high << 64 | inc_low}
        rng.bit_generator.state = {
            "bit_generator": "PCG64",
            "state": numbers,
            "has_uint32": has_uint32,
            "uinteger": uinteger,
        }


def _integers(key: Any) -> bool:
    return hasattr(key, "dtype") and key.dtype.kind == "i"


class Cupy(Library):
    """CuPy: NumPy's interface on a GPU."""

    name = "cupy"
    on_host = False
    compiles = False
    block = 1 << 26  # a device is kept busy by large blocks

    @classmethod
    def load(cls, device: Any) -> tuple[Any, Any]:
        module = importlib.import_module(cls.name)
        if not module.is_available():
            raise BackendError('CuPy is installed but finds no usable GPU: pass "numpy", or check the CUDA driver')
        return module, device

    def to_numpy(self, x: Array) -> numpy.ndarray[Any, Any]:
        if isinstance(x, numpy.ndarray | numpy.generic | float | int | list):
            return numpy.asarray(x)
        host: numpy.ndarray[Any, Any] = self.xp.asnumpy(x)
        return host

    def default_rng(self, seed: Any) -> Any:
        return self.xp.random.default_rng(seed)

    def rng_state(self, rng: Any) -> numpy.ndarray[Any, Any]:
        return self.to_numpy(rng.bit_generator._state)  # of all its threads: cuRAND's, for which CuPy has no public name

    def restore_rng(self, rng: Any, state: numpy.ndarray[Any, Any]) -> None:
        rng.bit_generator._state[...] = self.xp.asarray(state)


class Strict(Library):
    """array-api-strict: the bare standard, and on ``device1`` what a GPU library refuses. Noise is drawn on the host."""

    name = "array_api_strict"
    on_host = False
    compiles = False

    @classmethod
    def load(cls, device: Any) -> tuple[Any, Any]:
        module = importlib.import_module(cls.name)
        _let_the_other_operand_answer(type(module.zeros(())))
        return module, module.Device(device) if isinstance(device, str) else device

    @property
    def longest_float(self) -> str:
        return "float64" if "float64" in self.xp.__array_namespace_info__().dtypes(device=self.device) else "float32"

    def placed(self, like: Array | None) -> dict[str, Any]:
        device = self.device if like is None else like.device
        return {} if device is None else {"device": device}

    def asarray(self, x: Any, dtype: Any, like: Array | None) -> Array:
        if isinstance(x, numpy.ndarray | numpy.generic):
            x = numpy.asarray(x)
            dtype = getattr(self.xp, x.dtype.name) if dtype is None else dtype
            if x.size == 0:  # a list forgets how wide its missing rows are
                return self.xp.zeros(x.shape, dtype=dtype, **self.placed(like))
            x = x.tolist()
        return self.xp.asarray(x, dtype=dtype, **self.placed(like))

    def to_numpy(self, x: Array) -> numpy.ndarray[Any, Any]:
        if hasattr(x, "to_device") and not isinstance(x, numpy.ndarray | numpy.generic):
            return numpy.from_dlpack(x.to_device(self.xp.Device("CPU_DEVICE")))
        return numpy.asarray(x)

    def copy(self, x: Array, order: str = "K") -> Array:
        return self.xp.asarray(x, copy=True)

    def index(self, x: Array, key: Any, basic: bool) -> Array:
        if basic:
            return x[_spelled_out(key)]
        positions = self._positions(x.shape, key, x)
        flat = self.xp.take(self.xp.reshape(x, (-1,)), self.xp.reshape(positions, (-1,)), axis=0)
        return self.xp.reshape(flat, positions.shape)

    def scatter_add(self, out: Array, key: Any, g: Array, basic: bool) -> Array:
        xp = self.xp
        if basic:
            keys = _spelled_out(tuple([k for k in (key if isinstance(key, tuple) else (key,)) if k is not None]))
            out[keys] = xp.reshape(g, out[keys].shape)
            return out
        positions = xp.reshape(self._positions(out.shape, key, g), (-1, 1))
        chosen = xp.astype(positions == xp.arange(math.prod(out.shape), **self.placed(g)), g.dtype)
        return xp.reshape(xp.matmul(xp.reshape(g, (1, -1)), chosen), out.shape)

    def put(self, x: Array, rows: Array, values: Array) -> None:
        for i, row in enumerate(self.to_numpy(rows).tolist()):
            x[row, ...] = values[i, ...]

    def _positions(self, shape: tuple[int, ...], key: Any, like: Array) -> Array:
        """Where, in the flattened array, ``x[key]`` reads."""
        keys = key if isinstance(key, tuple) else (key,)
        host = tuple(self.to_numpy(k) if hasattr(k, "shape") else k for k in keys)
        return self.asarray(numpy.arange(math.prod(shape)).reshape(shape)[host], None, like)


def _spelled_out(key: Any) -> Any:
    """A basic key as the bare standard wants it: ending in ``...`` where it names fewer axes than there are."""
    keys = key if isinstance(key, tuple) else (key,)
    return keys if any(k is Ellipsis for k in keys) else (*keys, ...)


def _let_the_other_operand_answer(array: type) -> None:
    """``array * tensor``: the strict library raises where Python's protocol, and CuPy, ask the tensor."""

    def polite(method: Any) -> Any:
        def ask(self: Any, other: Any) -> Any:
            known = isinstance(other, array | bool | int | float | complex)
            return method(self, other) if known else NotImplemented

        ask.polite = True  # type: ignore[attr-defined]
        return ask

    for name in ("add", "sub", "mul", "truediv", "matmul", "pow", "lt", "le", "gt", "ge", "eq", "ne"):
        method = getattr(array, f"__{name}__")
        if not hasattr(method, "polite"):
            setattr(array, f"__{name}__", polite(method))


LIBRARIES: dict[str, tuple[type[Library], str]] = {
    "numpy": (Library, ""),
    "cupy": (Cupy, "cuda12"),
    "array_api_strict": (Strict, "test"),
}
"""By name, and the extra that installs it."""
