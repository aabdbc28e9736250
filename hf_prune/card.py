"""The dataset card's section on how the rows were selected. What comes from data is text there and nothing else."""

import html
import inspect
import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from huggingface_hub import DatasetCard

from hf_prune.config import registered
from hf_prune.groups import shortened

if TYPE_CHECKING:
    from hf_prune.selection import Selection

TAG = "hf_prune"
TITLE = "## How the rows were selected"
LONGEST_TABLE = 50
"""Groups that the card lists."""

LONGEST_NAME = 100
"""Characters that it shows of a group's name."""

UNSEEN = re.compile(r"[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]")
"""Characters that show nothing, among them those that turn the direction of what follows; not the joiners that some
scripts need."""


def section(selection: "Selection", repo_id: str, config: str, split: str, picture: bool) -> str:
    """Markdown for one split: what was kept and why, the groups, how to check and repeat it, what to cite.

    Args:
        picture: whether selection.png lies beside the record.
    """
    kept, n = len(selection), selection.n
    lines = [f"### `{split}` of `{config}`: {kept:,} of {n:,} rows ({kept / n:.1%})", ""]
    lines += [f"- {plain(step)}" for step in selection.history()]
    if isinstance(warnings := selection.details.get("warnings"), list):
        lines += [f"- Warning: {plain(warning)}" for warning in warnings]
    lines += ["", *_groups(selection)]
    if picture:
        lines += [f"![what each group kept](hf_prune/{config}/{split}/selection.png)", ""]
    lines += _repeat(selection, repo_id, config, split)
    if references := list(dict.fromkeys(_references(selection))):
        lines += ["Methods, for citation:", "", *(f"- {plain(reference)}" for reference in references), ""]
    return "\n".join(lines)


def amended(card: str, text: str, config: str, split: str) -> str:
    """The card with `text` as the section of a split; another text there is replaced, all else stays."""
    begin, end = (f"<!-- {TAG} {config}/{split}: {word} -->" for word in ("begin", "end"))
    block = f"{begin}\n{text.strip()}\n{end}"
    if begin in card and end in card.partition(begin)[2]:
        before, _, rest = card.partition(begin)
        card = before + block + rest.partition(end)[2]
    else:
        title = "" if TITLE in card else f"\n\n{TITLE}"
        card = f"{card.rstrip()}{title}\n\n{block}\n"
    found = parsed(card)
    tags = found.data.get("tags") or []
    tags = [tags] if isinstance(tags, str) else tags
    if TAG in tags:
        return card
    found.data["tags"] = [*tags, TAG]
    return str(found)


def parsed(card: str) -> DatasetCard:
    """The card's data and text; where it has no data they are empty."""
    if not card.startswith("---\n"):
        card = f"---\n\n---\n\n{card.lstrip()}"
    return DatasetCard(card, ignore_metadata_errors=True)


def plain(value: Any) -> str:
    """Any text as one line of Markdown that shows it as it is: no HTML, links, tables or code come of it."""
    line = " ".join(UNSEEN.sub("", str(value)).split())
    return re.sub(r"([\\`*_{}\[\]()#+\-.!|~$:@])", r"\\\1", html.escape(line, quote=False))


def _groups(selection: "Selection") -> list[str]:
    table = selection.group_table()
    if not table:
        return []
    recalls = "recall" in table[0]
    lines = ["| group | rows | kept | share |" + (" recall before |" if recalls else "")]
    lines.append("| --- | --- | --- | --- |" + (" --- |" if recalls else ""))
    for row in table[:LONGEST_TABLE]:
        name = plain(shortened(row["group"], LONGEST_NAME))
        line = f"| {name} | {row['size']:,} | {row['kept']:,} | {row['density']:.1%} |"
        lines.append(line + (f" {row['recall']:.3f} |" if recalls else ""))
    if len(table) > LONGEST_TABLE:
        lines.append(f"\n{len(table) - LONGEST_TABLE:,} more groups are in the record.")
    return [*lines, ""]


def _repeat(selection: "Selection", repo_id: str, config: str, split: str) -> list[str]:
    origin = selection.source.origin if selection.source else {}
    options = [("config", config, "default"), ("split", split, "train")]
    named = [f'"{repo_id}"', *(f'{option}="{value}"' for option, value, usual in options if value != usual)]
    source = origin.get("repo")
    known = isinstance(source, str) and re.fullmatch(r"[\w.-]+(/[\w.-]+)?", source)
    return [
        "The record has every row's score and digests of the source, which are compared before anything is selected:",
        "",
        "```python",
        "import hf_prune",
        "from datasets import load_dataset",
        "",
        f"selection = hf_prune.Selection.from_hub({', '.join(named)})",
        f'source = load_dataset("{source}", split="...")' if known else "source = ...  # the dataset that was pruned",
        "coreset = selection.apply(source)",
        "print(selection.summary())",
        "```",
        "",
    ]


def _references(selection: "Selection") -> Iterator[str]:
    """What the docstrings of the methods in all steps name."""
    for step in selection.steps:
        for kind, name in _names(step.method):
            cls = registered(kind).get(name)
            text = (inspect.getdoc(cls) or "") if cls else ""
            if found := re.search(r"Reference: (.+?)(?:\*Deviations\*|\n\n|\Z)", text, re.DOTALL):
                yield " ".join(found[1].split()).replace("*", "")


def _names(config: Any) -> Iterator[tuple[str, str]]:
    """Kind and name of every method and quotas in a config."""
    if isinstance(config, Mapping):
        yield from ((kind, config[kind]) for kind in ("method", "rule") if isinstance(config.get(kind), str))
        for value in config.values():
            yield from _names(value)
