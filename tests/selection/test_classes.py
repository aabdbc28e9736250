"""What became of each class, said of every method where labels are known, quotas or not."""

import logging

import numpy as np
import pytest
from datasets import Dataset

import hf_prune
from hf_prune.selection.card import section
from hf_prune.selection.selection import Selection

SCORES = np.r_[np.arange(100, 200), np.arange(60)]


@pytest.fixture
def ds():
    return Dataset.from_dict({"x": range(160), "label": ["cat"] * 100 + ["dog"] * 60, "site": [0, 1] * 80})


def hardest(ds, keep=0.5, **options):
    return ds.prune("given_scores", keep=keep, scores=SCORES, **options)


LOST = (
    "fewer than 10 rows or a tenth of their share are kept of dog (0 of 60): hardly enough to learn from; "
    'quotas="equal" with keep=20 or more keeps 10 of each that has so many'
)


def test_every_summary_shows_classes(ds):
    assert hardest(ds).selection.summary().splitlines()[2:] == [
        "  class       rows       kept  density",
        "  cat          100         80    0.800",
        "  dog           60          0    0.000",
        f"  warning: {LOST}",
    ]


def test_a_class_that_is_lost_is_warned_of_at_once(ds, caplog):
    with caplog.at_level(logging.WARNING):
        hardest(ds)
    assert [record.getMessage() for record in caplog.records] == [f"by_score: {LOST}"]
    caplog.clear()
    hardest(ds, quotas="equal")
    assert not caplog.records


@pytest.mark.parametrize(("kept", "warned"), [(30, True), (50, False)])
def test_a_tenth_of_its_share_is_too_little_however_many_rows(kept, warned, caplog):
    ds = Dataset.from_dict({"label": [0] * 900 + [1] * 600})  # of 930 rows a share is 372
    ds.prune("given_scores", keep=900 + kept, scores=np.r_[np.ones(900), np.zeros(600)])
    assert [f"1 ({kept} of 600)" in record.getMessage() for record in caplog.records] == [True] * warned


def test_groups_that_are_no_classes_are_shown_beside_classes(ds):
    lines = hardest(ds, by="site").selection.summary().splitlines()
    assert [line.split()[0] for line in lines[2:8]] == ["group", "0", "1", "class", "cat", "dog"]
    words = hardest(ds, by="site").selection.explain(1)
    assert "group '1': 40 of 80 rows kept\n  class 'cat': 80 of 100 rows kept" in words
    assert "class 'dog': 0 of 60 rows kept" in hardest(ds).selection.explain(159)
    assert "class '" not in hardest(ds, quotas="equal").selection.explain(159)


@pytest.mark.parametrize("options", [{}, {"by": "site"}, {"quotas": "equal"}])
def test_classes_go_along_with_records_budgets_and_chains(ds, tmp_path, options):
    selection = hardest(ds, **options).selection
    selection.save(tmp_path / "s")
    loaded = Selection.load(tmp_path / "s")
    assert loaded.summary() == selection.summary()
    assert loaded.class_table() == selection.class_table()
    smaller = loaded.at(keep=10)
    assert sum(row["kept"] for row in smaller.class_table()) == 10
    chained = hardest(ds, **options).prune("random", keep=20).selection
    assert [row["size"] for row in chained.class_table()] == [100, 60]
    assert sum(row["kept"] for row in chained.class_table()) == 20


def test_the_plot_and_the_card_show_classes_without_quotas(ds):
    selection = hardest(ds).selection
    assert [label.get_text() for label in selection.plot().axes[1].get_xticklabels()] == ["cat", "dog"]
    text = section(selection, "me/x", "default", "train", picture=False)
    assert "| class | rows | kept | share |\n| --- | --- | --- | --- |\n| cat | 100 | 80 | 80.0% |" in text
    assert "- Warning\\: fewer than 10 rows or a tenth of their share are kept of dog \\(0 of 60" in text
    both = section(hardest(ds, by="site").selection, "me/x", "default", "train", picture=False)
    assert "| group |" in both
    assert "| class |" in both


@pytest.mark.parametrize("labels", [[0.5] * 1001, [[0]] * 1001, [str(i) for i in range(1001)], [None] * 1001])
def test_what_no_classes_can_be_made_of_shows_none(labels):
    selection = Dataset.from_dict({"label": labels}).prune("random", keep=0.5).selection
    assert len(selection.summary().splitlines()) == 2


def test_a_repr_is_one_screen():
    ds = Dataset.from_dict({"label": list(range(400)) * 2})
    selection = ds.prune("random", keep=0.5).selection
    assert repr(selection).startswith("Selection of 400 of 800 rows kept (50.0%)\n  random kept")
    assert len(repr(selection).splitlines()) < 20
    assert "and 370 more, of no smaller density; selection.class_table() has all" in selection.summary()
    kept = [row["kept"] for row in selection.class_table()]
    shown = [line.split() for line in selection.summary().splitlines()[3:33]]
    assert [int(line[2]) for line in shown] == sorted(kept)[:30]


def test_rows_that_are_kept_although_suspect_are_counted():
    ds = Dataset.from_dict({"x": range(10)})
    logits = np.zeros((1, 10, 2))
    logits[0, :, 0] = np.arange(10)
    run = hf_prune.TrainingDynamics.from_logits(logits, [0] * 10)
    ds = ds.add_column("label", [0] * 10)
    selection = ds.prune("random", keep=9, cutoff=0.4, dynamics=run).selection
    lines = selection.summary().splitlines()
    assert "  cutoff 0.4: 4 of 10 rows held back, those with the lowest AUM" in lines
    said = "  3 of these 4 rows had to be kept after all, since the others are too few for the budget; 1 are left out"
    assert said in lines
    assert "kept after all" not in selection.at(keep=6).summary()
