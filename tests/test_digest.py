import datetime
import gc
from importlib.metadata import version

import numpy as np
import PIL.Image
import pyarrow as pa
import pytest
from datasets import (
    Array2D,
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

from hf_prune.digest import BLOCK, _cache, _Node, column_digest, column_parts


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
    for views in (pa.array(["a", "b", "a"], pa.string_view()), pa.array([b"a", b"b", b"a"], pa.binary_view())):
        whole = Dataset(pa.table({"c": views}))
        assert column_digest(whole, "c") == digest(["a", "b", "a"])
        assert column_digest(whole.select([1, 0]), "c") == digest(["b", "a"])


def test_kinds_are_told_apart():
    kinds = [[0, 1], [False, True], [0.0, 1.0], ["0", "1"], [[0], [1]], [None, 1], [0, None]]
    assert len({digest(values) for values in kinds}) == len(kinds)
    # The same bytes with other boundaries.
    assert digest(["ab", "c"]) != digest(["a", "bc"])
    assert digest([[1, 2], [3]]) != digest([[1], [2, 3]])
    # A null is not the value that stands for it.
    assert digest(["", "x"]) != digest([None, "x"])
    assert digest([[], [1]]) != digest([None, [1]])
    assert digest([False, True]) != digest([None, True])


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


@pytest.mark.parametrize("kind", ["binary", "int64", "string"])
def test_parts_are_small_and_no_matter(monkeypatch, kind):
    values = {"binary": [b"x" * 99, b""], "int64": [1, None], "string": ["a", "bcd"]}[kind] * 500
    whole, sizes, read = digest(values, Value(kind)), [], _Node.update

    def update(node, array):
        sizes.append(array.nbytes)
        read(node, array)

    monkeypatch.setattr("hf_prune.digest._Node.update", update)
    monkeypatch.setattr("hf_prune.digest.BYTES_AT_A_TIME", 2000)
    assert digest(values, Value(kind)) == whole
    assert len(sizes) > 3
    assert max(sizes) < 3000


NULLS = pytest.mark.skipif(version("datasets") < "5", reason="large lists of images could have no nulls")


@pytest.mark.parametrize("nested", [False, pytest.param(True, marks=NULLS)])
def test_parts_are_bounded_by_the_sizes_of_files(monkeypatch, tmp_path, nested):
    """Rows of images that are paths take a few bytes, and the files what they like."""
    draw = np.random.default_rng(0)
    for number in range(20):
        PIL.Image.fromarray(draw.integers(0, 255, (20, 20), dtype=np.uint8)).save(tmp_path / f"{number}.png")
    paths = [str(tmp_path / f"{number}.png") for number in range(20)]
    rows, kind = ([[path, path] for path in paths], LargeList(Image())) if nested else (paths, Image())
    dataset = Dataset.from_dict({"c": [*rows, None]}, features=Features({"c": kind}))
    monkeypatch.setattr("hf_prune.digest.BYTES_AT_A_TIME", 3000)
    parts = list(column_parts(dataset, "c"))
    assert sum(map(len, parts)) == 21
    assert max(part.nbytes for part in parts) < 4000
    assert 3 < len(parts) < 21


LONG_AFTER_SHORT = {
    "text": ["a"] * 2000 + ["b" * 900] * 40 + ["c"] * 5 + ["d" * 5000] + [""] * 9,
    "views": pa.array(["a"] * 2000 + ["b" * 900] * 40 + ["d" * 5000], pa.string_view()),
    "lists": [[1]] * 2000 + [[2] * 120] * 40 + [[3] * 600, None, []],
    "lists of text": [["a"]] * 1000 + [["b" * 100] * 9] * 40 + [[None, "c" * 5000], None],
    "structs": [{"x": 1, "y": "a"}] * 1000 + [{"x": 2, "y": "b" * 900}] * 40 + [None],
    "dictionary": pa.array(["a"] * 1000 + ["b" * 900] * 40 + [None]).dictionary_encode(),
    "bytes": [b"a"] * 100 + [b"b" * 900] * 40,
    "arrays": pa.array([[1.0] * 100] * 60, pa.list_(pa.float64(), 100)),
}


@pytest.mark.parametrize("values", LONG_AFTER_SHORT.values(), ids=LONG_AFTER_SHORT.keys())
@pytest.mark.parametrize("selected", [False, True])
def test_parts_are_small_where_long_rows_follow_short_ones(monkeypatch, values, selected):
    table = pa.table({"c": values if isinstance(values, pa.Array) else pa.array(values)})
    dataset = Dataset(table)
    if selected:
        dataset = dataset.select([*range(len(table) - 1), len(table) - 1, 0])
    whole, limit = column_digest(dataset, "c"), 4000
    monkeypatch.setattr("hf_prune.digest.BYTES_AT_A_TIME", limit)
    parts = list(column_parts(dataset, "c"))
    assert sum(map(len, parts)) == len(dataset)
    assert all(len(part) == 1 or len(str(part.to_pylist())) < 2.5 * limit for part in parts)
    assert len(parts) < 120
    again = Dataset(table) if not selected else Dataset(table).select([*range(len(table) - 1), len(table) - 1, 0])
    assert column_digest(again, "c") == whole


def test_numbers_over_several_blocks(tmp_path):
    draw = np.random.default_rng(0)
    values = draw.integers(-100, 100, 3 * BLOCK + 5)
    values[BLOCK + 7] = 2**40  # one block of several needs all the width
    values[:BLOCK] = 3  # and one holds a single number
    whole = Dataset.from_dict({"c": values})
    parts = np.split(values, np.sort(draw.choice(len(values), 9)))
    chunked = concatenate_datasets([Dataset.from_dict({"c": part}) for part in parts])
    whole.to_parquet(tmp_path / "file.parquet")
    read = Dataset.from_parquet(str(tmp_path / "file.parquet"), cache_dir=str(tmp_path))
    order = draw.permutation(len(values))
    selected = Dataset.from_dict({"c": values[order]}).select(np.argsort(order))
    assert len({column_digest(ds, "c") for ds in (whole, chunked, read, selected)}) == 1
    for at in (0, BLOCK - 1, BLOCK, len(values) - 1):
        changed = values.copy()
        changed[at] += 1
        assert digest(changed) != column_digest(whole, "c")


def test_floats_are_told_apart_where_32_bits_are_too_few():
    values = np.linspace(0, 1, 2 * BLOCK)
    single = values.astype(np.float32)
    assert digest(single, Value("float32")) == digest(single.astype(np.float64), Value("float64"))
    assert digest(values, Value("float64")) != digest(single, Value("float32"))
    assert digest([1e300, 1.0], Value("float64")) != digest([np.inf, 1.0], Value("float64"))
    assert digest([0.5, 1.0], Value("float16")) == digest([0.5, 1.0], Value("float64"))
    large = [Dataset(pa.table({"c": pa.array([2**63 + 1, last], pa.uint64())})) for last in (2**63, 2**63 + 1)]
    assert column_digest(large[0], "c") != column_digest(large[1], "c")


def test_other_types():
    times = [datetime.datetime(2020, 1, day) for day in (1, 2)]
    kinds = {digest(times, Value(f"timestamp[{unit}]")) for unit in ("s", "us")}
    kinds |= {
        digest(times[::-1], Value("timestamp[s]")),
        digest([0, 1]),
        digest(["1.5", "2.5"], Value("decimal128(5, 2)")),
    }
    assert len(kinds) == 5
    arrays = Dataset.from_dict({"c": np.zeros((3, 2, 2))}, features=Features({"c": Array2D((2, 2), "float32")}))
    assert column_digest(arrays, "c") == digest(np.zeros((3, 2, 2)).tolist())
    assert digest([], Value("int64")) != digest([0], Value("int64"))
    fields = pa.table({"c": pa.array([{"b": 1, "a": "x"}], pa.struct([("b", pa.int8()), ("a", pa.string())]))})
    assert column_digest(Dataset(fields), "c") == digest([{"a": "x", "b": 1}])


def test_the_format_is_the_one_that_records_hold():
    """A change here makes every selection that was saved before refuse its source."""
    columns = [
        [3, 1, 2],
        ["a", "", "äö"],
        [[1.5], [], [2.0, 3.0]],
        [{"a": 1}, {"a": None}, {"a": 3}],
        [[1, 2], [3, 4]],
    ]
    assert [digest(values) for values in columns] == [
        "a943ef5e6c09082dbdd81e80e0367972",
        "3f6abaa32497015b319271372bffe289",
        "587aaab08cd36e598a9fa6d2964241aa",
        "b81596e2cd32ca87caab02b34902447d",
        "b3e7bde5b612214d84c8239ad3f7a493",
    ]


def test_the_cache_goes_with_the_dataset():
    gc.collect()
    dataset = Dataset.from_dict({"c": [1, 2]})
    column_digest(dataset, "c")
    before = len(_cache)
    del dataset
    gc.collect()
    assert len(_cache) == before - 1
