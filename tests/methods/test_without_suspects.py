"""The cutoff around methods: what it holds back of them, its default, and what the record says of it."""

import logging
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
from datasets import Dataset

import hf_prune
from hf_prune.config import _REGISTRY
from hf_prune.dynamics.dynamics import TrainingDynamics
from hf_prune.dynamics.row_digests import row_digests
from hf_prune.methods.suspects import suspects
from hf_prune.methods.without_suspects import with_cutoff
from hf_prune.signals.signals import Signals
from tests.methods.test_suspects_of_runs import CLASSES, N, clusters, signals
from tests.selection.made import seal


def dataset(labels):
    return Dataset.from_dict({"label": [f"class {label}" for label in labels]})


@pytest.mark.parametrize(
    "method",
    [
        hf_prune.EL2N(),
        hf_prune.Random(),
        hf_prune.D2(k=5),
        hf_prune.PerClass(hf_prune.D2(k=5), quotas="equal"),
        hf_prune.DRoP(),
    ],
    ids=lambda method: method.name,
)
def test_suspects_are_those_of_the_whole_dataset_and_come_last(method):
    points, labels, _, dynamics = clusters(0.2)
    place = suspects(signals(points, labels, dynamics), "auto")
    given = {"dynamics": dynamics, "embeddings": points, "recalls": [0.5] * CLASSES, "cutoff": "auto"}
    selection = dataset(labels).prune(method, keep=0.3, **given).selection
    assert not place[selection.indices].any()
    assert np.isfinite(selection.scores).all()
    whole = dataset(labels).prune(method, keep=N, **given).selection
    clean = np.count_nonzero(place == 0)
    assert not place[whole.order[:clean]].any()
    assert (np.diff(place[whole.order[clean:]]) < 0).all()  # the least suspect first
    assert whole.details["cutoff"] == selection.steps[-1].details["cutoff"]


def test_quotas_are_shared_out_over_the_rows_that_are_left():
    """A class that is short of clean rows is not filled up with suspects while other classes have clean ones."""
    labels = np.repeat([0, 1], [20, 100])
    margins = np.where(np.arange(120) < 15, -1.0, 1.0)  # three quarters of class 0 are suspect
    dynamics = TrainingDynamics.from_logits(np.stack([margins, np.zeros(120)], axis=1)[None], labels * 0)
    dynamics.labels[:] = labels
    given = {"dynamics": dynamics, "cutoff": 0.125, "recalls": [0.0, 0.9]}
    for quotas in ("equal", hf_prune.DRoPQuotas(prior=(0, 0), allocate="count")):
        kept = [
            dataset(labels).prune("random", quotas=quotas, keep=keep, **given).selection
            for keep in (40, 105, 110, 120)
        ]
        assert [row["kept"] for row in kept[0].group_table()] == [5, 35]
        assert [row["kept"] for row in kept[1].group_table()] == [5, 100]
        assert [row["kept"] for row in kept[2].group_table()] == [10, 100]
        assert [row["size"] for row in kept[0].group_table()] == [20, 100]
        for smaller, larger in pairwise(kept):
            assert set(smaller.indices) < set(larger.indices)
            assert larger.at(keep=len(smaller)).indices.tolist() == smaller.indices.tolist()
    # The modifier inside the classes is another thing: each class is filled up by itself.
    inside = hf_prune.PerClass(hf_prune.WithoutSuspects(hf_prune.Random(), 0.125), quotas="equal")
    kept = dataset(labels).prune(inside, keep=40, dynamics=dynamics).selection
    assert [row["kept"] for row in kept.group_table()] == [20, 20]


