"""Networks for images as one writes them, each in under 30 lines: ``python -m benchmarks.networks.residual``."""
