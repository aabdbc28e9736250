"""The files of a saved selection: which there are, and the ids in them."""

import pyarrow as pa
import pytest
from datasets import Dataset

import hf_prune
from hf_prune.selection.record import WRITERS


def test_a_further_file_is_one_entry(tmp_path, monkeypatch):
    selection = Dataset.from_dict({"x": range(9)}).prune("random", keep=3).selection
    monkeypatch.setitem(WRITERS, "more.txt", lambda path, header, table: path.write_text("more"))
    for _ in range(2):  # the second save recognises what the first wrote
        selection.save(tmp_path / "record")
        assert (tmp_path / "record" / "more.txt").read_text() == "more"
    monkeypatch.delitem(WRITERS, "more.txt")
    with pytest.raises(hf_prune.ArgumentError, match="exists and is no saved selection; name a new folder"):
        selection.save(tmp_path / "record")


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.string_view()])
def test_ids_are_text_of_any_kind(tmp_path, kind):
    names = [f"a name with more than twelve letters {row}" for row in range(9)]
    ds = Dataset(pa.table({"name": pa.array(names, kind), "x": range(9)}))
    coreset = ds.prune("random", keep=3)
    coreset.selection.save(tmp_path / "record", id_column="name")
    loaded = hf_prune.Selection.load(tmp_path / "record")
    again = loaded.apply(ds.remove_columns("x").rename_column("name", "n"), id_column="n")
    assert again["n"][:] == coreset["name"][:]
    with pytest.raises(hf_prune.AlignmentError, match="in another order, first at row 0"):
        loaded.apply(ds.select([1, 0, *range(2, 9)]), id_column="name")
    twice = Dataset(pa.table({"name": pa.array(["a", "a", None], kind)}))
    with pytest.raises(hf_prune.ArgumentError, match="'name' has 1 nulls and 1 repeated ids"):
        twice.prune("random", keep=1).selection.save(tmp_path / "other", id_column="name")
