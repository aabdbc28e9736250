"""What `import hf_prune` adds to the classes of datasets: `prune`, and `Dataset.selection`."""

import warnings
from typing import Any

from datasets import Dataset, DatasetDict, IterableDataset, IterableDatasetDict

from hf_prune.dataset import prune
from hf_prune.selection import Selection, selection_of

_MARK = "_added_by_hf_prune"


def attach_methods() -> None:
    """Add the methods; doing it twice changes nothing, and a `prune` or `selection` of another package stays."""
    for cls in (Dataset, DatasetDict, IterableDataset, IterableDatasetDict):  # the last two for their clear error
        _add(cls, "prune", _prune, "hf_prune.prune(ds, ...)")
    _add(Dataset, "selection", property(_selection), "hf_prune.selection_of(ds)")


def _prune(self: Any, method: Any, *, keep: Any, **options: Any) -> Any:
    """Keep the rows that `method` chooses; see `hf_prune.prune`."""
    return prune(self, method, keep=keep, **options)


def _selection(self: Dataset) -> Selection:
    """How this dataset was pruned; see `hf_prune.Selection`."""
    return selection_of(self)


for _function in (_prune, _selection):
    setattr(_function, _MARK, True)


def _add(cls: type, name: str, value: Any, instead: str) -> None:
    found = getattr(cls, name, None)
    if found is None:
        setattr(cls, name, value)
    elif not hasattr(getattr(found, "fget", found), _MARK):
        warnings.warn(
            f"{cls.__name__}.{name} is already defined by {getattr(found, '__module__', 'another package')} and was "
            f"left as it is; use {instead}",
            stacklevel=3,
        )
