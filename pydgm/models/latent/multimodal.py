r"""Several views of one thing, an image and a sound say: what they share, and what is each view's own.

    z_s, z_1, ..., z_M ~ N(0, I),      x_i | z_s, z_i ~ Bernoulli(decoder_i(z_s, z_i))

z_s is the factor that all views share, z_i is private to the view i: the graph of the multimodal factorised model of Tsai,
Liang, Zadeh, Morency and Salakhutdinov (2019; lecture L2), without the labels that theirs predicts from z_s, and trained by
bounds. Whatever views there are, z_s is guessed from them by a product of experts, one for each view, and the prior (Wu and
Goodman 2018):

    q(z_s | x_1, ..., x_M) ~ p(z_s) prod_i N(z_s; mu_i(x_i), sigma_i(x_i)^2)

That is exact where p(x_i | z_s) is Gaussian in z_s, since p(z_s | x) ~ p(z_s) prod_i p(x_i | z_s).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ... import autodiff as ad
from ... import checks
from ...backend import Array
from ...distributions import Bernoulli, Independent, Normal
from ...divergences import kl
from ...errors import ArgumentError, ShapeError, kind_text, shape_text
from ...nn import MLP, Module
from ...random import Generator


def product_of_experts(experts: Sequence[Normal], prior: Normal | None = Normal()) -> Normal:  # noqa: B008  it is fixed
    """The normal that is proportional to the product of densities of ``experts``, and of ``prior`` (None: without).

    Precisions 1 / sigma^2 add up, and the mean is that of the means, weighed by them: who is sure counts most.
    """
    factors = [*experts, *([] if prior is None else [prior])]
    if not factors:
        raise ArgumentError("product_of_experts: a product of no experts and no prior")
    precisions = [1.0 / (p.scale * p.scale) for p in factors]
    precision = sum(precisions[1:], precisions[0])
    weighed = [w * p.loc for w, p in zip(precisions, factors, strict=True)]
    variance = 1.0 / precision
    return Normal(sum(weighed[1:], weighed[0]) * variance, variance**0.5)


class Multimodal(Module):
    """M views of equally many pixels in [0, 1], (n, M, pixels). Each encoder gives an expert on z_s and a guess of its own z_i;
    each decoder takes both."""

    encoders: tuple[MLP, ...]
    decoders: tuple[MLP, ...]
    shared: int
    private: tuple[int, ...]

    @classmethod
    def init(
        cls,
        rng: Generator,
        pixels: int,
        hidden: Sequence[int],
        shared: int,
        private: Sequence[int],
        activation: Callable[[Array], Array] = ad.relu,
    ) -> Multimodal:
        """As many views as there are numbers in ``private``, how many private latent numbers each has; 0 is allowed."""
        checks.count(shared, "Multimodal.init: shared")
        for size in private:
            checks.count(size, "Multimodal.init: private", 0)
        encoders = [MLP.init(rng, [pixels, *hidden, 2 * (shared + p)], activation) for p in private]
        decoders = [MLP.init(rng, [shared + p, *reversed(hidden), pixels], activation) for p in private]
        return cls(tuple(encoders), tuple(decoders), shared, tuple(private))

    def guesses(self, i: int, x: Array) -> tuple[Normal, Normal]:
        """Of view i, (n, pixels): its expert on z_s, a factor of the posterior that lacks the prior, and q(z_i | x)."""
        loc, log_scale = ad.split(self.encoders[i](x), 2)
        scale, at = ad.exp(log_scale), self.shared
        return Normal(loc[..., :at], scale[..., :at]), Normal(loc[..., at:], scale[..., at:])

    def posterior(self, views: dict[int, Array]) -> Normal:
        """q(z_s | views), of those views that there are: ``{0: x}`` where the first alone is seen, (n, pixels) each."""
        if not isinstance(views, dict) or not views or not set(views) <= set(range(len(self.private))):
            given = list(views) if isinstance(views, dict) else kind_text(views)
            raise ArgumentError(f"Multimodal: wanted views by their numbers below {len(self.private)}, {{0: x}}; got {given}")
        return product_of_experts([self.guesses(i, x)[0] for i, x in views.items()])

    def decode(self, i: int, shared: Array, private: Array) -> Independent:
        """p(x_i | z_s, z_i): (n, shared) and (n, private) -> n Bernoulli images."""
        return Independent(Bernoulli(self.decoders[i](ad.concat([shared, private], axis=-1))), 1)

    def fill(self, views: dict[int, Array], i: int, rng: Generator) -> Array:
        """The pixel probabilities of view i from other ``views``: z_s from its posterior, and z_i, of which they know nothing,
        from the prior."""
        if i not in range(len(self.private)):
            raise ArgumentError(f"Multimodal.fill: wanted a view from 0 to {len(self.private) - 1}, got {i!r}")
        shared = self.posterior(views).sample(rng)
        return self.decode(i, shared, rng.normal((shared.shape[0], self.private[i]))).base.probs


def swapped(model: Multimodal, x: Array, other: Array) -> tuple[list[Array], list[Array]]:
    """The views of each of ``x`` (n, M, pixels) with the z_s of another row, and with its z_i: ``other`` (n,) says which.

    From the means of the guesses, as pixel probabilities, (n, pixels) for each view. What moves with z_s is what z_s is about.
    """
    views = _views(model, x)
    shared, own = model.posterior(dict(enumerate(views))).loc, [model.guesses(i, x_i)[1].loc for i, x_i in enumerate(views)]
    of_other = ad.take(shared, other, axis=0)
    taken = [model.decode(i, of_other, z).base.probs for i, z in enumerate(own)]
    return taken, [model.decode(i, shared, ad.take(z, other, axis=0)).base.probs for i, z in enumerate(own)]


def elbo(model: Multimodal, x: Array, rng: Generator, sources: Sequence[int] | None = None) -> Array:
    """A one-sample estimate of the bound on log p(x_1, ..., x_M), in nats, (n,): of x (n, M, pixels).

        E_q[sum_i log p(x_i | z_s, z_i)] - KL(q(z_s | .) || p) - sum_i KL(q(z_i | x_i) || p)

    z_s is guessed from the views ``sources``, from all by default; from any of them it is a bound.
    """
    views = _views(model, x)
    q = model.posterior({i: views[i] for i in (range(len(views)) if sources is None else sources)})
    shared, bound = q.sample(rng), -_cost(q)
    for i, x_i in enumerate(views):
        own = model.guesses(i, x_i)[1]
        bound = bound + model.decode(i, shared, own.sample(rng)).log_prob(x_i) - _cost(own)
    return bound


def loss(model: Multimodal, x: Array, rng: Generator, beta: float = 1.0, blind: float = 0.0) -> Array:
    """-mean of M bounds on log p(x_1, ..., x_M), in nats: each view in its turn is the one that z_s is guessed from.

    The other views have to be drawn from a z_s that knows nothing of them but what is shared. Their private numbers are guessed
    from them (:func:`elbo`); with the weight ``blind`` they come from the prior instead, at no cost, which is a bound, too. It
    takes away the other way out: private numbers that know everything, and a z_s that nobody listens to. (Palumbo, Daunhawer
    and Vogt 2023 draw them from a prior always.) ``beta`` weighs KL: raised from near 0, it lets z_s be used before KL is paid.
    """
    checks.number(beta, "multimodal.loss: beta", 0.0)
    checks.number(blind, "multimodal.loss: blind", 0.0, 1.0)
    views = _views(model, x)
    both = [model.guesses(i, x_i) for i, x_i in enumerate(views)]
    drawn, costs = [own.sample(rng) for _, own in both], [_cost(own) for _, own in both]
    total = 0.0
    for source, (expert, _) in enumerate(both):
        q = product_of_experts([expert])
        shared, total = q.sample(rng), total - beta * _cost(q)
        for i, x_i in enumerate(views):
            seen = model.decode(i, shared, drawn[i]).log_prob(x_i) - beta * costs[i]
            if i != source:
                unseen = model.decode(i, shared, rng.normal(drawn[i].shape)).log_prob(x_i)
                seen = blind * unseen + (1.0 - blind) * seen
            total = total + seen
    return -ad.mean(total) / len(views)


def _views(model: Multimodal, x: Array) -> list[Array]:
    M = len(model.private)
    if getattr(x, "ndim", 0) != 3 or x.shape[1] != M:
        raise ShapeError(f"multimodal: wanted views (n, {M}, pixels), got {shape_text(x)}")
    return [x[:, i, :] for i in range(M)]


def _cost(q: Normal) -> Array:
    """KL(q || N(0, I)) of rows, (n,)."""
    return ad.sum(kl(q, Normal()), axis=1)
