"""Run by test_embedding_processes.py in processes of its own: `embedding_process.py CHECKPOINT CACHE KILL_AFTER`.

Embeds the rows of `a_dataset` and says how many were computed; with KILL_AFTER it is killed after so many batches.
"""

import os
import signal
import sys

import numpy as np
import torch
from datasets import Dataset, disable_progress_bars

import hf_prune
from hf_prune.embeddings.transformers import Texts
from tests.tiny_encoders import WORDS

N, BATCH = 203, 4


def a_dataset():
    rng = np.random.default_rng(0)
    return Dataset.from_dict({"text": [" ".join(rng.choice(WORDS, rng.integers(1, 12))) for _ in range(N)]})


def main(checkpoint, cache, kill_after):
    torch.set_num_threads(1)
    disable_progress_bars()
    texts, calls = Texts.__call__, []

    def counted(self, rows):
        if calls and len(calls) == kill_after + 1:  # the first are the probes
            os.kill(os.getpid(), signal.SIGKILL)
        calls.append(len(rows.values))
        return texts(self, rows)

    Texts.__call__ = counted
    vectors = hf_prune.embed(a_dataset(), checkpoint, cache_dir=cache, batch_size=BATCH, precision="float32")
    print(f"computed {sum(calls)} of {len(vectors)}\n", end="", flush=True)
    if "RANK" in os.environ:
        too_long = Dataset.from_dict({"text": [" ".join(WORDS[:20]), *a_dataset()["text"]]})
        try:
            hf_prune.embed(too_long, checkpoint, cache_dir=cache, batch_size=BATCH)
        except hf_prune.ArgumentError as error:
            print(f"refused: {error}\n", end="", flush=True)
        try:
            hf_prune.embed(a_dataset().select(range(int(os.environ["RANK"]), 9)), checkpoint, cache_dir=cache)
        except hf_prune.ArgumentError as error:
            print(f"apart: {error}\n", end="", flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
    sys.stdout.flush()
    os._exit(0)  # gloo may hang when it is taken down
