"""The README's table and picture: a few methods at one glance, from the results of quality and worst_class."""

from pathlib import Path

from hf_prune.comparison.results import Comparison, Result
from tests.benchmarks import report
from tests.benchmarks.quality import table as quality
from tests.benchmarks.report import FEWER, FULL, Results, accuracy, markdown
from tests.benchmarks.worst_class import table as worst_class

PICTURE = Path(__file__).parent / "overview.png"
KEEP = 0.3
COLUMNS = {
    "Fashion-MNIST": ("fashion-mnist", 0.0),
    "20% of its labels wrong": ("fashion-mnist", 0.2),
    "long-tailed Fashion-MNIST": ("fashion-longtail", 0.0),
    "20% of its labels wrong, too": ("fashion-longtail", 0.2),
}
"""For each column the data and the share of wrong labels in the results of quality."""

ROWS = {
    FULL: "all rows, as many steps (RS2)",
    FEWER: "all rows, 30% of the steps",
    "random": "`random`",
    quality.BALANCED: "`random`, class-balanced",
    quality.BALANCED_AUTO: '`random`, class-balanced, `cutoff="auto"`',
    "EL2N, hardest": "`el2n`",
    quality.AUTO: "`d2`, class-balanced",
    quality.D2_WITHIN: '`d2`, `quotas="drop"`',
    quality.DROP: "`drop`",
}
"""What the README calls the methods of quality."""

DRAWN = (worst_class.RANDOM, worst_class.BALANCED, worst_class.D2_BALANCED, worst_class.D2_WITHIN, worst_class.DROP)


def text() -> str:
    """Markdown: average and worst class at one size, means over seeds; the best of each column is bold."""
    results = quality.Results(quality.PARQUET)
    best = {column: max(figures(results, column, method) for method in list(ROWS)[2:]) for column in COLUMNS}

    def entry(method: str, column: str) -> str:
        average, worst = figures(results, column, method)
        shown = f"{average:.1f} ({worst:.0f})"
        return f"**{shown}**" if (average, worst) == best[column] else shown

    rows = [[name, *(entry(method, column) for column in COLUMNS)] for method, name in ROWS.items()]
    return "\n".join(markdown(["keep 30%", *COLUMNS], rows)) + "\n"


def figures(results: Results, column: str, method: str) -> tuple[float, float]:
    """Mean accuracy and mean recall of the worst class, in percent."""
    cell = ("mlp", *COLUMNS[column], 1.0 if method == FULL else KEEP)
    average, worst = (results.values(cell, method, of).mean() for of in (accuracy, report.worst_class))
    return float(average), float(worst)


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
