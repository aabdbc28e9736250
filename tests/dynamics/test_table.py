import os
import pickle

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import ClassLabel, Dataset, DatasetDict, Features, List, Value, concatenate_datasets
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from hf_prune import ArgumentError, ArgumentTypeError, TrainingDynamics
from hf_prune.dynamics import storage
from hf_prune.dynamics.formulas import SIGNALS
from tests.dynamics.runs import NAN, Trap, assert_same


@pytest.fixture
def run():
    """2 epochs of 3 rows with features; row 1 is unseen in epoch 0, row 2 in both."""
    logits = np.array([[[2.0, 0.0], [NAN, NAN], [NAN, NAN]], [[0.0, 1.0], [3.0, 0.0], [NAN, NAN]]])
    run = TrainingDynamics.from_logits(logits, [0, 1, 0])
    run.labels[2] = -1
    run.features = {"early": np.float32([[1, 2], [3, 4], [NAN, NAN]]), "last": np.float32([[5], [6], [NAN]])}
    return run


def test_a_row_for_each_example(run):
    dataset = run.to_dataset()
    lists = {name: List(Value("float32"), length=2) for name in (*SIGNALS, "features.early")}
    wanted = {"row": Value("int64"), "label": Value("int64"), **lists}
    assert dataset.features == wanted | {"features.last": List(Value("float32"), length=1)}
    np.testing.assert_array_equal(dataset["margin"][:], [[2, -1], [NAN, -3], [NAN, NAN]])
    assert dataset.remove_columns([*SIGNALS])[1] == {
        "row": 1,
        "label": 1,
        "features.early": [3, 4],
        "features.last": [6],
    }


def test_the_table_is_a_copy(run):
    dataset = run.to_dataset()
    run.features["early"][0], run.labels[0], run["margin"][:] = 9, 1, 9
    assert (dataset[0]["features.early"], dataset[0]["label"], dataset[0]["margin"]) == ([1, 2], 0, [2, -1])
    one = TrainingDynamics.from_logits([[[2.0, 0.0]]], [0])  # one row of one epoch lies in the order of the table
    dataset = one.to_dataset()
    one["margin"][:] = 9
    assert dataset[0]["margin"] == [2]


def test_dynamics_from_a_table_can_be_written_to(run):
    dataset = run.to_dataset()
    restored = TrainingDynamics.from_dataset(dataset)
    restored["margin"][:], restored.labels[:], restored.features["early"][:] = 0, 0, 0
    assert_same(TrainingDynamics.from_dataset(dataset), run)


@st.composite
def dynamics(draw):
    """Any bits at all as floats, one of few labels as the label."""
    epochs, n = draw(st.integers(1, 4)), draw(st.integers(0, 6))
    floats = st.integers(0, 2**32 - 1)
    signals = draw(arrays.arrays(np.uint32, (len(SIGNALS), epochs, n), elements=floats)).view(np.float32)
    labels = draw(arrays.arrays(np.int64, n, elements=st.integers(-1, 2**63 - 1)))
    moments = draw(st.lists(st.sampled_from(["early", "last", "early.x", ""]), unique=True))
    features = {
        moment: draw(arrays.arrays(np.uint32, (n, draw(st.integers(1, 3))), elements=floats)).view(np.float32)
        for moment in moments
    }
    return TrainingDynamics(dict(zip(SIGNALS, signals, strict=True)), labels, features)


@given(
    run=dynamics(), seed=st.integers(0, 100), ways=st.lists(st.sampled_from(["shuffle", "select", "join"]), max_size=3)
)
@settings(max_examples=60, deadline=None)
def test_round_trip_in_any_order(run, seed, ways):
    dataset = run.to_dataset()
    for way in ways:
        if way == "shuffle":
            dataset = dataset.shuffle(seed=seed, keep_in_memory=True)
        elif way == "select":  # part of a longer table
            dataset = two_of(dataset).select(range(len(dataset)))
        else:
            dataset = two_of(dataset).select(np.random.default_rng(seed).permutation(len(dataset)) + len(dataset))
    assert_same(TrainingDynamics.from_dataset(dataset), run)


def write_sealed(table, path):
    """Write a table as somebody would who knows the format: with the digests of what is in it."""
    digests = storage.digests_of(storage.from_dataset(Dataset(table)))
    pq.write_table(table.replace_schema_metadata((table.schema.metadata or {}) | {"hf_prune.digests": digests}), path)


