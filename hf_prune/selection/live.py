"""The selection that a dataset or a frame carries, found again for as long as its rows are the pruned ones."""

import os
import weakref
from dataclasses import replace
from typing import Any

import pandas as pd  # type: ignore[import-untyped]
from datasets import Dataset, DatasetDict

from hf_prune.digest import column_digests
from hf_prune.selection.carried import Description, are_the_rows, kept_in_files, write_beside
from hf_prune.selection.frames import carried_by
from hf_prune.selection.selection import ATTRIBUTE, Selection
from hf_prune.selection.source import Source

_found: "weakref.WeakKeyDictionary[Dataset, Selection]" = weakref.WeakKeyDictionary()
"""What was found once for a dataset without the attribute, which would change its pickle and so fingerprints."""


def live_selection(dataset: Dataset | pd.DataFrame) -> Selection | None:
    """The selection that a dataset carries, if it still has the pruned rows."""
    try:
        return selection_of(dataset)
    except AttributeError:
        return None


def selection_of(dataset: Dataset | pd.DataFrame) -> Selection:
    """The selection that a pruned dataset carries, or a frame, while it still has the pruned rows in their order.

    It goes along with whatever leaves the rows as they are, as `add_column`, `cast`, `map` or `flatten_indices`, and
    is found where `save_to_disk` has written it. Where the rows were shuffled, filtered or selected from it is lost,
    so keep it before, as in `sel = coreset.selection`; likewise where no column is left by which to tell.

    Cost: nothing for what `prune` gave; for what was made of it one pass over its columns, the first time.

    Raises:
        AttributeError: there is none, or the rows are others since.
    """
    if isinstance(dataset, pd.DataFrame):
        if isinstance(found := carried_by(dataset), Selection):
            return found
        raise AttributeError(
            "this frame carries no selection: it was not pruned, or its rows are others since; keep it before you "
            "transform, as in `sel = hf_prune.selection_of(coreset)`"
        )
    selection: Selection | None = getattr(dataset, ATTRIBUTE, None) or _found.get(dataset)
    if selection is None:
        if (selection := _find(dataset)) is None:
            raise AttributeError(_why_none(dataset))
        _found[dataset] = selection
    if len(selection) != len(dataset):
        raise AttributeError(
            f"this dataset has {len(dataset)} rows but its selection {len(selection)}: rows were filtered since the "
            "pruning; keep the selection before you transform, as in `sel = coreset.selection`"
        )
    return selection


def selections_of(splits: DatasetDict) -> dict[str, Selection]:
    """The selection of each split that carries one.

    Raises:
        AttributeError: none does.
    """
    found = {name: selection for name, part in splits.items() if (selection := live_selection(part)) is not None}
    if not found:
        raise AttributeError(
            f"none of the splits {list(splits)} carries a selection; ask one why, as in its .selection"
        )
    return found


def save_beside(dataset: Dataset, path: str | os.PathLike[str], storage_options: dict[str, Any] | None) -> None:
    """Write the selection that `dataset` carries, if any, into the folder where `save_to_disk` wrote its rows."""
    if (selection := live_selection(dataset)) is not None:
        write_beside(replace(selection, pruned_digests=column_digests(dataset)), path, storage_options)


def _find(dataset: Dataset) -> Selection | None:
    """The selection that a dataset's description carries or that lies beside its files, if the rows are its own."""
    description = dataset.info.description
    if isinstance(description, Description):
        carried = description.selection
        return carried if isinstance(carried, Selection) and are_the_rows(description.rows, dataset) else None
    saved = kept_in_files(Selection, dataset)
    if saved is None or saved.pruned_digests is None:
        return None
    return saved if are_the_rows(Source(len(saved), {}, recorded=saved.pruned_digests), dataset) else None


def _why_none(dataset: Dataset) -> str:
    reason = (
        "this dataset carries no selection: it was not pruned, or its rows are others since (filter, sort, shuffle, "
        "select, ...) or can't be told from others; keep it before you transform, as in `sel = coreset.selection`"
    )
    origin = Source.of(dataset).origin
    if "derived" in origin or "dataset" not in origin:
        return reason
    # What was pushed or written as Parquet; nothing is downloaded unasked.
    folder = f"hf_prune/{origin.get('config', 'default')}/{origin.get('split', 'train')}"
    return (
        f"{reason}. If it was pushed with its record, read that: hf_prune.Selection.from_hub("
        f"{origin.get('repo', 'me/coreset')!r}), or of a local copy hf_prune.Selection.load('.../{folder}')"
    )
