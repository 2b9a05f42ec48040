r"""MADE's masks, for $variant.

Output d may hear of the inputs that come before x_d in the order, and of no other (lectures L3 and L4, "Fully Observed Models";
Germain et al. 2015). Each unit has a degree:

$convention
$order

Write the three masks, arrays (from, to) of zeros and ones: of the first layer, of the last one, and of the direct weights from
inputs to outputs. No weight that may be there is left out. Then write log p(x) from the log-odds of all conditionals.
"""

import numpy as np

from pydgm.lesson.exercise import every
from pydgm.testing import arrays

FORWARD = "Inputs have the degrees 1 to D, each once; a hidden unit of degree m may hear of the inputs of degree 1 to m."
BACKWARD = "Inputs have the degrees 1 to D, each once; a hidden unit of degree m may hear of the inputs of degree m to D."
EARLY = "The order goes by rising degrees: x_d comes after all inputs of lower degree."
LATE = "The order goes by falling degrees: x_d comes after all inputs of higher degree."

VARIANTS = {
    "rising degrees": {"convention": FORWARD, "order": EARLY, "first": "<=", "last": "<", "sign": 1},
    "falling degrees": {"convention": BACKWARD, "order": LATE, "first": ">=", "last": ">", "sign": -1},
    "rising degrees, each hidden unit counted from below": {
        "convention": FORWARD.replace("1 to m.", "1 to m - 1."),
        "order": EARLY,
        "first": "<",
        "last": "<=",
        "sign": 1,
    },
    "falling degrees, each hidden unit counted from above": {
        "convention": BACKWARD.replace("m to D.", "m + 1 to D."),
        "order": LATE,
        "first": ">",
        "last": ">=",
        "sign": -1,
    },
}

OPERATORS = {"<=": np.less_equal, "<": np.less, ">=": np.greater_equal, ">": np.greater}

SOLUTION = '''\
import numpy as np


def masks(inputs, hidden):
    """(first (D, H), last (H, D), direct (D, D)) for degrees of inputs (D,), which outputs share, and hidden units (H,)."""
    #< compare each degree below with each above
    first = inputs[:, None] $first hidden[None, :]
    last = hidden[:, None] $last inputs[None, :]
    direct = inputs[:, None] $strict inputs[None, :]
    return first.astype(float), last.astype(float), direct.astype(float)
    #>


def log_prob(odds, x):
    """log p (n,) of rows x (n, D) of zeros and ones, from the log-odds of their conditionals (n, D)."""
    #< log p of each bit is log sigmoid(odds) where it is 1, log sigmoid(-odds) where it is 0
    return (x * odds - np.logaddexp(0.0, odds)).sum(axis=1)
    #>
'''

for _each in VARIANTS.values():
    _each["strict"] = "<" if _each["sign"] > 0 else ">"

MISTAKES = {
    "an output hears of itself, directly": ("inputs[:, None] $strict inputs", "inputs[:, None] $strict= inputs", "of itself"),
    "the direct weights are the wrong way round": ("direct.astype(float)", "direct.T.astype(float)", "direct"),
    "the last layer is the wrong way round": ("last.astype(float)", "(1.0 - last)", "through hidden units"),
    "hidden units hear of nothing": ("first.astype(float)", "0.0 * first", "left out"),
    "the other convention of degrees": ("$first hidden[None, :]", "$first hidden[None, :] + $sign", "degree does not allow"),
    "one output for each hidden unit": ("$last inputs[None, :]", "== inputs[None, :] - $sign", "hears"),
    "no direct weights": ("direct.astype(float)", "0.0 * direct", "left out"),
    "log p of ones alone": ("x * odds - np.logaddexp(0.0, odds)", "x * (odds - np.logaddexp(0.0, odds))", "adds up to"),
    "the mean over bits": (".sum(axis=1)", ".mean(axis=1)", "adds up to"),
    "the sign of the zeros": ("np.logaddexp(0.0, odds)", "np.logaddexp(0.0, -odds)", "adds up to"),
}


def _degrees(v, D: int = 5):
    """Of inputs in some order, and of every hidden unit that the convention has a use for, twice."""
    inputs = np.random.default_rng(D).permutation(D) + 1
    return inputs, np.repeat(np.arange(0, D + 2), 2)


def _before(v, inputs):
    """Whether input (row) comes before output (column)."""
    return (inputs[:, None] - inputs[None, :]) * v.sign < 0


def check_direct_weights(work, v) -> None:
    inputs, hidden = _degrees(v)
    direct, before = np.asarray(work.masks(inputs, hidden)[2]), _before(v, inputs)
    assert direct.shape == (5, 5), f"the direct mask has shape {direct.shape}, wanted (5, 5)"
    assert not direct.diagonal().any(), "by a direct weight an output hears of itself"
    assert not direct[~before].any(), f"degrees {inputs.tolist()}: direct weights from inputs that come later"
    assert direct[before].all(), f"degrees {inputs.tolist()}: a direct weight is left out that may be there"


def check_hidden_units(work, v) -> None:
    inputs, hidden = _degrees(v)
    first, last, _ = (np.asarray(mask) for mask in work.masks(inputs, hidden))
    assert first.shape == (5, 14), f"the first mask has shape {first.shape}, wanted (5, 14)"
    assert last.shape == (14, 5), f"the last mask has shape {last.shape}, wanted (14, 5)"
    hears, before = OPERATORS[v.first](inputs[:, None], hidden[None, :]), _before(v, inputs)
    assert not (first > hears).any(), f"degrees {inputs.tolist()}: a hidden unit hears of what its degree does not allow"
    assert not (first < hears).any(), f"degrees {inputs.tolist()}: a weight of the first layer is left out that may be there"
    allowed = (~hears.T[:, :, None] | before[None, :, :]).all(axis=1)  # all that the unit hears of is before the output
    said, some = f"degrees {inputs.tolist()}: through hidden units an output", hears.any(axis=0)[:, None]
    assert not ((last > allowed) & some).any(), f"{said} hears of what is not before it"
    assert not ((last < allowed) & some).any(), f"{said} hears too little: a weight is left out that may be there"


def check_probabilities_add_up(work, v) -> None:
    @every(arrays((3, 3)))
    def total(weights) -> None:
        rows = np.array([[i >> 2 & 1, i >> 1 & 1, i & 1] for i in range(8)], float)
        odds = rows @ np.triu(weights, 1) + weights[0]
        p = np.exp(np.asarray(work.log_prob(odds, rows)))
        assert p.shape == (8,), f"log p of 8 rows has shape {p.shape}, wanted (8,)"
        assert abs(p.sum() - 1.0) < 1e-9, f"p over all rows adds up to {p.sum():.4f}, not 1"
        assert np.allclose(p[7], np.prod(1.0 / (1.0 + np.exp(-odds[7])))), "p of ones is the product of sigmoid(odds)"
