"""WaveNet against the sum over all rows, its own Jacobian and drawing without queues; sounds against their law and theory."""

from __future__ import annotations

import io
import itertools
import math
import wave

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pydgm as dgm
from pydgm import nn, trees
from pydgm.data.sounds import VOWELS, Voice, log_spectral_distance, mu_law, mu_law_inverse, spectrum
from pydgm.errors import ArgumentError, DomainError, ShapeError
from pydgm.lesson.sound import Sound
from pydgm.models.autoregressive import WaveNet, wavenet
from pydgm.testing import check_grads


def random(seed=0):
    return dgm.random.Generator(seed)


def small(seed: int, layers: int, levels: int = 4, context: int = 0):
    """In float64, with weights that are nowhere 0."""
    noise = np.random.default_rng(seed)
    net = WaveNet.init(random(seed), layers, 3, levels, context, skip=12)
    return trees.map(lambda w: w + 0.5 * noise.standard_normal(w.shape), nn.double(net))


@settings(max_examples=20)
@given(st.integers(1, 3), st.integers(0, 2), st.integers(0, 10_000))
def test_wavenet_is_a_probability(layers, context, seed) -> None:
    x = np.array(list(itertools.product(range(3), repeat=5)))
    told = np.repeat(np.random.default_rng(seed).standard_normal((1, context)), len(x), axis=0) if context else None
    log_p = small(seed, layers, 3, context).log_prob(x, told)
    assert abs(float(np.exp(log_p).sum()) - 1.0) < 1e-12


@settings(max_examples=20)
@given(st.integers(1, 4), st.integers(0, 10_000))
def test_wavenet_hears_the_samples_before_as_far_as_it_reaches(layers, seed) -> None:
    net, T = small(seed, layers), 2**layers + 3
    sounds = np.random.default_rng(seed).uniform(-1, 1, (8, T))  # of several: where all relus are off, nothing is heard
    slopes = [np.abs(dgm.jacobian(lambda s: net.logits(s[None, :])[0, :, :])(s)).max(axis=1) for s in sounds]
    slopes = np.max(slopes, axis=0)  # (T, T)
    back = np.subtract.outer(np.arange(T), np.arange(T))
    heard = (back >= 1) & (back <= net.reach)
    assert net.reach == 2**layers
    assert (slopes[~heard] == 0.0).all()
    assert (slopes[heard] > 0.0).all()


@settings(max_examples=15)
@given(st.integers(1, 3), st.integers(0, 2), st.integers(1, 4), st.integers(0, 10_000))
def test_queues_draw_what_a_pass_for_each_sample_draws(layers, context, n, seed) -> None:
    net = small(seed, layers, 5, context)
    told = np.random.default_rng(seed).standard_normal((n, context)) if context else None
    drawn, x, rng = net.sample(random(seed), n, 20, told), np.zeros((n, 20), "int64"), random(seed)
    for t in range(20):
        x[:, t] = rng.categorical(net.logits(net.sound(x), told)[:, t, :])
    np.testing.assert_array_equal(drawn, x)


def test_samples_are_as_likely_as_the_model_says() -> None:
    net = small(3, 2, 3)
    rows = np.array(list(itertools.product(range(3), repeat=3)))
    drawn = net.sample(random(5), 20_000, 3)
    share = (drawn[:, None, :] == rows).all(axis=2).mean(axis=0)
    p = np.exp(net.log_prob(rows))
    assert (np.abs(share - p) <= 5.0 * np.sqrt(p * (1.0 - p) / 20_000) + 1e-9).all()


def test_a_layer_is_its_formula() -> None:
    # formula: wavenet
    layer, noise = small(1, 2, 4, 2).layers[0], np.random.default_rng(0)
    back, h, told, skip = (noise.standard_normal(shape) for shape in ((1, 1, 3), (1, 1, 3), (1, 2), (1, 1, 12)))
    a, b = (
        np.concatenate([back, h], axis=-1)[0, 0] @ layer.weight[i] + told[0] @ layer.told[i] + layer.bias[i, 0, 0]
        for i in (0, 1)
    )
    ways = np.tanh(a) / (1.0 + np.exp(-b)) @ layer.out
    new, past = layer(back, h, told, skip)
    np.testing.assert_allclose(new[0, 0], h[0, 0] + ways[12:], rtol=1e-12)
    np.testing.assert_allclose(past[0, 0], skip[0, 0] + ways[:12], rtol=1e-12)


