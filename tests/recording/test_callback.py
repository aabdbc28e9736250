import random
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn
from transformers import DataCollatorWithPadding, TrainerCallback

import hf_prune
from hf_prune import ArgumentError, ArgumentTypeError, PruningTrainerCallback
from hf_prune.dynamics.dynamics import SIGNALS
from hf_prune.recording import arrays as recording


class Witness(TrainerCallback):
    """Logits and head inputs of every training pass, by hooks of its own; rows are named by what their input holds."""

    def __init__(self, task, model):
        self.task = task
        self.logits, self.features, self.times_seen = [], [], []
        self.training_passes = self.evaluation_passes = 0
        self.before = None
        hide = torch.compiler.disable
        model.get_submodule(task.head).register_forward_pre_hook(hide(self.read_features))
        model.register_forward_hook(hide(self.read_output), with_kwargs=True)

    def on_train_begin(self, args, state, control, **kwargs):
        # This callback comes before the recorder, so it finds the loader as the Trainer made it.
        self.loader = kwargs["train_dataloader"].base_dataloader
        self.before = self.loader.dataset, self.loader.collate_fn

    def on_epoch_begin(self, args, state, control, **kwargs):
        n = len(self.before[0])
        self.logits.append(np.full((n, self.task.classes), np.nan, dtype=np.float32))
        self.features.append({})
        self.times_seen.append(np.zeros(n, dtype=int))

    def read_features(self, module, args):
        self.head_input = args[0].detach().float().numpy()

    def read_output(self, module, args, kwargs, output):
        if not module.training:
            self.evaluation_passes += 1
            return
        self.training_passes += 1
        rows = self.task.row_ids(kwargs).numpy()
        logits = output["logits"] if hasattr(output, "keys") else next(part for part in output if part.ndim == 2)
        self.logits[-1][rows] = logits.detach().float().numpy()
        self.features[-1] |= dict(zip(rows.tolist(), self.head_input, strict=True))
        np.add.at(self.times_seen[-1], rows, 1)


def train(task, recorders=(), **options):
    """A finished run of 3 epochs: its Trainer, witness, final weights and state of the random numbers."""
    trainer = task.trainer(**options)
    witness = Witness(task, trainer.model)
    for each in (witness, *recorders):
        trainer.add_callback(each)
    trainer.train()
    weights = {name: tensor.clone() for name, tensor in trainer.model.state_dict().items()}
    numbers = (random.getstate(), np.random.get_state(), torch.get_rng_state())  # noqa: NPY002
    return SimpleNamespace(trainer=trainer, witness=witness, weights=weights, numbers=numbers)


def count_hooks(model):
    return sum(len(module._forward_hooks) + len(module._forward_pre_hooks) for module in model.modules())


def assert_recorded(dynamics, witness, labels):
    """Every signal of every (epoch, row) is what the definitions say of the witness's logits, and NaN where unseen."""
    logits = np.stack(witness.logits)
    rows = np.arange(len(labels))
    true = logits[:, rows, labels]
    others = logits.copy()
    others[:, rows, labels] = -np.inf
    seen = ~np.isnan(true)
    np.testing.assert_array_equal(dynamics["margin"], true - others.max(axis=2))

    p = np.exp(logits.astype(np.float64))
    p /= p.sum(axis=2, keepdims=True)
    p_true = p[:, rows, labels]
    close = {"rtol": 1e-5, "atol": 2e-6}
    np.testing.assert_allclose(dynamics["p_true"], p_true, **close)
    np.testing.assert_allclose(dynamics["loss"], -np.log(p_true), **close)
    np.testing.assert_allclose(dynamics["el2n"], np.linalg.norm(p - np.eye(p.shape[2])[labels], axis=2), **close)
    correct = np.where(seen, logits.argmax(axis=2) == labels, np.nan)
    np.testing.assert_array_equal(dynamics["correct"], correct)
    ever_seen = seen.any(axis=0)
    np.testing.assert_array_equal(dynamics.labels, np.where(ever_seen, labels, -1))


def assert_same_run(run, plain):
    assert run.witness.training_passes == plain.witness.training_passes > 0
    assert run.witness.evaluation_passes == plain.witness.evaluation_passes
    assert run.trainer.state.global_step == plain.trainer.state.global_step
    assert run.weights.keys() == plain.weights.keys()
    for name, tensor in run.weights.items():
        assert torch.equal(tensor, plain.weights[name]), name
    assert run.numbers[0] == plain.numbers[0]
    for mine, theirs in zip(run.numbers[1], plain.numbers[1], strict=True):
        np.testing.assert_array_equal(mine, theirs)
    assert torch.equal(run.numbers[2], plain.numbers[2])


