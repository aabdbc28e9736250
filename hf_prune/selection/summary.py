"""What a selection has done, in a few lines: every step, what its method says, and what each class kept."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hf_prune.groups import listed, printable
from hf_prune.selection.data import UNKNOWN, SelectionData
from hf_prune.selection.step import Step

FEW = 10
"""Rows of a group below which a model can hardly learn it, nor anyone measure how well it did."""

ALL_BUT_LOST = 0.1
"""The share of what a group would keep if all groups kept alike, below which it is warned of."""

LISTED = 30
"""Groups that a summary lists."""

IN_A_REPR = 10
"""Groups that a repr lists."""

COUNTS = 100
"""Up to this a whole number for `keep` may be meant as a percentage."""


def summary(selection: SelectionData, most: int = LISTED) -> str:
    """A few lines to read, of which at most `most` are of groups."""
    lines = [*selection.history(), *_counts(selection.steps), *selection.details.get("notes", ())]
    method = selection.steps[-1].build()
    lines += [UNKNOWN] if method is None else method.summarise(selection.details)
    lines += _kept_although_suspect(selection)
    for kind, table in selection.tables().items():
        lines += _table(table, kind, most)
    lines += [f"warning: {warning}" for warning in (*selection.details.get("warnings", ()), *losses(selection))]
    whole = f"{len(selection):,} of {selection.n:,} rows kept ({len(selection) / selection.n:.1%})"
    return "\n  ".join([whole, *map(printable, lines)])


def losses(selection: SelectionData) -> list[str]:
    """A warning of each kind of groups, of which some keep too few rows to be learnt, and the line to type."""
    suspect = selection.evidence.get("suspect", np.zeros(selection.n, dtype=bool)) & ~selection.kept
    held = np.flatnonzero(suspect)
    tables = selection.tables()
    return [
        warning
        for kind, groups in selection.groupings.items()
        for warning in _losses(tables[kind], groups.take(held).sizes)
    ]


def _losses(table: Sequence[dict[str, Any]], suspect: NDArray[np.int64]) -> Iterator[str]:
    size, kept = (np.array([row[key] for row in table], dtype=np.int64) for key in ("size", "kept"))
    fair = size * kept.sum() / max(size.sum(), 1)
    lost = np.flatnonzero((kept < size) & ((kept < FEW) | (kept < ALL_BUT_LOST * fair)))
    if not len(lost):
        return
    names = [f"{table[i]['group']} ({kept[i]:,} of {size[i]:,})" for i in lost.tolist()]
    held = int(suspect[lost[(size - suspect)[lost] < FEW]].sum())  # of groups that could have no more
    least = int(np.minimum(size, FEW).sum())
    yield (
        f"fewer than {FEW} rows or a tenth of their share are kept of {listed(names)}: hardly enough to learn from; "
        f'quotas="equal" with keep={least} or more keeps {FEW} of each that has so many'
        + (f"; {held:,} of these rows were held back as suspect, which cutoff=0 leaves in" if held else "")
    )


def _counts(steps: Sequence[Step]) -> list[str]:
    """Says of small whole numbers for `keep`, which may have been meant as a percentage, that they are counts."""
    keep, n = steps[-1].keep, steps[-1].n
    if keep == 1 and isinstance(keep, int):
        return ["keep=1 is a count, of one row; keep=1.0 keeps all"]
    if not isinstance(keep, int) or keep > COUNTS or keep == round(keep / 100 * n):
        return []
    return [f"keep={keep} is a count of rows; keep={keep / 100:g} keeps {keep}%"]


def _kept_although_suspect(selection: SelectionData) -> list[str]:
    suspect = selection.evidence.get("suspect")
    if suspect is None or not (needed := int(np.count_nonzero(suspect & selection.kept))):
        return []
    held = int(np.count_nonzero(suspect))
    return [
        f"{needed:,} of these {held:,} rows had to be kept after all, since the others are too few for the budget; "
        f"{held - needed:,} are left out"
    ]


def _table(table: Sequence[dict[str, Any]], head: str, most: int) -> list[str]:
    """A line a group in their order, or of many groups those that kept the smallest shares."""
    if not table:
        return []
    shown = list(table)
    if len(table) > most:
        shown = sorted((row for row in table if row["size"]), key=lambda row: row["density"])[:most]
    names = [printable(row["group"]) for row in shown]
    width = max(5, *map(len, names))
    recalls = "  recall before" if "recall" in table[0] else ""
    lines = [f"{head:<{width}}  {'rows':>9}  {'kept':>9}  density{recalls}"]
    for name, row in zip(names, shown, strict=True):
        line = f"{name:<{width}}  {row['size']:>9,}  {row['kept']:>9,}  {row['density']:>7.3f}"
        lines.append(line + _recall(row))
    if left := len(table) - len(shown):
        lines.append(f"and {left:,} more, of no smaller density; selection.{head}_table() has all")
    return lines


def _recall(row: dict[str, Any]) -> str:
    """The end of a group's line: its recall before pruning, with the interval where one was measured."""
    if "recall" not in row:
        return ""
    low, high = row.get("recall_interval", (None, None))
    return f"  {row['recall']:.3f}" + ("" if low is None else f" ({low:.3f} to {high:.3f})")
