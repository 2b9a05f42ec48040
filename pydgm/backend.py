"""The ground: which array library computes, and the few things the array API standard lacks.

Everything above is written against one namespace, ``xp``, under the names of the `array API standard
<https://data-apis.org/array-api/latest/>`_. ``use("cupy")`` fills ``xp`` from another library; nothing else
changes. What the standard lacks, or libraries spell differently, is the rest of this file.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import math
import os
import threading
import zlib
from collections.abc import Callable, Iterator
from functools import wraps
from typing import Any, TypeAlias

import numpy

from .errors import BackendError

Array: TypeAlias = Any
"""An array of the library in use, or a :class:`~pydgm.autodiff.Tensor` around one."""


recorders: list[Any] = []
"""While functions are being compiled: who notes their calls, each for its own thread."""


def recorder() -> Any:
    """Who notes the calls of this thread; ``None`` where nothing is being compiled."""
    if not recorders:
        return None
    thread = threading.get_ident()
    return next((r for r in reversed(recorders) if r.thread == thread), None)


def recorded(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function that is noted as one call where it is given traced arrays."""

    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        if recorders and (notes := recorder()) is not None and notes.traces((args, kwargs)):
            return notes.record(call, args, kwargs)
        return function(*args, **kwargs)

    return call


class Namespace:
    """The array library in use. Filled by :func:`use`, so that a look-up costs one attribute and no test."""

    name: str
    device: Any  # None: the library's default

    def __getattr__(self, name: str) -> Any:
        if "missing" in self.__dict__:  # what PYDGM_BACKEND asked for is not to be had
            raise BackendError(self.__dict__["missing"])
        raise AttributeError(f"{self.__dict__.get('name', 'no array library')} has no function {name!r}")


xp: Any = Namespace()


def use(name: str, device: Any = None) -> None:
    """Compute with the array library ``name``: ``"numpy"``, ``"cupy"``, or ``"array_api_strict"``.

    The last one is NumPy behind the bare standard: code that runs on its ``device="device1"`` holds to what a GPU
    library offers, which can so be checked without a GPU. Arrays made before the switch stay what they were.

    Raises :class:`~pydgm.errors.BackendError` when the library, or a device for it, is missing; the library in use
    then stays in use.
    """
    if name not in ("numpy", "cupy", "array_api_strict"):
        raise BackendError(f'no array library "{name}": choose "numpy", "cupy" or "array_api_strict"')
    try:
        module = importlib.import_module(name)
    except ImportError as error:
        extra = {"cupy": "cuda12", "array_api_strict": "test"}.get(name, "")
        hint = f"pip install -e '.[{extra}]' in the clone of pydgm"
        raise BackendError(f'{name} is not installed ({error}): {hint}, or pass "numpy"') from None
    if name == "cupy" and not module.is_available():
        raise BackendError('CuPy is installed but finds no usable GPU: pass "numpy", or check the CUDA driver')
    if name == "array_api_strict":
        device = module.Device(device) if isinstance(device, str) else device
        _let_the_other_operand_answer(type(module.zeros(())))
    xp.__dict__.clear()
    xp.__dict__.update({key: value for key, value in vars(module).items() if not key.startswith("_")})
    xp.__dict__.update(name=name, device=device, linalg=module.linalg)


def keep_freed_memory() -> None:
    """Let the C library hand freed arrays out again instead of returning them to the system.

    With glibc every array from 128 KiB on is otherwise fresh memory and costs its page faults; training without compiled
    steps takes half the time so. It concerns the whole program, so only a program should call it; lessons do. Elsewhere
    than on glibc it does nothing.
    """
    with contextlib.suppress(AttributeError, OSError, TypeError):
        mallopt = ctypes.CDLL(None).mallopt
        trim_threshold, mmap_threshold = -1, -3  # the names' values in malloc.h
        mallopt(trim_threshold, 256 << 20)
        mallopt(mmap_threshold, 32 << 20)


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


def _placed(like: Array | None) -> dict[str, Any]:
    """The ``device=`` argument that puts a new array beside ``like`` (CuPy's functions take none)."""
    if xp.name != "array_api_strict":
        return {}
    device = xp.device if like is None else like.device
    return {} if device is None else {"device": device}


@recorded
def asarray(x: Any, dtype: Any = None, like: Array | None = None) -> Array:
    """``x`` (numbers, lists, a NumPy array) as an array of the library in use, on its device."""
    if xp.name == "array_api_strict" and isinstance(x, numpy.ndarray | numpy.generic):
        x = numpy.asarray(x)
        dtype = getattr(xp, x.dtype.name) if dtype is None else dtype
        if x.size == 0:  # a list forgets how wide its missing rows are
            return xp.zeros(x.shape, dtype=dtype, **_placed(like))
        x = x.tolist()
    return xp.asarray(x, dtype=dtype, **_placed(like))


