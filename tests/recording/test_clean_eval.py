"""Recording a pass in evaluation mode at the end of each epoch."""

import numpy as np
import pytest
import torch
from transformers import TrainerCallback

import hf_prune
from hf_prune import PruningTrainerCallback, TrainingDynamics
from hf_prune.dynamics.formulas import SIGNALS
from tests.recording.witness import assert_same_run, train


class Looker(TrainerCallback):
    """(epochs, n, classes) logits of the model in evaluation mode at the ends of epochs, row by row."""

    def __init__(self, task):
        self.rows, self.logits = task.dataset.remove_columns("note"), []
        self.collate = task.trainer().data_collator

    def on_epoch_end(self, args, state, control, **kwargs):
        model = kwargs["model"]
        numbers = torch.get_rng_state()
        model.eval()
        with torch.no_grad():
            self.logits.append(torch.cat([model(**self.collate([row]))["logits"] for row in self.rows]).numpy())
        model.train()
        torch.set_rng_state(numbers)


@pytest.mark.parametrize("options", [{}, {"label_smoothing_factor": 0.1, "gradient_accumulation_steps": 2}])
def test_values_are_of_the_weights_at_the_end_of_the_epoch(text_task, options):
    recorder, tester = PruningTrainerCallback(features=True, clean_eval=True), Looker(text_task)
    recorded, plain = train(text_task, [recorder], **options), train(text_task, **options)
    recorded.witness.evaluation_passes = plain.witness.evaluation_passes  # the pass itself
    assert_same_run(recorded, plain)
    train(text_task, [tester], **options)
    expected = TrainingDynamics.from_logits(np.stack(tester.logits), text_task.labels)
    for signal in SIGNALS:
        np.testing.assert_allclose(recorder.dynamics[signal], expected[signal], rtol=1e-4, atol=1e-5)
    assert recorder.dynamics.features["last"].shape == (37, 32)


def test_rows_that_training_left_out_are_seen(image_task):
    recorder = PruningTrainerCallback(clean_eval=True)
    train(image_task, [recorder], dataloader_drop_last=True)
    assert recorder.dynamics.coverage == 1


def test_modes_of_modules_are_left_as_they_were(text_task):
    trainer = text_task.trainer(callbacks=[PruningTrainerCallback(clean_eval=True)])
    frozen = trainer.model.bert.embeddings
    frozen.train = lambda mode=True: frozen  # as some fine-tuning code keeps a part in evaluation mode
    frozen.training = False
    trainer.train()
    assert frozen.training is False
    assert trainer.model.training


def test_refusals(text_task):
    with pytest.raises(hf_prune.ArgumentTypeError, match="`clean_eval`: wanted True or False, got 1"):
        PruningTrainerCallback(clean_eval=1)
    with pytest.raises(hf_prune.ArgumentError, match="`clean_eval`: a loop without a Trainer has no such pass"):
        PruningTrainerCallback(clean_eval=True).record(None, None).__enter__()
