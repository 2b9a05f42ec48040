r"""The best discriminator of $variant.

A discriminator makes $loss small,
p the density of data, q that of the fakes, d(x) a number for each x (lectures L0 to L4; $source).
It can be found point by point: where p(x) and q(x) are given, only d = d(x) is looked for.

Write the loss of samples, in pydgm's operations, and the best d in closed form. What the loss is at the best d, the generator
then sees: a divergence between p and q.
"""

import numpy as np
from hypothesis import strategies as st

import pydgm as dgm
from pydgm.lesson.exercise import every
from pydgm.testing import arrays

VARIANTS = {
    "the GAN": {
        "loss": "-E_p[log sigmoid(d)] - E_q[log(1 - sigmoid(d))]",
        "source": "Goodfellow et al. 2014",
        "real": "dgm.softplus(-d)",
        "fake": "dgm.softplus(d)",
        "best": "np.log(p) - np.log(q)",
        "at": lambda p, q, d: p * np.logaddexp(0.0, -d) + q * np.logaddexp(0.0, d),
    },
    "the least squares GAN": {
        "loss": "E_p[(d - 1)^2] + E_q[d^2]",
        "source": "Mao et al. 2017",
        "real": "(d - 1.0) ** 2",
        "fake": "d**2",
        "best": "p / (p + q)",
        "at": lambda p, q, d: p * (d - 1.0) ** 2 + q * d**2,
    },
    "the GAN of the exponential loss": {
        "loss": "E_p[exp(-d)] + E_q[exp(d)]",
        "source": "an f-GAN, Nowozin et al. 2016",
        "real": "dgm.exp(-d)",
        "fake": "dgm.exp(d)",
        "best": "0.5 * (np.log(p) - np.log(q))",
        "at": lambda p, q, d: p * np.exp(-d) + q * np.exp(d),
    },
    "the GAN of KL's bound": {
        "loss": "-E_p[d] + E_q[exp(d - 1)]",
        "source": "an f-GAN, Nowozin et al. 2016",
        "real": "-d",
        "fake": "dgm.exp(d - 1.0)",
        "best": "1.0 + np.log(p) - np.log(q)",
        "at": lambda p, q, d: -p * d + q * np.exp(d - 1.0),
    },
}

SOLUTION = '''\
import numpy as np

import pydgm as dgm


def loss_of_real(d):
    """What is averaged over data, at each d."""
    #< as in the text
    return $real
    #>


def loss_of_fake(d):
    """What is averaged over fakes, at each d."""
    #< as in the text
    return $fake
    #>


def discriminator_loss(d_real, d_fake):
    """From d at the data (n,) and at the fakes (m,): a number."""
    #< means, each of its own sample
    return dgm.mean(loss_of_real(d_real)) + dgm.mean(loss_of_fake(d_fake))
    #>


def best(p, q):
    """The best d where the densities are p and q (arrays)."""
    #< p loss_of_real(d) + q loss_of_fake(d) is smallest: its derivative in d is 0
    return $best
    #>
'''

MISTAKES = {
    "real and fake are exchanged": (
        "dgm.mean(loss_of_real(d_real)) + dgm.mean(loss_of_fake(d_fake))",
        "dgm.mean(loss_of_real(d_fake)) + dgm.mean(loss_of_fake(d_real))",
        "the loss is",
    ),
    "fakes count twice": ("+ dgm.mean(loss_of_fake(d_fake))", "+ 2.0 * dgm.mean(loss_of_fake(d_fake))", "the loss is"),
    "fakes are forgotten": (" + dgm.mean(loss_of_fake(d_fake))", "", "the loss is"),
    "sums in place of means": ("dgm.mean(loss_of_real(d_real))", "dgm.sum(loss_of_real(d_real))", "the loss is"),
    "the best has p and q exchanged": ("return $best", "p, q = q, p\n    return $best", "smaller"),
    "the best is halved": ("return $best", "return 0.5 * ($best)", "smaller"),
    "the discriminator climbs down": ("return $real", "return -($real)", "real point"),
}

DENSITY = st.integers(1, 40).map(lambda n: n / 8)


def check_what_is_averaged(work, v) -> None:
    @every(arrays((3,)))
    def each(d) -> None:
        for name, f, exact in (("real", work.loss_of_real, v.at(1.0, 0.0, d)), ("fake", work.loss_of_fake, v.at(0.0, 1.0, d))):
            claimed = np.asarray(f(d))
            said = f"at d = {d.tolist()} a {name} point costs {exact.round(4).tolist()}, not {claimed.round(4).tolist()}"
            assert np.allclose(claimed, exact), said


def check_the_loss_of_samples(work, v) -> None:
    @every(arrays((3,)), arrays((2,)))
    def whole(real, fake) -> None:
        claimed, exact = (
            float(work.discriminator_loss(real, fake)),
            float(v.at(1.0, 0.0, real).mean() + v.at(0.0, 1.0, fake).mean()),
        )
        said = f"for d = {real.tolist()} at data and {fake.tolist()} at fakes the loss is {exact:.4f}, not {claimed:.4f}"
        assert abs(claimed - exact) < 1e-9, said


def check_nothing_is_smaller(work, v) -> None:
    @every(DENSITY, DENSITY)
    def smallest(p, q) -> None:
        d = float(np.asarray(work.best(np.array([p]), np.array([q])))[0])
        own = v.at(p, q, d)
        for step in (1e-3, -1e-3, 0.5, -0.5):
            said = f"p = {p}, q = {q}: at d = {d:.4f} p real + q fake is {own:.6f}, and at {d + step:.4f} it is smaller"
            assert v.at(p, q, d + step) >= own - 1e-12, said


def check_it_is_found_by_descent(work, v) -> None:
    """As many real points as fake ones: there the slope of the loss in d is 0."""
    d = np.asarray(work.best(np.array([1.0]), np.array([1.0])))
    slope = np.asarray(dgm.grad(lambda d: work.discriminator_loss(d * np.ones(5), d * np.ones(5)))(d))
    assert abs(float(slope[0])) < 1e-9, (
        f"where p = q the best d is {d[0]:.4f}, and the loss has the slope {float(slope[0]):.4f} there"
    )
