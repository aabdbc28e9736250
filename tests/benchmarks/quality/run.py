"""How good are models that train on coresets, on clean labels and on noisy ones?

    python -m tests.benchmarks quality                             # everything
    python -m tests.benchmarks quality --only digits --seeds 2     # a small try, printed and not kept

For each dataset, noise and seed a network trains on all rows; every method prunes by the training dynamics of that
run; a new network trains on each coreset for the same number of steps; and the test part, whose labels are clean,
gives accuracy and recalls. A finished job leaves a file in outputs/benchmarks/quality, so after Ctrl-C the same line
goes on where it stopped; delete that folder when methods change. All results go to results.parquet in this folder,
from which table.py makes its part of RESULTS.md.

EL2N reads the first fifth of the run, as its paper reads early epochs only; the other methods have their defaults.
The injected noise changes exactly a fifth of the labels, which is also what "told" is told.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import Any

from tests.benchmarks import runs
from tests.benchmarks.cells import SCHEMA, results, with_noise
from tests.benchmarks.networks import MLP, NETWORKS
from tests.benchmarks.quality.table import (
    AUTO,
    BALANCED,
    BALANCED_AUTO,
    D2_WITHIN,
    DROP,
    NO_CUTOFF,
    PARQUET,
    TOLD,
    text,
)
from tests.benchmarks.real_data import load

NOISES = (0.0, 0.2)


def methods(noise: float) -> dict[str, dict[str, Any]]:
    """The arguments of `prune` by the method's name in the table, when this share of the labels is wrong."""
    balanced_d2 = {"method": "d2", "quotas": "equal"}
    return {
        "random": {"method": "random"},
        BALANCED: {"method": "random", "quotas": "equal"},
        BALANCED_AUTO: {"method": "random", "quotas": "equal", "cutoff": "auto"},
        "EL2N, hardest": {"method": "el2n", "epochs": MLP.snapshots // 5},
        "AUM, hardest": {"method": "aum", "prefer": "hard"},
        "AUM, easiest": {"method": "aum"},
        NO_CUTOFF: balanced_d2 | {"cutoff": 0.0},
        TOLD: balanced_d2 | {"cutoff": noise},
        AUTO: balanced_d2 | {"cutoff": "auto"},
        DROP: {"method": "drop"},
        D2_WITHIN: {"method": "d2", "quotas": "drop"},
    }


OF_RECALLS = (DROP, D2_WITHIN)
WITHOUT_RECALLS = tuple(name for name in methods(0.0) if name not in OF_RECALLS)


@dataclass(frozen=True)
class Part:
    """Cells that are run together: all of `noises` x `keeps` x `methods` x `seeds`."""

    network: str
    data: str
    noises: tuple[float, ...] = NOISES
    keeps: tuple[float, ...] = (0.5, 0.3, 0.2, 0.1)
    methods: tuple[str, ...] = WITHOUT_RECALLS
    seeds: int = 10

    def setup(self) -> dict[str, Any]:
        options = {noise: {name: methods(noise)[name] for name in self.methods} for noise in self.noises}
        network = {"name": self.network} | asdict(NETWORKS[self.network])
        return {"network": network, "data": self.data, "keeps": self.keeps, "methods": options}

    def cases(self) -> Iterator[tuple[float, int]]:
        return product(self.noises, range(self.seeds))


PARTS = {
    "resnet": Part(
        "resnet",
        "mnist-5k",
        noises=(0.2,),
        keeps=(0.3, 0.2, 0.1),
        methods=(BALANCED, BALANCED_AUTO, NO_CUTOFF, TOLD, AUTO),
    ),
    "fashion-mnist": Part("mlp", "fashion-mnist", methods=tuple(methods(0.0))),
    "fashion-longtail": Part("mlp", "fashion-longtail", methods=tuple(methods(0.0))),
    "snippets-longtail": Part("mlp", "snippets-longtail", methods=tuple(methods(0.0))),
    "movies": Part("mlp", "movies"),
    "mnist-5k": Part("mlp", "mnist-5k"),
    "digits": Part("mlp", "digits"),
}


def main(argv: Sequence[str] | None = None) -> None:
    runs.main("quality", PARTS, run_parts, PARQUET, text, argv)


def run_parts(parts: dict[str, Part], cache: Path, processes: int, file: Path) -> None:
    runs.run_parts("quality", parts, work, SCHEMA, cache, processes, file)


def work(part: Part, noise: float, seed: int, cache: Path) -> list[dict[str, Any]]:
    data = load(part.data, cache)
    y = with_noise(data.y, len(data.classes), noise, seed)
    compared = {name: methods(noise)[name] for name in part.methods}
    cell = {"network": part.network, "data": part.data, "noise": noise, "seed": seed}
    return [cell | row for row in results(NETWORKS[part.network], data, y, compared, part.keeps, seed)]
