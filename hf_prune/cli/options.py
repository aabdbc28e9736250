"""Arguments and options that several subcommands take."""

from typing import Annotated

import typer

from hf_prune.cli.values import number

SourceArgument = Annotated[
    str,
    typer.Argument(
        metavar="SOURCE",
        help="A Hub id, a saved dataset, a folder of images or of data, or a file or quoted pattern "
        "of .parquet, .csv, .tsv, .json, .jsonl or .txt.",
        show_default=False,
    ),
]
Config = Annotated[str | None, typer.Option(help="The configuration of the source on the Hub.", show_default=False)]
Revision = Annotated[str | None, typer.Option(help="The source's revision on the Hub.", show_default=False)]
Split = Annotated[str | None, typer.Option(help='The split; by default "train", or the only one.', show_default=False)]
Force = Annotated[bool, typer.Option("--force", help="Replace what is there.")]
LabelColumn = Annotated[
    str | None,
    typer.Option(help="By default the only ClassLabel column, else `label`, else `labels`.", show_default=False),
]
Keep = Annotated[
    object, typer.Option(parser=number, metavar="NUMBER", help="A count, or a fraction in (0, 1].", show_default=False)
]
RowsOutput = Annotated[
    str,
    typer.Option(
        metavar="PATH",
        help="A .parquet, .csv or .jsonl file, or a folder that load_from_disk reads.",
        show_default=False,
    ),
]
RecordConfig = Annotated[str, typer.Option(help="Of a record on the Hub its configuration.")]
IdColumn = Annotated[str | None, typer.Option(help="A column whose values name the rows.", show_default=False)]
