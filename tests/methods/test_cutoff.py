import logging
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
from datasets import Dataset

import hf_prune
from hf_prune.config import _REGISTRY
from hf_prune.dynamics.dynamics import TrainingDynamics
from hf_prune.groups import encode
from hf_prune.methods.suspects import _lead, _stopping_epoch, suspects
from hf_prune.methods.without_suspects import with_cutoff
from hf_prune.signals.signals import Signals

CLASSES, SIZE = 5, 240
N = CLASSES * SIZE


def clusters(noise, *, sizes=(SIZE,) * CLASSES, pairs=False, seed=0, d=8):
    """Well-separated clusters, labels of which a share `noise` in each class is wrong, and a run on them: in its first
    epochs it predicts the cluster, in the last ones whatever the label is.

    Returns: points, labels, (n,) bool wrong, dynamics.
    """
    draw = np.random.default_rng(seed)
    classes = len(sizes)
    true = np.repeat(np.arange(classes), sizes)
    points = 8 * draw.normal(size=(classes, d))[true] + draw.normal(size=(len(true), d))
    labels = true.copy()
    for c in range(classes):
        rows = draw.permutation(np.flatnonzero(true == c))[: round(noise * sizes[c])]
        labels[rows] = (c + (1 if pairs else draw.integers(1, classes, len(rows)))) % classes
    logits = draw.normal(size=(6, len(true), classes))
    for epoch, knows in enumerate([2, 5, 6, 4, 0, 0]):
        logits[epoch, np.arange(len(true)), true] += knows
        logits[epoch, np.arange(len(true)), labels] += [0, 0, 1, 5, 12, 12][epoch]
    return points, labels, labels != true, TrainingDynamics.from_logits(logits, labels)


def signals(points, labels, dynamics, **given):
    groups = encode("label", labels)
    given |= {"labels": groups, "groups": groups, "dynamics": dynamics, "early_embeddings": points}
    return Signals(len(labels), given | {"embeddings": points})


def found(noise, **options):
    points, labels, wrong, dynamics = clusters(noise, **options)
    whole = signals(points, labels, dynamics)
    return suspects(whole, "auto") > 0, wrong, whole.notes["cutoff"], labels


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize(
    ("noise", "pairs", "tolerance"),
    [(0.0, False, 0.001), (0.1, False, 0.04), (0.2, False, 0.05), (0.4, False, 0.06), (0.2, True, 0.05)],
)
def test_the_injected_noise_is_recovered(noise, pairs, tolerance, seed):
    cut, wrong, note, _ = found(noise, pairs=pairs, seed=seed)
    assert note["fraction"] == pytest.approx(wrong.mean(), abs=tolerance)
    assert note["cut"] == cut.sum() <= round(note["fraction"] * N)
    if noise:
        assert (cut & wrong).sum() / wrong.sum() > 0.7
        assert (cut & wrong).sum() / cut.sum() > 0.9
    # Epochs 4 and 5 have memorised the labels.
    assert note["epoch"] < 4
    assert note["warnings"] == []


def test_by_hand():
    # Two clusters of four; row 3 lies among the zeros and says 1. k = 7, so every vote is 3 or 4 of each kind.
    points = np.array([[0.0], [0.1], [0.2], [0.3], [9.0], [9.1], [9.2], [9.3]])
    labels = np.array([0, 0, 0, 1, 1, 1, 1, 1])
    right, wrong = [2.0, 0.0], [0.0, 2.0]
    logits = np.array([[right] * 4 + [wrong] * 4, [right] * 3 + [wrong] * 5])
    whole = signals(points, labels, TrainingDynamics.from_logits(logits, labels))
    place = suspects(whole, "auto")
    # Everyone else is seen by each row: a label of 3 rows has 2 votes from its own kind or 3, the other 5 or 4.
    # So 1 wins everywhere, with leads 3 for the zeros (5 - 2) and 1 for the ones (4 - 3).
    # m = 4 and ties go in: the core is the three zeros with lead 3 and, for the fourth place, all ones.
    assert whole.notes["cutoff"]["core"] == 8
    assert whole.notes["cutoff"]["fraction"] == 3 / 8
    # Only labels 1 are upheld; epoch 0 agrees with that in 4 of 8 rows, epoch 1 in 5.
    assert whole.notes["cutoff"]["epoch"] == 1
    # Trust of a zero: p lead tanh(1) = .76, votes (2 - 5) / 7; of row 3: half of the epochs against it, (4 - 3) / 7.
    # Nothing is below 0.
    assert place.tolist() == [0] * 8
    assert np.tanh(1) - 3 / 7 > 0


def test_margins_that_underflow_and_rows_that_an_epoch_did_not_show():
    points, labels, wrong, dynamics = clusters(0.2)
    spotty = dynamics.take(np.arange(N))
    draw = np.random.default_rng(0)
    unseen = draw.random((spotty.epochs, N)) < 0.3
    unseen[:5, :4], unseen[5] = True, False  # the first rows are not seen before the last epoch
    for signal in spotty.signals:
        spotty[signal][unseen] = np.nan
    whole = signals(points, labels, spotty)
    cut = suspects(whole, "auto") > 0
    assert (cut & wrong).sum() / wrong.sum() > 0.75
    assert whole.notes["cutoff"]["epoch"] < 4

    far = TrainingDynamics.from_logits([[[900.0, 0.0], [0.0, 900.0]]], [0, 0])
    assert far["p_true"][0].tolist() == [1, 0]
    assert _lead(far, 1).tolist() == [1, -1]


