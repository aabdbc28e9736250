"""`hf-prune push`: rows with their record, a selection or training dynamics to the Hub."""

from pathlib import Path
from typing import Annotated, Any

import typer
from huggingface_hub import CommitInfo

from hf_prune.cli.artefacts import dynamics_at, holds_dynamics, selection_of_rows
from hf_prune.cli.command import Answer
from hf_prune.cli.options import IdColumn
from hf_prune.errors import ArgumentError
from hf_prune.publish import push_to_hub
from hf_prune.selection.record import JSON
from hf_prune.selection.selection import Selection
from hf_prune.sources.read import read_splits


def push(
    path: Annotated[
        str,
        typer.Argument(
            metavar="PATH", help="What `hf-prune prune` wrote, a saved selection or a run.", show_default=False
        ),
    ],
    repo: Annotated[
        str, typer.Argument(metavar="REPO", help="A dataset repository, such as me/coreset.", show_default=False)
    ],
    config: Annotated[str, typer.Option(help="The configuration to push it as.")] = "default",
    split: Annotated[
        str | None, typer.Option(help="The split to push it as; by default its own.", show_default=False)
    ] = None,
    private: Annotated[bool | None, typer.Option(help="Of a repository that is new.", show_default=False)] = None,
    revision: Annotated[str | None, typer.Option(help="The branch to push to.", show_default=False)] = None,
    create_pr: Annotated[bool, typer.Option("--create-pr", help="Open a pull request.")] = False,
    explain: Annotated[
        bool, typer.Option("--explain", help="Also what the method learnt of every row, which `info --row` reads.")
    ] = False,
    id_column: IdColumn = None,
) -> Answer:
    """Push pruned rows and their record.

    The dataset card gets a section on them. A saved selection or a training run is pushed alone. Log in with
    `hf auth login`, or set HF_TOKEN.

    \b
    hf-prune push coreset me/reviews-d2-30
    """
    where: dict[str, Any] = {"revision": revision, "create_pr": create_pr, "private": private}
    of_record: dict[str, Any] = {"explain": explain, "id_column": id_column}
    source = Path(path).expanduser()
    if not source.exists():
        raise ArgumentError(f"`path`: no file or folder {path!r}")
    if (source / JSON).is_file():
        what = "the selection"
        commit = Selection.load(source).push_to_hub(repo, config=config, split=split, **of_record, **where)
    elif holds_dynamics(source):
        what = "the training dynamics"
        commit = dynamics_at(path).push_to_hub(repo, config=config, split=split or "train", **where)
    else:
        what = "the rows and their record"
        commit = _push_rows(source, repo, split, config_name=config, **of_record, **where)
    address = commit.pr_url or commit.commit_url
    return Answer(f"pushed {what} to {address}", {"repo": repo, "pushed": what, "address": address})


def _push_rows(source: Path, repo: str, split: str | None, **options: Any) -> CommitInfo:
    splits = read_splits(str(source))
    found = {name: selection_of_rows(source, rows) for name, rows in splits.items()}
    selections = {name: selection for name, selection in found.items() if selection is not None}
    if not selections:
        raise ArgumentError(
            f"`path`: the rows in {str(source)!r} have no record of a selection; push other data with `hf upload`"
        )
    if len(splits) > 1:
        if split is not None:
            raise ArgumentError(f"`split`: {str(source)!r} has the splits {list(splits)}, which keep their names")
        return push_to_hub(splits, repo, selection=selections, **options)
    (name,) = splits
    return push_to_hub(splits[name], repo, selection=selections[name], split=split, **options)
