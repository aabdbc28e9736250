"""How the settings of networks.MLP were chosen: by all rows' accuracy on a validation part, with clean labels.

    python -m tests.benchmarks.quality.mlp_settings

The validation part is a quarter of each training part; test parts, noise and pruning play no role. The numbers of
steps and learning rates below were all that was tried. It prints

| steps, learning rate | digits | mnist-5k | fashion-mnist | movies | mean |
| --- | --- | --- | --- | --- | --- |
| 300, 0.0003 | 90.9% | 85.8% | 74.5% | 77.9% | 82.3% |
| 300, 0.001 | 96.0% | 90.9% | 81.6% | 78.1% | 86.7% |
| 300, 0.003 | 97.2% | 92.1% | 84.4% | 77.6% | 87.8% |
| 600, 0.0003 | 94.3% | 89.0% | 79.1% | 78.0% | 85.1% |
| 600, 0.001 | 96.9% | 91.8% | 83.5% | 77.7% | 87.5% |
| 600, 0.003 | 97.2% | 92.3% | 85.1% | 77.2% | 88.0% |
| 1200, 0.0003 | 96.5% | 91.1% | 82.1% | 77.7% | 86.9% |
| 1200, 0.001 | 97.2% | 92.2% | 85.1% | 77.0% | 87.9% |
| 1200, 0.003 | 97.2% | 92.7% | 85.1% | 76.6% | 87.9% |
"""

from dataclasses import replace
from itertools import product

import numpy as np
import torch

from tests.benchmarks.networks import MLP
from tests.benchmarks.real_data import halves, load

NAMES = ("digits", "mnist-5k", "fashion-mnist", "movies")
STEPS = (300, 600, 1200)
LEARNING_RATES = (3e-4, 1e-3, 3e-3)
SEEDS = 3


def main() -> None:
    torch.set_num_threads(1)
    print(f"| steps, learning rate | {' | '.join(NAMES)} | mean |\n|{' --- |' * (len(NAMES) + 2)}")
    for steps, rate in product(STEPS, LEARNING_RATES):
        mlp = replace(MLP(), steps=steps, learning_rate=rate)
        accuracies = [validated(mlp, name) for name in NAMES]
        print(
            f"| {steps}, {rate:g} | {' | '.join(f'{value:.1%}' for value in [*accuracies, np.mean(accuracies)])} |",
            flush=True,
        )


def validated(mlp: MLP, name: str) -> float:
    """Mean accuracy over the seeds."""
    whole = load(name)
    data = replace(whole, **dict(zip(("x", "y", "test_x", "test_y"), halves(whole.x, whole.y), strict=True)))
    rows = np.arange(len(data.y))
    return float(np.mean([mlp.train(data, data.y, rows, seed)[0]["test"] == data.test_y for seed in range(SEEDS)]))


if __name__ == "__main__":
    main()
