"""Recording with two processes that train together; see two_processes.py, which they run."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from two_processes import CLASSES, EPOCHS, SCENARIOS, N

from hf_prune import TrainingDynamics
from hf_prune.dynamics import SIGNALS

SCRIPT = Path(__file__).with_name("two_processes.py")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """What both processes wrote of all scenarios."""
    folder = tmp_path_factory.mktemp("processes")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(SCRIPT.parents[1])}
    done = subprocess.run(
        [*command, str(SCRIPT), str(folder)], env=environment, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_values_and_run_of_two_processes(folder, scenario):
    both = [np.load(folder / f"{scenario}.{rank}.npz") for rank in range(2)]
    dynamics = TrainingDynamics.load(folder / f"{scenario}.safetensors")
    for found in both:
        np.testing.assert_array_equal(found["weights"], found["plain_weights"])
    assert "the first process has them" in str(both[1]["refused"])
    logits = first_passes(both)
    expected = TrainingDynamics.from_logits(logits, both[0]["labels"])
    if scenario == "resumed":  # at step 8, within the second epoch
        whole = TrainingDynamics.load(folder / "checkpoints.safetensors")
        for signal in SIGNALS:
            np.testing.assert_array_equal(dynamics[signal], whole[signal])
        np.testing.assert_array_equal(dynamics.features["early"], whole.features["early"])
        return
    for signal in SIGNALS:
        np.testing.assert_allclose(dynamics[signal], expected[signal], rtol=1e-5, atol=2e-6)
    assert set(dynamics.features) == {"early", "last"}
    assert dynamics.epochs == EPOCHS
    if scenario != "last batch dropped":
        assert dynamics.coverage == 1
    else:
        assert np.isnan(dynamics["loss"]).sum(axis=1).tolist() == [N % 8] * EPOCHS


def first_passes(both):
    """(epochs, n, classes) logits of each row's first pass in each epoch, NaN where there was none."""
    logits = np.full((EPOCHS, N, CLASSES), np.nan, dtype=np.float32)
    for epoch in range(EPOCHS):
        seen = [found["epochs"] == epoch for found in both]
        rows = [found["rows"][mask] for found, mask in zip(both, seen, strict=True)]
        passes = [found["logits"][mask] for found, mask in zip(both, seen, strict=True)]
        place = np.concatenate([np.arange(len(of_rank)) for of_rank in rows])
        for at in np.argsort(place, kind="stable")[::-1]:
            logits[epoch, np.concatenate(rows)[at]] = np.concatenate(passes)[at]
    return logits
