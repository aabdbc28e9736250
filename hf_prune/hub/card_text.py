"""The text of a dataset card: sections that are put into it, and data that are text there and nothing else."""

import html
import re
from typing import Any

from huggingface_hub import DatasetCard
from yaml import YAMLError  # type: ignore[import-untyped]

from hf_prune.errors import ArgumentError

TAG = "hf_prune"
TITLE = "## How the rows were selected"

UNSEEN = re.compile(r"[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]")
"""Characters that show nothing, among them those that turn the direction of what follows; not the joiners that some
scripts need."""


def amended(card: str, text: str, config: str, split: str, *, kind: str = "", under: str = TITLE) -> str:
    """The card with `text` as the section of a split; another text there is replaced, all else stays.

    Args:
        kind: of section, where a split has several.
        under: the title of sections of this kind.
    """
    begin, end = (f"<!-- {TAG} {kind}{config}/{split}: {word} -->" for word in ("begin", "end"))
    block = f"{begin}\n{text.strip()}\n{end}"
    if begin in card and end in card.partition(begin)[2]:
        before, _, rest = card.partition(begin)
        card = before + block + rest.partition(end)[2]
    else:
        title = "" if under in card else f"\n\n{under}"
        card = f"{card.rstrip()}{title}\n\n{block}\n"
    whole = parsed(card)
    tags = whole.data.get("tags") or []
    tags = [tags] if isinstance(tags, str) else tags
    if TAG in tags:
        return card
    whole.data["tags"] = [*tags, TAG]
    return str(whole)


def parsed(card: str) -> DatasetCard:
    """The card as its data and its text; a card without data gets empty ones.

    Raises:
        ArgumentError: its data are no mapping in YAML.
    """
    if not card.startswith("---\n"):
        card = f"---\n\n---\n\n{card.lstrip()}"
    try:
        return DatasetCard(card, ignore_metadata_errors=True)
    except (YAMLError, ValueError) as error:
        raise ArgumentError(
            "`repo_id`: what stands between the two lines --- at the top of the repository's README.md is no mapping "
            f"in YAML; mend it there and push again: {error}"
        ) from error


def plain(value: Any) -> str:
    """A value as one line of Markdown that shows it as it is: no HTML, links, tables or code come of it."""
    line = " ".join(UNSEEN.sub("", str(value)).split())
    return re.sub(r"([\\`*_{}\[\]()#+\-.!|~$:@])", r"\\\1", html.escape(line, quote=False))
