"""Selections as tables, and what they say of suspects."""

import numpy as np
import pytest
from datasets import Dataset

import hf_prune
from hf_prune import find_label_errors
from hf_prune.selection.record import write_record
from hf_prune.selection.selection import Selection
from tests.methods.test_suspects_of_runs import clusters


@pytest.fixture
def ds():
    return Dataset.from_dict({"x": range(6), "label": ["cat", "dog"] * 3, "site": [0, 0, 0, 1, 1, 1]})


def test_a_table_has_every_row(ds):
    selection = ds.prune("given_scores", keep=3, scores=[5, 1, 4, 2, 3, 0]).selection
    table = selection.to_dataset()
    assert table.column_names == ["row", "kept", "score", "rank", "class", "reason"]
    assert table[:3] == {
        "row": [0, 1, 2],
        "kept": [True, False, True],
        "score": [5.0, 1.0, 4.0],
        "rank": [0, None, 1],
        "class": ["cat", "dog", "cat"],
        "reason": ["kept", "not picked", "kept"],
    }
    frame = selection.to_pandas()
    assert frame.loc[frame.kept, "row"].tolist() == selection.indices.tolist()
    by_site = ds.prune("random", keep=2, by="site").selection.to_dataset()
    assert (by_site["class"][:2], by_site["group"][2:4]) == (["cat", "dog"], ["0", "1"])
    assert "group" not in ds.prune("random", keep=2, quotas="equal").selection.to_dataset().column_names


def test_what_was_dropped(ds):
    selection = ds.prune("given_scores", keep=2, scores=range(6)).selection
    assert selection.dropped(ds)["x"][:] == [0, 1, 2, 3]
    assert selection.apply(ds)["x"][:] == [4, 5]
    with pytest.raises(hf_prune.AlignmentError, match="the dataset has 5"):
        selection.dropped(ds.select(range(5)))
    chain = ds.prune("given_scores", keep=4, scores=range(6)).prune("random", keep=2).selection
    assert chain.to_dataset()["reason"][:2] == ["dropped by an earlier step"] * 2


def noisy(noise=0.2):
    points, labels, wrong, run = clusters(noise)
    return Dataset.from_dict({"x": range(len(labels)), "label": labels}), points, wrong, run


def test_suspects_of_a_selection(tmp_path):
    ds, points, wrong, run = noisy()
    selection = ds.prune("random", keep=0.3, cutoff="auto", dynamics=run, embeddings=points).selection
    suspects = selection.suspects
    assert suspects.column_names == ["row", "class", "kept", "trust", "reason"]
    assert len(suspects) == selection.details["cutoff"]["cut"]
    assert np.mean(wrong[suspects["row"]]) > 0.9
    trust = np.array(suspects["trust"])
    assert (np.diff(trust) >= 0).all()
    assert trust[-1] < 0
    assert suspects["class"][:3] == [str(label) for label in ds[suspects["row"][:3]]["label"]]
    assert suspects[0]["reason"].startswith("the nearest rows vote for another class, ")
    assert suspects[0]["reason"] in selection.explain(suspects["row"][0])
    # After the Hub, with and without what explains.
    for explain in (True, False):
        write_record(tmp_path / "s", selection, compact=True, explain=explain)
        loaded = Selection.load(tmp_path / "s").suspects
        assert sorted(loaded["row"]) == sorted(suspects["row"])
        assert (loaded["trust"][0] is not None) == explain
    assert len(ds.prune("random", keep=0.3).selection.suspects) == 0


def test_suspects_of_a_fraction():
    ds, _, _, run = noisy()
    selection = ds.prune("random", keep=0.9, cutoff=0.2, dynamics=run).selection
    suspects = selection.suspects
    margin = run.mean("margin")
    assert suspects["row"][:5] == np.argsort(margin, kind="stable")[:5].tolist()
    assert suspects[0]["reason"] == f"the run's mean margin is {margin.min():.3g}"
    assert sum(suspects["kept"]) == len(selection) - (len(ds) - len(suspects))


def test_label_errors_are_those_that_the_cutoff_holds_back():
    ds, points, _, run = noisy()
    found = find_label_errors(ds, dynamics=run, embeddings=points)
    selection = ds.prune("random", keep=0.3, cutoff="auto", dynamics=run, embeddings=points).selection
    assert found["row"][:] == selection.suspects["row"][:]
    assert found["trust"][:] == selection.suspects["trust"][:]
    assert found["x"][:] == found["row"][:]
    true = np.repeat(np.arange(5), 240)
    assert np.mean(np.array(found["suggested_label"]) == true[found["row"]]) > 0.9
    assert found.features["suggested_label"] == ds.features["label"]
    all_rows = find_label_errors(ds, dynamics=run, embeddings=points, most=1200)
    assert all_rows["row"][: len(found)] == found["row"][:]
    assert None in all_rows["suggested_label"]


def test_label_errors_of_a_run_that_cannot_know(caplog):
    ds, points, _, run = noisy()
    at_chance = hf_prune.TrainingDynamics.from_logits(np.zeros((3, len(ds), 5)), run.labels)
    images = ds.add_column("vector", points.tolist()).with_format("numpy", columns=["x"])
    none = find_label_errors(images, dynamics=at_chance, embeddings="vector")
    assert (len(none), none.column_names[-4:]) == (0, ["row", "suggested_label", "trust", "reason"])
    (said,) = [record.getMessage() for record in caplog.records]
    assert said.startswith(
        "find_label_errors finds none: up to its epoch that agrees best with the neighbours the run"
    )
    assert said.endswith(", or pass most= to see so many of the rows that are trusted least")
    assert len(find_label_errors(ds, dynamics=at_chance, embeddings=points, most=7)) == 7


def test_label_errors_pass_over_rows_without_a_label():
    ds, points, wrong, run = noisy()
    labels = np.array(ds["label"])
    labels[:100] = -100
    gaps = Dataset.from_dict({"x": range(len(labels)), "label": labels})
    signals = {name: np.where(labels < 0, np.nan, run[name]) for name in ("loss", "margin", "correct")}
    with_gaps = hf_prune.TrainingDynamics(signals, labels, {}, "single-label")
    found = find_label_errors(gaps, dynamics=with_gaps, embeddings=points)
    assert min(found["row"]) >= 100
    assert np.mean(wrong[found["row"]]) > 0.9
    assert found["x"][:] == found["row"][:]


def test_label_errors_refuse_what_they_can_not_use():
    ds, points, _, run = noisy()
    with pytest.raises(hf_prune.ArgumentError, match=r"rename them, ds.rename_columns\(\{'row': 'own_row'\}\)"):
        find_label_errors(ds.rename_column("x", "row"), dynamics=run, embeddings=points)
    with pytest.raises(TypeError, match=r"`dataset`: wanted a datasets\.Dataset, got list"):
        find_label_errors([], dynamics=run)
    with pytest.raises(hf_prune.MissingSignalError, match="embeddings"):
        find_label_errors(ds, dynamics=run)
