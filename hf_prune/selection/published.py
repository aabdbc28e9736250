"""A selection on its way to the Hub: the files of its record and its section of the dataset card."""

import contextlib
import tempfile
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from huggingface_hub import CommitInfo, CommitOperationAdd

from hf_prune.errors import ArgumentError, ArgumentTypeError, MissingExtraError
from hf_prune.hub.card_text import amended
from hf_prune.hub.commit import commit
from hf_prune.hub.data_files import Splits
from hf_prune.hub.repository import Place, download, folder_of
from hf_prune.labels import label_groups
from hf_prune.plots import plot_groups
from hf_prune.selection.card import section
from hf_prune.selection.files import JSON, PARQUET, write_record
from hf_prune.selection.record import to_record
from hf_prune.selection.selected import Selected

PICTURE = "selection.png"
MOST_CLASSES = 1000
"""Values of a label column beyond which they are hardly classes."""


@dataclass(frozen=True)
class Record:
    """What is pushed of one split.

    Args:
        explain, id_column: as in `hf_prune.push_to_hub`.
    """

    selection: Selected
    config: str
    split: str
    explain: bool = False
    id_column: str | None = None

    def __post_init__(self) -> None:
        folder_of(self.config, self.split)  # refuses names before anything is made

    @property
    def folder(self) -> str:
        return folder_of(self.config, self.split)

    @cached_property
    def shown(self) -> Selected:
        """As people see it: where no quotas were given, with the classes of the source as groups."""
        return with_classes(self.selection)

    def files(self, folder: Path) -> list[CommitOperationAdd]:
        """Written into `folder`: the record, and a picture if there are groups to show and matplotlib is there."""
        header, table = to_record(self.selection, compact=True, explain=self.explain, id_column=self.id_column)
        write_record(folder, header, table)
        names = [JSON, PARQUET]
        if self.shown.groups is not None:
            with contextlib.suppress(MissingExtraError), warnings.catch_warnings():  # no reason to install matplotlib
                warnings.filterwarnings("ignore", "Glyph .* missing", UserWarning)  # nor a font for every script
                plot_groups(self.shown.group_table()).savefig(folder / PICTURE, dpi=120)
                names.append(PICTURE)
        return [CommitOperationAdd(f"{self.folder}/{name}", folder / name) for name in names]

    def added_to(self, card: str, repo_id: str, *, picture: bool) -> str:
        """The card with this record's section."""
        text = section(self.shown, repo_id, self.config, self.split, picture)
        return amended(card, text, self.config, self.split)


def with_classes(selection: Selected) -> Selected:
    """The selection with the source's classes as groups, if it has none and the source is at hand and has classes."""
    source = selection.source.dataset
    if selection.groups is not None or source is None:
        return selection
    used = [step.signals["labels"]["column"] for step in selection.steps if "labels" in step.signals]
    try:
        classes = label_groups(source, used[-1] if used else None)
    except (ArgumentError, ArgumentTypeError):  # no labels, or such as no classes can be made of
        return selection
    return replace(selection, groups=classes) if len(classes.values) <= MOST_CLASSES else selection


def push_record(
    selection: Selected,
    repo_id: str,
    *,
    config: str = "default",
    split: str | None = None,
    explain: bool = False,
    id_column: str | None = None,
    **place: Any,
) -> CommitInfo:
    """Push the record alone; see Selection.push_to_hub.

    Args:
        place: the other fields of Place.
    """
    record = Record(selection, config, split or selection.source.origin.get("split") or "train", explain, id_column)
    return commit_records(Place(repo_id, **place), [record], {})


def pull_record(repo_id: str, config: str, split: str, revision: str | None, token: str | bool | None) -> Path:
    """The folder with the files of a record that was pushed."""
    folder = folder_of(config, split)
    return download(repo_id, [f"{folder}/{JSON}", f"{folder}/{PARQUET}"], revision, token)[0].parent


def commit_records(place: Place, records: list[Record], coming: Mapping[str, Splits]) -> CommitInfo:
    """The records and the card in one commit."""
    with tempfile.TemporaryDirectory() as temporary:
        files = [file for record in records for file in record.files(Path(temporary) / record.folder)]
        paths = {file.path_in_repo for file in files}

        def change(card: str) -> str:
            for record in records:
                card = record.added_to(card, place.repo, picture=f"{record.folder}/{PICTURE}" in paths)
            return card

        message = "; ".join(f"hf_prune: record of {record.config}/{record.split}" for record in records)
        return commit(place, files, message, change=change, coming=coming)
