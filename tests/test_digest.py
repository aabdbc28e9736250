import datetime
import gc

import numpy as np
import PIL.Image
import pyarrow as pa
import pytest
from datasets import (
    ClassLabel,
    Dataset,
    Features,
    Image,
    LargeList,
    Sequence,
    Value,
    concatenate_datasets,
    load_from_disk,
)

from hf_prune.digest import _cache, column_digest


def digest(values, feature=None):
    return column_digest(Dataset.from_dict({"c": values}, features=feature and Features({"c": feature})), "c")


COLUMNS = {
    "ints": [3, 1, 2, 3],
    "floats": [0.5, float("nan"), -1.0, 2.0],
    "bools": [True, False, True, True],
    "text": ["a", "", "äö", "ab"],
    "bytes": [b"\x00", b"", b"ab", b"c"],
    "lists": [[1, 2], [], [3], [4]],
    "nested": [[["a"], []], [], [["b", "c"]], [["d"]]],
    "structs": [{"a": 1, "b": "x"}, {"a": 2, "b": "y"}, {"a": 3, "b": ""}, {"a": 4, "b": "z"}],
    "nulls": [None, 1, None, 0],
    "dates": [datetime.date(2020, 1, day) for day in (1, 2, 3, 4)],
}


@pytest.mark.parametrize("values", COLUMNS.values(), ids=COLUMNS.keys())
def test_sees_changes_and_not_storage(values):
    whole = digest(values)
    assert whole == digest(values)
    chunks = concatenate_datasets([Dataset.from_dict({"c": values[:1]}), Dataset.from_dict({"c": values[1:]})])
    assert column_digest(chunks.cast(Dataset.from_dict({"c": values}).features), "c") == whole
    shuffled = Dataset.from_dict({"c": [values[i] for i in (2, 0, 3, 1)]}).select([1, 3, 0, 2])
    assert column_digest(shuffled, "c") == whole
    formatted = Dataset.from_dict({"c": values}).with_format("numpy")
    assert column_digest(formatted, "c") == whole
    swapped = [values[1], values[0], *values[2:]]
    assert len({whole, digest(swapped), digest(values[:3]), digest([*values, values[0]])}) == 4


def test_width_and_layout_do_not_matter():
    ints = {digest([1, 2], Value(kind)) for kind in ("int8", "uint16", "int64")} | {digest([1, 2], ClassLabel(3))}
    assert len(ints) == 1
    assert digest([0.5, 2], Value("float32")) == digest([0.5, 2], Value("float64"))
    assert digest(["a", "b"], Value("string")) == digest(["a", "b"], Value("large_string"))
    lists = [Sequence(Value("int32")), Sequence(Value("int64"), length=2), LargeList(Value("int64"))]
    assert len({digest([[1, 2], [3, 4]], kind) for kind in lists}) == 1
    encoded = Dataset(pa.table({"c": pa.array(["a", "b", "a"]).dictionary_encode()}))
    assert column_digest(encoded, "c") == digest(["a", "b", "a"])


def test_kinds_are_told_apart():
    kinds = [[0, 1], [False, True], [0.0, 1.0], ["0", "1"], [[0], [1]], [None, 1], [0, None]]
    assert len({digest(values) for values in kinds}) == len(kinds)
    # The same bytes with other boundaries.
    assert digest(["ab", "c"]) != digest(["a", "bc"])
    assert digest([[1, 2], [3]]) != digest([[1], [2, 3]])
    # A null is not the value that stands for it.
    assert digest(["", "x"]) != digest([None, "x"])
    assert digest([[], [1]]) != digest([None, [1]])


def test_files_are_known_by_their_bytes(tmp_path):
    names = ["a.png", "b.png"]
    for number, name in enumerate(names):
        PIL.Image.new("L", (2, 2), number).save(tmp_path / name)
    linked = Dataset.from_dict({"c": [str(tmp_path / name) for name in names]}, features=Features({"c": Image()}))
    linked.save_to_disk(tmp_path / "saved")
    assert column_digest(linked, "c") == column_digest(load_from_disk(tmp_path / "saved"), "c")
    whole = digest([str(tmp_path / name) for name in names], Image())
    PIL.Image.new("L", (2, 2), 7).save(tmp_path / "b.png")
    assert digest([str(tmp_path / name) for name in names], Image()) != whole


def test_bytes_are_read_a_few_rows_at_a_time(monkeypatch):
    sizes = []
    monkeypatch.setattr("hf_prune.digest._update", lambda digest, array: sizes.append(len(array)))
    digest([b"x"] * 120, Value("binary"))
    assert max(sizes) == 50


def test_blocks_of_rows(monkeypatch):
    values = np.arange(25_000)
    assert digest(values) == column_digest(Dataset.from_dict({"c": values}).with_format("torch"), "c")
    changed = values.copy()
    changed[24_999] = 0
    assert digest(values) != digest(changed)


def test_the_cache_goes_with_the_dataset():
    gc.collect()
    dataset = Dataset.from_dict({"c": [1, 2]})
    column_digest(dataset, "c")
    before = len(_cache)
    del dataset
    gc.collect()
    assert len(_cache) == before - 1
