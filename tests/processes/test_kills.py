"""Kills at random moments and before every line that writes: what is there afterwards is whole, and nothing is lost.

`HF_PRUNE_KILLS=all python -m pytest -s tests/processes/test_kills.py` kills 200 times while selections are saved, 40
times each while rows are embedded, models trained and datasets pushed, and before every line.
"""

import itertools
import json
import os
import time

import numpy as np
import pytest
from datasets import Dataset, load_dataset

import hf_prune
from hf_prune import files, publish
from hf_prune.embeddings import cache as embedding_cache
from hf_prune.hub import commit
from hf_prune.selection import published, record
from tests.hub_server import WRITER
from tests.processes.kills import ALL, begun, ended, killed_at, killed_within, lines_of, seconds_of

pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="a process is killed in a copy of this one"),
]

SAVES, OTHERS, EVERY = (200, 40, 1) if ALL else (25, 4, 11)
"""Random kills, and of how many lines one is killed at."""


@pytest.fixture
def selections():
    """Two selections of one dataset by the number of rows that they keep."""
    ds = Dataset.from_dict({"x": range(500), "label": [row % 5 for row in range(500)]})
    return {keep: ds.prune("random", keep=keep, quotas="equal").selection for keep in (100, 200)}


def is_whole(path, selections):
    loaded = hf_prune.Selection.load(path)
    return loaded.indices.tolist() == selections[len(loaded)].indices.tolist()


def test_selections_that_are_saved(selections, tmp_path):
    path = tmp_path / "record"
    selections[100].save(path)

    def save():
        for keep in itertools.islice(itertools.cycle([200, 100]), 6):
            selections[keep].save(path)

    seconds, kills, found = seconds_of(save), 0, set()
    while kills < SAVES:
        kills += killed_within(seconds, save)
        assert is_whole(path, selections)
        found.add(len(hf_prune.Selection.load(path)))
    assert found == {100, 200}
    selections[100].save(path)
    assert os.listdir(tmp_path) == ["record"]
    print(f"save: {kills} random kills, 0 losses")


def test_selections_that_are_saved_at_every_line(selections, tmp_path):
    path, modules = tmp_path / "record", (files, record)
    lines = range(0, lines_of(lambda: selections[100].save(path), *modules), EVERY)
    for line in lines:
        killed_at(line, lambda: selections[200].save(path), *modules)
        assert is_whole(path, selections), line
        selections[100].save(path)
        assert os.listdir(tmp_path) == ["record"], line
    print(f"save: {len(lines)} kills before lines, 0 losses")


def spelled(texts):
    """An encoder that takes a while."""
    time.sleep(0.002)
    return [[len(text), *map(ord, text[:3])] for text in texts]


TEXTS = Dataset.from_dict({"text": [f"{row:03} of all" for row in range(200)]})


def embed(folder):
    return np.array(hf_prune.embed(TEXTS, spelled, cache_dir=folder, batch_size=2))


def test_rows_that_are_embedded(tmp_path):
    expected = embed(tmp_path / "whole")
    seconds, kills = seconds_of(lambda: embed(tmp_path / "timed")), 0
    for trial in itertools.count():
        folder = tmp_path / f"killed {trial}"
        kills += killed_within(seconds, lambda folder=folder: embed(folder))
        np.testing.assert_array_equal(embed(folder), expected)
        assert left_beside(folder) == left_beside(tmp_path / "whole")
        if kills == OTHERS:
            break
    print(f"embed: {kills} random kills, 0 losses")


def test_rows_that_are_embedded_at_every_line(tmp_path):
    expected, modules = embed(tmp_path / "whole"), (files, embedding_cache)
    lines = range(0, lines_of(lambda: embed(tmp_path / "counted"), *modules), EVERY)
    for line in lines:
        folder = tmp_path / f"killed {line}"
        killed_at(line, lambda folder=folder: embed(folder), *modules)
        np.testing.assert_array_equal(embed(folder), expected)
        assert left_beside(folder) == left_beside(tmp_path / "whole"), line
    print(f"embed: {len(lines)} kills before lines, 0 losses")


def test_rows_that_two_embed_at_once(tmp_path):
    expected = embed(tmp_path / "whole")
    for child in [begun(lambda: embed(tmp_path / "both")) for _ in range(2)]:
        assert ended(child) == 0
    np.testing.assert_array_equal(embed(tmp_path / "both"), expected)
    assert left_beside(tmp_path / "both") == left_beside(tmp_path / "whole")


