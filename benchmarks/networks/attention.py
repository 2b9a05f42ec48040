"""Convolutions, then a block of self-attention over 7 x 7 places, read digits: ``python -m benchmarks.networks.attention``."""

import numpy as np

import pydgm as dgm
from pydgm import nn, optim, train
from pydgm.distributions import Categorical


class Net(dgm.Module):
    stem: tuple[nn.Conv2d, nn.Conv2d]
    place: np.ndarray
    block: tuple[nn.LayerNorm, nn.SelfAttention, nn.LayerNorm, nn.MLP]
    out: nn.Linear

    def __call__(self, x):
        x = dgm.relu(self.stem[0](dgm.reshape(x, (-1, 1, 28, 28))))
        x = dgm.relu(self.stem[1](x))
        x = dgm.matrix_transpose(dgm.reshape(x, (-1, 32, 49))) + self.place
        norm, attention, second_norm, mlp = self.block
        x = x + attention(norm(x))
        x = x + mlp(second_norm(x))
        return self.out(dgm.reshape(x, (-1, 49 * 32)))


def loss(model, batch, rng):
    return -dgm.mean(Categorical(model(batch[0])).log_prob(batch[1]))


rng, digits = dgm.random.Generator(0), dgm.data.load("digits")
stem = nn.Conv2d.init(rng, 1, 16, 4, stride=2, padding=1), nn.Conv2d.init(rng, 16, 32, 4, stride=2, padding=1)
block = nn.LayerNorm.init(32), nn.SelfAttention.init(rng, 32, heads=4), nn.LayerNorm.init(32), nn.MLP.init(rng, [32, 64, 32])
net = Net(stem, 0.1 * rng.normal((49, 32)), block, nn.Linear.init(rng, 49 * 32, 10))
batches = digits.train.batches(rng, 100, passes=4, labels=True)
step = train.minimise(loss, optim.adam(optim.linear(3e-3, 0.0, len(batches))))
run = train.run(step, step.init(net, rng), batches, "attention")
for rows in (digits.valid, digits.test):
    right = [np.argmax(run.model(x), axis=1) == y for x, y in zip(np.split(rows.x, 10), np.split(rows.labels, 10), strict=True)]
    print(f"{np.mean(right):.2%} of {len(rows)}, {digits.source}")
