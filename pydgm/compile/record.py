"""Record: run a function once and write down every array call it makes.

The arguments' arrays are wrapped in :class:`~pydgm.compile.traced.Traced`. A call on them is made for real, so shapes and
dtypes are those of a real run, and noted as a :class:`~pydgm.compile.traced.Step`.
"""

from __future__ import annotations

import gc
import operator
import threading
import weakref
from types import CodeType
from typing import Any

import numpy

from .. import backend
from ..backend import fingerprint
from ..errors import Line, caller, trail
from .traced import Draw, Node, Step, Traced, TraceError, nodes, traced_in, values

_SELECTING = {numpy.nonzero, numpy.flatnonzero, numpy.argwhere, numpy.unique, numpy.compress, numpy.extract, numpy.bincount}
_SELECTING |= {numpy.intersect1d, numpy.union1d, numpy.setdiff1d, numpy.setxor1d, numpy.trim_zeros, numpy.histogram_bin_edges}
_SELECTING |= {numpy.unique_all, numpy.unique_counts, numpy.unique_inverse, numpy.unique_values}


def _shape_depends_on_values(function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """True for masks, and for NumPy's functions that return as many numbers as they find."""
    if function in (backend.index, backend.scatter_add):
        return any(not t.is_number and t.dtype == bool for t in traced_in(args[1:2]))
    if function in (numpy.repeat, numpy.delete, numpy.insert):
        return bool(traced_in(args[1:]) or traced_in(kwargs))
    return function in _SELECTING or (function is numpy.where and len(args) == 1)


_SAMPLE = 1 << 18  # numbers of a constant array that are looked at


def refuse_subclass(x: Any, name: str) -> None:
    """Masked arrays and matrices have arithmetic of their own, which a program of NumPy calls does not keep."""
    if isinstance(x, numpy.ndarray) and type(x) not in (numpy.ndarray, numpy.memmap):
        raise TraceError(f"{name} is a {type(x).__name__}: a compiled function takes plain arrays, np.asarray(x)")


def _base(value: Any) -> Any:
    while isinstance(value, numpy.ndarray) and isinstance(value.base, numpy.ndarray):
        value = value.base
    return value


class Recorder:
    """The steps of one run, in order. The run is inside of a frame of ``until``."""

    def __init__(self, until: CodeType) -> None:
        self.steps: list[Step] = []
        self.generators: dict[int, tuple[Any, Any]] = {}  # each generator that was used, and its state before
        self.thread = threading.get_ident()
        self.refused: TraceError | None = None
        self.made: list[weakref.ref[Traced]] = []
        self.errstate = numpy.geterr()
        self.constants: dict[int, tuple[Any, int, str]] = {}
        self.open = True
        self.derived = ""  # while a derivative is computed: the line of what it is the derivative of
        self.derived_trail: tuple[Line, ...] = ()
        self.until = until

    def traces(self, args: Any) -> bool:
        return bool(traced_in(args))

    def input(self, value: Any, name: str) -> Traced:
        return Traced(value, self, Node(value, name))

    def record(self, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Make the call, note it, return its result as traced."""
        for t in traced_in(args):
            if t.recorder is not self or not self.open:
                raise TraceError(
                    f"a traced value escaped from the compiled function that made it, and was used again {caller()}"
                )
        if kwargs.get("out") is not None or (function is numpy.nan_to_num and kwargs.get("copy") is False):
            raise TraceError(f"np.{function.__name__} writes into an array, and a compiled function leaves arrays as they are")
        if _shape_depends_on_values(function, args, kwargs):
            raise TraceError(
                f"{function.__name__}: the shape of the result depends on the values of a traced array, and a program has "
                "fixed shapes; use dgm.where, or select outside of the compiled function"
            )
        value = function(*values(args), **values(kwargs))
        same = next((t for t in traced_in(args) if value is t.value), None)
        if same is not None and isinstance(value, numpy.ndarray):
            return same  # np.asarray(x) is x
        if value is None or (isinstance(value, numpy.ndarray) and any(value is x for x in args)):
            raise TraceError(f"{function.__name__} writes into an array, and a compiled function leaves arrays as they are")
        if isinstance(value, tuple | list):
            together = self._note(function, args, kwargs, value, args)
            items = [self._note(operator.getitem, (together, i), {}, item, args) for i, item in enumerate(value)]
            return type(value)(*items) if hasattr(value, "_fields") else type(value)(items)
        return self._note(function, args, kwargs, value, args)

    def _note(self, function: Any, args: Any, kwargs: Any, value: Any, sources: Any) -> Traced:
        """Write the call down. ``sources``: whose memory the result may show."""
        line = f"derivative of {self.derived}" if self.derived else caller().removeprefix("at ")
        way = self.derived_trail if self.derived else trail(self.until)
        if numpy.geterr() != self.errstate:
            raise TraceError("np.errstate inside a compiled function is not repeated: put it around the call")
        shown = None
        if isinstance(value, numpy.ndarray):
            owner = _base(value)
            shown = next((t.node for t in traced_in(sources) if _base(t.value) is owner), None)
        out = Traced(value, self, Node(value, line=line, view_of=shown, trail=way))
        self._remember((args, kwargs), line)
        self.steps.append(Step(function, nodes(args), nodes(kwargs), out.node))
        return out

    def _remember(self, x: Any, line: str) -> None:
        """Constant arrays that go into the program: they must still be the same when recording ends."""
        if type(x) is Traced:
            return
        if isinstance(x, dict):
            x = list(x.values())
        if isinstance(x, list | tuple):
            for item in x:
                self._remember(item, line)
        elif isinstance(x, numpy.ndarray) and id(x) not in self.constants:
            refuse_subclass(x, "an array of an outer scope")
            self.constants[id(x)] = (x, fingerprint(x, _SAMPLE), line)

    def deriving(self, value: Any) -> None:
        """What follows is the derivative of ``value``, until this is called with ``None``."""
        self.derived = value.node.line.removeprefix("derivative of ") if type(value) is Traced else ""
        self.derived_trail = value.node.trail if type(value) is Traced else ()

    def name_gradients(self, inputs: list[Any], gradients: list[Any]) -> None:
        """The gradient of ``model_weight`` is called ``model_weight_grad``."""
        for x, g in zip(inputs, gradients, strict=True):
            if type(x) is Traced and type(g) is Traced and x.node.name and not g.node.name:
                g.node.name = f"{x.node.name}_grad"

    def draw(self, generator: Any, method: str, dtype: str, *arguments: Any) -> Traced:
        """A generator's draw. Its state is put back when recording ends: the program then draws the same again."""
        if id(generator) not in self.generators:
            self.generators[id(generator)] = (generator, generator.state())
        drawn: Traced = self.record(Draw(generator, method, dtype), arguments, {})
        return drawn

    def check_constants(self) -> None:
        """Raise where an array changed after it went into the program."""
        for array, mark, line in self.constants.values():
            if fingerprint(array, _SAMPLE) != mark:
                raise TraceError(
                    f"an array that was used at {line} was changed in place afterwards, while the function was recorded: make "
                    "a new one instead"
                )

    def check_escapes(self, returned: set[int]) -> None:
        """Raise where somebody still holds a traced value that was not ``returned`` (the ids of those that were)."""
        for collected in (False, True):
            if collected:
                gc.collect()  # what stood in a circle
            held = [t for t in (ref() for ref in self.made) if t is not None and id(t) not in returned]
            if not held:
                return
        line = held[0].node.line or f"argument {held[0].node.name}"
        raise TraceError(
            f"a value of the compiled function was kept outside of it ({line}): there it would stay what it was at the first "
            "call; return it instead, in a tuple, a dict or a dgm.Module"
        )

    def restore(self) -> None:
        """Put the generators back to where they were."""
        for generator, state in self.generators.values():
            generator.restore(state)
