# %%
r"""WaveNet: sound by dilated convolutions, and bits that theory knows beforehand

*Lecture L4, "Fully Observed Models" ("WaveNet", "Generative Model of Speech Signals"). Source: van den Oord et al., "WaveNet: a
generative model for raw audio" (2016), whose Figure 3 is the dilated layers. The lecture shows opinion scores: these need
listeners, and cannot be reproduced. Bits a sample can.*

A second of sound has thousands of samples, and each is drawn given those before. Convolutions that look one sample back need a
layer for each sample; if each looks twice as far back as the one below, ten layers hear a thousand. How much is a longer
context worth? Of a vowel made as a speech coder makes it theory has the answer, for each length, before anything is trained.
"""

import timeit

import numpy as np

import pydgm as dgm
from pydgm import data, lesson, nn, optim, train
from pydgm.data.sounds import RATE, VOWELS, Voice, log_spectral_distance, mu_law_inverse, spectrum
from pydgm.models.autoregressive import WaveNet, wavenet

run = lesson.start("autoregressive/wavenet", __doc__, lecture="L4, WaveNet", figure="van den Oord et al. 2016, Figure 3")
rng, panels = run.rng, run.panels("ab;cd")

# %%
# Each layer looks twice as far back
# ----------------------------------
# .. math:: a_l = [h_{t-d}, h_t]\, W_l + c V_l + b_l, \quad d = 2^{l-1}, \qquad z_l = \tanh(a_l)\, \sigma(a_l'), \qquad
#           h \leftarrow h + z_l R_l, \quad \mathrm{skip} \leftarrow \mathrm{skip} + z_l S_l
#
# What sample 1100 hears of is measured: the slopes of its log-odds by all sounds, of untrained networks of one to ten layers.

nets, sound = [nn.double(WaveNet.init(rng, L, 8)) for L in range(1, 11)], rng.normal((1, 1200), "float64")
# formula: wavenet
each = [dgm.grad(lambda s, net=net: dgm.sum(dgm.square(net.logits(s)[:, 1100, :])))(sound) for net in nets]
slopes = np.abs([dgm.to_numpy(slope)[0] for slope in each])
heard = (slopes > 0.0).sum(axis=1)
lesson.dilations(panels["a"], 4, "(a) Four layers hear sixteen samples")
run.picture("a")

# %%
# What a longer context is worth
# ------------------------------
# .. math:: s_t = \sum_j w_j s_{t-j} + e_t, \qquad
#           \mathrm{bits}(k) \approx \tfrac12 \log_2 (2 \pi e\, v_k) - E[\log_2 \mathrm{width}]
#
# Noise drives three resonators, those of the vowel "a", which need six samples to be known, and one more that rings at the
# pitch of the voice, every 40 samples. Each sample is brought to one of the 256 levels of the mu-law, finer for softer sounds.
# So the probability of each level is known. And theory has the bits of those who know k samples before: :math:`v_k` is the
# error of the best linear prediction from these, and nothing predicts Gaussian sounds better.


def learn(voices, L: int, steps: int, noise: float = 0.0):
    """A WaveNet of L layers that is told which of the voices it hears, and hears it with a noise of so many levels."""
    each, which = 1 + 2 * steps // (5 * len(voices)), dgm.asarray(np.eye(len(voices), dtype="float32"))
    sounds = data.Rows(np.concatenate([v.sample(rng, each, 512) for v in voices]), np.repeat(range(len(voices)), each))

    def loss(net, batch, rng):
        return wavenet.loss(net, batch[0], rng, dgm.take(which, batch[1], axis=0), noise, 64)

    begin, step = WaveNet.init(rng, L, context=len(voices)), train.minimise(loss, optim.adam(optim.cosine(0.02, 0.0, steps)))
    batches = sounds.batches(rng, 2, passes=6, labels=True)[:steps]
    return run.train(step, step.init(begin, rng), batches, f"{L} layers, {len(voices)} voices, noise {noise}").model