@pytest.mark.parametrize("noise", [0.0, 0.7])
def test_the_loss_says_the_right_level_after_noisy_ones(noise) -> None:
    net, x, told = small(3, 2, 8, 2), np.random.default_rng(4).integers(0, 8, (5, 9)), np.eye(2)[[0, 1, 1, 0, 1]]
    heard = np.clip(x + noise * random(5).normal(x.shape), 0.0, 7.0)
    log_p = dgm.log_softmax(net.logits(mu_law_inverse(heard.astype("float64"), 8), told), axis=-1)
    wanted = -np.take_along_axis(log_p, x[:, :, None], axis=2)[:, 3:].mean()
    assert abs(float(wavenet.loss(net, x, random(5), told, noise, skip=3)) - wanted) < 1e-6  # the noise is of float32
    assert (x[0] != heard[0]).any() == (noise > 0.0)
    with pytest.raises(DomainError, match="noise"):
        wavenet.loss(net, x, random(5), told, -1.0)
    with pytest.raises(DomainError, match="levels"):
        wavenet.loss(net, x + 8, random(5), told, noise)


@pytest.mark.parametrize("k", [0, 1])
def test_a_layer_has_the_gradients_of_its_formula(k) -> None:
    """Of a first layer, and of the last, which passes nothing on."""
    layer, noise = small(1, 2, 4, 2).layers[k], np.random.default_rng(0)
    rows = [noise.standard_normal(shape) for shape in ((2, 5, 3), (2, 5, 3), (2, 2), (2, 5, 12))]
    check_grads(lambda layer, *rows: layer(*rows), (layer, *rows), order=2)


def test_wavenet_is_compiled_to_the_same_numbers(elsewhere) -> None:
    net = WaveNet.init(random(), 3, 4, 16, context=2)
    x, told = random(1).integers(0, 16, (4, 20)), random(2).normal((4, 2))
    host = dgm.to_numpy(net.log_prob(x, told))
    np.testing.assert_allclose(dgm.to_numpy(dgm.compile(lambda net, x: net.log_prob(x, told))(net, x)), host, rtol=1e-5)
    drawn = dgm.to_numpy(net.sample(random(3), 4, 30, told))
    assert drawn.shape == (4, 30)
    assert drawn.min() >= 0
    assert drawn.max() < 16


def test_wavenet_says_what_is_wrong() -> None:
    net, told = WaveNet.init(random(), 2, 4, 16), WaveNet.init(random(), 2, 4, 16, context=3)
    x = np.zeros((2, 5), "int64")
    with pytest.raises(ShapeError, match=r"wanted levels \(n, T\)"):
        net.log_prob(x[0])
    with pytest.raises(ArgumentError, match="labels are integers from 0 to 15"):
        net.log_prob(x.astype("float32"))
    with pytest.raises(DomainError, match="0 to 15"):
        net.log_prob(x + 16)
    with pytest.raises(ShapeError, match="wanted no context"):
        net.log_prob(x, np.zeros((2, 3)))
    for call in (lambda c: told.log_prob(x, c), lambda c: told.sample(random(), 2, 5, c), lambda c: told.logits(1.0 * x, c)):
        for wrong in (None, np.zeros((2, 2)), np.zeros((1, 3)), np.zeros(3)):
            with pytest.raises(ShapeError, match=r"wanted a context \(2, 3\)"):
                call(wrong)
    with pytest.raises(DomainError, match="wanted 1 or more"):
        net.sample(random(), 2, 0)
    with pytest.raises(ArgumentError, match=r"net.sound\(x\) makes it of levels"):
        net.logits(x)
    with pytest.raises(ArgumentError, match="context: wanted an array"):
        told.sample(random(), 1, 5, [[1.0, 0.0, 0.0]])
    with pytest.raises(ShapeError, match=r"of labels nn\.one_hot\(labels, 3\)"):
        told.log_prob(x, np.array([0, 2]))
    with pytest.raises(ArgumentError, match=r"a dgm\.random\.Generator"):
        net.sample(0, 2, 5)
    with pytest.raises(DomainError, match="wanted 20 at most"):
        WaveNet.init(random(), 21)
    with pytest.raises(DomainError, match="levels: wanted 2 or more"):
        WaveNet.init(random(), 2, levels=1)
    with pytest.raises(DomainError, match="wanted 0 or more"):
        WaveNet.init(random(), 2, context=-1)


