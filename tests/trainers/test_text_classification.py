"""The recipe trainers/text_classification.py, on tiny data."""

import numpy as np
import pytest
from datasets import ClassLabel, Dataset, Features, List, Value, load_from_disk

import hf_prune
from hf_prune.comparison.results import FULL, SHORTER, Comparison
from tests import tiny_encoders

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def recipe(load_recipe):
    return load_recipe("text_classification")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Mails in two classes, each with its own words."""
    rng, folder = np.random.default_rng(0), tmp_path_factory.mktemp("data")
    kinds = np.arange(96) % 2
    words = [rng.choice(tiny_encoders.WORDS[25 * kind : 25 * kind + 3], 5) for kind in kinds]
    columns = {"body": [" ".join(some) for some in words], "kind": [("ham", "spam")[kind] for kind in kinds]}
    Dataset.from_dict(columns).save_to_disk(folder)
    return folder


@pytest.fixture(scope="module")
def argv(data, tmp_path_factory):
    encoder = tiny_encoders.bert(tmp_path_factory.mktemp("encoder"))
    columns = ["--dataset", str(data), "--text_column", "body", "--label_column", "kind", "--encoder", encoder]
    return [*columns, "--max_steps", "40", "--batch_size", "8", "--learning_rate", "0.01"]


@pytest.fixture(scope="module")
def finished(recipe, argv, tmp_path_factory):
    folder = tmp_path_factory.mktemp("outputs")
    return folder, recipe.main([*argv, "--output_dir", str(folder), "--keep", "0.5", "0.25", "--seeds", "2"])


def test_metrics_and_what_is_left(recipe, finished):
    folder, metrics = finished
    methods = {f"{name}/{keep}" for name in (SHORTER, *recipe.METHODS) for keep in (0.5, 0.25)} | {f"{FULL}/1.0"}
    assert set(metrics) == {f"{method}/{metric}" for method in methods for metric in ("accuracy", "worst_class")}
    assert metrics[f"{FULL}/1.0/accuracy"] > 0.9
    comparison = Comparison.load(folder / "comparison.json")
    assert (folder / "table.md").read_text() == comparison.table() + "\n"
    assert comparison.classes == ("ham", "spam")
    kept = {(result.keep, result.kept) for result in comparison.results if result.method not in comparison.unpruned}
    assert kept == {(1.0, 48), (0.5, 24), (0.25, 12)}
    selection = hf_prune.Selection.load(folder / "selection")
    assert selection.steps[0].method["cutoff"] == "auto"
    assert selection.steps[0].signals["embeddings"]["shape"] == [48, 16]
    assert len(hf_prune.TrainingDynamics.load(folder / "dynamics-1.safetensors")) == 48
    assert load_from_disk(folder / "coreset").column_names == ["text", "label"]


def test_disagreement_by_hand(recipe, tmp_path):
    import scipy.stats

    logits = np.zeros((2, 4, 2))
    logits[0, :, 0] = [3, 2, 1, -1]  # the last is hardest, and the only one that is ever wrong
    logits[1, :, 0] = [5, 3, 1.5, -1.2]
    run = hf_prune.TrainingDynamics.from_logits(logits, [0, 0, 0, 0])
    run.save(tmp_path / "run.safetensors")
    ratings = [[4, 4], [3, 4], [-1, 4], [-3, 3]]
    features = Features({"ratings": List(Value("int8")), "label": ClassLabel(2)})
    rows = Dataset.from_dict({"ratings": ratings, "label": [0] * 4}, features=features)
    lines = recipe.disagreement(rows, tmp_path / "run.safetensors").splitlines()
    assert lines[-4:-2] == ["  el2n: +1.00 (+1.00)", "  aum: +1.00 (+1.00)"]
    expected = scipy.stats.spearmanr(run.scores("forgetting"), [np.std(some) for some in ratings])[0]
    assert lines[-1].startswith(f"  forgetting: {expected:+.2f} (")
