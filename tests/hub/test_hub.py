"""Pushing to and pulling from the Hub, by the real clients, on a Hub of this machine."""

import json
import logging
import os
import re
import subprocess
import sys
from io import BytesIO
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from datasets import ClassLabel, Dataset, DatasetDict, Features, Image, Value, load_dataset
from httpx2 import TransportError
from huggingface_hub.errors import HfHubHTTPError

import hf_prune
from tests.hub_server import READER, WRITER, answered, dropped
from tests.selection.test_card import EVIL

N, ID = 60, "me/coreset"
RECORD = "hf_prune/default/train"


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch, tmp_path):
    """Retries don't wait, and each test downloads anew."""
    monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda seconds: None)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub-cache"))
    monkeypatch.setattr("huggingface_hub.file_download.constants.HF_HUB_CACHE", str(tmp_path / "hub-cache"))
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "datasets-cache")


@pytest.fixture
def ds():
    rng = np.random.default_rng(0)
    columns = {
        "text": [f"text {row}" for row in range(N)],
        "label": rng.permutation(N) % 3,
        "uid": range(1000, 1000 + N),
    }
    kinds = {"text": Value("string"), "label": ClassLabel(names=["bad", "fair", "good"]), "uid": Value("int64")}
    return Dataset.from_dict(columns, features=Features(kinds))


@pytest.fixture
def coreset(ds):
    rng = np.random.default_rng(1)
    return ds.prune("d2", keep=0.3, quotas="equal", scores=rng.random(N), embeddings=rng.normal(size=(N, 4)), k=3)


def pulled(repo=ID, *args, **options):
    return hf_prune.Selection.from_hub(repo, *args, **{"token": WRITER, **options})


def loaded(repo=ID, *args, **options):
    return load_dataset(repo, *args, **{"token": WRITER, **options})


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


def test_the_record_says_what_was_done(hub, coreset):
    coreset.push_to_hub(ID, token=WRITER)
    header = json.loads(hub.files(ID)[f"{RECORD}/selection.json"])
    (step,) = header["steps"]
    assert step["method"]["within"]["method"] == "d2"
    assert (step["keep"], step["budget"], step["n"], step["seed"]) == (0.3, 18, 60, 0)
    assert set(step["versions"]) >= {"hf_prune", "numpy", "datasets"}
    assert set(header["source"]["digests"]) == set(header["pruned"]) == {"text", "label", "uid"}
    table = pq.read_table(BytesIO(hub.files(ID)[f"{RECORD}/selection.parquet"]))
    assert table.column_names == ["row", "kept", "score", "rank", "group", "reason"]
    assert set(table.column("reason").to_pylist()) == {"kept", "not picked"}
    assert [str(table.schema.field(name).type) for name in ("score", "rank")] == ["float", "int32"]


def test_the_card_counts_classes_without_quotas_too(hub, ds):
    coreset = ds.prune("random", keep=0.5).prune("random", keep=0.5, seed=1)
    coreset.push_to_hub(ID, token=WRITER)
    kept = [coreset["label"][:].count(label) for label in range(3)]
    rows = [
        f"| {name} | 20 | {count} | {count / 20:.1%} |"
        for name, count in zip(("bad", "fair", "good"), kept, strict=True)
    ]
    card = hub.files(ID)["README.md"].decode()
    assert "\n".join(rows) in card
    assert f"![what each group kept]({RECORD}/selection.png)" in card
    assert hub.files(ID)[f"{RECORD}/selection.png"].startswith(b"\x89PNG")
    assert pulled().groups is None  # they are no part of the selection


@pytest.mark.parametrize(
    "columns", [{"x": range(30)}, {"label": [0.5] * 30}, {"label": [None, 1] * 15}, {"label": [[1], [2, 3]] * 15}]
)
def test_data_without_classes_have_no_table(hub, columns):
    Dataset.from_dict(columns).prune("random", keep=9).push_to_hub(ID, token=WRITER)
    assert "| --- |" not in hub.files(ID)["README.md"].decode()
    assert f"{RECORD}/selection.png" not in hub.files(ID)