class TorchDataset(torch.utils.data.Dataset):
    """Rows one by one, as research code writes it; remembers the epochs that it was told."""

    def __init__(self, rows):
        self.rows = list(rows)
        self.epochs = []

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, index):
        return self.rows[index]

    def set_epoch(self, epoch):
        self.epochs.append(epoch)


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
    "in order": lambda task: {"train_sampling_strategy": "sequential"},
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
    "by length": lambda task: {"train_sampling_strategy": "group_by_length"},
    "rebalanced": lambda task: {"train_sampling_strategy": "batch_rebalance", "gradient_accumulation_steps": 2},
    "checkpointed": lambda task: {"activation_checkpointing": True},
    "list, columns kept": lambda task: {
        "remove_unused_columns": False,
        "train_dataset": list(task.dataset.remove_columns("note")),
    },
}
RUNS = [("text", name) for name in {**BOTH, **TEXT_ONLY}] + [("image", name) for name in BOTH]


@pytest.mark.parametrize(("kind", "scenario"), RUNS)
def test_values_and_run(kind, scenario, request):
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


def test_small_buffer_changes_nothing(task, monkeypatch):
    whole, in_parts = PruningTrainerCallback(features=True), PruningTrainerCallback(features=True)
    train(task, [whole])
    monkeypatch.setattr(recording, "BUFFERED_VALUES", 1)
    train(task, [in_parts])
    for signal in SIGNALS:
        np.testing.assert_array_equal(in_parts.dynamics[signal], whole.dynamics[signal])
    for moment in ("early", "last"):
        np.testing.assert_array_equal(in_parts.dynamics.features[moment], whole.dynamics.features[moment])


@pytest.mark.parametrize(("buffered", "steps"), [(recording.BUFFERED_VALUES, 5), (1, 0)])
def test_full_buffer_is_emptied_within_the_epoch(text_task, monkeypatch, buffered, steps):
    monkeypatch.setattr(recording, "BUFFERED_VALUES", buffered)
    labels = text_task.labels.copy()
    labels[0] = -100
    trainer = text_task.trainer(
        callbacks=[PruningTrainerCallback()],
        train_dataset=other_labels(text_task, labels.tolist()),
        train_sampling_strategy="sequential",
    )
    with pytest.raises(ArgumentError, match="row 0 of the train dataset has the label -100"):
        trainer.train()
    # Labels are looked at when the buffer is emptied.
    assert trainer.state.global_step == steps


def test_evaluation_after_training_is_not_recorded(task):
    recorder = PruningTrainerCallback()
    run = train(task, [recorder])
    before = recorder.dynamics["margin"].copy()
    run.trainer.evaluate(task.dataset)
    run.trainer.predict(task.dataset)
    assert run.witness.evaluation_passes == 6
    np.testing.assert_array_equal(recorder.dynamics["margin"], before)


def test_epochs_reach_the_dataset(text_task):
    recorded, plain = TorchDataset(text_task.dataset), TorchDataset(text_task.dataset)
    train(text_task, [PruningTrainerCallback()], train_dataset=recorded)
    train(text_task, train_dataset=plain)
    assert recorded.epochs == plain.epochs
    assert sorted(set(recorded.epochs)) == [0, 1, 2]


class Listener(TrainerCallback):
    """Reads the recorder whenever an epoch has ended."""

    def __init__(self, recorder):
        self.recorder, self.heard = recorder, []

    def on_epoch_end(self, args, state, control, **kwargs):
        self.heard.append(self.recorder.dynamics)


def test_dynamics_during_training(task):
    recorder = PruningTrainerCallback()
    listener = Listener(recorder)
    run = train(task, [recorder, listener])
    assert [dynamics.epochs for dynamics in listener.heard] == [1, 2, 3]
    for epoch, dynamics in enumerate(listener.heard):
        np.testing.assert_array_equal(dynamics["margin"], recorder.dynamics["margin"][: epoch + 1])
    assert_recorded(recorder.dynamics, run.witness, task.labels)


