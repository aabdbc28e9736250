"""What a pushed record holds, and records and dynamics that are pushed alone."""

import json
from io import BytesIO

import numpy as np
import pyarrow.parquet as pq
import pytest

import hf_prune
from tests.hub.coresets import ID, RECORD, N, loaded, pulled
from tests.hub_server import WRITER
from tests.selection.made import sealed


def test_the_record_says_what_was_done(hub, coreset):
    coreset.push_to_hub(ID, token=WRITER)
    header = json.loads(hub.files(ID)[f"{RECORD}/selection.json"])
    (step,) = header["steps"]
    assert step["method"]["within"]["method"] == "d2"
    assert (step["keep"], step["budget"], step["n"], step["seed"]) == (0.3, 18, 60, 0)
    assert set(step["versions"]) >= {"hf_prune", "numpy", "datasets"}
    assert set(header["digests"]) == set(header["pruned_digests"]) == {"text", "label", "uid"}
    table = pq.read_table(BytesIO(hub.files(ID)[f"{RECORD}/selection.parquet"]))
    assert table.column_names == ["row", "kept", "score", "rank", "group", "reason"]
    assert set(table.column("reason").to_pylist()) == {"kept", "not picked"}
    assert [str(table.schema.field(name).type) for name in ("score", "rank")] == ["float", "int32"]


def test_explained_records(hub, coreset):
    coreset.push_to_hub(ID, token=WRITER, explain=True)
    selection, row = pulled(), int(coreset.selection.order[0])
    here, there = coreset.selection.explain(row).splitlines(), selection.explain(row).splitlines()
    assert there[:3] == here[:3]
    assert there[3].startswith("  score ")
    assert f"add up to {coreset.selection.evidence['density'][row]:.3g}" in there[3]
    lean = pulled(hf_prune.push_to_hub(coreset, "me/lean", token=WRITER).repo_url.repo_id)
    assert "the last step's graph" not in lean.explain(row)


def test_selection_alone(hub, ds, coreset):
    coreset.selection.push_to_hub("me/x-selection", token=WRITER, private=True)
    assert hub.repos["me/x-selection"].private
    assert len(hub.titles("me/x-selection")) == 2
    selection = pulled("me/x-selection")
    assert selection.apply(ds)[:] == coreset[:]
    with pytest.raises(hf_prune.ArgumentError, match="without the pruned rows"):
        selection.verify(coreset)
    with pytest.raises(hf_prune.AlignmentError, match="made for 60 rows, the dataset has 59"):
        selection.apply(ds.select(range(59)))
    with pytest.raises(hf_prune.AlignmentError, match=r"\['text'\] hold other values"):
        selection.apply(ds.map(lambda row: {"text": row["text"] + "!"}))


def test_ids(hub, ds, coreset):
    coreset.push_to_hub(ID, token=WRITER, id_column="uid")
    table = pq.read_table(BytesIO(hub.files(ID)[f"{RECORD}/selection.parquet"]))
    assert table.column("id").to_pylist() == ds["uid"][:]
    selection, others = pulled(), ds.map(lambda row: {"text": "new", "label": 0})
    assert selection.apply(ds, id_column="uid")[:] == coreset[:]
    renamed = others.rename_columns({"uid": "number", "text": "t", "label": "l"})
    assert selection.apply(renamed, id_column="number")["number"][:] == coreset["uid"][:]
    with pytest.raises(
        hf_prune.AlignmentError, match=r"1 are missing here \(1000, ...\) and 1 are not on record \(5, "
    ):
        selection.apply(
            renamed.map(lambda row: {"number": 5 if row["number"] == 1000 else row["number"]}), id_column="number"
        )
    with pytest.raises(hf_prune.AlignmentError, match="in another order, first at row 0: 1001 here, 1000 on record"):
        selection.apply(ds.select([1, 0, *range(2, 60)]), id_column="uid")
    selection.push_to_hub("me/again", token=WRITER)  # the ids that it was read with
    assert pulled("me/again").apply(renamed, id_column="number")["number"][:] == coreset["uid"][:]
    with pytest.raises(hf_prune.ArgumentError, match="no source at hand, as after load or pickle"):
        selection.push_to_hub("me/again", token=WRITER, id_column="uid")
    with pytest.raises(hf_prune.ArgumentError, match="'label' has 0 nulls and 57 repeated ids"):
        selection.apply(ds, id_column="label")
    with pytest.raises(hf_prune.ArgumentError, match="no column 'id'"):
        coreset.selection.push_to_hub(ID, token=WRITER, id_column="id")
    coreset.selection.push_to_hub(ID, token=WRITER)
    with pytest.raises(hf_prune.ArgumentError, match="record holds no ids"):
        pulled().apply(ds, id_column="uid")


