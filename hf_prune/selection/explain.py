"""Why a row was kept or dropped, in words: what every method can say, and the row for those that can say more."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hf_prune.arguments import whole_number
from hf_prune.errors import ArgumentError
from hf_prune.groups import printable
from hf_prune.selection.data import UNKNOWN, SelectionData


@dataclass(frozen=True)
class Row:
    """One row of a selection's source, for the method that explains what became of it.

    Attributes:
        selection: the whole selection.
        at: the row's position in the source.
    """

    selection: SelectionData
    at: int

    @property
    def score(self) -> float:
        """The method's own score."""
        return float(self.selection.scores[self.at])

    @cached_property
    def kept(self) -> NDArray[np.bool_]:
        """(n,) whether each row of the source is kept."""
        return self.selection.kept

    @property
    def is_kept(self) -> bool:
        """Whether the row is kept."""
        return bool(self.kept[self.at])

    @cached_property
    def peers(self) -> NDArray[np.bool_]:
        """(n,) whether each row is in the same group, and so in the same run of the method; True without groups."""
        groups = self.selection.groups
        if groups is None or groups.codes[self.at] < 0:
            return np.ones(self.selection.n, dtype=bool)
        return np.asarray(groups.codes == groups.codes[self.at])

    @cached_property
    def places(self) -> NDArray[np.int64]:
        """(n,) int64 place of each row in the picking order of the run that the evidence is of; -1 if not picked."""
        return self.selection.places

    @property
    def was_picked(self) -> bool:
        """Whether that run picked the row, be it that `at` has dropped it since."""
        return bool(self.places[self.at] >= 0)

    @property
    def larger(self) -> int:
        """How many rows that run picked."""
        return int(self.places.max()) + 1

    def last_picked(self, amount: str = "score") -> int | None:
        """The position of the last pick among the row's peers that has this amount; None if there is none."""
        there = self.peers & ~np.isnan(self.selection.evidence.get(amount, self.selection.scores))
        places = np.where(there, self.places, -1)
        return int(places.argmax()) if places.max(initial=-1) >= 0 else None

    def amount(self, name: str, at: int | None = None) -> float:
        """An amount of the evidence, of this row or of the one at `at`; NaN where there is none."""
        evidence = self.selection.evidence
        return float(evidence[name][self.at if at is None else at]) if name in evidence else float("nan")

    def shown(self, name: str, at: int | None = None) -> str | None:
        """The amount with as many digits as the record has; None where there is none."""
        amount = self.amount(name, at)
        if np.isnan(amount):
            return None
        return f"{amount:.3g}" if self.selection.evidence[name].dtype == np.float32 else f"{amount:.4g}"

    def marked(self, name: str) -> bool:
        """A mark of the evidence; False where there is none."""
        return self.amount(name) == 1

    def position(self, name: str) -> int | None:
        """A position in the evidence; None where it names no row."""
        positions = self.selection.evidence.get(name)
        if positions is None or positions.dtype.kind != "i" or positions[self.at] < 0:
            return None
        return int(positions[self.at])

    def by_score(self) -> list[str]:
        """The lines for a method that has nothing but a score of each row."""
        if np.isnan(self.score):
            return ["the method gave it no score"]
        scores = self.selection.scores[self.peers]
        place, of = (scores > self.score).sum(), (~np.isnan(scores)).sum()
        return [f"score {self.score:.4g}, the {ordinal(place)} highest of {of}{self.last_kept()}"]

    def last_kept(self) -> str:
        """What the last row kept of the peers has, as the end of a sentence; empty if none is kept in an order."""
        last = self.last_picked()
        return "" if last is None else f"; the last row kept has {self.selection.scores[last]:.4g}"


def explain(selection: SelectionData, i: Any) -> str:
    """A few lines to read: why the row at position `i` of the source was kept or dropped."""
    i = whole_number("i", i, at_least=0)
    if i >= selection.n:
        raise ArgumentError(f"`i`: wanted the position of a row in the source, below {selection.n}, got {i}")
    row = Row(selection, i)
    title = f"row {i}: {'kept' if row.is_kept else 'dropped'}"
    if selection.dropped_before[i]:
        *earlier, _ = selection.steps
        more = f"one of the first {len(earlier)} steps, whose scores are not on record"
        by = "the first step" if len(earlier) == 1 else more
        steps = "; ".join(map(str, earlier))
        return f"{title}\n  {printable(f'by {by}: {steps}')}"
    if row.is_kept and selection.rank is not None:
        place = selection.rank[np.searchsorted(selection.indices, i)]
        title += f", picked {ordinal(place)} of {len(selection)}"
    lines = [str(selection.steps[-1])]
    if selection.unlabelled[i]:
        lines.append(f"it has no label, and such rows were {'all kept' if row.was_picked else 'left out'}")
        return "\n  ".join([title, *map(printable, lines)])
    lines += _standing(row)
    if row.was_picked and not row.is_kept:
        lines.append(
            f"picked {ordinal(row.places[i])} of {row.larger} by the larger selection, too late for the "
            f"{len(selection)} rows that at(keep=) left"
        )
    method = selection.steps[-1].build()
    lines += [UNKNOWN, *row.by_score()] if method is None else method.explain(row)
    return "\n  ".join([title, *map(printable, lines)])


def _standing(row: Row) -> list[str]:
    """What became of the other rows of the row's group, and of its class where that is another."""
    lines = []
    for kind, groups in row.selection.groupings.items():
        if (code := groups.codes[row.at]) >= 0:
            alike = groups.codes == code
            lines.append(f"{kind} {groups.names[code]!r}: {(row.kept & alike).sum()} of {alike.sum()} rows kept")
    return lines


def ordinal(place: Any) -> str:
    """The place in words, counted from 0: 1st, 2nd, 3rd, 4th."""
    number = int(place) + 1
    ending = "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number:,}{ending}"
