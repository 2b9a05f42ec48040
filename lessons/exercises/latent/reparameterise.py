r"""Reparameterise: draws from $variant that a gradient can go through.

The density is $density, its distribution function F(x) = $cdf.

A draw is x = F^-1(u), u uniform between 0 and 1: the noise u knows nothing of the parameters, so d x / d parameter exists, and
with it the gradient of E[f(x)] (lecture L1, section 3.2; L2 and L4, "Reparameterization Trick"; Kingma and Welling 2014). Solve
F(x) = u for x, in pydgm's operations (dgm.log, dgm.exp, ...).
"""

import numpy as np
from hypothesis import strategies as st

import pydgm as dgm
from pydgm.lesson.exercise import every

VARIANTS = {
    "Gumbel's distribution": {
        "density": "exp(-(t + exp(-t))) / s, t = (x - m) / s",
        "cdf": "exp(-exp(-(x - m) / s))",
        "F": lambda x, m, s: np.exp(-np.exp(-(x - m) / s)),
        "inverse": "m - s * dgm.log(-dgm.log(u))",
        "support": "all x",
    },
    "the logistic distribution": {
        "density": "F (1 - F) / s",
        "cdf": "1 / (1 + exp(-(x - m) / s))",
        "F": lambda x, m, s: 1.0 / (1.0 + np.exp(-(x - m) / s)),
        "inverse": "m + s * (dgm.log(u) - dgm.log(1.0 - u))",
        "support": "all x",
    },
    "Weibull's distribution": {
        "density": "(m / s) (x / s)^(m - 1) exp(-(x / s)^m), x > 0",
        "cdf": "1 - exp(-(x / s)^m)",
        "F": lambda x, m, s: 1.0 - np.exp(-((x / s) ** m)),
        "inverse": "s * (-dgm.log(1.0 - u)) ** (1.0 / m)",
        "support": "x > 0",
    },
    "Pareto's distribution": {
        "density": "m s^m / x^(m + 1), x > s",
        "cdf": "1 - (s / x)^m",
        "F": lambda x, m, s: 1.0 - (s / x) ** m,
        "inverse": "s * (1.0 - u) ** (-1.0 / m)",
        "support": "x > s",
    },
}

SOLUTION = '''\
import pydgm as dgm


def sample(u, m, s):
    """The draw that belongs to the noise u, for parameters m > 0 and s > 0: numbers or arrays of u's shape."""
    #< solve F(x) = u for x; no noise of your own
    return $inverse
    #>
'''

MISTAKES = {
    "the gradient is cut off": ("return $inverse", "return dgm.stop_gradient($inverse)", "no gradient"),
    "s is forgotten": ("return $inverse", "s = 0.0 * s + 1.0\n    return $inverse", "F(sample(u))"),
    "m is forgotten": ("return $inverse", "m = 0.0 * m + 1.0\n    return $inverse", "F(sample(u))"),
    "turned round": ("return $inverse", "u = 1.0 - u\n    return $inverse", "rises with u"),
    "noise of its own": (
        "return $inverse",
        "u = u ** 0.0 * dgm.random.Generator(0).uniform(u.shape, 'float64')\n    return $inverse",
        "F(sample(u))",
    ),
    "half of the noise": ("return $inverse", "u = 0.5 * u\n    return $inverse", "F(sample(u))"),
}

UNIFORM = st.integers(1, 63).map(lambda n: n / 64)
PARAMETER = st.integers(2, 24).map(lambda n: n / 8)


def check_draws_belong_to_their_noise(work, v) -> None:
    """F(F^-1(u)) = u."""

    @every(UNIFORM, PARAMETER, PARAMETER)
    def belongs(u, m, s) -> None:
        x = np.asarray(work.sample(np.array([u]), m, s), "float64")
        assert x.shape == (1,), f"for u of shape (1,) the draws have shape {x.shape}"
        back = float(v.F(x, m, s)[0])
        hint = ": x rises with u, and here it falls" if abs(back - (1.0 - u)) < 1e-6 and abs(u - 0.5) > 1e-3 else ""
        assert abs(back - u) < 1e-6, (
            f"F(sample(u)) should be u = {u}, and is {back:.4g} (m = {m}, s = {s}, x = {x[0]:.4g}){hint}"
        )


def check_a_gradient_goes_through(work, v) -> None:
    u = np.linspace(0.1, 0.9, 9)
    slopes = dgm.grad(lambda p: dgm.sum(work.sample(u, p["m"], p["s"]) ** 2))({"m": np.array(1.5), "s": np.array(0.75)})
    for name, slope in slopes.items():
        assert float(slope) != 0.0, f"no gradient reaches {name}: the draws move with it, and the engine has to see how"


def check_the_gradient_of_an_average(work, v) -> None:
    """d E[f(x)] / d parameter, against differences with the same noise."""
    u = (np.arange(200) + 0.5) / 200

    @every(PARAMETER, PARAMETER)
    def right(m, s) -> None:
        average = lambda m, s: dgm.mean(dgm.tanh(work.sample(u, m, s)))  # noqa: E731
        slopes = dgm.grad(average, argnums=(0, 1))(np.array(m), np.array(s))
        for i, (name, slope) in enumerate(zip("ms", slopes, strict=True)):
            there, back = (float(average(m + sign * 1e-5 * (i == 0), s + sign * 1e-5 * (i == 1))) for sign in (1.0, -1.0))
            assert abs(float(slope) - (there - back) / 2e-5) < 1e-5, (
                f"d E[tanh x] / d{name} is {(there - back) / 2e-5:.5g}, not {float(slope):.5g}"
            )
