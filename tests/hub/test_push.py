"""Datasets pushed with their records, and pulled again, by the real clients."""

import logging
import os
import subprocess
import sys
from io import BytesIO
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from datasets import Dataset, DatasetDict, Features, Image, Value

import hf_prune
from tests.hub.coresets import ID, RECORD, N, loaded, pulled
from tests.hub_server import WRITER


def test_push_and_pull(hub, ds, coreset):
    info = coreset.push_to_hub(ID, token=WRITER)
    assert hub.titles(ID) == ["initial commit", "hf_prune: record of default/train", "Upload dataset"]
    assert info.oid == hub.repos[ID].branches["main"][-1].sha
    files = hub.files(ID)
    assert {path for path in files if "hf_prune" in path} == {
        f"{RECORD}/{name}" for name in ("selection.json", "selection.parquet", "selection.png")
    }
    assert files[f"{RECORD}/selection.png"].startswith(b"\x89PNG")
    selection = pulled()
    np.testing.assert_array_equal(selection.indices, coreset.selection.indices)
    np.testing.assert_array_equal(selection.rank, coreset.selection.rank)
    np.testing.assert_allclose(selection.scores, coreset.selection.scores, rtol=1e-7)
    assert selection.apply(ds)[:] == coreset[:]
    assert selection.at(keep=6).indices.tolist() == coreset.selection.at(keep=6).indices.tolist()
    assert selection.summary() == coreset.selection.summary()
    selection.verify(loaded()["train"])


@pytest.mark.process
def test_another_process_with_another_cache(hub, ds, coreset, tmp_path):
    coreset.push_to_hub(ID, token=WRITER)
    ds.push_to_hub("me/source", token=WRITER)
    code = f"""
import datasets, hf_prune
from datasets import load_dataset
datasets.config.USE_PARQUET_EXPORT = False  # see conftest.py
source = load_dataset("me/source", split="train", token="{WRITER}")
again = hf_prune.Selection.from_hub("{ID}", token="{WRITER}").apply(source)
print(again["text"][:])"""
    environment = os.environ | {"HF_HOME": str(tmp_path / "elsewhere"), "PYTHONPATH": str(Path(__file__).parents[2])}
    run = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert run.stdout.strip() == str(coreset["text"][:])


@pytest.mark.process
def test_people_without_hf_prune(hub, coreset, tmp_path):
    coreset.push_to_hub(ID, token=WRITER)
    code = f"""
import datasets, sys
from datasets import load_dataset
datasets.config.USE_PARQUET_EXPORT = False
print(load_dataset("{ID}", split="train", token="{WRITER}")["text"][:], "hf_prune" in sys.modules)"""
    environment = os.environ | {"HF_HOME": str(tmp_path / "elsewhere")}
    run = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert run.stdout.strip() == f"{coreset['text'][:]} False", run.stderr


def test_other_datasets_push_as_before(hub, ds, caplog):
    plain, usual = ds.push_to_hub("me/plain", token=WRITER), ds.select(range(5))
    assert type(plain).__name__ == "CommitInfo"
    usual.push_to_hub("me/plain", "few", split="test", token=WRITER, max_shard_size=100)
    assert not [path for path in hub.files("me/plain") if "hf_prune" in path]
    assert "hf_prune" not in hub.files("me/plain")["README.md"].decode()
    assert hub.titles("me/plain") == ["initial commit", "Upload dataset", "Upload dataset"]
    assert len([path for path in hub.files("me/plain") if path.startswith("few/test-")]) > 1
    assert not [record for record in caplog.records if record.name.startswith("hf_prune")]


def test_a_transformed_coreset_is_pushed_by_the_line_that_the_log_gives(hub, ds, coreset, caplog):
    sel = coreset.selection
    tokenised = coreset.map(lambda row: {"length": len(row["text"])}, remove_columns=ds.column_names)
    with caplog.at_level(logging.WARNING):
        tokenised.push_to_hub(ID, token=WRITER)
    assert "hf_prune.push_to_hub(dataset, repo_id, selection=sel)" in caplog.text
    assert not [path for path in hub.files(ID) if "hf_prune" in path]
    hf_prune.push_to_hub(tokenised, ID, selection=sel, token=WRITER)
    assert loaded()["train"].column_names == ["length"]
    assert pulled().apply(ds)[:] == coreset[:]
    pulled().verify(loaded()["train"])
    with pytest.raises(hf_prune.ArgumentError, match="it kept 18 rows, the dataset has 5"):
        hf_prune.push_to_hub(tokenised.select(range(5)), ID, selection=sel, token=WRITER)
    with pytest.raises(hf_prune.ArgumentError, match=r"the dataset carries none; pass the sel = coreset\.selection"):
        hf_prune.push_to_hub(tokenised, ID, token=WRITER)


def test_chains_apply_to_the_first_source(hub, ds, coreset):
    second = coreset.prune("random", keep=0.5, seed=3)
    second.push_to_hub(ID, token=WRITER)
    selection = pulled()
    assert (selection.n, len(selection.steps)) == (60, 2)
    assert selection.apply(ds)[:] == second[:]
    table = pq.read_table(BytesIO(hub.files(ID)[f"{RECORD}/selection.parquet"]))
    assert table.column("reason").to_pylist().count("dropped by an earlier step") == 42


