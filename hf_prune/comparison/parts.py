"""The parts of the user's data: rows to train on, and rows that neither training nor selection sees."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from datasets import Dataset, DatasetDict
from numpy.typing import NDArray

from hf_prune.arguments import did_you_mean
from hf_prune.digest import array_digest, column_digests
from hf_prune.errors import ArgumentError, ArgumentTypeError
from hf_prune.groups import Groups
from hf_prune.kernels.keyed_hash import keyed_hash
from hf_prune.labels import label_groups
from hf_prune.signals.arrays import float_array
from hf_prune.signals.given import EmbeddingsLike, EncoderLike


@dataclass(frozen=True, eq=False)
class Part:
    """Some rows, and what is known of each.

    Attributes:
        rows: the n rows.
        labels: (n,) int64, positions in the names of the classes.
        embeddings: (n, d) floats, or None where there are none.
    """

    rows: Dataset
    labels: NDArray[np.int64]
    embeddings: NDArray[Any] | None

    def take(self, rows: NDArray[np.int64]) -> "Part":
        """The part that these positions are."""
        embeddings = None if self.embeddings is None else self.embeddings[rows]
        return Part(self.rows.select(rows), self.labels[rows], embeddings)

    @cached_property
    def digest(self) -> list[str]:
        """What tells these rows from others: of what a proxy reads where there are embeddings, else of all columns."""
        if self.embeddings is not None:
            return [array_digest(self.embeddings), array_digest(self.labels)]
        return [f"{column} {digest}" for column, digest in sorted(column_digests(self.rows).items())]


@dataclass(frozen=True, eq=False)
class Parts:
    """The user's data, with the positions of the training rows in the dataset that was passed."""

    classes: Groups
    train: Part
    held_out: Part
    positions: NDArray[np.int64]


def read_parts(
    dataset: Dataset,
    test: Dataset | float,
    *,
    embeddings: EmbeddingsLike | None,
    encoder: EncoderLike | None,
    test_embeddings: EmbeddingsLike | None,
    label_column: str | None,
) -> Parts:
    """Training and held-out rows, as `compare` and `recommend` take them.

    Args:
        test: the rows to hold out, or their share of each class of `dataset`; the same rows always.
        embeddings: of `dataset`, by which its share is told from `test_embeddings`, which are those of a dataset.
    """
    if isinstance(dataset, DatasetDict):
        raise ArgumentTypeError(
            f"`dataset`: wanted one split and not {list(dataset)}; pass as dataset the split to prune, and as test= "
            'another, as in ds["train"], test=ds["test"]'
        )
    for name, rows in {"dataset": dataset, "test": test}.items():
        if not isinstance(rows, Dataset) and (name == "dataset" or not isinstance(rows, float)):
            wanted = "a datasets.Dataset" + (" or a share of the rows, as in test=0.2" if name == "test" else "")
            raise ArgumentTypeError(f"`{name}`: wanted {wanted}, got {type(rows).__name__}")
    if embeddings is not None and encoder is not None:
        raise ArgumentError("`embeddings`, `encoder`: pass one of the two; the encoder computes embeddings")
    classes = label_groups(dataset, label_column)
    whole = Part(dataset, classes.codes, _embeddings(dataset, "embeddings", embeddings, encoder))
    if isinstance(test, Dataset):
        of_test = label_groups(test, label_column)
        if test_embeddings is None and isinstance(embeddings, str):
            test_embeddings = embeddings
        vectors = _embeddings(test, "test_embeddings", test_embeddings, encoder)
        _check_vectors(whole.embeddings, vectors)
        held_out = Part(test, _codes(of_test, classes)[of_test.codes], vectors)
        return Parts(classes, whole, held_out, np.arange(len(dataset)))
    if test_embeddings is not None:
        raise ArgumentError("`test_embeddings`: these are of a dataset that is passed as test=; leave them out")
    if not 0 < test < 1:
        raise ArgumentError(f"`test`: wanted a share of the rows in (0, 1), as in test=0.2, got {test}")
    held, rest = split_by_class(classes.codes, test)
    return Parts(classes.take(rest), whole.take(rest), whole.take(held), rest)


def split_by_class(codes: NDArray[np.int64], share: float) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Positions of a share of each class's rows, rounded, and of the others; both ascending, the same always."""
    place, sizes = places_in_class(codes, seed=0), np.bincount(codes)
    taken = place < np.round(share * sizes)[codes]
    if not taken.any() or taken.all():
        raise ArgumentError(f"`test`: {share} of each class leaves no row on one side, of {len(codes)} rows")
    return np.flatnonzero(taken), np.flatnonzero(~taken)


def places_in_class(codes: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    """(n,) the place of each row in a random order of its class."""
    order = np.lexsort((keyed_hash(seed, np.arange(len(codes))), codes))
    sizes = np.bincount(codes)
    places = np.empty(len(codes), dtype=np.int64)
    places[order] = np.arange(len(codes)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return places


def _embeddings(dataset: Dataset, name: str, given: Any, encoder: Any) -> NDArray[Any] | None:
    if encoder is not None:
        from hf_prune.embeddings.compute import embed

        computed: NDArray[Any] = embed(dataset, encoder)
        return computed
    return None if given is None else float_array(dataset, name, given, 2)


def _check_vectors(of_training: NDArray[Any] | None, of_test: NDArray[Any] | None) -> None:
    if (of_training is None) != (of_test is None):
        raise ArgumentError(
            "`embeddings`, `test_embeddings`: wanted both where test= is a dataset, or encoder= in place of the two"
        )
    if of_training is not None and of_test is not None and of_training.shape[1] != of_test.shape[1]:
        raise ArgumentError(
            f"`test_embeddings`: wanted {of_training.shape[1]} numbers a row as in embeddings=, got {of_test.shape[1]}"
        )


def _codes(of_test: Groups, classes: Groups) -> NDArray[np.int64]:
    """The position in `classes` of each class of the test rows, by name; -1 for one that no test row has."""
    known = {name: code for code, name in enumerate(classes.names)}
    for name, size in zip(of_test.names, of_test.sizes, strict=True):
        if size and name not in known:
            hint = did_you_mean(name, known)
            raise ArgumentError(f"`test`: class {name!r} is none of the training rows'.{hint} {list(known)[:20]}")
    return np.array([known.get(name, -1) for name in of_test.names], dtype=np.int64)