@given(st.integers(2, 300), st.data())
def test_each_level_stands_for_the_numbers_between_its_edges(levels, data) -> None:
    x = np.arange(levels)
    s, edges = mu_law_inverse(x.astype("float64"), levels), mu_law_inverse(np.arange(levels + 1) - 0.5, levels)
    np.testing.assert_array_equal(mu_law(s, levels), x)
    assert abs(edges[0] + 1.0) < 1e-12
    assert abs(edges[-1] - 1.0) < 1e-12
    k = data.draw(st.integers(0, levels - 1))
    inside = data.draw(st.floats(0.001, 0.999))
    assert int(mu_law(edges[k] + inside * (edges[k + 1] - edges[k]), levels)) == k
    np.testing.assert_allclose(mu_law_inverse(x.astype("float64"), levels), -s[::-1], atol=1e-12)


def test_mu_law_is_that_of_the_telephone() -> None:
    """y = sign(s) log(1 + 255 |s|) / log 256, and numbers beyond -1 to 1 are refused."""
    # formula: mu-law
    assert int(mu_law(np.array(0.5))) == math.floor((math.log(1 + 127.5) / math.log(256) + 1.0) * 128)
    assert [int(level) for level in mu_law(np.array([-1.0, 1.0]))] == [0, 255]
    with pytest.raises(DomainError, match="mu_law: s"):
        mu_law(np.array([1.1]))
    with pytest.raises(DomainError, match="mu_law: levels"):
        mu_law(np.array([0.1]), 1)
    with pytest.raises(DomainError, match="mu_law_inverse: x"):
        mu_law_inverse(np.array([300]))


VOICES = st.builds(
    Voice.of, st.sampled_from(list(VOWELS.values())), st.sampled_from([0, 30]), levels=st.sampled_from([64, 256])
)


@settings(max_examples=10)
@given(VOICES, st.integers(0, 10_000))
def test_a_voice_gives_each_level_its_probability(voice, seed) -> None:
    p = len(voice.weights)
    past = voice.sample(random(seed), 1, p)
    rows = np.concatenate([np.repeat(past, voice.levels, axis=0), np.arange(voice.levels)[:, None]], axis=1)
    with np.errstate(divide="ignore"):  # levels that cannot be reached
        each = np.exp(voice.conditionals(rows)[:, 0])
    assert abs(each.sum() - 1.0) < 1e-9
    mean = voice.weights @ dgm.to_numpy(mu_law_inverse(past[0, ::-1].astype("float64"), voice.levels))
    low, high = (float(mu_law_inverse(np.array(each.argmax() + side), voice.levels)) for side in (-0.5, 0.5))
    by_hand = 0.5 * (math.erf((high - mean) / voice.noise / 2**0.5) - math.erf((low - mean) / voice.noise / 2**0.5))
    assert abs(each.max() - by_hand) < 1e-9


def test_what_is_next_to_impossible_has_a_finite_logarithm() -> None:
    """One vowel's law about another vowel; and against the integral of the density, far out."""
    i, u = (Voice.of(VOWELS[name], period=40) for name in "iu")
    assert np.isfinite(u.conditionals(i.sample(random(), 4, 500))).all()
    voice = Voice(np.zeros(1), 0.01, 16)
    x = np.array([[8, k] for k in range(16)])
    edges = mu_law_inverse(np.arange(17) - 0.5, 16) / 0.01
    for k in range(16):
        low, high = sorted(abs(edges[[k, k + 1]])) if k not in (0, 15) else (min(abs(edges[[k, k + 1]])), math.inf)
        if edges[k] * edges[k + 1] <= 0.0 or low < 8.0:
            continue
        z = low + np.linspace(0.0, min(high - low, 8.0 / low), 200_001)  # beyond nothing is left
        mass = np.trapezoid(np.exp(-0.5 * (z**2 - low**2)), z)
        exact = math.log(mass) - 0.5 * low**2 - 0.5 * math.log(2.0 * math.pi)
        assert abs(voice.conditionals(x)[k, 0] - exact) < 1e-4 * abs(exact)


@pytest.mark.parametrize("ringing", [0.8, 0.95])
def test_a_voice_is_as_loud_at_the_beginning(ringing) -> None:
    s = dgm.to_numpy(mu_law_inverse(Voice.of(VOWELS["a"], 40, ringing).sample(random(2), 400, 100)))
    assert abs(s[:, :30].std() / 0.15 - 1.0) < 0.12


