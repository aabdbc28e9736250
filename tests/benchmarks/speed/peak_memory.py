"""Peak memory of one `prune` call, in a process of its own.

    python -m tests.benchmarks.speed.peak_memory FOLDER K KEEP

Prints the bytes between what was in memory just before the call and the highest point so far just after it (VmRSS and
VmHWM of /proc/self/status). Libraries, the dataset and the embeddings are in place before, and a call on the first
500 rows has imported, compiled and started all that a call needs. Had anything before been higher than the call, the
figure would be too large. It leaves out only what freed memory of the small call is used again, a few MB.
"""

import sys
from pathlib import Path

import numpy as np
from datasets import Dataset

import hf_prune  # noqa: F401 - attaches Dataset.prune
from tests.benchmarks.harness import resident_bytes


def main(folder: str, k: str, keep: str) -> None:
    points, scores = np.load(Path(folder) / "points.npy"), np.load(Path(folder) / "scores.npy")
    for rows in (min(500, len(points)), len(points)):
        dataset = Dataset.from_dict({"row": np.arange(rows)})
        before = resident_bytes(peak=False)
        dataset.prune("d2", keep=float(keep), k=int(k), cutoff=0, scores=scores[:rows], embeddings=points[:rows])
    print(resident_bytes(peak=True) - before)


if __name__ == "__main__":
    main(*sys.argv[1:])