def to_float(x: Any) -> float:
    """A Python float, which takes on the dtype of the arrays that it meets; an array of one number does not."""
    notes = recorder()
    return notes.record(float, (x,), {}) if notes is not None and notes.traces(x) else float(x)


def to_numpy(x: Array) -> numpy.ndarray[Any, Any]:
    """A copy-free NumPy view where the memory allows it, a copy from the device where not."""
    if xp.name == "cupy" and not isinstance(x, numpy.ndarray | numpy.generic | float | int | list):
        return xp.asnumpy(x)  # type: ignore[no-any-return]
    if hasattr(x, "to_device") and not isinstance(x, numpy.ndarray | numpy.generic):
        return numpy.from_dlpack(x.to_device(xp.Device("CPU_DEVICE")))
    return numpy.asarray(x)


def copy(x: Array) -> Array:
    """The same numbers in memory of their own."""
    return xp.asarray(x, copy=True) if xp.name == "array_api_strict" else xp.copy(x)


def zeros(shape: tuple[int, ...], like: Array | None = None) -> Array:
    """Zeros of ``like``'s dtype, on its device; float32 without it."""
    return xp.zeros(shape, dtype=xp.float32 if like is None else like.dtype, **_placed(like))


def ones(n: int, like: Array) -> Array:
    """``n`` ones of ``like``'s dtype, on its device."""
    return xp.ones((n,), dtype=like.dtype, **_placed(like))


def eye(n: int, like: Array) -> Array:
    """The identity matrix in ``like``'s dtype, on its device."""
    return xp.eye(n, dtype=like.dtype, **_placed(like))


def arange(n: int, like: Array | None = None) -> Array:
    """0, 1, ..., n - 1 as integers, on ``like``'s device."""
    return xp.arange(n, **_placed(like))


def is_array(x: object) -> bool:
    """True for arrays and array scalars of any library."""
    return hasattr(x, "shape") and hasattr(x, "dtype") and not isinstance(x, type)


def is_floating_dtype(dtype: Any) -> bool:
    """True for real floating-point dtypes, whichever library, byte order and spelling."""
    kind = getattr(dtype, "kind", None)
    if kind is None and isinstance(dtype, str):
        kind = numpy.dtype(dtype).kind
    return kind == "f" if kind is not None else "float" in str(dtype)


def is_floating(x: Array) -> bool:
    """True for arrays of real floating-point numbers: what has derivatives here."""
    return is_floating_dtype(x.dtype)


def is_complex(x: Array) -> bool:
    """True for complex dtypes, whichever library."""
    kind = getattr(x.dtype, "kind", None)
    return kind == "c" if kind is not None else "complex" in str(x.dtype)


def seen(x: Any) -> Any:
    """What lies under all tensors and traces: to be checked or named in an error, never to be computed with."""
    while hasattr(x, "value"):
        x = x.value
    return x