def test_loader_and_model_are_left_as_they_were(task):
    recorder = PruningTrainerCallback(features=True)
    trainer = task.trainer()
    witness = Witness(task, trainer.model)
    before = count_hooks(trainer.model)
    trainer.add_callback(witness)
    trainer.add_callback(recorder)
    seen = []

    class During(TrainerCallback):
        def on_step_end(self, args, state, control, **kwargs):
            seen.append((count_hooks(trainer.model), witness.loader.dataset, witness.loader.collate_fn))

    trainer.add_callback(During())
    trainer.train()
    hooks, dataset, collate = seen[0]
    assert hooks > before
    assert dataset is not witness.before[0]
    assert collate is not witness.before[1]
    assert count_hooks(trainer.model) == before
    assert witness.loader.dataset is witness.before[0]
    assert witness.loader.collate_fn is witness.before[1]


def test_second_run_with_the_same_recorder(task):
    recorder = PruningTrainerCallback(features=True)
    first = train(task, [recorder])
    of_first = recorder.dynamics
    margin = of_first["margin"].copy()
    second = train(task, [recorder], seed=1, num_train_epochs=2)
    assert recorder.dynamics.epochs == 2
    assert_recorded(recorder.dynamics, second.witness, task.labels)
    np.testing.assert_array_equal(of_first["margin"], margin)
    assert_recorded(of_first, first.witness, task.labels)


def test_train_twice_with_one_trainer(task):
    recorder = PruningTrainerCallback(features=True)
    run = train(task, [recorder])
    before, first_margin = count_hooks(run.trainer.model), recorder.dynamics["margin"].copy()
    del run.witness.logits[:], run.witness.features[:], run.witness.times_seen[:]
    run.trainer.train()
    assert_recorded(recorder.dynamics, run.witness, task.labels)
    assert not np.array_equal(recorder.dynamics["margin"], first_margin)
    assert count_hooks(run.trainer.model) == before


def fail_at(model, name, passes, error):
    """Let the module `name` raise `error` once, at training pass number `passes`."""
    left = [passes]

    def fail(module, args):
        left[0] -= module.training
        if module.training and left[0] == 0:
            raise error

    model.get_submodule(name).register_forward_pre_hook(fail)


def test_crash_and_second_run(task):
    recorder = PruningTrainerCallback(features=True)
    trainer = task.trainer()
    witness = Witness(task, trainer.model)
    fail_at(trainer.model, task.head, 8, RuntimeError("out of luck"))
    before = count_hooks(trainer.model)
    for each in (witness, recorder):
        trainer.add_callback(each)
    with pytest.raises(RuntimeError, match="out of luck"):
        trainer.train()
    # The third step of epoch 1 failed: epoch 0 is whole.
    assert recorder.dynamics.epochs == 1
    assert recorder.dynamics.coverage == 1.0
    crashed = witness.loader, *witness.before
    trainer.evaluate(task.dataset)

    del witness.logits[:], witness.features[:], witness.times_seen[:]
    trainer.train()
    assert_recorded(recorder.dynamics, witness, task.labels)
    assert recorder.dynamics.epochs == 3
    assert count_hooks(trainer.model) == before
    assert crashed[0].dataset is crashed[1]
    assert crashed[0].collate_fn is crashed[2]
    assert witness.loader.dataset is witness.before[0]


def test_another_recorder_after_a_crash(task):
    model = task.new_model()
    fail_at(model, task.head, 8, RuntimeError("out of luck"))
    with pytest.raises(RuntimeError, match="out of luck"):
        train(task, [PruningTrainerCallback(features=True)], model=model)
    recorder = PruningTrainerCallback(features=True)
    run = train(task, [recorder], model=model)
    assert_recorded(recorder.dynamics, run.witness, task.labels)


def test_smaller_batches_when_memory_runs_out(task):
    recorder = PruningTrainerCallback()
    trainer = task.trainer(auto_find_batch_size=True)
    witness = Witness(task, trainer.model)
    fail_at(trainer.model, task.head, 7, RuntimeError("CUDA out of memory."))
    for each in (witness, recorder):
        trainer.add_callback(each)
    trainer.train()
    assert trainer.state.train_batch_size < 8
    assert recorder.dynamics.epochs == 3
    del witness.logits[:2]
    assert_recorded(recorder.dynamics, witness, task.labels)


