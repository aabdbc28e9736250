"""Pruned rows on disk with their record, whole or not at all, and never over what is there without being told."""

import os
from dataclasses import dataclass, replace
from pathlib import Path

from datasets import Dataset, DatasetDict

from hf_prune.cli.artefacts import record_beside
from hf_prune.digest import column_digests
from hf_prune.errors import ArgumentError
from hf_prune.files import whole_file, whole_folder
from hf_prune.hub.repository import FOLDER
from hf_prune.selection.live import selection_of
from hf_prune.selection.selection import Selection
from hf_prune.sources.read import holds_nothing_else
from hf_prune.sources.write import check_writable, write_file


@dataclass(frozen=True)
class Output:
    """Where rows go: a file in the format of its end, or without an end a folder that load_from_disk reads."""

    path: Path
    force: bool

    @property
    def is_file(self) -> bool:
        return bool(self.path.suffix) and not self.path.is_dir()

    @property
    def record(self) -> Path:
        """Where the record goes: beside a file, into a folder."""
        return record_beside(self.path) if self.is_file else self.path / FOLDER

    def check(self, source: str, rows: Dataset) -> None:
        """Refuse, before any work, what `write` would.

        Raises:
            ArgumentError: it is there already, is the source, or can't hold these rows.
        """
        check_free(self.path, self.force)
        if Path(source).exists() and os.path.realpath(source) == os.path.realpath(self.path):
            raise ArgumentError(f"`output`: {str(self.path)!r} is the source itself; name another")
        if self.is_file:
            check_free(self.record, self.force)
            check_writable(rows.features, self.path)
        elif self.path.is_dir() and any(self.path.iterdir()) and not _is_saved(self.path):
            raise ArgumentError(
                f"`output`: the folder {str(self.path)!r} holds something else than a saved dataset, which --force "
                "would delete; name another"
            )

    def write(self, pruned: Dataset | DatasetDict) -> None:
        """Write the rows and the record of each split that carries a selection; a file holds one split."""
        if not self.is_file:
            with whole_folder(self.path, kind="saved dataset", is_one=_is_saved) as folder:
                pruned.save_to_disk(folder)
            return
        assert isinstance(pruned, Dataset), "a file holds one split"
        selection: Selection = replace(selection_of(pruned), pruned_digests=column_digests(pruned))
        with whole_file(self.path, suggested="coreset.parquet") as file:
            write_file(pruned, file, self.path.suffix)
            # First, so that a kill in between leaves no rows without a record; one of other rows is refused later.
            selection.save(self.record)


def _is_saved(folder: Path) -> bool:
    """Whether a folder has a saved dataset, perhaps with its record, and nothing else."""
    return holds_nothing_else(folder, FOLDER)


def check_free(path: Path, force: bool) -> None:
    """Refuse a path where something is, unless it may be replaced."""
    empty = path.is_dir() and not any(path.iterdir())
    if os.path.lexists(path) and not empty and not force:
        raise ArgumentError(f"`output`: {str(path)!r} is there already; name another, or pass --force to replace it")