def test_a_cutoff_twice_and_quotas_around_a_modifier():
    points, labels, _, dynamics = clusters(0.2)
    given = {"keep": 60, "dynamics": dynamics, "embeddings": points}
    method = hf_prune.WithoutSuspects(hf_prune.D2(k=5), 0.2)
    for cutoff in (0, 0.2, "auto"):
        with pytest.raises(hf_prune.ArgumentError, match=r"`cutoff`: WithoutSuspects.* has a cutoff of its own"):
            dataset(labels).prune(method, cutoff=cutoff, **given)
    with pytest.raises(hf_prune.ArgumentError, match=r"`within`: PerClass.* has a cutoff of its own"):
        hf_prune.WithoutSuspects(hf_prune.PerClass(method))
    alike = [
        dataset(labels).prune(method, quotas="equal", **given),
        dataset(labels).prune(hf_prune.D2(k=5), cutoff=0.2, quotas="equal", **given),
        dataset(labels).prune("without_suspects", within=hf_prune.D2(k=5), cutoff=0.2, quotas="equal", **given),
    ]
    assert len({str(coreset.selection.steps[0].method) for coreset in alike}) == 1
    assert len({tuple(coreset.selection.indices) for coreset in alike}) == 1


def test_the_scores_are_those_of_the_method_without_a_cutoff():
    points, labels, _, dynamics = clusters(0.2)
    given = {"dynamics": dynamics, "embeddings": points}
    for name in ("el2n", "random", "prototypicality"):
        plain, cut = (dataset(labels).prune(name, keep=9, cutoff=c, seed=3, **given).selection for c in (0, "auto"))
        np.testing.assert_array_equal(plain.scores, cut.scores)
        assert not {"cutoff", "notes"} & set(plain.details)


def test_a_fraction_cuts_the_lowest_margins_and_ties_come_back_in_the_order_of_rows():
    labels = np.zeros(6, dtype=int)
    margins = [3.0, -1.0, -2.0, -1.0, 4.0, 5.0]
    dynamics = TrainingDynamics.from_logits([[[margin, 0.0] for margin in margins]], labels)
    whole = Signals(6, {"dynamics": dynamics})
    assert suspects(whole, 0.5).tolist() == [0, 3, 1, 2, 0, 0]
    assert whole.notes == {"cutoff": {"cutoff": 0.5, "cut": 3, "rows": 6}}
    kept = hf_prune.WithoutSuspects(hf_prune.ByScore(hf_prune.EL2N(), "easy"), 0.5).select(whole, 6, 0)
    assert kept.rows.tolist() == [5, 4, 0, 1, 3, 2]
    summary = dataset(labels).prune("el2n", keep=2, cutoff=0.5, dynamics=dynamics).selection.summary()
    assert "  cutoff 0.5: 3 of 6 rows held back, those with the lowest AUM" in summary


def test_mean_margins_that_are_no_number_are_refused():
    dynamics = TrainingDynamics.from_logits([[[1.0, 0.0], [2.0, 0.0]]], [0, 0])
    dynamics["margin"][0, 1] = np.inf
    with pytest.raises(hf_prune.ArgumentError, match="`dynamics`: in epoch 0 row 1 has the margin inf"):
        suspects(Signals(2, {"dynamics": dynamics}), 0.5)


def test_summary_says_what_was_held_back_and_the_record_keeps_it(tmp_path):
    points, labels, _, dynamics = clusters(0.2)
    selection = dataset(labels).prune("d2", keep=0.3, dynamics=dynamics, embeddings=points).selection
    note, summary = selection.details["cutoff"], selection.summary()
    first = f"suspect or unlearnable fraction {note['fraction']:.3f}, {note['cut']} of 1,200 rows held back"
    assert f"  cutoff auto: {first}" in summary
    assert f"    class 2: {note['classes']['cut'][2]} of {(labels == 2).sum()}" in summary
    assert sum(note["classes"]["cut"]) == note["cut"]
    assert note["embeddings"] == "array"
    assert {"embeddings", "dynamics", "labels"} <= set(selection.steps[-1].signals)
    selection.save(tmp_path / "record")
    assert hf_prune.Selection.load(tmp_path / "record").summary() == summary
    assert selection.at(keep=0.1).details["cutoff"] == note

    header = tmp_path / "record/selection.json"
    header.write_text(header.read_text().replace('"fraction"', '"friction"'))
    seal(header.parent)
    with pytest.raises(hf_prune.ArgumentError, match="is damaged: the details of the cutoff lack 'fraction'"):
        hf_prune.Selection.load(tmp_path / "record")


