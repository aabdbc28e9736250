"""The score methods, by hand."""

import numpy as np
import pytest
from datasets import Dataset

import hf_prune
from hf_prune import ByScore
from hf_prune.dynamics.dynamics import TrainingDynamics
from hf_prune.signals.signals import Signals

NAN = np.nan


def recorded(signal, epochs):
    """Dynamics of which one signal is given, as (epochs, n)."""
    values = np.array(epochs, dtype=np.float32)
    dynamics = TrainingDynamics({signal: values}, np.zeros(values.shape[1], dtype=np.int64))
    return Signals(len(dynamics), {"dynamics": dynamics})


@pytest.mark.parametrize(
    ("correct", "events"),
    [
        ([1, 1, 1, 1], 0),
        ([1, 0, 1, 0], 2),
        ([0, 0, 1, 0], 1),
        ([0, 1, 1, 1], 0),
        ([0, 0, 0, 0], 5),  # never learnt: epochs + 1
        ([1, NAN, 0, 1], 1),  # not shown in the second epoch
        ([NAN, 1, NAN, NAN], 0),
        ([NAN, 0, NAN, 0], 5),
    ],
)
def test_forgetting_events(correct, events):
    scores = hf_prune.Forgetting().score(recorded("correct", np.array([correct]).T), seed=0)
    assert scores.tolist() == [events]


def test_forgetting_of_rows_with_many_tokens_is_not_blamed_on_merging():
    run = recorded("correct", [[0.25], [1.0]]).dynamics
    run.task = "token-classification"
    with pytest.raises(hf_prune.ArgumentError, match="'token-classification' are right in a share of their tokens"):
        run.scores("forgetting")


def test_forgetting_in_a_range_of_epochs():
    signals = recorded("correct", [[0], [1], [0], [1]])
    assert hf_prune.Forgetting(epochs=(2, 4)).score(signals, seed=0).tolist() == [0]
    assert hf_prune.Forgetting(epochs=1).score(signals, seed=0).tolist() == [2]


def test_el2n_and_aum_are_means_over_the_epochs_that_were_seen():
    values = [[1.0, 4.0], [3.0, NAN], [5.0, 6.0]]
    assert hf_prune.EL2N().score(recorded("el2n", values), seed=0).tolist() == [3, 5]
    assert hf_prune.EL2N(epochs=2).score(recorded("el2n", values), seed=0).tolist() == [2, 4]
    assert hf_prune.AUM(epochs=(1, 3)).score(recorded("margin", values), seed=0).tolist() == [4, 6]


def test_variability_is_the_population_deviation_of_the_seen_epochs():
    values = [[0.2, 0.9, 0.5], [0.6, NAN, 0.5], [0.4, 0.1, 0.5]]
    expected = [np.std([0.2, 0.6, 0.4]), np.std([0.9, 0.1]), 0]
    np.testing.assert_allclose(hf_prune.Variability().score(recorded("p_true", values), seed=0), expected, atol=1e-7)
    early = hf_prune.Variability(epochs=1).score(recorded("p_true", values[::2]), seed=0)
    assert early.tolist() == [0, 0, 0]


def test_a_row_that_was_never_seen_is_named():
    with pytest.raises(ValueError, match="1 of 2 rows were never seen in epochs 1 to 1, the first is row 1"):
        hf_prune.EL2N(epochs=(1, 2)).score(recorded("el2n", [[1.0, 4.0], [3.0, NAN]]), seed=0)


@pytest.mark.parametrize(
    ("method", "kept"),
    [
        (ByScore(hf_prune.EL2N()), [3, 1]),
        (ByScore(hf_prune.EL2N(), prefer="hard"), [3, 1]),
        (ByScore(hf_prune.EL2N(), prefer="easy"), [0, 4]),
        (ByScore(hf_prune.EL2N(), prefer="middle"), [2, 1]),
    ],
)
def test_prefer(method, kept):
    # From hard to easy: rows 3, 1, 2, 4, 0.
    chosen = method.select(recorded("el2n", [[0.1, 0.8, 0.5, 0.9, 0.2]]), 2, seed=0)
    assert chosen.rows.tolist() == kept


