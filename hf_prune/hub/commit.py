"""One commit of files and of what changes in the card with them, on top of whatever others commit meanwhile."""

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from huggingface_hub import CommitInfo, CommitOperationAdd, hf_hub_download
from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError

from hf_prune.hub.data_files import Splits, with_data_files
from hf_prune.hub.repository import CARD, Place

ATTEMPTS = 3
"""Times that it is tried while others commit too."""

OTHERS_COMMIT = {409, 412}
"""Answers to a commit while another is being made, and after one was made since the card was read."""


def commit(
    place: Place,
    files: Sequence[CommitOperationAdd],
    message: str,
    *,
    change: Callable[[str], str] = str,
    coming: Mapping[str, Splits] | None = None,
) -> CommitInfo:
    """Commit `files` and the card.

    Args:
        change: from the card as it is to the new one.
        coming: as in `with_data_files`.
    """
    for attempt in range(ATTEMPTS):
        info = place.api.dataset_info(place.repo, revision=place.revision)
        old = _card(place, info.sha)
        new = change(with_data_files(old, place.api, info, coming or {}))
        card = [CommitOperationAdd(CARD, new.encode())] if new != old else []
        try:
            return place.api.create_commit(
                place.repo,
                [*files, *card],
                commit_message=message,
                repo_type="dataset",
                revision=place.revision,
                create_pr=place.create_pr,
                parent_commit=info.sha,
            )
        except HfHubHTTPError as error:
            if error.response.status_code not in OTHERS_COMMIT or attempt == ATTEMPTS - 1:
                raise
            time.sleep(attempt)
    raise AssertionError("the last attempt returns or raises")


def _card(place: Place, revision: str | None) -> str:
    try:
        file = hf_hub_download(place.repo, CARD, repo_type="dataset", revision=revision, token=place.token)
    except EntryNotFoundError:
        return ""
    return Path(file).read_text(encoding="utf-8")
