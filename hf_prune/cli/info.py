"""`hf-prune info`: what lies at a path or on the Hub, in a few lines."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from datasets import ClassLabel, Features, Value, load_dataset_builder
from huggingface_hub import HfApi
from huggingface_hub.errors import RepositoryNotFoundError

from hf_prune.cli.artefacts import dynamics_at, holds_dynamics, of_selection, selection_at, selection_of_rows
from hf_prune.cli.command import Answer
from hf_prune.dynamics.dynamics import PARQUET, TrainingDynamics
from hf_prune.errors import ArgumentError
from hf_prune.hub.repository import folder_of
from hf_prune.selection.record import JSON
from hf_prune.selection.selection import Selection
from hf_prune.sources.read import is_hub_id, read_splits

Row = Annotated[int | None, typer.Option(help="Explain what became of this row, counted from 0.", show_default=False)]


def info(
    place: Annotated[
        str,
        typer.Argument(
            metavar="PATH|HUB_ID", help="A selection, a training run, or data in any form.", show_default=False
        ),
    ],
    row: Row = None,
    config: Annotated[str | None, typer.Option(help="Of what is on the Hub.", show_default=False)] = None,
    split: Annotated[str, typer.Option(help="Of what is on the Hub, and for --row.")] = "train",
) -> Answer:
    """Show what a path or a repository holds.

    A selection or a training run, or rows with or without the record of a selection; of what is on the Hub only
    records are downloaded.

    \b
    hf-prune info coreset
    hf-prune info coreset --row 12
    hf-prune info run.safetensors
    """
    path = Path(place).expanduser()
    if not path.exists() and is_hub_id(place):
        return _on_the_hub(place, config, split, row)
    if (path / JSON).is_file():
        return _of_selection(selection_at(place), row)
    if path.exists() and holds_dynamics(path):
        return _of_dynamics(dynamics_at(place), row)
    splits = read_splits(place)
    selections = {name: selection_of_rows(path, rows) for name, rows in splits.items()}
    if row is not None:
        name = split if selections.get(split) or len(splits) > 1 else next(iter(splits))
        if (chosen := selections.get(name)) is None:
            raise ArgumentError(f"`path`: the rows of split {name!r} in {place!r} have no record that explains them")
        return _of_selection(chosen, row)
    lines, document = [], {}
    for name, rows in splits.items():
        lines.append(f"split {name}: {_columns(len(rows), rows.features)}")
        document[name] = {"rows": len(rows), "columns": _kinds(rows.features)}
        if (chosen := selections[name]) is not None:
            lines.append(chosen.summary())
            document[name] |= {"selection": of_selection(chosen)}
    return Answer("\n".join(lines), {"kind": "dataset", "splits": document})


def _of_selection(selection: Selection, row: int | None) -> Answer:
    if row is None:
        return Answer(selection.summary(), {"kind": "selection"} | of_selection(selection))
    explanation = selection.explain(row)
    return Answer(explanation, {"row": row, "kept": bool(selection.kept[row]), "explanation": explanation})


def _of_dynamics(run: TrainingDynamics, row: int | None) -> Answer:
    if row is not None:
        if not 0 <= row < len(run):
            raise ArgumentError(f"`row`: wanted the position of a row, below {len(run)}, got {row}")
        values = {signal: run[signal][:, row].tolist() for signal in run.signals}
        lines = [f"{signal}: {', '.join(f'{value:.4g}' for value in of_row)}" for signal, of_row in values.items()]
        return Answer("\n  ".join([f"row {row}, epoch by epoch", *lines]), {"row": row} | values)
    features = {moment: list(array.shape) for moment, array in run.features.items()}
    document = {"kind": "dynamics", "rows": len(run), "epochs": run.epochs, "task": run.task, "seen": run.coverage}
    lines = [
        f"training dynamics of {len(run):,} rows in {run.epochs} epochs, {run.coverage:.1%} seen",
        f"task {run.task}, signals {', '.join(run.signals)}",
        *(f"{moment} features of {shape[1]} numbers" for moment, shape in features.items()),
    ]
    return Answer("\n  ".join(lines), document | {"signals": list(run.signals), "features": features})


def _on_the_hub(repo: str, config: str | None, split: str, row: int | None) -> Answer:
    """What a repository has of hf_prune, or else what its card says of its data."""
    folder = folder_of(config or "default", split)
    try:
        files = HfApi(library_name="hf_prune").list_repo_files(repo, repo_type="dataset")
    except RepositoryNotFoundError as error:
        raise ArgumentError(
            f"`path`: no file or folder {repo!r} here, and no dataset of this name on the Hub, or it is private: log "
            "in with `hf auth login`"
        ) from error
    if f"{folder}/{JSON}" in files:
        return _of_selection(Selection.from_hub(repo, config or "default", split), row)
    if f"{folder}/{PARQUET}" in files:
        return _of_dynamics(TrainingDynamics.from_hub(repo, config or "default", split), row)
    if row is not None:
        raise ArgumentError(f"`path`: {repo!r} has no {folder}/{JSON}, which would explain its rows")
    info = load_dataset_builder(repo, config).info
    counts = {name: part.num_examples for name, part in (info.splits or {}).items()}
    kinds = _kinds(info.features or {})
    lines = [f"split {name}: {_columns(count, info.features)}" for name, count in counts.items()]
    text = "\n".join(lines) or f"the card of {repo} says nothing of its rows"
    document = {name: {"rows": n, "columns": kinds} for name, n in counts.items()}
    return Answer(text, {"kind": "dataset", "splits": document})


def _columns(count: int, features: Features) -> str:
    kinds = ", ".join(f"{name} ({kind})" for name, kind in _kinds(features).items())
    return f"{count:,} rows; {kinds}"


def _kinds(features: Mapping[str, Any]) -> dict[str, str]:
    """Of each column what it holds, in a word or two."""
    return {name: _kind(feature) for name, feature in features.items()}


def _kind(feature: Any) -> str:
    if isinstance(feature, ClassLabel):
        return f"{feature.num_classes} classes"
    return str(feature.dtype).removeprefix("large_") if isinstance(feature, Value) else type(feature).__name__
