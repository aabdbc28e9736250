"""The README's table and picture: a few methods at one glance, from the results of quality and worst_class."""

from pathlib import Path

from hf_prune.comparison import FULL, Comparison, Result
from tests.benchmarks.quality import table as quality
from tests.benchmarks.report import Results, accuracy, markdown
from tests.benchmarks.worst_class import table as worst_class

PICTURE = Path(__file__).parent / "overview.png"
KEEP = 0.3
COLUMNS = {
    "Fashion-MNIST": (("fashion-mnist", 0.0), "fashion-mnist"),
    "Fashion-MNIST, 20% of the labels wrong": (("fashion-mnist", 0.2), None),
    "long-tailed MNIST": (None, "mnist-longtail"),
}
"""For each column the data in the results of quality, with the share of wrong labels, and in those of worst_class."""

ROWS = {
    FULL: (FULL, FULL),
    "`random`": ("random", worst_class.RANDOM),
    "`random`, class-balanced": (quality.BALANCED, worst_class.BALANCED),
    '`random`, class-balanced, `cutoff="auto"`': (quality.BALANCED_AUTO, None),
    "`el2n`": ("EL2N, hardest", None),
    "`d2`, `cutoff=0`": (None, worst_class.D2),
    '`d2`, class-balanced, `cutoff="auto"`': (quality.AUTO, None),
    "`d2` within DRoP's quotas, temperature 0.5, `cutoff=0`": (None, worst_class.D2_WITHIN),
    "`drop`": (None, worst_class.DROP),
    "`drop`, temperature 0.5": (None, worst_class.DROP_HALF),
}
"""For each row the method's name in the results of quality and in those of worst_class."""

DRAWN = (worst_class.RANDOM, worst_class.BALANCED, worst_class.D2, worst_class.D2_WITHIN, worst_class.DROP)


def text() -> str:
    """Markdown: average and worst class at one size, means over seeds; empty where nothing was measured."""
    of_quality, of_worst = quality.Results(quality.PARQUET), Results(worst_class.PARQUET)

    def entry(row: str, column: str) -> str:
        (as_quality, as_worst), (noisy, plain) = ROWS[row], COLUMNS[column]
        keep = 1.0 if row == FULL else KEEP
        if as_quality and noisy:
            return shown(of_quality, ("mlp", *noisy, keep), as_quality)
        return shown(of_worst, ("mlp", plain, keep), as_worst) if as_worst and plain else ""

    head = ["keep 30%", *COLUMNS]
    return "\n".join(markdown(head, [[row, *(entry(row, column) for column in COLUMNS)] for row in ROWS])) + "\n"


def shown(results: Results, cell: tuple, method: str) -> str:
    average, worst = (results.values(cell, method, of).mean() for of in (accuracy, quality.worst_class))
    return f"{average:.1f} ({worst:.0f})"


def draw(file: Path = PICTURE) -> None:
    """Average and worst class on Fashion-MNIST at three sizes."""
    results = Results(worst_class.PARQUET)
    runs = [
        Result(method, cell[-1], row["seed"], row["kept"], row["accuracy"], tuple(row["recalls"]))
        for cell in [("mlp", "fashion-mnist", 1.0), *results.cells]
        for method in ([FULL] if cell[-1] == 1 else DRAWN)
        if cell[:2] == ("mlp", "fashion-mnist")
        for row in results.rows(cell, method)
    ]
    classes = tuple(map(str, range(len(runs[0].recalls))))
    figure = Comparison(classes, tuple(runs)).plot()
    figure.savefig(file, dpi=80, metadata={"Software": None})