def test_the_classes_are_those_that_the_method_read(hub):
    ds = Dataset.from_dict({"label": ["x"] * 40, "kind": ["a", "b"] * 20})
    run = hf_prune.TrainingDynamics.from_logits(np.random.default_rng(0).normal(size=(2, 40, 2)), [0, 1] * 20)
    ds.prune("el2n", keep=10, dynamics=run, label_column="kind").push_to_hub(ID, token=WRITER)
    card = hub.files(ID)["README.md"].decode()
    assert "| a | 20 |" in card
    assert "| x | 40 |" not in card


def test_labels_beyond_number_are_no_classes(hub, monkeypatch):
    monkeypatch.setattr("hf_prune.selection.published.MOST_CLASSES", 29)
    Dataset.from_dict({"label": range(30)}).prune("random", keep=9).push_to_hub(ID, token=WRITER)
    assert "| --- |" not in hub.files(ID)["README.md"].decode()


def test_explained_records(hub, coreset):
    coreset.push_to_hub(ID, token=WRITER, explain=True)
    selection, row = pulled(), int(coreset.selection.order[0])
    here, there = coreset.selection.explain(row).splitlines(), selection.explain(row).splitlines()
    assert there[:3] == here[:3]
    assert there[3].startswith("  score ")
    assert f"density {coreset.selection.evidence['density'][row]:.3g}" in there[3]
    lean = pulled(hf_prune.push_to_hub(coreset, "me/lean", token=WRITER).repo_url.repo_id)
    assert "the last step's graph" not in lean.explain(row)


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
    tokenised = coreset.map(lambda row: {"length": len(row["text"])}).remove_columns("text")
    with caplog.at_level(logging.WARNING):
        tokenised.push_to_hub(ID, token=WRITER)
    assert "hf_prune.push_to_hub(dataset, repo_id, selection=sel)" in caplog.text
    assert not [path for path in hub.files(ID) if "hf_prune" in path]
    hf_prune.push_to_hub(tokenised, ID, selection=sel, token=WRITER)
    assert loaded()["train"].column_names == ["label", "uid", "length"]
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


def test_hostile_names_of_groups(hub):
    names = [*EVIL, "$\\frac{$", "类别", "a" * 10_000]
    evil = Dataset.from_dict({"label": names * 4})
    evil.prune("random", keep=30, quotas="equal").push_to_hub(ID, token=WRITER)
    assert hub.files(ID)[f"{RECORD}/selection.png"].startswith(b"\x89PNG")
    assert "a" * 101 not in hub.files(ID)["README.md"].decode()
    assert set(pulled().groups.names) == set(names)


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


def test_an_existing_card_stays(hub, coreset):
    repo = "me/mine"
    coreset.select(range(3)).push_to_hub(repo, token=WRITER)
    mine = "---\nlicense: mit\ntags:\n- birds\n---\n\n# Birds\n\nMy words.\n"
    hub.commit(hub.repos[repo], "main", hub.files(repo) | {"README.md": mine.encode()})
    coreset.push_to_hub(repo, token=WRITER)
    coreset.push_to_hub(repo, token=WRITER)
    card = hub.files(repo)["README.md"].decode()
    assert "# Birds\n\nMy words." in card
    assert "license: mit" in card
    assert "- birds\n- hf_prune\n" in card
    assert card.count("<!-- hf_prune default/train: begin -->") == 1


