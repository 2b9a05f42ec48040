"""Matrices: products, solutions, inverses, determinants. Leading axes are batches, and broadcast.

Sources of the rules: M. Giles, "Collected matrix derivative results for forward and reverse mode algorithmic
differentiation" (2008); I. Murray, "Differentiation of the Cholesky decomposition" (2016).
"""

from __future__ import annotations

import math
from typing import NamedTuple

from .. import backend, checks
from ..backend import Array, xp
from ..errors import ShapeError, shape_text
from .reductions import sum
from .shapes import diagonal, expand_dims, matrix_transpose, permute_dims, reshape, squeeze, tril
from .tensor import operation


@operation(
    lambda g, y, a, b: _matmul(g, matrix_transpose(b)),
    lambda g, y, a, b: _matmul(matrix_transpose(a), g),
    broadcasts=True,
)
def _matmul(a: Array, b: Array, /) -> Array:
    if a.shape[-1] == b.shape[-2] == 1 and b.shape[-1] > 8:  # a column by a row: faster without BLAS
        return xp.multiply(a, b)
    return xp.matmul(a, b)


def matmul(a: Array, b: Array) -> Array:
    """``a @ b`` over the last two axes; a vector counts as a row on the left, as a column on the right."""
    try:
        matrices = a.ndim > 1 and b.ndim > 1
    except AttributeError:
        checks.array(a, "matmul: first argument")
        checks.array(b, "matmul: second argument")
        raise
    if matrices and a.ndim > 2 == b.ndim:  # rows in any number of axes are one product, and so is the gradient by b
        return reshape(_matmul(reshape(a, (math.prod(a.shape[:-1]), a.shape[-1])), b), (*a.shape[:-1], b.shape[-1]))
    if matrices:
        return _matmul(a, b)
    if a.ndim == 0 or b.ndim == 0 or a.shape[-1] != b.shape[-2 if b.ndim > 1 else 0]:
        raise ShapeError(f"matmul: shapes {tuple(a.shape)} and {tuple(b.shape)} do not fit")
    y = _matmul(expand_dims(a, axis=0) if a.ndim == 1 else a, expand_dims(b, axis=1) if b.ndim == 1 else b)
    y = squeeze(y, -1) if b.ndim == 1 else y
    return squeeze(y, -1 if b.ndim == 1 else -2) if a.ndim == 1 else y


def einsum(pattern: str, *arrays: Array) -> Array:
    """Einstein's sum: ``einsum("bi,ij->bj", x, w)`` is ``x @ w``.

    One letter for each axis; letters missing on the right are summed over. Operands are joined two at a time, each pair
    by one batched matrix product, so it is as fast as :func:`matmul` and needs no derivative of its own. No ``...``.
    """
    if not isinstance(pattern, str):
        raise ShapeError(f'einsum: the pattern comes first, "ij,jk->ik"; got {shape_text(pattern)}')
    for x in arrays:
        checks.array(x, f'einsum "{pattern}": operand')
    left, arrow, right = pattern.replace(" ", "").partition("->")
    terms = left.split(",")
    if not arrow or len(terms) != len(arrays) or (not (left.replace(",", "") + right).isalpha() and left.replace(",", "")):
        raise ShapeError(
            f'einsum: write "ij,jk->ik", one term of letters for each of the {len(arrays)} arrays; got "{pattern}"'
        )
    sizes: dict[str, int] = {}
    for term, x in zip(terms, arrays, strict=True):
        if len(term) != x.ndim:
            raise ShapeError(f'einsum "{pattern}": "{term}" names {len(term)} axes of an array of shape {tuple(x.shape)}')
        for letter, n in zip(term, x.shape, strict=True):
            if sizes.setdefault(letter, n) != n:
                raise ShapeError(f'einsum "{pattern}": axis "{letter}" has length {sizes[letter]} and length {n}')
    if len(set(right)) != len(right) or not set(right) <= set(sizes):
        raise ShapeError(f'einsum "{pattern}": each letter after "->" must stand before it, and only once after')
    done, y = "", None
    for i, (term, x) in enumerate(zip(terms, arrays, strict=True)):
        wanted = set("".join(terms[i + 1 :]) + right)
        term, x = _distinct(term, x)
        term, x = _summed(term, x, wanted | set(done))
        done, y = (term, x) if y is None else _joined(done, y, term, x, wanted, sizes)
    done, y = _summed(done, y, set(right))
    return y if done == right else permute_dims(y, [done.index(c) for c in right])


