import sys

import numpy as np
import pytest
from datasets import Dataset

import hf_prune
from hf_prune.comparison.results import FULL, Comparison, Result
from hf_prune.dynamics.dynamics import TrainingDynamics
from hf_prune.kernels.keyed_hash import keyed_hash
from hf_prune.plots import DRAWN_POINTS, plot_data_map


def comparison(methods=("random", "D2"), seeds=(0, 1)):
    """Sizes given large first; seed 0 lies 10 points below seed 1 on average and 20 in the worst class."""
    results = [Result(FULL, 1.0, seed, 100, 0.8 + 0.1 * seed, (0.6 + 0.2 * seed, 1.0)) for seed in seeds]
    results += [
        Result(method, keep, seed, int(100 * keep), keep + 0.1 * seed, (0.9, keep / 2 + 0.2 * seed))
        for seed in seeds
        for method in methods
        for keep in (0.5, 0.2)
    ]
    return Comparison(("cat", "dog"), tuple(results))


def drawn(axes, method):
    """One method's points (2, sizes) and the ends of its error bars (sizes, 2)."""
    (container,) = (bars for bars in axes.containers if bars.get_label() == method)
    line, _, (bars,) = container
    return np.array(line.get_data(orig=True)), np.array([segment[:, 1] for segment in bars.get_segments()])


def test_means_and_deviations_in_percent():
    average, worst = comparison().plot().axes
    (x, y), bars = drawn(average, "D2")
    # The smaller size stands left. Two values 0.1 apart have a sample deviation of 0.1 / sqrt(2).
    assert y.tolist() == pytest.approx([25, 55])
    assert bars.tolist() == [pytest.approx([mean - 50**0.5, mean + 50**0.5]) for mean in (25, 55)]
    assert [round(place) for place in x] == [0, 1]
    (_, y), bars = drawn(worst, "D2")
    assert y.tolist() == pytest.approx([20, 35])
    assert (bars[:, 1] - bars[:, 0]).tolist() == pytest.approx([2 * 200**0.5] * 2)


def test_labels():
    average, worst = comparison().plot().axes
    assert [tick.get_text() for tick in average.get_xticklabels()] == ["20%\n20 rows", "50%\n50 rows"]
    assert (average.get_ylabel(), worst.get_ylabel()) == ("test accuracy in %", "lowest class recall in %")
    (legend,) = average.figure.legends
    assert [text.get_text() for text in legend.get_texts()] == [FULL, "random", "D2"]


def test_all_rows_are_a_line_and_a_band():
    average, worst = comparison().plot().axes
    for axes, mean, sd in ((average, 85, 50**0.5), (worst, 70, 200**0.5)):
        (line,) = (line for line in axes.lines if line.get_label() == FULL)
        assert list(line.get_ydata()) == pytest.approx([mean, mean])
        (band,) = axes.patches
        assert [band.get_y(), band.get_height()] == pytest.approx([mean - sd, 2 * sd])


def test_methods_stand_side_by_side_and_look_different():
    methods = [f"method {number}" for number in range(9)]
    axes = comparison(methods).plot().axes[0]
    lines = [next(bars for bars in axes.containers if bars.get_label() == method)[0] for method in methods]
    at_first_size = [line.get_xdata()[0] for line in lines]
    assert len(set(at_first_size)) == 9
    assert max(at_first_size) - min(at_first_size) < 0.7
    assert len({(line.get_color(), line.get_marker()) for line in lines}) == 9


def test_one_seed_has_no_spread():
    average, _ = comparison(seeds=(0,)).plot().axes
    _, bars = drawn(average, "random")
    assert (bars[:, 0] == bars[:, 1]).all()
    assert not average.patches


def test_can_be_written(tmp_path):
    path = tmp_path / "comparison.png"
    comparison().plot().savefig(path)
    assert path.read_bytes().startswith(b"\x89PNG")