def test_selection_alone(hub, ds, coreset):
    coreset.selection.push_to_hub("me/x-selection", token=WRITER, private=True)
    assert hub.repos["me/x-selection"].private
    assert len(hub.titles("me/x-selection")) == 2
    selection = pulled("me/x-selection")
    assert selection.apply(ds)[:] == coreset[:]
    with pytest.raises(hf_prune.ArgumentError, match="without the pruned rows"):
        selection.verify(coreset)
    with pytest.raises(hf_prune.AlignmentError, match="made for 60 rows, the dataset has 59"):
        selection.apply(ds.select(range(59)))
    with pytest.raises(hf_prune.AlignmentError, match=r"\['text'\] hold other values"):
        selection.apply(ds.map(lambda row: {"text": row["text"] + "!"}))


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


@pytest.mark.parametrize(
    ("stage", "after"),
    [
        ("info", 0),
        ("preupload", 0),
        ("batch", 0),
        ("put", 0),
        ("commit", 0),
        ("preupload", 1),
        ("batch", 1),
        ("put", 2),
        ("commit", 1),
    ],
)
def test_a_push_that_is_cut_can_be_repeated(hub, ds, coreset, stage, after):
    old = ds.select(range(4))
    old.push_to_hub(ID, token=WRITER)
    with (
        hub.failing(stage, dropped, times=99, after=after),
        pytest.raises((HfHubHTTPError, RuntimeError, OSError, TransportError)) as caught,
    ):
        coreset.push_to_hub(ID, token=WRITER)
    assert WRITER not in str(caught.value)
    assert loaded()["train"][:] == old[:]
    record_is_there = any(title.startswith("hf_prune") for title in hub.titles(ID))
    assert record_is_there == (after > 0)
    if record_is_there:
        assert "Push again" in caught.value.__notes__[0]
        with pytest.raises(hf_prune.AlignmentError, match="made for 18 rows, the dataset has 4"):
            pulled().verify(loaded()["train"])
    coreset.push_to_hub(ID, token=WRITER)
    assert loaded(download_mode="force_redownload")["train"][:] == coreset[:]
    pulled().verify(loaded()["train"])


def test_a_first_push_that_is_cut_can_be_repeated(hub, coreset):
    for stage in ("create", "commit"):
        with hub.failing(stage, dropped, times=99), pytest.raises(TransportError):
            coreset.push_to_hub(ID, token=WRITER)
    coreset.push_to_hub(ID, token=WRITER)
    pulled().verify(loaded()["train"])


def test_what_others_commit_meanwhile_stays(hub, coreset):
    coreset.push_to_hub(ID, token=WRITER)

    def first_theirs(handler):
        files = hub.files(ID) | {"theirs.txt": b"theirs", "README.md": b"---\ntags:\n- theirs\n---\n\nTheir words.\n"}
        hub.commit(hub.repos[ID], "main", files, "Theirs")
        handler.commit(ID, "main")

    with hub.failing("commit", first_theirs):
        coreset.selection.at(keep=5).push_to_hub(ID, token=WRITER)
    assert hub.titles(ID)[-2:] == ["Theirs", "hf_prune: record of default/train"]
    assert hub.files(ID)["theirs.txt"] == b"theirs"
    card = hub.files(ID)["README.md"].decode()
    assert "- theirs\n- hf_prune" in card
    assert "Their words." in card
    assert "5 of 60 rows" in card


@pytest.mark.parametrize("status", [409, 412])
def test_others_commit_meanwhile(hub, coreset, status):
    with hub.failing("commit", answered(status), times=2):
        coreset.push_to_hub(ID, token=WRITER)
    assert len(pulled()) == 18
    with hub.failing("commit", answered(status), times=3), pytest.raises(HfHubHTTPError, match=str(status)):
        coreset.push_to_hub(ID, token=WRITER)


def test_a_rate_limit_is_waited_for(hub, coreset):
    with hub.failing("batch", answered(429, Retry_After="1"), times=2):
        coreset.push_to_hub(ID, token=WRITER)
    with hub.failing("resolve", answered(429, Retry_After="1"), times=1):
        assert len(pulled()) == 18