def two_of(dataset):
    return concatenate_datasets([dataset, dataset])


@given(run=dynamics())
@settings(max_examples=40, deadline=None)
def test_round_trip_through_parquet(run, tmp_path_factory):
    path = tmp_path_factory.mktemp("run") / "new" / "run.parquet"
    run.to_parquet(path)
    assert_same(TrainingDynamics.from_parquet(str(path)), run)
    assert os.listdir(path.parent) == ["run.parquet"]


@pytest.mark.parametrize("kind", ["numpy", "arrow", "pandas", "torch"])
def test_the_format_of_the_dataset_is_no_matter(run, kind):
    assert_same(TrainingDynamics.from_dataset(run.to_dataset().with_format(kind)), run)
    shown = run.to_dataset().with_transform(lambda batch: {"margin": batch["margin"]})
    assert_same(TrainingDynamics.from_dataset(shown), run)


def test_columns_that_were_added_are_ignored(run):
    dataset = run.to_dataset().add_column("text", ["a", "b", "c"]).add_column("margins", [1, 2, 3])
    assert_same(TrainingDynamics.from_dataset(dataset), run)


def test_labels_may_have_names(run):
    dataset = run.to_dataset().cast_column("label", ClassLabel(names=["cat", "dog"]))
    assert_same(TrainingDynamics.from_dataset(dataset), run)


def test_what_datasets_reads_of_the_parquet_file(run, tmp_path):
    run.to_parquet(tmp_path / "run.parquet")
    dataset = Dataset.from_parquet(str(tmp_path / "run.parquet"), cache_dir=str(tmp_path / "cache"))
    assert dataset.features == run.to_dataset().features
    assert_same(TrainingDynamics.from_dataset(dataset), run)


@pytest.mark.parametrize(
    ("rows", "match"),
    [
        ([0, 1, 1], "1 repeated, the first is 1; 1 missing, the first is 2"),
        ([2, 2, 2], "1 repeated, the first is 2; 2 missing, the first is 0"),
        ([0, 1, 3], "1 out of range, the first is 3; 1 missing, the first is 2"),
        ([-1, 1, 2**62], "2 out of range, the first is -1; 2 missing, the first is 0"),
    ],
)
def test_rows_that_are_no_positions(run, rows, match, tmp_path):
    dataset = run.to_dataset().remove_columns("row").add_column("row", rows)
    wanted = f"column 'row': wanted each position from 0 to 2 once for 3 rows, in any order; {match}"
    with pytest.raises(ArgumentError, match=f"`dataset`: {wanted}$"):
        TrainingDynamics.from_dataset(dataset)
    path = tmp_path / "run.parquet"
    dataset.to_parquet(path)
    with pytest.raises(ArgumentError, match=f"`path`: '{path}': {wanted}$"):
        TrainingDynamics.from_parquet(path)


@pytest.mark.parametrize(
    ("select", "match"),
    [
        (lambda dataset: dataset.select([0, 2]), "1 out of range, the first is 2; 1 missing, the first is 1"),
        (lambda dataset: dataset.select([0, 1, 1]), "1 repeated, the first is 1; 1 missing, the first is 2"),
        (lambda dataset: two_of(dataset), "3 repeated, the first is 0; 3 missing, the first is 3"),
    ],
)
def test_some_rows_of_a_run(run, select, match):
    with pytest.raises(ArgumentError, match=match):
        TrainingDynamics.from_dataset(select(run.to_dataset()))


def with_column(dataset, name, array):
    """`dataset` with another column in place of the one of that name."""
    table = dataset.data.table
    return Dataset(table.set_column(table.column_names.index(name), name, array).replace_schema_metadata(None))


def fixed_lists(values, size, kind=None):
    return pa.FixedSizeListArray.from_arrays(pa.array(values, type=kind), size)


