"""From a function to its derivatives: ``grad``, ``vjp``, ``jacobian``, ``hessian``. All take trees, all nest."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

from .. import backend, trees
from ..backend import Array, is_array, is_complex, is_floating, xp
from ..errors import ArgumentError, ShapeError, caller, shape_text
from . import elementwise
from .reductions import sum
from .shapes import reshape, stack
from .tensor import Tensor, levels, pull_back

Argnums = int | tuple[int, ...]


class _Run(NamedTuple):
    """One call of a function with some arguments lifted to a new level."""

    level: int
    inputs: list[Tensor]
    structures: list[tuple[trees.Structure, int]]  # of each lifted argument, with its number of leaves
    outputs: list[Any]  # leaves of the result
    out_structure: trees.Structure
    aux: Any

    def lower(self, tree: Any) -> Any:
        """``tree`` with this run's level taken off its leaves."""
        return trees.map(lambda x: x.value if type(x) is Tensor and x.level == self.level else x, tree)

    def value(self) -> Any:
        return self.lower(trees.unflatten(self.out_structure, self.outputs))

    def gradients(self, cotangents: list[Array]) -> list[Any]:
        """One tree of gradients for each lifted argument."""
        slopes = iter(_owned(pull_back(self.level, self.outputs, cotangents, self.inputs), self.inputs, cotangents))
        return [trees.unflatten(s, list(itertools.islice(slopes, n))) for s, n in self.structures]


def _owned(slopes: list[Array | None], inputs: list[Tensor], cotangents: list[Array]) -> list[Array]:
    """Gradients that own their memory: zeros where nothing arrived, copies of views and of shared arrays."""
    taken = {id(c) for c in cotangents}
    out = []
    for g, x in zip(slopes, inputs, strict=True):
        if g is None:
            g = backend.zeros(x.shape, x)
        elif type(g) is not Tensor and (getattr(g, "base", None) is not None or id(g) in taken):
            g = backend.copy(g)
        taken.add(id(g))
        out.append(g)
    return out


def _run(name: str, f: Callable[..., Any], args: tuple[Any, ...], kwargs: Any, argnums: Argnums, has_aux: bool = False) -> _Run:
    level, inputs, structures, lifted = next(levels), [], [], list(args)
    for n in argnums if isinstance(argnums, tuple) else (argnums,):
        if not -len(args) <= n < len(args):
            raise TypeError(f"{name}: there is no argument {n}, the function was called with {len(args)} {caller()}")
        leaves, structure = trees.flatten(args[n])
        leaves = [x if is_array(x) else backend.asarray(x) for x in leaves]
        for i, x in enumerate(leaves):
            if not is_floating(x):
                path = trees.paths(structure)[i]
                raise TypeError(
                    f"{name}: argument {n}{f' at {path}' if path else ''} has dtype {x.dtype}; only real floating-point arrays "
                    f"have derivatives (a constant in a Module is a field = nn.static()) {caller()}"
                )
        if not leaves:
            hint = (
                f"the integer {args[n]}; write {args[n]}.0"
                if isinstance(args[n], int)
                else f"{args[n]!r} (plain numbers in a Module are settings)"
            )
            raise TypeError(f"{name}: argument {n} holds no floating-point array: it is {hint} {caller()}")
        tensors = [Tensor(x, level) for x in leaves]
        inputs += tensors
        structures.append((structure, len(tensors)))
        lifted[n] = trees.unflatten(structure, tensors)
    result = f(*lifted, **kwargs)
    if has_aux and not (isinstance(result, tuple) and len(result) == 2):
        raise TypeError(f"{name}: with has_aux=True the function must return a pair (loss, aux) {caller()}")
    out, aux = result if has_aux else (result, None)
    leaves, structure = trees.flatten(out)
    if any(type(x) is Tensor and x.level > level for x in (*leaves, *trees.leaves(aux))):
        raise ArgumentError(
            f"{name}: the result uses a tensor of an inner transformation that has ended, and its derivative with it: let that "
            "one return the value, with has_aux=True"
        )
    return _Run(level, inputs, structures, leaves, structure, aux)


