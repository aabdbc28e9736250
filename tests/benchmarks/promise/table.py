"""From the results of this folder to the tables of promises in RESULTS.md."""

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from hf_prune.recalls import clopper_pearson
from tests.benchmarks.report import markdown

SIMULATED = Path(__file__).parent / "simulation.json"
REAL = Path(__file__).parent / "real.parquet"

Row = dict[str, Any]


def text() -> str:
    """Markdown of both."""
    return "\n".join([simulated(), "", real()]) + "\n"


def simulated(file: Path = SIMULATED) -> str:
    """The share of draws in which a promise is given, by what is lost in truth."""
    found = json.loads(file.read_text(encoding="utf-8"))
    head = ["promise", "limit", "disagree", "rows"]
    head += ["loses the limit: promised", "by a normal approximation", "loses half of it", "loses nothing"]
    rows = []
    for case in found["cases"]:
        each = "" if case["parts"] == 1 else " each"
        shares = case["promised"]
        rows.append(
            [case["what"], f"{case['max_loss']:.0%}", f"{case['disagreement']:.0%}", f"{case['rows']:,}{each}"]
            + [f"{100 * share:.1f}%" for share in (shares["1.0"], case["normal"], shares["0.5"], shares["0.0"])]
        )
    sizes = ", ".join(f"{100 * share:.1f}%" for share in found["sizes"].values())
    steps = ", ".join(f"{float(step):g}" for step in found["sizes"])
    return "\n".join(
        [
            *markdown(head, rows),
            "",
            f"Of nine sizes in turn, each of which loses {steps} of the limit more than the one before, one that "
            f"loses the limit or more is promised in {sizes} of the draws.",
        ]
    )


def real(file: Path = REAL) -> str:
    """What was promised of each data set and model, and what became of it on unseen rows."""
    table = pq.read_table(file)
    limit = next(iter(json.loads(table.schema.metadata[b"hf_prune"])["setup"].values()))["max_loss"]
    cells: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in table.to_pylist():
        cells[row["data"], row["model"]].append(row)
    head = ["data", "model", "promised", "kept, mean", "broken on unseen rows", "largest loss there", "don't prune"]
    lines, given, asked = [], [], 0
    for (data, model), rows in cells.items():
        promises = [row for row in rows if row["verdict"] == "prune"]
        over = sum(unseen_loss(row) >= limit for row in promises)
        cell = [data, model, f"{len(promises)} of {len(rows)}", *["-"] * 3]
        if promises:
            largest = max(map(unseen_loss, promises))
            kept = sum(row["keep"] for row in promises) / len(promises)
            cell[3:] = [f"{kept:.0%}", f"{over} of {len(promises)}", f"{100 * largest:.1f}"]
        lines.append([*cell, refused(rows, limit)])
        given += promises
        asked += len(rows) * (model == "network")
    broken = sum(unseen_loss(row) >= limit for row in given)
    certified = sum(row["model"] == "network" for row in given)
    low, high = clopper_pearson(broken, len(given))
    sets = len({data for data, _ in cells})
    return "\n".join(
        [
            *markdown(head, lines),
            "",
            f"Of {len(given)} promises of less than {100 * limit:g} points {broken} were broken on unseen rows. Were "
            f"all independent, the rate's 95% interval would be {low:.1%} to {high:.1%}. The size that the proxy "
            f"proposed was certified for the network in {certified} of {asked} splits of {sets} data sets.",
        ]
    )


def refused(rows: list[Row], limit: float) -> str:
    """How often pruning was advised against, and of the network how often rightly."""
    against = [row for row in rows if row["verdict"] == "don't prune"]
    seen = [row for row in against if row["unseen_rows"]]
    right = sum(unseen_loss(row) >= limit for row in seen)
    return f"{len(against)}, {right} of them rightly" if seen else f"{len(against)}"


def unseen_loss(row: Row) -> float:
    return float((row["unseen_worse"] - row["unseen_better"]) / row["unseen_rows"])
