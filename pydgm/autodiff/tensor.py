"""The engine's core: a tensor, what an operation is, and the chain rule walked backwards.

Three ideas, and nothing else:

1. A :class:`Tensor` *wraps a value* and remembers the operation and the arguments that made it.
2. An *operation* is stated once: its forward in array calls and, beside it, its vector-Jacobian products written in
   other operations.
3. :func:`pull_back` walks from an output to the inputs, every node after all of its users, and multiplies by each
   operation's vector-Jacobian product on the way.

Transformations nest because tensors do. Each transformation takes a new *level*, a number higher than any before it;
a tensor of one level wraps a value of the levels below (a bare array at the bottom). An operation takes off the highest
level, runs on what was wrapped, and puts the level back on; the derivative rules run on wrapped values in the same way.
So the level below records a derivative's own computation by itself, and a first derivative runs on bare arrays.
"""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable, Iterator, Sequence
from functools import wraps
from typing import Any, NamedTuple, ParamSpec

from ..backend import Array, is_array, is_complex, recorder, recorders, xp
from ..errors import ArgumentError, BackendError, PydgmError, ShapeError, caller, shape_text
from .debug import active, check_nans, debugging, marks

P = ParamSpec("P")
levels = itertools.count()
"""Levels are handed out upwards, so an inner transformation always stands above the ones around it."""

_NOTHING: dict[str, Any] = {}


class Tensor:
    """A value on its way to being differentiated: looks like an array, remembers where it came from."""

    __slots__ = ("args", "level", "marks", "operation", "params", "value")
    __array_priority__ = 1000.0  # CuPy and older NumPy arrays then leave mixed arithmetic to the tensor
    __hash__ = object.__hash__

    def __init__(
        self,
        value: Array,
        level: int,
        operation: Operation | None = None,
        args: tuple[Any, ...] = (),
        params: dict[str, Any] = _NOTHING,
    ) -> None:
        self.value = value
        self.level = level
        self.operation = operation
        self.args = args
        self.params = params
        if active:
            self.marks = marks(self)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.value.shape  # type: ignore[no-any-return]

    @property
    def dtype(self) -> Any:
        return self.value.dtype

    @property
    def ndim(self) -> int:
        return self.value.ndim  # type: ignore[no-any-return]

    @property
    def size(self) -> int:
        return self.value.size  # type: ignore[no-any-return]

    @property
    def device(self) -> Any:
        return self.value.device

    def __len__(self) -> int:
        return len(self.value)

    def __iter__(self) -> Iterator[Any]:
        return (self[i] for i in range(len(self)))  # type: ignore[index]

    def __repr__(self) -> str:
        return f"Tensor({self.value!r})"

    # A tensor has a value, so a branch on it is a branch on a number. Its derivative does not see the branch.
    def __bool__(self) -> bool:
        return bool(self.value)

    def _no_number(self, *_: Any, **__: Any) -> Any:
        raise TypeError(
            "a tensor inside a transformation cannot become a plain number or a NumPy array, its derivative would be lost: "
            f"use pydgm's functions, return the value with has_aux=True, or take dgm.stop_gradient(x) first {caller()}"
        )

    __float__ = __int__ = __index__ = __complex__ = __array__ = item = tolist = _no_number

    # A copy is the same value with the same derivative, and a tensor never changes: it is its own copy.
    def __copy__(self) -> Tensor:
        return self

    def __deepcopy__(self, memo: Any) -> Tensor:
        return self

    def __reduce_ex__(self, protocol: Any) -> Any:
        raise ArgumentError(
            "a tensor inside a transformation is not pickled: return the value with has_aux=True, and pickle that"
        )

    def __format__(self, spec: str) -> str:
        return format(self.value, spec)

    def __setitem__(self, key: Any, value: Any) -> None:
        raise TypeError(
            f"a tensor is not changed in place: build the result with dgm.where, dgm.concat or dgm.stack {caller()}"
        )

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        hint = f": write dgm.{name}(x)" if name in named else ""
        raise AttributeError(f"a tensor has no attribute or method {name!r}{hint} {caller()}")


class Operation(NamedTuple):
    """One row of the table: a function of arrays and its derivatives.

    ``vjps[i](g, out, *args, **params)`` is the vector-Jacobian product for argument ``i``: ``g`` has the shape of ``out``,
    the result the shape of ``args[i]``. ``None`` stands for an argument without a derivative. A single rule of an
    operation on any number of arguments (``variadic``) takes the argument's position first.
    """

    name: str
    forward: Callable[..., Array]
    vjps: tuple[Callable[..., Array] | None, ...]
    broadcasts: bool
    variadic: bool
    own: bool  # pydgm's, so that an error in it is explained; an error in a user's own operation is left as it is