@pytest.mark.parametrize(
    ("name", "array", "match"),
    [
        ("row", pa.array([0, 1, 2], pa.int32()), "wanted int64, got int32"),
        ("row", pa.array([0.0, 1.0, 2.0]), "wanted int64, got double"),
        ("row", pa.array(["0", "1", "2"]), "wanted int64, got string"),
        ("row", pa.array([0, None, 2]), "holds 1 nulls"),
        ("label", pa.array([0, 1, 2], pa.uint64()), "wanted int64, got uint64"),
        ("label", pa.array([True, False, True]), "wanted int64, got bool"),
        ("label", pa.array([0, None, None]), "holds 2 nulls"),
        ("label", pa.array([0, 0, -2]), "wanted classes from 0, and -1 where a row was never seen; row 2 has -2"),
        ("margin", pa.array([0.0, 1.0, 2.0], pa.float32()), "wanted float32 lists of one fixed length, got float"),
        ("margin", pa.array([[1.0], [], [2.0]], pa.list_(pa.float32())), "wanted float32 lists of one fixed length"),
        ("margin", fixed_lists([0.0] * 6, 2), r"got fixed_size_list<\w+: double>\[2\]"),
        ("margin", fixed_lists([0] * 6, 2), r"got fixed_size_list<\w+: int64>\[2\]"),
        ("el2n", fixed_lists([0.0] * 9, 3, pa.float32()), "wanted 2 epochs as in 'loss', got 3"),
        ("margin", fixed_lists([0.0, None] * 3, 2, pa.float32()), "holds 3 nulls; unseen is NaN, not null"),
        ("margin", pa.array([[0, 1], None, [0, 1]], pa.list_(pa.float32(), 2)), "holds 1 nulls; unseen is NaN"),
        ("features.early", pa.array(["a", "b", "c"]), "wanted float32 lists of one fixed length, got string"),
        ("features.last", fixed_lists([0.0, None, 1.0], 1, pa.float32()), "holds 1 nulls"),
    ],
)
def test_columns_of_other_types(run, name, array, match, tmp_path):
    dataset = with_column(run.to_dataset(), name, array)
    with pytest.raises(ArgumentError, match=f"`dataset`: column '{name}'.*{match}"):
        TrainingDynamics.from_dataset(dataset)
    with pytest.raises(ArgumentError, match=f"`dataset`: column '{name}'.*{match}"):
        TrainingDynamics.from_dataset(two_of(dataset).select([2, 1, 0]))
    path = tmp_path / "run.parquet"
    try:
        pq.write_table(dataset.data.table, path)
    except pa.ArrowNotImplementedError as error:
        pytest.skip(f"pyarrow writes no such file: {error}")
    with pytest.raises(ArgumentError, match=f"`path`: '{path}': column '{name}'.*{match}"):
        TrainingDynamics.from_parquet(path)


@pytest.mark.parametrize("name", ["row", "label"])
def test_a_column_that_is_missing(run, name):
    with pytest.raises(ArgumentError, match=f"`dataset`: no column '{name}'; wanted a table that TrainingDynamics"):
        TrainingDynamics.from_dataset(run.to_dataset().remove_columns(name))
    with pytest.raises(ArgumentError, match=f"Did you mean '{name}_'"):
        TrainingDynamics.from_dataset(run.to_dataset().rename_column(name, f"{name}_"))


@pytest.mark.parametrize("name", SIGNALS)
def test_a_signal_that_a_table_lacks_is_an_error_once_it_is_asked_for(run, name, tmp_path):
    table = run.to_dataset().remove_columns(name)
    write_sealed(table.data.table, tmp_path / "run")
    for older in (TrainingDynamics.from_dataset(table), TrainingDynamics.from_parquet(tmp_path / "run")):
        assert older.signals == tuple(signal for signal in SIGNALS if signal != name)
        with pytest.raises(ArgumentError, match=f"this single-label run holds no '{name}', it holds "):
            older.mean(name)
    with pytest.raises(ArgumentError, match="`dataset`: no column 'loss'; wanted a table that TrainingDynamics"):
        TrainingDynamics.from_dataset(run.to_dataset().remove_columns([*SIGNALS]))


def test_other_datasets():
    reviews = Dataset.from_dict({"text": ["good", "bad"], "label": [1, 0]})
    with pytest.raises(ArgumentError, match=r"`dataset`: no column 'row'; .* Columns: \['text', 'label'\]"):
        TrainingDynamics.from_dataset(reviews)
    with pytest.raises(ArgumentError, match="no column 'row'"):
        TrainingDynamics.from_dataset(Dataset.from_dict({}))


