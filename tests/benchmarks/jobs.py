"""Runs that may be interrupted: every finished job is a file, and only those without one are run."""

import json
import os
import signal
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from datasets.utils import disable_progress_bars, tqdm

PROCESSES = 2
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")

Work = Callable[..., list[dict[str, Any]]]


def run(work: Work, jobs: Mapping[Path, tuple[Any, ...]], processes: int = PROCESSES) -> list[dict[str, Any]]:
    """The rows that `work(*job)` gives for all jobs, in their order.

    Args:
        work: a function of a module, so that another process finds it; what it returns is written as JSON.
        jobs: arguments by the file for their result.
        processes: each with one thread; 0 runs in this process.
    """
    missing = {file: job for file, job in jobs.items() if not file.exists()}
    if processes and missing:
        os.environ.update(dict.fromkeys(THREADS, "1"))  # read by the libraries of the new processes
        with ProcessPoolExecutor(processes, get_context("spawn"), initializer=set_up) as pool:
            try:
                futures = [pool.submit(finish, work, job, file) for file, job in missing.items()]
                for future in tqdm(as_completed(futures), total=len(futures), unit="job", smoothing=0):
                    future.result()
            finally:
                pool.shutdown(cancel_futures=True)
    else:
        for file, job in missing.items():
            finish(work, job, file)
    return [row for file in jobs for row in json.loads(file.read_text(encoding="utf-8"))]


def finish(work: Work, job: tuple[Any, ...], file: Path) -> None:
    rows = work(*job)
    file.parent.mkdir(parents=True, exist_ok=True)
    partly = file.with_suffix(f".{os.getpid()}")
    partly.write_text(json.dumps(rows), encoding="utf-8")
    partly.replace(file)


def set_up() -> None:
    import torch

    torch.set_num_threads(1)
    disable_progress_bars()  # one for all jobs is enough
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C ends a process at once; half a file has another name
