"""What `compare` and `recommend` both take: rows with vectors, and rows to hold out."""

from typing import Annotated, Any

import typer
from datasets import Dataset

from hf_prune.cli.artefacts import dynamics_at
from hf_prune.cli.values import array_or_column, number, number_or_word
from hf_prune.sources.read import one_split, read_splits

Methods = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME", help="Of `hf-prune methods`; several may be given.", show_default=False),
]
Sizes = Annotated[
    list[Any] | None,
    typer.Option(parser=number, metavar="NUMBER", help="Sizes, as of `hf-prune prune`.", show_default=False),
]
Seeds = Annotated[int, typer.Option(help="How many times all is pruned and trained.")]
Embeddings = Annotated[
    str | None,
    typer.Option(metavar="COLUMN|FILE.npy", help="As `hf-prune embed` writes them.", show_default=False),
]
Encoder = Annotated[str | None, typer.Option(help="In place of embeddings: a Hub id or folder.", show_default=False)]
Dynamics = Annotated[
    str | None,
    typer.Option(metavar="FILE|HUB_ID", help="A run in place of the proxy's; with --test SOURCE.", show_default=False),
]
Test = Annotated[
    Any,
    typer.Option(
        parser=number_or_word,
        metavar="SHARE|SPLIT|SOURCE",
        help="The share of each class to hold out, or other rows.",
    ),
]
TestEmbeddings = Annotated[
    str | None, typer.Option(metavar="FILE.npy", help="Of the rows of --test SOURCE.", show_default=False)
]
Folder = Annotated[
    str | None,
    typer.Option(help="Where predictions are kept, so that the same call goes on after Ctrl-C.", show_default=False),
]


def rows_and_signals(
    source: str,
    *,
    keep: list[Any] | None,
    split: str | None,
    config: str | None,
    revision: str | None,
    test: Any,
    embeddings: str | None,
    test_embeddings: str | None,
    dynamics: str | None,
) -> tuple[Dataset, dict[str, Any]]:
    """The rows of the source, and what of the rest are arguments of the library's calls."""
    splits = read_splits(source, config=config, revision=revision)
    if isinstance(test, str):
        test = splits[test] if test in splits else one_split(read_splits(test), None)
    arrays = {"embeddings": embeddings, "test_embeddings": test_embeddings}
    given = {name: array_or_column(name, value) for name, value in arrays.items() if value is not None}
    if dynamics is not None:
        given["dynamics"] = dynamics_at(dynamics, config or "default", split or "train")
    if keep:
        given["keep"] = keep
    return one_split(splits, split), given | {"test": test}
