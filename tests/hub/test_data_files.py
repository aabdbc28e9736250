"""Data that load_dataset finds by the names of their files, and records that are pushed beside them."""

import io

import numpy as np
import pytest
from datasets import Dataset, load_dataset
from huggingface_hub import DatasetCard, HfApi

import hf_prune
from hf_prune.hub.client import TransportError
from hf_prune.hub.data_files import _patterns
from tests.hub_server import WRITER, dropped

ID = "me/mine"
CSV, OTHER, SEMICOLONS = b"text,label\na,0\nb,1\n", b"text,label\nc,1\n", b"text;label\na;0\n"
RUN = hf_prune.TrainingDynamics.from_logits(np.zeros((1, 9, 2)), [0, 1, 0] * 3)


def jsonl(rows):
    return b"".join(b'{"text": "%d"}\n' % row for row in range(rows))


def parquet(rows):
    file = io.BytesIO()
    Dataset.from_dict({"text": [str(row) for row in range(rows)]}).to_parquet(file)
    return file.getvalue()


@pytest.fixture
def coreset():
    return Dataset.from_dict({"text": list("abcdefghi"), "label": [0, 1, 0] * 3}).prune("random", keep=4)


@pytest.fixture
def mine(hub):
    """Makes the repository with these files."""

    def make(**files):
        HfApi(token=WRITER).create_repo(ID, repo_type="dataset")
        hub.commit(hub.repos[ID], "main", {".gitattributes": b"", **files})
        return contents()

    return make


def contents(*args):
    loaded = load_dataset(ID, *args, token=WRITER)
    return {split: part[:] for split, part in loaded.items()}


def configs(hub):
    return DatasetCard(hub.files(ID)["README.md"].decode()).data.get("configs")


BY_NAMES = [
    {"train.csv": CSV},
    {"train.csv": CSV, "test.csv": OTHER, "LICENSE": b"mine", "notes.txt": b"text"},
    {"data.csv": CSV, "README.md": b"# Mine\n"},
    {"data.csv": CSV, "README.md": b"---\nlicense: mit\n---\n\n# Mine\n"},
    {"a/train/1.jsonl": jsonl(1), "a/train/2.jsonl": jsonl(2), "a/test/1.jsonl": jsonl(3)},
    {"what [is] it.csv": CSV, "x/y/z.csv": CSV},
    {"data.csv": SEMICOLONS, "README.md": b"---\nconfigs:\n- config_name: default\n  sep: ;\n---\n"},
]


@pytest.mark.parametrize("files", BY_NAMES)
@pytest.mark.parametrize("what", ["selection", "dynamics"])
def test_records_are_not_taken_for_data(mine, hub, coreset, files, what):
    before = mine(**files)
    for config in ("default", "other"):
        (coreset.selection if what == "selection" else RUN).push_to_hub(ID, config=config, token=WRITER)
        assert contents() == before
    assert "mine" not in files.get("README.md", b"").decode() or "# Mine" in hub.files(ID)["README.md"].decode()


def test_folders_that_grow(mine, hub):
    mine(**{"a/train/1.jsonl": jsonl(1), "a/test/1.jsonl": jsonl(3)})
    RUN.push_to_hub(ID, token=WRITER)
    hub.commit(hub.repos[ID], "main", hub.files(ID) | {"a/train/2.jsonl": jsonl(5)})
    assert {split: len(rows["text"]) for split, rows in contents().items()} == {"train": 6, "test": 3}


def test_patterns_by_hand():
    data = ["a.csv", "d/1.csv", "d/e/2.csv", "f/3.csv", "f/g/4.csv", "f/g/5.csv", "f/h/6.csv", "x[1].csv"]
    read = {"a.csv", "d/1.csv", "d/e/2.csv", "f/3.csv", "f/g/4.csv", "f/g/5.csv", "x[1].csv"}
    assert _patterns(read, data) == ["a.csv", "d/**", "f/3.csv", "f/g/**", "x[[]1].csv"]


@pytest.mark.parametrize("files", BY_NAMES)
def test_a_cut_push_over_them_leaves_them_readable(hub, mine, coreset, files):
    before = mine(**files)
    with hub.failing("commit", dropped, times=99, after=1), pytest.raises(TransportError) as caught:
        coreset.push_to_hub(ID, token=WRITER)
    assert "Push again" in caught.value.__notes__[0]
    assert contents()["train"] == before["train"]
    coreset.push_to_hub(ID, token=WRITER)
    assert contents() == {"train": coreset[:]}  # as after datasets' own push


@pytest.mark.parametrize("ours", [True, False])
def test_another_config_beside_files_that_are_not_parquet(hub, mine, coreset, ours):
    """They are forgotten, as by datasets' own push."""
    mine(**{"train.csv": CSV, "test.csv": OTHER})
    pushed = coreset if ours else coreset.select(range(4))
    pushed.push_to_hub(ID, "small", token=WRITER)
    assert contents("small") == contents() == {"train": coreset[:]}
    assert hub.files(ID)["train.csv"] == CSV


def test_another_config_beside_parquet(mine, coreset):
    before = mine(**{"train.parquet": parquet(3), "test.parquet": parquet(2)})
    coreset.push_to_hub(ID, "small", token=WRITER)
    assert contents("default") == before
    assert contents("small") == {"train": coreset[:]}


@pytest.mark.parametrize("config", ["default", "small"])
def test_a_first_push_that_is_cut_shows_no_data(hub, coreset, config):
    with hub.failing("commit", dropped, times=99, after=1), pytest.raises(TransportError) as caught:
        coreset.push_to_hub(ID, config, token=WRITER)
    assert "Push again" in caught.value.__notes__[0]
    with pytest.raises(FileNotFoundError, match=r"No \(supported\) data files found in me/mine"):
        contents(config)
    coreset.push_to_hub(ID, config, token=WRITER)
    assert contents(config) == {"train": coreset[:]}


@pytest.mark.parametrize("more", [False, True])
def test_shards_of_old_pushes_need_no_word(mine, hub, coreset, more):
    splits = {"train": parquet(3)} | ({"test": parquet(2)} if more else {})
    before = mine(**{f"data/{split}-00000-of-00001.parquet": content for split, content in splits.items()})
    coreset.selection.push_to_hub(ID, token=WRITER)
    assert configs(hub) is None
    assert contents() == before
    coreset.push_to_hub(ID, "small", token=WRITER)
    assert contents("default") == before


def test_a_repository_of_records_alone_says_nothing_of_data(hub, coreset):
    coreset.selection.push_to_hub(ID, token=WRITER)
    assert configs(hub) is None
    RUN.push_to_hub("me/run", token=WRITER)
    assert list(hub.files("me/run")) == ["hf_prune/default/train/dynamics.parquet", "README.md"]
    assert b"configs" not in hub.files("me/run")["README.md"]
    coreset.push_to_hub(ID, token=WRITER)
    assert contents() == {"train": coreset[:]}
