"""`hf-prune push`: what prune wrote, selections and runs arrive as the library pushes them."""

import json

import pytest
from datasets import Dataset, DatasetDict, load_dataset, load_from_disk

import hf_prune
from tests.hub_server import READER, WRITER

RECORD = "hf_prune/default/train/selection.json"


@pytest.fixture(autouse=True)
def _login(hub, monkeypatch, tmp_path):
    monkeypatch.setenv("HF_TOKEN", WRITER)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub-cache"))


@pytest.mark.parametrize("output", ["coreset", "coreset.parquet", "coreset.csv"])
def test_rows_with_their_record(run, hub, output):
    run("prune", "reviews.csv", "--method", "random", "--keep", 20, "--output", output)
    document = json.loads(run("push", output, "me/coreset", "--json").stdout)
    assert document["pushed"] == "the rows and their record"
    assert document["address"].startswith("http")
    files = hub.files("me/coreset")
    assert RECORD in files
    assert "hf_prune" in files["README.md"].decode()
    rows = load_dataset("me/coreset", split="train")
    hf_prune.Selection.from_hub("me/coreset").verify(rows)
    run("apply", "me/coreset", "reviews.csv", "--output", "again.csv")
    assert Dataset.from_csv("again.csv")[:] == rows[:]


def test_several_splits(run, hub):
    rows = Dataset.from_csv("reviews.csv")
    DatasetDict(train=rows, test=rows).save_to_disk("reviews")
    run("prune", "reviews", "--method", "random", "--keep", 20, "--output", "coreset")
    run("push", "coreset", "me/coreset", "--config", "small")
    assert {name: len(part) for name, part in load_dataset("me/coreset", "small").items()} == {"train": 20, "test": 60}
    assert "hf_prune/small/train/selection.json" in hub.files("me/coreset")
    error = run("push", "coreset", "me/coreset", "--split", "train", code=1).stderr
    assert error == "error: --split: 'coreset' has the splits ['train', 'test'], which keep their names\n"


def test_a_source_on_the_hub(run):
    rows = Dataset.from_csv("reviews.csv")
    rows.push_to_hub("me/reviews", config_name="small")
    rows.select(range(9)).push_to_hub("me/reviews", config_name="small", revision="short")
    arguments = ["prune", "me/reviews", "--config", "small", "--method", "random", "--output"]
    run(*arguments, "coreset", "--keep", 0.5)
    assert len(load_from_disk("coreset")) == 30
    run(*arguments, "other", "--keep", 1.0, "--revision", "short")
    assert load_from_disk("other").selection.source.origin["config"] == "small"
    assert len(load_from_disk("other")) == 9
    run("apply", "coreset", "me/reviews", "--config", "small", "--output", "again")
    assert load_from_disk("again")[:] == load_from_disk("coreset")[:]


def test_a_selection_and_a_run_alone(run, hub):
    Dataset.from_csv("reviews.csv").prune("random", keep=20).selection.save("selection")
    assert run("push", "selection", "me/selection", "--split", "train").stdout.startswith(
        "pushed the selection to http"
    )
    assert run("push", "run.safetensors", "me/run").stdout.startswith("pushed the training dynamics to http")
    assert len(hf_prune.TrainingDynamics.from_hub("me/run")) == 60
    run("prune", "reviews.csv", "--method", "aum", "--keep", 5, "--dynamics", "me/run", "--output", "coreset")
    run("apply", "me/selection", "reviews.csv", "--output", "again")


def test_a_pull_request(run, hub):
    run("prune", "reviews.csv", "--method", "random", "--keep", 20, "--output", "coreset")
    run("push", "coreset", "me/coreset")
    assert "/discussions/" in run("push", "coreset", "me/coreset", "--create-pr").stdout


def test_what_is_no_result(run, hub, folder):
    error = run("push", "reviews.csv", "me/reviews", code=1).stderr
    assert error.startswith(
        "error: PATH: the rows in 'reviews.csv' have no record of a selection; push other data with"
    )
    assert run("push", "nothing", "me/x", code=1).stderr == "error: PATH: no file or folder 'nothing'\n"
    assert hub.repos == {}


def test_without_the_right_to(run, hub, monkeypatch):
    run("prune", "reviews.csv", "--method", "random", "--keep", 20, "--output", "coreset")
    monkeypatch.setenv("HF_TOKEN", READER)
    error = run("push", "coreset", "me/coreset", code=1).stderr
    assert error.startswith("error: ")
    assert error.count("\n") == 1
