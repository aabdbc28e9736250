"""Short runs of any model on any columns, beside a witness whose hook reads what a pass takes and returns."""

from types import SimpleNamespace

import numpy as np
import torch
from datasets import Dataset
from transformers import Trainer, TrainingArguments, set_seed

from hf_prune import PruningTrainerCallback
from tests.arguments import in_order

ROWS = 13


def own_loss(logits, labels, **options):
    """(rows,) cross-entropies, and NaN where a row has no label, apart from anything that the library computes."""
    each = torch.nn.functional.cross_entropy(
        logits.reshape(-1, logits.shape[-1]).double(), labels.reshape(-1).long(), reduction="none", **options
    ).reshape(labels.shape)
    if labels.ndim == 1:
        return torch.where(labels == -100, torch.nan, each).numpy()
    return (each.sum(dim=1) / (labels != -100).sum(dim=1)).numpy()


def run(model, columns, folder, losses, *recorders, trainer=Trainer, collate=None, modules=None, **options):
    """A finished run of 2 epochs in order; `losses(kwargs, output)` are the (rows,) losses of one training pass.

    Returns its Trainer, weights, and (epochs, n) what `losses` said of the passes of `modules`, or of the model.
    """
    dataset = columns if isinstance(columns, Dataset) else Dataset.from_dict(columns)
    set_seed(0)
    seen = []

    def look(module, args, kwargs, output):
        if module.training:
            seen.append(losses(kwargs, output))

    (modules or model).register_forward_hook(look, with_kwargs=True)
    arguments = {
        "output_dir": str(folder),
        "num_train_epochs": 2,
        "per_device_train_batch_size": 4,
        "learning_rate": 0.01,
        "save_strategy": "no",
        "logging_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
        "use_cpu": True,
        "dataloader_pin_memory": False,
    }
    of_trainer = {"data_collator": collate} if collate else {}
    of_trainer |= {name: options.pop(name) for name in ("compute_loss_func", "teacher") if name in options}
    one = trainer(
        model=model,
        args=TrainingArguments(**arguments | options),
        train_dataset=dataset,
        callbacks=list(recorders),
        **of_trainer,
    )
    in_order(one).train()
    weights = torch.cat([tensor.flatten().float() for tensor in model.state_dict().values()])
    values = np.concatenate(seen).reshape(-1, len(dataset)) if seen else None
    return SimpleNamespace(trainer=one, weights=weights, losses=values)


def assert_exact(make, columns, folder, losses, recorder=None, task=None, **options):
    """Recorded losses are the witness's, and the weights those of a run without a recorder."""
    recorder = recorder or PruningTrainerCallback()
    torch.manual_seed(0)
    recorded = run(make(), columns, folder, losses, recorder, **options)
    torch.manual_seed(0)
    plain = run(make(), columns, folder, losses, **options)
    assert torch.equal(recorded.weights, plain.weights)
    np.testing.assert_allclose(recorder.dynamics["loss"], recorded.losses, rtol=1e-5, atol=1e-5)
    if task is not None:
        assert recorder.dynamics.task == task
    return recorder
