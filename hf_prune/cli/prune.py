"""`hf-prune prune`: `hf_prune.prune` from data to data."""

from pathlib import Path
from typing import Annotated, Any

import typer
from datasets import DatasetDict

from hf_prune.cli.artefacts import dynamics_at, of_selection, with_record_beside
from hf_prune.cli.command import Answer
from hf_prune.cli.options import Config, Force, Keep, LabelColumn, Revision, RowsOutput, SourceArgument
from hf_prune.cli.output import Output
from hf_prune.cli.values import array_or_column, built, number_or_word, option, own_options, read_json
from hf_prune.dataset import prune as prune_splits
from hf_prune.errors import ArgumentError
from hf_prune.selection.live import selections_of
from hf_prune.sources.read import default_split, one_split, read_splits


def prune(
    source: SourceArgument,
    method: Annotated[
        str, typer.Option(help="A name that `hf-prune methods` lists, or a config in JSON.", show_default=False)
    ],
    keep: Keep,
    output: RowsOutput,
    seed: Annotated[int, typer.Option(help="For methods that draw at random.")] = 0,
    quotas: Annotated[
        str | None,
        typer.Option(help='"proportional", "equal", "drop", or a config in JSON.', show_default=False),
    ] = None,
    by: Annotated[
        list[str] | None,
        typer.Option(metavar="COLUMN", help="Groups for quotas; several are combined.", show_default=False),
    ] = None,
    cutoff: Annotated[
        Any,
        typer.Option(
            parser=number_or_word,
            metavar="NUMBER|auto",
            help='The fraction of suspect labels to hold back; "auto" measures it.',
            show_default=False,
        ),
    ] = None,
    label_column: LabelColumn = None,
    scores: Annotated[
        str | None, typer.Option(metavar="COLUMN|FILE.npy", help="Higher = harder.", show_default=False)
    ] = None,
    embeddings: Annotated[
        str | None,
        typer.Option(metavar="COLUMN|FILE.npy", help="As `hf-prune embed` writes them.", show_default=False),
    ] = None,
    encoder: Annotated[
        str | None, typer.Option(help="In place of embeddings: a Hub id or folder.", show_default=False)
    ] = None,
    dynamics: Annotated[
        str | None,
        typer.Option(metavar="FILE|HUB_ID", help="A training run, .safetensors or .parquet.", show_default=False),
    ] = None,
    recalls: Annotated[
        str | None,
        typer.Option(metavar="JSON|FILE", help="Recall of each class on held-out data.", show_default=False),
    ] = None,
    unlabelled: Annotated[
        str | None, typer.Option(metavar="keep|drop", help="What becomes of rows without a label.", show_default=False)
    ] = None,
    options: Annotated[
        list[Any] | None,
        typer.Option(
            "--option", parser=option, metavar="NAME=VALUE", help="One of the method's own.", show_default=False
        ),
    ] = None,
    split: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME", help='By default "train", or the only one; may be given several times.', show_default=False
        ),
    ] = None,
    config: Config = None,
    revision: Revision = None,
    force: Force = False,
) -> Answer:
    """Keep the rows that a method chooses.

    They are written with the record of how they were chosen, which `hf-prune info` reads: in a folder with all
    splits, those that are not pruned as they are, or beside a file with the pruned split. Options are those of
    hf_prune.prune.

    \b
    hf-prune prune reviews.csv --method random --keep 0.3 --quotas equal --output coreset.csv
    hf-prune prune reviews.csv --method d2 --keep 0.3 --dynamics run.safetensors \\
        --embeddings vectors.npy --option k=5 --output coreset
    """
    splits = read_splits(source, config=config, revision=revision)
    splits = DatasetDict({name: with_record_beside(source, rows) for name, rows in splits.items()})
    names = split or [default_split(splits)]
    target = Output(Path(output).expanduser(), force)
    if target.is_file and len(names) > 1:
        raise ArgumentError(f"`output`: a file holds one split, not {names}; name a folder")
    for name in names:
        target.check(source, one_split(splits, name))
    pruned = prune_splits(
        splits,
        built("method", method),
        keep=keep,  # type: ignore[arg-type]  # a number, of which typer takes no two types
        seed=seed,
        quotas=built("quotas", quotas),
        by=None if not by else by[0] if len(by) == 1 else tuple(by),
        cutoff=cutoff,
        label_column=label_column,
        scores=None if scores is None else array_or_column("scores", scores),
        embeddings=None if embeddings is None else array_or_column("embeddings", embeddings),
        encoder=encoder,
        dynamics=None if dynamics is None else dynamics_at(dynamics, config or "default", names[0]),
        recalls=None if recalls is None else read_json("recalls", recalls),
        unlabelled=unlabelled,  # type: ignore[arg-type]  # prune refuses other words
        split=names,
        **own_options(options or ()),
    )
    selections = selections_of(DatasetDict({name: pruned[name] for name in names}))
    target.write(pruned if len(pruned) > 1 and not target.is_file else pruned[names[0]])
    lines = []
    for name, selection in selections.items():
        lines += [f"split {name}:"] if len(names) > 1 else []
        lines += [selection.summary()]
    lines.append(f"written to {target.path}" + (f", the record to {target.record}" if target.is_file else ""))
    document = {"output": target.path, "splits": {name: of_selection(one) for name, one in selections.items()}}
    return Answer("\n".join(lines), document)
