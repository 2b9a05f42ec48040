"""What distributions have in common, and distributions that are made of others."""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy

from .. import autodiff as ad
from .. import checks
from ..backend import Array, asarray, is_array, is_floating, recorded, xp, zeros
from ..errors import ArgumentError, ShapeError, kind_text, shape_text
from ..nn import Module
from ..random import Generator

Shape = tuple[int, ...]


def _with_noise(cls: type) -> None:
    """``sample`` of a class, which says so where its first argument is no generator: ``p.sample(100)``."""
    sample = cls.__dict__.get("sample")
    if sample is None:
        return

    @functools.wraps(sample)
    def checked(self: Any, rng: Any, shape: int | Shape = ()) -> Array:
        if isinstance(rng, int | float | tuple | None):
            raise ArgumentError(f"{type(self).__name__}.sample(rng, shape): wanted a dgm.random.Generator first, got {rng!r}")
        return sample(self, rng, shape)

    cls.sample = checked  # type: ignore[attr-defined]


class Distribution(Module):
    """``sample(rng, shape)`` is (\\*shape, \\*batch, \\*event), ``log_prob(x)`` of (\\*shape, \\*batch, \\*event) is
    (\\*shape, \\*batch).

    An *event* is what one draw of the random variable is: a number (no axes), a vector (one axis). The *batch* are further
    distributions of the same kind, each with parameters of its own.
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        _with_noise(cls)

    @property
    def event_ndim(self) -> int:
        """How many of the last axes are one event: 0 for numbers, 1 for vectors."""
        return 0

    @property
    def reparameterized(self) -> bool:
        """Whether ``sample`` is differentiable in all parameters."""
        return False

    @property
    def shape(self) -> Shape:
        """(\\*batch, \\*event): the shape of a draw."""
        raise NotImplementedError(f"{type(self).__name__} has no shape")

    def sample(self, rng: Generator, shape: int | Shape = ()) -> Array:
        """Draws, (\\*shape, \\*batch, \\*event)."""
        raise NotImplementedError(f"{type(self).__name__} cannot be sampled from")

    def log_prob(self, x: Array) -> Array:
        """The logarithm of density or probability, in nats: (\\*shape, \\*batch)."""
        raise NotImplementedError(f"{type(self).__name__} gives no density")


class Independent(Distribution):
    """The last ``dims`` batch axes of ``base`` taken together as one event: log p(x) = sum_i log p_i(x_i)."""

    base: Any
    dims: int

    def __post_init__(self) -> None:
        batch = len(check_distribution(self.base, "Independent").shape) - self.base.event_ndim
        checks.count(self.dims, "Independent: dims", 0)
        if self.dims > batch:
            raise ShapeError(
                f"Independent: {type(self.base).__name__} has {batch} batch axes, its parameters being {self.base.shape}, and "
                f"{self.dims} of them cannot be an event; StandardNormal(d) is N(0, I)"
            )

    @property
    def event_ndim(self) -> int:
        return int(self.base.event_ndim) + self.dims

    @property
    def reparameterized(self) -> bool:
        return bool(self.base.reparameterized)

    @property
    def shape(self) -> Shape:
        return tuple(self.base.shape)

    def sample(self, rng: Generator, shape: int | Shape = ()) -> Array:
        """Draws of ``base``: (\\*shape, \\*batch, \\*event)."""
        return self.base.sample(rng, shape)

    def log_prob(self, x: Array) -> Array:
        """The sum of the base's over the event's axes."""
        event = self.shape[len(self.shape) - self.event_ndim :]
        if tuple(getattr(x, "shape", ()))[-len(event) :] != event and event:
            raise ShapeError(f"log_prob: wanted events {event} in the last axes, got {shape_text(x)}")
        return sum_last(self.base.log_prob(x), self.dims)

    def entropy(self) -> Array:
        """The sum of the base's over the event's axes."""
        batch = self.shape[: len(self.shape) - self.base.event_ndim]
        return sum_last(ad.broadcast_to(self.base.entropy(), batch), self.dims)


class Mixture(Distribution):
    """sum_k softmax(logits)_k p_k(x). The components are one distribution, whose last batch axis counts them.

    It has no closed-form entropy.
    """

    logits: Array  # (..., K)
    components: Any  # batch (..., K)

    def __post_init__(self) -> None:
        shape = check_distribution(self.components, "Mixture").shape
        batch = shape[: len(shape) - self.components.event_ndim]
        checks.array(self.logits, "Mixture: logits")
        if self.logits.ndim == 0 or not batch or self.logits.shape[-1] != batch[-1]:
            raise ShapeError(
                f"Mixture: logits {tuple(self.logits.shape)} for components of batch {batch}: their last axes count the same "
                "components; Independent(components, 1) makes vectors of what else is a further axis of numbers"
            )
        own, weights = tuple(batch[:-1]), tuple(self.logits.shape[:-1])
        if own and weights and own != weights:
            raise ShapeError(f"Mixture: logits of batch {weights} for components of batch {own}: give both one")

    @property
    def event_ndim(self) -> int:
        return int(self.components.event_ndim)

    @property
    def shape(self) -> Shape:
        shape, at = self.components.shape, len(self.components.shape) - self.event_ndim
        batch = numpy.broadcast_shapes(tuple(self.logits.shape[:-1]), tuple(shape[: at - 1]))
        return (*batch, *shape[at:])

    def sample(self, rng: Generator, shape: int | Shape = ()) -> Array:
        """A component for each draw, then a draw from it. Not differentiable in the logits."""
        shape, batch = as_tuple(shape), self.shape[: len(self.shape) - self.event_ndim]
        K, own = self.logits.shape[-1], len(self.components.shape) - self.event_ndim - 1
        which = rng.categorical(ad.broadcast_to(self.logits, (*shape, *batch, K)))
        # One draw from each component, of which one is kept.
        drawn = self.components.sample(rng, (*shape, *batch[: len(batch) - own]))
        axis = drawn.ndim - self.event_ndim - 1
        which = xp.reshape(which, (*which.shape, 1) + (1,) * self.event_ndim)
        which = xp.broadcast_to(which, (*drawn.shape[:axis], 1, *drawn.shape[axis + 1 :]))
        return ad.squeeze(ad.take_along_axis(drawn, which, axis=axis), axis)

    def log_joint(self, x: Array) -> Array:
        """log w_k + log p_k(x): (..., K)."""
        x = x if is_array(x) else asarray(x)
        if self.event_ndim:
            checks.width(x, self.shape[-1], "Mixture: points")
        each = self.components.log_prob(ad.expand_dims(x, axis=x.ndim - self.event_ndim))
        return ad.log_softmax(self.logits) + each

    def log_prob(self, x: Array) -> Array:
        """logsumexp_k(log w_k + log p_k(x))."""
        return ad.logsumexp(self.log_joint(x), axis=-1)


class Transformed(Distribution):
    """x = f(z), z ~ ``base``, for a bijection f: log p(x) = log p_0(z) + log |det df^-1/dx|, z = f^-1(x).

    A normalizing flow is this with a chain of bijections. f moves vectors: the base's events are vectors.
    """

    base: Any
    bijection: Any

    def __post_init__(self) -> None:
        check_distribution(self.base, "Transformed")
        for method in ("forward_and_log_det", "inverse_and_log_det"):
            if not hasattr(self.bijection, method) or isinstance(self.bijection, type):
                hint = "Chain([Planar.init(rng, 8)]), say"
                raise ArgumentError(f"Transformed: wanted a bijection, {hint}; got {kind_text(self.bijection)}")
        if self.base.event_ndim != 1:
            raise ShapeError(
                f"Transformed: a bijection moves vectors, and events of {type(self.base).__name__} have {self.base.event_ndim} "
                "axes: StandardNormal(d), or Independent(Normal(loc, scale), 1)"
            )

    @property
    def event_ndim(self) -> int:
        return 1

    @property
    def reparameterized(self) -> bool:
        return bool(self.base.reparameterized)

    @property
    def shape(self) -> Shape:
        return tuple(self.base.shape)

    def sample(self, rng: Generator, shape: int | Shape = ()) -> Array:
        """f(z), z from the base."""
        if not as_tuple(shape) and len(self.shape) == 1:  # bijections move rows of points
            return self.sample(rng, 1)[0, ...]
        # formula: flow-sample
        return self.bijection.forward_and_log_det(self.base.sample(rng, shape))[0]

    def sample_and_log_prob(self, rng: Generator, shape: int | Shape = ()) -> tuple[Array, Array]:
        """Draws and their log densities, which take no inverse: log p(f(z)) = log p_0(z) - log |det df/dz|."""
        if not as_tuple(shape) and len(self.shape) == 1:
            x, log_p = self.sample_and_log_prob(rng, 1)
            return x[0, ...], log_p[0]
        z = self.base.sample(rng, shape)
        x, log_det = self.bijection.forward_and_log_det(z)
        return x, self.base.log_prob(z) - log_det

    def log_prob(self, x: Array) -> Array:
        """log p_0(f^-1(x)) + log |det df^-1/dx|, in nats."""
        checks.width(x, self.shape[-1], "log_prob: points")
        # formula: flow-inverse
        z, log_det = self.bijection.inverse_and_log_det(x)
        # formula: change-of-variables
        return self.base.log_prob(z) + log_det

    def __getitem__(self, maps: slice) -> Transformed:
        """``flow[:k]``: the density after the first k maps."""
        return Transformed(self.base, self.bijection[maps])

    def member(self, *index: int) -> Transformed:
        """One flow of a stack of flows."""
        return Transformed(self.base, self.bijection.member(*index))


def check_distribution(x: Any, who: str) -> Any:
    """``x``, unless it is no distribution."""
    if isinstance(x, type) or not all(hasattr(x, name) for name in ("log_prob", "sample", "event_ndim", "shape")):
        raise ArgumentError(f"{who}: wanted a distribution, Normal(loc, scale), say; got {kind_text(x)}")
    return x


def shape_of(*parameters: Array) -> Shape:
    """The shape that parameters have together."""
    return tuple(numpy.broadcast_shapes(*[tuple(getattr(p, "shape", ())) for p in parameters]))


def as_tuple(shape: int | Shape) -> Shape:
    return shape if isinstance(shape, tuple) else (shape,)


def dtype_of(*parameters: Array) -> str:
    """The dtype that draws have: float64 where a parameter has it."""
    return "float64" if any("64" in str(getattr(p, "dtype", "")) for p in parameters) else "float32"


def everywhere(value: Array, shape: Shape, like: Array) -> Array:
    """``value`` repeated to ``shape``; where it is a Python number, in the dtype of ``like``."""
    if getattr(value, "shape", ()) == shape:
        return value
    return value + zeros(shape, like if is_array(like) else None if not is_array(value) else value)


def as_floats(x: Array) -> Array:
    """Integers as floats: unsigned ones would wrap around below 0."""
    return x if not is_array(x) or is_floating(x) else ad.astype(x, xp.float32)


def sum_last(x: Array, axes: int) -> Array:
    """The sum over the last ``axes`` axes."""
    return ad.sum(x, axis=tuple(range(-axes, 0))) if axes else x


@recorded
def _log_of_number(x: float) -> float:
    return math.log(x)


@recorded
def _log1mexp_of_number(t: float) -> float:
    return math.log(-math.expm1(-t))


def log1mexp(t: Array) -> Array:
    """log(1 - exp(-t)) for t > 0; of a Python number a Python number."""
    return ad.log(-ad.expm1(-t)) if is_array(t) else _log1mexp_of_number(t)


def log(x: Array) -> Array:
    """The logarithm; of a Python number a Python number, which leaves float32 arrays float32."""
    return ad.log(x) if is_array(x) else _log_of_number(x)
