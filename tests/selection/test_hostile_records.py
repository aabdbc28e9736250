"""Records that somebody damaged or made up: each is refused by name, and nothing in one is executed."""

import json
import pickle

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import Dataset

import hf_prune
from hf_prune.selection.record import MOST_ROWS, write_record
from tests.selection.made import seal

N = 60


@pytest.fixture(scope="module")
def ds():
    return Dataset.from_dict({"label": [0, 1, 2] * (N // 3), "x": range(N)})


@pytest.fixture
def record(ds, tmp_path):
    """The folder of a sound record, of D2 and with ids."""
    rng = np.random.default_rng(1)
    points = rng.normal(size=(N, 3))
    pruned = ds.prune("d2", keep=0.3, quotas="equal", scores=rng.random(N), embeddings=points, k=3)
    pruned.selection.save(tmp_path / "record", id_column="x")
    return tmp_path / "record"


def refused(folder, message=""):
    with pytest.raises(hf_prune.ArgumentError, match=f"(?s)selection.*{message}") as caught:
        hf_prune.Selection.load(folder)
    assert "record" in str(caught.value)


def change_header(folder, **changes):
    seal(folder, **changes)


def change_column(folder, name, values):
    table = pq.read_table(folder / "selection.parquet")
    at = table.column_names.index(name)
    pq.write_table(table.set_column(at, name, values), folder / "selection.parquet")
    seal(folder)


def test_the_sound_record_is_read(record, ds):
    assert len(hf_prune.Selection.load(record).apply(ds, id_column="x")) == 18


@pytest.mark.parametrize("name", ["selection.json", "selection.parquet"])
@pytest.mark.parametrize("part", [0, 1, 10, 0.5, 0.99])
def test_cut_files(record, name, part):
    whole = (record / name).read_bytes()
    (record / name).write_bytes(whole[: part if isinstance(part, int) else int(part * len(whole))])
    refused(record)


@pytest.mark.parametrize(
    "text",
    [
        "[]",
        "null",
        "3",
        '"text"',
        "{}",
        '{"format": "hf_prune.selection/3"}',
        '{"format": "pickle"}',
        "[" * 100_000,
        '{"a":' * 100_000,
        "\\x00\\xff",
    ],
)
def test_other_json(record, text):
    (record / "selection.json").write_text(text)
    refused(record)


@pytest.mark.parametrize(
    "changes",
    [
        {"rows": 10**30},
        {"rows": -1},
        {"rows": "60"},
        {"rows": None},
        {"kept": 17},
        {"kept": 1e400},
        {"at_least": "x"},
        {"steps": None},
        {"steps": [{}]},
        {"steps": [{"method": {"method": "d2"}, "keep": 1, "seed": 0, "n": 60, "budget": 18, "evil": 1}]},
        {"steps": [{"method": 3, "keep": 1, "seed": 0, "n": 60, "budget": 18}]},
        {"steps": [{"method": {"method": "d2"}, "keep": 1, "seed": 0, "n": 3, "budget": 18}]},
        {"group_names": 3},
        {"group_values": [0], "group_names": ["a", "b"]},
        {"group_values": [0, 1, 2], "group_names": [0, 1, 2]},
        {"group_values": [0], "group_names": ["a"]},
        {"digests": None},
        {"digests": [1]},
        {"digests": {"x": 3}},
        {"evidence": {"density": "position"}},
        {"evidence": {"density": "evil"}},
        {"evidence": {"more": "amount"}},
        {"pruned_digests": 3},
        {"pruned_digests": {"x": ["y"]}},
        {"id_column": 3},
        {"id_column": "x", "rows": 60, "origin": 5, "digests": {}},
    ],
)
def test_other_headers(record, changes):
    change_header(record, **changes)
    refused(record)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("kept", pa.array([2] * N)),
        ("kept", pa.array(["yes"] * N)),
        ("kept", pa.array([None] * N, pa.bool_())),
        ("kept", pa.array([True] * N)),
        ("kept", pa.array([True, None] * (N // 2))),
        ("rank", pa.array([0] * N)),
        ("rank", pa.array([-1] * N)),
        ("rank", pa.array([10**12] * N)),
        ("rank", pa.array(["0"] * N)),
        ("rank", pa.array([None] * N, pa.int64())),
        ("rank", pa.array([*range(18), *[None] * (N - 18)])),
        ("group", pa.array([3] * N)),
        ("group", pa.array([-2] * N)),
        ("group", pa.array([None] * N, pa.int64())),
        ("group", pa.array([0.5] * N)),
        ("score", pa.array(["high"] * N)),
        ("score", pa.array([[0.5]] * N)),
        ("id", pa.array([7] * N)),
        ("id", pa.array([None, *range(1, N)])),
        ("id", pa.array([[0]] * N)),
        ("evidence.suppressed_by", pa.array([N] * N)),
        ("evidence.suppressed_by", pa.array([-2] * N)),
        ("evidence.suppressed_by", pa.array([0.0] * N)),
        ("evidence.density", pa.array(["x"] * N)),
        ("evidence.density", pa.array([None] * N, pa.float32())),
    ],
)
def test_other_columns(record, name, values):
    change_column(record, name, values)
    refused(record)


def test_missing_columns(record):
    whole = pq.read_table(record / "selection.parquet")
    for name in ("kept", "score", "group", "id"):
        pq.write_table(whole.drop_columns(name), record / "selection.parquet")
        seal(record)
        refused(record)


def test_huge_counts_are_refused_before_they_are_read(record, monkeypatch):
    many = pa.table({"kept": pa.array(np.zeros(100_000, dtype=bool)), "score": pa.array(np.zeros(100_000))})
    pq.write_table(many, record / "selection.parquet")
    seal(record)
    monkeypatch.setattr(pq.ParquetFile, "read", lambda *args, **options: pytest.fail("it was read"))
    refused(record, "100000 rows in selection.parquet, 60 in selection.json")
    monkeypatch.setattr("hf_prune.selection.record.MOST_ROWS", 50_000)
    change_header(record, rows=100_000)
    refused(record, "50000 at most")
    assert MOST_ROWS > 10**9


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"origin": {"dataset": "x" * 200_000}}, "a text of 200,000 characters, wanted 100,000 at most"),
        ({"origin": {"derived": json.loads("[" * 40 + "]" * 40)}}, "nested deeper than 32 levels"),
        ({"group_names": ["x" * 90_000] * 3 + ["y"] * 1000}, "names of groups that fill 90,270,000 characters"),
    ],
)
def test_texts_and_nesting_have_bounds(record, changes, message):
    change_header(record, **changes)
    refused(record, message)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"format": "' + "x" * 2**25 + '"}', "more than 33,554,432 bytes of JSON"),
        ('{"format": [' + "[]," * 2_000_000 + "[]]}", "some 4,000,003 values in JSON, wanted 1,048,576 at most"),
    ],
    ids=["large", "many lists"],
)
def test_a_header_may_not_fill_much_memory(record, text, message):
    (record / "selection.json").write_text(text)
    refused(record, message)


