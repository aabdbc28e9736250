"""Digests of rows: what they see, what they don't, and what they are compared for."""

import numpy as np
import pyarrow as pa
import pytest
from datasets import ClassLabel, Dataset, Features, Image, List, Value

import hf_prune
from hf_prune import TrainingDynamics
from hf_prune.dynamics.row_digests import column_row_digests, row_digests

COLUMNS = {
    "text": ["", "a", "ab", "b", "a b", None],
    "whole": [0, 1, -1, 2**40, 255, None],
    "fraction": [0.5, -0.5, 1e30, float("inf"), float("nan"), None],
    "flag": [True, False, None],
    "tokens": [[], [0], [0, 0], [1, 2], [2, 1], [1, 2, 3], None],
    "nested": [[[1], [2]], [[1, 2]], [[1, 2], []], [[], [1, 2]], [], None],
    "large": [[2**24], [2**24 + 1], [2**24 - 1], [-(2**24)], [1, 2**40], [1], [0], [None], [1, None], None],
    "deep": [
        [[[1, 2]], [[3]]],
        [[[1], [2]], [[3]]],
        [[[1], [2, 3]]],
        [[[1, 2]], [[2**24]]],
        [[[1, 2]], None],
        [[None]],
    ],
    "fractions": [[0.5, 1.0], [0.5, float("nan")], [0.5, 1e30], [0.5], [1.0, 0.5], [None, 0.5]],
    "flags": [[True, False], [False, True], [True], [None]],
    "texts": [["a", "b"], ["ab"], ["b", "a"], [], [""], None],
    "struct": [{"x": 1, "y": 2}, {"x": 2, "y": 1}, {"x": 1, "y": None}, None],
}


def digests(values, kind=None):
    return column_row_digests(Dataset(pa.table({"x": pa.array(values, kind)})), "x")


@pytest.mark.parametrize("values", COLUMNS.values(), ids=list(COLUMNS))
def test_every_other_value_has_another_digest(values):
    assert len(np.unique(digests(values))) == len(values)


@pytest.mark.parametrize("values", COLUMNS.values(), ids=list(COLUMNS))
def test_the_storage_is_no_matter(values):
    expected = digests(values)
    backwards = list(reversed(range(len(values))))
    rows = Dataset(pa.table({"x": pa.array(values)}))
    for other, wanted in (
        (Dataset(pa.table({"y": pa.chunked_array([[value] for value in values], pa.array(values).type)})), expected),
        (rows.select(backwards), expected[::-1]),
        (rows.select(backwards).flatten_indices(), expected[::-1]),
        (rows.with_format("numpy"), expected),
        (rows.with_transform(lambda batch: {"x": [0] * len(batch["x"])}), expected),
        (rows.select([0, *range(len(values))]).select(range(1, len(values) + 1)), expected),
    ):
        np.testing.assert_array_equal(column_row_digests(other, other.column_names[0]), wanted)


def test_the_width_of_numbers_and_the_layout_of_lists_are_no_matter():
    for kind in (pa.int8(), pa.uint64(), pa.float16(), pa.float32(), pa.float64()):
        np.testing.assert_array_equal(digests([0, 1, 7, None], kind), digests([0, 1, 7, None]))
    np.testing.assert_array_equal(digests([True, False]), digests([1, 0]))
    np.testing.assert_array_equal(digests([0.1, 1e-9], pa.float32()), digests([0.1, 1e-9]))
    np.testing.assert_array_equal(digests([-0.0]), digests([0.0]))
    for kind in (pa.large_list(pa.int8()), pa.list_(pa.float32(), 2)):
        np.testing.assert_array_equal(digests([[1, 2], [3, 4], None], kind), digests([[1, 2], [3, 4], None]))
    for kind in (pa.large_string(), pa.binary(), pa.string_view(), pa.dictionary(pa.int32(), pa.string())):
        np.testing.assert_array_equal(digests(["a", None, "b"], kind), digests(["a", None, "b"]))
    for kind in (pa.float32(), pa.float64(), pa.int32(), pa.large_list(pa.uint8())):
        nested = [[[1, 2], [3]], [[7], []], [], [[2, None]]]
        kind = kind if pa.types.is_large_list(kind) else pa.list_(kind)
        np.testing.assert_array_equal(digests(nested, pa.list_(kind)), digests(nested))
    np.testing.assert_array_equal(digests([[-0.0, 2**24 - 1]]), digests([[0, 2**24 - 1]]))
    fields = pa.struct([("y", pa.int8()), ("x", pa.int64())])
    np.testing.assert_array_equal(digests([{"x": 1, "y": 2}], fields), digests([{"x": 1, "y": 2}]))


