"""What is recorded for tasks other than one label a row: by hand, and under a Trainer."""

import numpy as np
import pytest
import torch
from datasets import Dataset
from torch import nn
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    BertForTokenClassification,
    GPT2Config,
    GPT2LMHeadModel,
    T5Config,
    T5ForConditionalGeneration,
    Trainer,
    TrainingArguments,
    set_seed,
)

import hf_prune
from hf_prune import PruningTrainerCallback
from hf_prune.dynamics.dynamics import LANGUAGE_MODELS
from hf_prune.dynamics.formulas import SIGNALS, TASKS
from hf_prune.dynamics.formulas import signals_of as signals_of_task
from hf_prune.recording import tasks
from hf_prune.recording.guess import task_of
from hf_prune.recording.tasks import example_signals
from tests.arguments import in_order

N, TOKENS, WORDS = 13, 6, 11
SMALL = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
BERT = {"vocab_size": WORDS, "max_position_embeddings": 8} | SMALL


def test_every_task_has_its_signals():
    assert set(tasks.READERS) | set(tasks.TOKENS_AHEAD) == set(TASKS)


def signals_of(task, logits, labels):
    values = example_signals(task, torch.tensor(logits), torch.tensor(labels))
    return dict(zip(signals_of_task(task), values.numpy().T, strict=True))


def test_several_labels_a_row_by_hand():
    signals = signals_of("multi-label", [[2.0, -1.0], [0.5, 3.0]], [[1.0, 0.0], [1.0, 0.0]])
    p = 1 / (1 + np.exp(-np.array([[2.0, -1.0], [0.5, 3.0]])))
    loss = -np.log([[p[0, 0], 1 - p[0, 1]], [p[1, 0], 1 - p[1, 1]]]).mean(axis=1)
    np.testing.assert_allclose(signals["loss"], loss, rtol=1e-6)
    np.testing.assert_allclose(signals["p_true"], np.exp(-loss), rtol=1e-6)
    assert signals["margin"].tolist() == [1, -3]
    assert signals["correct"].tolist() == [1, 0]
    np.testing.assert_allclose(signals["el2n"], np.linalg.norm(p - [[1, 0], [1, 0]], axis=1), rtol=1e-6)


def test_regression_by_hand():
    for logits in ([[2.0], [0.0]], [2.0, 0.0]):
        signals = signals_of("regression", logits, [0.5, 1.0])
        assert signals["loss"].tolist() == [2.25, 1]
        assert signals["el2n"].tolist() == [1.5, 1]
        assert set(signals) == {"loss", "el2n"}


@pytest.mark.parametrize("chunk", [1, 40, 2**22])
@pytest.mark.parametrize(("task", "shift"), [("token-classification", 0), ("seq2seq", 0), ("causal-lm", 1)])
def test_tokens_are_averaged(task, shift, chunk, monkeypatch):
    monkeypatch.setattr(tasks, "CHUNK", chunk)
    draw = np.random.default_rng(0)
    logits = draw.normal(size=(4, TOKENS, 5)).astype(np.float32)
    labels = draw.integers(0, 5, (4, TOKENS))
    labels[0, 2:], labels[1, ::2], labels[3] = -100, -100, -100
    signals = signals_of(task, logits, labels)
    for row in range(3):
        places = [t for t in range(shift, TOKENS) if labels[row, t] != -100]
        each = signals_of("single-label", logits[row, [t - shift for t in places]], labels[row, places])
        for signal in SIGNALS:
            np.testing.assert_allclose(signals[signal][row], each[signal].mean(), rtol=1e-5)
    assert all(np.isnan(signals[signal][3]) for signal in SIGNALS)


def test_a_batch_for_which_memory_runs_out_may_be_tried_smaller(monkeypatch):
    def run_out(rows, library):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB")

    monkeypatch.setattr(tasks, "values_of", run_out)
    with pytest.raises(torch.OutOfMemoryError, match="Tried to allocate"):
        signals_of("single-label", [[2.0, 0.0]], [0])


class ForCausalLM(nn.Module):
    pass


class ForTokenClassification(nn.Module):
    pass


class Adapter(nn.Module):
    def get_base_model(self):
        return ForCausalLM()


@pytest.mark.parametrize(
    ("model", "labels", "logits", "task"),
    [
        (nn.Linear(1, 1), torch.zeros(4, dtype=int), torch.zeros(4, 2), "single-label"),
        (nn.Linear(1, 1), torch.zeros(4, 3), torch.zeros(4, 3), "multi-label"),
        (nn.Linear(1, 1), torch.full((4,), 2.5), torch.zeros(4, 1), "regression"),
        (nn.Linear(1, 1), torch.full((4, 1), 2.5), torch.zeros(4), "regression"),
        (nn.Linear(1, 1), torch.zeros(4, dtype=int), torch.zeros(4, 1), "binary"),
        (nn.Linear(1, 1), torch.zeros(4, 1, dtype=int), torch.zeros(4, 3), "single-label"),
        (ForTokenClassification(), torch.zeros(4, 7, dtype=int), torch.zeros(4, 7, 3), "token-classification"),
        (ForCausalLM(), torch.zeros(4, 7, dtype=int), torch.zeros(4, 7, 3), "causal-lm"),
        (Adapter(), torch.zeros(4, 7, dtype=int), torch.zeros(4, 7, 3), "causal-lm"),
    ],
)
def test_the_task_is_read_from_shapes_and_class(model, labels, logits, task):
    assert task_of(model, labels, logits) == task


