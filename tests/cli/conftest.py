"""A folder with what a user of the command line has, and the program in this process."""

import numpy as np
import pytest
from typer.testing import CliRunner

import hf_prune
from hf_prune.cli.app import app

N = 60


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """The working directory: texts with string labels in CSV, a run on them, and a vector for each."""
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / ".cache")
    (folder := tmp_path / "work").mkdir()
    monkeypatch.chdir(folder)
    rng = np.random.default_rng(0)
    labels = rng.permutation(N) % 2
    lines = [f"word{row % 50} word{7 * row % 50},{['bad', 'good'][label]}" for row, label in enumerate(labels)]
    (folder / "reviews.csv").write_text("\n".join(["text,label", *lines]) + "\n")
    run = hf_prune.TrainingDynamics.from_logits(rng.normal(size=(3, N, 2)), labels)
    run.save(folder / "run.safetensors")
    np.save(folder / "vectors.npy", rng.normal(size=(N, 4)).astype(np.float32))
    return folder


@pytest.fixture
def run():
    """Run `hf-prune` with these arguments; gives its exit code, stdout and stderr."""

    def run(*arguments, code=0):
        result = CliRunner().invoke(app, list(map(str, arguments)), prog_name="hf-prune")
        assert result.exit_code == code, (result.output, result.exception)
        return result

    return run
