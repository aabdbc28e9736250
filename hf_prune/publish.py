"""Pruned datasets on the Hugging Face Hub, each with the record of how it was selected."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from datasets import Dataset, DatasetDict
from huggingface_hub import CommitInfo

from hf_prune.arguments import did_you_mean
from hf_prune.digest import column_digests
from hf_prune.errors import ArgumentError, ArgumentTypeError
from hf_prune.hub.repository import Repository
from hf_prune.selection.live import live_selection
from hf_prune.selection.published import SplitRecord, push_records
from hf_prune.selection.selection import Selection


def push_to_hub(
    dataset: Dataset | DatasetDict,
    repo_id: str,
    *,
    selection: Selection | Mapping[str, Selection] | None = None,
    config_name: str = "default",
    split: str | None = None,
    token: str | bool | None = None,
    revision: str | None = None,
    create_pr: bool = False,
    private: bool | None = None,
    explain: bool = False,
    id_column: str | None = None,
    **options: Any,
) -> CommitInfo:
    """Push a pruned dataset, the record of how it was selected, and a section of the dataset card.

    `coreset.push_to_hub(repo_id)` does the same once hf_prune is imported; other datasets are pushed as always.

    The first commit has the record, `hf_prune/<config>/<split>/selection.json` and `.parquet`, and the card's section,
    the second is the data, pushed by datasets itself. If the second fails, the old data stay, and the same call does
    both again; `Selection.verify` says whether data are those of the record. Where data are found by the names of
    their files the card also gets the `configs` that name them, so that load_dataset takes no record for data.

    Args:
        dataset: the pruned rows, or a DatasetDict of which some splits are pruned.
        repo_id: as in "me/cifar10-d2-30".
        selection: how the rows were selected, where the dataset no longer carries it, as after `map`; of a DatasetDict
            a mapping from splits to selections. By default those that are carried.
        config_name, split, token, revision, create_pr, private: those of Dataset.push_to_hub; with create_pr both
            commits go into one pull request.
        explain: also what the method learnt of every row, so that `explain` works after download: some 7 bytes a row
            of D2 more, rounded to three digits.
        id_column: a column of the source whose values name its rows; see `Selection.save`.
        options: others of datasets' own method, such as max_shard_size=.

    Returns:
        The commit of the data; with create_pr that of the record, which has the pull request's address.

    Raises:
        ArgumentError: no selection, one of other rows, or a repository that can't hold a record.
    """
    if not isinstance(dataset, Dataset | DatasetDict):
        raise ArgumentTypeError(f"`dataset`: wanted a Dataset or DatasetDict, got {type(dataset).__name__}")
    repository = Repository(repo_id, token, revision, create_pr, private)
    # Importing hf_prune wraps datasets' own method in one that comes back here.
    push = inspect.unwrap((DatasetDict if isinstance(dataset, DatasetDict) else Dataset).push_to_hub)
    _check_options(push, config_name, options if split is None else options | {"split": split})
    parts = dataset if isinstance(dataset, DatasetDict) else {split or str(dataset.split or "train"): dataset}
    records = [
        SplitRecord(replace(chosen, pruned_digests=column_digests(parts[name])), config_name, name, explain, id_column)
        for name, chosen in _selections(parts, selection).items()
    ]
    folder = options.get("data_dir") or ("data" if config_name == "default" else config_name)  # as datasets has it
    coming = {config_name: {name: [f"{folder}/{name}-*"] for name in parts}}
    first = push_records(repository, records, coming)
    options |= {"config_name": config_name, "private": private, "token": token}
    options["revision"] = f"refs/pr/{first.pr_num}" if create_pr else revision
    if isinstance(dataset, Dataset):
        options["split"] = next(iter(parts))
    try:
        second = push(dataset, repo_id, **options)
    except BaseException as error:
        error.add_note(
            "The record is on the Hub, the data are not: the repository still has the old ones. Push again."
        )
        raise
    return first if create_pr else second


def _check_options(push: Callable[..., Any], config_name: str, options: Mapping[str, Any]) -> None:
    """Refuse what datasets would refuse, before the record is pushed."""
    known = list(inspect.signature(push).parameters)[2:]
    if unknown := sorted(set(options).difference(known)):
        hint = did_you_mean(unknown[0], [*known, "selection", "explain", "id_column"])
        raise ArgumentTypeError(f"push_to_hub takes no {unknown[0]!r}.{hint}")
    if config_name == "data":
        raise ArgumentError("`config_name`: datasets keeps 'data' for itself; take another name")


def _selections(
    parts: Mapping[str, Dataset], given: Selection | Mapping[str, Selection] | None
) -> Mapping[str, Selection]:
    """The selection of each split; where none was given those that the datasets carry."""
    if isinstance(given, Selection):
        if len(parts) > 1:
            raise ArgumentError("`selection`: of a DatasetDict name the split, as in selection={'train': selection}")
        given = dict.fromkeys(parts, given)
    if given is None:
        given = {name: live for name, part in parts.items() if (live := live_selection(part)) is not None}
    if not given:
        raise ArgumentError(
            "`selection`: the dataset carries none; pass the sel = coreset.selection of before it was transformed, or "
            "push it without hf_prune"
        )
    for name, selection in given.items():
        if name not in parts:
            raise ArgumentError(f"`selection`: no split {name!r} in {list(parts)}")
        if len(parts[name]) != len(selection):
            raise ArgumentError(
                f"`selection`: it kept {len(selection)} rows, the dataset has {len(parts[name])} in {name!r}"
            )
    return given
