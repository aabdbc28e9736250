"""Rows without a label: told apart from rows never seen, refused, kept or dropped; the budget is exact."""

import numpy as np
import pytest
from datasets import ClassLabel, Dataset, DatasetDict

import hf_prune
from hf_prune import TrainingDynamics
from hf_prune.selection.selection import Selection

N, NAN = 40, np.nan
WITHOUT = np.arange(N) % 8 == 3
"""Which rows have no label: 3, 11, 19, 27 and 35."""


def labels_with(mark):
    return [mark if without else row % 3 for row, without in enumerate(WITHOUT)]


def dataset_with(mark):
    ds = Dataset.from_dict({"x": range(N), "label": labels_with(mark), "site": ["a", "b"] * (N // 2)})
    return ds.cast_column("label", ClassLabel(3)) if mark == -1 else ds


def run_of(labels, task="single-label"):
    """Row i has the margin i, in both epochs; those without a label have nothing."""
    values = np.tile(np.arange(N, dtype=np.float32), (2, 1))
    values[:, labels == -100] = NAN
    names = ("loss", "p_true", "margin", "correct", "el2n")
    features = {moment: np.arange(2 * N, dtype=np.float32).reshape(N, 2) for moment in ("early", "last")}
    return TrainingDynamics(dict.fromkeys(names, values), labels, features, task)


OF_CLASSES = run_of(np.array(labels_with(-100)))
OF_TEXTS = run_of(np.where(WITHOUT, -100, -1), "causal-lm")
GIVEN = {"scores": np.arange(N, dtype=float), "embeddings": np.arange(2.0 * N).reshape(N, 2), "by": "site"}
METHODS = {
    "el2n": {"dynamics": OF_CLASSES},
    "random in classes": {"quotas": "equal"},
    "d2": {"dynamics": OF_CLASSES, "k": 3},
    "d2 in classes": {"dynamics": OF_CLASSES, "k": 3, "quotas": "equal"},
    "drop": {"recalls": [0.5, 0.7, 0.9]},
    "drop ": {"recalls": lambda rows: [0.5, 0.7, 0.9]},
    "random in classes and sites": {"by": ("label", "site")},
    "given_scores in classes": {"scores": GIVEN["scores"], "quotas": "proportional"},
}


def test_how_many_there_are_is_said():
    first = r"`unlabelled`: 5 of 40 rows have no label, the first is row 3; say what becomes of them: prune\(\.\.\., "
    for mark in (-100, None, -1):
        for options in ({"method": "random", "quotas": "equal"}, {"method": "el2n", "dynamics": OF_CLASSES}):
            with pytest.raises(hf_prune.ArgumentError, match=first + r"unlabelled='keep'\) .*unlabelled='drop'\)"):
                dataset_with(mark).prune(keep=10, **options)
    with pytest.raises(hf_prune.ArgumentError, match=first):
        Dataset.from_dict({"text": ["a"] * N}).prune("el2n", keep=10, dynamics=OF_TEXTS)
    with pytest.raises(hf_prune.ArgumentError, match="5 of 40 rows have no label and so no el2n, the first is row 3"):
        OF_TEXTS.scores("el2n")
    with pytest.raises(hf_prune.ArgumentError, match=r"`unlabelled`: wanted one of .*Did you mean 'keep'"):
        dataset_with(-100).prune("random", keep=10, unlabelled="keeep")
    nothing = Dataset.from_dict({"label": [-100] * N})
    with pytest.raises(hf_prune.ArgumentError, match="`dataset`: none of its 40 rows has a label"):
        nothing.prune("random", keep=10, unlabelled="drop")


@pytest.mark.parametrize("mark", [-100, None, -1])
@pytest.mark.parametrize("name", METHODS)
def test_every_method_keeps_or_drops_them(name, mark):
    """The others are chosen as if there were no rows without a label."""
    ds, options = dataset_with(mark), METHODS[name]
    method = name.split(" ")[0]
    dropped = ds.prune(method, keep=20, unlabelled="drop", **options)
    kept = ds.prune(method, keep=25, unlabelled="keep", **options)
    rows = np.flatnonzero(~WITHOUT)
    of_rows = {"dynamics": lambda run: run.take(rows), "scores": lambda scores: scores[rows]}
    alone = {key: of_rows.get(key, lambda value: value)(value) for key, value in options.items()}
    wanted = rows[ds.select(rows).prune(method, keep=20, **alone).selection.indices].tolist()
    if not method.startswith(("random", "drop")):  # whose order is that of the positions
        assert dropped.selection.indices.tolist() == wanted
    assert len(dropped) == len(wanted) == 20
    assert not WITHOUT[dropped.selection.indices].any()
    assert len(kept) == 25
    assert sorted({*kept.selection.indices.tolist()} - {*np.flatnonzero(WITHOUT).tolist()}) == (
        dropped.selection.indices.tolist()
    )
    assert WITHOUT[kept.selection.indices].sum() == 5
    assert np.isnan(kept.selection.scores[WITHOUT]).all()


def test_texts_without_a_token_to_predict():
    ds = Dataset.from_dict({"text": [f"row {row}" for row in range(N)]})
    dropped = ds.prune("el2n", keep=4, dynamics=OF_TEXTS, unlabelled="drop").selection
    assert dropped.indices.tolist() == [36, 37, 38, 39]
    kept = ds.prune("el2n", keep=0.2, dynamics=OF_TEXTS, unlabelled="keep").selection
    assert kept.indices.tolist() == [3, 11, 19, 27, 35, 37, 38, 39]
    assert len(ds.prune("perplexity", keep=35, dynamics=OF_TEXTS, unlabelled="drop")) == 35


def test_the_budget_is_exact_or_an_error():
    ds = dataset_with(-100)
    for keep, unlabelled in ((35, "drop"), (1, "drop"), (5, "keep"), (40, "keep"), (6, "keep")):
        coreset = ds.prune("el2n", keep=keep, dynamics=OF_CLASSES, unlabelled=unlabelled)
        assert len(coreset) == keep
    with pytest.raises(hf_prune.ArgumentError, match="`keep`: wanted 36 of 40 rows, of which 35 have a label"):
        ds.prune("random", keep=36, unlabelled="drop")
    with pytest.raises(hf_prune.ArgumentError, match=r"`unlabelled`: 'keep' keeps all 5 rows .*keep= means 4 rows"):
        ds.prune("random", keep=4, unlabelled="keep")


def test_methods_without_labels_see_none_unless_it_is_said():
    ds = dataset_with(None)
    assert len(ds.prune("random", keep=40)) == 40
    assert len(ds.prune("random", keep=10, by="site", quotas="equal")) == 10
    assert not WITHOUT[ds.prune("random", keep=35, unlabelled="drop").selection.indices].any()
    labelled = Dataset.from_dict({"x": range(N), "label": [0, 1] * 20})
    assert len(labelled.prune("random", keep=40, quotas="equal", unlabelled="drop")) == 40


def test_the_record_says_what_became_of_them(tmp_path):
    ds = dataset_with(-100)
    selection = ds.prune("el2n", keep=10, dynamics=OF_CLASSES, unlabelled="keep", quotas="equal").selection
    assert "5 rows have no label, of which all were kept" in selection.summary()
    assert "it has no label, and such rows were all kept" in selection.explain(11)
    assert "group" in selection.explain(12)
    selection.save(tmp_path / "s")
    loaded = Selection.load(tmp_path / "s")
    assert loaded.explain(11) == selection.explain(11)
    assert loaded.apply(ds)["x"][:] == selection.indices.tolist()
    assert (loaded.at_least, loaded.at(keep=7).indices.tolist()) == (5, selection.at(keep=7).indices.tolist())
    assert WITHOUT[loaded.at(keep=5).indices].all()
    with pytest.raises(ValueError, match="can be cut to 5 to 10"):
        loaded.at(keep=4)
    anew = ds.prune("el2n", keep=7, dynamics=OF_CLASSES, unlabelled="keep", quotas="equal").selection
    assert selection.at(keep=7).indices.tolist() == anew.indices.tolist()
    dropped = ds.prune("el2n", keep=10, dynamics=OF_CLASSES, unlabelled="drop").selection
    assert "5 rows have no label, of which none was kept" in dropped.summary()
    assert "row 11: dropped" in dropped.explain(11)
    assert "such rows were left out" in dropped.explain(11)


def test_chains_and_splits():
    ds = dataset_with(-100)
    chain = ds.prune("random", keep=30).prune("el2n", keep=10, dynamics=OF_CLASSES, unlabelled="drop").selection
    assert not WITHOUT[chain.indices].any()
    assert (chain.n, len(chain)) == (N, 10)
    assert "first step" in chain.explain(int(np.flatnonzero(chain.dropped_before)[0]))
    splits = DatasetDict(train=ds).prune("random", keep=10, unlabelled="drop")
    assert not WITHOUT[splits["train"].selection.indices].any()


def test_they_are_told_apart_from_rows_never_seen(tmp_path):
    labels = np.array(labels_with(-100))
    labels[0] = -1
    run = run_of(labels)
    for signal in run.signals:
        run[signal][:, 0] = NAN
    run.save(tmp_path / "run")
    TrainingDynamics.load(tmp_path / "run").to_parquet(tmp_path / "run.parquet")
    again = TrainingDynamics.from_parquet(tmp_path / "run.parquet")
    assert np.flatnonzero(again.unlabelled).tolist() == np.flatnonzero(WITHOUT).tolist()
    with pytest.raises(hf_prune.ArgumentError, match="1 of 35 rows were never seen in epochs 0 to 1, the fir"):
        dataset_with(-100).prune("el2n", keep=10, dynamics=again, unlabelled="drop")


def test_a_row_that_had_a_label_in_some_epoch_has_one():
    """As with masked language models, which may mask no token of a short text in one epoch and some in the next."""
    run = run_of(np.where(WITHOUT, -100, -1), "token-classification")
    for signal in run.signals:
        run[signal][1, 3] = 1
    assert np.flatnonzero(run.unlabelled).tolist() == [11, 19, 27, 35]


def test_a_class_that_the_run_did_not_see_is_another_label():
    ds = Dataset.from_dict({"label": [row % 3 for row in range(N)]})
    with pytest.raises(hf_prune.AlignmentError, match=r"5 of 40 labels differ .*row 3 \(recorded -100, here 0\)"):
        ds.prune("el2n", keep=10, dynamics=OF_CLASSES, unlabelled="drop")
