"""Runs and rows that can't be recorded are refused, by name."""

from types import SimpleNamespace

import pytest
import torch
from transformers import DataCollatorWithPadding

from hf_prune import ArgumentError, PruningTrainerCallback
from tests.recording.witness import count_hooks, refuse


def test_rows_without_labels(task):
    message = r"needs batches with a 'labels' entry, got \['.*'\]; name the label column 'label' or 'labels'"
    refuse(task, message, train_dataset=task.dataset.remove_columns("label"))


def test_labels_under_another_name(task):
    refuse(task, "needs batches with a 'target' entry, got .*'labels'", label_names=["target"])


def test_collator_that_leaves_out_rows(text_task):
    pad = DataCollatorWithPadding(text_task.tokenizer)
    refuse(
        text_task,
        "gets another number of rows from the collate function than were fetched",
        data_collator=lambda rows: pad(rows[:-1]),
    )


def begin(task, **arguments):
    """The start of a run of 37 rows with these TrainingArguments."""
    trainer, plain = task.trainer(), {"n_gpu": 0, "world_size": 1, "fsdp": [], "deepspeed": None, "label_names": None}
    plain |= {"device": torch.device("cpu"), "accelerator_config": SimpleNamespace(even_batches=True)}
    plain |= {"per_device_train_batch_size": 8, "dataloader_drop_last": False, "gradient_accumulation_steps": 1}
    plain |= {"output_dir": trainer.args.output_dir, "resume_from_checkpoint": None}
    loader, hooks = trainer.get_train_dataloader(), count_hooks(trainer.model)
    recorder = PruningTrainerCallback()
    try:
        recorder.on_train_begin(
            SimpleNamespace(**plain | arguments),
            SimpleNamespace(num_train_epochs=1, global_step=0),
            trainer.control,
            model=trainer.model,
            train_dataloader=loader,
        )
    except ArgumentError:
        assert loader.base_dataloader.dataset.column_names
        assert count_hooks(trainer.model) == hooks
        raise
    recorder.on_train_end(None, None, None)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_gpu": 2}, "can't record 2 GPUs in one process"),
        (
            {"world_size": 2, "accelerator_config": SimpleNamespace(even_batches=False)},
            "with even_batches=False 2 processes can't share out 37 rows, no multiple of 16",
        ),
    ],
)
def test_runs_that_cannot_be_recorded(text_task, arguments, message):
    with pytest.raises(ArgumentError, match=message):
        begin(text_task, **arguments)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({}, None),
        ({"fsdp": ["full_shard"]}, "FSDP"),
        ({"deepspeed": "config.json", "device": torch.device("cuda")}, "DeepSpeed and the device cuda"),
    ],
)
def test_what_nobody_has_tried_is_said(text_task, caplog, arguments, named):
    begin(text_task, **arguments)
    assert (f"untested with {named}" if named else "") in caplog.text
    assert bool(caplog.text) == bool(named)
