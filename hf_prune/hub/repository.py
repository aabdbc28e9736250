"""Repositories on the Hub: where one pushes to, what lies where in them, and files of one commit."""

import re
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from huggingface_hub import HfApi
from huggingface_hub.errors import EntryNotFoundError, RepositoryNotFoundError, RevisionNotFoundError

from hf_prune.arguments import whole_number
from hf_prune.errors import ArgumentError, ArgumentTypeError

CARD = "README.md"
FOLDER = "hf_prune"
"""The folder of a repository that holds all that hf_prune puts there."""


def folder_of(config: str, split: str) -> str:
    """The folder of a repository that holds what hf_prune has of a split.

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


@dataclass(frozen=True)
class Repository:
    """A dataset repository to push to; the arguments are those of Dataset.push_to_hub.

    Raises:
        ArgumentError, ArgumentTypeError: something else than a repository with commits and a card.
    """

    repo_id: str
    token: str | bool | None = field(default=None, repr=False)
    revision: str | None = None
    create_pr: bool = False
    private: bool | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.repo_id, str):
            raise ArgumentTypeError(f"`repo_id`: wanted a text such as 'me/cifar10-d2-30', got {self.repo_id!r}")
        if self.repo_id.startswith("buckets/"):
            raise ArgumentError(
                f"`repo_id`: {self.repo_id!r} is a bucket, which has no commits and no card and so can't hold the "
                "record of a selection; push to a dataset repository, or the rows alone: "
                "coreset.select(range(len(coreset))).push_to_hub(...)"
            )

    @cached_property
    def api(self) -> HfApi:
        return HfApi(token=self.token, library_name="hf_prune")

    @cached_property
    def full_id(self) -> str:
        """The id with its owner, who is the user where none is given; the repository and its branch are made if need
        be."""
        try:
            full_id = self.api.repo_info(self.repo_id, repo_type="dataset").id
        except RepositoryNotFoundError:
            made = self.api.create_repo(self.repo_id, repo_type="dataset", private=self.private, exist_ok=True)
            full_id = made.repo_id
        if self.revision is not None and not self.revision.startswith("refs/pr/"):
            self.api.create_branch(full_id, branch=self.revision, repo_type="dataset", exist_ok=True)
        return full_id


def download(
    repo_id: str, paths: list[str], revision: str | None, token: str | bool | None, *, max_bytes: int
) -> list[Path]:
    """Local copies of files of a repository, all of one commit.

    Raises:
        ArgumentError: no such repository, revision or file, or the files have more than `max_bytes` together.
    """
    whole_number("max_bytes", max_bytes, at_least=1)
    api = HfApi(token=token, library_name="hf_prune")
    try:
        info = api.dataset_info(repo_id, revision=revision, files_metadata=True)
        commit, sizes = info.sha, {file.rfilename: file.size for file in info.siblings or []}
        # A size that the Hub doesn't tell counts as none: what is read of a file is bounded anyway.
        size = sum(sizes.get(path) or 0 for path in paths)
        if size > max_bytes:
            raise ArgumentError(
                f"`max_bytes`: {', '.join(paths)} of {repo_id!r} have {size:,} bytes, wanted {max_bytes:,} at most; "
                f"if you trust the repository pass max_bytes={size}"
            )
        return [Path(api.hf_hub_download(repo_id, path, repo_type="dataset", revision=commit)) for path in paths]
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
