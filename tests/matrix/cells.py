"""What a cell of the matrix is, and how it is decided: recorded exactly, or refused by the end of the first step."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.optim.optimizer import register_optimizer_step_post_hook

from hf_prune import ArgumentError

ROWS, EPOCHS = 13, 2
"""Rows of every dataset, no multiple of the batches of 4, and epochs of every run."""

TOLERANCE = 1e-5


@dataclass(frozen=True)
class Run:
    """A finished run.

    Attributes:
        weights: of all that was trained, in one row.
        losses: returns (epochs, rows) that a witness computed from what the model took and returned.
    """

    weights: torch.Tensor
    losses: Callable[[], np.ndarray]


@dataclass(frozen=True)
class Cell:
    """A trainer, a model and a setting.

    Attributes:
        train: called with (recorders, folder), trains and returns a Run.
        recorder: makes what records.
        needs: the package that it takes beside those that the library needs.
    """

    trainer: str
    model: str
    setting: str
    train: Callable[[list[Any], Any], Run]
    recorder: Callable[[], Any]
    needs: str | None = None

    @property
    def name(self) -> tuple[str, str, str]:
        return self.trainer, self.model, self.setting

    @property
    def can_run(self) -> bool:
        return self.needs is None or find_spec(self.needs) is not None


def decide(cell: Cell, folder: Any) -> str:
    """Returns "exact", or at which step the cell is refused and how; anything else is an error."""
    steps = []
    counting = register_optimizer_step_post_hook(lambda *_: steps.append(1))
    try:
        torch.manual_seed(0)
        plain = cell.train([], folder)
        steps.clear()
        recorder = cell.recorder()
        torch.manual_seed(0)
        try:
            run = cell.train([recorder], folder)
        except ArgumentError as error:
            if len(steps) > 1:
                raise AssertionError(f"refused after {len(steps)} steps") from error
            return f"refused at step {len(steps)}: {error}"
    finally:
        counting.remove()
    assert torch.equal(run.weights, plain.weights), "the recorder changed the weights"
    losses = run.losses()
    assert np.isfinite(losses).all(), "the witness saw no loss of some rows"
    np.testing.assert_allclose(recorder.dynamics["loss"], losses, rtol=TOLERANCE, atol=TOLERANCE)
    return "exact"


class Witness:
    """Losses of rows that a hook of its own computes from what a module takes and returns in training.

    Of passes in a row over the same rows the first counts, and none without gradients.

    Args:
        module: what is listened to.
        rows: from the arguments of a pass to the (batch,) rows that they are of, which the inputs spell out.
        losses: from the arguments, the output and the rows of a pass to (batch,) losses.
    """

    def __init__(self, module: nn.Module, rows: Callable[[Any], torch.Tensor], losses: Callable[..., Any]) -> None:
        self._rows, self._losses, self._module = rows, losses, module
        self._seen: list[tuple[torch.Tensor, torch.Tensor]] = []
        self.hook = module.register_forward_hook(self._look, with_kwargs=True)

    def _look(self, module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
        if module.training and torch.is_grad_enabled():
            given = kwargs or {"input_ids": args[0]}
            rows = self._rows(given).long()
            if self._seen and torch.equal(rows, self._seen[-1][0]):
                return
            self._seen.append((rows, self._losses(given, output, rows).detach()))

    def losses(self) -> np.ndarray:
        """(epochs, rows) float64."""
        rows = torch.cat([rows for rows, _ in self._seen]).reshape(EPOCHS, -1)
        losses = torch.cat([losses for _, losses in self._seen]).double().reshape(EPOCHS, -1)
        return torch.full((EPOCHS, ROWS), torch.nan, dtype=torch.float64).scatter(1, rows, losses).numpy()


def weights_of(*modules: nn.Module) -> torch.Tensor:
    return torch.cat([tensor.detach().flatten().double() for module in modules for tensor in module.parameters()])
