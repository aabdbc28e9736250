"""The recipe trainers/language_modeling.py, on tiny data."""

import numpy as np
import pytest
from datasets import Dataset

from hf_prune.comparison.results import FULL

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def recipe(load_recipe):
    return load_recipe("language_modeling")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Counting up in one class and down in the other."""
    rng, folder = np.random.default_rng(0), tmp_path_factory.mktemp("data")
    starts = rng.integers(10, 80, 80)
    texts = [
        " ".join(str(start + step * (1 if row % 2 else -1)) for step in range(6)) for row, start in enumerate(starts)
    ]
    Dataset.from_dict({"body": texts, "kind": np.arange(80) % 2}).save_to_disk(folder)
    return folder


@pytest.fixture
def run(recipe, data, tmp_path, monkeypatch):
    monkeypatch.setattr("hf_prune.embeddings.compute.HF_HOME", str(tmp_path))

    def run(*more):
        size = ["--width", "16", "--layers", "1", "--vocabulary", "300", "--longest", "32"]
        steps = ["--max_steps", "30", "--batch_size", "8", "--seeds", "2", "--keep", "0.5"]
        source = ["--dataset", str(data), "--text_column", "body"]
        return recipe.main([*source, *size, *steps, "--output_dir", str(tmp_path / "out"), *more])

    return run


def test_with_classes(recipe, run, tmp_path, capsys):
    metrics = run("--label_column", "kind")
    names = {f"{name}/0.5" for name in recipe.METHODS} | {f"{FULL}/1.0"}
    assert set(metrics) == {f"{name}/{metric}" for name in names for metric in ("perplexity", "worst_class")}
    assert all(metrics[f"{name}/perplexity"] <= metrics[f"{name}/worst_class"] for name in names)
    assert metrics[f"{FULL}/1.0/perplexity"] < 150  # of 300 words in the vocabulary
    table = (tmp_path / "out" / "table.md").read_text()
    assert table in capsys.readouterr().out
    assert table.splitlines()[0] == "| method | keep 50% |"
    assert len(table.splitlines()) == 3 + len(recipe.METHODS)


def test_without_classes(recipe, run, tmp_path):
    metrics = run("--seeds", "1")
    assert "nan" not in (tmp_path / "out" / "table.md").read_text()
    assert f"{recipe.BALANCED}/0.5/perplexity" not in metrics
    assert metrics[f"{FULL}/1.0/perplexity"] == metrics[f"{FULL}/1.0/worst_class"]


def test_perplexities_are_of_tokens_and_leave_padding_out(recipe, data):
    import torch

    arguments = recipe.Arguments(dataset=str(data), text_column="body", longest=32, vocabulary=300, width=16, layers=1)
    part = recipe.load(arguments)["test"].add_column("label", [0] * 10 + [1] * 10)
    tokenizer = recipe.a_tokenizer(part["text"][:], arguments)
    rows = part.map(lambda row: {"input_ids": tokenizer(row["text"])["input_ids"]})
    assert tokenizer.convert_ids_to_tokens(rows[0]["input_ids"])[:: len(rows[0]["input_ids"]) - 1] == [recipe.END] * 2
    torch.manual_seed(0)
    model = recipe.new_model(arguments, tokenizer).eval()

    class Trainer:
        data_collator = recipe.DataCollatorForLanguageModeling(tokenizer, mlm=False)

    Trainer.model = model
    losses, tokens = [], []
    for ids in rows["input_ids"]:
        with torch.no_grad():
            losses.append(float(model(torch.tensor([ids]), labels=torch.tensor([ids])).loss))
        tokens.append(len(ids) - 1)
    halves = [np.exp(np.average(losses[part], weights=tokens[part])) for part in (slice(10), slice(10, 20))]
    average, worst = recipe.perplexities(Trainer, rows)
    assert average == pytest.approx(np.exp(np.average(losses, weights=tokens)), rel=1e-5)
    assert worst == pytest.approx(max(halves), rel=1e-5)
