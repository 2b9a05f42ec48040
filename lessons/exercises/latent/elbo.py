r"""A lower bound: the ELBO of $variant.

z ~ N(0, 1), and x given z is $likelihood.

Then log p(x) is an integral over z, and for any q(z) = N(mu, sigma^2)

    log p(x) >= E_q[log p(x | z)] - KL(q || N(0, 1)),    KL(q || N(0, 1)) = (mu^2 + sigma^2 - 1) / 2 - log sigma

(lectures L1, section 3.1; L2 and L4, "Variational Autoencoders"). What lies between the two sides is KL(q || p(z | x)). Write
log p(x | z), the KL, and the bound from them, with z = mu + sigma eps for given noise eps; in pydgm's operations, so that mu
and sigma can be learned. All logarithms are natural: nats.
"""

import math

import numpy as np
from hypothesis import strategies as st

import pydgm as dgm
from pydgm.lesson.exercise import every

VARIANTS = {
    "a Gaussian of known width": {
        "likelihood": "N(2 z, 1/4)",
        "log_p": "-2.0 * (x - 2.0 * z) ** 2 - 0.5 * math.log(2.0 * math.pi / 4.0)",
        "values": [-1.5, 0.25, 2.0],
        "grid": np.linspace(-12.0, 12.0, 4801),
        "counts": False,
    },
    "a coin": {
        "likelihood": "1 with probability sigmoid(2 z + 1), else 0",
        "log_p": "x * (2.0 * z + 1.0) - dgm.softplus(2.0 * z + 1.0)",
        "values": [0.0, 1.0],
        "grid": np.array([0.0, 1.0]),
        "counts": True,
    },
    "counts": {
        "likelihood": "Poisson with mean exp(z), exp(x z - exp(z)) / x!",
        "log_p": "x * z - dgm.exp(z) - math.lgamma(x + 1.0)",
        "values": [0.0, 1.0, 4.0],
        "grid": np.arange(60.0),
        "counts": True,
    },
    "a Laplace distribution": {
        "likelihood": "exp(-|x - z|) / 2",
        "log_p": "-dgm.abs(x - z) - math.log(2.0)",
        "values": [-2.0, 0.5],
        "grid": np.linspace(-30.0, 30.0, 6001),
        "counts": False,
    },
}

SOLUTION = '''\
import math

import pydgm as dgm


def log_likelihood(x, z):
    """log p(x | z), for a number x and an array z: of z's shape. With every constant."""
    #< the logarithm of what the text says
    return $log_p
    #>


def kl(mu, sigma):
    """KL(N(mu, sigma^2) || N(0, 1)), nats."""
    #< as in the text
    return 0.5 * (mu**2 + sigma**2 - 1.0) - dgm.log(sigma)
    #>


def elbo(x, mu, sigma, eps):
    """The bound for a number x, its average over q taken over the noise eps (n,)."""
    #< z first, then the mean over eps, then what it costs
    return dgm.mean(log_likelihood(x, mu + sigma * eps)) - kl(mu, sigma)
    #>
'''

MISTAKES = {
    "a constant is missing": ("return $log_p\n", "return $log_p + 0.3\n", "adds up to"),
    "the KL is added": ("- kl(mu, sigma)", "+ kl(mu, sigma)", "KL(q || p(z | x))"),
    "the KL is forgotten": ("- kl(mu, sigma)", "", "KL(q || p(z | x))"),
    "half of the KL": ("- kl(mu, sigma)", "- 0.5 * kl(mu, sigma)", "KL(q || p(z | x))"),
    "KL times 1.5": ("- kl(mu, sigma)", "- 1.5 * kl(mu, sigma)", "KL(q || p(z | x))"),
    "sigma for its square in the KL": ("sigma**2 - 1.0", "sigma - 1.0", "KL(N("),
    "log sigma has the wrong sign": ("- dgm.log(sigma)", "+ dgm.log(sigma)", "KL(N("),
    "z does not use sigma": ("mu + sigma * eps", "mu + eps", "KL(q || p(z | x))"),
    "z is mu": ("mu + sigma * eps", "mu + 0.0 * eps", "KL(q || p(z | x))"),
}

