"""`hf-prune apply`: repeat a recorded selection on its source."""

from pathlib import Path
from typing import Annotated

import typer

from hf_prune.cli.artefacts import of_selection, selection_at
from hf_prune.cli.command import Answer
from hf_prune.cli.options import Config, Force, IdColumn, RecordConfig, Revision, RowsOutput, SourceArgument, Split
from hf_prune.cli.output import Output
from hf_prune.sources.read import one_split, read_splits


def apply(
    selection: Annotated[
        str,
        typer.Argument(
            metavar="SELECTION",
            help="A saved selection, rows that were saved with their record, or a Hub id.",
            show_default=False,
        ),
    ],
    source: SourceArgument,
    output: RowsOutput,
    id_column: IdColumn = None,
    split: Split = None,
    config: Config = None,
    revision: Revision = None,
    record_config: RecordConfig = "default",
    force: Force = False,
) -> Answer:
    """Repeat a recorded selection on its source.

    The source is verified first, by row count and a digest of each column.

    \b
    hf-prune apply coreset reviews.csv --output again.parquet
    """
    rows = one_split(read_splits(source, config=config, revision=revision), split)
    target = Output(Path(output).expanduser(), force)
    target.check(source, rows)
    chosen = selection_at(selection, record_config, split or "train")
    target.write(chosen.apply(rows, id_column=id_column))
    text = f"{len(chosen):,} of {chosen.n:,} rows written to {target.path}"
    return Answer(text, {"output": target.path} | of_selection(chosen))
