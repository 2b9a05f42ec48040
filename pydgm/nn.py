"""Building blocks: what a model is, and the layers most models are made of.

A model is a dataclass of arrays and of other modules, and nothing else: no registration, no hidden state. It is itself a
tree (``pydgm.trees``), so ``dgm.grad(loss)(model)`` is a model of gradients and ``trees.map`` reaches every weight.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from . import autodiff as ad
from . import checks, trees
from .autodiff import Tensor
from .backend import Array, arange, is_array, is_floating, to_numpy, xp, zeros
from .errors import ArgumentError, DomainError, TreeError, caller, kind_text, shape_text
from .random import Generator

if TYPE_CHECKING:
    from typing_extensions import dataclass_transform
else:  # tells type checkers alone that a Module is a dataclass

    def dataclass_transform(**_: Any) -> Callable[[type], type]:
        return lambda cls: cls


Model = TypeVar("Model")


def static(default: Any = dataclasses.MISSING) -> Any:
    """A field that is a setting even if it holds arrays (a fixed mask, a table): no gradient, no update."""
    return dataclasses.field(default=default, metadata={"static": True})


class _Same(trees.Setting):
    """A static value that compares as one thing, also with a bare value: arrays by their content, not element by element."""

    def __eq__(self, other: object) -> bool:
        return _equal(self.value, trees.bare(other))

    def __hash__(self) -> int:  # equal arrays need not be the same object: equality decides
        return 0

    def __repr__(self) -> str:
        return shape_text(self.value)


def _equal(a: Any, b: Any) -> bool:
    if a is b:
        return True
    if isinstance(a, list | tuple) and type(a) is type(b):
        return len(a) == len(b) and all(map(_equal, a, b))
    if is_array(a) and is_array(b):
        return a.shape == b.shape and a.dtype == b.dtype and to_numpy(a).tobytes() == to_numpy(b).tobytes()
    return not is_array(a) and not is_array(b) and bool(a == b)


def _split(module: Any) -> tuple[tuple[str, ...], tuple[Any, ...], Any]:
    """Fields that hold arrays, modules or containers are children; numbers, texts, functions and static ones are fixed."""
    keys, children, fixed = [], [], []
    for name, is_static in module._fields:
        value = getattr(module, name)
        if is_static:
            fixed.append((name, _Same(value)))
        elif isinstance(value, _CHILDREN) or is_array(value):
            keys.append(name)
            children.append(value)
        else:
            fixed.append((name, value))
    return tuple(keys), tuple(children), tuple(fixed)


def _set(module: Any, name: str, value: Any) -> None:
    raise dataclasses.FrozenInstanceError(
        f"a Module is not changed in place: dataclasses.replace(model, {name}=...) is a changed copy. What a Module is made of "
        f"stands as fields of its class, and what computes them in a classmethod, init {caller()}"
    )


def _delete(module: Any, name: str) -> None:
    raise dataclasses.FrozenInstanceError(f"a Module is not changed in place, so {name} cannot be taken out {caller()}")


def _join(cls: type, keys: tuple[str, ...], children: list[Any], fixed: Any) -> Any:
    module: Any = object.__new__(cls)
    fields = module.__dict__
    fields.update(zip(keys, children, strict=True))
    for name, value in fixed:
        fields[name] = trees.bare(value)
    return module


@dataclass_transform(frozen_default=True)
class Module:
    """A model or a part of one. Subclasses are frozen dataclasses without further ado::

        class Affine(dgm.Module):
            weight: Array
            bias: Array

            def __call__(self, x):
                return x @ self.weight + self.bias

    Fields that hold arrays, modules, or dicts, lists and tuples of these are the tree: every array of floats is trained,
    unless its field = ``nn.static()``, as a mask's should be. Numbers, texts and functions are settings; attributes that are
    no fields do not pass through transformations. Make a changed copy with ``dataclasses.replace(module, field=value)``.
    """

    _fields: ClassVar[tuple[tuple[str, bool], ...]] = ()  # name, and whether it is static

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        dataclasses.dataclass(frozen=True, eq=False, repr=False)(cls)
        cls.__setattr__, cls.__delattr__ = _set, _delete  # type: ignore[method-assign]  # dataclass's own do not teach
        fields = dataclasses.fields(cls)  # type: ignore[arg-type]
        cls._fields = tuple([(f.name, bool(f.metadata.get("static"))) for f in fields])
        trees.register(cls, _split, _join, attributes=True)

    def __array__(self, *_: Any, **__: Any) -> Any:
        raise ArgumentError(
            f"{type(self).__name__} is a Module and no array: np.save and np functions take its arrays, dgm.trees.leaves(model)"
        )

    def __repr__(self) -> str:
        def short(value: Any) -> str:
            if is_array(value):
                return f"{tuple(value.shape)} {value.dtype}"
            if isinstance(value, tuple | list):
                return f"[{', '.join(map(short, value))}]"
            return getattr(value, "__name__", None) or repr(value)

        fields = dataclasses.fields(self)  # type: ignore[arg-type]
        return f"{type(self).__name__}({', '.join(f'{f.name}={short(getattr(self, f.name))}' for f in fields)})"


_CHILDREN = (Tensor, Module, dict, list, tuple)


def double(model: Any) -> Any:
    """The same model in float64, to compare to the last digit."""
    return trees.map(lambda w: ad.astype(w, xp.float64) if is_array(w) and is_floating(w) else w, model)


def stack(models: Sequence[Model]) -> Model:
    """Models of one structure side by side, as one: each array has them along a new first axis.

    ``stack([MLP.init(rng, [2, 64, 1]) for _ in range(5)])`` takes (5, n, 2), to each its own n rows, and is trained at once:
    small networks in less time than one after the other. Where a loss is a mean over all rows, each has 1/5 of its own
    gradient, of which Adam takes no notice. :func:`member` is one of them. Raises :class:`~pydgm.errors.TreeError` where
    they differ in structure, settings or shapes.
    """
    if not isinstance(models, list | tuple) or not models:
        raise ArgumentError(f"stack: wanted a list of models, got {shape_text(models)}")
    for other in models[1:]:
        trees.map(_check_alike, models[0], other)
    stacked: Model = trees.map(lambda *weights: ad.stack(list(weights)), *models)
    return stacked


def _check_alike(w: Any, other: Any) -> None:
    if getattr(w, "shape", ()) != getattr(other, "shape", ()):
        raise TreeError(f"stack: arrays {shape_text(w)} and {shape_text(other)} at one place of two models: wanted one shape")


def member(stacked: Model, i: int) -> Model:
    """One model of a :func:`stack`."""
    one: Model = trees.map(lambda w: w[i, ...], stacked)
    return one


def one_hot(labels: Array, classes: int) -> Array:
    """Rows with a 1 at the place of each label, an integer from 0 to ``classes`` - 1: (...) -> (..., classes), float32."""
    checks.array(labels, "one_hot: labels")
    checks.labels(labels, classes, (), "one_hot")
    return xp.astype(xp.expand_dims(ad.stop_gradient(labels), axis=-1) == arange(classes, labels), xp.float32)


def count_parameters(model: Any) -> int:
    """How many numbers are trained."""
    return sum(math.prod(getattr(w, "shape", ())) for w in trees.leaves(model) if not is_array(w) or is_floating(w))


# Initialisers: (generator, shape, fan_in, fan_out) -> weights in float32. Each keeps the variance of what passes through
# a layer near 1, forwards (fan_in), or forwards and backwards (both).

Initialiser = Callable[[Generator, tuple[int, ...], int, int], Array]


def glorot_uniform(rng: Generator, shape: tuple[int, ...], fan_in: int, fan_out: int) -> Array:
    """U(-a, a), a = sqrt(6 / (fan_in + fan_out)); for tanh and sigmoid (Glorot and Bengio 2010)."""
    return (2.0 * rng.uniform(shape) - 1.0) * math.sqrt(6.0 / (fan_in + fan_out))


def glorot_normal(rng: Generator, shape: tuple[int, ...], fan_in: int, fan_out: int) -> Array:
    """N(0, 2 / (fan_in + fan_out)) (Glorot and Bengio 2010)."""
    return rng.normal(shape) * math.sqrt(2.0 / (fan_in + fan_out))


def he_uniform(rng: Generator, shape: tuple[int, ...], fan_in: int, fan_out: int) -> Array:
    """U(-a, a), a = sqrt(6 / fan_in); for relu (He et al. 2015)."""
    return (2.0 * rng.uniform(shape) - 1.0) * math.sqrt(6.0 / fan_in)


def he_normal(rng: Generator, shape: tuple[int, ...], fan_in: int, fan_out: int) -> Array:
    """N(0, 2 / fan_in); for relu (He et al. 2015)."""
    return rng.normal(shape) * math.sqrt(2.0 / fan_in)


def lecun_normal(rng: Generator, shape: tuple[int, ...], fan_in: int, fan_out: int) -> Array:
    """N(0, 1 / fan_in); for linear layers (LeCun et al. 1998)."""
    return rng.normal(shape) * math.sqrt(1.0 / fan_in)


def _checked(rng: Generator, who: str, **counts: Any) -> None:
    """What every layer's ``init`` is given: a generator, and counts from 1 (``n_in`` from 0: a layer that sees nothing)."""
    if not isinstance(rng, Generator):
        raise ArgumentError(f"{who}: the first argument is a dgm.random.Generator, got {kind_text(rng)}")
    for name, value in counts.items():
        checks.count(value, f"{who}: {name}", 0 if name in ("n_in", "padding") else 1)


