"""What a Selection says of itself to a reader."""

from typing import Any

import numpy as np

from hf_prune.groups import few_left
from hf_prune.selection.explain import method_of
from hf_prune.selection.selected import Selected


def summary(selection: Selected) -> str:
    """A few lines to read: every step, what its method says, and what each group kept."""
    lines = [*selection.history(), *selection.details.get("notes", ())]
    if (method := method_of(selection)) is not None:
        lines += method.summarise(selection.details)
    table = selection.group_table()
    if table:
        width = max(5, *(len(row["group"]) for row in table))
        head = "  recall before" if "recall" in table[0] else ""
        lines.append(f"{'group':<{width}}  {'rows':>9}  {'kept':>9}  density{head}")
        for row in table:
            line = f"{row['group']:<{width}}  {row['size']:>9,}  {row['kept']:>9,}  {row['density']:>7.3f}"
            lines.append(line + _recall(row))
    warnings = [*selection.details.get("warnings", ()), *_few_left(table)]
    lines += [f"warning: {warning}" for warning in warnings]
    first = f"{len(selection):,} of {selection.n:,} rows kept ({len(selection) / selection.n:.1%})"
    return "\n  ".join([first, *lines])


def _few_left(table: list[dict[str, Any]]) -> list[str]:
    names, sizes, kept = ([row[key] for row in table] for key in ("group", "size", "kept"))
    return few_left(names, np.array(sizes), np.array(kept))


def _recall(row: dict[str, Any]) -> str:
    if "recall" not in row:
        return ""
    if "recall_interval" not in row:
        return f"  {row['recall']:.3f}"
    low, high = row["recall_interval"]
    return f"  {row['recall']:.3f} ({low:.3f} to {high:.3f})"
