import numpy as np
import pytest

import hf_prune
from hf_prune.dynamics.dynamics import TrainingDynamics
from hf_prune.groups import encode
from hf_prune.methods.suspects import _lead, _stopping_epoch, suspects
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
    given |= {"labels": groups, "groups": groups, "dynamics": dynamics, "embeddings": points}
    return Signals(len(labels), given)


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


def test_a_logit_of_minus_infinity_is_no_row_that_was_not_shown():
    points, labels, _, dynamics = clusters(0.2)
    diverged = dynamics.take(np.arange(N))
    for signal, value in {"loss": np.inf, "margin": -np.inf, "p_true": 0, "correct": 0}.items():
        diverged[signal][1, 7] = value
    with pytest.raises(hf_prune.ArgumentError, match="`dynamics`: in epoch 1 row 7 has the loss inf"):
        suspects(signals(points, labels, diverged), "auto")
