"""Collate functions of transformers are not taken for ones that reorder rows, and reversed rows are."""

import numpy as np
import pytest
from transformers import (
    DataCollatorForLanguageModeling,
    DataCollatorForSeq2Seq,
    DataCollatorForTokenClassification,
    DataCollatorWithFlattening,
    DataCollatorWithPadding,
)

from hf_prune.recording.order import FLAT, ORDER, why_not_in_order
from tests import tiny_encoders


def a_tokenizer():
    tokenizer = tiny_encoders.tokenizer(("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"))
    tokenizer.mask_token = "[MASK]"
    return tokenizer


COLLATE = {
    "padding": DataCollatorWithPadding,
    "masked": DataCollatorForLanguageModeling,
    "causal": lambda tokenizer: DataCollatorForLanguageModeling(tokenizer, mlm=False),
    "tokens": DataCollatorForTokenClassification,
    "seq2seq": DataCollatorForSeq2Seq,
}


def rows_of(kind, draw):
    """Rows of which a third are alike."""
    whole, rows = draw.integers(5, 55, 20), []
    for _ in range(8):
        length = int(draw.integers(6, 20))
        tokens = whole[:length] if draw.random() < 0.3 else draw.integers(5, 55, length)
        row = {"input_ids": [2, *tokens.tolist(), 3], "attention_mask": [1] * (length + 2)}
        if kind in ("tokens", "seq2seq"):
            row["labels"] = [int(token > 30) if kind == "tokens" else token for token in row["input_ids"]]
        if kind == "padding":
            row["label"] = int(draw.integers(0, 3))
        rows.append(row)
    return rows


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("kind", COLLATE)
@pytest.mark.filterwarnings("ignore:.*fast tokenizer")
def test_collate_functions_of_transformers(kind, side):
    tokenizer, draw = a_tokenizer(), np.random.default_rng(0)
    tokenizer.padding_side = side
    collate = COLLATE[kind](tokenizer)
    for _ in range(20):
        rows = rows_of(kind, draw)
        for thorough in (True, False):
            batch = collate([dict(row) for row in rows])
            assert why_not_in_order(rows, batch, 8, None, thorough=thorough) is None
        batch = collate([dict(row) for row in reversed(rows)])
        assert why_not_in_order(rows, batch, 8, None, thorough=True) == ORDER


def test_rows_end_to_end():
    rows = rows_of("seq2seq", np.random.default_rng(0))
    batch = DataCollatorWithFlattening()([dict(row) for row in rows])
    assert why_not_in_order(rows, batch, 8, None, thorough=False) == FLAT
