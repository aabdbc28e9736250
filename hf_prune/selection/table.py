"""A selection as a table, a row for each of the source's or of its suspects, and the few words that say why."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
from datasets import Dataset
from numpy.typing import NDArray

from hf_prune.groups import Groups
from hf_prune.selection.data import SelectionData


def reasons(selection: SelectionData) -> pa.DictionaryArray:
    """(n,) in a few words why each row was kept or dropped."""
    kept, method = selection.kept, selection.steps[-1].build()
    own: Mapping[str, NDArray[np.bool_]] = {} if method is None else method.reasons(kept, selection.evidence)
    words = ["not picked", "kept", *own]
    marks = list(own.values())
    if (unlabelled := selection.unlabelled).any():
        words += ["kept without a label", "has no label"]
        marks += [unlabelled & kept, unlabelled & ~kept]
    words, marks = [*words, "dropped by an earlier step"], [*marks, selection.dropped_before]
    codes = kept.astype(np.int8)
    for code, rows in enumerate(marks, start=2):
        codes[rows] = code
    return pa.DictionaryArray.from_arrays(codes, words)


def whole_table(selection: SelectionData) -> Dataset:
    """A row for each of the source's: "row", "kept", "score", "rank", "class" and "group" where known, "reason"."""
    columns: dict[str, Any] = {"row": np.arange(selection.n), "kept": selection.kept, "score": selection.scores}
    if selection.rank is not None:
        rank = np.zeros(selection.n, dtype=np.int64)
        rank[selection.indices] = selection.rank
        columns["rank"] = pa.array(rank, mask=~selection.kept)
    columns |= {kind: named(groups) for kind, groups in _shown(selection).items()}
    return Dataset(pa.table(columns | {"reason": reasons(selection).dictionary_decode()}))


def suspect_table(selection: SelectionData) -> Dataset:
    """A row for each suspect, the most suspect first: "row", "class" where known, "kept", "trust", "reason".

    Where the record has no trust, as when it was pushed without explain=True, they are in the order of the source.
    """
    evidence, n = selection.evidence, selection.n
    rows = np.flatnonzero(evidence.get("suspect", np.zeros(n, dtype=bool)))
    trust, neighbors = (evidence.get(name, np.full(n, np.nan))[rows] for name in ("trust", "neighbors"))
    order = np.argsort(trust, kind="stable")
    rows, trust, neighbors = rows[order], trust[order].astype(np.float64), neighbors[order]
    columns: dict[str, Any] = {"row": rows}
    if (classes := _shown(selection).get("class")) is not None:
        columns["class"] = named(classes.take(rows))
    why = [doubts_of_a_label(*both) for both in zip(trust, neighbors, strict=True)]
    columns |= {"kept": selection.kept[rows], "trust": pa.array(trust, from_pandas=True)}
    return Dataset(pa.table(columns | {"reason": pa.array(why, pa.string())}))


def doubts_of_a_label(trust: float, neighbors: float = float("nan"), voted: str = "another class") -> str:
    """Why a row is suspect, in words; empty where that is not known.

    Args:
        trust: the mean margin, or with `neighbors` the sum of what these and the run say, each between -1 and 1.
        neighbors: share of the nearest rows that have its label less the largest share that has another.
        voted: the class that most of these have.

    >>> doubts_of_a_label(-1.5, -0.9, "dog")
    'the nearest rows vote for dog, 90% ahead; the run puts its label 0.60 below another class'
    """
    if np.isnan(trust):
        return ""
    if np.isnan(neighbors):
        return f"the run's mean margin is {trust:.3g}"
    lead = trust - neighbors
    ahead = f"for {voted}, {-neighbors:.0%} ahead" if neighbors < 0 else f"for its class, {neighbors:.0%} ahead"
    near = f"the nearest rows vote {ahead}" if neighbors else "the nearest rows are divided"
    return f"{near}; the run puts its label {abs(lead):.2f} {'below another class' if lead < 0 else 'above the next'}"


def named(groups: Groups) -> pa.Array:
    """(n,) the name of each row's group, null for rows that are in none."""
    codes = pa.array(groups.codes, mask=groups.codes < 0)
    return pa.DictionaryArray.from_arrays(codes, pa.array(groups.names, pa.string())).dictionary_decode()


def _shown(selection: SelectionData) -> dict[str, Groups]:
    """The "class" of the rows, and the "group" where that is another."""
    groupings = selection.groupings
    if selection.classes is not None and "class" not in groupings:
        return {"class": selection.classes}
    return {kind: groupings[kind] for kind in ("class", "group") if kind in groupings}
