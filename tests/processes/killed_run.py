"""Run by tests/test_processes.py in a process of its own: `killed_run.py FOLDER STEP`, killed after that step.

With STEP 0 it goes on from the last checkpoint in FOLDER, or from the beginning, and ends.
"""

import os
import signal
import sys
from pathlib import Path

import torch
from transformers import TrainerCallback
from transformers.trainer_utils import get_last_checkpoint

from hf_prune import PruningTrainerCallback
from tests.processes.two_processes import a_dataset, train


class Killer(TrainerCallback):
    def __init__(self, step):
        self.step = step

    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step == self.step:
            os.kill(os.getpid(), signal.SIGKILL)


def main(folder, step):
    torch.set_num_threads(1)
    folder.mkdir(exist_ok=True)
    recorder = PruningTrainerCallback(features="head")
    options = {"save_strategy": "steps", "save_steps": 3}
    train(a_dataset(), folder, recorder, get_last_checkpoint(folder), others=[Killer(step)], **options)
    recorder.dynamics.save(folder / "run.safetensors")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
