"""Why a row was kept or dropped, in words."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hf_prune.arguments import whole_number
from hf_prune.errors import ArgumentError

if TYPE_CHECKING:
    from hf_prune.selection.selection import Selection


def explain(selection: "Selection", i: int) -> str:
    """What `Selection.explain` returns."""
    i = whole_number("i", i, at_least=0)
    if i >= selection.n:
        raise ArgumentError(f"`i`: wanted the position of a row in the source, below {selection.n}, got {i}")
    kept = _kept(selection)
    title = f"row {i}: {'kept' if kept[i] else 'dropped'}"
    if _dropped_before(selection, i, kept):
        return f"{title}\n  {_earlier(selection)}"
    picked = _picked(selection)
    if kept[i] and selection.rank is not None:
        place = selection.rank[np.searchsorted(selection.indices, i)]
        title += f", picked {_ordinal(place)} of {len(selection)}"
    lines = [str(selection.steps[-1])] if selection.steps else []
    if (group := _group(selection, i)) is not None:
        peers = selection.groups.codes == selection.groups.codes[i]  # type: ignore[union-attr]
        lines.append(f"group {group!r}: {(kept & peers).sum()} of {peers.sum()} rows kept")
    else:
        peers = np.ones(selection.n, dtype=bool)
    if not kept[i] and picked[i] >= 0:
        lines.append(
            f"picked {_ordinal(picked[i])} of {picked.max() + 1} by the larger selection, too late for the "
            f"{len(selection)} rows that at(keep=) left"
        )
    if _amount(selection, "suspect", i) == 1:
        lines.append("kept although suspect" if kept[i] else "left out as suspect or unlearnable (cutoff)")
    in_run = np.where(peers, picked, -1)
    about = _density(selection, i, in_run) if "density" in selection.evidence else _score(selection, i, in_run, peers)
    return "\n  ".join([title, *lines, *about])


def _density(selection: "Selection", i: int, picked: NDArray[np.int64]) -> list[str]:
    """The lines for a method that picks by density."""
    score = f"score {selection.scores[i]:.4g}"
    density, message, taken, left = (
        _shown(selection, name, i) for name in ("density", "message", "suppression", "left")
    )
    if density is None:
        return [f"{score}; the last step's graph has no entry for this row"]
    lines = [f"{score}, {'' if message is None else f'message {message}, '}density {density}"]
    by = int(selection.evidence["suppressed_by"][i]) if "suppressed_by" in selection.evidence else -1
    if by >= 0:
        taker = (
            f"row {by}"
            if _kept(selection)[by]
            else f"row {by}, which the larger selection of {_picked(selection).max() + 1} kept,"
        )
        lines.append(f"{taker} took most: {taken} of {density}")
    left = f"{left} was left"
    if picked[i] >= 0:
        return [*lines, f"{left} when it was picked"]
    graphed = np.where(np.isnan(selection.evidence.get("left", selection.scores)), -1, picked)
    if graphed.max(initial=-1) < 0:
        return [*lines, left]
    last = int(graphed.argmax())
    below = by < 0 and _amount(selection, "left", i) <= _amount(selection, "left", last)
    had = _shown(selection, "left", last)
    return [*lines, f"{'no row took from it, but ' if below else ''}{left}, and the last pick had {had}"]


def _score(selection: "Selection", i: int, picked: NDArray[np.int64], peers: NDArray[np.bool_]) -> list[str]:
    """The lines for a method that has nothing but a score of each row."""
    scores = selection.scores
    if np.isnan(scores[i]):
        return ["the method gave it no score"]
    last = f"; the last row kept has {scores[picked.argmax()]:.4g}" if picked.max() >= 0 else ""
    if _method(selection) == "random":
        return [f"key {scores[i]:.4g}, lowest first{last}"]
    place, of = (scores[peers] > scores[i]).sum(), (~np.isnan(scores[peers])).sum()
    return [f"score {scores[i]:.4g}, the {_ordinal(place)} highest of {of}{last}"]


def _kept(selection: "Selection") -> NDArray[np.bool_]:
    kept = np.zeros(selection.n, dtype=bool)
    kept[selection.indices] = True
    return kept


def _picked(selection: "Selection") -> NDArray[np.int64]:
    """(n,) place of each row in the picking order of the run that the evidence is of, -1 for rows not picked."""
    if "picked" in selection.evidence:
        return selection.evidence["picked"]
    picked = np.full(selection.n, -1, dtype=np.int64)
    if selection.rank is not None:
        picked[selection.indices] = selection.rank
    return picked


def _dropped_before(selection: "Selection", i: int, kept: NDArray[np.bool_]) -> bool:
    """Whether an earlier step dropped the row: the last one has scores, and none for it."""
    no_score = np.isnan(selection.scores)
    return len(selection.steps) > 1 and bool(no_score[i]) and not kept[i] and not no_score[kept].any()


def _earlier(selection: "Selection") -> str:
    *earlier, _ = selection.steps
    if len(earlier) == 1:
        return f"by the first step: {earlier[0]}"
    return f"by one of the first {len(earlier)} steps, whose scores are not on record: {'; '.join(map(str, earlier))}"


def _group(selection: "Selection", i: int) -> str | None:
    groups = selection.groups
    return None if groups is None or groups.codes[i] < 0 else groups.names[groups.codes[i]]


def _amount(selection: "Selection", name: str, i: int) -> float:
    return float(selection.evidence[name][i]) if name in selection.evidence else float("nan")


def _shown(selection: "Selection", name: str, i: int) -> str | None:
    """An amount with as many digits as the record has, None where there is none."""
    amount = _amount(selection, name, i)
    if np.isnan(amount):
        return None
    return f"{amount:.3g}" if selection.evidence[name].dtype == np.float32 else f"{amount:.4g}"


def _method(selection: "Selection") -> Any:
    """The name of the method that chose the rows, inside whatever shares the budget out."""
    config: Any = selection.steps[-1].method if selection.steps else {}
    while isinstance(config.get("within"), Mapping):
        config = config["within"]
    return config.get("method")


def _ordinal(place: int) -> str:
    """Of a place that counts from 0: 1st, 2nd, 3rd, 4th."""
    number = int(place) + 1
    ending = "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number:,}{ending}"