class Linear(Module):
    """x W + b: (..., in) -> (..., out). Of a :func:`stack` of layers (S, n, in) -> (S, n, out), each with rows of its own."""

    weight: Array  # (in, out); of a stack (S, in, out)
    bias: Array  # (out,); of a stack (S, out)

    @classmethod
    def init(cls, rng: Generator, n_in: int, n_out: int, weight: Initialiser = glorot_uniform) -> Linear:
        _checked(rng, "Linear.init", n_in=n_in, n_out=n_out)
        return cls(weight(rng, (n_in, n_out), n_in, n_out), zeros((n_out,)))

    def __call__(self, x: Array) -> Array:
        """Raises :class:`~pydgm.errors.ShapeError` where ``x`` is of another width."""
        n_in, n_out = self.weight.shape[-2:]
        if getattr(x, "shape", ())[-1:] != (n_in,):
            checks.width(x, n_in, f"Linear({n_in} -> {n_out})")
        return x @ self.weight + (self.bias if self.bias.ndim == 1 else ad.expand_dims(self.bias, axis=-2))


class _Conv(Module):
    """Weight (out, in, \\*window), bias (out,); (batch, in, \\*space) -> (batch, out, \\*space')."""

    weight: Array
    bias: Array
    stride: int = 1
    padding: int = 0
    dilation: int = 1

    def _with_bias(self, y: Array) -> Array:
        return y + ad.reshape(self.bias, (-1,) + (1,) * (y.ndim - 2))


