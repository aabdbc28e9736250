"""TRAINERS.md: the matrix as a page, written from what the harness says and read back by its tests."""

import importlib
import itertools
from pathlib import Path

from tests.matrix.cells import EPOCHS, ROWS, TOLERANCE, Cell

PAGE = Path(__file__).parents[2] / "TRAINERS.md"

MODULES = ("trainers", "further_models", "own_losses", "loops", "trl_", "sentence_transformers_")
"""The modules of this folder that have `CELLS`, in the page's order; another trainer's cells are one more."""

NOTHING = "-"

HEAD = f"""# Which trainers are recorded

Each row is a run that was trained twice, on {ROWS} rows for {EPOCHS} epochs with a tiny model: without a recorder,
and with one.

- **exact**: the losses that were recorded are those that a hook of its own computes from what the model took and
  returned, within {TOLERANCE:g} for every row and epoch, and the weights afterwards are, bit by bit, those of the run
  without a recorder.
- **refused**: the run ends with the message, before its first step (step 0) or as soon as that is over (step 1).

What is recorded is one thing, whatever a run trains: the loss of the task, without weights or smoothing, of the logits
that the model returned in the first training pass over a batch, and of the batch's labels. That is the cross entropy,
of several labels or one logit the binary one, and for numbers the squared error. The loss that is trained may have
weights or further terms, as long as it is made of these logits; the log then says that it is another. It is made of
them if its gradient reaches them, or a loss that the model reports and that is the mean of those recorded. Where
neither is so after the first step, the run is refused.

There is no third kind: the test that holds this page fails on anything else. Models, collate functions and arguments
"as run_..." are those that transformers' example script of that name documents. `python -m tests.matrix` writes the
page; rows whose packages aren't installed keep what it says.
"""


def cells() -> list[Cell]:
    """All cells of the matrix, those of a trainer together."""
    made = [cell for name in MODULES for cell in importlib.import_module(f"tests.matrix.{name}").CELLS]
    trainers = list(dict.fromkeys(cell.trainer for cell in made))
    return sorted(made, key=lambda cell: trainers.index(cell.trainer))


def written(outcomes: dict[tuple[str, str, str], str]) -> str:
    """The page with the outcome of each cell, by its name."""
    parts = [HEAD]
    for trainer, of_trainer in itertools.groupby(outcomes.items(), key=lambda outcome: outcome[0][0]):
        lines = [f"## {trainer}", "", "| model | setting | outcome | message |", "| --- | --- | --- | --- |"]
        for (_, model, setting), outcome in of_trainer:
            kind, _, message = outcome.partition(": ")
            lines.append(f"| {model} | {setting} | {kind} | {message or NOTHING} |")
        parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


def read(page: str) -> dict[tuple[str, str, str], str]:
    """The outcome of each cell on a page."""
    outcomes, trainer = {}, ""
    for line in page.splitlines():
        if line.startswith("## "):
            trainer = line[3:]
        elif line.startswith("| ") and not line.startswith(("| model |", "| --- |")):
            model, setting, kind, message = line.removeprefix("| ").removesuffix(" |").split(" | ")
            outcomes[trainer, model, setting] = kind if message == NOTHING else f"{kind}: {message}"
    return outcomes