def test_a_name_without_an_owner_is_the_users(hub, ds, coreset):
    ds.push_to_hub("source", token=WRITER)
    for _ in range(2):
        coreset.push_to_hub("coreset", token=WRITER)
    hf_prune.TrainingDynamics.from_logits(np.zeros((1, N, 3)), ds["label"][:]).push_to_hub("run", token=WRITER)
    assert set(hub.repos) == {"me/source", "me/coreset", "me/run"}
    assert 'Selection.from_hub("me/coreset")' in hub.files(ID)["README.md"].decode()
    assert len(pulled()) == len(loaded()["train"]) == 18


@pytest.mark.process
def test_loaded_anew(hub, coreset):
    """In a process of its own, where each push ends in datasets' own method once."""
    code = f"""
import importlib, sys
import hf_prune, hf_prune.publish
from datasets import Dataset
importlib.reload(hf_prune.publish)
for name in [name for name in sys.modules if name.startswith("hf_prune")]:
    del sys.modules[name]
import hf_prune
Dataset.from_dict({{"x": range(9)}}).prune("random", keep=3).push_to_hub("{ID}", token="{WRITER}")"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert hub.titles(ID) == ["initial commit", "hf_prune: record of default/train", "Upload dataset"]


def test_dicts_and_configs(hub, ds, coreset):
    DatasetDict(train=coreset, test=ds).push_to_hub(ID, token=WRITER)
    small = ds.prune("random", keep=4)
    small.push_to_hub(ID, "small", split="tiny", token=WRITER)
    card = hub.files(ID)["README.md"].decode()
    assert card.count("## How the rows were selected") == 1
    assert "### `train` of `default`: 18 of 60 rows (30.0%)" in card
    assert "### `tiny` of `small`: 4 of 60 rows (6.7%)" in card
    assert not [path for path in hub.files(ID) if path.startswith("hf_prune/default/test")]
    assert {name: len(part) for name, part in loaded().items()} == {"train": 18, "test": 60}
    assert len(loaded(ID, "small")["tiny"]) == 4
    assert pulled(ID, "small", "tiny").apply(ds)[:] == small[:]
    assert pulled(ID).apply(ds)[:] == coreset[:]
    # Again, with other rows: its own section is replaced, the other stays.
    other = ds.prune("random", keep=7)
    hf_prune.push_to_hub(DatasetDict(train=other, test=ds), ID, selection={"train": other.selection}, token=WRITER)
    card = hub.files(ID)["README.md"].decode()
    assert card.count("### `train` of `default`") == 1
    assert "7 of 60 rows" in card
    assert "### `tiny` of `small`: 4 of 60 rows (6.7%)" in card
    assert len(pulled()) == 7


def test_images_are_known_by_their_bytes(hub, tmp_path):
    from PIL.Image import fromarray

    for row in range(8):
        fromarray(np.full((3, 3), row, dtype=np.uint8)).save(tmp_path / f"{row}.png")
    columns = {"image": [str(tmp_path / f"{row}.png") for row in range(8)], "label": [0, 1] * 4}
    images = Dataset.from_dict(columns, features=Features({"image": Image(), "label": Value("int64")}))
    images.prune("random", keep=4).push_to_hub(ID, token=WRITER)
    images.push_to_hub("me/source", token=WRITER)
    selection = pulled()
    selection.verify(loaded()["train"])
    again = selection.apply(loaded("me/source", split="train"))
    assert [image.tobytes() for image in again["image"]] == [image.tobytes() for image in loaded()["train"]["image"]]


def test_revisions(hub, ds, coreset):
    first = coreset.selection.push_to_hub(ID, token=WRITER).oid
    coreset.selection.at(keep=5).push_to_hub(ID, token=WRITER)
    coreset.selection.at(keep=3).push_to_hub(ID, token=WRITER, revision="small")
    assert [len(pulled(revision=revision)) for revision in (None, first, "small")] == [5, 18, 3]
    coreset.push_to_hub(ID, token=WRITER, revision="data")
    assert len(loaded(revision="data")["train"]) == 18
    with pytest.raises(hf_prune.ArgumentError, match="`revision`: 'me/coreset' has no 'nothing'"):
        pulled(revision="nothing")


def test_a_pull_request_has_both_commits(hub, coreset):
    coreset.select(range(3)).push_to_hub(ID, token=WRITER)
    info = coreset.push_to_hub(ID, token=WRITER, create_pr=True)
    assert info.pr_num == 1
    assert hub.titles(ID) == ["initial commit", "Upload dataset"]
    assert hub.titles(ID, "refs/pr/1")[2:] == ["hf_prune: record of default/train", "Upload dataset"]
    assert list(hub.repos[ID].branches) == ["main", "refs/pr/1"]
    assert len(pulled(revision="refs/pr/1")) == 18


def test_options_of_datasets_pass_through(hub, coreset):
    coreset.push_to_hub(ID, "parts", token=WRITER, max_shard_size=200, private=True, commit_message="My words")
    assert len([path for path in hub.files(ID) if path.startswith("parts/train-")]) > 1
    assert hub.repos[ID].private
    assert hub.titles(ID)[-1] == "My words"