def fingerprint(x: Array, sample: int | None = None) -> int:
    """Of the numbers in ``x``: of all, or of about ``sample`` of them, evenly spread."""
    host = to_numpy(x)
    flat: Any = host.reshape(-1) if host.flags.c_contiguous else host.flat
    step = 1 if sample is None else max(1, host.size // sample)
    return 0 if host.dtype.hasobject else zlib.crc32(flat[::step].tobytes())


def chunks(x: Array, size: int) -> Iterator[Array]:
    """``x`` in parts of ``size`` along its first axis, for what does not fit into memory at once; the last may be shorter."""
    n = x.shape[0]
    return (x[i : min(i + size, n), ...] for i in range(0, n, size))


def _basic(key: Any) -> bool:
    """True where a key selects each element at most once: integers, slices, ``None`` and ``...`` only."""
    if isinstance(key, tuple):
        return all(_basic(k) for k in key)
    return key is None or key is Ellipsis or isinstance(key, int | slice | numpy.integer)


def _whole_numbers(key: Any) -> bool:
    return is_array(key) and key.dtype.kind == "i"


def _spelled_out(key: Any) -> Any:
    """A basic key as the bare standard wants it: ending in ``...`` where it names fewer axes than there are."""
    keys = key if isinstance(key, tuple) else (key,)
    return keys if xp.name != "array_api_strict" or any(k is Ellipsis for k in keys) else (*keys, ...)


def _positions(shape: tuple[int, ...], key: Any, like: Array) -> Array:
    """Where, in the flattened array, ``x[key]`` reads: for libraries that index by the bare standard alone."""
    keys = key if isinstance(key, tuple) else (key,)
    host = tuple(to_numpy(k) if is_array(k) else k for k in keys)
    return asarray(numpy.arange(math.prod(shape)).reshape(shape)[host], like=like)


@recorded
def repeated(x: Array, shape: tuple[int, ...]) -> Array:
    """``x`` broadcast to ``shape``, in memory of its own: on repeated memory matrix products are slow, and round otherwise."""
    out = xp.broadcast_to(x, shape)
    return copy(out) if xp.name == "array_api_strict" else xp.copy(out, order="C")


def total(x: Array, axis: int | tuple[int, ...] | None = None, keepdims: bool = False) -> Array:
    """The sum over ``axis``. Rows and columns of a matrix are summed by a product with ones, three times as fast."""
    along = axis[0] if isinstance(axis, tuple) and len(axis) == 1 else axis
    if getattr(x, "ndim", 0) != 2 or along not in (0, 1, -1, -2) or x.dtype not in (xp.float32, xp.float64):
        return xp.sum(x, axis=axis, keepdims=keepdims)
    rows, columns = x.shape
    out = xp.matmul(ones(rows, x), x) if along in (0, -2) else xp.matmul(x, ones(columns, x))
    return xp.expand_dims(out, axis=along) if keepdims else out


@recorded
def index(x: Array, key: Any) -> Array:
    """``x[key]``, for slices, integers, integer arrays and masks in any mixture."""
    if _basic(key):
        return x[_spelled_out(key)]
    if xp.name != "array_api_strict":
        return x[key]
    positions = _positions(x.shape, key, x)
    flat = xp.take(xp.reshape(x, (-1,)), xp.reshape(positions, (-1,)), axis=0)
    return xp.reshape(flat, positions.shape)


@recorded
def scatter_add(g: Array, key: Any, shape: tuple[int, ...]) -> Array:
    """Zeros of ``shape`` with ``g`` added at ``key``; where ``key`` names a place twice, both are added."""
    out = zeros(shape, g)
    if _basic(key):
        keys = tuple([k for k in (key if isinstance(key, tuple) else (key,)) if k is not None])  # new axes hold nothing new
        out[_spelled_out(keys)] = xp.reshape(g, out[_spelled_out(keys)].shape)
    elif xp.name == "array_api_strict":
        positions = xp.reshape(_positions(shape, key, g), (-1, 1))
        chosen = xp.astype(positions == arange(math.prod(shape), g), g.dtype)
        out = xp.reshape(xp.matmul(xp.reshape(g, (1, -1)), chosen), shape)
    elif xp.name == "numpy" and isinstance(key, tuple) and len(key) == len(shape) and all(map(_whole_numbers, key)):
        places = [numpy.where(k < 0, k + n, k) for k, n in zip(numpy.broadcast_arrays(*key), shape, strict=True)]
        flat = numpy.ravel_multi_index(places, shape)  # one index is five times as fast as one for each axis
        numpy.add.at(out.reshape(-1), flat.ravel(), numpy.broadcast_to(g, flat.shape).ravel())
    else:
        xp.add.at(out, key, g)
    return out


def put(x: Array, rows: Array, values: Array) -> None:
    """``x[rows] = values``, in place, for rows that are named by whole numbers."""
    if xp.name != "array_api_strict":
        x[rows] = values
        return
    for i, row in enumerate(to_numpy(rows).tolist()):
        x[row, ...] = values[i, ...]


def scatter_all(parts: list[Array], keys: list[Any], shape: tuple[int, ...], out: Array | None = None) -> Array:
    """The sum of ``scatter_add(g, key, shape)`` over all parts, in one array; for NumPy, and keys that are no arrays."""
    out = zeros(shape, parts[0]) if out is None else out
    out[...] = 0
    for g, key in zip(parts, keys, strict=True):
        out[key] += g
    return out


def default_rng(seed: Any) -> Any:
    """The library's own generator; the bare standard has none, so there noise is drawn on the host."""
    return xp.random.default_rng(seed) if xp.name == "cupy" else numpy.random.default_rng(seed)


def rng_state(rng: Any) -> numpy.ndarray[Any, Any]:
    """Where a generator of :func:`default_rng` stands, as integers on the host."""
    if not isinstance(rng, numpy.random.Generator):  # CuPy: the states of all its threads
        return to_numpy(rng.bit_generator._state)
    state: Any = rng.bit_generator.state
    numbers = state["state"]["state"], state["state"]["inc"]
    words = [n >> shift & (2**64 - 1) for n in numbers for shift in (64, 0)]
    return numpy.array([*words, state["has_uint32"], state["uinteger"]], numpy.uint64)


def restore_rng(rng: Any, state: numpy.ndarray[Any, Any]) -> None:
    """Put a generator to where :func:`rng_state` found it."""
    if not isinstance(rng, numpy.random.Generator):
        rng.bit_generator._state[...] = asarray(state)
        return
    high, low, inc_high, inc_low, has_uint32, uinteger = state.tolist()
    numbers = {"state": high << 64 | low, "inc": inc_high << 64 | inc_low}
    rng.bit_generator.state = {"bit_generator": "PCG64", "state": numbers, "has_uint32": has_uint32, "uinteger": uinteger}


try:
    use(os.environ.get("PYDGM_BACKEND", "").strip() or "numpy")
except BackendError as error:  # the first computation says so; until then another one may be chosen with use()
    xp.__dict__.update(name="none", device=None, missing=f"PYDGM_BACKEND: {error.args[0]}")
