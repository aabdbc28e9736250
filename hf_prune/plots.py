"""Pictures of results, as figures that pyplot doesn't know; they need matplotlib, the extra `plots`.

`figure.savefig("results.png")` writes one.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hf_prune.errors import ArgumentError, MissingExtraError
from hf_prune.groups import shortened
from hf_prune.kernels.keyed_hash import keyed_hash

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLOURS = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#000000")
"""The palette of Okabe and Ito (2008), which colour-blind readers can tell apart; its yellow is too pale for lines."""

MARKERS = "osD^vP"
"""One fewer than colours, so that a pair of the two comes back only after 42 methods."""

NAMED_GROUPS = 30
"""Up to so many groups have their names on the axis."""

LONGEST_NAME = 30
"""Characters of a group's name there."""

DRAWN_POINTS = 20_000
"""Points of a data map beyond which a sample is drawn."""


def plot_groups(table: Sequence[Mapping[str, Any]]) -> "Figure":
    """What each group kept: rows before and after on top, the kept share below, with the recall before if it is known.

    Groups stand in their own order, and where recalls are known from the lowest to the highest.

    Args:
        table: for each group its "group", "size", "kept" and "density", and where known its "recall".

    Raises:
        ArgumentError: there are no groups. MissingExtraError: matplotlib is not installed.
    """
    if not table:
        raise ArgumentError(
            "this selection has no classes to show: no label column is known; name it where you prune, as in "
            'prune(..., label_column="category"), or a column to group by, as in by="site"'
        )
    if recalls := "recall" in table[0]:
        table = sorted(table, key=lambda row: row["recall"])
    figure, (rows, share) = _figure(max(5.0, min(12.0, 1.5 + 0.4 * len(table))), 5.5, nrows=2, sharex=True)
    places = np.arange(len(table))
    rows.bar(places, [row["size"] for row in table], color="0.85", label="before")
    rows.bar(places, [row["kept"] for row in table], color=COLOURS[0], label="kept")
    rows.set_ylabel("rows")
    share.bar(places, [100 * row["density"] for row in table], color=COLOURS[0], label="kept")
    if recalls:
        values = 100 * np.array([row["recall"] for row in table])
        share.plot(places, values, color=COLOURS[3], marker="o", linestyle="none", label="recall before")
    share.set(ylabel="%", ylim=(0, 105))
    if len(table) <= NAMED_GROUPS:
        names = [shortened(row["group"], LONGEST_NAME) for row in table]
        share.set_xticks(places, names, rotation=45, ha="right", parse_math=False)  # names may hold dollar signs
    else:
        share.set_xticks([])
        share.set_xlabel(f"{len(table):,} groups")
    for axes in (rows, share):
        axes.legend(frameon=False)
    return figure


MeanAndDeviation = tuple[float, float]
"""A mean and the sample standard deviation around it, which is NaN where there is only one value."""


class Panel(NamedTuple):
    """One measure of several methods at several sizes, as fractions.

    Attributes:
        title: of the panel.
        measure: what the axis says.
        full: the runs on all rows.
        methods: by name the mean and deviation at each size, in the order of the sizes.
    """

    title: str
    measure: str
    full: MeanAndDeviation
    methods: Mapping[str, Sequence[MeanAndDeviation]]


def plot_panels(panels: Sequence[Panel], sizes: Sequence[str], full: str) -> "Figure":
    """Methods compared at several sizes, a panel for each measure.

    Points are means over seeds and bars one sample standard deviation each way; the methods of one size stand side by
    side. The grey line and band are the runs on all rows. The axes differ in scale.

    Args:
        sizes: what the axis says of each size, the smallest first.
        full: the name of the runs on all rows.
    """
    figure, all_axes = _figure(5.5 * len(panels), 4, ncols=len(panels))
    for axes, panel in zip(all_axes, panels, strict=True):
        _draw(axes, panel, sizes, full)
    figure.legend(*all_axes[0].get_legend_handles_labels(), loc="outside right upper", frameon=False)
    return figure