def test_higher_is_easier_for_aum():
    margins = [[3.0, -1.0, 0.5]]
    assert ByScore(hf_prune.AUM()).prefer == "easy"
    assert ByScore(hf_prune.AUM()).select(recorded("margin", margins), 1, seed=0).indices.tolist() == [0]
    assert ByScore(hf_prune.AUM(), "hard").select(recorded("margin", margins), 1, seed=0).indices.tolist() == [1]


def test_ties_go_to_the_lowest_row_at_both_ends():
    signals = recorded("el2n", [[0.5, 0.5, 0.5, 0.5]])
    for prefer in ("hard", "easy"):
        assert ByScore(hf_prune.EL2N(), prefer).select(signals, 2, seed=0).rows.tolist() == [0, 1]


def test_difficulty_is_turned_and_shifted_over_the_whole_dataset_only_if_negative():
    signals = recorded("margin", [[3.0, -1.0, 0.5]])
    assert hf_prune.AUM().difficulty(signals, 0).tolist() == [0, 4, 2.5]
    assert hf_prune.AUM().difficulty(signals.subset(np.array([0, 2])), 0).tolist() == [0, 2.5]
    given = Signals(2, {"scores": np.array([2.0, 3.0])})
    assert hf_prune.GivenScores().difficulty(given, 0).tolist() == [2, 3]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": 0}, "`epochs`: wanted a whole number of at least 1, got 0"),
        ({"epochs": (3, 3)}, "`epochs`: wanted a whole number of at least 4"),
        ({"epochs": True}, "`epochs`: wanted a whole number, got True"),
        ({"epochs": (1, 2, 3)}, r"`epochs`: wanted \(start, stop\)"),
        ({"epochs": 2.0}, "`epochs`: wanted a whole number"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises((ValueError, TypeError), match=message) as caught:
        hf_prune.EL2N(**options)
    assert isinstance(caught.value, hf_prune.HFPruneError)


def test_bad_ends():
    with pytest.raises(hf_prune.ArgumentError, match=r"`prefer`: wanted one of .* Did you mean 'hard'\?"):
        ByScore(hf_prune.EL2N(), "hardest")
    with pytest.raises(
        hf_prune.ArgumentTypeError, match=r"`score`: wanted a Score such as `hf_prune.AUM\(\)`, got 'aum'"
    ):
        ByScore("aum")
    with pytest.raises(
        hf_prune.ArgumentTypeError, match=r"a score has no `prefer`; pass ByScore\(AUM\(epochs=None\), prefer='hard'\)"
    ):
        Dataset.from_dict({"label": [0, 1]}).prune(hf_prune.AUM(), keep=1, prefer="hard")


def test_epochs_past_the_recorded_ones():
    with pytest.raises(ValueError, match=r"`epochs`: wanted a range within the 1 recorded epochs, got \(0, 2\)"):
        hf_prune.EL2N(epochs=2).score(recorded("el2n", [[0.5]]), seed=0)


def test_a_score_of_the_wrong_shape_or_not_finite_is_refused():
    class Broken(hf_prune.Score):
        higher_is = "harder"
        result = np.zeros(3)

        def score(self, signals, seed):
            return self.result

    Broken.name = "broken"  # not in the class body, which would register it
    with pytest.raises(ValueError, match=r"`broken`: wanted a score for each of 2 rows, got shape \(3,\)"):
        Broken().scores_of(Signals(2, {}), 0)
    Broken.result = np.array([0, np.nan])
    with pytest.raises(ValueError, match="`broken`: row 1 has the score nan"):
        Broken().scores_of(Signals(2, {}), 0)


def test_perplexity_keeps_the_middle():
    losses = np.log([[4.0, 1.0, 2.0, 8.0, 16.0], [1.0, 1.0, NAN, 2.0, 16.0]])
    run = recorded("loss", losses).dynamics
    run.task = "causal-lm"
    signals = Signals(5, {"dynamics": run})
    np.testing.assert_allclose(hf_prune.Perplexity().score(signals, seed=0), [2, 1, 2, 4, 16], rtol=1e-6)
    assert ByScore(hf_prune.Perplexity(epochs=1)).select(signals, 1, seed=0).indices.tolist() == [0]
    run.task = "single-label"
    with pytest.raises(hf_prune.ArgumentError, match=r"perplexity is of language models .*got 'single-label'"):
        hf_prune.Perplexity().score(signals, seed=0)
