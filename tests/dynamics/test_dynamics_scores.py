from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
from datasets import Dataset

import hf_prune
from hf_prune import ArgumentError, ArgumentTypeError, MissingSignalError, TrainingDynamics
from hf_prune.config import _REGISTRY, registered

NAMES = ["aum", "el2n", "forgetting", "variability"]
EPOCHS, N = 5, 7


@pytest.fixture
def run():
    rng = np.random.default_rng(0)
    return TrainingDynamics.from_logits(rng.normal(size=(EPOCHS, N, 3)), np.arange(N) % 3)


@pytest.fixture
def registry(monkeypatch):
    """Scores that a test defines are forgotten again."""
    monkeypatch.setitem(_REGISTRY, "score", dict(_REGISTRY["score"]))


@pytest.mark.parametrize("epochs", [None, 2, (1, 4)])
@pytest.mark.parametrize("name", NAMES)
def test_scores_are_those_of_prune(run, name, epochs):
    dataset = Dataset.from_dict({"label": run.labels})
    wanted = dataset.prune(name, keep=3, dynamics=run, epochs=epochs).selection.scores
    scores = run.scores(name, epochs=epochs)
    np.testing.assert_array_equal(scores, wanted)
    assert scores.dtype == np.float64
    assert scores.shape == (N,)


def test_every_score_that_reads_dynamics_only_is_one_of_these():
    of_runs = {name for name, cls in registered("score").items() if cls.reads == {"dynamics"}}
    assert of_runs == {*NAMES, "grand", "perplexity"}  # one takes no epochs, one is of language models


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        (slice(None), None),
        (slice(0, 3), (0, 3)),
        (slice(3), (0, 3)),
        (slice(2, None), (2, EPOCHS)),
        (slice(np.int64(1), np.int64(2)), (1, 2)),
    ],
)
def test_slices(run, given, meant):
    np.testing.assert_array_equal(run.scores("el2n", epochs=given), run.scores("el2n", epochs=meant))


@pytest.mark.parametrize(
    ("epochs", "error", "match"),
    [
        (slice(0, 4, 2), ArgumentError, r"`epochs`: wanted a slice without a step, as in slice\(0, 5\), got slice"),
        (slice(-2, None), ArgumentError, "`epochs`: wanted a whole number of at least 0, got -2"),
        (slice(0, -1), ArgumentError, "`epochs`: wanted a whole number of at least 1, got -1"),
        (slice(3, 3), ArgumentError, "`epochs`: wanted a whole number of at least 4, got 3"),
        (slice(EPOCHS, None), ArgumentError, "`epochs`: wanted a whole number of at least 6, got 5"),
        (slice(0, EPOCHS + 1), ArgumentError, r"`epochs`: wanted a range within the 5 recorded epochs, got \(0, 6\)"),
        (slice("a", None), ArgumentTypeError, "`epochs`: wanted a whole number, got 'a'"),
        (slice(0.0, 2), ArgumentTypeError, r"`epochs`: wanted a whole number, got 0\.0"),
        ("first", ArgumentTypeError, "`epochs`: wanted a whole number, got 'first'"),
    ],
)
def test_epochs_that_cannot_be(run, epochs, error, match):
    with pytest.raises(error, match=match):
        run.scores("el2n", epochs=epochs)


def test_options_of_the_method(run, registry):
    @dataclass(frozen=True)
    class Quantile(hf_prune.Score):
        name: ClassVar[str] = "loss_quantile"
        reads: ClassVar[frozenset[str]] = frozenset({"dynamics"})
        higher_is: ClassVar = "harder"
        q: float = 0.5

        def score(self, signals, seed):
            return np.quantile(signals.dynamics["loss"], self.q, axis=0)

    np.testing.assert_array_equal(run.scores("loss_quantile", q=1.0), run["loss"].max(axis=0))
    with pytest.raises(ArgumentTypeError, match=r"'loss_quantile' takes no option 'qq'. Did you mean 'q'\?"):
        run.scores("loss_quantile", qq=1)
    with pytest.raises(ArgumentTypeError, match="'loss_quantile' takes no option 'epochs'"):
        run.scores("loss_quantile", epochs=slice(2))


def test_unknown_names(run):
    with pytest.raises(ArgumentError, match=r"`method`: wanted one of \['aum', .*got 'eln2'. Did you mean 'el2n'\?"):
        run.scores("eln2")
    for other in (hf_prune.EL2N(), hf_prune.EL2N, None, 3):
        with pytest.raises(ArgumentTypeError, match=r"`method`: wanted one of \['aum', 'el2n'"):
            run.scores(other)


@pytest.mark.parametrize(("name", "needs"), [("given_scores", "scores"), ("prototypicality", "embeddings")])
def test_methods_that_need_other_signals(run, name, needs):
    with pytest.raises(MissingSignalError, match=f"`method`: '{name}' needs {needs}, which a training run doesn't"):
        run.scores(name)


@pytest.mark.parametrize("name", ["random", "mixture", "d2", "drop", "per_class"])
def test_methods_that_are_no_scores(run, name):
    with pytest.raises(ArgumentError, match=f"`method`: '{name}' is no score of a training run; wanted one of"):
        run.scores(name)


def test_rows_that_were_never_seen(run):
    part = run.take(np.arange(N))
    for signal in part.signals:
        part[signal][1:, 4] = np.nan
    assert np.isfinite(part.scores("el2n")).all()
    with pytest.raises(ArgumentError, match="1 of 7 rows were never seen in epochs 1 to 4, the first is row 4"):
        part.scores("el2n", epochs=slice(1, None))


def test_a_score_that_is_not_finite():
    run = TrainingDynamics({"margin": np.full((1, 2), np.inf, dtype=np.float32)}, np.zeros(2, dtype=np.int64))
    with pytest.raises(ArgumentError, match="`dynamics`: in epoch 0 row 0 has the margin inf, one of 2 in that epoch"):
        run.scores("aum")