def vjp(f: Callable[..., Any], *args: Any) -> tuple[Any, Callable[[Any], tuple[Any, ...]]]:
    """``f(*args)``, and the function that takes a cotangent ``u`` of its shape to ``u' J``, one tree for each argument."""
    run = _run("vjp", f, args, {}, tuple(range(len(args))))

    def pull(cotangent: Any) -> tuple[Any, ...]:
        leaves, structure = trees.flatten(cotangent)
        trees.check_same(run.out_structure, structure, "vjp: a cotangent has the structure of the function's result")
        for u, y in zip(leaves, run.outputs, strict=True):
            if tuple(getattr(u, "shape", ())) != tuple(getattr(y, "shape", ())):
                raise ValueError(f"vjp: cotangent {shape_text(u)} for a result {shape_text(y)} {caller()}")
        return tuple(run.gradients([_cotangent(u, y) for u, y in zip(leaves, run.outputs, strict=True)]))

    return run.value(), pull


def _cotangent(u: Any, y: Any) -> Any:
    """``u`` in the dtype of the result ``y`` that it belongs to."""
    if not is_array(u):
        return backend.asarray(u, dtype=getattr(y, "dtype", None))
    return u if not is_array(y) or u.dtype == y.dtype else elementwise.astype(u, y.dtype)


def jvp(f: Callable[..., Any], primals: tuple[Any, ...], tangents: tuple[Any, ...]) -> tuple[Any, Any]:
    """``f(*primals)`` and the derivative along ``tangents``, J v: a tree like the result. Signature as in JAX.

    u' J is linear in u, so its own derivative, pulled back, is J v: two passes backwards make one forwards (Townsend 2017).
    """
    trees.check_same(trees.flatten(primals)[1], trees.flatten(tangents)[1], "jvp: tangents have the structure of the primals")
    for x, v in zip(trees.leaves(primals), trees.leaves(tangents), strict=True):
        if tuple(getattr(x, "shape", ())) != tuple(getattr(v, "shape", ())):
            raise ShapeError(f"jvp: a tangent {shape_text(v)} for an argument {shape_text(x)}")
    value, pull = vjp(f, *primals)
    for y in trees.leaves(value):
        if is_array(y) and not is_floating(y):
            raise ArgumentError(f"jvp: f returns {shape_text(y)}, which has no derivative: return floats alone")
    for constant in trees.constants(trees.flatten(value)[1]):
        if constant is not None:
            raise ArgumentError(f"jvp: f returns {constant!r}, which has no derivative: return floats alone")
    cotangent = trees.map(lambda y: xp.zeros_like(_bottom(y)) if is_array(y) else 0.0, value)
    _, push = vjp(pull, cotangent)
    return value, push(tangents)[0]


def value_and_grad(f: Callable[..., Any], argnums: Argnums = 0, has_aux: bool = False) -> Callable[..., Any]:
    """A function that returns ``(f(...), gradient)``, or ``((loss, aux), gradient)`` where ``f`` returns ``(loss, aux)``.

    The gradient is a tree like argument ``argnums``; a tuple of trees where ``argnums`` is a tuple. Raises ``TypeError``
    for integer arguments, ``ValueError`` for a loss that is no scalar.
    """

    def derived(*args: Any, **kwargs: Any) -> Any:
        run = _run("grad", f, args, kwargs, argnums, has_aux)
        loss = run.outputs[0] if run.out_structure.kind is trees.LEAF else None
        if loss is None or tuple(getattr(loss, "shape", ())) != ():
            what = run.out_structure if loss is None else f"an array of shape {tuple(loss.shape)}"
            raise ValueError(
                f"grad: the loss must be one number, the function returned {what}; take its sum or mean, or use "
                f"dgm.jacobian {caller()}"
            )
        if is_array(loss) and is_complex(loss):
            raise ArgumentError("grad: the loss is complex; take its real part, or abs(loss)")
        lowered = run.value()
        gradients = run.gradients([xp.ones_like(_bottom(loss))] if type(loss) is Tensor else [1.0])
        value = (lowered, run.lower(run.aux)) if has_aux else lowered
        return value, tuple(gradients) if isinstance(argnums, tuple) else gradients[0]

    return _called(derived, f, "value_and_grad_of")