def test_a_small_record_may_not_ask_for_much_memory(record):
    """Of 4 million rows that are all alike, which take some kB, and a column of long texts that isn't ours."""
    n = 4_000_000
    columns = {"kept": np.zeros(n, dtype=bool), "score": np.zeros(n), "rank": pa.nulls(n, pa.int64())}
    pq.write_table(pa.table(columns), record / "selection.parquet")
    seal(record, rows=n, kept=0, evidence={}, id_column=None)
    assert (record / "selection.parquet").stat().st_size < 100_000
    before = pa.total_allocated_bytes()
    refused(record, "bytes that would fill 96,000,032 in memory, wanted 67,108,864 at most")
    assert pa.total_allocated_bytes() - before < 2**20


def test_columns_that_are_not_ours_are_not_read(record):
    sound = hf_prune.Selection.load(record)
    table = pq.read_table(record / "selection.parquet")
    pq.write_table(table.append_column("more", pa.array(["x" * 2_000_000] * N)), record / "selection.parquet")
    seal(record)
    before = pa.default_memory_pool().max_memory()
    assert hf_prune.Selection.load(record).indices.tolist() == sound.indices.tolist()
    assert pa.default_memory_pool().max_memory() == before


def test_a_selection_that_could_not_be_loaded_is_not_saved(ds, tmp_path):
    selection = ds.prune("random", keep=3, by=["x" * 200_000, "y", "z"] * (N // 3)).selection
    with pytest.raises(hf_prune.ArgumentError, match="can't be saved: a text of 200,000 characters"):
        selection.save(tmp_path / "record")
    assert not (tmp_path / "record").exists()


def test_nothing_is_unpickled_or_executed(record, monkeypatch):

    for name in ("loads", "load", "Unpickler"):
        monkeypatch.setattr(pickle, name, lambda *args, **options: pytest.fail("unpickled"))
    table = pq.read_table(record / "selection.parquet")
    metadata = {b"pandas": b"cos\nsystem\n(S'touch pwned'\ntR.", b"huggingface": b"{"}
    pq.write_table(table.replace_schema_metadata(metadata), record / "selection.parquet")
    seal(record)
    assert len(hf_prune.Selection.load(record)) == 18
    header = json.loads((record / "selection.json").read_text())
    header["steps"][0]["method"] = {"method": "__import__('os').system('touch pwned')", "x": {"method": "os.system"}}
    seal(record, steps=header["steps"])
    assert "__import__" in hf_prune.Selection.load(record).summary()


def test_a_group_column_of_another_record_names_no_rows_that_are_not_there(record, ds):
    loaded = hf_prune.Selection.load(record)
    assert loaded.groups.codes.max() < 3
    with pytest.raises(hf_prune.AlignmentError, match="made for 60 rows"):
        loaded.apply(ds.select(range(18)))


@pytest.mark.parametrize(("explain", "most"), [(False, 7.0), (True, 13.0)])
def test_bytes_a_row(tmp_path, explain, most):
    n, rng = 40_000, np.random.default_rng(0)
    labels = rng.integers(0, 10, n)
    points = (rng.normal(size=(10, 8))[labels] + rng.normal(size=(n, 8))).astype(np.float32)
    pruned = Dataset.from_dict({"label": labels}).prune(
        "d2", keep=0.3, quotas="equal", scores=rng.gamma(2.0, size=n), embeddings=points
    )
    write_record(tmp_path / "record", pruned.selection, compact=True, explain=explain)
    size = (tmp_path / "record" / "selection.parquet").stat().st_size
    size += (tmp_path / "record" / "selection.json").stat().st_size / 25  # the header once in a million
    assert size / n < most
    assert size / n > 0.5 * most
