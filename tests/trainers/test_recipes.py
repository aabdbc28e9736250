"""What the recipes share."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from datasets import ClassLabel, Dataset, DatasetDict, Features, Image, Value
from PIL.Image import fromarray

import hf_prune
from _recipes import fit, in_all_processes, read_data, run, three_parts, with_wrong_labels
from hf_prune.comparison.results import FULL
from tests import tiny_encoders

pytestmark = pytest.mark.integration

PROCESS = Path(__file__).with_name("recipe_process.py")
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
    parts = read_data(str(path), COLUMNS, "label")
    assert parts["train"].column_names == ["text", "label"]
    assert parts["train"].features["label"] == ClassLabel(names=["ham", "spam"])
    assert parts["train"][1] == {"text": "text 1", "label": 1}
    assert set(parts) == ({"train", "test"} if how == "saved dict" else {"train"})


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


def test_a_training_that_is_finished_is_not_done_again(tmp_path, monkeypatch):
    rows = Dataset.from_dict({"x": [[0.0, 1.0], [1.0, 0.0]] * 8, "label": [0, 1] * 8}).with_format("torch")
    steps = []

    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.body = torch.nn.Linear(2, 2)

        def forward(self, x, labels):
            steps.append(len(x))
            logits = self.body(x)
            return {"loss": torch.nn.functional.cross_entropy(logits, labels), "logits": logits}

    def collate(rows):
        return {"x": torch.stack([row["x"] for row in rows]), "labels": torch.stack([row["label"] for row in rows])}

    def weights(rows=rows, seed=0, callbacks=(), **changed):
        options = {"output_dir": str(tmp_path), "max_steps": 3, "batch_size": 8, "learning_rate": 0.1} | changed
        steps.clear()
        return fit(Net, rows, collate, SimpleNamespace(**options), seed, callbacks).model.body.weight.tolist()

    first = weights()
    assert len(steps) == 3
    assert weights() == first
    assert steps == []
    for other in ({"seed": 1}, {"learning_rate": 0.2}, {"rows": rows.select(range(8))}):
        weights(**other)
        assert len(steps) == 3
    weights(callbacks=[hf_prune.PruningTrainerCallback()])  # which has to see it
    assert len(steps) == 3


def test_ctrl_c_ends_in_one_line(monkeypatch):
    def stopped():
        raise KeyboardInterrupt

    set_to = []
    monkeypatch.setattr(torch, "set_num_threads", set_to.append)
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    with pytest.raises(SystemExit, match="Stopped; the same command goes on from here"):
        run(stopped)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    run(lambda: None)
    assert set_to == [4]


@pytest.mark.parametrize("share", [0.0, 0.05, 0.2, 1.0])
def test_exactly_so_many_labels_are_wrong_and_the_same_ones_again(share):
    """Of 250 rows in three classes; 0.05 of them are 12.5, which Python rounds to 12."""
    names, labels = ["cat", "dog", "owl"], np.arange(250) % 3
    features = Features({"row": Value("int64"), "label": ClassLabel(names=names)})
    rows = Dataset.from_dict({"row": range(250), "label": labels}, features=features).select(range(249, -1, -1))
    changed = with_wrong_labels(rows, share)
    assert changed.features == features
    assert changed["row"][:] == rows["row"][:]
    given, now = np.array(rows["label"]), np.array(changed["label"])
    assert np.count_nonzero(given != now) == round(share * 250) == {0.0: 0, 0.05: 12, 0.2: 50, 1.0: 250}[share]
    if share == 1:  # either other class, as often as a coin would have it: a chance of 1 in 10,000 to fail if it is
        assert abs(np.count_nonzero((now - given) % 3 == 1) - 125) < 31
    assert with_wrong_labels(rows, share)["label"][:] == changed["label"][:]


def test_labels_that_cant_be_wrong(rows):
    data = Dataset.from_list(rows).rename_column("kind", "label").class_encode_column("label")
    for share in (-0.1, 1.1, float("nan")):
        with pytest.raises(hf_prune.ArgumentError, match=f"wanted --wrong_labels from 0 to 1.* got {share}"):
            with_wrong_labels(data, share)
    alone = data.filter(lambda label: label == 1, input_columns="label").cast_column("label", Value("string"))
    with pytest.raises(hf_prune.ArgumentError, match=r"--wrong_labels needs a second class; there is only \['1'\]"):
        with_wrong_labels(alone.class_encode_column("label"), 0.2)


def test_every_size_trains_as_many_steps_from_the_same_weights(text_task, tmp_path):
    arguments = SimpleNamespace(output_dir=str(tmp_path), max_steps=5, batch_size=8, learning_rate=0.0)
    rows, collate = text_task.dataset.remove_columns("note"), text_task.trainer().data_collator
    weights = []
    for part in (rows, rows.select(range(10))):
        trainer = fit(text_task.new_model, part, collate, arguments, seed=3)
        assert trainer.state.global_step == 5
        weights.append(trainer.model.classifier.weight.detach().numpy())
    np.testing.assert_array_equal(*weights)


@pytest.mark.parametrize(("share", "steps"), [(0.3, 2), (0.75, 5), (0.05, 1)])
def test_fewer_steps(text_task, tmp_path, share, steps):
    """Shares of 7 steps, over which the learning rate falls to 0; at least one is taken."""
    arguments = SimpleNamespace(output_dir=str(tmp_path), max_steps=7, batch_size=8, learning_rate=0.1)
    rows, collate = text_task.dataset.remove_columns("note"), text_task.trainer().data_collator
    trainer = fit(text_task.new_model, rows, collate, arguments, seed=3, share=share)
    assert trainer.state.global_step == steps
    assert steps == 1 or set(trainer.lr_scheduler.get_last_lr()) == {0.0}  # one step is the warm-up


def test_dynamics_travel_as_a_file(text_task, tmp_path):
    recorder = hf_prune.PruningTrainerCallback()
    text_task.trainer(callbacks=[recorder]).train()
    file = in_all_processes(recorder, tmp_path / "run" / "dynamics.safetensors")
    assert len(text_task.dataset.prune("el2n", keep=5, dynamics=file)) == 5


@pytest.mark.process
def test_two_processes_prune_by_the_same_run(tmp_path):
    """Under torchrun, because `accelerate launch --cpu` starts a single process."""
    rng, kinds = np.random.default_rng(0), np.arange(96) % 2
    words = [rng.choice(tiny_encoders.WORDS[25 * kind : 25 * kind + 3], 5) for kind in kinds]
    rows = {"text": [" ".join(some) for some in words], "label": [("ham", "spam")[kind] for kind in kinds]}
    Dataset.from_dict(rows).to_csv(tmp_path / "data.csv")
    images = (rng.integers(0, 60, (96, 8, 8)) + 180 * kinds[:, None, None]).astype(np.uint8)
    features = Features({"image": Image(), "label": ClassLabel(names=["dark", "light"])})
    pictures = Dataset.from_dict({"image": list(map(fromarray, images)), "label": kinds}, features=features)
    pictures.save_to_disk(tmp_path / "pictures")
    encoder = tiny_encoders.bert(tmp_path / "encoder")
    runs = {
        "text_classification": ["data.csv", "--encoder", encoder, "--max_steps", "40", "--learning_rate", "0.01"],
        "language_modeling": ["data.csv", "--width", "16", "--layers", "1", "--max_steps", "12"],
        "image_classification": ["pictures", "--image_size", "8", "--max_steps", "12", "--embed"],
    }
    common = ["--label_column", "label", "--keep", "0.5", "--seeds", "1", "--batch_size", "8"]
    jobs = [
        json.dumps([name, ["--dataset", str(tmp_path / data), *more, *common, "--output_dir", str(tmp_path / name)]])
        for name, (data, *more) in runs.items()
    ]
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    root = PROCESS.parents[2]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": f"{root}{os.pathsep}{root / 'trainers'}"}
    log = tmp_path / "log"
    with log.open("w") as output:  # no pipe, which a worker that outlives its parent would hold open
        command = [*launch, str(PROCESS), str(tmp_path), *jobs]
        run = subprocess.Popen(command, env=environment, stdout=output, stderr=output, start_new_session=True)
        try:
            assert run.wait(timeout=150) == 0, log.read_text()[-3000:]
        except subprocess.TimeoutExpired:  # gloo may not end; what the recipes didn't write is missed below
            os.killpg(run.pid, signal.SIGKILL)
    first, second = (json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(2))
    assert first == second
    assert {run["processes"] for run in first.values()} == {2}
    assert first["text_classification"]["metrics"][f"{FULL}/1.0/accuracy"] > 0.9
    assert log.read_text().count("| method |") == len(runs)
    for name in runs:  # 48 rows; the first epoch was seen by both processes together
        dynamics = hf_prune.TrainingDynamics.load(tmp_path / name / "dynamics-0.safetensors")
        assert np.isfinite(dynamics["loss"][0]).sum() == 48
