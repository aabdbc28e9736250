"""Rows without a label are told apart from rows that were not seen, and don't end the run."""

import numpy as np
import pytest
import torch

from hf_prune import PruningTrainerCallback, TrainingDynamics
from hf_prune.dynamics.rows import UNLABELLED
from tests.recording.runs import ROWS, assert_exact, run
from tests.recording.test_models import (
    BERT,
    TOKENS,
    BertConfig,
    BertForTokenClassification,
    classes,
    classifier,
    gpt,
    shifted,
    texts,
    unshifted,
)


def test_a_class_that_the_loss_ignores(tmp_path):
    columns = classes()
    columns["labels"][[2, 7]] = -100
    recorder = PruningTrainerCallback(features=True)
    assert_exact(lambda: classifier(num_labels=3), columns, tmp_path, unshifted, recorder, task="single-label")
    dynamics = recorder.dynamics
    assert np.flatnonzero(np.isnan(dynamics["margin"]).all(axis=0)).tolist() == [2, 7]
    assert dynamics.labels.tolist() == columns["labels"].tolist()
    assert np.isfinite(dynamics.features["last"]).all()

    dynamics.save(tmp_path / "run.safetensors")
    dynamics.to_parquet(tmp_path / "run.parquet")
    for loaded in (
        TrainingDynamics.load(tmp_path / "run.safetensors"),
        TrainingDynamics.from_parquet(tmp_path / "run.parquet"),
    ):
        assert loaded.labels.tolist() == dynamics.labels.tolist()


@pytest.mark.parametrize("kind", ["causal-lm", "token-classification"])
def test_rows_of_which_no_token_has_a_label(kind, tmp_path):
    columns = texts()
    columns["labels"][[0, 1, 2, 3, 9]] = -100  # the whole first batch, and a row in another
    recorder = PruningTrainerCallback()
    config = BertConfig(num_labels=BERT["vocab_size"], **BERT)
    make = gpt if kind == "causal-lm" else lambda: BertForTokenClassification(config)
    losses = shifted if kind == "causal-lm" else unshifted
    assert_exact(make, columns, tmp_path, losses, recorder, task=kind)
    without = np.isin(np.arange(ROWS), [0, 1, 2, 3, 9])
    assert recorder.dynamics.labels.tolist() == np.where(without, UNLABELLED, -1).tolist()


def test_a_label_of_the_first_token_is_none_for_a_causal_model(tmp_path):
    columns = texts()
    columns["labels"][5] = -100
    columns["labels"][5, 0] = 3
    recorder = PruningTrainerCallback()
    run(gpt(), columns, tmp_path, shifted, recorder)
    assert recorder.dynamics.labels[5] == UNLABELLED
    assert columns["labels"].shape == (ROWS, TOKENS)


def test_rows_that_have_a_label_in_some_epochs_have_one(tmp_path):
    """As where each epoch masks other tokens, and sometimes none."""
    columns, epochs = texts(), iter(range(99))

    def collate(rows):
        labels = np.array([row["labels"] for row in rows])
        if next(epochs) >= 4:  # batches of the second epoch
            labels[:] = -100
        tokens = [row["input_ids"] for row in rows]
        return {"input_ids": torch.tensor(tokens), "labels": torch.tensor(labels)}

    recorder = PruningTrainerCallback()
    run(gpt(), columns, tmp_path, shifted, recorder, collate=collate)
    assert (recorder.dynamics.labels == -1).all()
    assert np.isnan(recorder.dynamics["loss"]).mean(axis=1).tolist() == [0, 1]


def test_a_resumed_run_knows_them_too(tmp_path):
    columns = classes()
    columns["labels"][[2, 7]] = -100
    options = {"save_strategy": "steps", "save_steps": 6}
    run(classifier(num_labels=3), columns, tmp_path, unshifted, PruningTrainerCallback(), **options)
    recorder = PruningTrainerCallback(resume_from=tmp_path / "checkpoint-6")
    trainer = run(classifier(num_labels=3), columns, tmp_path / "none", unshifted, num_train_epochs=1).trainer
    trainer.args.num_train_epochs = 2
    trainer.add_callback(recorder)
    trainer.train(resume_from_checkpoint=str(tmp_path / "checkpoint-6"))
    assert np.flatnonzero(recorder.dynamics.labels == UNLABELLED).tolist() == [2, 7]