def test_a_voice_says_what_is_wrong() -> None:
    wrong = [
        ({"ringing": 1.0}, "ringing"),
        ({"width": -10.0}, "width"),
        ({"period": -3}, "period"),
        ({"loudness": 0.5}, "loudness"),
        ({"levels": 1}, "levels"),
        ({"resonances": (5000.0,)}, "resonance"),
        ({"resonances": ()}, "resonances"),
    ]
    for changed, said in wrong:
        with pytest.raises((ArgumentError, DomainError), match=said):
            Voice.of(**{"resonances": (700.0,), "period": 40, **changed})
    with pytest.raises(DomainError, match="rings on too long"):
        Voice.of((700.0,), 40, 0.9999)
    voice = Voice.of((700.0,))
    with pytest.raises(ShapeError, match="rows of more than 2 levels"):
        voice.conditionals(np.zeros((2, 2), "int64"))
    with pytest.raises(ArgumentError, match="labels are integers"):
        voice.conditionals(np.zeros((2, 5)))
    with pytest.raises(ShapeError, match="shorter than a part"):
        spectrum(np.zeros(100))


def test_spectra_are_compared_where_a_voice_is_loud() -> None:
    theirs = np.array([50.0, 0.0, 0.0, -10.0, 0.0, 0.0, -29.0, 0.0, 0.0, -31.0, 0.0])  # harmonics: -10, -29, -31
    ours = theirs + np.array([7.0, 5.0, 5.0, 3.0, 5.0, 5.0, -4.0, 5.0, 5.0, 9.0, 5.0])
    assert math.isclose(log_spectral_distance(ours, theirs, 3), math.sqrt((3.0**2 + 4.0**2 + 9.0**2) / 3.0))
    assert math.isclose(log_spectral_distance(ours, theirs, 3, within=20.0), math.sqrt((3.0**2 + 4.0**2) / 2.0))
    assert math.isclose(log_spectral_distance(ours, theirs, 3, within=10.0), 3.0)
    with pytest.raises(ShapeError, match="two spectra alike"):
        log_spectral_distance(ours[1:], theirs, 3)
    with pytest.raises(ShapeError, match="longer than 20"):
        log_spectral_distance(ours, theirs, 20)


@pytest.mark.parametrize("period", [0, 40])
def test_theory_has_the_bits_and_the_spectrum_of_a_voice(period) -> None:
    voice = Voice.of(VOWELS["a"], period)
    x = voice.sample(random(1), 64, 2000)
    bits, theory = -voice.conditionals(x).mean(axis=1) / math.log(2.0), voice.bits(64)
    assert abs(bits.mean() - theory[64]) < 0.02 + 4.0 * bits.std() / 8.0
    assert (np.diff(theory) <= 1e-9).all()
    rings = 0.5 * math.log2(1.0 / (1.0 - 0.8**2)) if period else 0.0  # what the last period saves
    assert abs(theory[20] - theory[64] - rings) < 0.05
    s = dgm.to_numpy(mu_law_inverse(x))
    assert abs(s.std() / 0.15 - 1.0) < 0.1
    assert np.abs(spectrum(s)[1:-1] - 10.0 * np.log10(voice.power(512))[1:-1]).mean() < 1.5


def test_theory_of_a_single_resonator_is_textbook() -> None:
    """An AR(1) of weight w: one sample before saves 1/2 log2 1 / (1 - w^2) bits, and further ones nothing."""
    voice = Voice(np.array([0.8]), 0.1, 256)
    theory = voice.bits(5)
    assert abs(theory[0] - theory[1] - 0.5 * math.log2(1.0 / (1.0 - 0.64))) < 1e-9
    np.testing.assert_allclose(theory[1:], theory[1], rtol=1e-9)


@given(st.lists(st.floats(-1.0, 1.0), min_size=1, max_size=50))
def test_a_sound_is_a_file_that_gives_it_back(samples) -> None:
    sound = Sound(np.array(samples), 8000)
    with wave.open(io.BytesIO(sound.wav)) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (8000, 1, 2)
        back = np.frombuffer(file.readframes(len(samples)), "<i2") / 32767.0
    assert np.abs(back - samples).max() <= 0.5001 / 32767.0
    assert "audio/wav" in sound._repr_html_()


def test_a_sound_is_between_minus_1_and_1() -> None:
    with pytest.raises(DomainError, match="a sound's samples"):
        Sound(np.array([0.0, 1.5]), 8000)
