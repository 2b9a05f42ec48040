"""The ground: which array library computes, and the few things the array API standard lacks.

Everything above is written against one namespace, ``xp``, under the names of the `array API standard
<https://data-apis.org/array-api/latest/>`_. ``use("cupy")`` fills ``xp`` from another library; nothing else
changes. What the standard lacks, or libraries spell differently, is the rest of this file.
"""

from __future__ import annotations

import contextlib
import ctypes
import inspect
import os
import threading
import zlib
from collections.abc import Callable, Iterator
from functools import wraps
from typing import Any, TypeAlias

import numpy

from ..errors import BackendError, to_install
from .library import LIBRARIES, Library

Array: TypeAlias = Any
"""An array of the library in use, or a :class:`~pydgm.autodiff.Tensor` around one."""


recorders: list[Any] = []
"""While functions are being compiled: who notes their calls, each for its own thread."""


fillers: set[Callable[..., Any]] = set()  # recorded functions with an argument ``out``


def recorder() -> Any:
    """Who notes the calls of this thread; ``None`` where nothing is being compiled."""
    if not recorders:
        return None
    thread = threading.get_ident()
    return next((r for r in reversed(recorders) if r.thread == thread), None)


def recorded(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function that is noted as one call where it is given traced arrays; with an argument ``out``, a compiled program has it
    write its result there (the whole of it, in the usual order of memory)."""

    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        if recorders and (notes := recorder()) is not None and notes.traces((args, kwargs)):
            return notes.record(call, args, kwargs)
        return function(*args, **kwargs)

    if "out" in inspect.signature(function).parameters:
        fillers.add(call)
    return call


class Namespace:
    """The array library in use. Filled by :func:`use`, so that a look-up costs one attribute and no test."""

    name: str
    device: Any  # None: the library's default
    library: Library  # what the standard lacks

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
    if name not in LIBRARIES:
        raise BackendError(f'no array library "{name}": choose "numpy", "cupy" or "array_api_strict"')
    adapter, extra = LIBRARIES[name]
    try:
        module, device = adapter.load(device)
    except ImportError as error:
        raise BackendError(f'{name} is not installed ({error}): {to_install(extra)}, or pass "numpy"') from None
    xp.__dict__.clear()
    xp.__dict__.update({key: value for key, value in vars(module).items() if not key.startswith("_")})
    xp.__dict__.update(name=name, device=device, linalg=module.linalg, library=adapter(module, device))


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


@recorded
def asarray(x: Any, dtype: Any = None, like: Array | None = None) -> Array:
    """``x`` (numbers, lists, a NumPy array) as an array of the library in use, on its device."""
    return xp.library.asarray(x, dtype, like)


def to_float(x: Any) -> float:
    """A Python float, which takes on the dtype of the arrays that it meets; an array of one number does not."""
    notes = recorder()
    return notes.record(float, (x,), {}) if notes is not None and notes.traces(x) else float(x)


def to_numpy(x: Array) -> numpy.ndarray[Any, Any]:
    """A copy-free NumPy view where the memory allows it, a copy from the device where not."""
    host: numpy.ndarray[Any, Any] = xp.library.to_numpy(x)
    return host


def copy(x: Array) -> Array:
    """The same numbers in memory of their own."""
    return xp.library.copy(x)


def zeros(shape: tuple[int, ...], like: Array | None = None) -> Array:
    """Zeros of ``like``'s dtype, on its device; float32 without it."""
    return xp.zeros(shape, dtype=xp.float32 if like is None else like.dtype, **xp.library.placed(like))


def ones(n: int, like: Array) -> Array:
    """``n`` ones of ``like``'s dtype, on its device."""
    return xp.ones((n,), dtype=like.dtype, **xp.library.placed(like))


def eye(n: int, like: Array) -> Array:
    """The identity matrix in ``like``'s dtype, on its device."""
    return xp.eye(n, dtype=like.dtype, **xp.library.placed(like))


def arange(n: int, like: Array | None = None) -> Array:
    """0, 1, ..., n - 1 as integers, on ``like``'s device."""
    return xp.arange(n, **xp.library.placed(like))


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


@recorded
def repeated(x: Array, shape: tuple[int, ...]) -> Array:
    """``x`` broadcast to ``shape``, in memory of its own: on repeated memory matrix products are slow, and round otherwise."""
    out = xp.broadcast_to(x, shape)
    return xp.library.copy(out, order="C")


def total(x: Array, axis: int | tuple[int, ...] | None = None, keepdims: bool = False) -> Array:
    """The sum over ``axis``. Rows and columns of a matrix are summed by a product with ones, three times as fast; so are those
    of a stack of matrices, unless they are small."""
    along = axis[0] if isinstance(axis, tuple) and len(axis) == 1 else axis
    ndim = getattr(x, "ndim", 0)
    matrices = ndim > 1 and isinstance(along, int) and along in (-1, -2, ndim - 1, ndim - 2)
    if not matrices or x.dtype not in (xp.float32, xp.float64):
        return xp.sum(x, axis=axis, keepdims=keepdims)
    rows, columns = x.shape[-2:]
    if ndim > 2 and rows * columns < 2048:
        return xp.sum(x, axis=axis, keepdims=keepdims)
    out = xp.matmul(ones(rows, x), x) if along in (-2, ndim - 2) else xp.matmul(x, ones(columns, x))
    return xp.expand_dims(out, axis=along) if keepdims else out


@recorded
def index(x: Array, key: Any) -> Array:
    """``x[key]``, for slices, integers, integer arrays and masks in any mixture."""
    return xp.library.index(x, key, _basic(key))


@recorded
def scatter_add(g: Array, key: Any, shape: tuple[int, ...]) -> Array:
    """Zeros of ``shape`` with ``g`` added at ``key``; where ``key`` names a place twice, both are added."""
    return xp.library.scatter_add(zeros(shape, g), key, g, _basic(key))


def put(x: Array, rows: Array, values: Array) -> None:
    """``x[rows] = values``, in place, for rows that are named by integers."""
    xp.library.put(x, rows, values)


def scatter_all(parts: list[Array], keys: list[Any], shape: tuple[int, ...], out: Array | None = None) -> Array:
    """The sum of ``scatter_add(g, key, shape)`` over all parts, in one array; for NumPy, and parts that do not meet."""
    out = zeros(shape, parts[0]) if out is None else out
    if sum(g.size for g in parts) < out.size:
        out[...] = 0
    for g, key in zip(parts, keys, strict=True):
        out[key] = g
    out += 0.0  # -0 becomes 0, as in a sum
    return out


def default_rng(seed: Any) -> Any:
    """The library's own generator; where it has none, noise is drawn on the host."""
    return xp.library.default_rng(seed)


def rng_state(rng: Any) -> numpy.ndarray[Any, Any]:
    """Where a generator of :func:`default_rng` stands, as integers on the host."""
    state: numpy.ndarray[Any, Any] = xp.library.rng_state(rng)
    return state


def restore_rng(rng: Any, state: numpy.ndarray[Any, Any]) -> None:
    """Put a generator to where :func:`rng_state` found it."""
    xp.library.restore_rng(rng, state)


try:
    use(os.environ.get("PYDGM_BACKEND", "").strip() or "numpy")
except BackendError as error:  # the first computation says so; until then another one may be chosen with use()
    xp.__dict__.update(name="none", device=None, missing=f"PYDGM_BACKEND: {error.args[0]}")
