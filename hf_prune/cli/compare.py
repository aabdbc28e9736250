"""`hf-prune compare`: the table of `hf_prune.compare`."""

from dataclasses import asdict

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
from hf_prune.cli.options import Config, LabelColumn, Revision, SourceArgument, Split


def compare(
    source: SourceArgument,
    methods: Methods = None,
    keep: Sizes = None,
    seeds: Seeds = 3,
    embeddings: Embeddings = None,
    encoder: Encoder = None,
    dynamics: Dynamics = None,
    test: Test = 0.2,
    test_embeddings: TestEmbeddings = None,
    label_column: LabelColumn = None,
    folder: Folder = None,
    split: Split = None,
    config: Config = None,
    revision: Revision = None,
) -> Answer:
    """Train on what each method keeps, and compare.

    A linear classifier of the embeddings stands in for your model. The table has the accuracy on rows that are held
    out, and in parentheses that of the worst class, in percent.

    \b
    hf-prune compare reviews.csv --embeddings vectors.npy --methods d2 --keep 0.5 --seeds 2
    """
    from hf_prune.comparison.compare import compare as compare_rows

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
    comparison = compare_rows(
        rows, methods or None, seeds=seeds, encoder=encoder, label_column=label_column, folder=folder, **given
    )
    return Answer(comparison.table(), asdict(comparison))
