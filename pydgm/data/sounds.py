r"""Sounds whose law is known: vowels as a speech coder makes them, whispered or sung.

Noise drives a row of resonators, those of the throat, and for a song one more, which rings at the pitch of the voice:

    s_t = sum_j w_j s_(t-j) + e_t,   e_t ~ N(0, sigma^2)
    1 - sum_j w_j z^j = (1 - g z^D) prod_f (1 - 2 r cos(2 pi f / rate) z + r^2 z^2)

s_t is brought to a mu-law level before it enters the next sums. So the probability of each level is known exactly, and with it
the bits a sample has for those who know all of the past. For those who know the k samples before alone, theory has the error of
the best linear prediction, which for Gaussian sounds is the best there is.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy

from .. import checks
from ..autodiff import abs, astype, clip, expm1, floor, log1p, sign
from ..backend import Array, asarray, to_numpy, xp
from ..errors import ArgumentError, DomainError, ShapeError, shape_text
from ..random import Generator

Floats = numpy.ndarray[tuple[int, ...], numpy.dtype[numpy.float64]]
Levels = numpy.ndarray[tuple[int, ...], numpy.dtype[numpy.int64]]

RATE = 8000
"""Samples a second."""

VOWELS = {"a": (730.0, 1090.0, 2440.0), "i": (270.0, 2290.0, 3010.0), "u": (300.0, 870.0, 2240.0)}
"""Resonances of three vowels, means of men, in Hz (Peterson and Barney 1952)."""


def mu_law(s: Array, levels: int = 256) -> Array:
    """The level, an integer from 0 to ``levels`` - 1, of each number between -1 and 1; mu = levels - 1.

    Levels are equally wide on the axis y = sign(s) log(1 + mu |s|) / log(1 + mu).
    """
    checks.count(levels, "mu_law: levels", 2)
    checks.within(s, -1.0, 1.0, "mu_law: s")
    mu = levels - 1.0
    # formula: mu-law
    y = sign(s) * log1p(mu * abs(s)) / math.log1p(mu)
    return astype(clip(floor((y + 1.0) * (levels / 2.0)), 0.0, mu), xp.int64)


def mu_law_inverse(x: Array, levels: int = 256) -> Array:
    """The number in the middle of each level ``x``, on that axis; x - 1/2 gives its lower edge, x + 1/2 its upper one."""
    checks.count(levels, "mu_law_inverse: levels", 2)
    checks.within(x, -0.5, levels - 0.5, "mu_law_inverse: x")
    x = x if "float" in str(x.dtype) else astype(x, xp.float32)
    y = (x + 0.5) * (2.0 / levels) - 1.0
    return sign(y) * expm1(abs(y) * math.log(levels)) / (levels - 1.0)


def spectrum(s: Any, n: int = 512) -> Floats:
    """Power at n / 2 + 1 frequencies of sounds (..., T), in dB, the mean over parts of n samples that overlap (Welch 1967)."""
    checks.count(n, "spectrum: n", 4)
    if (length := to_numpy(s).shape[-1]) < n:
        raise ShapeError(f"spectrum: sounds of {length} samples are shorter than a part of n = {n}")
    parts, hann = numpy.lib.stride_tricks.sliding_window_view(to_numpy(s), n, axis=-1)[..., :: n // 4, :], numpy.hanning(n)
    power = numpy.abs(numpy.fft.rfft(parts * hann)) ** 2 / numpy.sum(hann**2)
    dB: Floats = 10.0 * numpy.log10(power.reshape(-1, n // 2 + 1).mean(axis=0))
    return dB


def log_spectral_distance(ours: Any, theirs: Any, every: int, within: float = 30.0) -> float:
    """Root mean square difference of two spectra, in dB, at each ``every``-th frequency (the harmonics of a voice), as far as
    ``theirs`` is there within so many dB of its loudest."""
    checks.count(every, "log_spectral_distance: every")
    a, b = to_numpy(ours), to_numpy(theirs)
    if a.shape != b.shape or b.ndim != 1 or len(b) <= every:
        raise ShapeError(
            f"log_spectral_distance: wanted two spectra alike, longer than {every}; got {shape_text(a)} and {shape_text(b)}"
        )
    a, b = a[every::every], b[every::every]
    loud = b > b.max() - within
    return float(numpy.sqrt(numpy.mean((a[loud] - b[loud]) ** 2)))


class Voice(NamedTuple):
    """``weights`` w (p,) of the samples before, deviation ``noise`` of what drives them, and the mu-law ``levels``."""

    weights: Floats
    noise: float
    levels: int

    @classmethod
    def of(
        cls,
        resonances: tuple[float, ...],
        period: int = 0,
        ringing: float = 0.8,
        width: float = 100.0,
        loudness: float = 0.15,
        levels: int = 256,
    ) -> Voice:
        """Of resonances in Hz, each ``width`` Hz wide; a song rings every ``period`` samples, and keeps so much of itself.
        ``loudness`` is the deviation of s, up to .3: louder sounds would be clipped."""
        for f in resonances:
            checks.number(f, "Voice.of: a resonance, in Hz", 0.0, RATE / 2)
        checks.count(period, "Voice.of: period", 0)
        checks.number(ringing, "Voice.of: ringing", 0.0, 1.0, below=True)
        checks.number(loudness, "Voice.of: loudness", 1e-3, 0.3)
        checks.number(width, "Voice.of: width, in Hz", 1.0)
        checks.count(levels, "Voice.of: levels", 2)
        if not resonances:
            raise ArgumentError("Voice.of: wanted resonances in Hz, VOWELS['a'] say, and got none")
        r, polynomial = math.exp(-math.pi * width / RATE), numpy.ones(1)
        for f in resonances:
            polynomial = numpy.convolve(polynomial, [1.0, -2.0 * r * math.cos(2.0 * math.pi * f / RATE), r * r])
        if period:
            polynomial = numpy.convolve(polynomial, [1.0, *[0.0] * (period - 1), -ringing])
        silent = cls(-polynomial[1:], 1.0, levels)
        return silent._replace(noise=loudness / math.sqrt(silent.covariances(0)[0]))

    def memory(self) -> int:
        """After how many samples a thousandth is left of what was. Raises :class:`~pydgm.errors.DomainError` above 8000."""
        slowest = float(numpy.abs(numpy.roots([1.0, *-self.weights])).max())
        if not slowest < 0.001 ** (1.0 / 8000.0):
            raise DomainError(f"Voice: it rings on too long: {slowest:.6g} is left of it at each sample")
        return math.ceil(math.log(0.001) / math.log(max(slowest, 1e-9)))

    def power(self, n: int = 2**15) -> Floats:
        """The power spectrum sigma^2 / |1 - sum_j w_j z^j|^2 at n / 2 + 1 frequencies, 0 to half the rate."""
        power: Floats = self.noise**2 / numpy.abs(numpy.fft.rfft([1.0, *-self.weights], n)) ** 2
        return power

    def covariances(self, most: int) -> Floats:
        """E[s_t s_(t+j)] for j = 0, ..., ``most``, without the levels."""
        checks.within(most + self.memory(), 0, 2**14, "Voice: how far back, and how long it rings")
        each: Floats = numpy.fft.irfft(self.power())[: most + 1]
        return each

    def bits(self, most: int) -> Floats:
        """What theory says of the bits a sample, for those who know the k samples before: k = 0, ..., ``most``.

        1/2 log2(2 pi e v_k) - E[log2 of a level's width], with v_k the error of the best linear prediction: the squares on the
        diagonal of the covariances' Cholesky factor. Rounding to levels counts as noise of a twelfth of the squared width.
        Good where levels are narrow beside what cannot be predicted.
        """
        covariances = self.covariances(most)
        s = math.sqrt(covariances[0]) * numpy.linspace(-6.0, 6.0, 4001)
        density = numpy.exp(-0.5 * s**2 / covariances[0])
        p = density / density.sum()
        mu = self.levels - 1.0
        widths = 2.0 / self.levels * math.log1p(mu) * (1.0 / mu + numpy.abs(s))  # ds/dy of the mu-law, for steps of y
        covariances = covariances * (1.0 + p @ widths**2 / 12.0 / self.noise**2)  # rounding drives the resonators, too
        lags = numpy.abs(numpy.subtract.outer(numpy.arange(most + 1), numpy.arange(most + 1)))
        errors = numpy.diagonal(numpy.linalg.cholesky(covariances[lags])) ** 2
        bits: Floats = 0.5 * numpy.log2(2.0 * math.pi * math.e * errors) - p @ numpy.log2(widths)
        return bits

    def sample(self, rng: Generator, n: int, length: int) -> Levels:
        """Levels (n, length), from the middle of a sound."""
        warm = len(self.weights) + self.memory()
        noise = self.noise * to_numpy(rng.normal((warm + length, n), "float64"))
        (sounds, edges), past = self._scale(), numpy.zeros((len(self.weights), n))  # the latest first
        drawn = numpy.empty((warm + length, n), "int64")
        for t, e in enumerate(noise):
            drawn[t] = numpy.searchsorted(edges[1:-1], self.weights @ past + e, side="right")
            past = numpy.concatenate([sounds[drawn[t]][None], past[:-1]])
        return drawn[warm:].T

    def conditionals(self, x: Levels) -> Floats:
        """log p(x_t | all before), in nats, exactly: levels (n, T) -> (n, T - p), since the first p have too short a past."""
        (sounds, edges), p = self._scale(), len(self.weights)
        if x.ndim != 2 or x.shape[1] <= p:
            raise ShapeError(f"Voice.conditionals: wanted rows of more than {p} levels, got {shape_text(x)}")
        checks.labels(x, self.levels, (), "Voice.conditionals")
        before = numpy.lib.stride_tricks.sliding_window_view(sounds[x][:, :-1], p, axis=1) @ self.weights[::-1]
        low, high = ((edges[x[:, p:] + side] - before) / self.noise for side in (0, 1))
        upper = low > 0.0  # of the two ends of the normal distribution, that where numbers are small
        low, high = numpy.where(upper, -high, low), numpy.where(upper, -low, high)
        low, high = _log_normal_below(low), _log_normal_below(high)
        log_p: Floats = high + numpy.log1p(-numpy.exp(low - high))
        return log_p

    def _scale(self) -> tuple[Floats, Floats]:
        """What each level sounds like, and the edges between them, of which the outermost are infinite."""
        halves = to_numpy(mu_law_inverse(asarray(numpy.arange(-0.5, self.levels, 0.5)), self.levels))
        edges = halves[::2].copy()
        edges[0], edges[-1] = -math.inf, math.inf
        return halves[1::2], edges


def _log_normal_below(z: Floats) -> Floats:
    """log P(N(0, 1) <= z); far below 0 by its asymptotic series."""
    far = numpy.minimum(z, -30.0)
    series = -0.5 * far**2 - numpy.log(-far * math.sqrt(2.0 * math.pi)) + numpy.log1p(-(far**-2.0) + 3.0 * far**-4.0)
    below: Floats = 0.5 * numpy.vectorize(math.erfc, otypes=["float64"])(-numpy.maximum(z, -30.0) / math.sqrt(2.0))
    return numpy.where(z < -30.0, series, numpy.log(below))
