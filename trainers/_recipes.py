"""What the recipes in trainers/ share: data and their parts, training, a run's signals, and what is left behind."""

import hashlib
import json
import math
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate.utils import broadcast
from datasets import ClassLabel, Dataset, DatasetDict
from safetensors.torch import load_model, save_model
from torch import nn
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments, set_seed

from hf_prune.comparison.results import Comparison
from hf_prune.digest import column_digests
from hf_prune.errors import ArgumentError
from hf_prune.files import whole_file
from hf_prune.models import process_state
from hf_prune.sources.read import read_splits


def run(main: Callable[[], Any], stopped: str = "Stopped; the same command goes on from here.") -> None:
    """Runs a recipe as a command: on half of the cores, so that a busy machine goes on; Ctrl-C ends it in one line."""
    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(max(1, (os.cpu_count() or 1) // 2))
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(f"\n{stopped}")


def read_data(source: str, columns: Mapping[str, str], label_column: str | None = None) -> DatasetDict:
    """Loads data with the columns that a recipe names, and no others.

    Args:
        source: what `read_splits` takes, as a Hub id, a file, or a folder of a saved dataset or of images.
        columns: from names in the data to names that the recipe uses.
        label_column: the recipe's name of the column with classes, which becomes a ClassLabel.

    Raises:
        ArgumentError: a column is missing, or what `read_splits` refuses.
    """
    data = read_splits(source)
    if missing := sorted(set(columns) - set(data["train"].column_names)):
        arguments = ", ".join(f"--{name}_column" for name in columns.values())
        raise ArgumentError(f"no column {missing} in {data['train'].column_names}: pass {arguments}")
    data = data.select_columns(list(columns)).rename_columns(columns)
    if label_column is None or isinstance(data["train"].features[label_column], ClassLabel):
        return data
    return data.class_encode_column(label_column)


def three_parts(data: Mapping[str, Dataset], label_column: str | None = None) -> DatasetDict:
    """Splits data into train, validation and test; a missing part is a quarter of the training rows, the same always.

    Args:
        label_column: each part gets its classes in the same shares; None for rows without classes.
    """
    parts, size = DatasetDict(data), len(data["train"]) // 4
    for name in ("validation", "test"):
        if name not in parts:
            halves = parts["train"].train_test_split(test_size=size, stratify_by_column=label_column, seed=0)
            parts |= {"train": halves["train"], name: halves["test"]}
    return DatasetDict({name: parts[name] for name in ("train", "validation", "test")})


def rows_made_wrong(n: int, share: float, generator: np.random.Generator | None = None) -> Any:
    """Returns the positions of the rows to which `with_wrong_labels` gives another class, round(share * n) of them."""
    return (generator or np.random.default_rng(0)).permutation(n)[: round(share * n)]


def with_wrong_labels(rows: Dataset, share: float) -> Dataset:
    """Gives another class, every other one as likely, to exactly `round(share * n)` random rows; always the same ones.

    Raises:
        ArgumentError: the share is not in [0, 1], or there is no other class.
    """
    if not 0 <= share <= 1:
        raise ArgumentError(f"wanted --wrong_labels from 0 to 1, the share of the training rows; got {share}")
    if share == 0:
        return rows
    feature, labels, generator = rows.features["label"], np.array(rows["label"]), np.random.default_rng(0)
    if feature.num_classes < 2:
        raise ArgumentError(f"--wrong_labels needs a second class; there is only {feature.names}")
    wrong = rows_made_wrong(len(rows), share, generator)
    labels[wrong] = (labels[wrong] + generator.integers(1, feature.num_classes, len(wrong))) % feature.num_classes
    return rows.remove_columns("label").add_column("label", labels, feature=feature)


def fit(
    new_model: Callable[[], nn.Module],
    rows: Dataset,
    collate: Callable[[list[Any]], Any],
    arguments: Any,
    seed: int,
    callbacks: Sequence[TrainerCallback] = (),
    share: float = 1.0,
) -> Trainer:
    """Trains a new model on `rows`, with `batch_size` rows a step whatever the number of processes.

    A model that was trained before, by the same programs on the same rows, is read from `output_dir`/trained instead,
    unless callbacks want to see its training.

    Args:
        arguments: the recipe's, with output_dir, max_steps, batch_size and learning_rate.
        share: of max_steps that are taken; the learning rate falls as far as in all of them.
    """
    file = Path(arguments.output_dir) / "trained" / f"{_identity(rows, collate, arguments, seed, share)}.safetensors"
    set_seed(seed)
    steps = max(1, round(share * arguments.max_steps))
    settings = TrainingArguments(
        output_dir=arguments.output_dir,
        max_steps=steps,
        per_device_train_batch_size=max(1, arguments.batch_size // process_state().num_processes),
        per_device_eval_batch_size=250,
        learning_rate=arguments.learning_rate,
        lr_scheduler_type="cosine",
        warmup_steps=math.ceil(0.1 * steps),
        seed=seed,
        remove_unused_columns=False,
        use_cpu=process_state().device.type == "cpu",  # the Trainer makes the state anew
        dataloader_pin_memory=torch.cuda.is_available(),
        # One bar over all trainings says more than several lines for each of them.
        disable_tqdm=True,
        logging_strategy="no",
        save_strategy="no",
        report_to="none",
    )
    model = new_model()
    trainer = Trainer(model, settings, train_dataset=rows, data_collator=collate, callbacks=list(callbacks))
    trainer.remove_callback(PrinterCallback)
    if file.is_file() and not callbacks:
        load_model(model, file)
        trainer.state.global_step = settings.max_steps  # which the model has had
        return trainer
    trainer.train()
    # Each process has seen other rows at the last step: batch normalisation's statistics differ until the next one.
    for buffer in model.buffers():
        broadcast(buffer)
    if not callbacks:
        if process_state().is_main_process:
            with whole_file(file, suggested="trained.safetensors") as complete:
                save_model(model, str(complete))
        process_state().wait_for_everyone()
    return trainer


def _identity(rows: Dataset, collate: Callable[[list[Any]], Any], *settings: Any) -> str:
    """What tells a training from all others: programs, settings, the rows, and what is made of some of them."""
    programs = [file.read_text(encoding="utf-8") for file in sorted(Path(__file__).parent.glob("*.py"))]
    told = hashlib.sha256(json.dumps([programs, column_digests(rows), *map(repr, settings)]).encode())
    for tensor in collate([rows[at] for at in (0, len(rows) // 2, len(rows) - 1)]).values():
        told.update(tensor.numpy().tobytes())
    return told.hexdigest()[:16]


def in_all_processes(recorder: Any, file: Path) -> Path:
    """Saves the recorder's dynamics in the first process, as a file that every process may pass as dynamics=."""
    state = process_state()
    if state.is_main_process:
        recorder.dynamics.save(file)
    state.wait_for_everyone()
    return file


def leave(folder: Path, coreset: Dataset, comparison: Comparison, found: str = "") -> dict[str, float]:
    """Shows the table, and writes coreset, selection, table, raw results and picture in the first process.

    Args:
        found: what the picture has for its title.

    Returns mean accuracy and worst class by `method/keep/metric`.
    """
    state, table = process_state(), comparison.table()
    state.print(f"\nTest accuracy in %, mean ± sd over the seeds; in parentheses the worst class\n\n{table}")
    if state.is_main_process:
        coreset.selection.save(folder / "selection")
        coreset.with_format(None).save_to_disk(folder / "coreset")
        (folder / "table.md").write_text(table + "\n", encoding="utf-8")
        comparison.save(folder / "comparison.json")
        picture = comparison.plot()
        if found:
            picture.suptitle(found, x=0.01, horizontalalignment="left")
        picture.savefig(folder / "comparison.png", dpi=150)
        print(f"\nAll of it is in {folder}")
    return {
        f"{result.method}/{result.keep}/{name}": getattr(comparison, name)(result.method, result.keep).mean
        for result in comparison.results
        for name in ("accuracy", "worst_class")
    }