@pytest.mark.parametrize(
    ("labels", "logits"),
    [
        (torch.full((4,), 2), torch.zeros(4, 1)),
        (torch.zeros(4), torch.zeros(4, 3)),
        (torch.zeros(4, 7, dtype=int), torch.zeros(4, 6, 3)),
        (torch.full((4, 3), 2.0), torch.zeros(4, 3)),
    ],
)
def test_shapes_of_no_task(labels, logits):
    with pytest.raises(hf_prune.ArgumentError, match="PruningTrainerCallback wants whole-number labels of shape"):
        task_of(nn.Linear(1, 1), labels, logits)


def words(draw, *shape):
    return draw.integers(2, WORDS, (N, *shape))


def a_task(name):
    """(model, columns) of a tiny run."""
    draw = np.random.default_rng(0)
    tokens = words(draw, TOKENS)
    if name == "multi-label":
        config = BertConfig(num_labels=3, problem_type="multi_label_classification", **BERT)
        return BertForSequenceClassification(config), {
            "input_ids": tokens,
            "labels": draw.integers(0, 2, (N, 3)).astype(np.float32),
        }
    if name == "regression":
        labels = draw.normal(size=N).astype(np.float32)
        return BertForSequenceClassification(BertConfig(num_labels=1, **BERT)), {
            "input_ids": tokens,
            "labels": labels,
        }
    labels = words(draw, TOKENS)
    labels[:, 4] = -100
    if name == "token-classification":
        return BertForTokenClassification(BertConfig(num_labels=WORDS, **BERT)), {
            "input_ids": tokens,
            "labels": labels,
        }
    if name == "causal-lm":
        config = GPT2Config(vocab_size=WORDS, n_positions=8, n_embd=16, n_layer=1, n_head=2)
        return GPT2LMHeadModel(config), {"input_ids": tokens, "labels": labels}
    config = T5Config(
        vocab_size=WORDS, d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2, decoder_start_token_id=0
    )
    return T5ForConditionalGeneration(config), {"input_ids": tokens, "labels": labels}


def trained(name, folder, *recorders):
    set_seed(0)
    model, columns = a_task(name)
    features = {column: values.tolist() for column, values in columns.items()}
    arguments = TrainingArguments(
        str(folder),
        num_train_epochs=2,
        per_device_train_batch_size=1,  # so that the model's own loss is that of the row
        learning_rate=0.01,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        use_cpu=True,
    )
    losses = []
    model.register_forward_hook(lambda module, args, output: losses.append(float(output["loss"])))
    dataset = Dataset.from_dict(features)
    in_order(Trainer(model, arguments, train_dataset=dataset, callbacks=list(recorders))).train()
    weights = torch.cat([tensor.flatten().float() for tensor in model.state_dict().values()])
    return dataset, np.array(losses).reshape(2, N), weights


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["multi-label", "regression", "token-classification", "causal-lm", "seq2seq"])
def test_under_a_trainer(name, tmp_path):
    recorder = PruningTrainerCallback()
    dataset, losses, weights = trained(name, tmp_path, recorder)
    assert torch.equal(weights, trained(name, tmp_path)[2])
    dynamics = recorder.dynamics
    assert dynamics.task == name
    # The Trainer divides by all 5 labelled tokens, of which a causal model can't predict the first.
    expected = losses * 5 / 4 if name == "causal-lm" else losses
    np.testing.assert_allclose(dynamics["loss"], expected, rtol=1e-5)

    assert dynamics.coverage == 1

    dynamics.save(tmp_path / "run.safetensors")
    loaded = hf_prune.TrainingDynamics.load(tmp_path / "run.safetensors")
    assert loaded.task == dynamics.take(np.arange(3)).task == name
    dynamics.to_parquet(tmp_path / "run.parquet")
    assert hf_prune.TrainingDynamics.from_parquet(tmp_path / "run.parquet").task == name
    assert hf_prune.TrainingDynamics.merge([dynamics, loaded]).task == name
    hardest = dataset.prune("el2n", keep=3, dynamics=loaded).selection
    assert hardest.indices.tolist() == sorted(np.argsort(-dynamics["el2n"].mean(axis=0))[:3])
    with pytest.raises(hf_prune.AlignmentError, match="recorded for 13 rows, this dataset has 12"):
        dataset.select(range(12)).prune("el2n", keep=3, dynamics=loaded)
    if name in LANGUAGE_MODELS:
        np.testing.assert_allclose(dynamics.perplexity(), np.exp(dynamics["loss"].mean(axis=0)), rtol=1e-5)
    else:
        with pytest.raises(hf_prune.ArgumentError, match=f"perplexity is of language models .* got '{name}'"):
            dynamics.perplexity()
    if name == "regression":
        for method, signal in (("aum", "margin"), ("forgetting", "correct"), ("variability", "p_true")):
            with pytest.raises(
                hf_prune.ArgumentError, match=f"regression run holds no '{signal}', it holds loss, el2n"
            ):
                dataset.prune(method, keep=3, dynamics=loaded)
    else:
        assert len(dataset.prune("aum", keep=3, dynamics=loaded)) == 3


def test_the_task_can_be_named(tmp_path):
    recorder = PruningTrainerCallback(task="token-classification")
    _, losses, _ = trained("causal-lm", tmp_path, recorder)
    assert recorder.dynamics.task == "token-classification"
    assert not np.allclose(recorder.dynamics["loss"], losses)
    with pytest.raises(hf_prune.ArgumentError, match=r"`task`: wanted one of .* Did you mean 'causal-lm'\?"):
        PruningTrainerCallback(task="causal_lm")
    with pytest.raises(hf_prune.ArgumentError, match=r"`task`: the logits .* are none of 'multi-label'"):
        trained("causal-lm", tmp_path, PruningTrainerCallback(task="multi-label"))
