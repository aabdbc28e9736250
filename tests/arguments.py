"""What tests ask of a Trainer, in the words of the transformers that is installed."""

from dataclasses import fields
from typing import Any

from torch.utils.data import SequentialSampler
from transformers import TrainingArguments

TAKEN = {field.name for field in fields(TrainingArguments)}
OF_5 = "train_sampling_strategy" in TAKEN
"""Whether this is transformers 5."""
BY_LENGTH: dict[str, Any] = {"train_sampling_strategy": "group_by_length"} if OF_5 else {"group_by_length": True}


def in_order(trainer: Any) -> Any:
    """The trainer, which is to show the rows in their order."""
    trainer._get_train_sampler = lambda *args: SequentialSampler(trainer.train_dataset)
    return trainer