def _conv_weight(rng: Generator, n_in: int, n_out: int, window: tuple[int, ...], turned: bool, weight: Initialiser) -> Array:
    _checked(rng, "a convolution's init", channels=n_in, n_out=n_out, window=window[0])
    area = math.prod(window)
    return weight(rng, (n_in, n_out, *window) if turned else (n_out, n_in, *window), n_in * area, n_out * area)


class Conv1d(_Conv):
    """A convolution along one axis: ``conv1d`` and a bias for each channel."""

    @classmethod
    def init(
        cls,
        rng: Generator,
        n_in: int,
        n_out: int,
        window: int,
        stride: int = 1,
        padding: int = 0,
        dilation: int = 1,
        weight: Initialiser = he_uniform,
    ) -> Conv1d:
        return cls(_conv_weight(rng, n_in, n_out, (window,), False, weight), zeros((n_out,)), stride, padding, dilation)

    def __call__(self, x: Array) -> Array:
        return self._with_bias(ad.conv1d(x, self.weight, self.stride, self.padding, self.dilation))


class Conv2d(_Conv):
    """A convolution over height and width: ``conv2d`` and a bias for each channel."""

    @classmethod
    def init(
        cls,
        rng: Generator,
        n_in: int,
        n_out: int,
        window: int,
        stride: int = 1,
        padding: int = 0,
        dilation: int = 1,
        weight: Initialiser = he_uniform,
    ) -> Conv2d:
        return cls(_conv_weight(rng, n_in, n_out, (window,) * 2, False, weight), zeros((n_out,)), stride, padding, dilation)

    def __call__(self, x: Array) -> Array:
        return self._with_bias(ad.conv2d(x, self.weight, self.stride, self.padding, self.dilation))