def test_what_is_no_dataset(run):
    dataset = run.to_dataset()
    for other in (dataset.to_iterable_dataset(), dataset.data.table, dataset[:], None, "run.parquet", run):
        with pytest.raises(ArgumentTypeError, match=r"`dataset`: wanted the datasets.Dataset that .*, got \w+$"):
            TrainingDynamics.from_dataset(other)
    with pytest.raises(
        ArgumentTypeError, match=r"got DatasetDict, of which one split is wanted, as in from_dataset\("
    ):
        TrainingDynamics.from_dataset(DatasetDict(train=dataset))


def test_nothing_to_write():
    no_epoch = TrainingDynamics({"loss": np.zeros((0, 3), dtype=np.float32)}, np.zeros(3, dtype=np.int64))
    with pytest.raises(ArgumentError, match=r"`dynamics`: there is nothing of 'loss' to write, its shape is \(3, 0\)"):
        no_epoch.to_dataset()
    one = TrainingDynamics.from_logits([[[2.0, 0.0]]], [0])
    one.features = {"last": np.zeros((1, 0), dtype=np.float32)}
    with pytest.raises(ArgumentError, match=r"there is nothing of 'features.last' to write, its shape is \(1, 0\)"):
        one.to_dataset()


def test_parquet_replaces_an_older_file(run, tmp_path):
    TrainingDynamics.from_logits([[[2.0, 0.0]]], [0]).to_parquet(tmp_path / "run")
    run.to_parquet(tmp_path / "run")
    assert_same(TrainingDynamics.from_parquet(tmp_path / "run"), run)


def test_interrupted_parquet_leaves_the_older_file(run, tmp_path, monkeypatch):
    older = TrainingDynamics.from_logits([[[2.0, 0.0]]], [0])
    older.to_parquet(tmp_path / "run")

    def disk_full(table, path, **options):
        path.write_bytes(b"half")
        raise OSError("no space left")

    monkeypatch.setattr(pq, "write_table", disk_full)
    with pytest.raises(OSError, match="no space left"):
        run.to_parquet(tmp_path / "run")
    assert os.listdir(tmp_path) == ["run"]
    assert_same(TrainingDynamics.from_parquet(tmp_path / "run"), older)


def test_parquet_at_a_folder(run, tmp_path):
    with pytest.raises(
        ArgumentError, match=rf"`path`: wanted a file such as {tmp_path}/dynamics.parquet, got a folder"
    ):
        run.to_parquet(tmp_path)
    for path in (tmp_path, tmp_path / "missing"):
        with pytest.raises(ArgumentError, match=rf"`path`: '{path}' is no file; wanted one that .*to_parquet wrote"):
            TrainingDynamics.from_parquet(path)