def test_dynamics(hub, ds):
    logits = np.random.default_rng(0).normal(size=(3, N, 3))
    dynamics = hf_prune.TrainingDynamics.from_logits(logits, ds["label"][:])
    dynamics.push_to_hub("me/runs", token=WRITER)
    again = hf_prune.TrainingDynamics.from_hub("me/runs", token=WRITER)
    np.testing.assert_array_equal(again["margin"], dynamics["margin"])
    assert ds.prune("el2n", keep=5, dynamics=again)[:] == ds.prune("el2n", keep=5, dynamics=dynamics)[:]
    with pytest.raises(hf_prune.ArgumentError, match=r"has no 'hf_prune/other/train/dynamics\.parquet'"):
        hf_prune.TrainingDynamics.from_hub("me/runs", config="other", token=WRITER)


def test_files_that_are_too_large_are_not_downloaded(hub, ds, coreset):
    coreset.push_to_hub(ID, token=WRITER)
    size = sum(len(hub.files(ID)[f"{RECORD}/selection.{kind}"]) for kind in ("json", "parquet"))
    with pytest.raises(hf_prune.ArgumentError, match=rf"have {size:,} bytes, wanted {size - 1:,} at most; .*pass max"):
        pulled(max_bytes=size - 1)
    assert len(pulled(max_bytes=size)) == len(coreset)
    hf_prune.TrainingDynamics.from_logits(np.zeros((1, N, 3)), ds["label"][:]).push_to_hub("me/runs", token=WRITER)
    with pytest.raises(hf_prune.ArgumentError, match=r"`max_bytes`: .*dynamics.parquet of 'me/runs' have"):
        hf_prune.TrainingDynamics.from_hub("me/runs", token=WRITER, max_bytes=100)


def test_the_source_on_the_hub_is_on_record(hub, ds):
    ds.push_to_hub("me/source", token=WRITER)
    source = loaded("me/source", split="train")
    source.prune("random", keep=5).push_to_hub(ID, token=WRITER)
    origin = json.loads(hub.files(ID)[f"{RECORD}/selection.json"])["origin"]
    assert (origin["repo"], origin["revision"]) == ("me/source", hub.repos["me/source"].branches["main"][-1].sha)
    assert (
        f'load_dataset("me/source", split="train", revision="{origin["revision"]}")'
        in hub.files(ID)["README.md"].decode()
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda header: header.pop("steps"), "'steps'"),
        (lambda header: header.update(kept=4), "18 kept rows in the table, 4 in the header"),
        (lambda header: header.update(rows=10**12), "60 rows in selection.parquet, 1000000000000 in"),
        (lambda header: header.update(format="pickle"), "not of the format"),
        (lambda header: header["steps"][0]["details"].update(by_group=3), "damaged"),
    ],
)
def test_hostile_records_are_refused(hub, coreset, change, message):
    coreset.push_to_hub(ID, token=WRITER)
    files = hub.files(ID)
    header = json.loads(files[f"{RECORD}/selection.json"])
    change(header)
    text = json.dumps(sealed(header)).encode()
    hub.commit(hub.repos[ID], "main", files | {f"{RECORD}/selection.json": text})
    with pytest.raises(hf_prune.ArgumentError, match=f"`repo_id`: the record in 'me/coreset' can't be.*{message}"):
        pulled()
