"""pandas frames in and out of prune, with their record."""

import pickle

import numpy as np
import pandas as pd
import pytest
from datasets import Dataset

import hf_prune


@pytest.fixture
def frame():
    labels = pd.Categorical(["cat", "dog"] * 15)
    columns = {"text": [f"row {i}" for i in range(30)], "label": labels, "score": np.arange(30.0)}
    return pd.DataFrame(columns, index=[f"id{i}" for i in range(30)])


def test_a_frame_in_a_frame_out(frame):
    coreset = hf_prune.prune(frame, "given_scores", keep=20, scores="score", quotas="equal")
    pd.testing.assert_frame_equal(coreset, frame.iloc[10:])
    assert coreset.index[0] == "id10"
    assert frame.attrs == {}
    selection = hf_prune.selection_of(coreset)
    assert [row["group"] for row in selection.group_table()] == ["cat", "dog"]
    as_dataset = Dataset.from_pandas(frame.astype({"label": str}), preserve_index=False)
    assert selection.apply(as_dataset)["text"][:] == coreset["text"].tolist()
    pd.testing.assert_frame_equal(selection.apply(frame), coreset)
    pd.testing.assert_frame_equal(selection.dropped(frame), frame.iloc[:10])
    with pytest.raises(hf_prune.AlignmentError, match="made for other data"):
        selection.apply(frame.iloc[::-1])


def test_the_record_goes_along_only_with_the_rows(frame, tmp_path):
    coreset = hf_prune.prune(frame, "random", keep=10)
    more = coreset.assign(length=1)
    assert hf_prune.selection_of(more) is hf_prune.selection_of(coreset)
    assert len(hf_prune.selection_of(pickle.loads(pickle.dumps(coreset)))) == 10
    for others in (coreset.iloc[:5], coreset.iloc[::-1], frame):
        with pytest.raises(AttributeError, match="this frame carries no selection"):
            hf_prune.selection_of(others)
    coreset.to_parquet(tmp_path / "coreset.parquet")  # which writes attrs as JSON
    assert len(pd.read_parquet(tmp_path / "coreset.parquet")) == 10


def test_chains_of_frames_index_the_first_source(frame):
    first = hf_prune.prune(frame, "given_scores", keep=20, scores="score")
    second = hf_prune.prune(first, "given_scores", keep=5, scores="score", prefer="easy")
    assert second.index.tolist() == [f"id{i}" for i in range(10, 15)]
    selection = hf_prune.selection_of(second)
    assert (selection.n, len(selection.steps), selection.indices[0]) == (30, 2, 10)


def test_frames_that_are_no_table():
    with pytest.raises(hf_prune.ArgumentError, match="`dataset`: this frame can't be read as a table: "):
        hf_prune.prune(pd.DataFrame({"x": [1, "a", None]}), "random", keep=1)
    with pytest.raises(hf_prune.ArgumentError, match="`split`: wanted none"):
        hf_prune.prune(pd.DataFrame({"x": [1, 2]}), "random", keep=1, split="train")
