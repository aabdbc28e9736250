"""What a Selection says of itself to a reader."""

from typing import TYPE_CHECKING, Any

import numpy as np

from hf_prune.methods.quotas import few_left
from hf_prune.methods.suspects import describe_cutoff

if TYPE_CHECKING:
    from hf_prune.selection.selection import Selection

NAN = float("nan")


def group_table(selection: "Selection") -> list[dict[str, Any]]:
    """See Selection.group_table."""
    groups = selection.groups
    if groups is None:
        return []
    kept = groups.take(selection.indices).sizes
    table = [
        {"group": name, "size": int(size), "kept": int(count), "density": count / size if size else NAN}
        for name, size, count in zip(groups.names, groups.sizes, kept, strict=True)
    ]
    for key, name in (("recall", "recalls"), ("interval", "recall_intervals")):
        if name in selection.details:
            for row, value in zip(table, selection.details[name], strict=True):
                row[key] = value
    return table


def summary(selection: "Selection") -> str:
    """See Selection.summary."""
    lines = [f"{len(selection):,} of {selection.n:,} rows kept ({len(selection) / selection.n:.1%})"]
    lines += [f"  {step}" for step in selection.history()]
    lines += describe_cutoff(selection.details)
    table = group_table(selection)
    if table:
        width = max(5, *(len(row["group"]) for row in table))
        head = "  recall before" if "recall" in table[0] else ""
        lines.append(f"  {'group':<{width}}  {'rows':>9}  {'kept':>9}  density{head}")
        for row in table:
            line = f"  {row['group']:<{width}}  {row['size']:>9,}  {row['kept']:>9,}  {row['density']:>7.3f}"
            lines.append(line + _recall(row))
    warnings = [*selection.details.get("warnings", ()), *_few_left(table)]
    lines += [f"  warning: {warning}" for warning in warnings]
    return "\n".join(lines)


def _few_left(table: list[dict[str, Any]]) -> list[str]:
    names, sizes, kept = ([row[key] for row in table] for key in ("group", "size", "kept"))
    return few_left(names, np.array(sizes), np.array(kept))


def _recall(row: dict[str, Any]) -> str:
    if "recall" not in row:
        return ""
    if "interval" not in row:
        return f"  {row['recall']:.3f}"
    low, high = row["interval"]
    return f"  {row['recall']:.3f} ({low:.3f} to {high:.3f})"
