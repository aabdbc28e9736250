"""The recipe trainers/image_classification.py, on tiny settings."""

import subprocess
from pathlib import Path

import numpy as np
import pytest
from datasets import Dataset, DatasetDict, Features, Image, Value, load_from_disk
from PIL.Image import fromarray

import hf_prune
from _recipes import rows_made_wrong
from hf_prune.comparison.results import FULL, SHORTER, Comparison

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def recipe(load_recipe):
    return load_recipe("image_classification")


def pictures(rows, *, names=("dark", "light"), seed=0):
    """Colour images of 10 x 12 pixels; the class decides how bright they are."""
    rng = np.random.default_rng(seed)
    labels = np.arange(rows) % len(names)
    pixels = rng.integers(0, 60, size=(rows, 10, 12, 3)) + (180 * labels)[:, None, None, None]
    return [fromarray(image) for image in pixels.astype(np.uint8)], [names[label] for label in labels]


def run(recipe, folder, *more):
    options = {"seeds": 1, "keep": 0.5, "max_steps": 8, "batch_size": 16, "image_size": 8} | dict(more)
    argv = ["--output_dir", str(folder)]
    for name, value in options.items():
        argv += [f"--{name}", *(str(value).split())]
    return recipe.main(argv)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A dataset with a test split of its own, a column too many, text labels, and names that differ."""
    folder = tmp_path_factory.mktemp("saved")
    parts = {}
    for name, rows, seed in (("train", 64, 0), ("test", 20, 1)):
        images, labels = pictures(rows, seed=seed)
        features = Features({"img": Image(), "kind": Value("string"), "row": Value("int64")})
        parts[name] = Dataset.from_dict({"img": images, "kind": labels, "row": range(rows)}, features=features)
    DatasetDict(parts).save_to_disk(folder)
    return folder


@pytest.fixture(scope="module")
def finished(recipe, saved, tmp_path_factory):
    """A run of 2 seeds and 2 sizes: its folder and metrics."""
    folder = tmp_path_factory.mktemp("outputs")
    columns = (("dataset", saved), ("image_column", "img"), ("label_column", "kind"))
    return folder, run(recipe, folder, *columns, ("seeds", 2), ("keep", "0.5 0.25"))


def test_metrics(recipe, finished):
    _, metrics = finished
    methods = {f"{name}/{keep}" for name in (SHORTER, *recipe.METHODS) for keep in (0.5, 0.25)} | {f"{FULL}/1.0"}
    assert set(metrics) == {f"{method}/{metric}" for method in methods for metric in ("accuracy", "worst_class")}
    # Brightness alone tells the classes apart.
    assert metrics[f"{FULL}/1.0/accuracy"] > 0.9
    assert all(0 <= value <= 1 for value in metrics.values())


def test_what_is_left(finished):
    folder, metrics = finished
    comparison = Comparison.load(folder / "comparison.json")
    assert (folder / "table.md").read_text() == comparison.table() + "\n"
    assert (folder / "comparison.png").read_bytes().startswith(b"\x89PNG")
    # A quarter of 64 rows for validation leaves 48, of which a half and a quarter are kept.
    kept = {(result.keep, result.kept) for result in comparison.results if result.method not in comparison.unpruned}
    assert kept == {(1.0, 48), (0.5, 24), (0.25, 12)}
    assert [result.kept for result in comparison.of(SHORTER, 0.25)] == [48, 48]
    assert len(comparison.results) == 2 * (1 + 7 * 2)
    assert comparison.accuracy("EL2N", 0.25).mean == metrics["EL2N/0.25/accuracy"]


def test_coreset_and_selection(recipe, saved, finished):
    folder, _ = finished
    selection = hf_prune.Selection.load(folder / "selection")
    assert (selection.n, len(selection)) == (48, 24)
    method = selection.steps[0].method
    assert (method["within"]["within"]["method"], method["cutoff"]) == ("d2", "auto")
    coreset = load_from_disk(folder / "coreset")
    assert coreset.column_names == ["image", "label"]
    arguments = recipe.Arguments(dataset=str(saved), image_column="img", label_column="kind")
    again = selection.apply(recipe.load(arguments)["train"])
    assert again["label"][:] == coreset["label"][:]
    assert [np.asarray(image).tobytes() for image in again["image"]] == [
        np.asarray(image).tobytes() for image in coreset["image"]
    ]


def test_wrong_labels_are_in_the_training_part_alone(recipe, saved, tmp_path, capsys):
    columns = {"dataset": str(saved), "image_column": "img", "label_column": "kind"}
    clean, wrong = (recipe.load(recipe.Arguments(**columns, wrong_labels=share)) for share in (0.0, 0.25))
    changed = {name: sum(map(int.__ne__, clean[name]["label"], wrong[name]["label"])) for name in clean}
    assert changed == {"train": 12, "validation": 0, "test": 0}
    made_wrong = np.flatnonzero(np.not_equal(clean["train"]["label"], wrong["train"]["label"]))
    assert sorted(rows_made_wrong(48, 0.25)) == made_wrong.tolist()
    run(recipe, tmp_path, *columns.items(), ("wrong_labels", 0.25))
    assert "of the 12 labels made wrong are among the" in capsys.readouterr().out
    selection = hf_prune.Selection.load(tmp_path / "selection")
    assert selection.apply(wrong["train"])["label"][:] == load_from_disk(tmp_path / "coreset")["label"][:]
    with pytest.raises(hf_prune.AlignmentError, match="label"):
        selection.apply(clean["train"])


def test_make_demo_runs_it_with_clean_and_with_wrong_labels():
    root = Path(__file__).parents[2]
    made = subprocess.run(["make", "--dry-run", "demo"], cwd=root, capture_output=True, text=True, check=True).stdout
    runs = [line.partition("image_classification.py")[2] for line in made.splitlines() if "python trainers/" in line]
    assert [run.split()[:2] for run in runs] == [[], ["--wrong_labels", "0.2"]]


def test_fewer_steps_for_all_rows(recipe, saved, tmp_path, monkeypatch):
    trained = []
    fit = recipe.fit
    monkeypatch.setattr(recipe, "fit", lambda *given, **more: trained.append(fit(*given, **more)) or trained[-1])
    run(recipe, tmp_path, ("dataset", saved), ("image_column", "img"), ("label_column", "kind"), ("keep", "0.25"))
    # Of 8 steps; all rows for as many and for a quarter of them, then a coreset for each method.
    steps = [(len(trainer.train_dataset), trainer.state.global_step) for trainer in trained]
    assert steps == [(48, 8), (48, 2)] + [(12, 8)] * len(recipe.METHODS)


def test_test_split_is_the_given_one(recipe, saved):
    arguments = recipe.Arguments(dataset=str(saved), image_column="img", label_column="kind")
    parts = recipe.load(arguments)
    assert {name: len(part) for name, part in parts.items()} == {"train": 48, "validation": 16, "test": 20}
    assert parts["test"]["image"][0].tobytes() == pictures(20, seed=1)[0][0].tobytes()


def test_image_folder_and_a_second_run(recipe, tmp_path):
    images, labels = pictures(48)
    for number, (image, name) in enumerate(zip(images, labels, strict=True)):
        (tmp_path / "data" / name).mkdir(parents=True, exist_ok=True)
        image.save(tmp_path / "data" / name / f"{number}.png")
    first = run(recipe, tmp_path / "out", ("dataset", tmp_path / "data"))
    assert run(recipe, tmp_path / "out", ("dataset", tmp_path / "data")) == first
    comparison = Comparison.load(tmp_path / "out" / "comparison.json")
    assert comparison.classes == ("dark", "light")
    assert comparison.of(FULL)[0].kept == 24


def test_default_data(recipe, tmp_path):
    metrics = run(recipe, tmp_path, ("image_size", 28), ("keep", 0.1), ("max_steps", 20), ("batch_size", 128))
    comparison = Comparison.load(tmp_path / "comparison.json")
    assert comparison.classes == tuple("0123456789")
    assert comparison.of(FULL)[0].kept == 2500
    # Twenty steps are few, but chance is a tenth.
    assert metrics[f"{FULL}/1.0/accuracy"] > 0.2
    assert load_from_disk(tmp_path / "coreset").features["image"] == Image()


def test_embeddings_of_the_trained_model(recipe, saved, tmp_path, monkeypatch):
    monkeypatch.setattr("hf_prune.embeddings.compute.HF_HOME", str(tmp_path))
    columns = (("dataset", saved), ("image_column", "img"), ("label_column", "kind"))
    run(recipe, tmp_path / "out", *columns, ("embed", "true"))
    record = hf_prune.Selection.load(tmp_path / "out" / "selection").steps[0].signals
    assert record["embeddings"]["shape"] == [48, 32]
    assert record["embeddings"]["from"] == "array"


def test_pixels(recipe):
    images, labels = pictures(2)
    grey = [image.convert("L") for image in images]
    for given, channels in ((images, 3), (grey, 1)):
        data = DatasetDict(
            {"train": Dataset.from_dict({"image": given, "label": labels}).cast_column("image", Image())}
        )
        train = recipe.with_pixels(data, 10)["train"]
        batch = recipe.collate([{**train[row], "label": row} for row in range(2)], shape=(channels, 10, 10))
        assert batch["pixel_values"].shape == (2, channels, 10, 10)
        expected = np.asarray(given[1].resize((10, 10)), dtype=np.float32).reshape(10, 10, channels)
        np.testing.assert_allclose(batch["pixel_values"][1].permute(1, 2, 0), expected / 127.5 - 1, atol=1e-6)
        assert batch["labels"].tolist() == [0, 1]
