"""`hf-prune embed`: the vectors of `hf_prune.embed` in a file."""

from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from hf_prune.cli.command import Answer
from hf_prune.cli.options import Config, Force, Revision, SourceArgument, Split
from hf_prune.cli.output import check_free
from hf_prune.errors import ArgumentError
from hf_prune.files import whole_file
from hf_prune.sources.read import one_split, read_splits


def embed(
    source: SourceArgument,
    encoder: Annotated[str, typer.Option(help="A checkpoint's Hub id or folder.", show_default=False)],
    output: Annotated[str, typer.Option(metavar="FILE.npy", help="Where the vectors go.", show_default=False)],
    column: Annotated[
        str | None,
        typer.Option(help="Of texts or images; by default the only one, else `text` or `image`.", show_default=False),
    ] = None,
    pooling: Annotated[str | None, typer.Option(metavar="mean|first|last", show_default=False)] = None,
    truncate: Annotated[
        bool, typer.Option("--truncate", help="Read only the beginning of texts that are too long.")
    ] = False,
    precision: Annotated[str, typer.Option(metavar="auto|float32|bfloat16")] = "auto",
    batch_size: Annotated[int, typer.Option(help="Rows that are encoded together.")] = 64,
    num_workers: Annotated[int, typer.Option(help="Processes that prepare rows.")] = 0,
    encoder_revision: Annotated[
        str | None, typer.Option(help="The encoder's revision on the Hub.", show_default=False)
    ] = None,
    split: Split = None,
    config: Config = None,
    revision: Revision = None,
    force: Force = False,
) -> Answer:
    """Compute a vector for each row.

    `hf-prune prune --embeddings` reads the file. What is computed is kept: the same call goes on where Ctrl-C stopped
    it.

    \b
    hf-prune embed reviews.csv --encoder encoder --column text --output vectors.npy
    """
    path = Path(output).expanduser()
    if path.suffix != ".npy":
        raise ArgumentError(f"`output`: wanted a name that ends in .npy, got {output!r}")
    check_free(path, force)
    rows = one_split(read_splits(source, config=config, revision=revision), split)

    from hf_prune.embeddings.compute import embed as compute  # which imports torch

    vectors = compute(
        rows,
        encoder,
        column=column,
        pooling=pooling,
        truncate=truncate,
        precision=precision,
        batch_size=batch_size,
        num_workers=num_workers,
        revision=encoder_revision,
    )
    with whole_file(path, suggested="vectors.npy") as complete, complete.open("wb") as file:
        np.save(file, vectors)
    n, d = vectors.shape
    document = {"output": path, "shape": [n, d], "dtype": str(vectors.dtype)}
    return Answer(f"{n:,} vectors of {d} numbers written to {path}", document)
