"""Why the worst class gains nothing from D2 with equal quotas: what D2 keeps of its rivals crowds it out.

    python -m tests.benchmarks.worst_class.crowding

The worst class is that of lowest validation recall of the network that trains on all rows. D2 chooses in this class
alone, in all others alone, or in all; the rest are random rows. All have the same cutoff, and but for the last line of
each size the same number of rows of each class. It prints, for Fashion-MNIST with its own labels, whose worst class
is the shirts, figures in % of random rows in all classes, and the differences from these in points: mean ± standard
error over 5 paired seeds. "Called so" is how many test images the network gives to the worst class, for 100 that are
of it; "border" is the share of the border rows that are kept. A border row has 2 or more rows of other classes among
its 10 nearest.

| keep | D2 | average | worst class | called so | border, worst class | border, others |
| --- | --- | --- | --- | --- | --- | --- |
| 30% | random in all classes | 83.4 | 57.7 | 95.6 | 29.3 | 28.6 |
| 30% | in the worst class alone | -0.1 ± 0.1 | +0.4 ± 0.9 | +4.0 ± 1.9 | +1.7 ± 0.3 | +0.0 ± 0.0 |
| 30% | in all others alone | +0.6 ± 0.1 | -2.6 ± 0.6 | -9.3 ± 1.3 | +0.0 ± 0.0 | +6.2 ± 0.2 |
| 30% | in all classes | +0.6 ± 0.2 | -3.4 ± 0.8 | -10.1 ± 2.1 | +1.7 ± 0.3 | +6.2 ± 0.2 |
| 30% | in all classes, quotas="drop" | +0.6 ± 0.2 | +3.2 ± 0.7 | +4.5 ± 1.6 | +20.8 ± 0.5 | +8.0 ± 0.2 |
| 10% | random in all classes | 81.0 | 54.3 | 97.6 | 9.8 | 9.7 |
| 10% | in the worst class alone | +0.0 ± 0.1 | +3.6 ± 0.9 | +4.9 ± 1.7 | -0.9 ± 0.2 | +0.0 ± 0.0 |
| 10% | in all others alone | +0.4 ± 0.2 | -4.1 ± 0.7 | -12.8 ± 1.9 | +0.0 ± 0.0 | -0.1 ± 0.2 |
| 10% | in all classes | +0.6 ± 0.1 | +0.3 ± 1.4 | -9.1 ± 3.3 | -0.9 ± 0.2 | -0.1 ± 0.2 |
| 10% | in all classes, quotas="drop" | -0.2 ± 0.1 | +4.0 ± 1.0 | +8.2 ± 2.7 | +5.9 ± 0.2 | +0.7 ± 0.2 |

Where D2 chooses among the rivals, the worst class loses; where it chooses in the worst class, it wins. At 30% D2 keeps
more border rows of the rivals, but hardly more of the worst class, most of which is border. At 10% it keeps no more of
either, so that this count does not explain what the worst class loses there.
"""

from collections import defaultdict
from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from hf_prune.kernels.neighbors import find_neighbors
from tests.benchmarks.cells import as_dataset
from tests.benchmarks.networks import MLP
from tests.benchmarks.real_data import Data, load
from tests.benchmarks.report import markdown, with_error

KEEPS = (0.3, 0.1)
SEEDS = 5
RANDOM = "random in all classes"
FIGURES = ("average", "worst class", "called so", "border, worst class", "border, others")
Rows = NDArray[np.int64]


def main() -> None:
    torch.set_num_threads(1)
    data, found = load("fashion-mnist"), defaultdict(list)
    border = border_rows(data)
    for seed in range(SEEDS):
        for keep, name, rows, worst in coresets(data, seed):
            found[keep, name].append(figures(data, border, rows, worst, seed))
    lines = []
    for (keep, name), values in found.items():
        gains = 100 * (np.array(values) - np.array(found[keep, RANDOM]))
        shown = [f"{100 * mean:.1f}" for mean in np.mean(values, axis=0)]
        if name != RANDOM:
            shown = [with_error(of_figure, "+") for of_figure in gains.T]
        lines.append([f"{keep:.0%}", name, *shown])
    print("\n".join(markdown(["keep", "D2", *FIGURES], lines)))


def coresets(data: Data, seed: int) -> Iterator[tuple[float, str, Rows, int]]:
    """Keep, name, rows and the worst class, for each size and each place in which D2 chooses."""
    predictions, signals = MLP().train(data, data.y, np.arange(len(data.y)), seed, record=True)
    right, part = predictions["validation"] == data.validation.y, data.validation
    worst = int(np.argmin([right[part.y == code].mean() for code in range(len(data.classes))]))
    dataset, given = as_dataset(data, data.y), {"keep": max(KEEPS), "cutoff": "auto", "seed": seed} | signals
    balanced, d2 = (dataset.prune(method, quotas="equal", **given).selection for method in ("random", "d2"))
    within = dataset.prune("d2", quotas="drop", recalls=(predictions["validation"], part.y), **given).selection

    def mixed(of_worst: Rows, of_others: Rows) -> Rows:
        own, others = of_worst[data.y[of_worst] == worst], of_others[data.y[of_others] != worst]
        return np.sort(np.concatenate([own, others]))

    for keep in KEEPS:
        at_random, by_d2 = balanced.at(keep=keep).indices, d2.at(keep=keep).indices
        yield keep, RANDOM, at_random, worst
        yield keep, "in the worst class alone", mixed(by_d2, at_random), worst
        yield keep, "in all others alone", mixed(at_random, by_d2), worst
        yield keep, "in all classes", by_d2, worst
        yield keep, 'in all classes, quotas="drop"', within.at(keep=keep).indices, worst


def figures(data: Data, border: NDArray[np.bool_], rows: Rows, worst: int, seed: int) -> list[float]:
    """FIGURES, as shares."""
    guess = MLP().train(data, data.y, rows, seed)[0]["test"]
    right, own = guess == data.test_y, data.test_y == worst
    kept = np.isin(np.arange(len(data.y)), rows)
    borders = [kept[border & (data.y == worst)].mean(), kept[border & (data.y != worst)].mean()]
    return [right.mean(), right[own].mean(), np.sum(guess == worst) / own.sum(), *borders]


def border_rows(data: Data) -> NDArray[np.bool_]:
    """(n,) whether 2 or more of a row's 10 nearest are of other classes."""
    neighbors = find_neighbors(data.x, 10)[0]
    return np.sum(data.y[neighbors] != data.y[:, None], axis=1) >= 2


if __name__ == "__main__":
    main()
