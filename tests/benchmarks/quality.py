"""The quality table: how good are models that train on coresets, on clean labels and on noisy ones?

    python tests/benchmarks/quality.py                             # everything: `make quality-table`
    python tests/benchmarks/quality.py --only digits --seeds 2     # a small try, printed and not kept

For each dataset, noise and seed a network trains on all rows; every method prunes by the training dynamics of that
run; a new network trains on each coreset for the same number of steps; and the test part, whose labels are clean,
gives accuracy and recalls. What a finished job found is a file in outputs/benchmarks/quality, so after Ctrl-C the same
line goes on where it stopped; delete that folder when methods change. All results go to results/d2_quality.parquet,
from which quality_table.py writes the README's part.

EL2N reads the first fifth of the run, as its paper reads early epochs only; the other methods have their defaults.
The injected noise changes exactly a fifth of the labels, which is also what "told" is told.
"""

import argparse
import hashlib
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import quality_table
from cells import results, with_noise, write_parquet
from jobs import PROCESSES, run
from networks import MLP, ResNet
from quality_table import AUTO, BALANCED, BALANCED_AUTO, NO_CUTOFF, TOLD
from real_data import CACHE, load

PARQUET = Path(__file__).parent / "results" / "d2_quality.parquet"
NOISES = (0.0, 0.2)
NETWORKS = {network.name: network for network in (MLP(), ResNet())}


def methods(noise: float) -> dict[str, dict[str, Any]]:
    """By its name in the table the arguments of `prune` for each method, when this share of the labels is wrong."""
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
    }


@dataclass(frozen=True)
class Part:
    """Cells that are run together: all of `noises` x `keeps` x `methods` x `seeds`."""

    network: str
    data: str
    noises: tuple[float, ...] = NOISES
    keeps: tuple[float, ...] = (0.5, 0.3, 0.2, 0.1)
    methods: tuple[str, ...] = tuple(methods(0.0))
    seeds: int = 10


PARTS = {
    "resnet": Part(
        "resnet",
        "mnist-5k",
        noises=(0.2,),
        keeps=(0.3, 0.2, 0.1),
        methods=(BALANCED, BALANCED_AUTO, NO_CUTOFF, TOLD, AUTO),
    ),
    "fashion-mnist": Part("mlp", "fashion-mnist"),
    "movies": Part("mlp", "movies"),
    "mnist-5k": Part("mlp", "mnist-5k"),
    "digits": Part("mlp", "digits"),
}


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Run what is missing of the quality table.")
    parser.add_argument("--only", nargs="+", choices=PARTS, help="these parts; the result is printed and not kept")
    parser.add_argument("--seeds", type=int, help="fewer seeds; the result is printed and not kept")
    parser.add_argument("--processes", type=int, default=PROCESSES)
    parser.add_argument("--cache", type=Path, default=CACHE, help="folder of data and finished jobs")
    given = parser.parse_args(argv)
    parts = {name: PARTS[name] for name in given.only or PARTS}
    if given.seeds:
        parts = {name: replace(part, seeds=min(given.seeds, part.seeds)) for name, part in parts.items()}
    complete = parts == PARTS
    file = PARQUET if complete else given.cache / "try.parquet"
    try:
        run_parts(parts, given.cache, given.processes, file)
    except KeyboardInterrupt:
        sys.exit("\nStopped; the same line goes on from here.")
    print(quality_table.text(file))
    if complete:
        quality_table.write_readme(file)


def run_parts(parts: dict[str, Part], cache: Path, processes: int, file: Path) -> None:
    jobs = {}
    for name, part in parts.items():
        load(part.data, cache)  # fetched once, before several processes want it
        setup = json.dumps(setup_of(part), sort_keys=True)
        folder = cache / "quality" / f"{name}-{hashlib.sha256(setup.encode()).hexdigest()[:8]}"
        for noise, seed in product(part.noises, range(part.seeds)):
            jobs[folder / f"{noise}-{seed}.json"] = (part, noise, seed, cache)
    setups = {name: setup_of(part) | {"seeds": part.seeds} for name, part in parts.items()}
    write_parquet(file, run(work, jobs, processes), setups)


def setup_of(part: Part) -> dict[str, Any]:
    """What the results of one seed depend on; with other settings no finished job is used."""
    options = {noise: {name: methods(noise)[name] for name in part.methods} for noise in part.noises}
    network = {"name": part.network} | asdict(NETWORKS[part.network])
    return {"network": network, "data": part.data, "keeps": part.keeps, "methods": options}


def work(part: Part, noise: float, seed: int, cache: Path) -> list[dict[str, Any]]:
    data = load(part.data, cache)
    y = with_noise(data.y, len(data.classes), noise, seed)
    compared = {name: methods(noise)[name] for name in part.methods}
    cell = {"network": part.network, "data": part.data, "noise": noise, "seed": seed}
    return [cell | found for found in results(NETWORKS[part.network], data, y, compared, part.keeps, seed)]


if __name__ == "__main__":
    main()
