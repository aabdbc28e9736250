"""What `import hf_prune` adds to datasets: `prune`, `selection`, and a record to what is pushed or saved."""

import functools
import inspect
import logging
import warnings
from typing import Any

from datasets import Dataset, DatasetDict, IterableDataset, IterableDatasetDict

from hf_prune.dataset import prune
from hf_prune.publish import push_to_hub as push_with_record
from hf_prune.selection.live import live_selection, save_beside, selection_of, selections_of
from hf_prune.selection.source import RECIPE

logger = logging.getLogger(__name__)

ADDED = "_added_by_hf_prune"
"""The mark of what hf_prune has put into the classes of datasets."""


def attach_methods() -> None:
    """Add the methods; doing it twice changes nothing, and a `prune` or `selection` of another package stays."""
    added: list[tuple[type, str, Any]] = [(Dataset, "selection", _SELECTION), (DatasetDict, "selection", _SELECTIONS)]
    # The streaming classes for their clear error.
    added += [(cls, "prune", prune) for cls in (Dataset, DatasetDict, IterableDataset, IterableDatasetDict)]
    taken = [f"{cls.__name__}.{name}" for cls, name, value in added if not _add(cls, name, value)]
    if taken:
        warnings.warn(
            f"another package has defined {' and '.join(taken)}, which was left as it is; use "
            "hf_prune.prune(ds, ...) and hf_prune.selection_of(ds)",
            stacklevel=2,
        )
    for cls in (Dataset, DatasetDict):
        if not hasattr(cls.push_to_hub, ADDED):
            cls.push_to_hub = _with_record(cls.push_to_hub)
    if not hasattr(Dataset.save_to_disk, ADDED):  # which that of DatasetDict calls
        Dataset.save_to_disk = _beside_record(Dataset.save_to_disk)


def _with_record(push: Any) -> Any:
    """The method of datasets that is given, which also pushes the record where the rows were pruned."""

    @functools.wraps(push)
    def push_to_hub(self: Any, *args: Any, **options: Any) -> Any:
        parts = self.values() if isinstance(self, DatasetDict) else [self]
        if any(isinstance(part, Dataset) and live_selection(part) is not None for part in parts):
            given = inspect.signature(push).bind_partial(self, *args).arguments | options
            del given["self"]
            return push_with_record(self, **given)
        if any(RECIPE in (getattr(part.info, "description", None) or "") for part in parts):
            logger.warning(
                "these rows were pruned and transformed since, so the record of how they were selected is not pushed; "
                "to push it too: hf_prune.push_to_hub(dataset, repo_id, selection=sel) with the sel = "
                "coreset.selection of before"
            )
        return push(self, *args, **options)

    setattr(push_to_hub, ADDED, True)
    return push_to_hub


def _beside_record(save: Any) -> Any:
    """The method of datasets that is given, which also writes the record where the rows were pruned."""

    @functools.wraps(save)
    def save_to_disk(self: Any, dataset_path: Any, *args: Any, **options: Any) -> None:
        save(self, dataset_path, *args, **options)
        given = inspect.signature(save).bind_partial(self, dataset_path, *args, **options).arguments
        save_beside(self, dataset_path, given.get("storage_options"))

    setattr(save_to_disk, ADDED, True)
    return save_to_disk


for _function in (prune, selection_of, selections_of):
    setattr(_function, ADDED, True)
_SELECTION, _SELECTIONS = property(selection_of), property(selections_of)


def _add(cls: type, name: str, value: Any) -> bool:
    """Whether `cls` has our `value` under `name` now."""
    there = getattr(cls, name, value)
    if not hasattr(getattr(there, "fget", there), ADDED):
        return False
    setattr(cls, name, value)
    return True
