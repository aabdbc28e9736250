"""The dataset card's section on how the rows were selected. What comes from data is text there and nothing else."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from hf_prune.config import registered
from hf_prune.groups import shortened
from hf_prune.hub.card_text import plain
from hf_prune.selection.selected import Selected

LONGEST_TABLE = 50
"""Groups that the card lists."""

LONGEST_NAME = 100
"""Characters that it shows of a group's name."""


def section(selection: Selected, repo_id: str, config: str, split: str, picture: bool) -> str:
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


def _groups(selection: Selected) -> list[str]:
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


def _repeat(selection: Selected, repo_id: str, config: str, split: str) -> list[str]:
    origin = selection.source.origin
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


def _references(selection: Selected) -> Iterator[str]:
    """What the methods, scores and quotas of all steps say is to be cited."""
    for step in selection.steps:
        for kind, name in _names(step.method):
            if reference := getattr(registered(kind).get(name), "reference", ""):
                yield reference


def _names(config: Any) -> Iterator[tuple[str, str]]:
    """Kind and name of every method and quotas in a config."""
    if isinstance(config, Mapping):
        yield from ((kind, config[kind]) for kind in ("method", "score", "rule") if isinstance(config.get(kind), str))
        for value in config.values():
            yield from _names(value)
