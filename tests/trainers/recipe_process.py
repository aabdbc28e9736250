"""Run by tests/trainers/test_recipes.py in each of two processes: `recipe_process.py FOLDER [RECIPE, ARGUMENTS]...`.

Each recipe and its arguments come as JSON. Written down are the number of processes and the metrics that this one has.
"""

import importlib
import json
import os
import sys
from pathlib import Path

import torch
from accelerate import PartialState


def main(folder, runs):
    torch.set_num_threads(1)
    results = {}
    for name, argv in runs:
        metrics = importlib.import_module(name).main(argv)
        results[name] = {"processes": PartialState().num_processes, "metrics": metrics}
    (folder / f"{os.environ['RANK']}.json").write_text(json.dumps(results))
    torch.distributed.barrier()
    sys.stdout.flush()
    os._exit(0)  # gloo may hang when it is taken down


if __name__ == "__main__":
    main(Path(sys.argv[1]), [json.loads(run) for run in sys.argv[2:]])
