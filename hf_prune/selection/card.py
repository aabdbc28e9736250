"""The dataset card's section on how the rows were selected. What comes from data is text there and nothing else."""

import re
from collections.abc import Iterable
from typing import Any

from hf_prune.groups import shortened
from hf_prune.hub.card_text import plain
from hf_prune.hub.facts import named_on_the_hub
from hf_prune.selection.data import SelectionData
from hf_prune.selection.summary import losses

LONGEST_TABLE = 50
"""How many groups the card lists."""

LONGEST_NAME = 100
"""How many characters of a group's name it shows."""

SECTION = """\
### `{split}` of `{config}`: {kept:,} of {n:,} rows ({share:.1%})

{steps}

{groups}

The record has every row's score and digests of the source, which are compared before anything is selected:

```python
# pip install hf_prune
import hf_prune
from datasets import load_dataset

selection = hf_prune.Selection.from_hub({record})
source = {source}
coreset = selection.apply(source)
print(selection.summary())
```

{references}
"""


def section(selection: SelectionData, repo_id: str, config: str, split: str, picture: bool) -> str:
    """Markdown for one split: what was kept and why, the groups, how to check and repeat it, what to cite.

    Args:
        picture: whether selection.png lies beside the record.
    """
    steps = selection.history() + [f"Warning: {text}" for text in _warnings(selection)]
    groups = "\n\n".join(_groups(table, kind) for kind, table in selection.tables().items())
    if picture:
        groups += f"\n\n![what each group kept](hf_prune/{config}/{split}/selection.png)"
    options = [("config", config, "default"), ("split", split, "train")]
    record = [f'"{repo_id}"', *(f'{option}="{value}"' for option, value, usual in options if value != usual)]
    references = _references(selection)
    text = SECTION.format(
        split=split,
        config=config,
        kept=len(selection),
        n=selection.n,
        share=len(selection) / selection.n,
        steps=_items(steps),
        groups=groups,
        record=", ".join(record),
        source=_source(selection),
        references=f"Methods, for citation:\n\n{_items(references)}" if references else "",
    )
    return re.sub(r"\n{3,}", "\n\n", text)


def _source(selection: SelectionData) -> str:
    """The code that loads the source, as far as it is known."""
    origin = selection.source.origin
    source = None if "derived" in origin else named_on_the_hub(origin)
    if source is None:
        return f"...  # load the dataset of {selection.n:,} rows that was pruned; this checks that it is the same"
    words = {name: origin[name] for name in ("config", "split", "revision") if _is_a_word(origin.get(name))}
    config = f', "{words["config"]}"' if words.get("config", "default") != "default" else ""
    revision = f', revision="{words["revision"]}"' if "revision" in words else ""
    return f'load_dataset("{source}"{config}, split="{words.get("split", "train")}"{revision})'


def _is_a_word(name: Any) -> bool:
    return isinstance(name, str) and re.fullmatch(r"[\w.-]+", name) is not None


def _items(texts: Iterable[str]) -> str:
    return "\n".join(f"- {plain(text)}" for text in texts)


def _warnings(selection: SelectionData) -> list[str]:
    """Those of the method, of its cutoff, and of classes that are all but lost."""
    of_cutoff = selection.details.get("cutoff", {}).get("warnings", ())
    return [*selection.details.get("warnings", ()), *of_cutoff, *losses(selection)]


def _groups(table: list[dict[str, Any]], head: str) -> str:
    recalls = "recall" in table[0]
    lines = [f"| {head} | rows | kept | share |" + (" recall before |" if recalls else "")]
    lines.append("| --- | --- | --- | --- |" + (" --- |" if recalls else ""))
    for row in table[:LONGEST_TABLE]:
        name = plain(shortened(row["group"], LONGEST_NAME))
        line = f"| {name} | {row['size']:,} | {row['kept']:,} | {row['density']:.1%} |"
        lines.append(line + (f" {row['recall']:.3f} |" if recalls else ""))
    if len(table) > LONGEST_TABLE:
        lines.append(f"\n{len(table) - LONGEST_TABLE:,} more groups are in the record.")
    return "\n".join(lines)


def _references(selection: SelectionData) -> list[str]:
    """What to cite for the methods and quotas of all steps, each once."""
    methods = [method for step in selection.steps if (method := step.build()) is not None]
    references = [part.reference for method in methods for part in method.walk() if part.reference]
    return list(dict.fromkeys(references))
