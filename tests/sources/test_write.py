"""A dataset as one file, which holds all of it or is refused."""

from pathlib import Path

import numpy as np
import pytest
from datasets import Array2D, Dataset, Features, Image, List, Value
from PIL.Image import fromarray

from hf_prune.digest import column_digests
from hf_prune.errors import ArgumentError
from hf_prune.sources.read import one_split, read_splits
from hf_prune.sources.write import check_writable, write_file


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch, tmp_path):
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")


def written(dataset, file):
    check_writable(dataset.features, file)
    write_file(dataset, file, file.suffix)
    return one_split(read_splits(str(file)))


@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".jsonl"])
def test_what_is_written_is_read_again(tmp_path, suffix):
    texts = ['with "quotes", commas', "two\nlines", "Grüße", "plain"]
    rows = Dataset.from_dict({"text": texts, "label": [3, 1, 2, 0], "score": [0.1, 1e-9, 2 / 3, 5.0]})
    rows = rows.select([3, 1, 0])
    again = written(rows, tmp_path / f"rows{suffix}")
    assert again[:] == rows[:]
    assert column_digests(again) == column_digests(rows)


def test_lists_go_into_json_lines_but_not_into_csv(tmp_path):
    rows = Dataset.from_dict({"tokens": [[1, 2], [3]]})
    assert written(rows, tmp_path / "rows.jsonl")[:] == rows[:]
    with pytest.raises(ArgumentError, match=r"a .csv file can't hold the column 'tokens' .*write rows.parquet"):
        check_writable(rows.features, tmp_path / "rows.csv")


def test_a_parquet_file_holds_images_themselves(tmp_path):
    file = tmp_path / "pets" / "1.png"
    file.parent.mkdir()
    pixels = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    fromarray(pixels).save(file)
    rows = one_split(read_splits(str(file.parent)))
    again = written(rows, tmp_path / "rows.parquet")
    file.unlink()
    np.testing.assert_array_equal(np.asarray(again[0]["image"]), pixels)


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
@pytest.mark.parametrize("feature", [Image(), Value("binary"), List(Image()), {"sound": Value("large_binary")}])
def test_bytes_go_into_no_text(suffix, feature):
    with pytest.raises(ArgumentError, match="can't hold the column 'x'"):
        check_writable(Features(x=feature), Path(f"rows{suffix}"))
    check_writable(Features(x=feature), Path("rows.parquet"))


def test_arrays_go_into_no_csv():
    with pytest.raises(ArgumentError, match="can't hold the column 'x'"):
        check_writable(Features(x=Array2D((2, 2), "float32")), Path("rows.csv"))


def test_other_formats_are_refused():
    with pytest.raises(ArgumentError, match=r"wanted a name that ends in .parquet, .csv, .jsonl, .* got 'rows.xlsx'"):
        check_writable(Features(x=Value("int64")), Path("rows.xlsx"))