def _called(derived: Callable[..., Any], f: Callable[..., Any], what: str) -> Callable[..., Any]:
    """``derived`` under a name and the signature of ``f``: what help() and compiled programs show."""
    derived.__name__ = derived.__qualname__ = f"{what}_{getattr(f, '__name__', 'function').strip('<>')}"
    derived.__wrapped__ = f  # type: ignore[attr-defined]
    return derived


def _bottom(x: Any) -> Array:
    while type(x) is Tensor:
        x = x.value
    return x


def grad(f: Callable[..., Any], argnums: Argnums = 0, has_aux: bool = False) -> Callable[..., Any]:
    """The gradient of a scalar function, as a function: ``grad(f)(x)``, ``grad(grad(f))(x)``.

    With ``has_aux``, ``f`` returns ``(loss, aux)`` and the result is ``(gradient, aux)``. Otherwise as
    :func:`value_and_grad`.
    """
    both = value_and_grad(f, argnums, has_aux)

    def derived(*args: Any, **kwargs: Any) -> Any:
        value, gradient = both(*args, **kwargs)
        return (gradient, value[1]) if has_aux else gradient

    return _called(derived, f, "grad_of")


def jacobian(f: Callable[..., Any], argnums: int = 0) -> Callable[..., Any]:
    """The matrix of all partial derivatives: shape (\\*shape of f, \\*shape of x), for each leaf of f and of x.

    One pass backwards for each number that ``f`` returns.
    """

    if isinstance(argnums, tuple):
        raise TypeError(
            f"jacobian and hessian take one argument number, not {argnums}: put several arguments into one tree {caller()}"
        )

    def derived(*args: Any, **kwargs: Any) -> Any:
        run = _run("jacobian", f, args, kwargs, argnums)
        bottoms = [y if is_array(y) else backend.asarray(y) for y in map(_bottom, run.outputs)]
        zeros = [xp.zeros_like(y) for y in bottoms]
        blocks = []
        for i, y in enumerate(bottoms):
            shape, n = tuple(y.shape), math.prod(y.shape)
            basis = backend.eye(n, y)
            rows = [run.gradients([*zeros[:i], xp.reshape(basis[j, ...], shape), *zeros[i + 1 :]])[0] for j in range(n)]
            nothing = trees.map(lambda x: backend.zeros((0, *x.shape), x), args[argnums]) if n == 0 else None
            stacked = nothing if n == 0 else trees.map(lambda *row: stack(row), *rows)
            blocks.append(trees.map(lambda block, shape=shape: reshape(block, (*shape, *block.shape[1:])), stacked))
        return trees.unflatten(run.out_structure, blocks)

    return _called(derived, f, "jacobian_of")


def hessian(f: Callable[..., Any], argnums: int = 0) -> Callable[..., Any]:
    """All second derivatives of a scalar function: the jacobian of its gradient."""
    return jacobian(grad(f, argnums), argnums)


def hvp(f: Callable[..., Any], x: Any, v: Any) -> Any:
    """The Hessian of a scalar ``f`` at ``x`` times ``v``, a tree like ``x``, without the matrix: grad of <grad f(x), v>."""
    trees.check_same(trees.flatten(x)[1], trees.flatten(v)[1], "hvp: the vector has the structure of the argument")
    for a, b in zip(trees.leaves(x), trees.leaves(v), strict=True):
        if tuple(getattr(a, "shape", ())) != tuple(getattr(b, "shape", ())):
            raise ShapeError(f"hvp: a vector {shape_text(b)} for an argument {shape_text(a)}")

    def along(x: Any) -> Any:
        products = trees.leaves(trees.map(lambda g, u: sum(g * u), grad(f)(x), v))
        return products[0] if len(products) == 1 else sum(stack(products))

    return grad(along)(x)


def stop_gradient(tree: Any) -> Any:
    """The same values as constants: no derivative passes, at any level."""
    return trees.map(elementwise.stop_gradient, tree)