def _distinct(term: str, x: Array) -> tuple[str, Array]:
    """A letter that stands twice is a diagonal."""
    for letter in term:
        while term.count(letter) > 1:
            i = term.index(letter)
            j = term.index(letter, i + 1)
            others = [k for k in range(len(term)) if k not in (i, j)]
            x = diagonal(permute_dims(x, [*others, i, j]))
            term = "".join([term[k] for k in others]) + letter
    return term, x


def _summed(term: str, x: Array, wanted: set[str]) -> tuple[str, Array]:
    axes = tuple([i for i, letter in enumerate(term) if letter not in wanted])
    return "".join([c for c in term if c in wanted]), (sum(x, axis=axes) if axes else x)


def _joined(s: str, a: Array, t: str, b: Array, wanted: set[str], sizes: dict[str, int]) -> tuple[str, Array]:
    """Two operands by one batched product: letters of both are batches if wanted later, else summed over."""
    batch = "".join([c for c in s if c in t and c in wanted])
    inner = "".join([c for c in s if c in t and c not in wanted])
    rows = "".join([c for c in s if c not in t])
    columns = "".join([c for c in t if c not in s])

    def grouped(term: str, x: Array, *groups: str) -> Array:
        x = permute_dims(x, [term.index(c) for c in "".join(groups)])
        lengths = [math.prod([sizes[c] for c in group]) for group in groups[1:]]
        return reshape(x, (*[sizes[c] for c in groups[0]], *lengths))

    y = matmul(grouped(s, a, batch, rows, inner), grouped(t, b, batch, inner, columns))
    letters = batch + rows + columns
    return letters, reshape(y, tuple([sizes[c] for c in letters]))


@operation(
    lambda g, y, a, b: -_matmul(_solve(matrix_transpose(a), g), matrix_transpose(y)),
    lambda g, y, a, b: _solve(matrix_transpose(a), g),
    broadcasts=True,
)
def _solve(a: Array, b: Array) -> Array:
    return xp.linalg.solve(a, b)


def solve(a: Array, b: Array) -> Array:
    """x with ``a @ x = b``, for a vector ``b`` or the columns of a matrix ``b``."""
    checks.array(a, "solve: matrix")
    checks.array(b, "solve: right side")
    if b.ndim == 1:
        return squeeze(_solve(a, expand_dims(b, axis=1)), -1)
    return _solve(a, b)


@operation(lambda g, y, a: -_matmul(_matmul(matrix_transpose(y), g), matrix_transpose(y)))
def inv(a: Array) -> Array:
    """The inverse matrix."""
    return xp.linalg.inv(a)


class SlogDet(NamedTuple):
    """The determinant as ``sign * exp(logabsdet)``."""

    sign: Array
    logabsdet: Array


@operation()
def _sign_of_det(a: Array) -> Array:
    return xp.linalg.slogdet(a)[0]


@operation(lambda g, y, a: reshape(g, (*a.shape[:-2], 1, 1)) * matrix_transpose(inv(a)))
def _logabsdet(a: Array) -> Array:
    return xp.linalg.slogdet(a)[1]


def slogdet(a: Array) -> SlogDet:
    """Sign and log of the absolute value of the determinant; the derivative of log abs det A is A's inverse, transposed."""
    return SlogDet(_sign_of_det(a), _logabsdet(a))


def _from_cholesky(g: Array, y: Array, a: Array) -> Array:
    lower = tril(_matmul(matrix_transpose(y), g))
    lower = lower - 0.5 * lower * backend.eye(y.shape[-1], y)  # the diagonal counts half
    up = matrix_transpose(y)
    s = _solve(up, matrix_transpose(_solve(up, matrix_transpose(lower))))
    return 0.5 * (s + matrix_transpose(s))


@operation(_from_cholesky)
def cholesky(a: Array) -> Array:
    """The lower-triangular L with L L' = ``a``, a symmetric positive matrix; its gradient is symmetric too."""
    return xp.linalg.cholesky(a)
