"""Which training images does a classifier need? Prune by several methods, retrain on every coreset, compare.

    python trainers/image_classification.py                      # MNIST-5k, which comes with hf_prune[demo]
    python trainers/image_classification.py --dataset me/birds   # a Hub id, an image folder or a saved dataset
    accelerate launch trainers/image_classification.py           # several GPUs; torchrun on CPUs

A small ResNet is trained on all training rows under an unmodified Trainer; PruningTrainerCallback records its
training dynamics on the way, and recalls are taken on the validation part. Every coreset then trains a new model for
as many optimiser steps, and the test part, which nothing has seen before, gives the table. Methods have their default
options; learning rate and steps were chosen for all rows, on the validation part. `--wrong_labels 0.2` gives a fifth
of the training rows another label first, and leaves validation and test part as they are.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from datasets import Dataset, DatasetDict, Features, List, Value
from datasets.utils import tqdm
from transformers import HfArgumentParser, ResNetConfig, ResNetForImageClassification, Trainer

import hf_prune
from _data import fashion_mnist, mnist_5k
from _recipes import fit, in_all_processes, leave, read_data, rows_made_wrong, run, three_parts, with_wrong_labels
from hf_prune.comparison.results import SHORTER
from hf_prune.comparison.runs import Run, compare_runs
from hf_prune.models import process_state

D2 = "D2, class-balanced, cutoff auto"
METHODS = {
    "random": {"method": "random"},
    "random, class-balanced": {"method": "random", "quotas": "equal"},
    "random, class-balanced, cutoff auto": {"method": "random", "quotas": "equal", "cutoff": "auto"},
    "EL2N": {"method": "el2n"},
    D2: {"method": "d2", "quotas": "equal"},
    "DRoP": {"method": "drop"},
}


@dataclass
class Arguments:
    dataset: str | None = field(default=None, metadata={"help": "Hub id or local folder, in place of the example"})
    example: Literal["mnist_5k", "fashion_mnist"] = "mnist_5k"
    image_column: str = "image"
    label_column: str = "label"
    wrong_labels: float = field(default=0.0, metadata={"help": "share of the training rows that get another label"})
    image_size: int = field(default=28, metadata={"help": "images are resized to squares of this many pixels"})
    keep: list[float] = field(default_factory=lambda: [0.3, 0.1], metadata={"help": "fractions of the training rows"})
    seeds: int = field(default=5, metadata={"help": "number of seeds"})
    max_steps: int = field(default=200, metadata={"help": "optimiser steps of every training; at least one epoch"})
    batch_size: int = 128
    learning_rate: float = 0.01
    embed: bool = field(default=False, metadata={"help": "D2 by the trained model's embeddings, not its features"})
    threads: int = field(default=1, metadata={"help": "of torch; for images this small more are no faster"})
    output_dir: str = "outputs/image_classification"


def main(argv: Sequence[str] | None = None) -> dict[str, float]:
    (arguments,) = HfArgumentParser(Arguments).parse_args_into_dataclasses(argv)
    torch.set_num_threads(arguments.threads)
    state, folder = process_state(), Path(arguments.output_dir)
    with state.main_process_first():
        parts = with_pixels(load(arguments), arguments.image_size)
    train_part, validation, test = parts["train"], parts["validation"], parts["test"]
    state.print({name: f"{len(part):,} rows" for name, part in parts.items()})
    train_on = partial(trained, arguments, train_part.features)

    full = {}
    seeds = tqdm(range(arguments.seeds), "Training on all rows", unit="model", disable=not state.is_main_process)
    for seed in seeds:
        recorder = hf_prune.PruningTrainerCallback(features=True)
        trainer = train_on(train_part, seed, callbacks=[recorder])
        signals = {"recalls": trainer.predict(validation)}
        signals["dynamics"] = in_all_processes(recorder, folder / f"dynamics-{seed}.safetensors")
        if arguments.embed:
            signals["embeddings"] = hf_prune.embed(train_part, trainer.model, processor=trainer.data_collator)
        full[seed] = Run(*trainer.predict(test)[:2], signals)

    coreset = train_part.prune(**METHODS[D2], keep=arguments.keep[0], seed=0, **full[0].signals)
    state.print(coreset.selection.summary())
    said = ""
    if arguments.wrong_labels:
        suspects = np.asarray(coreset.selection.suspects["row"])
        wrong = rows_made_wrong(len(train_part), arguments.wrong_labels)
        found = np.isin(suspects, wrong).sum()
        said = f"{found:,} of the {len(wrong):,} labels made wrong are among the {len(suspects):,} suspects"
        state.print(said)

    def train(rows: Dataset, seed: int, share: float = 1.0) -> Run:
        return Run(*train_on(rows, seed, share=share).predict(test)[:2])

    comparison = compare_runs(
        train_part, METHODS, keep=arguments.keep, full=full, train=train, unpruned={SHORTER: train}
    )
    return leave(folder, coreset.with_format(None).remove_columns("pixels"), comparison, said)


def load(arguments: Arguments) -> DatasetDict:
    """Returns train, validation and test part with `image` and `label`; only training labels are ever made wrong."""
    if arguments.dataset is not None:
        columns = {arguments.image_column: "image", arguments.label_column: "label"}
        data = read_data(arguments.dataset, columns, "label")
    else:
        data = fashion_mnist() if arguments.example == "fashion_mnist" else {"train": mnist_5k()}
    parts = three_parts(data, "label")
    parts["train"] = with_wrong_labels(parts["train"], arguments.wrong_labels)
    return parts


def with_pixels(parts: DatasetDict, size: int) -> DatasetDict:
    """Adds `pixels`, uint8 in a flat list, which is read ten times as fast as an image or a nested array."""
    mode = "L" if parts["train"][0]["image"].mode in ("1", "L") else "RGB"
    features = parts["train"].features | {"pixels": List(Value("uint8"), length=size * size * len(mode))}

    def flatten(rows: Any) -> dict[str, Any]:
        images = (image.convert(mode).resize((size, size)) for image in rows["image"])
        # Channels first, as torch wants them.
        return {"pixels": [np.atleast_3d(image).transpose(2, 0, 1).ravel() for image in images]}

    parts = parts.map(flatten, batched=True, features=Features(features), desc="Reading images")
    return parts.with_format("numpy", columns=["pixels", "label"])


def trained(arguments: Arguments, features: Features, rows: Dataset, seed: int, **options: Any) -> Trainer:
    """Returns the Trainer of a new model, trained on `rows`; options are those of `fit`."""
    channels = features["pixels"].length // arguments.image_size**2
    model = partial(new_model, channels, features["label"].num_classes)
    read = partial(collate, shape=(channels, arguments.image_size, arguments.image_size))
    return fit(model, rows, read, arguments, seed, **options)


def new_model(channels: int, classes: int) -> ResNetForImageClassification:
    shape = {"embedding_size": 16, "hidden_sizes": [16, 32], "depths": [1, 1], "layer_type": "basic"}
    return ResNetForImageClassification(ResNetConfig(num_channels=channels, num_labels=classes, **shape))


def collate(rows: list[dict[str, Any]], shape: tuple[int, int, int]) -> dict[str, torch.Tensor]:
    pixels = torch.from_numpy(np.stack([row["pixels"] for row in rows])).view(-1, *shape)
    return {"pixel_values": pixels.float() / 127.5 - 1, "labels": torch.tensor([int(row["label"]) for row in rows])}


if __name__ == "__main__":
    run(main)
