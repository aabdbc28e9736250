"""What a run trains on: how many rows, which ones, and what stands in them."""

import logging
from dataclasses import dataclass
from typing import Any

from hf_prune.dynamics.row_digests import RowDigests, row_digests
from hf_prune.errors import ArgumentError
from hf_prune.recording.ids import WithIds
from hf_prune.recording.refused import check_countable

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainData:
    """The rows of a loader.

    Attributes:
        n: how many there are.
        identity: what tells them from others: the fingerprint of a datasets.Dataset, else the object's id.
    """

    n: int
    identity: str | int

    @classmethod
    def of(cls, loader: Any, num_examples: int | None = None) -> "TrainData":
        """The rows of a loader.

        Args:
            num_examples: how many there are in a dataset that is read in a stream.

        Raises:
            ArgumentError: the rows can't be counted, and nobody said how many there are.
        """
        dataset = loader.dataset
        if num_examples is None:
            check_countable(dataset)
        identity = getattr(dataset, "_fingerprint", None) or id(dataset)
        return cls(len(dataset) if num_examples is None else num_examples, identity)

    def check_same(self, before: "TrainData") -> None:
        """Refuse an epoch on other rows than the epochs before were on."""
        another = "take a new PruningTrainerCallback for another dataset"
        if self.n != before.n:
            raise ArgumentError(
                f"`dataloader`: the epochs before are of {before.n} rows, this dataset has {self.n}; {another}"
            )
        if isinstance(self.identity, str) and self.identity != before.identity:
            raise ArgumentError(
                f"`dataloader`: the epochs before are of other rows of the same number, {self.n}, by the dataset's "
                f"fingerprint; {another}"
            )

    def say_if_dropped(self, before: "TrainData | None", epochs: int) -> None:
        """Say that what was recorded of a run on other rows is dropped."""
        if epochs and before not in (None, self):
            logger.warning(
                "the recorder begins anew, on another train_dataset of %d rows: what it held of %d epochs of %d rows "
                "is dropped; keep `recorder.dynamics` of each run, or take a new PruningTrainerCallback for each",
                self.n,
                epochs,
                before.n if before else 0,
            )


def digests_of(loader: Any) -> RowDigests:
    """Digests of the rows that a loader fetches where they are those of a datasets.Dataset; else none."""
    dataset = loader.dataset
    while isinstance(dataset, WithIds):
        dataset = dataset._dataset
    return row_digests(dataset)