def test_many_classes_are_not_all_listed():
    points, labels, _, dynamics = clusters(0.2, sizes=(30,) * 14)
    selection = dataset(labels).prune("random", cutoff="auto", keep=9, dynamics=dynamics, embeddings=points).selection
    lines = selection.summary().splitlines()
    losing = np.count_nonzero(selection.details["cutoff"]["classes"]["cut"])
    assert len([line for line in lines if line.startswith("    class")]) == 10
    assert f"    and {losing - 10} more classes" in lines


def test_long_tails_are_guarded_and_warned_of(caplog):
    # The rows of classes 3 and 4 lie among those of class 0, and of the run no epoch predicts them.
    points, labels, *_ = clusters(0.2, sizes=(200, 200, 200))
    labels[:36] = np.repeat([3, 4], [27, 9])
    logits = np.full((3, len(labels), 5), -1.0)
    logits[:, np.arange(len(labels)), np.repeat([0, 1, 2], 200)] = 1.0
    with caplog.at_level(logging.WARNING, "hf_prune"):
        coreset = dataset(labels).prune(
            "random",
            cutoff="auto",
            keep=300,
            quotas="equal",
            dynamics=TrainingDynamics.from_logits(logits, labels),
            embeddings=points,
        )
    note = coreset.selection.details["cutoff"]
    assert note["classes"]["cut"][3:] == [18, 0]
    *warnings, loss = [record.getMessage() for record in caplog.records]
    assert len(warnings) == 2  # once, though five pools asked
    assert "are kept of class 3 (9 of 27): hardly enough" in loss
    assert loss.endswith("; 18 of these rows were held back as suspect, which cutoff=0 leaves in")
    assert "classes of at most 20 rows are too small to tell and lose none: class 4 (9)" in warnings[0]
    assert "classes lose as many rows as they may: class 3 (18 of 27)" in warnings[1]
    assert [f"cutoff: {warning}" for warning in note["warnings"]] == warnings
    assert "  warning: classes lose as many rows as they may: class 3" in coreset.selection.summary()
    assert "rows held back and not 1" in coreset.selection.summary()
    # Equal quotas want them all, and of class 3 only nine are left.
    assert [coreset["label"].count(name) for name in ("class 3", "class 4")] == [9, 9]


@pytest.mark.parametrize("kind", ["early", "last", "spotty", "array"])
def test_which_embeddings_are_read(kind, caplog):
    points, labels, _, dynamics = clusters(0.2)
    memorised = 9 * np.eye(CLASSES)[labels] + np.random.default_rng(0).normal(size=(N, CLASSES))
    dynamics.features["last"] = memorised.astype(np.float32)
    if kind != "last":
        dynamics.features["early"] = points.astype(np.float32)
    if kind == "spotty":
        dynamics.features["early"][3, 1] = np.nan
    given = {"embeddings": points} if kind == "array" else {}
    if kind == "early":
        given = {"embeddings": SimpleNamespace(dynamics=dynamics)}
    with caplog.at_level(logging.WARNING, "hf_prune"):
        step = dataset(labels).prune("el2n", cutoff="auto", keep=600, dynamics=dynamics, **given).selection.steps[0]
    note, origin = step.details["cutoff"], step.signals["embeddings"]["from"]
    assert origin == note["embeddings"]
    if kind in ("early", "array"):
        assert origin == {"early": "early features", "array": "array"}[kind]
        assert note["fraction"] == pytest.approx(0.2, abs=0.05)
        assert not caplog.records
    else:
        assert origin == "features of the last recorded epoch"
        assert note["fraction"] < 0.01  # which is what the warnings are about
        assert "early ones are not there for every row; pass embeddings=" in caplog.text
        assert "predicts 100.0% of its training rows right and the embeddings are its last features" in caplog.text


