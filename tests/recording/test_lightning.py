"""Recording under Lightning's Trainer; run where the extra `lightning` is installed."""

from importlib.util import find_spec
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from datasets import Dataset
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import hf_prune
from hf_prune import ArgumentError

ROWS, EPOCHS = 13, 3

needs_lightning = pytest.mark.skipif(find_spec("lightning") is None, reason="the extra lightning isn't installed")
pytestmark = pytest.mark.filterwarnings("ignore")  # Lightning has advice on workers, logging and more


def test_without_lightning_the_extra_is_named(monkeypatch):
    monkeypatch.setattr("hf_prune.recording.lightning.Callback", None)
    with pytest.raises(hf_prune.MissingExtraError, match=r'pip install "hf_prune\[lightning\]"'):
        hf_prune.LightningPruningCallback()


def module():
    """A LightningModule whose `training_step` keeps its rows' losses, an epoch after the other."""
    import lightning

    class Module(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            self.net = nn.Sequential(nn.Linear(5, 8), nn.Dropout(0.3), nn.Linear(8, 3))
            self.seen, self.calls_net = [], True

        def on_train_epoch_start(self):
            self.seen.append(np.full(ROWS, np.nan))

        def training_step(self, batch, index):
            inputs, labels = batch
            logits = self.net(inputs) if self.calls_net else self.net[2](self.net[0](inputs))
            losses = nn.functional.cross_entropy(logits, labels, reduction="none")
            self.seen[-1][(inputs[:, 0] * ROWS).round().long()] = losses.detach()
            return losses.mean()

        def validation_step(self, batch, index):
            self.net(batch[0])

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), 0.1)

    return Module()


def data(**options):
    draw = torch.Generator().manual_seed(0)
    inputs, labels = torch.randn(ROWS, 5, generator=draw), torch.randint(0, 3, (ROWS,), generator=draw)
    inputs[:, 0] = torch.arange(ROWS) / ROWS
    return DataLoader(TensorDataset(inputs, labels), 4, shuffle=True, **options)


def fit(recorder=None, loader=None, one=None, resume=None, **options):
    import lightning

    torch.manual_seed(0)
    one, loader = one or module(), loader or data()
    quiet = dict.fromkeys(("logger", "enable_progress_bar", "enable_model_summary"), False)
    options = {"max_epochs": EPOCHS, "enable_checkpointing": False, "devices": 1, **quiet, **options}
    callbacks = [recorder] if recorder else []
    trainer = lightning.Trainer(accelerator="cpu", callbacks=callbacks, **options)
    trainer.fit(one, loader, data(), ckpt_path=resume)
    weights = torch.cat([tensor.flatten() for tensor in one.parameters()])
    return SimpleNamespace(weights=weights, numbers=torch.get_rng_state(), seen=one.seen, trainer=trainer)


@needs_lightning
@pytest.mark.parametrize(
    "options",
    [{}, {"accumulate_grad_batches": 2}, {"val_check_interval": 2}, {"reload_dataloaders_every_n_epochs": 1}],
    ids=lambda options: next(iter(options), "plain"),
)
def test_a_fit_is_recorded_and_unchanged(options):
    recorder, loader = hf_prune.LightningPruningCallback(model="net", features="2"), data()
    run, plain = fit(recorder, loader, **options), fit(**options)
    assert torch.equal(run.weights, plain.weights)
    assert torch.equal(run.numbers, plain.numbers)
    np.testing.assert_allclose(recorder.dynamics["loss"], run.seen, rtol=1e-5, atol=1e-6)
    assert recorder.dynamics.features["last"].shape == (ROWS, 8)
    assert type(loader) is DataLoader
    assert type(loader.dataset) is TensorDataset


@needs_lightning
@pytest.mark.process
def test_workers_that_outlive_an_epoch():
    recorder, options = hf_prune.LightningPruningCallback(model="net"), {"num_workers": 1, "persistent_workers": True}
    run, plain = fit(recorder, data(**options)), fit(loader=data(**options))
    assert torch.equal(run.weights, plain.weights)
    np.testing.assert_allclose(recorder.dynamics["loss"], run.seen, rtol=1e-5, atol=1e-6)


@needs_lightning
def test_a_fit_that_goes_on_from_a_checkpoint(tmp_path):
    first = fit(max_epochs=2)
    first.trainer.save_checkpoint(tmp_path / "first")
    recorder = hf_prune.LightningPruningCallback(model="net")
    rest = fit(recorder, resume=tmp_path / "first")
    assert np.isnan(recorder.dynamics["loss"][:2]).all()
    np.testing.assert_allclose(recorder.dynamics["loss"][2:], rest.seen, rtol=1e-5, atol=1e-6)


@needs_lightning
def test_a_recorder_used_again():
    recorder = hf_prune.LightningPruningCallback(model="net")
    fit(recorder)
    run = fit(recorder, max_epochs=1)
    np.testing.assert_allclose(recorder.dynamics["loss"], run.seen, rtol=1e-5, atol=1e-6)


@needs_lightning
def test_rows_are_recognised_one_by_one():
    inputs, labels = data().dataset.tensors
    rows = Dataset.from_dict({"x": inputs.tolist(), "label": labels.tolist()})

    def stacked(rows):
        return torch.tensor([row["x"] for row in rows]), torch.tensor([row["label"] for row in rows])

    recorder = hf_prune.LightningPruningCallback(model="net")
    fit(recorder, DataLoader(rows, 4, collate_fn=stacked))
    assert len(rows.prune("el2n", keep=5, dynamics=recorder)) == 5
    alike = np.flatnonzero(labels == labels[0])
    swapped = np.arange(ROWS)
    swapped[alike[:2]] = alike[1::-1]
    with pytest.raises(ArgumentError, match="has other values in 2 of 13 rows of column 'x', first in row 0"):
        rows.select(swapped).prune("el2n", keep=5, dynamics=recorder)


@needs_lightning
def test_a_part_of_the_model_is_refused_after_the_first_batch():
    one = module()
    one.calls_net = False
    recorder = hf_prune.LightningPruningCallback(model="net")
    with pytest.raises(ArgumentError, match=r"saw no forward pass .*listened to is Sequential; name another"):
        fit(recorder, one=one)
    assert np.isfinite(one.seen[0]).sum() == 4
    assert not one.net._forward_hooks
    with pytest.raises(ArgumentError, match="nothing is recorded yet"):
        _ = recorder.dynamics


@needs_lightning
@pytest.mark.parametrize(
    ("options", "loader", "message"),
    [
        ({}, None, "listened to is Module; name another"),
        ({"model": "body"}, None, r"`model`: the Module has no module 'body'; it has \['net'\]"),
        ({"model": "net"}, {"one": 1}, "wants one torch DataLoader as training data, got dict"),
        ({"model": "net", "features": "head"}, None, "`features`: the model has no module 'head'"),
        ({"model": "net", "label_name": "y"}, "rows", "needs batches with a 'y' entry"),
    ],
)
def test_what_cannot_be_recorded(options, loader, message):
    if loader == "rows":
        loader = DataLoader([{"x": float(row), "label": 0} for row in range(ROWS)], 4)
    elif loader:
        loader = {"one": data()}
    with pytest.raises(ArgumentError, match=message):
        fit(hf_prune.LightningPruningCallback(**options), loader)


@needs_lightning
def test_several_processes_are_refused():
    with pytest.raises(ArgumentError, match="records one process, got 2; pass devices=1"):
        hf_prune.LightningPruningCallback().on_fit_start(SimpleNamespace(world_size=2), module())
