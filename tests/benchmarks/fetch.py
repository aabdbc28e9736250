"""What the benchmarks make of the example data: vectors of texts, and files that are written whole."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trainers._data import minilm


def minilm_vectors(texts: Sequence[str], cache: Path) -> NDArray[np.float32]:
    """(n, 384) means over the tokens of each text."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    model = AutoModel.from_pretrained(minilm(cache)).eval()
    tokenizer = AutoTokenizer.from_pretrained(minilm(cache))
    vectors = np.empty((len(texts), model.config.hidden_size), dtype=np.float32)
    by_length = sorted(range(len(texts)), key=lambda row: len(texts[row]))  # little padding
    with torch.inference_mode():
        for start in range(0, len(texts), 64):
            rows = by_length[start : start + 64]
            batch = tokenizer([texts[row] for row in rows], padding=True, truncation=True, return_tensors="pt")
            tokens, mask = model(**batch).last_hidden_state, batch["attention_mask"][..., None]
            vectors[rows] = ((tokens * mask).sum(1) / mask.sum(1)).numpy()
    return vectors


def write_npz(file: Path, **arrays: NDArray) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    partly = file.with_suffix(".part.npz")
    np.savez(partly, **arrays)
    partly.replace(file)
