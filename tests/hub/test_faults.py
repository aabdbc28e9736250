"""Pushes that are cut, collide or have no rights, and what is refused before anything is pushed."""

import logging
import re

import pytest
from datasets import DatasetDict
from huggingface_hub.errors import HfHubHTTPError

import hf_prune
from hf_prune.hub.client import TransportError
from tests.hub.coresets import ID, loaded, pulled
from tests.hub_server import READER, WRITER, answered, dropped


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


@pytest.mark.skipif(TransportError.__name__ == "ConnectionError", reason="requests waits for no rate limit")
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
    with pytest.raises(TypeError, match="takes no 'split'"):
        DatasetDict(train=coreset).push_to_hub(ID, split="train", token=WRITER)
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


def test_no_token_anywhere(hub, ds, coreset, caplog, tmp_path):
    with caplog.at_level(logging.DEBUG):
        coreset.push_to_hub(ID, token=WRITER)
        selection = pulled()
        selection.save(tmp_path / "saved")
    assert WRITER not in caplog.text + repr(selection) + repr(selection.source.__dict__)
    written = [*hub.files(ID).values(), *(file.read_bytes() for file in tmp_path.rglob("*") if file.is_file())]
    assert len(written) > 5
    assert not [content for content in written if WRITER.encode() in content]