def test_two_recorders(task):
    first, second = PruningTrainerCallback(features=True), PruningTrainerCallback()
    run = train(task, [first, second])
    assert_recorded(first.dynamics, run.witness, task.labels)
    assert_recorded(second.dynamics, run.witness, task.labels)
    assert run.witness.loader.dataset is run.witness.before[0]
    assert run.witness.loader.collate_fn is run.witness.before[1]


def assert_same_dynamics(one, other):
    for signal in SIGNALS:
        np.testing.assert_array_equal(one[signal], other[signal])
    np.testing.assert_array_equal(one.labels, other.labels)
    assert one.features.keys() == other.features.keys()
    for moment, array in one.features.items():
        np.testing.assert_array_equal(array, other.features[moment])


@pytest.mark.parametrize(  # within epochs and at their ends; an epoch has 5 steps
    ("step", "how"),
    [*((step, "output_dir") for step in (2, 5, 7, 10)), (7, "argument"), (7, "resume_from")],
)
def test_a_resumed_run_ends_like_an_uninterrupted_one(task, step, how, tmp_path):
    options = {"save_strategy": "steps", "save_steps": step, "output_dir": str(tmp_path / "first")}
    whole = PruningTrainerCallback(features=True)
    uninterrupted = train(task, [whole], **options)

    checkpoint = str(tmp_path / "first" / f"checkpoint-{step}")
    given = {}
    if how != "output_dir":
        options["output_dir"] = str(tmp_path / "second")
        given = {"resume_from": checkpoint} if how == "resume_from" else {}
        options |= {"resume_from_checkpoint": checkpoint} if how == "argument" else {}
    resumed = PruningTrainerCallback(features=True, **given)
    trainer = task.trainer(callbacks=[resumed], **options)
    trainer.train(resume_from_checkpoint=checkpoint)
    assert_same_dynamics(resumed.dynamics, whole.dynamics)
    for name, tensor in trainer.model.state_dict().items():
        assert torch.equal(tensor, uninterrupted.weights[name]), name


def test_checkpoints_at_the_ends_of_epochs(text_task, tmp_path):
    options = {"save_strategy": "epoch", "output_dir": str(tmp_path)}
    whole = PruningTrainerCallback()
    train(text_task, [whole], **options)
    for step in (5, 10):
        saved = hf_prune.TrainingDynamics.load(tmp_path / f"checkpoint-{step}" / recording.STATE)
        assert saved.epochs == step / 5
        assert saved.coverage == 1
        np.testing.assert_array_equal(saved["loss"], whole.dynamics["loss"][: saved.epochs])
        resumed = PruningTrainerCallback()
        trainer = text_task.trainer(callbacks=[resumed], **options)
        trainer.train(resume_from_checkpoint=str(tmp_path / f"checkpoint-{step}"))
        assert_same_dynamics(resumed.dynamics, whole.dynamics)


@pytest.mark.parametrize(("step", "unseen"), [(5, 0), (7, 16)])
def test_without_a_state_a_resumed_run_records_what_it_trains(task, step, unseen, tmp_path, caplog):
    options = {"save_strategy": "steps", "save_steps": step, "output_dir": str(tmp_path)}
    whole = PruningTrainerCallback(features=True)
    train(task, [whole], **options)
    (tmp_path / f"checkpoint-{step}" / recording.STATE).unlink()
    resumed = PruningTrainerCallback(features=True)
    task.trainer(callbacks=[resumed], **options).train(resume_from_checkpoint=str(tmp_path / f"checkpoint-{step}"))
    assert f"from step {step} and no checkpoint with hf_prune_dynamics.safetensors is found" in caplog.text
    for signal in SIGNALS:
        values = resumed.dynamics[signal]
        assert np.isnan(values[0]).all()
        assert np.isnan(values[1]).sum() == unseen
        seen = ~np.isnan(values)
        np.testing.assert_array_equal(values[seen], whole.dynamics[signal][seen])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda file: file.write_bytes(file.read_bytes()[:-9]), "is damaged or no safetensors file"),
        (lambda file: file.write_bytes(b""), "is damaged or no safetensors file"),
        (
            lambda file: hf_prune.TrainingDynamics.from_logits(np.zeros((1, 5, 3)), [0] * 5).save(file),
            "has dynamics of 5 rows, this train_dataset has 37",
        ),
        (
            lambda file: hf_prune.TrainingDynamics.from_logits(np.zeros((1, 37, 3)), [0] * 37).save(file),
            "has dynamics of other rows: the label of row",
        ),
    ],
)
def test_a_damaged_or_foreign_state_is_refused_with_its_path(text_task, change, message, tmp_path):
    options = {"save_strategy": "steps", "save_steps": 5, "output_dir": str(tmp_path)}
    train(text_task, [PruningTrainerCallback()], **options)
    checkpoint = tmp_path / "checkpoint-5"
    change(checkpoint / recording.STATE)
    trainer = text_task.trainer(callbacks=[PruningTrainerCallback()], **options)
    with pytest.raises(ArgumentError, match=message) as caught:
        trainer.train(resume_from_checkpoint=str(checkpoint))
    assert str(checkpoint) in str(caught.value)