class ConvTranspose2d(_Conv):
    """Upsampling by the adjoint of a convolution: weight (in, out, k, k)."""

    @classmethod
    def init(
        cls,
        rng: Generator,
        n_in: int,
        n_out: int,
        window: int,
        stride: int = 1,
        padding: int = 0,
        dilation: int = 1,
        weight: Initialiser = he_uniform,
    ) -> ConvTranspose2d:
        return cls(_conv_weight(rng, n_in, n_out, (window,) * 2, True, weight), zeros((n_out,)), stride, padding, dilation)

    def __call__(self, x: Array) -> Array:
        return self._with_bias(ad.conv_transpose2d(x, self.weight, self.stride, self.padding, self.dilation))


class Embedding(Module):
    """A vector for each of ``n`` symbols: integers (...) -> (..., dim)."""

    table: Array  # (n, dim)

    @classmethod
    def init(cls, rng: Generator, n: int, dim: int) -> Embedding:
        _checked(rng, "Embedding.init", n=n, dim=dim)
        return cls(rng.normal((n, dim)))

    def __call__(self, symbols: Array) -> Array:
        """Raises :class:`~pydgm.errors.DomainError` for symbols that the table does not have."""
        checks.array(symbols, "Embedding: symbols")
        checks.within(symbols, 0, self.table.shape[0] - 1, "Embedding: symbols")
        return ad.take(self.table, symbols, axis=0)


class MLP(Module):
    """Linear layers with an activation after each but the last."""

    layers: tuple[Linear, ...]
    activation: Callable[[Array], Array] = ad.relu

    def __post_init__(self) -> None:
        if not isinstance(self.layers, list | tuple) or not all(map(callable, self.layers)):
            hint = "MLP.init(rng, [2, 64, 1]) makes one from its widths"
            raise ArgumentError(f"MLP: wanted its layers, got {shape_text(self.layers)}; {hint}")

    @classmethod
    def init(
        cls,
        rng: Generator,
        sizes: Sequence[int],
        activation: Callable[[Array], Array] = ad.relu,
        weight: Initialiser = glorot_uniform,
    ) -> MLP:
        """``sizes``: widths from input to output, ``[784, 400, 20]``."""
        _checked(rng, "MLP.init")
        wanted = f"MLP.init: wanted the widths from input to output, [784, 400, 20], got {shape_text(sizes)}"
        if not isinstance(sizes, list | tuple):
            raise ArgumentError(wanted)
        if len(sizes) < 2:
            raise DomainError(wanted)
        for i, width in enumerate(sizes):
            checks.count(width, f"MLP.init: width {i} of {shape_text(sizes)}", 1 if i else 0)
        if not callable(activation):
            raise ArgumentError(f"MLP.init: the activation is a function, dgm.relu, got {shape_text(activation)}")
        return cls(tuple(Linear.init(rng, n, m, weight) for n, m in pairwise(sizes)), activation)

    def __call__(self, x: Array) -> Array:
        for layer in self.layers[:-1]:
            x = self.activation(layer(x))
        return self.layers[-1](x)
