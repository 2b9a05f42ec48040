"""A small residual network reads digits: ``python -m benchmarks.networks.residual``."""

import numpy as np

import pydgm as dgm
from pydgm import nn, optim, train
from pydgm.distributions import Categorical


class Net(dgm.Module):
    first: nn.Conv2d
    blocks: list[nn.ResidualBlock]
    out: nn.Linear

    def __call__(self, x, updates=None):
        x = dgm.relu(self.first(dgm.reshape(x, (-1, 1, 28, 28))))
        for block in self.blocks:
            x = block(x, updates)
        return self.out(dgm.mean(x, axis=(2, 3)))


def loss(model, batch, rng):
    updates = nn.Updates()
    return -dgm.mean(Categorical(model(batch[0], updates)).log_prob(batch[1])), updates


rng, digits = dgm.random.Generator(0), dgm.data.load("digits")
blocks = [nn.ResidualBlock.init(rng, 16, 16), nn.ResidualBlock.init(rng, 16, 32, stride=2)]
net = Net(nn.Conv2d.init(rng, 1, 16, 5, stride=2, padding=2), blocks, nn.Linear.init(rng, 32, 10))
batches = digits.train.batches(rng, 100, passes=3, labels=True)
step = train.minimise(loss, optim.adam(optim.linear(5e-3, 0.0, len(batches))))
run = train.run(step, step.init(net, rng), batches, "residual network")
for rows in (digits.valid, digits.test):
    print(f"{np.mean(np.argmax(run.model(rows.x), axis=1) == rows.labels):.2%} of {len(rows)}, {digits.source}")