# formula: mu-law
sung = {name: Voice.of(resonances, period=40) for name, resonances in VOWELS.items()}
test = {name: voice.sample(rng, run.pick(quick=8, default=32), 1500) for name, voice in sung.items()}
law = {name: voice.conditionals(test[name])[:, 200:] for name, voice in sung.items()}


def excess(net, name: str, told) -> float:
    """Bits a sample over the law's, of the test sounds, for a network that is told one number for each voice."""
    log_p = dgm.to_numpy(net.conditionals(dgm.asarray(test[name]), dgm.asarray(np.float32([told] * len(test[name])))))
    return float((law[name] - log_p[:, -law[name].shape[1] :]).mean() / np.log(2.0))


theory = sung["a"].bits(128)
depths, (begin, more) = run.pick(quick=((1, 6), (40, 30)), default=((1, 3, 5, 6), (400, 110)))
over = {L: excess(learn([sung["a"]], L, begin + more * L), "a", [1.0]) for L in depths}
samples, bits = 2 ** np.arange(8), {"WaveNet": theory[128] + np.array(list(over.values()))}
panels["b"].step(range(1, 129), theory[1:], where="post", lw=4, label="theory: the last k samples known")
lesson.curves(panels["b"], 2 ** np.array(depths), bits, ["C3o"], xscale="log", xlabel="samples heard", ylabel="bits a sample")
panels["b"].set(title="(b) Bits, and what theory allows", xticks=samples, xticklabels=samples)
panels["b"].minorticks_off()
run.picture("b")

# %%
# A choir
# -------
# One network learns three vowels, and is told which one it hears: c is one of (1, 0, 0), (0, 1, 0), (0, 0, 1). Told which one
# to sing, it draws sample after sample. Naively each costs a pass through the last :math:`2^L` samples; but of each layer just
# one earlier activation is asked for, :math:`2^{l-1}` samples later, and can wait in a queue until then. The spectra are
# compared at the harmonics of the voice, as far as the vowel's own are within 30 dB of the loudest.
#
# In training it hears the law's sounds, in drawing its own, which are a little off, and where they lead it has never been. So
# it trains with a noise of half a level in what it hears (Jin et al., "FFTNet", 2018). Beside it a choir without: it has the
# better likelihood, which asks for one sample after the right ones, and its u goes astray.