def test_trust_is_what_the_loops_say():
    draw = np.random.default_rng(4)
    labels = draw.integers(0, 3, 50)
    logits = draw.normal(size=(4, 50, 3)) * 4
    logits[draw.random((4, 50)) < 0.3] = np.nan
    logits[3] = draw.normal(size=(50, 3))
    dynamics = TrainingDynamics.from_logits(logits, labels)
    for stop in (1, 2, 4):
        for row, lead in enumerate(_lead(dynamics, stop)):
            each = []
            for z in logits[:stop, row]:
                if not np.isnan(z).any():
                    p = np.exp(z - z.max()) / np.exp(z - z.max()).sum()
                    each.append(p[labels[row]] - max(p[c] for c in range(3) if c != labels[row]))
            assert lead == pytest.approx(np.mean(each) if each else 0, abs=1e-5)
    upheld = draw.random(50) < 0.5
    agree = [np.mean([c == u for c, u in zip(e, upheld, strict=True) if c == c]) for e in dynamics["correct"]]
    assert _stopping_epoch(dynamics, upheld) == agree.index(max(agree))


def test_an_epoch_that_showed_few_rows_stops_nothing():
    right = np.array([[1, 0, 0, 0, 1], [1, 1, 0, 0, 1], [1, 1, 1, np.nan, np.nan], [1, 1, np.nan, np.nan, np.nan]])
    dynamics = TrainingDynamics.from_logits(np.stack([2 * right, 1 + 0 * right], axis=2), np.zeros(5, dtype=int))
    # Agreement 2/5, 3/5, 2/3, and 2/2 in the epoch that was interrupted.
    assert _stopping_epoch(dynamics, np.array([True, True, False, True, False])) == 2


def test_rows_that_no_epoch_showed_are_refused():
    points, labels, _, dynamics = clusters(0.1)
    for signal in dynamics.signals:
        dynamics[signal][:, 7] = np.nan
    with pytest.raises(hf_prune.ArgumentError, match=r"1 of 1200 rows were never seen .* the first is row 7"):
        suspects(signals(points, labels, dynamics), "auto")


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
    assert kept.order.tolist() == [5, 4, 0, 1, 3, 2]
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
    assert {"early_embeddings", "embeddings", "dynamics", "labels"} <= set(selection.steps[-1].signals)
    selection.save(tmp_path / "record")
    assert hf_prune.Selection.load(tmp_path / "record").summary() == summary
    assert selection.at(keep=0.1).details["cutoff"] == note

    header = tmp_path / "record/selection.json"
    header.write_text(header.read_text().replace('"fraction"', '"friction"'))
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
    # The rows of class 3 lie among those of class 0, and of the run no epoch predicts it.
    points, labels, *_ = clusters(0.2, sizes=(200, 200, 200))
    labels[:9] = 3
    logits = np.full((3, len(labels), 4), -1.0)
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
    assert note["classes"]["cut"][3] == 6
    warnings = [record.getMessage() for record in caplog.records]
    assert len(warnings) == 2  # once, though five pools asked
    assert "classes of at most 12 rows lose rows: class 3 (6 of 9)" in warnings[0]
    assert "classes lose the most that any may, two thirds: class 3 (6 of 9)" in warnings[1]
    assert [f"cutoff: {warning}" for warning in note["warnings"]] == warnings
    assert "  warning: classes of at most 12 rows lose rows: class 3 (6 of 9)" in coreset.selection.summary()
    # Equal quotas want all nine, and only three are left.
    assert coreset["label"].count("class 3") == 3


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
        step = dataset(labels).prune("el2n", cutoff="auto", keep=30, dynamics=dynamics, **given).selection.steps[0]
    note, origin = step.details["cutoff"], step.signals["early_embeddings"]["from"]
    assert "embeddings" not in step.signals
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
    assert with_cutoff(unlabelled, None, frozenset({"dynamics", "embeddings"})) == (
        unlabelled,
        ["cutoff 0: there is no label column"],
    )
    assert len(bare.prune(unlabelled, **given)) == 30
    plain = dataset(labels).prune("d2", cutoff=0, dynamics=dynamics, **given).selection
    assert not {"cutoff", "notes"} & set(plain.details)


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
    with pytest.raises(hf_prune.MissingSignalError, match=r"needs dynamics. To give dynamics: train with `callbacks="):
        ds.prune("random", cutoff="auto", keep=9, embeddings=points)
    with pytest.raises(hf_prune.MissingSignalError, match=r'early_embeddings: for cutoff="auto" pass embeddings='):
        ds.prune("random", cutoff="auto", keep=9, dynamics=dynamics)
    with pytest.raises(hf_prune.MissingSignalError, match=r"needs labels. To give labels: pass label_column="):
        Dataset.from_dict({"x": labels}).prune("random", cutoff="auto", keep=9, dynamics=dynamics, embeddings=points)


def test_a_recorded_run_brings_its_early_features(text_task):
    from hf_prune import PruningTrainerCallback

    recorder = PruningTrainerCallback(features=True)
    text_task.trainer(callbacks=[recorder]).train()
    selection = text_task.dataset.prune("d2", keep=0.5, dynamics=recorder).selection
    assert selection.steps[0].signals["early_embeddings"]["from"] == "early features"
    assert selection.steps[0].signals["embeddings"]["from"] == "features of the last recorded epoch"


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
    assert "left out as suspect or unlearnable (cutoff)\n  score " in selection.explain(suspect)
