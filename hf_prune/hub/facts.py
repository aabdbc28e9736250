"""What a card's data say of the rows: where they are from, how many, and what the source's own card says of them."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError

from hf_prune.errors import ArgumentError
from hf_prune.hub.card_text import parsed
from hf_prune.hub.repository import CARD, Repository

TAKEN_OVER = ("license", "license_name", "license_link", "language", "task_categories", "task_ids")
"""What holds of a part of a dataset as of the whole."""

SIZES = ((10**3, "1K"), (10**4, "10K"), (10**5, "100K"), (10**6, "1M"), (10**7, "10M"), (10**8, "100M"), (10**9, "1B"))


def facts_of(repository: Repository, origins: Iterable[Mapping[str, Any]], rows: int) -> dict[str, Any]:
    """Entries for the YAML of a card: `source_datasets`, `size_categories`, licence, language and tasks.

    The source's card is read where the source is on the Hub; what can't be read is left out.

    Args:
        origins: of each source the "repo" and "revision", where known, and the "license" that its info has.
        rows: how many lie in the repository; 0 where that isn't known.
    """
    facts: dict[str, Any] = {}
    for origin in origins:
        source = named_on_the_hub(origin)
        if source is not None and source != repository.full_id:
            facts["source_datasets"] = sorted({*facts.get("source_datasets", ()), source})
            card = _card_of(repository, source, origin.get("revision"))
            facts = {name: card[name] for name in TAKEN_OVER if card.get(name)} | facts
        if origin.get("license"):
            facts.setdefault("license", origin["license"])
    return facts | ({"size_categories": [size_category(rows)]} if rows else {})


def named_on_the_hub(origin: Mapping[str, Any]) -> str | None:
    """The id of a source's repository, if there is one and it is an id."""
    source = origin.get("repo")
    return source if isinstance(source, str) and re.fullmatch(r"[\w.-]+(/[\w.-]+)?", source) else None


def with_facts(card: str, facts: Mapping[str, Any]) -> str:
    """The card with these entries, where its owner has none of the name."""
    whole = parsed(card)
    new = {name: value for name, value in facts.items() if whole.data.get(name) is None}
    if not new:
        return card
    for name, value in new.items():
        whole.data[name] = value
    return str(whole)


def size_category(rows: int) -> str:
    """How the Hub sorts datasets by their rows.

    >>> size_category(999), size_category(1000), size_category(60_000)
    ('n<1K', '1K<n<10K', '10K<n<100K')
    """
    below = [name for least, name in SIZES if rows >= least]
    above = [name for least, name in SIZES if rows < least]
    if not below:
        return f"n<{above[0]}"
    return f"{below[-1]}<n<{above[0]}" if above else f"n>{below[-1]}"


def _card_of(repository: Repository, source: str, revision: str | None) -> dict[str, Any]:
    try:
        file = repository.api.hf_hub_download(source, CARD, repo_type="dataset", revision=revision)
        card = parsed(Path(file).read_text(encoding="utf-8-sig")).data
        return {name: card.get(name) for name in TAKEN_OVER}
    except (HfHubHTTPError, EntryNotFoundError, ArgumentError, UnicodeDecodeError):  # none, or none that can be read
        return {}
