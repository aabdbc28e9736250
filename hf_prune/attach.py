"""What `import hf_prune` adds to the classes of datasets: `prune`, `Dataset.selection`, a record to `push_to_hub`."""

import functools
import warnings
from typing import Any

from datasets import Dataset, DatasetDict, IterableDataset, IterableDatasetDict

from hf_prune.dataset import prune
from hf_prune.publish import ADDED, push_as_usual
from hf_prune.selection.selection import selection_of


def attach_methods() -> None:
    """Add the methods; doing it twice changes nothing, and a `prune` or `selection` of another package stays."""
    added: list[tuple[type, str, Any]] = [(Dataset, "selection", _SELECTION)]
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


def _with_record(push: Any) -> Any:
    """The method of datasets that is given, which also pushes the record where the rows were pruned."""

    @functools.wraps(push)
    def push_to_hub(self: Any, *args: Any, **options: Any) -> Any:
        return push_as_usual(self, *args, **options)

    setattr(push_to_hub, ADDED, True)
    return push_to_hub


for _function in (prune, selection_of):
    setattr(_function, ADDED, True)
_SELECTION = property(selection_of)


def _add(cls: type, name: str, value: Any) -> bool:
    """Whether `cls` has our `value` under `name` now."""
    there = getattr(cls, name, value)
    if not hasattr(getattr(there, "fget", there), ADDED):
        return False
    setattr(cls, name, value)
    return True
