"""``python -m benchmarks.networks.drawing``: a picture of 28 x 28 from a gated PixelCNN of five layers and 32 channels: from
what is kept, and naively, by 784 passes, in pydgm and, where it is installed, in PyTorch."""

import os
import time
from importlib.util import find_spec

os.environ |= dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")  # before NumPy comes

import numpy as np

from pydgm import trees
from pydgm.models.autoregressive import GatedPixelCNN
from pydgm.random import Generator

model, blank = GatedPixelCNN.init(Generator(0), (28, 28)), np.zeros((1, 784), "float32")


def seconds(f, times: int) -> float:
    """Of one call, the median."""
    taken = []
    for _ in range(times):
        begin = time.perf_counter()
        f()
        taken.append(time.perf_counter() - begin)
    return float(np.median(taken))


def main() -> None:
    kept = seconds(lambda: model.complete(Generator(1), blank, 0), 5)
    print(
        f"kept: {kept:.3f} s; naively: {784.0 * seconds(lambda: model.logits(blank), 20) / kept:.1f} times as long", flush=True
    )
    if find_spec("torch"):
        import torch

        from benchmarks.contestants.torch import gated_logits

        layers = [[torch.from_numpy(w) for w in trees.leaves(layer)] for layer in model.layers]
        last, x = [torch.from_numpy(w) for conv in model.last for w in (conv.weight, conv.bias)], torch.zeros((1, 1, 28, 28))
        with torch.no_grad():
            logits = gated_logits(layers, last, x)
            assert np.allclose(logits.numpy().reshape(1, 784), model.logits(blank), atol=1e-4)
            once = seconds(lambda: gated_logits(layers, last, x), 20)
        print(f"PyTorch, naively: {784.0 * once / kept:.1f} times as long as kept")


if __name__ == "__main__":
    main()
