"""The benchmark of found label errors, from tiny data to Markdown, without cleanlab."""

from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest


@pytest.fixture(scope="module")
def benchmarks(_trainer_libraries):
    """The module of the benchmark, imported once the libraries of Trainer are."""
    from tests.benchmarks.suspects import run

    return run


@pytest.fixture
def tiny(benchmarks, monkeypatch):
    """A part on two clusters of 60 points, whose other methods are ours once more."""
    from tests.benchmarks import real_data
    from tests.benchmarks.suspects.table import AUM, OURS, RIVALS

    rng = np.random.default_rng(0)
    labels = np.arange(160) % 2
    points = 4 * labels[:, None] + rng.normal(size=(160, 4))
    monkeypatch.setitem(real_data.DATA, "tiny", lambda cache: real_data.split(points, labels, ("left", "right")))
    networks = benchmarks.NETWORKS
    monkeypatch.setitem(networks, "mlp", replace(networks["mlp"], steps=60, batch=16, hidden=8, snapshots=5))

    def without_cleanlab(data, y, seed):
        trust, found = benchmarks.ours(data, y, seed)[0]
        return {OURS: (trust, found), AUM: (trust, None)} | dict.fromkeys(RIVALS, (trust, found))

    monkeypatch.setattr(benchmarks, "rankings", without_cleanlab)
    monkeypatch.setattr(benchmarks, "version", lambda package: "none")
    return {"tiny": benchmarks.Part("tiny", seeds=2)}


def test_whole_line(benchmarks, tiny, tmp_path):
    from tests.benchmarks.suspects.table import NONE, OURS, text

    file = tmp_path / "results.parquet"
    benchmarks.run_parts(tiny, tmp_path, 0, file)
    rows = pq.read_table(file).to_pylist()
    assert len(rows) == 4 * 2 * 5
    planted = [row for row in rows if row["method"] == OURS and row["noise"] == "20%"]
    assert [row["wrong"] for row in planted] == [24, 24]
    assert all(row["average_precision"] > 0.9 for row in planted)
    assert all(row["average_precision"] is None for row in rows if row["noise"] == NONE)
    page = text(file)
    assert "| tiny | 20% | 20.0% |" in page
    assert "behind cleanlab's by more than the standard error in 0 of 9 comparisons." in page
    assert page.count("\n| AUM |") == 3


def test_a_ranking_by_hand(benchmarks):
    wrong = np.array([True, False, True, False, False])
    row = benchmarks.measured(wrong, np.array([0.1, 0.2, 0.3, 0.4, 0.5]), np.array([0, 1]))
    # Precision is 1 at the first of the two wrong rows, and 2/3 at the second.
    assert row["average_precision"] == pytest.approx((1 + 2 / 3) / 2)
    assert (row["found"], row["right"]) == (2, 1)
    assert row["precision"] == [1, 1, 0.5, 0.5]
    assert benchmarks.measured(np.zeros(3, dtype=bool), np.arange(3.0), None)["precision"] is None


def test_labels_are_changed_as_said(benchmarks, tmp_path):
    from tests.benchmarks.real_data import digits

    data = digits()
    for noise, share in benchmarks.PLANTED.items():
        moved = benchmarks.labels(data, noise, 0, tmp_path) - data.y
        assert np.count_nonzero(moved) == round(share * len(data.y))
    assert set(np.unique(moved % 10)) == {0, 1}  # the last kind goes to the next class
