"""Embeddings of a dataset's rows by any encoder, computed once and kept in a memory-mapped cache."""

import hashlib
import os
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cached_property, partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
import torch
from accelerate import PartialState
from accelerate.utils import broadcast_object_list, gather_object
from datasets import Dataset
from datasets.utils import tqdm
from filelock import FileLock
from huggingface_hub.constants import HF_HOME
from numpy.typing import NDArray
from torch import nn
from torch.utils.data import DataLoader

from hf_prune.arguments import no_mask, one_of, true_or_false, whole_number
from hf_prune.digest import column_digest
from hf_prune.embeddings.cache import VectorFile, finish_shard
from hf_prune.embeddings.encoders import Encoder, encoder_of
from hf_prune.embeddings.probes import check_probes, probe_rows
from hf_prune.embeddings.transformers import POOLINGS
from hf_prune.embeddings.values import Values, check_values, column_kind, default_column
from hf_prune.errors import ArgumentError, ArgumentTypeError, HFPruneError
from hf_prune.kernels.hardware import has_bfloat16_units
from hf_prune.labels import check_column
from hf_prune.models import device_of, process_state

BATCHES_IN_SHARD = 16
"""Batches that a kill may cost."""

Batch = NDArray[np.int64]


def embed(
    dataset: Dataset,
    encoder: Any,
    *,
    column: str | None = None,
    processor: Any = None,
    pooling: str | None = None,
    truncate: bool = False,
    precision: str = "auto",
    batch_size: int = 64,
    num_workers: int = 0,
    revision: str | None = None,
    cache_key: str | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
) -> NDArray[np.float32]:
    """Returns (n, d) float32, a vector for each row, read-only and mapped from a cache where it is computed only once.

    The cache is keyed by the rows' content, the encoder's whole state (weights, buffers, options, hooks, adapters) and
    code, with all it refers to and imports; the versions of its libraries, and the options that decide the vectors.
    No key shows what code reads while it runs, such as a file or a service: so each call that finds vectors computes
    those of 4 rows again, and refuses a cache that they don't fit. After Ctrl-C or a kill the same call goes on where
    it stopped, and repeats at most 16 batches. Under `torchrun` or `accelerate launch` every process must make the
    call, and see the same file system; each takes its part, and the vectors are those of one process. Delete the
    cache's folder to free its space.

    Args:
        dataset: the n rows.
        encoder: a checkpoint for transformers or sentence-transformers, of texts or images, by Hub id or folder, which
            is downloaded if it must be; a model, whose vectors are what enters its classification head, or else its
            hidden states or output, pooled; or a function from a list of the column's values to (batch, d) numbers.
        column: of texts or images; by default the only such one, else `text` or `image`. A function may take other
            columns.
        processor: for a model its tokenizer or image processor; or the function that makes its batches of rows, such
            as trainer.data_collator, which then gets all columns.
        pooling: how token vectors become one: "mean", "first" or "last"; by default the mean. A sentence-transformers
            checkpoint says this itself, and whether vectors get unit length: they are those of its own `encode`.
        truncate: read only the beginning of texts that are longer than the encoder takes, in place of an error.
        precision: of a model that is run here: "float32", "bfloat16", which is mixed precision, or "auto": bfloat16
            where the processor or accelerator is faster with it.
        batch_size: rows that are encoded together, of similar length if they are texts.
        num_workers: processes that read and prepare rows.
        revision: of a checkpoint on the Hub.
        cache_key: a text that stands for the encoder and processor, whatever they hold, and that you change whenever
            the vectors do. It alone decides then, and nothing is computed again to compare: for functions that are
            paid for, that are random, or that can't be told apart otherwise.
        cache_dir: by default the folder hf_prune/embeddings in the Hugging Face home.

    Raises:
        ArgumentError: an empty text or unreadable image, a text that is too long, an encoder that can't be loaded, or
            one whose numbers are not finite; the message names the row. Batches that are finished stay in the cache.
            A cache whose vectors the encoder doesn't give any more: by more than 1e-3 of their length, or 2e-2 with
            bfloat16, which is for rounding. A folder that can't be written.
        ArgumentTypeError: the column holds neither texts nor images, or an argument is of another type.
        MissingExtraError: only sentence-transformers, which is not installed, can run the checkpoint.

    >>> from datasets import Dataset
    >>> import hf_prune, tempfile
    >>> ds = Dataset.from_dict({"text": ["good", "quite good", "bad"]})
    >>> def lengths(texts):
    ...     return [[len(text), text.count("good")] for text in texts]
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     hf_prune.embed(ds, lengths, cache_dir=folder).tolist()
    [[4.0, 1.0], [10.0, 1.0], [3.0, 0.0]]
    """
    _check_dataset(dataset)
    one_of("precision", precision, ("auto", "float32", "bfloat16"))
    if pooling is not None:
        one_of("pooling", pooling, POOLINGS)
    batch_size = whole_number("batch_size", batch_size, at_least=1)
    num_workers = whole_number("num_workers", num_workers, at_least=0)
    truncate, state = true_or_false("truncate", truncate), process_state()
    if cache_key is not None and not isinstance(cache_key, str):
        raise ArgumentTypeError(f'`cache_key`: wanted a text, as in cache_key="my-encoder 1", got {cache_key!r}')
    if column is not None:
        check_column(dataset, "column", column)
    elif processor is None or hasattr(processor, "save_pretrained"):
        column = default_column(dataset)
    kind, holds = None, "got all"
    if column is not None:
        kind, holds = column_kind(dataset, column), f"{column!r} holds {dataset.features[column]}"
        check_values(dataset, column, kind)
    how: dict[str, Any] = {"pooling": pooling, "truncate": truncate, "revision": revision}
    chosen = encoder_of(encoder, processor, kind, holds, state.device, **how)
    if precision == "auto":
        precision = "bfloat16" if _has_bfloat16(chosen.model) else "float32"

    columns = dataset.column_names if column is None else [column]
    content = [(one if chosen.whole_rows else "", column_digest(dataset, one)) for one in columns]
    versions = {library: version(library) for library in chosen.libraries}
    device = device_of(chosen.model).type if chosen.model is not None else None
    encodes = (chosen.identity(cache_key), versions, precision, device)
    decides = repr((encodes, batch_size, BATCHES_IN_SHARD, content))
    key = hashlib.blake2b(decides.encode(), digest_size=16).hexdigest()
    if len(set(gather_object([key]))) > 1:
        raise ArgumentError(
            "`dataset`, `encoder`: not the same in all processes, as after training with batch statistics that each "
            "keeps for itself; save the model in one, and pass its folder in all"
        )
    about = {"encoder": cache_key or encoder_name(encoder), "columns": columns, "precision": precision}
    root = Path(HF_HOME) / "hf_prune" / "embeddings" if cache_dir is None else Path(cache_dir)
    file = VectorFile(root / key, len(dataset), about | {"versions": versions}, compared=cache_key is None)
    values = Values(dataset.select_columns(columns), None if chosen.whole_rows else column)
    plan = partial(batches_of, dataset, column if kind == "text" else None, batch_size)
    _fill(file, _Computation(values, plan, chosen, precision, num_workers), state)
    return file.read()


