"""The rows of a dataset whose labels are probably wrong, to look at."""

import logging
from typing import Any

import numpy as np
from datasets import Dataset, Features, Value, concatenate_datasets
from numpy.typing import NDArray

from hf_prune.arguments import whole_number
from hf_prune.errors import ArgumentError, ArgumentTypeError
from hf_prune.groups import Groups
from hf_prune.methods.doubts import OR_ELSE
from hf_prune.methods.suspects import judged
from hf_prune.selection.table import doubts_of_a_label
from hf_prune.signals.given import DynamicsLike, EmbeddingsLike, EncoderLike
from hf_prune.signals.inputs import Inputs

logger = logging.getLogger(__name__)

ADDED = ("row", "suggested_label", "trust", "reason")


def find_label_errors(
    dataset: Dataset,
    *,
    dynamics: DynamicsLike,
    embeddings: EmbeddingsLike | None = None,
    encoder: EncoderLike | None = None,
    label_column: str | None = None,
    most: int | None = None,
) -> Dataset:
    """The rows whose labels are suspect, the most suspect first, with what speaks against each.

    These are the rows that `cutoff="auto"` of `prune` holds back, found by the same rule: what a run learnt early and
    the labels of the nearest rows must both speak against a label, in sum. `hf_prune.methods.suspects` has the rule
    and where it fails. On truly ambiguous data right labels are among them, so look at them before you drop any.

    Measured beside cleanlab in tests/benchmarks/suspects: better where a class is confused with one other, and on
    digits; where labels are wrong at random in classes that look alike, as garments, and on film reviews, cleanlab's
    ranking is better. For the former `prune`'s cutoff= with a fraction, which ranks by AUM, is as good as that.

    Args:
        dataset: the n rows that were trained on. Rows without a label are passed over.
        dynamics, embeddings, encoder, label_column: as in `prune`.
        most: how many rows to return, whatever share of the labels seems to be wrong; by default as many as are
            suspect, which is none where the embeddings or the run can't know. A warning says then why.

    Returns:
        The rows with their columns and four more: "row", the position in `dataset`; "suggested_label", what most of
        the nearest rows have, as the label column holds it, or None where that is the row's own; "trust", from -2 to
        2, lowest first; "reason", in words.

    Raises:
        ArgumentError: no labels, dynamics or embeddings, or a column has one of the names above.
        ArgumentTypeError: `dataset` is no Dataset.

    Cost: the O(n^2 d) of a nearest-neighbour graph, and O(epochs * n).

    >>> import hf_prune, numpy as np
    >>> points = np.repeat([[0.0], [9.0]], 40, axis=0) + np.linspace(0, 1, 80)[:, None]
    >>> labels = np.repeat([0, 1], 40)
    >>> logits = [4 * np.eye(2)[labels]]
    >>> labels[[3, 8, 20, 50, 55, 71]] ^= 1
    >>> run = hf_prune.TrainingDynamics.from_logits(logits, labels)
    >>> found = find_label_errors(Dataset.from_dict({"label": labels}), dynamics=run, embeddings=points)
    >>> found["row"][:], found["suggested_label"][:]
    ([71, 20, 55, 50, 8, 3], [1, 0, 1, 1, 0, 0])
    >>> found[0]["reason"]
    'the nearest rows vote for 1, 100% ahead; the run puts its label 0.96 below another class'
    """
    if not isinstance(dataset, Dataset):
        raise ArgumentTypeError(f"`dataset`: wanted a datasets.Dataset, got {type(dataset).__name__}")
    if taken := [name for name in ADDED if name in dataset.column_names]:
        renamed = {name: f"own_{name}" for name in taken}
        raise ArgumentError(f"`dataset`: its columns {taken} would be lost; rename them, ds.rename_columns({renamed})")
    passed = {"dynamics": dynamics, "embeddings": embeddings, "encoder": encoder}
    inputs = Inputs(dataset, label_column, None, passed, "drop")
    signals = inputs.signals(frozenset({"dynamics", "labels", "embeddings"}), "find_label_errors")
    rating = judged(signals, "auto")
    if most is None and (doubt := signals.notes["cutoff"]["doubt"]):
        instead = ", or pass most= to see so many of the rows that are trusted least"
        logger.warning("find_label_errors finds none: %s", doubt.removesuffix(OR_ELSE) + instead)
    if most is None:
        chosen = np.flatnonzero(rating["place"])
        chosen = chosen[np.argsort(rating["place"][chosen])]
    else:
        chosen = np.argsort(rating["trust"], kind="stable")[: whole_number("most", most, at_least=1)]
    rows = np.flatnonzero(~inputs.without)[chosen]
    return _with_reasons(dataset, rows, rating[chosen], signals.labels, inputs.record()["labels"]["column"])


def _with_reasons(
    dataset: Dataset, rows: NDArray[np.int64], rating: NDArray[Any], labels: Groups, column: str
) -> Dataset:
    """These rows with what is known of the label of each."""
    voted = rating["voted"].tolist()
    suggested = [
        labels.values[code] if support < 0 else None for code, support in zip(voted, rating["neighbors"], strict=True)
    ]
    reasons = [
        doubts_of_a_label(trust, support, labels.names[code])
        for trust, support, code in zip(rating["trust"], rating["neighbors"], voted, strict=True)
    ]
    kinds = (Value("int64"), dataset.features[column], Value("float64"), Value("string"))
    added = Features(zip(ADDED, kinds, strict=True))
    if not len(rows):  # beside which datasets can put no column
        whole = Features({**dataset.features, **added})
        return Dataset.from_dict({name: [] for name in whole}, features=whole)
    columns = dict(zip(ADDED, (rows, suggested, rating["trust"], reasons), strict=True))
    return concatenate_datasets([dataset.select(rows), Dataset.from_dict(columns, features=added)], axis=1)