def test_images_are_their_files(tmp_path):
    for name, content in (("one.png", b"one"), ("two.png", b"two")):
        (tmp_path / name).write_bytes(content)
    files = [str(tmp_path / name) for name in ("one.png", "two.png")]
    rows = Dataset.from_dict({"image": files}, features=Features({"image": Image(decode=False)}))
    before = column_row_digests(rows, "image")
    rows.save_to_disk(tmp_path / "saved")  # with the files inside
    np.testing.assert_array_equal(column_row_digests(Dataset.load_from_disk(str(tmp_path / "saved")), "image"), before)
    (tmp_path / "two.png").write_bytes(b"2")
    again = Dataset.from_dict({"image": files}, features=Features({"image": Image(decode=False)}))
    assert (column_row_digests(again, "image") == before).tolist() == [True, False]


def test_what_is_no_dataset_has_none():
    assert row_digests([{"x": 1}]) == {}
    assert row_digests(Dataset.from_dict({})) == {}
    assert column_row_digests(Dataset.from_dict({"x": []}), "x").tolist() == []


N = 12


def rows_of(task):
    """Rows of a task, of which several have the same label."""
    labels = {
        "regression": [0.5 * (row % 3) for row in range(N)],
        "multi-label": [[row % 2, 1, (row // 2) % 2] for row in range(N)],
        "token-classification": [[-100, row % 3, -100] for row in range(N)],
        "single-label": [row % 3 for row in range(N)],
    }
    columns = {"input_ids": [[row, 5, row % 2] for row in range(N)], "attention_mask": [[1, 1, 1]] * N}
    return Dataset.from_dict(columns | ({"labels": labels[task]} if task in labels else {}))


def run_of(dataset, task):
    labels = np.array(dataset["labels"]) if task == "single-label" else np.full(N, -1)
    losses = np.arange(2 * N, dtype=np.float32).reshape(2, N)
    return TrainingDynamics({"loss": losses, "el2n": losses}, labels, task=task, digests=row_digests(dataset))


TASKS = ["regression", "multi-label", "token-classification", "causal-lm", "single-label"]


@pytest.mark.parametrize("task", TASKS)
def test_rows_of_every_task_are_compared(task, tmp_path):
    """Saved in either way, pruned raw or as trained on; other rows and another order are refused."""
    ds = rows_of(task)
    run_of(ds, task).save(tmp_path / "run")
    TrainingDynamics.load(tmp_path / "run").to_parquet(tmp_path / "run.parquet")
    run = TrainingDynamics.from_parquet(tmp_path / "run.parquet")
    more = ds.remove_columns("attention_mask").add_column("text", [f"row {row}" for row in range(N)])
    for same in (ds, more):
        coreset = same.prune("el2n", keep=4, dynamics=run)
        assert coreset.selection.indices.tolist() == [8, 9, 10, 11]
        assert "notes" not in coreset.selection.details
    column = "labels" if "labels" in ds.column_names and task != "single-label" else "input_ids"
    swapped = ds.select([0, 1, 2, 4, 3, *range(5, N)])
    with pytest.raises(hf_prune.AlignmentError, match=r"`dynamics`: recorded for other data: .*first .*row 3"):
        swapped.prune("el2n", keep=4, dynamics=run)
    other = ds.map(lambda row, i: row | {column: ds[0][column] if i == 7 else row[column]}, with_indices=True)
    with pytest.raises(hf_prune.AlignmentError, match=rf"1 of 12 rows of column '{column}', first in row 7; compared"):
        other.prune("el2n", keep=4, dynamics=run)


def test_a_swap_within_a_class_is_seen():
    ds = rows_of("single-label")
    with pytest.raises(hf_prune.AlignmentError, match=r"2 of 12 rows of column 'input_ids', first in row 0; .*rename"):
        ds.select([3, 1, 2, 0, *range(4, N)]).prune("el2n", keep=4, dynamics=run_of(ds, "single-label"))


def test_labels_that_were_numbered_are_still_the_labels():
    ds, names = rows_of("single-label"), ["ant", "bee", "cat"]
    raw = ds.remove_columns("labels").add_column("labels", [names[label] for label in ds["labels"]])
    assert len(raw.prune("el2n", keep=4, dynamics=run_of(ds, "single-label"))) == 4
    trained = ds.cast_column("labels", ClassLabel(names=names)).cast_column("input_ids", List(Value("int8")))
    assert len(ds.prune("el2n", keep=4, dynamics=run_of(trained, "single-label"))) == 4


def test_labels_are_not_needed_where_another_column_is_there():
    ds = rows_of("single-label")
    run = run_of(ds, "single-label")
    assert len(ds.remove_columns("labels").prune("el2n", keep=4, dynamics=run)) == 4
    with pytest.raises(hf_prune.AlignmentError, match="can't check that they describe these rows without the labels"):
        Dataset.from_dict({"text": ["a"] * N}).prune("el2n", keep=4, dynamics=run)


def test_what_could_not_be_compared_is_on_record():
    raw = Dataset.from_dict({"text": [f"row {row}" for row in range(N)]})
    selection = raw.prune("el2n", keep=4, dynamics=run_of(rows_of("causal-lm"), "causal-lm")).selection
    (note,) = selection.details["notes"]
    assert "only their count could be compared" in note
    assert "has none of the columns ['attention_mask', 'input_ids']" in note
    assert note in selection.summary()
    of_torch = TrainingDynamics({"el2n": np.ones((1, N))}, np.full(N, -1), task="regression")
    assert "only their count" in raw.prune("el2n", keep=4, dynamics=of_torch).selection.details["notes"][0]
    with pytest.raises(hf_prune.AlignmentError, match="recorded for 12 rows, this dataset has 11"):
        raw.select(range(11)).prune("el2n", keep=4, dynamics=of_torch)


def test_a_chain_takes_the_digests_of_what_is_left():
    ds = rows_of("regression")
    first = ds.prune("random", keep=6)
    second = first.prune("el2n", keep=2, dynamics=run_of(ds, "regression"))
    assert second.selection.indices.tolist() == first.selection.indices[-2:].tolist()


def test_runs_on_other_rows_are_not_merged():
    ds = rows_of("regression")
    run, other = run_of(ds, "regression"), run_of(ds.select(range(N)[::-1]), "regression")
    assert TrainingDynamics.merge([run, run]).digests.keys() == run.digests.keys()
    with pytest.raises(hf_prune.AlignmentError, match="`runs`: recorded for other data: run 1 has other values in"):
        TrainingDynamics.merge([run, other])


def test_a_table_has_the_digests_too():
    run = run_of(rows_of("regression"), "regression")
    table = run.to_dataset()
    again = TrainingDynamics.from_dataset(table.shuffle(seed=0)).digests
    assert again.keys() == run.digests.keys() == {"input_ids", "attention_mask", "labels"}
    assert all((again[column] == run.digests[column]).all() for column in again)
    assert table.features["digest.labels"] == Value("uint64")
    other = table.remove_columns("digest.labels").add_column("digest.labels", [1] * N)
    with pytest.raises(hf_prune.ArgumentError, match=r"column 'digest.labels': wanted uint64, got int64"):
        TrainingDynamics.from_dataset(other)


def test_digests_of_another_shape_are_refused():
    with pytest.raises(hf_prune.ArgumentError, match=r"`digests`: wanted \(12,\) uint64 of 'x', got \(3,\) uint64"):
        TrainingDynamics({"loss": np.ones((1, N))}, np.full(N, -1), digests={"x": np.zeros(3, np.uint64)})


def test_what_a_trainer_run_records(text_task, tmp_path):
    """The columns that the model gets, whatever wraps the dataset; and a run that goes on notices other rows."""
    recorder, second = hf_prune.PruningTrainerCallback(), hf_prune.PruningTrainerCallback()
    options = {"output_dir": str(tmp_path), "num_train_epochs": 2, "save_strategy": "epoch"}
    text_task.trainer(callbacks=[recorder, second], **options).train()
    wanted = row_digests(text_task.dataset.remove_columns("note"))
    for digests in (recorder.dynamics.digests, second.dynamics.digests):
        assert digests.keys() == wanted.keys() == {"input_ids", "attention_mask", "label"}
        assert all((digests[column] == wanted[column]).all() for column in wanted)
    assert len(text_task.dataset.prune("el2n", keep=5, dynamics=recorder)) == 5
    labels = np.array(text_task.dataset["label"])
    one, other = np.flatnonzero(labels == labels[0])[:2]
    order = np.arange(len(labels))
    order[[one, other]] = other, one
    swapped = text_task.dataset.select(order)
    with pytest.raises(hf_prune.AlignmentError, match="2 of 37 rows of column 'input_ids', first in row 0"):
        swapped.prune("el2n", keep=5, dynamics=recorder)
    trainer = text_task.trainer(callbacks=[recorder], train_dataset=swapped, **options | {"num_train_epochs": 3})
    with pytest.raises(hf_prune.AlignmentError, match="`train_dataset`: recorded for other data: what goes on from"):
        trainer.train(resume_from_checkpoint=True)