named: dict[str, Callable[..., Any]] = {}
"""Every operation that pydgm offers, under its name: the table."""


def operation(
    *vjps: Callable[..., Array] | None, broadcasts: bool = False, variadic: bool = False
) -> Callable[[Callable[P, Any]], Callable[P, Any]]:
    """Make a function of arrays differentiable::

        @operation(lambda g, y, x: g * y)
        def exp(x):
            return xp.exp(x)

    Write the rules in operations, not in ``xp`` calls, and derivatives of any order follow. Arguments that carry a
    gradient are passed by position; those that stand before a ``/`` always are, which is faster. With ``broadcasts`` the
    rules may answer in the broadcast shape: the sum back to the argument's shape is done in one place, :func:`_fit`.
    Without rules, the result counts as a constant.
    """

    def decorate(forward: Callable[P, Any]) -> Callable[P, Any]:
        own = (forward.__module__ or "").startswith("pydgm.")
        op = Operation(forward.__name__, forward, vjps, broadcasts, variadic, own)
        arguments = inspect.signature(forward).parameters.values()
        arrays_only = all(a.kind is a.POSITIONAL_ONLY for a in arguments)
        make = {1: _unary, 2: _binary}.get(len(arguments), _general) if arrays_only else _general
        call = wraps(forward)(make(op))
        if (forward.__module__ or "").startswith("pydgm.autodiff.") and not forward.__name__.startswith("_"):
            named[forward.__name__] = call
        return call

    return decorate


# The same thing three times, for speed: most operations take one or two arrays and no options, and a small model feels
# each microsecond. Take the highest level off, run on what is below, put the level back on.


def _general(op: Operation) -> Callable[..., Any]:
    def call(*args: Any, **params: Any) -> Any:
        level = -1
        for x in args:
            if type(x) is Tensor and x.level > level:
                level = x.level
        for x in params.values():
            if type(x) is Tensor:
                raise TypeError(f"{op.name.lstrip('_')}: pass arrays that carry a gradient by position {caller()}")
        if level < 0:
            return _forward(op, args, params)
        out = call(*[x.value if type(x) is Tensor and x.level == level else x for x in args], **params)
        return Tensor(out, level, op, args, params) if op.vjps else out

    return call


def _unary(op: Operation) -> Callable[..., Any]:
    differentiable = bool(op.vjps)

    def call(x: Any) -> Any:
        if type(x) is not Tensor:
            return _forward(op, (x,), _NOTHING)
        out = call(x.value)
        return Tensor(out, x.level, op, (x,)) if differentiable else out

    return call


def _binary(op: Operation) -> Callable[..., Any]:
    differentiable = bool(op.vjps)

    def call(a: Any, b: Any) -> Any:
        at_a = a.level if type(a) is Tensor else -1
        at_b = b.level if type(b) is Tensor else -1
        if at_a > at_b:
            level, out = at_a, call(a.value, b)
        elif at_b > at_a:
            level, out = at_b, call(a, b.value)
        elif at_a < 0:
            return _forward(op, (a, b), _NOTHING)
        else:
            level, out = at_a, call(a.value, b.value)
        return Tensor(out, level, op, (a, b)) if differentiable else out

    return call


def _forward(op: Operation, args: tuple[Any, ...], params: dict[str, Any]) -> Array:
    """At the bottom: arrays in, an array out, and the library's complaints in plain words."""
    try:
        out = op.forward(*args, **params)
    except (ValueError, IndexError, TypeError, AttributeError) as error:
        if not op.own:
            raise
        raise _explained(op, args, params, error) from None
    if active and debugging():
        check_nans(op.name.lstrip("_"), out, args)
    return out


