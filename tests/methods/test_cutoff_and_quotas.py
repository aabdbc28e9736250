"""DRoP's default cutoff, and how quotas share out what a cutoff leaves, held against one place after the other."""

import logging

import numpy as np
import pytest
from datasets import Dataset
from hypothesis import given, settings
from hypothesis import strategies as st

import hf_prune
from hf_prune.dynamics.dynamics import TrainingDynamics
from hf_prune.groups import encode
from hf_prune.methods.suspects import suspects
from hf_prune.signals.signals import Signals
from tests.methods.test_suspects_of_runs import CLASSES, N, clusters, signals

RULES = {
    "equal": hf_prune.PerClass(hf_prune.Random(), "equal"),
    "proportional": hf_prune.PerClass(hf_prune.Random(), "proportional"),
    "drop": hf_prune.PerClass(hf_prune.Random(), "drop"),
    "drop by count": hf_prune.DRoP(allocate="count"),
}


@st.composite
def problems(draw):
    """Classes of a few rows with a margin each, of which there are ties, and the classes' recalls."""
    sizes = draw(st.lists(st.integers(1, 12), min_size=1, max_size=5))
    n = sum(sizes)
    margins = draw(st.lists(st.sampled_from([-2.0, -1.0, -0.5, 0.5, 1.0, 3.0]), min_size=n, max_size=n))
    recalls = draw(st.lists(st.sampled_from([0.0, 0.3, 0.9, 1.0]), min_size=len(sizes), max_size=len(sizes)))
    cutoff = draw(st.sampled_from([0.1, 0.25, 0.5, 0.9]))
    return sizes, np.array(margins), recalls, cutoff, draw(st.integers(1, n)), draw(st.sampled_from(sorted(RULES)))


def one_after_the_other(sizes, cap, margins, cut, weights, budget):
    """How many rows of each class are kept, where each place goes to the strongest claim that a clean row can fill.

    Classes without weight come when the others are full, by what each has. When no clean row is left, the suspects
    come, the largest margin first, and of equal margins the first row.
    """
    labels, kept, given_place = np.repeat(np.arange(len(sizes)), sizes), np.zeros(len(sizes), int), []
    spare = np.zeros(len(sizes))
    suspect = sorted(cut, key=lambda row: (-margins[row], row))
    for _ in range(budget):
        can = [k for k in range(len(sizes)) if kept[k] < cap[k]]
        if weighted := [k for k in can if weights[k] > 0]:
            k = max(weighted, key=lambda k: (weights[k] / (kept[k] + 0.5), -k))
        elif can:
            k = max(can, key=lambda k: (cap[k] / (spare[k] + 0.5), -k))
            spare[k] += 1
        else:
            k = labels[suspect.pop(0)]
            given_place.append(k)
            continue
        kept[k] += 1
    return kept + np.bincount(given_place, minlength=len(sizes)).astype(int)


@settings(max_examples=2500, deadline=None)
@given(problems())
def test_quotas_are_capped_at_the_rows_that_are_left(problem):
    sizes, margins, recalls, cutoff, budget, name = problem
    n, labels = sum(sizes), np.repeat(np.arange(len(sizes)), sizes)
    dynamics = TrainingDynamics.from_logits(np.stack([margins, np.zeros(n)], axis=1)[None], np.zeros(n, int))
    groups = encode("label", labels)
    whole = Signals(n, {"dynamics": dynamics, "groups": groups, "labels": groups, "recalls": recalls})
    method = hf_prune.WithoutSuspects(RULES[name], cutoff)

    cut = np.argsort(margins, kind="stable")[: round(cutoff * n)]
    cap = groups.sizes - np.bincount(labels[cut], minlength=len(sizes))
    left = Signals(n, {"recalls": recalls})
    weights, _ = RULES[name].quotas.weigh(groups.take(np.setdiff1d(np.arange(n), cut)), left)

    choice = method.select(whole, budget, 3)
    got = np.bincount(labels[choice.rows], minlength=len(sizes))
    assert got.tolist() == one_after_the_other(sizes, cap, margins, cut, weights, budget).tolist()
    assert len(np.unique(choice.rows)) == budget
    taken = np.isin(choice.rows, cut)
    assert taken.sum() == max(0, budget - (n - len(cut)))  # only when the whole dataset runs short
    assert not taken[: n - len(cut)].any()
    if budget > 1:  # house-monotone, and the picking order is that of every smaller budget
        smaller = method.select(whole, budget - 1, 3).rows
        assert set(smaller) < set(choice.rows)
        assert sorted(smaller) == sorted(choice.rows[: budget - 1])


