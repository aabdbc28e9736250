"""Repositories on the Hub: which are ours to write to, what lies where in them, and files of one commit."""

import re
from pathlib import Path
from typing import Any

from huggingface_hub import HfApi, hf_hub_download
from huggingface_hub.errors import EntryNotFoundError, RepositoryNotFoundError, RevisionNotFoundError

from hf_prune.errors import ArgumentError, ArgumentTypeError

FOLDER, CARD = "hf_prune", "README.md"


def folder_of(config: str, split: str) -> str:
    """Where the record of a split lies in a repository.

    Raises:
        ArgumentError: a name that is no folder's.
    """
    for argument, name, marks in (("config", config, ".-"), ("split", split, ".")):
        if not isinstance(name, str) or not re.fullmatch(rf"\w+([{marks}]\w+)*", name):
            raise ArgumentError(
                f"`{argument}`: wanted a name of letters, digits and '_', with {' or '.join(map(repr, marks))} "
                f"between them, got {name!r}"
            )
    return f"{FOLDER}/{config}/{split}"


def check_place(repo_id: Any) -> None:
    if not isinstance(repo_id, str):
        raise ArgumentTypeError(f"`repo_id`: wanted a text such as 'me/cifar10-d2-30', got {repo_id!r}")
    if repo_id.startswith("buckets/"):
        raise ArgumentError(
            f"`repo_id`: {repo_id!r} is a bucket, which has no commits and no card and so can't hold the record of a "
            "selection; push to a dataset repository, or the rows alone: "
            "coreset.select(range(len(coreset))).push_to_hub(...)"
        )


def make_repo(api: HfApi, repo_id: str, revision: str | None, private: bool | None) -> str:
    """The repository's full name, of the user where no owner is given; it and its branch are made if need be."""
    try:
        repo_id = api.repo_info(repo_id, repo_type="dataset").id
    except RepositoryNotFoundError:
        repo_id = api.create_repo(repo_id, repo_type="dataset", private=private, exist_ok=True).repo_id
    if revision is not None and not revision.startswith("refs/pr/"):
        api.create_branch(repo_id, branch=revision, repo_type="dataset", exist_ok=True)
    return repo_id


def download(repo_id: str, paths: list[str], revision: str | None, token: str | bool | None) -> list[Path]:
    """Files of one commit.

    Raises:
        ArgumentError: no such repository, revision or record.
    """
    api = HfApi(token=token, library_name="hf_prune")
    try:
        commit = api.repo_info(repo_id, revision=revision, repo_type="dataset").sha
        return [
            Path(hf_hub_download(repo_id, path, repo_type="dataset", revision=commit, token=token)) for path in paths
        ]
    except RepositoryNotFoundError as error:
        raise ArgumentError(
            f"`repo_id`: no dataset {repo_id!r} on the Hub, or it is private: log in, or pass token="
        ) from error
    except RevisionNotFoundError as error:
        raise ArgumentError(f"`revision`: {repo_id!r} has no {revision!r}") from error
    except EntryNotFoundError as error:
        there = [file for file in api.list_repo_files(repo_id, repo_type="dataset", revision=commit) if FOLDER in file]
        raise ArgumentError(
            f"`repo_id`: {repo_id!r} has no {paths[0]!r}; name another config= or split=. Of hf_prune it has {there}"
        ) from error