def test_without_matplotlib(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(hf_prune.MissingExtraError, match=r'pip install "hf_prune\[plots\]"'):
        comparison().plot()


def test_a_selection_shows_what_each_group_kept(tmp_path):
    dataset = Dataset.from_dict({"label": ["cat"] * 50 + ["dog"] * 30})
    selection = dataset.prune("drop", keep=40, recalls={"cat": 0.9, "dog": 0.6}).selection
    figure = selection.plot()
    rows, share = figure.axes
    before, after = rows.containers
    assert [bar.get_height() for bar in before] == [30, 50]  # the lowest recall first
    assert [bar.get_height() for bar in after] == [selection.group_table()[i]["kept"] for i in (1, 0)]
    (line,) = share.lines
    assert line.get_ydata().tolist() == pytest.approx([60, 90])
    figure.savefig(tmp_path / "selection.png")


def test_many_groups_have_no_names_and_none_are_an_error():
    dataset = Dataset.from_dict({"label": list(range(40)) * 2})
    share = dataset.prune("random", keep=0.5, quotas="equal").selection.plot().axes[1]
    assert share.get_xlabel() == "40 groups"
    with pytest.raises(hf_prune.ArgumentError, match="has no classes to show: no label column is known"):
        dataset.rename_column("label", "x").prune("random", keep=0.5).selection.plot()


def test_names_of_groups_are_text_and_not_long(tmp_path):
    names = ["$\\frac{$", "two\nlines", "a" * 300]
    dataset = Dataset.from_dict({"label": names * 10})
    figure = dataset.prune("random", keep=15, quotas="equal").selection.plot()
    figure.savefig(tmp_path / "selection.png")
    shown = [tick.get_text() for tick in figure.axes[1].get_xticklabels()]
    assert shown == ["$\\frac{$", "a" * 30 + "…", "two lines"]


def on_the_map(figure):
    """The points (n, 2) of a data map and what their colours say (n,)."""
    (points,) = figure.axes[0].collections
    return np.array(points.get_offsets()), np.array(points.get_array())


def test_the_data_map_by_hand(tmp_path):
    # Row 0 has the probabilities 0.2 and 0.6; row 1 is unseen in epoch 0; row 2 is as sure as can be.
    p_true = np.float32([[0.2, np.nan, 1], [0.6, 0.1, 1]])
    signals = {"p_true": p_true, "correct": np.where(np.isnan(p_true), np.nan, p_true > 0.5)}
    figure = TrainingDynamics(signals, np.zeros(3, dtype=np.int64)).plot()
    places, correctness = on_the_map(figure)
    shown = sorted(map(tuple, np.column_stack([places, correctness]).round(6).tolist()))
    assert shown == [(0, 0.1, 0), (0, 1, 1), (0.2, 0.4, 0.5)]
    axes, bar = figure.axes
    assert axes.get_title() == "Data map: 3 of 3 rows"
    assert axes.get_xlabel().startswith("variability")
    assert axes.get_ylabel().startswith("confidence")
    assert bar.get_ylabel().startswith("correctness")
    assert axes.collections[0].get_clim() == (0, 1)
    figure.savefig(tmp_path / "map.png")
    assert (tmp_path / "map.png").read_bytes().startswith(b"\x89PNG")


def test_a_large_data_map_shows_a_sample_that_is_always_the_same():
    n = DRAWN_POINTS + 5_000
    figure = plot_data_map(np.arange(n) / n, np.zeros(n), np.zeros(n))
    places, _ = on_the_map(figure)
    rows = (places[:, 1] * n).round().astype(int)
    assert rows.tolist() == np.argsort(keyed_hash(0, np.arange(n)))[:DRAWN_POINTS].tolist()
    assert figure.axes[0].get_title() == "Data map: 20,000 of 25,000 rows"


def test_a_data_map_of_no_rows():
    figure = plot_data_map(np.zeros(0), np.zeros(0), np.zeros(0))
    assert figure.axes[0].get_title() == "Data map: 0 of 0 rows"


def test_a_data_map_of_rows_that_were_never_seen():
    run = TrainingDynamics.from_logits([[[1.0, 0.0], [np.nan, np.nan]]], labels=[0, 0])
    with pytest.raises(
        hf_prune.ArgumentError, match="1 of 2 rows were never seen in epochs 0 to 0, the first is row 1"
    ):
        run.plot()


def test_a_data_map_without_matplotlib(monkeypatch):
    run = TrainingDynamics.from_logits([[[1.0, 0.0]]], labels=[0])
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(hf_prune.MissingExtraError, match=r'pip install "hf_prune\[plots\]"'):
        run.plot()
