"""Run by tests/test_processes.py in each of two processes: trains with and without a recorder and writes down both.

torchrun --nproc-per-node 2 tests/two_processes.py FOLDER
"""

import faulthandler
import os
import sys
from pathlib import Path

import numpy as np
import torch
from datasets import Dataset
from torch import nn
from transformers import Trainer, TrainerCallback, TrainingArguments, set_seed

from hf_prune import PruningTrainerCallback
from tests.arguments import BY_LENGTH, OF_5

N, CLASSES, EPOCHS = 37, 3, 4
SCENARIOS = {
    "plain": {},
    "workers, accumulation": {
        "dataloader_num_workers": 1,
        "dataloader_persistent_workers": True,
        "gradient_accumulation_steps": 2,
    },
    "split_batches": {"accelerator_config": {"split_batches": True}},
    "dispatch_batches": {"accelerator_config": {"dispatch_batches": True}},
    "by length": BY_LENGTH | {"length_column_name": "length"},
    "compiled": {"torch_compile": True, "torch_compile_backend": "eager"},
    "last batch dropped": {"dataloader_drop_last": True},
    "checkpoints": {"save_strategy": "steps", "save_steps": 4},
    "clean_eval": {},
}
if OF_5:  # before, the Trainer loads no optimizer on one of several CPUs
    SCENARIOS["resumed"] = {"save_strategy": "steps", "save_steps": 4}


class Net(nn.Module):
    """Dropout, so that what a row shows depends on the step."""

    def __init__(self):
        super().__init__()
        self.body, self.head = nn.Linear(4, 16), nn.Linear(16, CLASSES)
        self.dropout = nn.Dropout(0.2)

    def forward(self, x, labels=None, length=None):
        logits = self.head(self.dropout(self.body(x).relu()))
        return {"loss": nn.functional.cross_entropy(logits, labels), "logits": logits}


class Witness(TrainerCallback):
    """(epoch, rows, logits) of each training pass of this process, by a hook of its own; x[:, 0] is the row."""

    def __init__(self, model):
        self.seen, self.epoch = [], -1
        model.register_forward_hook(torch.compiler.disable(self.read), with_kwargs=True)

    def on_epoch_begin(self, args, state, control, **kwargs):
        self.epoch = max(self.epoch + 1, int(state.epoch or 0))

    def read(self, module, args, kwargs, output):
        if module.training:
            rows = torch.round(kwargs["x"][:, 0] * N).long().numpy()
            self.seen.append((self.epoch, rows, output["logits"].detach().numpy()))


def a_dataset():
    draw = np.random.default_rng(0)
    x = draw.normal(size=(N, 4)).astype(np.float32)
    x[:, 0] = np.arange(N) / N
    return Dataset.from_dict({"x": x, "labels": draw.integers(0, CLASSES, N), "length": draw.integers(1, 9, N)})


def train(dataset, folder, recorder, resume=None, others=(), **options):
    set_seed(0)
    model = Net()
    arguments = {"output_dir": str(folder), "num_train_epochs": EPOCHS, "per_device_train_batch_size": 4}
    arguments |= {"save_strategy": "no", "logging_strategy": "no", "report_to": "none", "disable_tqdm": True}
    arguments |= {"use_cpu": True, "learning_rate": 0.05, "dataloader_pin_memory": False}
    witness = Witness(model)
    trainer = Trainer(
        model,
        TrainingArguments(**arguments | options),
        train_dataset=dataset,
        callbacks=[witness, *([recorder] if recorder else []), *others],
    )
    trainer.train(resume_from_checkpoint=resume)
    return trainer, witness, torch.cat([tensor.flatten() for tensor in model.state_dict().values()]).numpy()


def main(folder):
    torch.set_num_threads(1)
    dataset = a_dataset()
    for name, options in SCENARIOS.items():
        resume = str(folder / "run checkpoints" / "checkpoint-8") if name == "resumed" else None
        recorder = PruningTrainerCallback(features="head", clean_eval=name == "clean_eval", resume_from=resume)
        trainer, witness, weights = train(dataset, folder / f"run {name}", recorder, resume, **options)
        arrays = {"weights": weights, "labels": np.array(dataset["labels"])}
        arrays["plain_weights"] = train(dataset, folder / f"plain {name}", None, **options)[2]
        epochs, rows, logits = zip(*witness.seen, strict=True)
        arrays["epochs"] = np.repeat(epochs, [len(seen) for seen in rows])
        arrays |= {"rows": np.concatenate(rows), "logits": np.concatenate(logits)}
        if trainer.is_world_process_zero():
            recorder.dynamics.save(folder / f"{name}.safetensors")
        else:
            try:
                recorder.dynamics  # noqa: B018
            except ValueError as error:
                arrays["refused"] = np.array(str(error))
        np.savez(folder / f"{name}.{trainer.args.process_index}.npz", **arrays)
    torch.distributed.barrier()
    # Everything is written. Taking gloo and its threads down can hang, once in some ten runs.
    os._exit(0)


if __name__ == "__main__":
    faulthandler.dump_traceback_later(290, exit=True)
    torch.multiprocessing.set_start_method("spawn")  # a process with gloo's threads may not survive a fork
    main(Path(sys.argv[1]))