told, (each, length) = np.eye(3, dtype="float32"), run.pick(quick=(4, 1000), default=(12, RATE // 3))
vowels = dgm.asarray(told.repeat(each, axis=0))
made_as = [spectrum(mu_law_inverse(dgm.asarray(x)), 400) for x in test.values()]


def sing(noise: float):
    """A choir that has learned with such noise, its sounds of each vowel, their spectra, how far these are from each law's."""
    net = learn(list(sung.values()), 6, run.pick(quick=600, default=1500), noise)
    drawn = dgm.to_numpy(net.sound(net.sample(rng, 3 * each, length, vowels))).reshape(3, each, -1)
    heard_as = [spectrum(s, 400) for s in drawn]
    return net, drawn, heard_as, np.array([[log_spectral_distance(a, b, 10) for b in made_as] for a in heard_as])


choir, drawn, heard_as, distance = sing(noise=0.5)
spectra = {name: heard_as[i] - 40 * i for i, name in enumerate(sung)}
if run.mode != "quick":
    careless, _, other, astray = sing(noise=0.0)
    spectra["u, no noise"] = other[2] - 80
panels["c"].plot(np.arange(201) * RATE / 400, np.transpose(made_as) - [0, 40, 80], color="0.7", lw=6)
axes = {"xlabel": "Hz", "ylabel": "dB, each 40 lower", "ylim": (-225, 15), "title": "(c) Power of drawn sounds; grey: the law"}
lesson.curves(panels["c"], np.arange(201) * RATE / 400, spectra, ("C0-", "C1-", "C2-", "C3:"), "lower left", **axes)
panels["d"].plot(np.arange(240) / RATE * 1000, drawn[:, 0, -240:].T - [0.0, 1.2, 2.4], lw=3)
panels["d"].set(xlabel="milliseconds", yticks=[0.0, -1.2, -2.4], yticklabels=list(sung), title="(d) Drawn sounds")
run.picture("c", "d")
run.sound(drawn[:, 0, :], RATE)


def naively(net, rng, n: int, length: int, told):
    """As :meth:`WaveNet.sample`: each sample by a pass through all before it."""
    x = dgm.asarray(np.zeros((n, 1), "int64"))  # the last one is not drawn yet, and is not heard
    for _ in range(length):
        x = dgm.concat([x[:, :-1], rng.categorical(net.logits(net.sound(x), told)[:, -1:, :]), x[:, :1]], axis=1)
    return x[:, :-1]


kept, naive = (draw(nn.double(choir), dgm.random.Generator(0), 3 * each, 130, vowels) for draw in (WaveNet.sample, naively))
deep, window = WaveNet.init(rng, 10), dgm.asarray(np.zeros((16, 1025), "float32"))
last = dgm.compile(lambda net, s: net.logits(s)[:, -1, :])
ways = (lambda: deep.sample(rng, 16, 500), lambda: last(deep, window))
seconds = np.min([[timeit.timeit(way, number=1) for way in ways] for _ in range(5)], axis=0) / (500, 1)

# %%
# The claims
# ----------

told_each = np.array([[excess(choir, name, which) for which in told] for name in sung])
misled = (told_each + np.diag([np.inf] * 3)).min(axis=1) - np.diag(told_each)
of_law = -sung["a"].conditionals(sung["a"].sample(rng, 100, 1000)).mean() / np.log(2.0)
saved = (over[1] - over[6]) / (theory[2] - theory[64])
gap = max(abs(over[L] - theory[2**L] + theory[128]) for L in over)
run.claim("1 to 10 layers hear 2^L samples: most of any other number", np.abs(heard - 2 ** np.arange(1, 11)).max(), "==", 0)
run.claim("a sample hears neither itself nor later ones: largest slope", slopes[:, 1100:].max(), "==", 0.0)
run.claim("no network beats the law of the sound: least excess, bits a sample", min(over.values()), ">=", -0.005)
run.claim("all of the past known: the law's bits a sample and theory's, gap", abs(of_law - theory[128]), "<=", 0.08)
run.claim("64 samples heard, and not 2: bits saved, share of what theory allows", saved, ">=", 0.6)
run.claim("drawn from queues and naively, the same noise: share equal", dgm.to_numpy(kept == naive).mean(), "==", 1.0)
run.claim("told a wrong vowel: least loss over vowels, bits a sample", misled.min(), ">=", 0.5)
if dgm.xp.library.on_host:  # on a GPU each of the many small calls waits
    run.claim("naive drawing of 16 sounds by ten layers takes longer, times", seconds[1] / seconds[0], ">=", 50.0)
if run.mode != "quick":
    run.claim("a shorter context costs what theory says: largest gap, bits a sample", gap, "<=", 0.2)
    own, next_best = np.diag(distance), (distance + np.diag([np.inf] * 3)).min(axis=1)
    fewer = np.mean([told_each[i, i] - excess(careless, name, told[i]) for i, name in enumerate(sung)])
    run.claim("64 samples heard: bits over the law's, share", over[6] / of_law, "<=", 0.05)
    run.claim("sung vowels: distance of their loud harmonics, over that to the next", (own / next_best).max(), "<=", 0.5)
    run.claim("u, learned with noise: distance, over that without", distance[2, 2] / astray[2, 2], "<=", 0.8)
    run.claim("though it is better at one sample: bits saved, mean over vowels", fewer, ">=", 0.02)

# %%
# What to try next
# ----------------
# * In ``_back`` take h_(t+d): which claims fail? And which would notice if each layer looked one sample back?
# * How many layers does a deeper voice need, of period 80? Ask theory first.
# * Tell the choir (0.5, 0.5, 0), or something that is no vowel: what does it sing?

run.finish({"excess": over, "theory": theory, "apart": distance, "heard": heard, "seconds": seconds})
