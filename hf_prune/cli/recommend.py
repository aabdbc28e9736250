"""`hf-prune recommend`: the answer of `hf_prune.recommend`, and its coreset."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from hf_prune.cli.artefacts import of_selection
from hf_prune.cli.command import Answer
from hf_prune.cli.held_out import (
    Dynamics,
    Embeddings,
    Encoder,
    Folder,
    Methods,
    Seeds,
    Sizes,
    Test,
    TestEmbeddings,
    rows_and_signals,
)
from hf_prune.cli.options import Config, Force, LabelColumn, Revision, SourceArgument, Split
from hf_prune.cli.output import Output
from hf_prune.selection.live import selection_of


def recommend(
    source: SourceArgument,
    max_loss: Annotated[float, typer.Option(help="The limit: 0.01 is a point of accuracy.", show_default=False)],
    on: Annotated[
        str, typer.Option(metavar="average|worst_class|worst_group", help="What may lose no more.")
    ] = "average",
    confidence: Annotated[float, typer.Option(help="Of the promise.")] = 0.95,
    by: Annotated[
        list[str] | None,
        typer.Option(metavar="COLUMN", help="The groups of worst_group; several are combined.", show_default=False),
    ] = None,
    methods: Methods = None,
    keep: Sizes = None,
    seeds: Seeds = 3,
    embeddings: Embeddings = None,
    encoder: Encoder = None,
    dynamics: Dynamics = None,
    test: Test = 0.4,
    test_embeddings: TestEmbeddings = None,
    label_column: LabelColumn = None,
    folder: Folder = None,
    output: Annotated[
        str | None,
        typer.Option(
            metavar="PATH",
            help="Where the coreset goes, if there is one: a .parquet, .csv or .jsonl file, or a folder.",
            show_default=False,
        ),
    ] = None,
    split: Split = None,
    config: Config = None,
    revision: Revision = None,
    force: Force = False,
) -> Answer:
    """Find the smallest coreset whose loss is certified.

    The answer is a size that held-out rows certify, or "don't prune", or how many more rows it takes to tell. It
    holds for a linear classifier of the embeddings.

    \b
    hf-prune recommend reviews.csv --max-loss 0.05 --embeddings vectors.npy --output smallest.csv
    """
    from hf_prune.comparison.recommend import recommend as recommended

    rows, given = rows_and_signals(
        source,
        keep=keep,
        split=split,
        config=config,
        revision=revision,
        test=test,
        embeddings=embeddings,
        test_embeddings=test_embeddings,
        dynamics=dynamics,
    )
    target = None if output is None else Output(Path(output).expanduser(), force)
    if target is not None:
        target.check(source, rows)
    answer = recommended(
        rows,
        max_loss=max_loss,
        on=on,  # type: ignore[arg-type]  # recommend refuses other words
        confidence=confidence,
        by=None if not by else by[0] if len(by) == 1 else tuple(by),
        methods=methods or None,
        seeds=seeds,
        encoder=encoder,
        label_column=label_column,
        folder=folder,
        **given,
    )
    lines = [str(answer)]
    told = ("verdict", "keep", "method", "arguments", "rows_needed", "max_loss", "on", "confidence")
    document = {name: getattr(answer, name) for name in told}
    document["tested"] = [asdict(one) | {"passed": one.passed} for one in answer.tested]
    if answer.coreset is not None:
        document["selection"] = of_selection(selection_of(answer.coreset))
    if target is not None and answer.coreset is not None:
        target.write(answer.coreset)
        lines.append(f"written to {target.path}" + (f", the record to {target.record}" if target.is_file else ""))
    elif target is not None:
        lines.append(f"nothing is written to {target.path}")
    return Answer("\n".join(lines), document)
