"""Does each factor of variation have a latent number of its own? Two measures, for codes of data whose factors are known.

Both look at one coordinate at a time, so both depend on how the latent space is turned, of which log p(x) knows nothing
(Locatello, Bauer, Lucic, Raetsch, Gelly, Schoelkopf and Bachem 2019; lecture L2, "VAE for disentanglement"). And they ask
two things: MIG whether a factor is known by one code alone, so it is 1 for codes that know two factors each; FactorVAE's score
whether a code stands for one factor, so it is 1 where a factor has two codes.
"""

from __future__ import annotations

from typing import Any

import numpy

from .. import checks
from ..backend import to_numpy
from ..errors import ArgumentError, DomainError, ShapeError, kind_text, shape_text
from ..random import Generator

Numbers = numpy.ndarray[Any, Any]


def _both(codes: Any, factors: Any) -> tuple[Numbers, Numbers]:
    z, v = numpy.asarray(to_numpy(codes), "float64"), numpy.asarray(to_numpy(factors))
    if z.ndim != 2 or v.ndim != 2 or len(z) != len(v):
        raise ShapeError(f"wanted codes (n, latent) and factors (n, k) of the same n, got {shape_text((codes, factors))}")
    if v.dtype.kind not in "iu" or (v < 0).any():
        raise DomainError("factors are integers from 0: which of its values each has")
    if not numpy.isfinite(z).all():
        raise DomainError("codes are finite, and some are not")
    return z, v


def _check_varied(v: Numbers, whose: str) -> None:
    if len(v) == 0 or (v == v[:1]).all(axis=0).any():
        raise DomainError(f"{whose}: a factor that has one value alone is no factor of variation")


def mutual_information(codes: Any, factors: Any, bins: int = 20) -> Numbers:
    """I(z_j; v_k) = sum p(z_j, v_k) log(p(z_j, v_k) / (p(z_j) p(v_k))), in nats: (n, latent) and (n, k) -> (latent, k).

    Each code is counted in ``bins`` of equal width, over its own range, so that one row far away from all others leaves few
    bins to them. Chance adds about (bins - 1) (values - 1) / (2 n). Raises :class:`~pydgm.errors.DomainError` for fewer bins
    than a factor has values.
    """
    z, v = _both(codes, factors)
    checks.count(bins, "mutual_information: bins", 2)
    if v.size and bins < v.max() + 1:
        raise DomainError(f"mutual_information: {bins} bins for a factor of {v.max() + 1} values: wanted as many bins, or more")
    information = numpy.zeros((z.shape[1], v.shape[1]))
    for j, code in enumerate(z.T):
        low, width = code.min(), numpy.ptp(code)
        place = ((code - low) * (bins / width)).astype(int).clip(max=bins - 1) if width > 0.0 else numpy.zeros(len(z), int)
        for k, factor in enumerate(v.T):
            joint = numpy.zeros((bins, factor.max() + 1))
            numpy.add.at(joint, (place, factor), 1.0 / len(z))
            apart = joint.sum(axis=1, keepdims=True) * joint.sum(axis=0)
            some = joint > 0.0
            information[j, k] = (joint[some] * numpy.log(joint[some] / apart[some])).sum()
    return information


def entropies(factors: Any) -> Numbers:
    """H(v_k) in nats, (k,), of integers (n, k)."""
    shares = [numpy.bincount(factor) / len(factor) for factor in numpy.asarray(to_numpy(factors)).T]
    return numpy.array([-(p[p > 0] * numpy.log(p[p > 0])).sum() for p in shares])


def mutual_information_gap(codes: Any, factors: Any, bins: int = 20) -> Numbers:
    """For each factor how much more the code that knows most of it knows than the next one, over H(v_k): (k,), 0 to 1.

    Their mean is MIG (Chen, Li, Grosse and Duvenaud 2018), here of codes that are counted in bins, as in Locatello et al. 2019,
    and not of samples of q(z | x). 1: one code knows the factor, the others nothing of it.
    Raises :class:`~pydgm.errors.DomainError` for a factor that does not vary, or for a single code, which has no next one.
    """
    z, v = _both(codes, factors)
    _check_varied(v, "mutual_information_gap")
    if z.shape[1] < 2:
        raise DomainError("mutual_information_gap: the next best code of how many? Wanted two codes or more")
    ranked = numpy.sort(mutual_information(z, v, bins), axis=0)
    gaps: Numbers = (ranked[-1] - ranked[-2]) / entropies(v)
    return gaps


def factor_vae_score(codes: Any, factors: Any, rng: Any, rounds: int = 800, size: int = 32, least: float = 0.05) -> float:
    """Hold one factor fixed, and see which code varies least: how often that tells which factor it was (Kim and Mnih 2018).

    ``rounds`` times: a factor and a value of it by chance, ``size`` rows that have it, the code with the smallest variance over
    that of all rows. Each code votes for the factor it most often stood for; the score is the share of ``rounds`` further ones
    whose factor is the one voted for. Chance has about 1 / k. Codes whose deviation is below ``least`` of the largest are not
    in use, and are left out: with codes in different units, ``least=0`` leaves out none.
    """
    z, v = _both(codes, factors)
    _check_varied(v, "factor_vae_score")
    if not isinstance(rng, Generator):
        raise ArgumentError(f"factor_vae_score: rng is a dgm.random.Generator, got {kind_text(rng)}")
    checks.count(rounds, "factor_vae_score: rounds")
    checks.count(size, "factor_vae_score: size", 2)
    deviation = z.std(axis=0)
    used = z[:, deviation > least * deviation.max()]
    if not used.shape[1]:
        return float(1.0 / v.shape[1])  # codes that say nothing: a guess
    used = used / used.std(axis=0)
    noise = numpy.random.default_rng([int(to_numpy(word)) for word in rng.integers(0, 2**31, (4,))])
    rows = [[numpy.flatnonzero(factor == value) for value in numpy.unique(factor)] for factor in v.T]  # of each factor's values
    votes = numpy.zeros((2, used.shape[1], v.shape[1]))
    for i in range(2 * rounds):
        k = noise.integers(v.shape[1])
        some = noise.choice(rows[k][noise.integers(len(rows[k]))], size)
        votes[i % 2, used[some].var(axis=0).argmin(), k] += 1
    voted = votes[0].argmax(axis=1)
    return float(votes[1][numpy.arange(len(voted)), voted].sum() / rounds)