def test_killed_between_checkpoints(text_task, tmp_path):
    """A run that dies leaves its last checkpoint, which has every epoch that was over by then."""
    options = {"save_strategy": "steps", "save_steps": 6, "output_dir": str(tmp_path)}
    whole = PruningTrainerCallback()
    train(text_task, [whole], **options)
    (tmp_path / "checkpoint-6" / recording.STATE).unlink()
    trainer = text_task.trainer(callbacks=[PruningTrainerCallback()], **options)
    fail_at(trainer.model, text_task.head, 11, SystemExit("killed"))
    with pytest.raises(SystemExit):
        trainer.train()
    saved = hf_prune.TrainingDynamics.load(tmp_path / "checkpoint-6" / recording.STATE)
    np.testing.assert_array_equal(saved["loss"][0], whole.dynamics["loss"][0])


@pytest.mark.parametrize("every", [2, 3, 5])
def test_some_epochs_only(text_task, every, tmp_path):
    options = {"num_train_epochs": 5, "save_strategy": "steps", "save_steps": 7, "output_dir": str(tmp_path)}
    whole = PruningTrainerCallback(features=True)
    train(text_task, [whole], **options)
    some = PruningTrainerCallback(features=True, every=every)
    train(text_task, [some], **options)
    assert some.dynamics.epochs == len(range(0, 5, every))
    for signal in SIGNALS:
        np.testing.assert_array_equal(some.dynamics[signal], whole.dynamics[signal][::every])
    for moment in ("early", "last"):
        np.testing.assert_array_equal(some.dynamics.features[moment], whole.dynamics.features[moment])
    for step in (7, 14):  # within the second and the third epoch
        resumed = PruningTrainerCallback(features=True, every=every)
        trainer = text_task.trainer(callbacks=[resumed], **options)
        trainer.train(resume_from_checkpoint=str(tmp_path / f"checkpoint-{step}"))
        assert_same_dynamics(resumed.dynamics, some.dynamics)


def test_every_is_a_whole_number():
    with pytest.raises(ArgumentError, match="`every`: wanted a whole number of at least 1, got 0"):
        PruningTrainerCallback(every=0)


class Repeating(torch.utils.data.Sampler):
    """Every row twice an epoch."""

    def __init__(self, n):
        self.n = n

    def __len__(self):
        return 2 * self.n

    def __iter__(self):
        return iter([*range(self.n), *range(self.n)])


@pytest.mark.parametrize("buffered", [1, recording.BUFFERED_VALUES])
def test_of_a_row_that_an_epoch_shows_twice_the_first_pass_counts(text_task, monkeypatch, buffered):
    monkeypatch.setattr(recording, "BUFFERED_VALUES", buffered)
    once, twice = PruningTrainerCallback(features=True), PruningTrainerCallback(features=True)
    train(text_task, [once], train_sampling_strategy="sequential", num_train_epochs=1, lr_scheduler_type="constant")
    trainer = text_task.trainer(callbacks=[twice], num_train_epochs=1, lr_scheduler_type="constant")
    monkeypatch.setattr(trainer, "_get_train_sampler", lambda *args: Repeating(len(text_task.dataset)))
    trainer.train()
    # The fifth batch is the last of the one run and not of the other.
    np.testing.assert_array_equal(twice.dynamics["loss"][:, :32], once.dynamics["loss"][:, :32])
    np.testing.assert_array_equal(twice.dynamics.features["last"][:32], once.dynamics.features["last"][:32])


def test_large_arrays_are_mapped(text_task, monkeypatch):
    plain, mapped = PruningTrainerCallback(features=True), PruningTrainerCallback(features=True)
    train(text_task, [plain])
    monkeypatch.setattr(recording, "MAPPED_BYTES", 100)
    train(text_task, [mapped])
    assert isinstance(mapped.dynamics["loss"], np.memmap)
    assert_same_dynamics(mapped.dynamics, plain.dynamics)


