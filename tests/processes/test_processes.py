"""Recording with two processes that train together; see two_processes.py, which they run."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from hf_prune import TrainingDynamics
from hf_prune.dynamics.formulas import SIGNALS
from tests.arguments import OF_5
from tests.processes.two_processes import CLASSES, EPOCHS, SCENARIOS, N

pytestmark = pytest.mark.process

SCRIPT = Path(__file__).with_name("two_processes.py")
KILLED = Path(__file__).with_name("killed_run.py")
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(SCRIPT.parents[2])}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """What both processes wrote of all scenarios."""
    folder = tmp_path_factory.mktemp("processes")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    log = folder / "log"
    with log.open("w") as output:  # no pipe, which a worker that outlives its parent would hold open
        run = subprocess.Popen([*command, str(SCRIPT), str(folder)], env=ENVIRONMENT, stdout=output, stderr=output)
        try:
            assert run.wait(timeout=300) == 0, log.read_text()[-3000:]
        except subprocess.TimeoutExpired:  # gloo may not end; what the processes didn't write is missed below
            run.kill()
    return folder


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_values_and_run_of_two_processes(folder, scenario):
    both = [np.load(folder / f"{scenario}.{rank}.npz") for rank in range(2)]
    dynamics = TrainingDynamics.load(folder / f"{scenario}.safetensors")
    for of_process in both:
        np.testing.assert_array_equal(of_process["weights"], of_process["plain_weights"])
    assert "the first process has them" in str(both[1]["refused"])
    logits = first_passes(both)
    expected = TrainingDynamics.from_logits(logits, both[0]["labels"])
    if scenario == "resumed":  # at step 8, within the second epoch
        whole = TrainingDynamics.load(folder / "checkpoints.safetensors")
        for signal in SIGNALS:
            np.testing.assert_array_equal(dynamics[signal], whole[signal])
        np.testing.assert_array_equal(dynamics.features["early"], whole.features["early"])
        return
    if scenario == "clean_eval":  # no training pass is recorded; tests/test_clean_eval.py has the values
        assert dynamics.coverage == 1
        assert not np.isnan(dynamics.features["last"]).any()
        assert np.nanmin(np.abs(dynamics["margin"] - expected["margin"])) > 0
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
        seen = [of_process["epochs"] == epoch for of_process in both]
        rows = [of_process["rows"][mask] for of_process, mask in zip(both, seen, strict=True)]
        passes = [of_process["logits"][mask] for of_process, mask in zip(both, seen, strict=True)]
        place = np.concatenate([np.arange(len(of_rank)) for of_rank in rows])
        for at in np.argsort(place, kind="stable")[::-1]:
            logits[epoch, np.concatenate(rows)[at]] = np.concatenate(passes)[at]
    return logits


@pytest.mark.skipif(not OF_5, reason="the Trainer goes on within an epoch with other rows, recorded or not")
def test_a_killed_run_loses_no_epoch_that_a_checkpoint_has(tmp_path):
    """Killed at step 14, in the second epoch and after the checkpoint of step 12, it goes on as if it hadn't been."""

    def run(folder, step):
        command = [sys.executable, str(KILLED), str(tmp_path / folder), str(step)]
        return subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, timeout=300, check=False)

    assert run("killed", 14).returncode == -signal.SIGKILL
    saved = TrainingDynamics.load(tmp_path / "killed/checkpoint-12/hf_prune_dynamics.safetensors")
    for folder in ("killed", "whole"):
        ended = run(folder, 0)
        assert ended.returncode == 0, ended.stderr[-3000:]
    whole, killed = (TrainingDynamics.load(tmp_path / folder / "run.safetensors") for folder in ("whole", "killed"))
    for signal_name in SIGNALS:
        np.testing.assert_array_equal(saved[signal_name][:1], whole[signal_name][:1])
        np.testing.assert_array_equal(killed[signal_name], whole[signal_name])
    np.testing.assert_array_equal(killed.features["early"], whole.features["early"])
