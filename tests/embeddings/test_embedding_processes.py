"""Kills, and several processes: the cache holds what one run that nothing disturbs would have put there."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import hf_prune
from hf_prune.embeddings.compute import BATCHES_IN_SHARD
from hf_prune.embeddings.probes import PROBES
from tests.embeddings.embedding_process import BATCH, N, a_dataset

pytestmark = pytest.mark.process

SCRIPT = Path(__file__).with_name("embedding_process.py")


def run(bert, cache, kill_after=-1, processes=1):
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    command = [sys.executable, *(launch if processes > 1 else []), str(SCRIPT), bert, str(cache), str(kill_after)]
    environment = os.environ | {
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": str(SCRIPT.parents[2]),
        "ACCELERATE_USE_CPU": "1",
    }
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=200, check=False)


@pytest.fixture(scope="module")
def whole(bert, tmp_path_factory):
    """The vectors of one run that nothing disturbed."""
    return np.array(
        hf_prune.embed(
            a_dataset(), bert, cache_dir=tmp_path_factory.mktemp("whole"), batch_size=BATCH, precision="float32"
        )
    )


def test_a_killed_run_goes_on_and_repeats_at_most_one_shard(bert, whole, cache):
    after = int(np.random.default_rng().integers(1, N // BATCH))
    assert run(bert, cache, after).returncode == -signal.SIGKILL, f"after {after} batches"
    (folder,) = cache.iterdir()
    assert not (folder / "vectors.npy").exists()
    ended = run(bert, cache)
    assert ended.returncode == 0, ended.stderr[-3000:]
    computed = int(re.search(r"computed (\d+) of", ended.stdout)[1])
    assert computed <= N - (after - after % BATCHES_IN_SHARD) * BATCH + PROBES, f"after {after} batches"
    np.testing.assert_array_equal(np.load(folder / "vectors.npy"), whole)


def test_two_processes_make_the_file_of_one_and_an_error_of_one_ends_both(bert, whole, cache):
    ended = run(bert, cache, processes=2)
    assert ended.returncode == 0, ended.stderr[-3000:]
    assert re.findall(r"refused: .*row (\d+) has 22 tokens", ended.stdout) == ["0", "0"]
    assert ended.stdout.count("apart: `dataset`, `encoder`: not the same in all processes") == 2
    computed = sorted(int(rows) for rows in re.findall(r"computed (\d+) of", ended.stdout))
    assert sum(computed) == N + PROBES
    assert computed[0] >= BATCHES_IN_SHARD * BATCH
    (vectors,) = cache.glob("*/vectors.npy")
    np.testing.assert_array_equal(np.load(vectors), whole)
