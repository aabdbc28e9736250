"""Selections on the Hub: the files of their records and their sections of the dataset card."""

import contextlib
import tempfile
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import CommitInfo

from hf_prune.errors import MissingExtraError
from hf_prune.hub.card_text import amended
from hf_prune.hub.commit import commit
from hf_prune.hub.data_files import Splits
from hf_prune.hub.facts import facts_of, with_facts
from hf_prune.hub.repository import Repository, folder_of
from hf_prune.plots import plot_groups
from hf_prune.selection.card import section
from hf_prune.selection.data import SelectionData
from hf_prune.selection.record import write_record

PICTURE = "selection.png"


@dataclass(frozen=True)
class SplitRecord:
    """What is pushed of one split.

    Args:
        explain, id_column: as `hf_prune.push_to_hub` takes them.
    """

    selection: SelectionData
    config: str
    split: str
    explain: bool = False
    id_column: str | None = None

    @property
    def folder(self) -> str:
        """Where the record lies in a repository; ArgumentError where a name is no folder's."""
        return folder_of(self.config, self.split)

    def files(self, folder: Path) -> dict[str, Path]:
        """Write the record into `folder`, and a picture if there are groups to show and matplotlib is installed.

        Returns:
            From paths in the repository to those of the files.
        """
        write_record(folder, self.selection, compact=True, explain=self.explain, id_column=self.id_column)
        if table := self.selection.group_table():
            with contextlib.suppress(MissingExtraError), warnings.catch_warnings():  # no reason to install matplotlib
                warnings.filterwarnings("ignore", "Glyph .* missing", UserWarning)  # nor a font for every script
                plot_groups(table).savefig(folder / PICTURE, dpi=120)
        return {f"{self.folder}/{file.name}": file for file in folder.iterdir()}


def push_records(
    repository: Repository, records: list[SplitRecord], coming: Mapping[str, Splits] | None = None
) -> CommitInfo:
    """Push records and their sections of the card in one commit.

    Args:
        coming: the data of the next commit, as `hub.commit` takes them.
    """
    with tempfile.TemporaryDirectory() as temporary:
        files = {
            path: file for record in records for path, file in record.files(Path(temporary) / record.folder).items()
        }

        rows = sum(len(record.selection) for record in records) if coming else 0
        facts = facts_of(repository, [_origin(record.selection) for record in records], rows)

        def change(card: str) -> str:
            for record in records:
                picture = f"{record.folder}/{PICTURE}" in files
                text = section(record.selection, repository.full_id, record.config, record.split, picture)
                card = amended(card, text, record.config, record.split)
            return with_facts(card, facts)

        message = "; ".join(f"hf_prune: record of {record.config}/{record.split}" for record in records)
        return commit(repository, files, message, change=change, coming=coming)


def _origin(selection: SelectionData) -> dict[str, Any]:
    """Where the source is from, with the licence that its info names."""
    dataset = selection.source.dataset
    return selection.source.origin | ({} if dataset is None else {"license": dataset.info.license})
