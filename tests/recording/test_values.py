"""What is recorded equals what a witness saw, and the run is what it would have been, in every kind of run."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

import hf_prune
from hf_prune import ArgumentError, PruningTrainerCallback
from hf_prune.dynamics.formulas import SIGNALS
from tests.arguments import BY_LENGTH, OF_5
from tests.recording.witness import TorchDataset, assert_recorded, assert_same_run, train


def own_loss(outputs, labels, num_items_in_batch=None):
    return nn.functional.cross_entropy(outputs["logits"], labels, reduction="sum") / num_items_in_batch


def tuples(task):
    model = task.new_model()
    model.config.return_dict = False
    return model


# What is given to Trainer and TrainingArguments, by the name of the scenario.
BOTH = {
    "plain": lambda task: {},
    "columns kept": lambda task: {
        "remove_unused_columns": False,
        "train_dataset": task.dataset.remove_columns("note"),
    },
    "accumulation": lambda task: {"gradient_accumulation_steps": 2},
    "label smoothing": lambda task: {"label_smoothing_factor": 0.1},
    "own loss": lambda task: {"compute_loss_func": own_loss},
    "own loss, accumulation": lambda task: {"compute_loss_func": own_loss, "gradient_accumulation_steps": 3},
    "evaluation": lambda task: {
        "eval_dataset": task.dataset,
        "eval_strategy": "steps",
        "eval_steps": 2,
        "eval_on_start": True,
    },
    "evaluation, smoothing": lambda task: {
        "eval_dataset": task.dataset,
        "eval_strategy": "epoch",
        "label_smoothing_factor": 0.1,
    },
    "last batch dropped": lambda task: {"dataloader_drop_last": True},
    "max_steps in epoch 2": lambda task: {"max_steps": 7},
    "max_steps over epochs": lambda task: {"max_steps": 17, "num_train_epochs": 1},
    "fraction of an epoch": lambda task: {"num_train_epochs": 1.5},
    "in order": lambda task: {"in_order": True},
    "torch dataset": lambda task: {"train_dataset": TorchDataset(task.dataset)},
    "torch subset": lambda task: {
        "train_dataset": torch.utils.data.Subset(TorchDataset(task.dataset), range(len(task.dataset)))
    },
    "list": lambda task: {"train_dataset": list(task.dataset)},
    "torch format": lambda task: {"train_dataset": task.dataset.with_format("torch")},
    "transformed": lambda task: {
        "train_dataset": task.dataset.with_transform(lambda rows: {**rows, "label": [int(y) for y in rows["label"]]})
    },
    "tuples": lambda task: {"model": tuples(task)},
    "bf16": lambda task: {"bf16": True},
}


TEXT_ONLY = {
    "by length": lambda task: BY_LENGTH,
    "rebalanced": lambda task: {"train_sampling_strategy": "batch_rebalance", "gradient_accumulation_steps": 2},
    "checkpointed": lambda task: {"activation_checkpointing": True},
    "list, columns kept": lambda task: {
        "remove_unused_columns": False,
        "train_dataset": list(task.dataset.remove_columns("note")),
    },
}

SINCE_5 = {"rebalanced", "checkpointed"}

RUNS = [("text", name) for name in {**BOTH, **TEXT_ONLY}] + [("image", name) for name in BOTH]


@pytest.mark.parametrize(("kind", "scenario"), RUNS)
def test_values_and_run(kind, scenario, request):
    if scenario in SINCE_5 and not OF_5:
        pytest.skip("TrainingArguments can't say it")
    task = request.getfixturevalue(f"{kind}_task")
    options = {**BOTH, **TEXT_ONLY}[scenario]

    def run(*recorders):
        torch.manual_seed(1)  # for a model built here
        return train(task, recorders, **options(task))

    recorder = PruningTrainerCallback(features=True)
    recorded, plain = run(recorder), run()
    assert_same_run(recorded, plain)
    assert_recorded(recorder.dynamics, recorded.witness, task.labels)


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning")  # of the compiler
def test_compiled(task):
    options = {"torch_compile": True, "torch_compile_backend": "eager"}
    recorder = PruningTrainerCallback(features=True)
    recorded, plain = train(task, [recorder], **options), train(task, **options)
    assert_same_run(recorded, plain)
    assert_recorded(recorder.dynamics, recorded.witness, task.labels)


@pytest.mark.filterwarnings("ignore:.*is deprecated:FutureWarning")  # peft asks the model in the old way
def test_lora(text_task):
    peft = pytest.importorskip("peft")
    adapted = replace(text_task, head="base_model.model.classifier.modules_to_save.default")

    def run(*recorders):
        torch.manual_seed(1)
        config = peft.LoraConfig(task_type="SEQ_CLS", r=2, target_modules=["query", "value"])
        return train(adapted, recorders, model=peft.get_peft_model(text_task.new_model(), config))

    recorder = PruningTrainerCallback(features=True)
    recorded, plain = run(recorder), run()
    assert_same_run(recorded, plain)
    assert_recorded(recorder.dynamics, recorded.witness, text_task.labels)
    assert recorder.dynamics.features["last"].shape == (37, 32)


@pytest.mark.filterwarnings("ignore:This DataLoader will create 2 worker processes:UserWarning")  # on one core
@pytest.mark.filterwarnings("ignore:.*use of fork.. may lead to deadlocks:DeprecationWarning")  # Python >= 3.12
@pytest.mark.parametrize("scenario", ["plain", "list", "torch dataset", "columns kept", "own loss, accumulation"])
def test_values_and_run_with_workers(task, scenario):
    options = {**BOTH[scenario](task), "dataloader_num_workers": 2, "num_train_epochs": 2}
    recorder = PruningTrainerCallback(features=True)
    recorded, plain = train(task, [recorder], **options), train(task, **options)
    assert_same_run(recorded, plain)
    assert_recorded(recorder.dynamics, recorded.witness, task.labels)


@pytest.mark.filterwarnings("ignore:This DataLoader will create 2 worker processes:UserWarning")
@pytest.mark.filterwarnings("ignore:.*use of fork.. may lead to deadlocks:DeprecationWarning")
def test_persistent_workers_out_of_order(image_task):
    recorder = PruningTrainerCallback()
    options = {"dataloader_persistent_workers": True, "dataloader_prefetch_factor": 4, "dataloader_in_order": False}
    run = train(image_task, [recorder], dataloader_num_workers=2, **options)
    assert_recorded(recorder.dynamics, run.witness, image_task.labels)


def test_values_are_of_training_passes(task):
    recorder = PruningTrainerCallback()
    run = train(task, [recorder], learning_rate=0.0)
    evaluated = run.trainer.predict(task.dataset).predictions
    own = evaluated[np.arange(len(task.labels)), task.labels]
    others = np.where(np.eye(task.classes, dtype=bool)[task.labels], -np.inf, evaluated)
    of_evaluation = own - others.max(axis=1)
    # The weights stand still: only dropout, or a batch's own statistics, tells these apart.
    epochs = recorder.dynamics["margin"]
    for other in (of_evaluation, epochs[1], epochs[2]):
        assert (abs(epochs[0] - other) > 1e-4).mean() > 0.9


def test_every_row_once_an_epoch(task):
    recorder = PruningTrainerCallback()
    run = train(task, [recorder])
    assert (np.stack(run.witness.times_seen) == 1).all()
    assert recorder.dynamics.epochs == 3
    assert recorder.dynamics.coverage == 1.0
    assert len(recorder.dynamics) == len(task.dataset)
    assert recorder.dynamics.features == {}
    assert recorder.dynamics["loss"].dtype == np.float32


def test_dropped_last_batch_is_unseen(task):
    recorder = PruningTrainerCallback()
    run = train(task, [recorder], dataloader_drop_last=True)
    unseen = np.stack(run.witness.times_seen) == 0
    assert unseen.sum(axis=1).tolist() == [5, 5, 5]
    for signal in SIGNALS:
        np.testing.assert_array_equal(np.isnan(recorder.dynamics[signal]), unseen)


def test_stop_within_an_epoch(task):
    recorder = PruningTrainerCallback(features=True)
    run = train(task, [recorder], max_steps=7)
    dynamics = recorder.dynamics
    assert dynamics.epochs == 2
    assert (~np.isnan(dynamics["margin"])).sum(axis=1).tolist() == [37, 16]
    assert dynamics.coverage == pytest.approx(53 / 74)
    in_both = np.flatnonzero(run.witness.times_seen[1])
    for row in range(37):
        of_epoch = 1 if row in in_both else 0
        np.testing.assert_array_equal(dynamics.features["last"][row], run.witness.features[of_epoch][row])


def test_rows_never_seen(task):
    recorder = PruningTrainerCallback(features=True)
    run = train(task, [recorder], max_steps=2)
    dynamics, seen = recorder.dynamics, run.witness.times_seen[0] == 1
    assert seen.sum() == 16
    assert (dynamics.labels[~seen] == -1).all()
    assert np.isnan(dynamics.features["last"][~seen]).all()
    assert np.isfinite(dynamics.features["last"][seen]).all()
    with pytest.raises(ArgumentError, match="21 of 37 rows were never seen"):
        task.dataset.prune("el2n", keep=5, dynamics=recorder)


def test_evaluation_after_training_is_not_recorded(task):
    recorder = PruningTrainerCallback()
    run = train(task, [recorder])
    before = recorder.dynamics["margin"].copy()
    run.trainer.evaluate(task.dataset)
    run.trainer.predict(task.dataset)
    assert run.witness.evaluation_passes == 6
    np.testing.assert_array_equal(recorder.dynamics["margin"], before)


def test_pruning_with_what_was_recorded(task):
    recorder = PruningTrainerCallback(features=True)
    run = train(task, [recorder])
    logits = np.stack(run.witness.logits).astype(np.float64)
    p = np.exp(logits) / np.exp(logits).sum(axis=2, keepdims=True)
    el2n = np.linalg.norm(p - np.eye(task.classes)[task.labels], axis=2).mean(axis=0)
    coreset = task.dataset.prune("el2n", keep=10, dynamics=recorder)
    assert coreset["note"] == [task.dataset[int(row)]["note"] for row in np.sort(np.argsort(-el2n)[:10])]
    assert len(task.dataset.prune("d2", keep=10, k=3, dynamics=recorder)) == 10

    backwards = task.dataset.select(range(36, -1, -1))
    with pytest.raises(
        hf_prune.AlignmentError, match=r"`dynamics`: recorded for other data: \d+ of 37 labels differ from column"
    ):
        backwards.prune("el2n", keep=10, dynamics=recorder)
    with pytest.raises(hf_prune.AlignmentError, match="recorded for 37 rows, this dataset has 36"):
        task.dataset.select(range(36)).prune("el2n", keep=10, dynamics=recorder)