def test_without_rights(hub, ds, coreset):
    for token in (READER, "hf_wrong", False):
        with pytest.raises(HfHubHTTPError) as caught:
            coreset.push_to_hub(ID, token=token)
        assert str(token) not in str(caught.value) or token is False
    coreset.push_to_hub(ID, token=WRITER, private=True)
    assert len(pulled(token=READER)) == 18
    with pytest.raises(hf_prune.ArgumentError, match="no dataset 'me/coreset' on the Hub, or it is private"):
        pulled(token=False)
    with pytest.raises(HfHubHTTPError, match="403"):
        coreset.push_to_hub(ID, token=READER)


def test_what_is_not_there(hub, coreset):
    with pytest.raises(hf_prune.ArgumentError, match="no dataset 'me/nothing' on the Hub"):
        pulled("me/nothing")
    coreset.push_to_hub(ID, token=WRITER)
    with pytest.raises(
        hf_prune.ArgumentError, match=r"has no 'hf_prune/default/test/.*Of hf_prune it has \['hf_prune/def"
    ):
        pulled(ID, split="test")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda header: header.pop("steps"), "'steps'"),
        (lambda header: header.update(kept=4), "18 kept rows in the table, 4 in the header"),
        (lambda header: header.update(rows=10**12), "60 rows in selection.parquet, 1000000000000 in"),
        (lambda header: header.update(format="pickle"), "not of the format"),
        (lambda header: header["steps"][0]["details"].update(recalls=3), "damaged"),
    ],
)
def test_hostile_records_are_refused(hub, coreset, change, message):
    coreset.push_to_hub(ID, token=WRITER)
    files = hub.files(ID)
    header = json.loads(files[f"{RECORD}/selection.json"])
    change(header)
    hub.commit(hub.repos[ID], "main", files | {f"{RECORD}/selection.json": json.dumps(header).encode()})
    with pytest.raises(hf_prune.ArgumentError, match=f"`repo_id`: the record in 'me/coreset' can't be.*{message}"):
        pulled()


@pytest.mark.parametrize("name", ["../../etc", "a/b", "", "..", ".hidden", "a\\b", "a b", None, "x\n"])
def test_names_are_no_paths(hub, coreset, name):
    for argument in ("config", "split"):
        with pytest.raises(hf_prune.ArgumentError, match=f"`{argument}`: wanted a name of letters"):
            pulled(ID, **{argument: name})
    if name:
        with pytest.raises((hf_prune.ArgumentError, ValueError)):
            hf_prune.push_to_hub(coreset, ID, config_name=name, token=WRITER)
    assert not hub.repos


def test_what_datasets_would_refuse_is_refused_before_the_record_is_pushed(hub, ds, coreset):
    for options, message in (
        ({"max_shard_sise": 3}, "takes no 'max_shard_sise'. Did you mean 'max_shard_size'?"),
        ({"config_name": "data"}, "`config_name`: datasets keeps 'data' for itself"),
        ({"split": "a-b"}, "`split`: wanted a name of letters, digits and '_', with '.' between them, got 'a-b'"),
    ):
        with pytest.raises(hf_prune.HFPruneError, match=re.escape(message)):
            coreset.push_to_hub(ID, token=WRITER, **options)
    assert not hub.repos
    coreset.push_to_hub(ID, "some-config", None, "a.b", token=WRITER)
    assert len(pulled(ID, "some-config", "a.b")) == 18


def test_places_that_cannot_hold_a_record(hub, coreset):
    with pytest.raises(hf_prune.ArgumentError, match=r"is a bucket, which has no commits .* coreset.select"):
        coreset.push_to_hub("buckets/me/x", token=WRITER)
    with pytest.raises(TypeError, match="`repo_id`: wanted a text"):
        hf_prune.push_to_hub(coreset, 3)
    with pytest.raises(TypeError, match="`dataset`: wanted a Dataset or DatasetDict, got list"):
        hf_prune.push_to_hub([], ID)
    assert not hub.requests