def noisy_dataset():
    points, labels, wrong, dynamics = clusters(0.2)
    ds = Dataset.from_dict({"label": [f"class {label}" for label in labels]})
    return ds, wrong, {"keep": 300, "dynamics": dynamics, "embeddings": points, "recalls": [0.5, 0.9, 0.9, 0.9, 0.9]}


@pytest.mark.parametrize("options", [{"method": "drop"}, {"method": "random", "quotas": "drop"}], ids=str)
def test_drop_holds_suspects_back_by_default(options):
    ds, wrong, given = noisy_dataset()
    selection = ds.prune(**options, **given).selection
    assert wrong[selection.indices].mean() < 0.02
    assert wrong[ds.prune(**options, cutoff=0, **given).selection.indices].mean() > 0.15
    assert selection.steps[0].method["cutoff"] == "auto"
    assert "  cutoff auto: suspect or unlearnable fraction" in selection.summary()
    place = suspects(signals(given["embeddings"], np.array(ds["label"]), given["dynamics"]), "auto")
    assert not place[selection.indices].any()


def test_where_drop_holds_nothing_back(caplog):
    ds, _, given = noisy_dataset()
    run = given.pop("dynamics")
    with caplog.at_level(logging.WARNING, "hf_prune"):
        selection = ds.prune("drop", **given).selection
        assert selection.details["notes"] == ["cutoff 0: no dynamics were passed"]
        own = ds.prune(hf_prune.DRoP(within=hf_prune.D2()), dynamics=run, scores=np.ones(N), **given).selection
        assert own.details["notes"] == ["cutoff 0: scores= were passed"]
        unread = ds.prune("drop", dynamics=run, scores=np.ones(N), **given).selection
        assert "notes" not in unread.details
        assert not caplog.records
        del given["embeddings"]
        selection = ds.prune("drop", dynamics=run, **given).selection
    (note,) = selection.details["notes"]
    assert note.startswith(
        "cutoff 0: no embeddings were passed, and the dynamics hold no features; in half of its epochs or more "
    )
    assert "record with PruningTrainerCallback(features=True)" in note
    assert note in caplog.text
    assert f"  {note}" in selection.summary()


def test_a_run_that_says_nothing_of_predictions_is_no_hindrance():
    run = TrainingDynamics({"el2n": np.ones((2, 20))}, np.arange(20) % 2)
    ds = Dataset.from_dict({"label": [row % 2 for row in range(20)]})
    selection = ds.prune("drop", keep=6, dynamics=run, recalls=[0.5, 0.9]).selection
    assert selection.details["notes"] == ["cutoff 0: no embeddings were passed, and the dynamics hold no features"]


def test_few_suspects_are_no_warning(caplog):
    _, labels, _, run = clusters(0.0)
    given = {"keep": 30, "dynamics": run, "recalls": [0.5] * CLASSES}
    with caplog.at_level(logging.WARNING, "hf_prune"):
        selection = Dataset.from_dict({"label": labels.tolist()}).prune("drop", **given).selection
    assert selection.details["notes"] == ["cutoff 0: no embeddings were passed, and the dynamics hold no features"]
    assert not [record for record in caplog.records if "cutoff" in record.getMessage()]