@pytest.mark.parametrize(
    "content",
    [
        lambda whole, trap: whole[:-10],
        lambda whole, trap: whole[: len(whole) // 2],
        lambda whole, trap: whole[:4] + whole[-8:],
        lambda whole, trap: b"",
        lambda whole, trap: b"text " * 100,
        lambda whole, trap: pickle.dumps(trap),
        lambda whole, trap: whole[: len(whole) // 3] + whole[-(len(whole) // 3) :],
    ],
    ids=["tail cut", "half", "footer only", "empty", "text", "pickle", "middle lost"],
)
def test_parquet_that_is_damaged_or_something_else(run, content, tmp_path):
    path = tmp_path / "run"
    run.to_parquet(path)
    path.write_bytes(content(path.read_bytes(), Trap(str(tmp_path / "sprung"))))
    with pytest.raises(ArgumentError, match=rf"`path`: '{path}' is damaged or no Parquet file"):
        TrainingDynamics.from_parquet(path)
    assert os.listdir(tmp_path) == ["run"]


def test_a_table_without_digests_or_with_others_is_refused(run, tmp_path):
    path = tmp_path / "run"
    run.to_parquet(path)
    table = pq.read_table(path)
    pq.write_table(table.set_column(1, "label", pa.array([1, 1, 1])), path)
    with pytest.raises(ArgumentError, match=rf"`path`: '{path}' is damaged: its values aren't those that were"):
        TrainingDynamics.from_parquet(path)
    pq.write_table(table.replace_schema_metadata(None), path)
    with pytest.raises(ArgumentError, match="is damaged"):
        TrainingDynamics.from_parquet(path)


def test_a_small_file_may_not_ask_for_much_memory(tmp_path):
    """Of 4 million rows that are all alike, which take a few kB."""
    n = 4_000_000
    whole = pa.array(np.zeros(n, np.int64))
    lists = pa.FixedSizeListArray.from_arrays(pa.array(np.zeros(n, np.float32)), 1)
    pq.write_table(pa.table({"row": whole, "label": whole, "loss": lists}), tmp_path / "run")
    before = pa.total_allocated_bytes()
    with pytest.raises(ArgumentError, match=r"bytes that would fill 96,000,096 in memory, wanted"):
        TrainingDynamics.from_parquet(tmp_path / "run")
    assert pa.total_allocated_bytes() - before < 2**20


def test_rows_that_are_all_alike_are_read_again(tmp_path, monkeypatch):
    monkeypatch.setattr("hf_prune.hub.parquet.FREE_BYTES", 2**10)
    run = TrainingDynamics.from_logits(np.zeros((3, 20_000, 2)), np.zeros(20_000, int))
    run.to_parquet(tmp_path / "run")
    assert_same(TrainingDynamics.from_parquet(tmp_path / "run"), run)


@given(place=st.floats(0, 1, exclude_max=True), byte=st.integers(0, 255))
@settings(max_examples=150, deadline=None)
def test_a_changed_byte_is_an_error_of_ours_or_of_no_matter(place, byte, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / "changed.parquet"
    run = TrainingDynamics.from_logits([[[2.0, 0.0], [0.0, 1.0]]], [0, 1])
    run.to_parquet(path)
    content = bytearray(path.read_bytes())
    content[int(place * len(content))] = byte
    path.write_bytes(content)
    try:
        assert_same(TrainingDynamics.from_parquet(path), run)
    except ArgumentError as error:
        assert str(path) in str(error)  # noqa: PT017


def test_parquet_with_two_columns_of_one_name(run, tmp_path):
    table = run.to_dataset().data.table.replace_schema_metadata(None)
    pq.write_table(table.append_column("margin", table.column("margin")), tmp_path / "run")
    with pytest.raises(ArgumentError, match=r"`path`: .*: 2 columns 'margin'; wanted a table that"):
        TrainingDynamics.from_parquet(tmp_path / "run")


def test_metadata_of_the_file_are_not_believed(run, tmp_path):
    table = run.to_dataset().data.table
    for text in (b"no JSON", b'{"info": {"features": {"row": {"_type": "Custom"}}}}', b"[" * 100_000):
        write_sealed(table.replace_schema_metadata(None), tmp_path / "run")
        digests = pq.read_schema(tmp_path / "run").metadata
        pq.write_table(table.replace_schema_metadata(digests | {"huggingface": text}), tmp_path / "run")
        assert_same(TrainingDynamics.from_parquet(tmp_path / "run"), run)


def test_other_columns_of_the_file_are_not_read(run, tmp_path, monkeypatch):
    table = run.to_dataset().data.table.append_column("features", pa.array([{"x": 1}] * 3))
    write_sealed(table.replace_schema_metadata(None), tmp_path / "run")
    read, columns = pq.ParquetFile.read, []
    monkeypatch.setattr(pq.ParquetFile, "read", lambda file, columns: remember(read(file, columns=columns)))

    def remember(part):
        columns.extend(part.column_names)
        return part

    assert_same(TrainingDynamics.from_parquet(tmp_path / "run"), run)
    assert sorted(columns) == sorted(["row", "label", *SIGNALS, "features.early", "features.last"])


def test_a_dataset_of_features_that_only_look_like_ours():
    """What `datasets` would write for arrays of one epoch: lists without a fixed length."""
    columns = {name: [[1.0], [2.0]] for name in SIGNALS}
    features = Features(
        dict.fromkeys(SIGNALS, List(Value("float32"))) | {"row": Value("int64"), "label": Value("int64")}
    )
    dataset = Dataset.from_dict({"row": [0, 1], "label": [0, 1]} | columns, features=features)
    with pytest.raises(ArgumentError, match=r"column 'loss': wanted float32 lists of one fixed length, got list<item"):
        TrainingDynamics.from_dataset(dataset)