def encoder_name(encoder: Any) -> str:
    """Returns a name for people: the checkpoint's, of a folder its last part, or the model's or function's."""
    if isinstance(encoder, str | os.PathLike):
        return Path(encoder).resolve().name if Path(encoder).is_dir() else os.fspath(encoder)
    return str(getattr(encoder, "__qualname__", type(encoder).__qualname__))


def batches_of(dataset: Dataset, text_column: str | None, batch_size: int) -> list[Batch]:
    """Returns all rows in batches, the longest texts first, so that what is too long for the memory shows at once.

    The batches, and with them the padding of each text, are fixed by the data and the batch size alone.
    """
    rows = np.arange(len(dataset))
    if text_column is not None:
        texts = dataset.select_columns([text_column]).with_format("arrow")
        parts = [pc.utf8_length(part.column(0)).to_numpy() for part in texts.iter(batch_size=2**16)]
        rows = np.argsort(-np.concatenate(parts).astype(np.int64), kind="stable")
    return [rows[start : start + batch_size] for start in range(0, len(rows), batch_size)]


def _fill(file: VectorFile, computation: "_Computation", state: PartialState) -> None:
    """Computes what is missing, each process its part."""
    main = state.is_main_process
    # Of two runs at the same time the second waits, and finds it done.
    waits = main and not file.complete
    _in_all(lambda: file.make_folder() if waits else None)
    lock: Any = FileLock(file.folder / "lock") if waits else nullcontext()
    with lock:
        _in_all(lambda: computation.find(file) if main else None)
        (missing,) = broadcast_object_list([None if not main or file.complete else file.missing()])
        if missing is not None:
            shards = missing[state.process_index :: state.num_processes]
            _in_all(lambda: computation.add(file, shards, quiet=not main))
            if main:
                file.end()
    state.wait_for_everyone()