def test_the_default_of_d2():
    points, labels, _, dynamics = clusters(0.1)
    given = {"embeddings": points, "keep": 30}
    auto = dataset(labels).prune("d2", dynamics=dynamics, **given).selection
    assert (auto.steps[0].method["method"], auto.steps[0].method["cutoff"]) == ("without_suspects", "auto")
    for more, reason in (
        ({"scores": np.ones(N), "dynamics": dynamics}, "scores= were passed"),
        ({"score": hf_prune.Prototypicality()}, "no dynamics were passed"),
    ):
        none = dataset(labels).prune("d2", **more, **given).selection
        assert none.steps[0].method["method"] == "d2"
        assert none.details["notes"] == [f"cutoff 0: {reason}"]
        assert f"  cutoff 0: {reason}" in none.summary()
    inside = dataset(labels).prune("d2", quotas="equal", scores=np.ones(N), **given).selection
    assert inside.details["notes"] == ["cutoff 0: scores= were passed"]
    bare = Dataset.from_dict({"x": labels})
    unlabelled = hf_prune.D2(score=hf_prune.Prototypicality())
    assert with_cutoff(unlabelled, None, frozenset({"dynamics", "embeddings"}), lambda: dynamics) == (
        unlabelled,
        ["cutoff 0: there is no label column"],
    )
    assert len(bare.prune(unlabelled, **given)) == 30
    plain = dataset(labels).prune("d2", cutoff=0, dynamics=dynamics, **given).selection
    assert not {"cutoff", "notes"} & set(plain.details)


@pytest.mark.parametrize("task", ["multi-label", "regression", "token-classification", "causal-lm"])
def test_rows_without_a_single_label_have_no_suspects_by_default(task, tmp_path):
    draw = np.random.default_rng(0)
    ds = Dataset.from_dict({"labels": [0.5] * 9 if task == "regression" else [[0, 1]] * 9})
    run = TrainingDynamics({"el2n": draw.random((2, 9))}, np.full(9, -1), task=task, digests=row_digests(ds))
    run.save(tmp_path / "run")
    for dynamics in (run, tmp_path / "run"):
        coreset = ds.prune("d2", score=hf_prune.EL2N(), keep=3, embeddings=draw.random((9, 2)), dynamics=dynamics)
        reason = f"a row has no single label in dynamics of the task {task!r}"
        assert coreset.selection.details["notes"] == [f"cutoff 0: {reason}"]


@pytest.mark.parametrize("n", [1, 2, 3])
@pytest.mark.parametrize("classes", [1, 2])
def test_tiny_and_constant_data(n, classes):
    labels = np.arange(n) % classes
    dynamics = TrainingDynamics.from_logits(np.zeros((2, n, 2)), labels)
    assert suspects(signals(np.zeros((n, 2)), labels, dynamics), "auto").shape == (n,)
    kept = dataset(labels).prune("d2", keep=n, dynamics=dynamics, embeddings=np.zeros((n, 2)))
    assert len(kept) == n


@pytest.mark.parametrize(
    ("cutoff", "message"),
    [
        ("automatic", r"`cutoff`: wanted a fraction in \[0, 1\) or \"auto\", got 'automatic'. Did you mean 'auto'\?"),
        (1.0, r"`cutoff`: wanted a finite number in \[0, 1\), got 1.0"),
        (-0.1, r"`cutoff`: wanted a finite number in \[0, 1\), got -0.1"),
        (float("nan"), r"`cutoff`: wanted a finite number in \[0, 1\), got nan"),
        (True, "`cutoff`: wanted a number, got True"),
        ([0.1], r"`cutoff`: wanted a number, got \[0.1\]"),
    ],
)
def test_bad_cutoffs(cutoff, message):
    for call in (
        lambda: hf_prune.WithoutSuspects(hf_prune.Random(), cutoff),
        lambda: dataset([0, 1]).prune("random", keep=1, cutoff=cutoff),
    ):
        with pytest.raises((ValueError, TypeError), match=message) as caught:
            call()
        assert isinstance(caught.value, hf_prune.HFPruneError)


