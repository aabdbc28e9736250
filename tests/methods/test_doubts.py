"""When cutoff="auto" can't know, it holds nothing back and says why."""

import numpy as np
import pytest

from hf_prune.dynamics.dynamics import TrainingDynamics
from hf_prune.kernels.suspects import Votes, suspect_fraction
from hf_prune.methods.doubts import doubt
from hf_prune.methods.suspects import suspects
from tests.methods.test_suspects_of_runs import clusters, signals


def note_of(points, labels, logits):
    whole = signals(points, labels, TrainingDynamics.from_logits(logits, labels))
    place = suspects(whole, "auto")
    note = whole.notes["cutoff"]
    assert note["cut"] == np.count_nonzero(place)
    return note


def overlapping(n, centres, seed=0):
    """Points of classes that overlap, with labels that are right, and the logits of one who knows the classes."""
    draw, centres = np.random.default_rng(seed), np.array(centres)
    labels = draw.integers(0, len(centres), n)
    points = centres[labels] + draw.normal(size=(n, centres.shape[1]))
    return points, labels, -((points[:, None] - centres) ** 2).sum(axis=2) / 2


ALL_OVERLAP = [(1.5, 0.0), (-0.75, 1.3), (-0.75, -1.3)]
TWO_OVERLAP = [(-20.0, 0.0), (20.0, 0.0), (0.0, 20.0), (0.0, -20.0), (0.0, 0.0), (1.2, 0.0)]


@pytest.mark.parametrize("seed", range(3))
def test_a_run_at_chance_holds_nothing_back(seed):
    points, labels, logits = overlapping(300, ALL_OVERLAP, seed)
    untrained = 0.05 * np.random.default_rng(seed).normal(size=(3, *logits.shape))
    note = note_of(points, labels, untrained)
    assert (note["cut"], note["fraction"]) == (0, 0)
    assert note["estimate"] > 0.03  # which was acted on once
    assert "the run is barely trained: where they uphold labels it puts these" in note["doubt"]
    assert note["doubt"].endswith("from a pretrained model, or pass a fraction of your own as cutoff=")


def test_a_run_that_has_memorised_the_labels_from_its_first_epoch_on_holds_nothing_back():
    points, labels, wrong, _ = clusters(0.2)
    unsure = 2.2 + 0.3 * np.random.default_rng(0).normal(size=len(labels))
    logits = np.where(wrong, 0.1, unsure)[:, None] * np.eye(5)[labels]
    logits[wrong, (labels[wrong] + 1) % 5] = np.where(
        np.arange(wrong.sum()) % 5, 0.0, 1.0
    )  # a fifth is not learnt yet
    note = note_of(points, labels, [logits])
    assert note["cut"] == note["fraction"] == 0
    assert note["estimate"] == pytest.approx(0.2, abs=0.05)
    assert "it has memorised its labels record it from its first epoch" in note["doubt"]


@pytest.mark.parametrize("classes", [2, 10])
@pytest.mark.parametrize("noise", [0.0, 0.2])
def test_embeddings_that_say_nothing_hold_nothing_back(noise, classes):
    points, labels, _, dynamics = clusters(noise, sizes=(900, *(100,) * (classes - 1)))
    anywhere = np.random.default_rng(0).normal(size=points.shape)
    whole = signals(anywhere, labels, dynamics)
    suspects(whole, "auto")
    note = whole.notes["cutoff"]
    assert note["cut"] == note["fraction"] == 0
    assert note["estimate"] > 0.05
    assert "the embeddings say too little about the labels; pass embeddings= from an encoder" in note["doubt"]


@pytest.mark.parametrize("seed", range(3))
def test_hard_rows_of_clean_data_are_not_taken_for_wrong_labels(seed):
    points, labels, logits = overlapping(1500, TWO_OVERLAP, seed)
    note = note_of(points, labels, [logits])
    assert note["cut"] == note["fraction"] == 0
    assert note["estimate"] > 0.02
    assert "which is how hard rows look and not how wrong labels do" in note["doubt"]


@pytest.mark.parametrize("seed", range(3))
def test_wrong_labels_among_hard_rows_are_acted_on(seed):
    points, labels, logits = overlapping(1500, TWO_OVERLAP, seed)
    wrong = np.random.default_rng(seed).random(1500) < 0.2
    note = note_of(points, np.where(wrong, (labels + 1) % len(TWO_OVERLAP), labels), [logits])
    assert note["doubt"] is None
    assert note["fraction"] == note["estimate"] == pytest.approx(0.2, abs=0.1)


@pytest.mark.parametrize(("contradicted", "acted"), [(4, False), (5, True)])
def test_too_few_rows_tell_nothing(contradicted, acted):
    # 1/2^4 is above 5%, 1/2^5 below.
    vote = Votes(np.zeros(100, dtype=int), np.full(100, 10), np.full(100, 10))
    labels = np.arange(100) % 2
    vote.winner[:] = labels
    vote.winner[:contradicted] = 1 - labels[:contradicted]
    lead = np.where(vote.winner == labels, 0.9, -0.9)
    fraction, core = suspect_fraction(vote, labels)
    reason = doubt(fraction, vote, core, labels, lead)
    assert (reason is None) == acted
    assert acted or f"contradicts {contradicted} of the {contradicted} labels" in str(reason)


def test_labels_that_are_all_contradicted_tell_nothing():
    labels = np.arange(40) % 2
    vote = Votes(1 - labels, np.full(40, 10), np.full(40, -10))
    fraction, core = suspect_fraction(vote, labels)
    assert fraction == 1
    assert "contradict 40 of 40 labels" in str(doubt(fraction, vote, core, labels, np.zeros(40)))


def test_without_wrong_labels_there_is_nothing_to_doubt():
    points, labels, _, dynamics = clusters(0)
    whole = signals(points, labels, dynamics)
    suspects(whole, "auto")
    note = whole.notes["cutoff"]
    assert (note["cut"], note["estimate"], note["doubt"]) == (0, 0, None)


def test_classes_too_small_to_tell_are_spared_and_others_go_on():
    points, labels, *_ = clusters(0.2, sizes=(200, 200, 200))
    for c, size in enumerate((20, 21)):
        labels[100 * c : 100 * c + size] = 3 + c  # which neighbours contradict
    logits = np.full((3, len(labels), 5), -1.0)
    logits[:, np.arange(len(labels)), np.repeat([0, 1, 2], 200)] = 1.0
    note = note_of(points, labels, logits)
    assert note["classes"]["rows"][3:] == [20, 21]
    assert note["classes"]["cut"][3:] == [0, 14]
    assert min(note["classes"]["cut"][:3]) > 10
    assert "classes of at most 20 rows are too small to tell and lose none: 3 (20)" in note["warnings"][0]
    assert "classes lose as many rows as they may: 4 (14 of 21)" in note["warnings"][1]