def _in_all(action: Callable[[], None]) -> None:
    """Runs `action`, and raises an error of one process in all, so that none waits for it."""
    error = None
    try:
        action()
    except HFPruneError as raised:
        error = raised
    for first in filter(None, gather_object([error])):
        raise first


@dataclass(frozen=True)
class _Computation:
    """Encodes rows in shards of BATCHES_IN_SHARD batches, which `plan` gives where something is missing."""

    values: Values
    plan: Callable[[], list[Batch]]
    encoder: Encoder
    precision: str
    num_workers: int

    @cached_property
    def shards(self) -> list[list[Batch]]:
        batches = self.plan()
        return [batches[start:][:BATCHES_IN_SHARD] for start in range(0, len(batches), BATCHES_IN_SHARD)]

    def find(self, file: VectorFile) -> None:
        """Begins the file, or compares some rows with what is there."""
        found = file.complete or file.begun
        if found and not file.compared:
            return
        rows = probe_rows(len(self.values)) if file.compared else self.shards[-1][-1][:1]  # a short one, for d
        with self.encoder.ready(self.precision):
            vectors = _checked(self.encoder.encode(self.encoder.prepare(self.values[rows])), rows)
        if found:
            check_probes(vectors, file, rows, self.precision)
        else:
            file.begin(vectors, len(self.shards))

    def add(self, file: VectorFile, shards: NDArray[np.int64], *, quiet: bool) -> None:
        vectors, marks = file.open()
        batches = [rows for shard in shards for rows in self.shards[shard]]
        loader = iter(
            DataLoader(
                self.values,  # type: ignore[arg-type]
                batch_size=None,
                sampler=batches,
                collate_fn=self.encoder.prepare,  # type: ignore[arg-type]
                num_workers=self.num_workers,
                generator=torch.Generator(),  # else it would draw from the numbers that training draws from
            )
        )
        n = sum(map(len, batches))
        with (
            self.encoder.ready(self.precision),
            tqdm(total=n, desc="Embedding", unit="row", disable=quiet) as progress,
        ):
            for shard in shards:
                for rows in self.shards[shard]:
                    vectors[rows] = _checked(self.encoder.encode(next(loader)), rows, vectors.shape[1])
                    progress.update(len(rows))
                finish_shard(vectors, marks, int(shard))


def _checked(numbers: Any, rows: Batch, d: int | None = None) -> NDArray[np.float32]:
    """Returns what an encoder gave as (batch, d) finite float32, or says what is wrong with it."""
    no_mask("encoder", numbers)
    if isinstance(numbers, torch.Tensor):
        numbers = numbers.float().cpu()
    try:
        vectors = np.asarray(numbers, dtype=np.float32)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ArgumentTypeError(
            f"`encoder`: wanted (batch, d) numbers, got {type(numbers).__name__}: {error}"
        ) from error
    if vectors.ndim != 2 or not vectors.size or vectors.shape != (len(rows), d or vectors.shape[1]):
        wanted = f"({len(rows)}, {d or 'd'})"
        raise ArgumentError(f"`encoder`: wanted {wanted} numbers for {len(rows)} rows, got {vectors.shape}")
    finite = np.isfinite(vectors).all(axis=1)
    if not finite.all():
        row = rows[np.argmin(finite)]
        raise ArgumentError(f"`encoder`: gave NaN or infinite numbers for row {row}; with bfloat16 try float32")
    return vectors


def _check_dataset(dataset: Any) -> None:
    if not isinstance(dataset, Dataset):
        raise ArgumentTypeError(
            f"`dataset`: wanted a datasets.Dataset, got {type(dataset).__name__}; of a DatasetDict embed each split, "
            'as in hf_prune.embed(dsd["train"], ...)'
        )
    if not len(dataset):
        raise ArgumentError("`dataset`: it has no rows to embed")


def _has_bfloat16(model: nn.Module | None) -> bool:
    """Tells whether the model's device multiplies bfloat16 faster than float32."""
    if model is None:
        return False
    device = device_of(model).type
    if device == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return has_bfloat16_units() if device == "cpu" else device == "xpu"
