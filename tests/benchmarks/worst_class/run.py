"""What becomes of the worst class, or the worst group, when models train on coresets?

    python -m tests.benchmarks worst_class                             # everything
    python -m tests.benchmarks worst_class --only dominoes --seeds 2   # a small try, printed and not kept

For each dataset and seed a network trains on all rows. Its predictions for the validation part, as they are at the end
of the run, give the recalls of classes or groups, and its training dynamics are what other methods prune by. A new
network trains on each coreset for the same number of steps, and the test part gives average, worst class or group, and
gap, which is the best minus the worst. With the same seed all methods have the same recalls, dynamics and initial
weights. A finished job leaves a file in outputs/benchmarks/drop, so after Ctrl-C the same line goes on where it
stopped; delete that folder when methods or data change. All results go to results.parquet in this folder, from which
table.py makes its part of RESULTS.md.

Labels are as they are, so nothing is held back. Each of the three rounds trains a model on the rows that are left.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from hf_prune import Mixture
from tests.benchmarks import runs
from tests.benchmarks.cells import GROUP_SCHEMA, results
from tests.benchmarks.networks import NETWORKS
from tests.benchmarks.real_data import load
from tests.benchmarks.worst_class.table import (
    BALANCED,
    BY_GROUP,
    BY_GROUP_HALF,
    D2,
    D2_BALANCED,
    D2_WITHIN,
    DROP,
    DROP_HALF,
    GROUP_BALANCED,
    OVER_MIXTURE,
    PARQUET,
    RANDOM,
    ROUNDS,
    text,
)

D2_AS_IT_IS = {"method": "d2", "cutoff": 0.0}
DROP_AS_IT_IS = {"method": "drop", "cutoff": 0.0}
COOLER = DROP_AS_IT_IS | {"temperature": 0.5}
METHODS: dict[str, dict[str, Any]] = {
    RANDOM: {"method": "random"},
    BALANCED: {"method": "random", "quotas": "equal"},
    GROUP_BALANCED: {"method": "random", "quotas": "equal", "by": "group"},
    DROP: DROP_AS_IT_IS,
    DROP_HALF: COOLER,
    ROUNDS: COOLER | {"schedule": 3},
    BY_GROUP: DROP_AS_IT_IS | {"by": "group"},
    BY_GROUP_HALF: COOLER | {"by": "group"},
    OVER_MIXTURE: COOLER | {"within": Mixture()},
    D2: D2_AS_IT_IS,
    D2_BALANCED: D2_AS_IT_IS | {"quotas": "equal"},
    D2_WITHIN: D2_AS_IT_IS | {"quotas": "drop"},
}
"""The arguments of `prune` by the method's name in the table."""

BY_CLASS = tuple(name for name, options in METHODS.items() if "by" not in options)


@dataclass(frozen=True)
class Part:
    """Cells that are run together: all of `keeps` x `methods` x `seeds`."""

    network: str
    data: str
    methods: tuple[str, ...] = BY_CLASS
    keeps: tuple[float, ...] = (0.5, 0.3, 0.1)
    seeds: int = 10

    def setup(self) -> dict[str, Any]:
        options = {name: {key: plain(value) for key, value in METHODS[name].items()} for name in self.methods}
        network = {"name": self.network} | asdict(NETWORKS[self.network])
        return {"network": network, "data": self.data, "keeps": self.keeps, "methods": options}

    def cases(self) -> Iterator[tuple[int]]:
        return ((seed,) for seed in range(self.seeds))


PARTS = {
    "resnet": Part("resnet", "mnist-longtail", methods=(RANDOM, BALANCED, DROP, DROP_HALF, D2_BALANCED, D2_WITHIN)),
    "fashion-mnist": Part("mlp", "fashion-mnist"),
    "mnist-longtail": Part("mlp", "mnist-longtail"),
    "dominoes": Part("mlp", "dominoes", methods=tuple(METHODS)),
}


def main(argv: Sequence[str] | None = None) -> None:
    runs.main("worst_class", PARTS, run_parts, PARQUET, text, argv)


def run_parts(parts: dict[str, Part], cache: Path, processes: int, file: Path) -> None:
    runs.run_parts("drop", parts, work, GROUP_SCHEMA, cache, processes, file)


def work(part: Part, seed: int, cache: Path) -> list[dict[str, Any]]:
    data = load(part.data, cache)
    compared = {name: METHODS[name] for name in part.methods}
    cell = {"network": part.network, "data": part.data, "seed": seed}
    return [cell | row for row in results(NETWORKS[part.network], data, data.y, compared, part.keeps, seed)]


def plain(value: Any) -> Any:
    """A method or quotas as JSON values."""
    return value.to_config() if hasattr(value, "to_config") else value
