"""TRL's trainers: each row's values are those of a forward pass with all logits, or the run is refused by name."""

import ast
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import torch
from datasets import Dataset

from hf_prune import ArgumentError, PruningTrainerCallback
from hf_prune.recording.trl_runs import check_trl

trl = pytest.importorskip("trl")

from tests.recording.trl_witness import (  # noqa: E402
    ROWS,
    answers,
    by_tokens,
    chats,
    gpt,
    labelled_tokens,
    llama,
    other,
    pairs,
    qwen,
    texts,
    train,
)

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*is deprecated:FutureWarning"),
    pytest.mark.filterwarnings("ignore:.*is deprecated:DeprecationWarning"),
]

WITHOUT_LOGITS = {"loss", "p_true", "correct"}


def assert_exact(make, data, folder, recorder=None, **options):
    """Every signal of each (epoch, row) is the witness's, and the weights are those of a run without a recorder."""
    recorder = recorder or PruningTrainerCallback()
    recorded = train(make, data, folder, recorder, **options)
    plain = train(make, data, folder, **options)
    for name, weights in recorded.model.state_dict().items():
        assert torch.equal(weights, plain.model.state_dict()[name]), name
    dynamics = recorder.dynamics
    assert dynamics.task == "causal-lm"
    assert len(dynamics) == len(data)
    for signal in dynamics.signals:
        np.testing.assert_allclose(dynamics[signal], recorded.of_rows(signal), rtol=1e-5, atol=1e-5)
    assert dynamics["loss"].std() > 0.1  # rows differ, so that another order would be seen
    return dynamics


@pytest.mark.parametrize(
    ("make", "data", "options"),
    [
        (llama, texts, {}),
        (gpt, answers, {}),
        (qwen, chats, {"assistant_only_loss": True}),
        (gpt, texts, {"gradient_accumulation_steps": 3, "max_length": 6}),
    ],
    ids=["text", "completion", "assistant", "accumulated"],
)
def test_supervised(make, data, options, tmp_path):
    dynamics = assert_exact(make, data(), tmp_path, **options)
    assert set(dynamics.signals) == WITHOUT_LOGITS


@pytest.mark.filterwarnings("ignore:`(compute_loss_func|label_smoothing_factor)` is deprecated:FutureWarning")
@pytest.mark.parametrize("options", [{"label_smoothing_factor": 0.1}, {"compute_loss_func": by_tokens}])
def test_losses_of_logits_have_all_signals(options, tmp_path):
    assert set(assert_exact(llama, answers(), tmp_path, **options).signals) == {*WITHOUT_LOGITS, "margin", "el2n"}


def test_a_clean_pass_has_all_signals(tmp_path):
    recorder = PruningTrainerCallback(clean_eval=True)
    trainer = train(llama, answers(), tmp_path, recorder)
    rows = trainer.train_dataset
    for row, (ids, labels) in enumerate(zip(rows["input_ids"], rows["labels"], strict=True)):
        with torch.no_grad():
            logits = trainer.model(torch.tensor([ids])).logits[0]
        for signal, value in labelled_tokens(logits, torch.tensor(labels)).items():
            assert recorder.dynamics[signal][-1, row] == pytest.approx(value, rel=1e-4, abs=1e-5)


def test_half_precision_is_recorded_as_it_is_trained(tmp_path):
    """With bfloat16, TRL's default, a pass with all logits rounds elsewhere: the loss reported is the witness."""
    recorder = PruningTrainerCallback()
    logged = {"logging_strategy": "steps", "logging_steps": 1}
    trainer = train(llama, texts(), tmp_path, recorder, bf16=True, per_device_train_batch_size=ROWS, **logged)
    tokens = np.array([len(ids) - 1 for ids in trainer.train_dataset["input_ids"]])
    reported = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    np.testing.assert_allclose(recorder.dynamics["loss"] @ tokens / tokens.sum(), reported, rtol=1e-4)


def test_a_run_that_goes_on(tmp_path):
    whole, resumed = PruningTrainerCallback(), PruningTrainerCallback()
    train(llama, answers(), tmp_path, whole, save_strategy="epoch")
    trainer = train(llama, answers(), tmp_path, resumed, goes_on=str(tmp_path / "checkpoint-4"))
    assert len(trainer.seen) == ROWS  # of the second epoch only
    assert resumed.dynamics.signals == whole.dynamics.signals
    np.testing.assert_allclose(resumed.dynamics["loss"], whole.dynamics["loss"], rtol=1e-5)