@pytest.mark.parametrize(("batch_size", "unseen"), [(4, [20, 0, 0]), (16, [37, 32, 0])])
def test_resumed_with_another_batch_size(text_task, batch_size, unseen, tmp_path):
    options = {"save_strategy": "steps", "save_steps": 5, "output_dir": str(tmp_path)}
    text_task.trainer(**options).train()
    recorder = PruningTrainerCallback()
    trainer = text_task.trainer(callbacks=[recorder], **options, per_device_train_batch_size=batch_size)
    # Step 5 ended epoch 0; the Trainer takes it for half of epoch 0, or for two thirds of epoch 1.
    trainer.train(resume_from_checkpoint=str(tmp_path / "checkpoint-5"))
    assert np.isnan(recorder.dynamics["margin"]).sum(axis=1).tolist() == unseen


@pytest.mark.parametrize(("epochs", "early"), [(1, 0), (4, 2), (18, 3)])
def test_features_are_the_input_of_the_head(task, epochs, early):
    recorder = PruningTrainerCallback(features=True)
    run = train(task, [recorder], num_train_epochs=epochs)
    features = recorder.dynamics.features
    assert set(features) == {"early", "last"}
    for moment, epoch in (("early", early), ("last", epochs - 1)):
        wanted = np.stack([run.witness.features[epoch][row] for row in range(37)])
        assert features[moment].dtype == np.float32
        np.testing.assert_array_equal(features[moment], wanted)
    assert_recorded(recorder.dynamics, run.witness, task.labels)


def test_features_of_a_named_module(task):
    named, found = PruningTrainerCallback(features=task.head), PruningTrainerCallback(features=True)
    train(task, [named])
    train(task, [found])
    for moment in ("early", "last"):
        np.testing.assert_array_equal(named.dynamics.features[moment], found.dynamics.features[moment])


def test_features_of_another_module(text_task):
    # What goes into BERT's dropout comes out as the head's input, with a part of it zeroed.
    recorder = PruningTrainerCallback(features="dropout")
    run = train(text_task, [recorder])
    recorded = recorder.dynamics.features["last"]
    after = np.stack([run.witness.features[-1][row] for row in range(37)])
    kept = after != 0
    assert 0.02 < (~kept).mean() < 0.2
    np.testing.assert_allclose(recorded[kept] / 0.9, after[kept], rtol=1e-6)


def refuse(task, match, error=ArgumentError, recorder=None, **options):
    """Train until the error that must come."""
    trainer = task.trainer(callbacks=[recorder or PruningTrainerCallback()], **options)
    with pytest.raises(error, match=match):
        trainer.train()


def test_features_of_an_unknown_module(task):
    recorder = PruningTrainerCallback(features="classifer")
    model = task.new_model()
    refuse(
        task,
        r"`features`: the model has no module 'classifer'; its last are .*classifier",
        recorder=recorder,
        model=model,
    )
    assert count_hooks(model) == 0


@pytest.mark.parametrize(
    ("kind", "module", "found"),
    [
        ("text", "bert.encoder.layer.1", r"\(8, \d+, 32\)"),
        ("text", "bert.encoder.layer.1.output.dense", r"\(8, \d+, 64\)"),
        ("image", "classifier", r"\(8, 16, 1, 1\)"),
        ("image", "spare", "None"),
        ("text", "spare", "None"),
        ("text", "bert.embeddings", "None"),  # called with keywords only
        ("text", "bert", "None"),  # called with token ids
    ],
)
def test_features_that_are_no_vectors(kind, module, found, request):
    task = request.getfixturevalue(f"{kind}_task")
    model = task.new_model()
    model.spare = nn.Linear(5, 7)
    message = rf"`features`: wanted a module whose input has the shape \(batch, d\).*, got {found}; name another"
    refuse(task, message, recorder=PruningTrainerCallback(features=module), model=model)


def test_features_without_a_linear_head(image_task):
    model = image_task.new_model()
    model.classifier = nn.Sequential(nn.Conv2d(16, 4, 1), nn.Flatten())
    message = "`features`: found no Linear layer with 4 outputs, .*name the head"
    refuse(image_task, message, recorder=PruningTrainerCallback(features=True), model=model)


