"""Run by tests/test_recipes.py in each of two processes: `recipe_process.py FOLDER [RECIPE, ARGUMENTS]...`, in JSON.

Writes down, of each recipe, how many processes there were and the metrics that this one has.
"""

import json
import os
import runpy
import sys
from pathlib import Path

import torch
from accelerate import PartialState

RECIPES = Path(__file__).parents[2] / "trainers"


def main(folder, runs):
    torch.set_num_threads(1)
    found = {}
    for name, argv in runs:
        metrics = runpy.run_path(str(RECIPES / f"{name}.py"), run_name=name)["main"](argv)
        found[name] = {"processes": PartialState().num_processes, "metrics": metrics}
    (folder / f"{os.environ['RANK']}.json").write_text(json.dumps(found))
    torch.distributed.barrier()
    sys.stdout.flush()
    os._exit(0)  # gloo may hang when it is taken down


if __name__ == "__main__":
    main(Path(sys.argv[1]), [json.loads(run) for run in sys.argv[2:]])
