"""RealNVP on two moons: x_b = z_b exp(s(z_a)) + t(z_a), x_a = z_a, the halves taking turns (Dinh et al. 2017)."""

import pydgm as dgm
from pydgm import metrics, nn, optim, testing, train
from pydgm.bijections import Bijection, Chain
from pydgm.distributions import StandardNormal, Transformed
from pydgm.models.flows import nll

STEPS = 5000


class Coupling(Bijection):
    network: nn.MLP  # the half that stays -> (s, t)
    swap: bool  # which half stays

    def halves(self, x):
        return (x[..., 1:], x[..., :1]) if self.swap else (x[..., :1], x[..., 1:])

    def join(self, a, b):
        return dgm.concat([b, a] if self.swap else [a, b], axis=-1)

    def forward_and_log_det(self, z):
        a, b = self.halves(z)
        s, t = dgm.split(self.network(a), 2)
        return self.join(a, b * dgm.exp(dgm.tanh(s)) + t), dgm.sum(dgm.tanh(s), axis=-1)

    def inverse_and_log_det(self, x):
        a, b = self.halves(x)
        s, t = dgm.split(self.network(a), 2)
        return self.join(a, (b - t) * dgm.exp(-dgm.tanh(s))), -dgm.sum(dgm.tanh(s), axis=-1)


rng = dgm.random.Generator(seed=0)
flow = Transformed(StandardNormal(2), Chain([Coupling(nn.MLP.init(rng, [1, 64, 64, 2]), k % 2 == 1) for k in range(8)]))
step = train.minimise(nll, optim.clip(optim.adam(optim.cosine(2e-3, 0.0, STEPS)), norm=5.0))
flow = train.run(step, step.init(flow, rng), [dgm.data.moons(rng, 256) for _ in range(STEPS)], what="training").model
testing.check_bijection(flow.bijection, rng.normal((20, 2)))
nodes, area = dgm.divergences.plane(reach=4.0, cells=800)
print("held-out:", metrics.likelihood(flow, dgm.data.moons(rng, 10000), rng))
print("integral of the density:", float(dgm.sum(dgm.exp(flow.log_prob(nodes))) * area))