Z = np.linspace(-8.0, 8.0, 4001)
PRIOR = np.exp(-0.5 * Z**2) / math.sqrt(2.0 * math.pi)
EPS = np.interp((np.arange(4000) + 0.5) / 4000, np.cumsum(PRIOR) * (Z[1] - Z[0]), Z)  # quantiles of N(0, 1)
MU, SIGMA = st.integers(-12, 12).map(lambda n: n / 8), st.integers(2, 10).map(lambda n: n / 8)


def _log_p(work, x: float) -> tuple[float, np.ndarray]:
    """log p(x) and the posterior on the grid, by quadrature, from the student's own likelihood."""
    joint = np.exp(np.asarray(work.log_likelihood(x, Z))) * PRIOR
    total = np.trapezoid(joint, Z)
    return float(np.log(total)), joint / total


def check_the_likelihood_is_one(work, v) -> None:
    """Over all x it adds up to 1, whatever z is."""
    for z in (-1.0, 0.0, 0.5):
        p = np.exp([float(np.asarray(work.log_likelihood(float(x), np.array([z])))[0]) for x in v.grid])
        total = p.sum() if v.counts else np.trapezoid(p, v.grid)
        assert abs(total - 1.0) < 1e-3, f"p(x | z = {z}) adds up to {total:.4g} over all x, not to 1: is a constant missing?"


def check_the_kl(work, v) -> None:
    @every(MU, SIGMA)
    def right(mu, sigma) -> None:
        exact = 0.5 * (mu * mu + sigma * sigma - 1.0) - math.log(sigma)
        claimed = float(work.kl(np.array(mu), np.array(sigma)))
        assert abs(claimed - exact) < 1e-9, f"KL(N({mu}, {sigma}^2) || N(0, 1)) is {exact:.4g} nats, not {claimed:.4g}"


def check_it_is_a_bound_and_by_how_much(work, v) -> None:
    """log p(x) - ELBO is KL(q || p(z | x)), never below 0; both by quadrature."""

    @every(st.sampled_from(v.values), MU, SIGMA)
    def bound(x, mu, sigma) -> None:
        (log_p, posterior), claimed = _log_p(work, x), float(work.elbo(x, np.array(mu), np.array(sigma), EPS))
        q = np.exp(-0.5 * ((Z - mu) / sigma) ** 2) / (sigma * math.sqrt(2.0 * math.pi))
        gap = np.trapezoid(np.where(q > 1e-12, q * (np.log(q + 1e-300) - np.log(posterior + 1e-300)), 0.0), Z)
        if abs(log_p - claimed - gap) > 0.02 + 0.02 * gap:
            above = ", and a lower bound is never above it" if claimed > log_p + 0.01 else ""
            said = f"x = {x}, q = N({mu}, {sigma}^2): the ELBO is {claimed:.4g} nats, log p(x) is {log_p:.4g}{above}"
            raise AssertionError(f"{said}; between them lies KL(q || p(z | x)) = {gap:.4g}, not {log_p - claimed:.4g}")


def check_it_can_be_learned(work, v) -> None:
    """Its slopes in mu and sigma, against differences."""
    for x in v.values:
        bound = lambda mu, sigma, x=x: work.elbo(x, mu, sigma, EPS)  # noqa: E731
        slopes = dgm.grad(bound, argnums=(0, 1))(np.array(0.3), np.array(0.8))
        for i, (name, slope) in enumerate(zip(("mu", "sigma"), slopes, strict=True)):
            there, back = (float(bound(0.3 + s * 1e-5 * (i == 0), 0.8 + s * 1e-5 * (i == 1))) for s in (1.0, -1.0))
            assert abs(float(slope) - (there - back) / 2e-5) < 1e-3, (
                f"the slope in {name} is {(there - back) / 2e-5:.4g}, not {float(slope):.4g}"
            )
