"""One commit of files and of what changes in the card with them, on top of whatever others commit meanwhile."""

import time
from collections.abc import Callable, Mapping
from pathlib import Path

from huggingface_hub import CommitInfo, CommitOperationAdd
from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError

from hf_prune.errors import ArgumentError
from hf_prune.hub.data_files import Splits, with_data_files
from hf_prune.hub.repository import CARD, Repository

ATTEMPTS = 3
"""How often a commit is tried while others commit too."""

OTHERS_COMMIT = {409, 412}
"""Answers to a commit while another is being made, and after one was made since the card was read."""


def commit(
    repository: Repository,
    files: Mapping[str, Path],
    message: str,
    *,
    change: Callable[[str], str] = str,
    coming: Mapping[str, Splits] | None = None,
) -> CommitInfo:
    """Commit files and the card.

    Args:
        files: from paths in the repository to local ones.
        change: from the card as it is to the new one.
        coming: the data of the next commit, as `with_data_files` takes them.
    """
    api, repo_id, revision = repository.api, repository.full_id, repository.revision
    operations = [CommitOperationAdd(path, file) for path, file in files.items()]
    for attempt in range(ATTEMPTS):
        info = api.dataset_info(repo_id, revision=revision)
        old = _card(repository, info.sha)
        new = change(with_data_files(old, api, info, coming or {}))
        card = [CommitOperationAdd(CARD, new.encode())] if new != old else []
        try:
            return api.create_commit(
                repo_id,
                [*operations, *card],
                commit_message=message,
                repo_type="dataset",
                revision=revision,
                create_pr=repository.create_pr,
                parent_commit=info.sha,
            )
        except HfHubHTTPError as error:
            if error.response.status_code not in OTHERS_COMMIT or attempt == ATTEMPTS - 1:
                raise
            time.sleep(attempt)
    raise AssertionError("the last attempt returns or raises")


def _card(repository: Repository, revision: str | None) -> str:
    try:
        file = repository.api.hf_hub_download(repository.full_id, CARD, repo_type="dataset", revision=revision)
    except EntryNotFoundError:
        return ""
    try:
        return Path(file).read_bytes().decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise ArgumentError(
            f"`repo_id`: the {CARD} of {repository.full_id!r} is not in UTF-8 ({error}); save it in UTF-8 and push "
            "again"
        ) from error
