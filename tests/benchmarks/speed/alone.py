"""One timed call in a process of its own.

    python -m tests.benchmarks.speed.alone prune|selection FOLDER compiled|plain

With "plain" numba can't be imported, as if it weren't installed. Inputs are read from FOLDER, the picking order goes
to order.npy there, and the times are printed as JSON. A call on a few rows before has imported and compiled all.
"""

import json
import sys
import time
from pathlib import Path


def main(what: str, folder: str, kernels: str) -> None:
    if kernels == "plain":
        sys.modules["numba"] = None  # type: ignore[assignment] # how Python itself marks what must not be found
    import numpy as np

    from tests.benchmarks.speed.calls import prune_saved, select_saved

    call = {"prune": prune_saved, "selection": select_saved}[what](Path(folder))
    call(500)
    wall, cpu = time.perf_counter(), time.process_time()
    order = call(None)
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    np.save(Path(folder) / "order.npy", order)
    print(json.dumps({"cpu": cpu, "wall": wall}))


if __name__ == "__main__":
    main(*sys.argv[1:])