def test_prune_what_was_trained_on(tmp_path):
    data, recorder = answers(), PruningTrainerCallback()
    train(llama, data, tmp_path, recorder)
    kept = data.prune("perplexity", keep=5, dynamics=recorder)
    assert len(kept) == 5
    with pytest.raises(ArgumentError, match="this causal-lm run holds no 'margin', it holds loss, p_true, correct"):
        data.prune("aum", keep=5, dynamics=recorder)


def test_rows_that_the_trainer_drops_are_not_taken_for_others(tmp_path):
    data, recorder = answers(), PruningTrainerCallback()
    trainer = train(llama, data, tmp_path, recorder, max_length=7)  # a longer prompt leaves no word of the answer
    left = len(trainer.train_dataset)
    assert left < ROWS
    with pytest.raises(ArgumentError, match=f"recorded for {left} rows, this dataset has {ROWS}"):
        data.prune("perplexity", keep=5, dynamics=recorder)
    assert len(trainer.train_dataset.prune("perplexity", keep=3, dynamics=recorder)) == 3


def test_rows_without_a_label(tmp_path):
    ids = [[5, 6, 7, 8], [9, 10, 11], [12, 13, 14]]
    data = Dataset.from_dict({"input_ids": ids, "labels": [ids[0], [-100] * 3, ids[2]]})
    recorder = PruningTrainerCallback()
    train(llama, data, tmp_path, recorder, max_length=None, per_device_train_batch_size=1)
    assert np.isnan(recorder.dynamics["loss"]).tolist() == [[False, True, False]] * 2
    assert recorder.dynamics.labels.tolist() == [-1, -100, -1]


def test_another_task_is_refused(tmp_path):
    with pytest.raises(ArgumentError, match="`task`: wanted 'causal-lm', as the model returns log-probabilities"):
        train(llama, texts(), tmp_path, PruningTrainerCallback(task="token-classification"))


def test_losses_in_parts_of_older_versions():
    class SFTConfig:
        loss_type = "chunked_nll"

    with pytest.raises(ArgumentError, match=r"loss_type='chunked_nll': .* pass SFTConfig\(loss_type='nll'\)"):
        check_trl(SFTConfig())


@pytest.mark.filterwarnings("ignore")  # of TRL, about models that are made on the spot
def test_preferences_are_refused_and_can_be_pruned_by_log_probabilities(tmp_path):
    trainer = other("DPO", pairs(), tmp_path, PruningTrainerCallback(), precompute_ref_log_probs=True)
    with pytest.raises(ArgumentError, match=r"can't record TRL's DPOTrainer: .* the columns ref_chosen_logps"):
        trainer.train()
    assert trainer.state.global_step == 0
    logs = trainer.train_dataset.with_format("numpy")
    scores = logs["ref_chosen_logps"][:] - logs["ref_rejected_logps"][:]
    kept = pairs().prune("given_scores", keep=4, scores=scores)
    assert sorted(kept.selection.indices) == sorted(np.argsort(scores)[-4:])


def configs():
    """The classes of arguments of all trainers that TRL has."""
    folder = Path(trl.__file__).parent
    for path in [*folder.glob("trainer/*_config.py"), *folder.glob("experimental/*/*_config.py")]:
        classes = [node.name for node in ast.parse(path.read_text()).body if isinstance(node, ast.ClassDef)]
        module = ".".join(path.relative_to(folder.parent).with_suffix("").parts)
        yield from ((module, name) for name in classes if name.endswith("Config") and not name.startswith("_"))


def test_every_other_trainer_is_refused_by_its_arguments():
    """A new version's trainer is to be recorded, or to be refused by name: see trl_runs.TRAINERS."""
    trainers = {name: module for module, name in configs()}
    assert trainers.keys() >= {"SFTConfig", "DPOConfig", "GRPOConfig", "GKDConfig", "CPOConfig"}
    for name in trainers.keys() - {"SFTConfig", "ModelConfig"}:
        of_users = type("Arguments", (getattr(import_module(trainers[name]), name),), {})
        with pytest.raises(ArgumentError, match=r"can't record TRL's [A-Za-z0-9]+Trainer: "):
            check_trl(of_users.__new__(of_users))


def test_arguments_that_are_only_named_like_those_of_trl():
    check_trl(type("DistillationConfig", (), {})())
