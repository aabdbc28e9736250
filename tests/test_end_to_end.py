"""The whole line, for text and for images: train, record, prune, train again, keep the record."""

import numpy as np
import pytest

import hf_prune

pytestmark = pytest.mark.integration


def test_from_a_dataset_to_a_better_small_one(task, tmp_path):
    recorder = hf_prune.PruningTrainerCallback(features=True)
    trainer = task.trainer(callbacks=[recorder])
    trainer.train()
    dynamics = recorder.dynamics
    assert (dynamics.epochs, len(dynamics), dynamics.coverage) == (3, len(task.dataset), 1.0)

    signals = {"dynamics": recorder, "recalls": trainer.predict(task.dataset)}
    methods = ["random", "el2n", "forgetting", "aum", "d2", "drop", hf_prune.DRoP(within=hf_prune.D2(k=3))]
    for method in methods:
        coreset = task.dataset.prune(method, keep=0.4, **signals)
        assert len(coreset) == 15
        assert coreset["note"][:] == task.dataset.select(coreset.selection.indices)["note"][:]

    coreset = task.dataset.prune("d2", keep=0.4, quotas="equal", k=3, **signals)
    again = task.trainer(train_dataset=coreset)
    again.train()
    assert again.predict(task.dataset).predictions.shape == (len(task.dataset), task.classes)

    # The record and the dynamics repeat it in another place.
    coreset.selection.save(tmp_path / "selection")
    dynamics.save(tmp_path / "dynamics.safetensors")
    applied = hf_prune.Selection.load(tmp_path / "selection").apply(task.dataset)
    assert applied["note"][:] == coreset["note"][:]
    from_file = task.dataset.prune("d2", keep=0.4, quotas="equal", k=3, dynamics=tmp_path / "dynamics.safetensors")
    np.testing.assert_array_equal(from_file.selection.indices, coreset.selection.indices)


def test_the_dynamics_are_good_for_the_raw_dataset_only(task):
    recorder = hf_prune.PruningTrainerCallback()
    task.trainer(callbacks=[recorder], num_train_epochs=1).train()
    raw = task.dataset.select_columns(["note", "label"])
    assert len(raw.prune("el2n", keep=5, dynamics=recorder)) == 5
    with pytest.raises(hf_prune.AlignmentError, match="were the rows reordered"):
        raw.shuffle(seed=0).prune("el2n", keep=5, dynamics=recorder)