def plot_data_map(
    confidence: NDArray[np.float64], variability: NDArray[np.float64], correctness: NDArray[np.float64]
) -> "Figure":
    """The data map: a point for each example, its confidence against its variability, coloured by its correctness.

    Easy examples are at the top left, hard and mislabelled ones at the bottom left, ambiguous ones at the right.

    At most 20,000 points are drawn, the same ones for the same number of rows: a random sample by a keyed hash of the
    position. The title says how many of how many.

    Args:
        confidence: (n,) mean probability of the true class over the epochs that showed the example.
        variability: (n,) its standard deviation over them.
        correctness: (n,) share of them in which the example was classified correctly.

    Raises:
        MissingExtraError: matplotlib is not installed.

    Reference: Swayamdipta et al., *Dataset Cartography: Mapping and Diagnosing Datasets with Training Dynamics*
    (2020), arXiv 2009.10795, section 2.1 and figure 1.

    >>> from hf_prune import TrainingDynamics
    >>> run = TrainingDynamics.from_logits([[[0.0, 0.0], [9.0, 0.0]], [[99.0, 0.0], [9.0, 0.0]]], labels=[0, 1])
    >>> run.plot().axes[0].get_title()
    'Data map: 2 of 2 rows'
    """
    figure, (axes,) = _figure(7, 5)
    n = len(confidence)
    # In the order of the hash, so that no part of the dataset lies on top of another.
    rows = np.argsort(keyed_hash(0, np.arange(n)), kind="stable")[:DRAWN_POINTS]
    points = axes.scatter(
        variability[rows],
        confidence[rows],
        c=correctness[rows],
        cmap="viridis",
        vmin=0,
        vmax=1,
        s=float(np.clip(20_000 / max(1, len(rows)), 4, 25)),
        linewidths=0,
        rasterized=True,
    )
    # Where no point can be: with the mean p the deviation is at most sqrt(p (1 - p)).
    axes.text(0.16, 0.99, "← easy to learn", va="center")
    axes.text(0.16, 0.01, "← hard to learn", va="center")
    axes.text(0.5, 0.9, "↓ ambiguous", va="center", ha="right")
    axes.set(
        title=f"Data map: {len(rows):,} of {n:,} rows",
        xlabel="variability (standard deviation of the probability of the true class)",
        ylabel="confidence (its mean)",
        xlim=(-0.01, 0.51),
        ylim=(-0.02, 1.02),
    )
    figure.colorbar(points, ax=axes, label="correctness (share of epochs)")
    return figure


def _figure(width: float, height: float, **grid: Any) -> tuple["Figure", NDArray[Any]]:
    """A figure of so many inches, and its axes in a `grid` as `Figure.subplots` takes it."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtraError('plots need matplotlib: pip install "hf_prune[plots]"') from error
    figure = Figure(figsize=(width, height), layout="constrained")
    all_axes = figure.subplots(squeeze=False, **grid).ravel()
    for axes in all_axes:
        axes.spines[["top", "right"]].set_visible(False)
    return figure, all_axes


def _draw(axes: Any, panel: Panel, sizes: Sequence[str], name: str) -> None:
    places, (mean, deviation) = np.arange(len(sizes)), panel.full
    axes.axhline(100 * mean, color="0.5", linewidth=1, label=name)
    if not np.isnan(deviation):
        axes.axhspan(100 * (mean - deviation), 100 * (mean + deviation), color="0.5", alpha=0.2, linewidth=0)
    for number, (method, spreads) in enumerate(panel.methods.items()):
        axes.errorbar(
            places + 0.7 * ((number + 0.5) / len(panel.methods) - 0.5),
            [100 * mean for mean, _ in spreads],
            yerr=[100 * np.nan_to_num(deviation) for _, deviation in spreads],
            color=COLOURS[number % len(COLOURS)],
            marker=MARKERS[number % len(MARKERS)],
            linestyle="none",
            markersize=7,
            capsize=4,
            label=method,
        )
    axes.set(title=panel.title, xlabel="kept", ylabel=panel.measure, xlim=(-0.5, len(sizes) - 0.5))
    axes.set_xticks(places, sizes)
    axes.tick_params(axis="x", length=0)
    axes.grid(axis="y", color="0.9")
    axes.set_axisbelow(True)
    for edge in places[1:] - 0.5:
        axes.axvline(edge, color="0.8", linewidth=1)
