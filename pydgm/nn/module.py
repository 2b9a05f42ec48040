"""What a model is: a tree of arrays, made of a dataclass.

A model is a dataclass of arrays and of other modules, and nothing else: no registration, no hidden state. It is itself a
tree (``pydgm.trees``), so ``dgm.grad(loss)(model)`` is a model of gradients and ``trees.map`` reaches every weight.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from .. import autodiff as ad
from .. import trees
from ..autodiff import Tensor
from ..backend import Array, is_array, is_floating, to_numpy, xp
from ..errors import ArgumentError, TreeError, caller, shape_text

if TYPE_CHECKING:
    from typing_extensions import dataclass_transform
else:  # tells type checkers alone that a Module is a dataclass

    def dataclass_transform(**_: Any) -> Callable[[type], type]:
        return lambda cls: cls


Model = TypeVar("Model")


def static(default: Any = dataclasses.MISSING) -> Any:
    """A field that is a setting even if it holds arrays (a fixed mask, a table): no gradient, no update."""
    return dataclasses.field(default=default, metadata={"static": True})


def state() -> Any:
    """A field for what a layer has seen, a running mean: part of the tree, but not trained by a gradient (:class:`Updates`)."""
    return dataclasses.field(metadata={"state": True})


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


@dataclass_transform(frozen_default=True, field_specifiers=(static, state))
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


def count_parameters(model: Any) -> int:
    """How many numbers are trained."""
    leaves, structure = trees.flatten(model)
    trained = zip(leaves, _trained(structure, True), strict=True)
    return sum(math.prod(getattr(w, "shape", ())) for w, yes in trained if yes and (not is_array(w) or is_floating(w)))


def _trained(structure: trees.Structure, yes: bool) -> Iterator[bool]:
    """For each leaf, whether it is trained: not what stands in a field for a state."""
    if structure.kind is trees.LEAF:
        yield yes
    states = {f.name for f in _fields_of(structure.kind) if f.metadata.get("state")}
    for key, child in zip(structure.keys, structure.children, strict=True):
        yield from _trained(child, yes and key not in states)


def _fields_of(kind: Any) -> tuple[Any, ...]:
    return dataclasses.fields(kind) if dataclasses.is_dataclass(kind) else ()


class Updates:
    """What layers with a state have seen in one step of training, to be part of the model afterwards.

    A layer with a state (:class:`BatchNorm`'s means, :class:`SpectralNorm`'s vector) is called in two ways: ``layer(x)`` uses
    the state, ``layer(x, updates)`` is for training and notes a new one. A loss makes the ``Updates``, hands them on and
    returns them; :func:`pydgm.train.minimise` and :func:`pydgm.train.alternate` put them into the model after the step::

        def loss(model, batch, rng):
            updates = nn.Updates()
            logits = model(batch.x, updates)
            return -dgm.mean(Categorical(logits).log_prob(batch.y)), updates

    Without :mod:`pydgm.train`, ``updates.into(model)`` is the model with the new states, inside of the function that has made
    them. A state has no gradient.
    """

    def __init__(self) -> None:
        self._new: dict[int, tuple[Array, Array]] = {}  # the old array, which so keeps its id, and the new one

    def latest(self, state: Array) -> Array:
        """A state with what was noted so far: a layer may be called more than once in a step."""
        return self._new.get(id(state), (state, state))[1]

    def note(self, state: Array, new: Array) -> None:
        """Have ``new`` in the place of ``state``, one of the arrays of the model."""
        self._new[id(state)] = state, ad.stop_gradient(new)

    def of(self, model: Any) -> list[Array | None]:
        """For each leaf of the model its new value, or ``None``.

        Raises :class:`~pydgm.errors.ArgumentError` where the array of a state stands in two places of the model.
        """
        leaves = trees.leaves(model)
        if len({id(w) for w in leaves if id(w) in self._new}) < sum(id(w) in self._new for w in leaves):
            raise ArgumentError(
                "Updates: a state's array stands in two places of the model: make each place an array of its own"
            )
        return [self._new.get(id(w), (w, None))[1] for w in leaves]

    def into(self, model: Model) -> Model:
        """The model with the new states."""
        return with_states(model, self.of(model))


def with_states(model: Model, states: Sequence[Array | None]) -> Model:
    """The model with new states, one for each leaf or ``None``: what :meth:`Updates.of` gives."""
    leaves, structure = trees.flatten(model)
    changed: Model = trees.unflatten(structure, [w if s is None else s for w, s in zip(leaves, states, strict=True)])
    return changed
