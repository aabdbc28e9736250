"""Data from wherever it lies."""

import gzip

import pytest
from datasets import Dataset, DatasetDict, Features, Image, Value, load_from_disk
from PIL.Image import new

from hf_prune.errors import ArgumentError
from hf_prune.sources.read import holds_nothing_else, is_hub_id, one_split, read_splits
from tests.hub_server import WRITER

ROWS = {"text": ["one, two", "three"], "label": ["cat", "dog"]}
LINES = '{"text": "one, two", "label": "cat"}\n{"text": "three", "label": "dog"}\n'
COMMAS = 'text,label\n"one, two",cat\nthree,dog\n'


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch, tmp_path):
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("pets.csv", COMMAS),
        ("pets.CSV", COMMAS),
        ("pets.tsv", "text\tlabel\none, two\tcat\nthree\tdog\n"),
        ("pets.jsonl", LINES),
        ("pets.ndjson", LINES),
        ("pets.json", LINES),
    ],
)
def test_files(tmp_path, name, content):
    (tmp_path / name).write_text(content)
    splits = read_splits(str(tmp_path / name))
    assert list(splits) == ["train"]
    assert splits["train"][:] == ROWS


def test_compressed_and_parquet_files(tmp_path):
    (tmp_path / "pets.jsonl.gz").write_bytes(gzip.compress(LINES.encode()))
    Dataset.from_dict(ROWS).to_parquet(tmp_path / "pets.parquet")
    for name in ("pets.jsonl.gz", "pets.parquet"):
        assert read_splits(str(tmp_path / name))["train"][:] == ROWS


def test_a_pattern_reads_its_files_in_order(tmp_path):
    for number in (2, 1, 3):
        (tmp_path / f"part-{number}.csv").write_text(f"number\n{number}\n")
    assert read_splits(str(tmp_path / "part-*.csv"))["train"]["number"][:] == [1, 2, 3]
    assert read_splits(str(tmp_path / "part-[12].csv"))["train"]["number"][:] == [1, 2]


def test_a_file_is_read_again_when_it_has_changed(tmp_path):
    file = tmp_path / "pets.csv"
    for number in range(3):
        file.write_text("number\n" + f"{number}\n" * (number + 1))
        assert read_splits(str(file))["train"]["number"][:] == [number] * (number + 1)


def test_a_folder_of_images(tmp_path):
    for label in ("cat", "dog"):
        (tmp_path / "pets" / label).mkdir(parents=True)
        new("RGB", (4, 4)).save(tmp_path / "pets" / label / "1.png")
    rows = one_split(read_splits(str(tmp_path / "pets")))
    assert rows.features["label"].names == ["cat", "dog"]
    assert isinstance(rows.features["image"], Image)


def test_folders_of_files_and_their_splits(tmp_path):
    for split in ("train", "test"):
        (tmp_path / f"{split}.csv").write_text(COMMAS)
    assert set(read_splits(str(tmp_path))) == {"train", "test"}


@pytest.mark.parametrize("saved", [Dataset.from_dict(ROWS), DatasetDict(test=Dataset.from_dict(ROWS))])
def test_saved_datasets(tmp_path, saved):
    saved.save_to_disk(tmp_path / "saved")
    splits = read_splits(str(tmp_path / "saved"))
    assert one_split(splits)[:] == ROWS
    assert list(splits) == (["test"] if isinstance(saved, DatasetDict) else ["train"])


def test_a_saved_dataset_that_a_kill_took_away_is_put_back(tmp_path):
    Dataset.from_dict(ROWS).save_to_disk(tmp_path / "saved")
    (tmp_path / "saved").rename(tmp_path / ".saved.hf_prune-old")
    assert read_splits(str(tmp_path / "saved"))["train"][:] == ROWS


def test_the_hub(hub):
    Dataset.from_dict(ROWS).push_to_hub("me/pets", config_name="small", split="test", token=WRITER)
    assert read_splits("me/pets", config="small")["test"][:] == ROWS
    with pytest.raises(ArgumentError, match=r"can't read 'me/pets', .*: BuilderConfig 'big' not found"):
        read_splits("me/pets", config="big")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("empty.csv", "", r"can't read .*empty.csv': No columns to parse"),
        ("head.csv", "text,label\n", r"there are no rows in it"),
        ("empty.jsonl", "", r"can't read .*empty.jsonl': there are no rows in it"),
        ("odd.csv", "a,b\n1,2\n1,2,3\n", r"can't read .*odd.csv': .*Expected 2 fields in line 3, saw 3"),
        ("odd.json", '{"a": 1', r"can't read .*odd.json': .*JSON"),
        ("odd.parquet", "PAR1", r"can't read .*odd.parquet': "),
        ("odd.xlsx", "text", r"wanted files of one format .* end in .parquet, .csv, .* got \['.xlsx'\]"),
    ],
)
def test_what_can_not_be_read_says_why(tmp_path, name, content, message):
    (tmp_path / name).write_text(content)
    with pytest.raises(ArgumentError, match=message):
        read_splits(str(tmp_path / name))


def test_places_without_data(tmp_path, hub):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ArgumentError, match=r"can't read the folder .*empty': .* doesn't contain any data files"):
        read_splits(str(tmp_path / "empty"))
    (tmp_path / "empty" / "run.safetensors").write_bytes(b"tensors")
    with pytest.raises(ArgumentError, match=r"No \(supported\) data files"):
        read_splits(str(tmp_path / "empty"))
    for missing in ("no/such/file", "no.csv", "*.csv", "run.safetensors"):
        with pytest.raises(ArgumentError, match=r"no file or folder '"):
            read_splits(missing)
    with pytest.raises(ArgumentError, match=r"can't read 'me/nothing', which is no file or folder here, from the Hub"):
        read_splits("me/nothing")


def test_a_pattern_of_several_formats(tmp_path):
    (tmp_path / "1.csv").write_text(COMMAS)
    (tmp_path / "2.jsonl").write_text(LINES)
    with pytest.raises(ArgumentError, match=r"got \['.csv', '.jsonl'\]"):
        read_splits(str(tmp_path / "*"))


def test_one_split():
    rows = Dataset.from_dict(ROWS)
    assert one_split(DatasetDict(test=rows)) is rows
    assert one_split(DatasetDict(train=rows, test=rows), "test") is rows
    for split in (None, "validation"):
        with pytest.raises(ArgumentError, match=r"no split .* in \['a', 'b'\]; name one of these"):
            one_split(DatasetDict(a=rows, b=rows), split)


def test_what_may_be_the_id_of_a_repository():
    assert all(map(is_hub_id, ("imdb", "me/pets", "me/pets-1.5")))
    assert not any(map(is_hub_id, ("./pets", "a/b/c", "pets.csv", "run.safetensors", "~/pets", "")))


def test_a_saved_dataset_with_other_things_in_its_folder(tmp_path):
    saved = tmp_path / "saved"
    Dataset.from_dict(ROWS, Features(text=Value("string"), label=Value("string"))).save_to_disk(saved)
    assert holds_nothing_else(saved, "hf_prune")
    (saved / "hf_prune").mkdir()
    assert holds_nothing_else(saved, "hf_prune")
    (saved / "notes.txt").write_text("mine")
    assert not holds_nothing_else(saved, "hf_prune")
    assert not holds_nothing_else(tmp_path, "hf_prune")
    both = tmp_path / "both"
    DatasetDict(train=load_from_disk(saved), test=load_from_disk(saved)).save_to_disk(both)
    assert holds_nothing_else(both, "hf_prune")
    (both / "test" / "notes.txt").write_text("mine")
    assert not holds_nothing_else(both, "hf_prune")
