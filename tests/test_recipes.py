"""What the recipes share."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
from datasets import ClassLabel, Dataset, DatasetDict

import hf_prune
from hf_prune.recipes import fit, in_all_processes, read_data, three_parts

COLUMNS = {"body": "text", "kind": "label"}


@pytest.fixture
def rows():
    return [{"body": f"text {row}", "kind": "spam" if row % 4 else "ham", "more": row} for row in range(40)]


@pytest.mark.parametrize("how", ["saved dataset", "saved dict", "json", "csv", "parquet"])
def test_sources(rows, tmp_path, how):
    data, path = Dataset.from_list(rows), tmp_path / "data"
    if how == "saved dataset":
        data.save_to_disk(path)
    elif how == "saved dict":
        DatasetDict(train=data, test=data.select(range(8))).save_to_disk(path)
    elif how == "json":
        path = tmp_path / "data.jsonl"
        path.write_text("\n".join(map(json.dumps, rows)))
    else:
        path = tmp_path / f"data.{how}"
        getattr(data, f"to_{how}")(path)
    found = read_data(str(path), COLUMNS, "label")
    assert found["train"].column_names == ["text", "label"]
    assert found["train"].features["label"] == ClassLabel(names=["ham", "spam"])
    assert found["train"][1] == {"text": "text 1", "label": 1}
    assert set(found) == ({"train", "test"} if how == "saved dict" else {"train"})


def test_lines_of_text(tmp_path):
    (tmp_path / "data.txt").write_text("one\ntwo\n")
    assert read_data(str(tmp_path / "data.txt"), {"text": "text"})["train"]["text"][:] == ["one", "two"]


def test_a_missing_column_is_named(rows, tmp_path):
    Dataset.from_list(rows).save_to_disk(tmp_path / "data")
    message = r"no column \['boddy'\] in \['body', 'kind', 'more'\]: pass --text_column, --label_column"
    with pytest.raises(hf_prune.ArgumentError, match=message):
        read_data(str(tmp_path / "data"), {"boddy": "text", "kind": "label"}, "label")


def test_parts_have_the_same_shares_and_rows_again(rows):
    data = {"train": Dataset.from_list(rows).class_encode_column("kind")}
    parts, again = three_parts(data, "kind"), three_parts(data, "kind")
    assert {name: len(part) for name, part in parts.items()} == {"train": 20, "validation": 10, "test": 10}
    assert sorted(row for part in parts.values() for row in part["more"]) == list(range(40))
    assert sum(parts["train"]["kind"]) == 15
    assert all(parts[name]["more"][:] == again[name]["more"][:] for name in parts)
    given = three_parts({**data, "test": data["train"].select(range(5))}, "kind")
    assert {name: len(part) for name, part in given.items()} == {"train": 30, "validation": 10, "test": 5}


def test_every_size_trains_as_many_steps_from_the_same_weights(text_task, tmp_path):
    arguments = SimpleNamespace(output_dir=str(tmp_path), max_steps=5, batch_size=8, learning_rate=0.0)
    rows, collate = text_task.dataset.remove_columns("note"), text_task.trainer().data_collator
    weights = []
    for part in (rows, rows.select(range(10))):
        trainer = fit(text_task.new_model, part, collate, arguments, seed=3)
        assert trainer.state.global_step == 5
        weights.append(trainer.model.classifier.weight.detach().numpy())
    np.testing.assert_array_equal(*weights)


def test_dynamics_travel_as_a_file(text_task, tmp_path):
    recorder = hf_prune.PruningTrainerCallback()
    text_task.trainer(callbacks=[recorder]).train()
    file = in_all_processes(recorder, tmp_path / "run" / "dynamics.safetensors")
    assert len(text_task.dataset.prune("el2n", keep=5, dynamics=file)) == 5