def test_what_auto_misses_is_named_with_the_line_to_type():
    points, labels, _, dynamics = clusters(0.1)
    ds = dataset(labels)
    with pytest.raises(
        hf_prune.MissingSignalError, match=r"no dynamics, .* needs. To give dynamics: train with `callbacks="
    ):
        ds.prune("random", cutoff="auto", keep=9, embeddings=points)
    with pytest.raises(
        hf_prune.MissingSignalError, match=r"no embeddings, .* needs. To give embeddings: pass embeddings="
    ):
        ds.prune("random", cutoff="auto", keep=9, dynamics=dynamics)
    with pytest.raises(hf_prune.MissingSignalError, match=r"no labels, .* needs. To give labels: pass label_column="):
        Dataset.from_dict({"x": labels}).prune("random", cutoff="auto", keep=9, dynamics=dynamics, embeddings=points)


def test_a_recorded_run_brings_its_early_features(text_task):
    from hf_prune import PruningTrainerCallback

    recorder = PruningTrainerCallback(features=True)
    text_task.trainer(callbacks=[recorder]).train()
    selection = text_task.dataset.prune("d2", keep=0.5, dynamics=recorder).selection
    assert selection.steps[0].signals["embeddings"]["from"] == "early features"


def test_what_is_inside_has_its_say_too(monkeypatch):
    monkeypatch.setitem(_REGISTRY, "method", dict(_REGISTRY["method"]))  # forgets Wordy again

    class Wordy(hf_prune.Random):
        name = "wordy"

        def summarise(self, details):
            return ["words of the method"]

    points, labels, _, dynamics = clusters(0.2)
    given = {"keep": 9, "dynamics": dynamics, "embeddings": points}
    for cutoff in (0, 0.2, "auto"):
        method = hf_prune.WithoutSuspects(Wordy(), cutoff)
        assert "  words of the method" in dataset(labels).prune(method, **given).selection.summary()
    selection = dataset(labels).prune("el2n", cutoff=0.2, **given).selection
    suspect = int(np.flatnonzero(selection.evidence["suspect"])[0])
    said = "left out as suspect or unlearnable (cutoff): the run's mean margin is 1.95\n  score "
    assert said in selection.explain(suspect)


def test_an_estimate_that_is_not_acted_on_is_kept_with_its_reason(tmp_path):
    points, labels, *_ = clusters(0.2)
    draw = np.random.default_rng(0)
    untrained = TrainingDynamics.from_logits(draw.normal(size=(2, N, CLASSES)) / 20, labels)
    selection = dataset(labels).prune("d2", keep=0.3, dynamics=untrained, embeddings=points).selection
    note, summary = selection.details["cutoff"], selection.summary()
    assert (note["fraction"], note["cut"], sum(note["classes"]["cut"])) == (0, 0, 0)
    assert note["estimate"] == pytest.approx(0.2, abs=0.05)
    head = f"  cutoff auto: nothing held back, whatever the estimate of {note['estimate']:.3f}: up to its epoch"
    assert head in summary
    assert note["doubt"] in summary
    selection.save(tmp_path / "record")
    assert hf_prune.Selection.load(tmp_path / "record").summary() == summary
    without = dataset(labels).prune("d2", keep=0.3, dynamics=untrained, embeddings=points, cutoff=0).selection
    assert selection.indices.tolist() == without.indices.tolist()