def test_features_of_a_wrong_type():
    with pytest.raises(ArgumentTypeError, match="`features`: wanted True, False or the name of a module, got 3"):
        PruningTrainerCallback(features=3)


def test_nothing_recorded_yet(task):
    recorder = PruningTrainerCallback()
    with pytest.raises(ArgumentError, match=r"nothing is recorded yet: pass this callback to a Trainer"):
        _ = recorder.dynamics
    with pytest.raises(ArgumentError, match="nothing is recorded yet"):
        task.dataset.prune("el2n", keep=5, dynamics=recorder)
    fail_at(model := task.new_model(), task.head, 2, RuntimeError("out of luck"))
    refuse(task, "out of luck", error=RuntimeError, recorder=recorder, model=model)
    with pytest.raises(ArgumentError, match="nothing is recorded yet"):
        _ = recorder.dynamics


def test_rows_without_labels(task):
    message = r"needs batches with a 'labels' entry, got \['.*'\]; name the label column 'label' or 'labels'"
    refuse(task, message, train_dataset=task.dataset.remove_columns("label"))


def test_labels_under_another_name(task):
    refuse(task, "needs batches with a 'target' entry, got .*'labels'", label_names=["target"])


def other_labels(task, labels):
    return task.dataset.remove_columns("label").add_column("label", labels)


def other_model(task, **config):
    model = task.new_model()
    for name, value in config.items():
        setattr(model.config, name, value)
    return type(model)(model.config)


def test_ignored_label(task):
    labels = task.labels.copy()
    labels[5] = -100
    refuse(task, "row 5 of the train dataset has the label -100", train_dataset=other_labels(task, labels.tolist()))


def test_refused_label_is_that_of_the_named_row(text_task):
    labels = text_task.labels.copy()
    labels[5], labels[20] = -1, -100
    refuse(
        text_task,
        "row 5 of the train dataset has the label -1$",
        train_dataset=other_labels(text_task, labels.tolist()),
        train_sampling_strategy="sequential",
        compute_loss_func=lambda outputs, labels, num_items_in_batch: outputs["logits"].sum(),
    )


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
    train(task, [plain], train_sampling_strategy="sequential", **counted)
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


def test_collator_that_leaves_out_rows(text_task):
    pad = DataCollatorWithPadding(text_task.tokenizer)
    refuse(
        text_task,
        r"the batch's 8 rows; got labels \(7,\) and logits \(7, 3\)",
        data_collator=lambda rows: pad(rows[:-1]),
    )


def begin(task, **arguments):
    """The start of a run of 37 rows with these TrainingArguments."""
    trainer, plain = task.trainer(), {"n_gpu": 0, "world_size": 1, "fsdp": [], "deepspeed": None, "label_names": None}
    plain |= {"device": torch.device("cpu"), "accelerator_config": SimpleNamespace(even_batches=True)}
    plain |= {"per_device_train_batch_size": 8, "dataloader_drop_last": False, "gradient_accumulation_steps": 1}
    loader, hooks = trainer.get_train_dataloader(), count_hooks(trainer.model)
    recorder = PruningTrainerCallback()
    try:
        recorder.on_train_begin(
            SimpleNamespace(**plain | arguments),
            SimpleNamespace(num_train_epochs=1, global_step=0),
            trainer.control,
            model=trainer.model,
            train_dataloader=loader,
        )
    except ArgumentError:
        assert loader.base_dataloader.dataset.column_names
        assert count_hooks(trainer.model) == hooks
        raise
    recorder.on_train_end(None, None, None)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_gpu": 2}, "can't record 2 GPUs in one process"),
        (
            {"world_size": 2, "accelerator_config": SimpleNamespace(even_batches=False)},
            "with even_batches=False 2 processes can't share out 37 rows, no multiple of 16",
        ),
    ],
)
def test_runs_that_cannot_be_recorded(text_task, arguments, message):
    with pytest.raises(ArgumentError, match=message):
        begin(text_task, **arguments)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({}, None),
        ({"fsdp": ["full_shard"]}, "FSDP"),
        ({"deepspeed": "config.json", "device": torch.device("cuda")}, "DeepSpeed and the device cuda"),
    ],
)
def test_what_nobody_has_tried_is_said(text_task, caplog, arguments, named):
    begin(text_task, **arguments)
    assert (f"untested with {named}" if named else "") in caplog.text
    assert bool(caplog.text) == bool(named)


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