def pull_back(level: int, outputs: Sequence[Any], cotangents: Sequence[Array], inputs: Sequence[Tensor]) -> list[Array | None]:
    """The chain rule from ``outputs`` down to ``inputs``, in one pass over the nodes of ``level``.

    A node's turn comes when each of its users has handed down its share, so every node is visited once and no recursion is
    needed. An input that no output depends on gets ``None``.
    """
    gradients: dict[int, Array] = {}
    roots = []
    for out, g in zip(outputs, cotangents, strict=True):
        if type(out) is Tensor and out.level == level:
            known = gradients.get(id(out))
            gradients[id(out)] = g if known is None else known + g
            roots.append(out)
    notes = recorder() if recorders else None
    for node in users_first(level, roots):
        op = node.operation
        if op is None:  # an input of the transformation: its gradient stays in the table
            continue
        g = gradients.pop(id(node), None)
        if notes is not None:
            notes.deriving(node.value)
        if active and debugging() == "all" and getattr(node, "marks", None) not in (None, marks(node)):
            raise ArgumentError(
                f"an array that {op.name.lstrip('_')} used was changed in place before the derivative was taken, which would "
                "be that of the new numbers: make a new array instead"
            )
        args = [x.value if type(x) is Tensor and x.level == level else x for x in node.args]
        for i, x in enumerate(node.args):
            if type(x) is not Tensor or x.level != level:
                continue
            if i >= len(op.vjps) and not op.variadic:
                raise TypeError(f"{op.name.lstrip('_')} has no derivative in its argument {i} {caller()}")
            rule = op.vjps[0 if op.variadic else i]
            if g is not None and rule is not None:
                share = (
                    rule(i, g, node.value, *args, **node.params) if op.variadic else rule(g, node.value, *args, **node.params)
                )
                if share.shape != args[i].shape or share.dtype != args[i].dtype:
                    share = _fit(share, args[i], op)
                if active and debugging():
                    check_nans(f"the derivative of {op.name.lstrip('_')}", share, (g, *args))
                known = gradients.get(id(x))
                gradients[id(x)] = share if known is None else known + share
    slopes = [gradients.get(id(x)) for x in inputs]
    if notes is not None:
        notes.deriving(None)
        notes.name_gradients([x.value for x in inputs], slopes)
    return slopes


def users_first(level: int, roots: list[Tensor]) -> Iterator[Tensor]:
    """The nodes of ``level`` below ``roots``, each after all of its users: uses are counted, then ticked off."""
    uses = {id(out): 0 for out in roots}
    nodes = list({id(out): out for out in roots}.values())
    for node in nodes:  # grows while it is walked
        for x in node.args:
            if type(x) is Tensor and x.level == level:
                if id(x) in uses:
                    uses[id(x)] += 1
                else:
                    uses[id(x)] = 1
                    nodes.append(x)
    ready = [out for out in nodes if uses[id(out)] == 0]
    while ready:
        node = ready.pop()
        yield node
        for x in node.args:
            if type(x) is Tensor and x.level == level:
                uses[id(x)] -= 1
                if uses[id(x)] == 0:
                    ready.append(x)


def _fit(share: Array, x: Array, op: Operation) -> Array:
    """A gradient has its argument's shape and dtype: broadcasting and mixed precision are undone here and only here."""
    if share.shape != x.shape:
        if not op.broadcasts:
            raise ShapeError(
                f"the derivative of {op.name} has shape {tuple(share.shape)} for an argument of shape {tuple(x.shape)}"
            )
        share = named["sum_to"](share, x.shape)
    if share.dtype == x.dtype:
        return share
    if is_complex(share) and not is_complex(x):
        raise ArgumentError(f"{op.name.lstrip('_')}: a real number became complex, and complex numbers have no derivative here")
    return named["astype"](share, x.dtype)


_PLAIN = {  # what NumPy says of its insides, and what it means
    "could not be broadcast": "these shapes do not broadcast",
    "core dimension": "the lengths that are summed over differ",
}


def _explained(op: Operation, args: tuple[Any, ...], params: dict[str, Any], error: Exception) -> Exception:
    """The library's complaint as one sentence: the operation, its arguments, the caller's line."""
    if isinstance(error, PydgmError) or type(error).__name__ == "LinAlgError" or caller() in str(error):
        return error
    said = [shape_text(x) for x in args[:6]] + ["..."] * (len(args) > 6)
    said += [f"{key}={shape_text(value)}" for key, value in params.items()]
    if any(isinstance(x, list | tuple) for x in args) and isinstance(error, AttributeError):
        return ArgumentError(f"{op.name.lstrip('_')}({', '.join(said)}): wanted arrays: dgm.asarray(x) makes one of a list")
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    reason = next((plain for part, plain in _PLAIN.items() if part in reason), reason)
    libraries = {type(x).__module__.split(".")[0] for x in args if is_array(x)}
    if isinstance(error, TypeError) and not xp.library.on_host and "numpy" in libraries and "cupy" in libraries:
        return BackendError(f"{op.name.lstrip('_')}: a NumPy array met CuPy: bring it over with dgm.asarray(x) {caller()}")
    message = f"{op.name.lstrip('_')}({', '.join(said)}): {reason}"
    return ArgumentError(message) if isinstance(error, TypeError | AttributeError) else ShapeError(message)
