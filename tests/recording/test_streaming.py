"""Recording of datasets that are read in a stream."""

import numpy as np
import pytest
import torch

from hf_prune import ArgumentError, PruningTrainerCallback
from tests.arguments import OF_5
from tests.recording.witness import assert_same_dynamics, refuse, train


def test_streaming(task):
    message = "rows that can be counted; this one is streaming"
    refuse(task, message, train_dataset=task.dataset.to_iterable_dataset(), max_steps=3)


@pytest.mark.parametrize("accumulation", [1, 2])
def test_streaming_with_positions(task, accumulation):
    rows = task.dataset.add_column("position", np.arange(37))
    streaming = {"train_dataset": rows.to_iterable_dataset(), "max_steps": 11, "lr_scheduler_type": "constant"}
    options = {"gradient_accumulation_steps": accumulation, **streaming}
    recorder = PruningTrainerCallback(features=True, id_column="position", num_examples=37)

    def run(*recorders):
        trainer = task.trainer(**options)
        for each in recorders:
            trainer.add_callback(each)
        trainer.train()
        return torch.cat([tensor.flatten().float() for tensor in trainer.model.state_dict().values()])

    assert torch.equal(run(recorder), run())
    plain = PruningTrainerCallback(features=True)
    counted = {"max_steps": 11, "lr_scheduler_type": "constant", "gradient_accumulation_steps": accumulation}
    train(task, [plain], in_order=True, **counted)
    np.testing.assert_array_equal(recorder.dynamics["loss"][0], plain.dynamics["loss"][0])
    if accumulation == 1:  # else the Trainer ends a stream's epochs elsewhere
        assert_same_dynamics(recorder.dynamics, plain.dynamics)
    assert len(task.dataset.prune("el2n", keep=3, dynamics=recorder)) == 3


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"id_column": "nowhere", "num_examples": 37}, "`id_column`: wanted a whole number as 'nowhere' in each row"),
        ({"id_column": "position", "num_examples": 30}, "`id_column`: row 3[0-6] is shown and num_examples=30"),
    ],
)
def test_streams_that_do_not_fit(text_task, given, message):
    streaming = text_task.dataset.add_column("position", np.arange(37)).to_iterable_dataset()
    trainer = text_task.trainer(callbacks=[PruningTrainerCallback(**given)], train_dataset=streaming, max_steps=9)
    with pytest.raises(ArgumentError, match=message):
        trainer.train()


@pytest.mark.skipif(not OF_5, reason="the Trainer ends a run that goes on after a stream's first epoch")
def test_a_stream_that_goes_on_says_what_it_records(text_task, tmp_path, caplog):
    rows = text_task.dataset.add_column("position", np.arange(37)).to_iterable_dataset()
    options = {"train_dataset": rows, "max_steps": 8, "save_strategy": "steps", "save_steps": 6}
    options |= {"output_dir": str(tmp_path)}
    given = {"id_column": "position", "num_examples": 37}
    text_task.trainer(callbacks=[PruningTrainerCallback(**given)], **options).train()
    recorder = PruningTrainerCallback(**given)
    trainer = text_task.trainer(callbacks=[recorder], **options)
    trainer.train(resume_from_checkpoint=str(tmp_path / "checkpoint-6"))
    assert "goes on in a stream: epochs before step 6 are not recorded" in caplog.text
    assert 0 < recorder.dynamics.coverage < 1


def test_streaming_options_belong_together():
    with pytest.raises(ArgumentError, match="`id_column`, `num_examples`: give both"):
        PruningTrainerCallback(id_column="position")
    with pytest.raises(ArgumentError, match="`clean_eval`: a streaming dataset is read once an epoch"):
        PruningTrainerCallback(id_column="position", num_examples=3, clean_eval=True)


class CountedStream(torch.utils.data.IterableDataset):
    def __init__(self, rows):
        self.rows = list(rows)

    def __len__(self):
        return len(self.rows)

    def __iter__(self):
        return iter(self.rows)


def test_streaming_of_known_length(task):
    refuse(task, "this one is streaming", train_dataset=CountedStream(task.dataset), max_steps=3)
