"""What hf_prune leaves behind, selections and training dynamics: in files, beside data, on the Hub."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from datasets import Dataset

from hf_prune.dynamics.dynamics import TrainingDynamics
from hf_prune.dynamics.formulas import SIGNALS
from hf_prune.errors import AlignmentError, ArgumentError
from hf_prune.files import standing
from hf_prune.hub.repository import FOLDER
from hf_prune.selection.live import live_selection
from hf_prune.selection.record import JSON
from hf_prune.selection.selection import Selection
from hf_prune.sources.read import is_hub_id


def record_beside(file: Path) -> Path:
    """The folder of the record of the rows in a file."""
    return file.with_name(f"{file.name}.selection")


def record_at(path: Path, split: str = "train") -> Path | None:
    """The folder of the record at a path: a saved selection, beside saved rows or a file of rows; None without one."""
    beside, path = record_beside(path), standing(path)
    folders = (path, path / FOLDER, path / split / FOLDER, beside)
    return next((folder for folder in folders if (folder / JSON).is_file()), None)


def selection_at(place: str, config: str = "default", split: str = "train") -> Selection:
    """The selection that was saved or pushed, alone or with its rows.

    Raises:
        ArgumentError: there is none.
    """
    path = Path(place).expanduser()
    if (folder := record_at(path, split)) is not None:
        return Selection.load(folder)
    if not path.exists() and is_hub_id(place):
        return Selection.from_hub(place, config, split)
    raise ArgumentError(
        f"`selection`: no record of a selection at {place!r}; wanted what `hf-prune prune` or "
        "Selection.save wrote, or the id of a repository"
    )


def selection_of_rows(path: Path, rows: Dataset) -> Selection | None:
    """The selection that saved rows carry, or that lies beside their file; None without one.

    Raises:
        AlignmentError: the record beside the file is of other rows.
    """
    beside = record_beside(path)
    selection = Selection.load(beside) if path.is_file() and (beside / JSON).is_file() else None
    if selection is None or selection.pruned_digests is None:  # saved by someone else, without the rows
        return live_selection(rows)
    selection.verify(rows)
    return selection


def with_record_beside(file: str, rows: Dataset) -> Dataset:
    """The rows, which carry the selection whose record lies beside their file, unless they are others since."""
    try:
        selection = selection_of_rows(Path(file).expanduser(), rows)
    except AlignmentError:
        return rows
    return rows if selection is None or live_selection(rows) is not None else selection.attach(rows)


def holds_dynamics(path: Path) -> bool:
    """Whether a file is one that TrainingDynamics wrote, by its name or its columns."""
    if path.suffix != ".parquet" or not path.is_file():
        return path.suffix == ".safetensors"
    try:
        names = set(pq.read_schema(path).names)
    except (OSError, pa.ArrowException):  # whoever reads the data says what is wrong
        return False
    return {"row", "label"} <= names and bool(names & set(SIGNALS))


def dynamics_at(place: str, config: str = "default", split: str = "train") -> TrainingDynamics:
    """The dynamics in a file of either format, or on the Hub.

    Raises:
        ArgumentError: there are none.
    """
    path = Path(place).expanduser()
    if path.suffix == ".parquet":
        return TrainingDynamics.from_parquet(path)
    if not path.exists() and is_hub_id(place):
        return TrainingDynamics.from_hub(place, config, split)
    return TrainingDynamics.load(path)


def of_selection(selection: Selection) -> dict[str, Any]:
    """What a selection is, as JSON values."""
    return {
        "rows": selection.n,
        "kept": len(selection),
        "steps": [asdict(step) for step in selection.steps],
        "groups": selection.group_table(),
        "origin": selection.source.origin,
    }