def left_beside(folder):
    """The names of the files of a cache that has one embedding, less the marks, of a byte a shard."""
    (only,) = folder.iterdir()
    return sorted({*os.listdir(only)} - {embedding_cache.MARKS})


def test_runs_that_go_on(tmp_path):
    """What a run records that was killed, and went on from the newest checkpoint that is complete."""
    import torch

    from tests.processes.two_processes import a_dataset, train

    torch.set_num_threads(1)
    dataset, options = a_dataset(), {"save_strategy": "steps", "save_steps": 3}

    def run(folder):
        recorder = hf_prune.PruningTrainerCallback(features="head")
        train(dataset, folder, recorder, newest(folder), **options)
        recorder.dynamics.save(folder / "run.safetensors")

    seconds, kills, went_on = seconds_of(lambda: run(tmp_path / "whole")), 0, 0
    expected = hf_prune.TrainingDynamics.load(tmp_path / "whole" / "run.safetensors")
    for trial in itertools.count():
        folder = tmp_path / f"killed {trial}"
        kills += killed_within(seconds, lambda folder=folder: run(folder))
        went_on += newest(folder) is not None
        assert seconds_of(lambda folder=folder: run(folder)) > 0
        recorded = hf_prune.TrainingDynamics.load(folder / "run.safetensors")
        for signal in expected.signals:
            np.testing.assert_array_equal(recorded[signal], expected[signal])
        for moment in expected.features:
            np.testing.assert_array_equal(recorded.features[moment], expected.features[moment])
        assert not [*folder.glob("hf_prune*")]
        if kills == OTHERS:
            break
    assert went_on
    print(f"train: {kills} random kills, {went_on} times gone on from a checkpoint, 0 losses")


def newest(folder):
    """The newest checkpoint that the Trainer can go on from."""
    complete = {}
    for file in folder.glob("checkpoint-*/trainer_state.json"):
        try:
            complete[json.loads(file.read_text())["global_step"]] = str(file.parent)
        except json.JSONDecodeError:  # the Trainer was killed while it wrote it
            continue
    return complete[max(complete)] if complete else None


@pytest.fixture
def coresets(hub, monkeypatch, tmp_path):
    """Two coresets by their numbers of rows, of which the first is pushed, and a Hub that nobody remembers."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "datasets")
    ds = Dataset.from_dict({"x": range(60), "label": [row % 3 for row in range(60)]})
    coresets = {keep: ds.prune("random", keep=keep, quotas="equal") for keep in (15, 30)}
    push(coresets[15])
    return coresets


def push(coreset):
    return coreset.push_to_hub("me/coreset", token=WRITER)


def check_pushed(coresets, line=None):
    """What is on the Hub after a push of 30 rows over 15 was killed, and after it was done again."""
    selection = hf_prune.Selection.from_hub("me/coreset", token=WRITER)
    assert selection.indices.tolist() == coresets[len(selection)].selection.indices.tolist(), line
    rows = load_dataset("me/coreset", token=WRITER, split="train")["x"][:]
    assert rows == coresets[len(rows)]["x"][:], line
    assert (len(selection), len(rows)) in ((15, 15), (30, 15), (30, 30)), line
    push(coresets[30])
    again = load_dataset("me/coreset", token=WRITER, split="train")
    hf_prune.Selection.from_hub("me/coreset", token=WRITER).verify(again)
    assert len(again) == 30, line
    push(coresets[15])


def test_datasets_that_are_pushed(coresets):
    seconds, kills = seconds_of(lambda: push(coresets[30])), 0
    push(coresets[15])
    while kills < OTHERS:
        kills += killed_within(seconds, lambda: push(coresets[30]))
        check_pushed(coresets)
    print(f"push: {kills} random kills, 0 losses")


def test_datasets_that_are_pushed_at_every_line(coresets):
    modules = commit, publish, published
    lines = range(0, lines_of(lambda: push(coresets[15]), *modules), 2 * EVERY)
    for line in lines:
        killed_at(line, lambda: push(coresets[30]), *modules)
        check_pushed(coresets, line)
    print(f"push: {len(lines)} kills before lines, 0 losses")