def test_ids(hub, ds, coreset):
    coreset.push_to_hub(ID, token=WRITER, id_column="uid")
    table = pq.read_table(BytesIO(hub.files(ID)[f"{RECORD}/selection.parquet"]))
    assert table.column("id").to_pylist() == ds["uid"][:]
    selection, others = pulled(), ds.map(lambda row: {"text": "new", "label": 0})
    assert selection.apply(ds, id_column="uid")[:] == coreset[:]
    renamed = others.rename_columns({"uid": "number", "text": "t", "label": "l"})
    assert selection.apply(renamed, id_column="number")["number"][:] == coreset["uid"][:]
    with pytest.raises(
        hf_prune.AlignmentError, match=r"1 are missing here \(1000, ...\) and 1 are not on record \(5, "
    ):
        selection.apply(
            renamed.map(lambda row: {"number": 5 if row["number"] == 1000 else row["number"]}), id_column="number"
        )
    with pytest.raises(hf_prune.AlignmentError, match="in another order, first at row 0: 1001 here, 1000 on record"):
        selection.apply(ds.select([1, 0, *range(2, 60)]), id_column="uid")
    selection.push_to_hub("me/again", token=WRITER)  # the ids that it was read with
    assert pulled("me/again").apply(renamed, id_column="number")["number"][:] == coreset["uid"][:]
    with pytest.raises(hf_prune.ArgumentError, match="no source at hand, as after load or pickle"):
        selection.push_to_hub("me/again", token=WRITER, id_column="uid")
    with pytest.raises(hf_prune.ArgumentError, match="'label' has 0 nulls and 57 repeated ids"):
        selection.apply(ds, id_column="label")
    with pytest.raises(hf_prune.ArgumentError, match="no column 'id'"):
        coreset.selection.push_to_hub(ID, token=WRITER, id_column="id")
    coreset.selection.push_to_hub(ID, token=WRITER)
    with pytest.raises(hf_prune.ArgumentError, match="record holds no ids"):
        pulled().apply(ds, id_column="uid")


def test_dynamics(hub, ds):
    logits = np.random.default_rng(0).normal(size=(3, N, 3))
    dynamics = hf_prune.TrainingDynamics.from_logits(logits, ds["label"][:])
    dynamics.push_to_hub("me/runs", token=WRITER)
    again = hf_prune.TrainingDynamics.from_hub("me/runs", token=WRITER)
    np.testing.assert_array_equal(again["margin"], dynamics["margin"])
    assert ds.prune("el2n", keep=5, dynamics=again)[:] == ds.prune("el2n", keep=5, dynamics=dynamics)[:]
    with pytest.raises(hf_prune.ArgumentError, match=r"has no 'hf_prune/other/train/dynamics\.parquet'"):
        hf_prune.TrainingDynamics.from_hub("me/runs", config="other", token=WRITER)


def test_the_source_on_the_hub_is_on_record(hub, ds):
    ds.push_to_hub("me/source", token=WRITER)
    source = loaded("me/source", split="train")
    source.prune("random", keep=5).push_to_hub(ID, token=WRITER)
    origin = json.loads(hub.files(ID)[f"{RECORD}/selection.json"])["source"]["origin"]
    assert (origin["repo"], origin["revision"]) == ("me/source", hub.repos["me/source"].branches["main"][-1].sha)
    assert 'load_dataset("me/source", split="...")' in hub.files(ID)["README.md"].decode()


def test_no_token_anywhere(hub, ds, coreset, caplog, tmp_path):
    with caplog.at_level(logging.DEBUG):
        coreset.push_to_hub(ID, token=WRITER)
        selection = pulled()
        selection.save(tmp_path / "saved")
    assert WRITER not in caplog.text + repr(selection) + repr(selection.source.__dict__)
    written = [*hub.files(ID).values(), *(file.read_bytes() for file in tmp_path.rglob("*") if file.is_file())]
    assert len(written) > 5
    assert not [content for content in written if WRITER.encode() in content]
