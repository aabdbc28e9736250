"""The recipe trainers/instruction_tuning.py, on tiny data."""

import numpy as np
import pytest
from datasets import Dataset

from hf_prune.comparison.results import FULL

pytest.importorskip("trl")

pytestmark = [pytest.mark.integration, pytest.mark.filterwarnings("ignore:.*is deprecated:FutureWarning")]


@pytest.fixture(scope="module")
def recipe(load_recipe):
    return load_recipe("instruction_tuning")


def test_on_data_of_ones_own(recipe, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("hf_prune.embeddings.compute.HF_HOME", str(tmp_path))
    numbers = range(10, 74)
    columns = {"asked": [f"after {number}:" for number in numbers], "told": [f" {number + 1}" for number in numbers]}
    Dataset.from_dict(columns).save_to_disk(tmp_path / "data")
    source = ["--dataset", str(tmp_path / "data"), "--prompt_column", "asked", "--completion_column", "told"]
    size = ["--width", "16", "--max_steps", "20", "--batch_size", "8", "--seeds", "2", "--keep", "0.5"]
    metrics = recipe.main([*source, *size, "--output_dir", str(tmp_path / "out")])
    assert set(metrics) == {f"{FULL}/1.0/loss", *(f"{name}/0.5/loss" for name in recipe.METHODS)}
    assert metrics[f"{FULL}/1.0/loss"] < np.log(300)  # of some 300 words in the vocabulary
    table = (tmp_path / "out" / "table.md").read_text()
    assert table in capsys.readouterr().out
    assert table.splitlines()[0] == "| method | keep 50% |"
    assert len(table.splitlines()) == 3 + len(recipe.METHODS)


def test_loss_is_of_the_tokens_of_answers(recipe):
    import torch

    rows = recipe.by_rules(24, 0, seed=0)
    arguments = recipe.Arguments(width=16, max_steps=1, batch_size=8)
    trainer = recipe.fit(arguments, recipe.a_tokenizer(rows), rows, None, seed=0)
    losses, tokens = [], []
    for row in trainer.train_dataset:
        ids, labels = torch.tensor([row["input_ids"]]), torch.tensor([row["labels"]])
        with torch.no_grad():
            losses.append(float(trainer.model(ids, labels=labels).loss))
        tokens.append(int((labels[:, 1:] != -100).sum()))
    expected = np.average(losses, weights=tokens)
    assert recipe.mean_loss(trainer, trainer.train_dataset) == pytest.approx(expected, rel=1e-5)


def test_rules(recipe):
    rows = recipe.by_rules(200, 0, seed=0)
    for prompt, completion in zip(rows["prompt"], rows["completion"], strict=True):
        name, _, digits = prompt.removesuffix(" =").partition(": ")
        right = recipe.RULES[name]([int(digit) for digit in digits.split()])
        assert [int(digit) for digit in completion.split()] == right
    wrong = recipe.by_rules(2000, recipe.WRONG, seed=0)
    assert len(set(wrong["prompt"])) > 1500
