"""Property-test your own derivatives in three lines::

    @given(dgm.testing.arrays())
    def test_my_op(x):
        dgm.testing.check_grads(my_op, [x])

``check_bijection`` does the same for the maps of a flow. The strategies need Hypothesis (``pip install hypothesis``);
``check_grads`` needs NumPy alone.
"""

from typing import Any

from ..errors import to_install
from .bijections import Gaps, bijection_gaps, check_bijection
from .gradients import check_grads, numerical_derivative

__all__ = [
    "Gaps",
    "arrays",
    "axes",
    "bijection_gaps",
    "broadcastable_shapes",
    "check_bijection",
    "check_grads",
    "numerical_derivative",
    "shapes",
    "trees",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"pydgm.testing has no {name!r}")
    try:
        from . import strategies
    except ImportError as error:
        raise ImportError(f"dgm.testing.{name} needs Hypothesis ({error}): {to_install('lessons')}") from None
    return getattr(strategies, name)
