"""Tiny data of each kind, as transformers' example scripts hand it to a collate function. Every row names itself."""

import numpy as np
import torch
from datasets import Dataset

from tests.matrix.cells import ROWS
from tests.matrix.models import FIRST, IMAGE

WORD, END = FIRST + ROWS, IMAGE - 2
"""The words that name no row."""

LENGTHS = [4 + row * 5 % 7 for row in range(ROWS)]


def draw():
    return np.random.default_rng(0)


def texts(longest=None):
    """Rows of different lengths, or of one."""
    rng = draw()
    words = [[FIRST + row, *rng.integers(WORD, END, (longest or LENGTHS[row]) - 1)] for row in range(ROWS)]
    return {"input_ids": words, "attention_mask": [[1] * len(row) for row in words]}


def classes(count=3):
    return draw().integers(0, count, ROWS)


def with_classes(**options):
    return Dataset.from_dict(texts() | {"label": classes(**options)})


def with_numbers():
    return Dataset.from_dict(texts() | {"label": draw().normal(size=ROWS).astype(np.float32)})


def with_several():
    return Dataset.from_dict(texts() | {"labels": draw().integers(0, 2, (ROWS, 3)).astype(np.float32)})


def with_distributions():
    mixed = 0.7 * np.eye(3)[classes()] + 0.3 * np.eye(3)[classes()[::-1]]
    return Dataset.from_dict(texts() | {"labels": mixed.astype(np.float32)})


def with_tags():
    """As of named entities: the first part of each word has a tag, the others and special tokens -100."""
    tags = [[-100 if place % 3 == 0 else place % 3 for place in range(length)] for length in LENGTHS]
    return Dataset.from_dict(texts() | {"labels": tags})


def with_answers():
    ends = draw().integers(3, 8, ROWS)
    return Dataset.from_dict(texts(8) | {"start_positions": ends - 3, "end_positions": ends})


def with_choices():
    each = texts(6)["input_ids"]
    choices = [[row, [*row[:3], *row[:2:-1]], row[:4]] for row in each]
    masks = [[[1] * len(choice) for choice in row] for row in choices]
    return Dataset.from_dict({"input_ids": choices, "attention_mask": masks, "label": classes()})


def blocks():
    """As run_clm groups texts: blocks of one length whose labels are their tokens."""
    columns = texts(8)
    return Dataset.from_dict(columns | {"labels": columns["input_ids"]})


def plain_texts():
    return Dataset.from_dict(texts())


def translations():
    rng = draw()
    answers = [list(rng.integers(WORD, END, 3 + length % 4)) for length in LENGTHS]
    return Dataset.from_dict(texts() | {"labels": answers})


def images():
    pixels = draw().normal(size=(ROWS, 3, 8, 8)).astype(np.float32)
    pixels[:, 0, 0, 0] = np.arange(ROWS) / 64
    return pixels


def with_images(**columns):
    return Dataset.from_dict({"pixel_values": images(), **columns}).with_format("torch")


def chats():
    """Images before texts, of which the answers are trained."""
    columns = texts(10)
    for row in columns["input_ids"]:
        row[1:5] = [IMAGE] * 4
    labels = [[-100] * 6 + row[6:] for row in columns["input_ids"]]
    return Dataset.from_dict(columns | {"labels": labels, "pixel_values": images()})


def sounds(length=64, **columns):
    waves = draw().normal(size=(ROWS, length)).astype(np.float32)
    waves[:, 0] = np.arange(ROWS) / 64
    return Dataset.from_dict({"input_values": waves, **columns})


def spectra():
    features = draw().normal(size=(ROWS, 4, 16)).astype(np.float32)
    features[:, 0, 0] = np.arange(ROWS) / 64
    labels = [row[1:5] for row in texts(6)["input_ids"]]
    return Dataset.from_dict({"input_features": features, "labels": labels}).with_format("torch")


def rows_of(kwargs):
    """The (batch,) rows that the inputs of a pass name."""
    if "input_ids" in kwargs:
        words = kwargs["input_ids"]
        return words[(slice(None), *[0] * (words.ndim - 1))] - FIRST
    values = next(
        kwargs[name] for name in ("pixel_values", "input_values", "input_features", "past_values") if name in kwargs
    )
    return (values[(slice(None), *[0] * (values.ndim - 1))] * 64).round().long()


def stacked(rows):
    """The collate function of the scripts for images: what they have, stacked."""
    return {
        "pixel_values": torch.stack([row["pixel_values"] for row in rows]),
        "labels": torch.tensor([row["label"] for row in rows]),
    }


def boxes(rows):
    """The collate function of the scripts for detection: a dict a row."""
    labels = [{"class_labels": torch.tensor([1]), "boxes": torch.full((1, 4), 0.5)} for _ in rows]
    return {"pixel_values": torch.stack([row["pixel_values"] for row in rows]), "labels": labels}
