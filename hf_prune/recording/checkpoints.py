"""The dynamics of a run beside its checkpoints, so that a kill at any moment leaves those of a complete one.

They are written ahead, before the Trainer begins the checkpoint, into the folder that holds the checkpoints, and move
into the checkpoint once it is there. What a kill left ahead is settled when a run goes on.
"""

import logging
import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from transformers import TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_utils import SaveStrategy

from hf_prune.errors import ArgumentError
from hf_prune.recording.arrays import Recording

logger = logging.getLogger(__name__)

STATE = "hf_prune_dynamics.safetensors"
"""What a checkpoint's folder gets: the dynamics so far, as TrainingDynamics.save writes them."""

_OF = "-of-"

COMPLETE = "trainer_state.json"
"""What the Trainer writes last into a checkpoint."""


class Checkpoints:
    """Keeps what is recorded of a run with its checkpoints.

    Args:
        recorders: how many others were there first. Each has files of its own, for they may record different things.
        resume_from: folder of the checkpoint from which the run goes on, where the Trainer doesn't know it.
    """

    def __init__(self, recording: Recording, recorders: int, resume_from: str | os.PathLike[str] | None) -> None:
        self._recording, self._resume_from = recording, resume_from
        self._name = Path(STATE).stem + (f"-{recorders + 1}" if recorders else "")
        self._state = f"{self._name}.safetensors"
        self._ahead: Path | None = None

    def save_ahead(self, args: TrainingArguments, state: TrainerState, control: TrainerControl) -> None:
        """Write the dynamics before the checkpoint that comes now, which a kill would leave without them."""
        may_be_best = control.should_evaluate and args.save_strategy == SaveStrategy.BEST
        if control.should_save or may_be_best:
            self._write_ahead(_checkpoint(args, state))

    def save(self, args: TrainingArguments, state: TrainerState) -> None:
        """Move the dynamics into the checkpoint that is there now."""
        folder = _checkpoint(args, state)
        if self._ahead != self._ahead_of(folder):  # a callback after this one wanted the checkpoint
            self._write_ahead(folder)
        self._ahead = None
        if self._recording.whole:
            folder.mkdir(parents=True, exist_ok=True)
            self._ahead_of(folder).replace(folder / self._state)

    def discard_ahead(self) -> None:
        """Remove what was written ahead of a checkpoint that was then not the best."""
        if self._ahead is not None and self._recording.whole:
            self._ahead.unlink(missing_ok=True)
        self._ahead = None

    def begin(self, args: TrainingArguments, state: TrainerState, steps_an_epoch: int | None) -> None:
        """Settle what a killed run left, and restore what the checkpoint has that the run goes on from, if it does.

        The Trainer doesn't name that checkpoint to callbacks.

        Args:
            steps_an_epoch: None for a run of which nothing can be restored.
        """
        told = [self._resume_from, args.resume_from_checkpoint]
        folders = [Path(folder) for folder in told if isinstance(folder, str | os.PathLike)]
        folders.append(_checkpoint(args, state))
        parents = {folder.absolute().parent for folder in folders}
        _settle(parents)
        if steps_an_epoch is None or not state.global_step:
            return
        for folder in folders:
            if (folder / self._state).is_file():
                self._recording.restore(folder / self._state)
                return
        self._restore_older(parents, state.global_step, steps_an_epoch)

    def _restore_older(self, parents: Iterable[Path], step: int, steps_an_epoch: int) -> None:
        files = {file for folder in parents for file in folder.glob(f"checkpoint-*/{self._state}")}
        steps = [(int(number), file) for file in files if (number := file.parent.name.partition("-")[2]).isdecimal()]
        for older, file in sorted((each for each in steps if each[0] < step), reverse=True):
            try:
                self._recording.restore(file)
            except ArgumentError as error:
                logger.warning("a state of before can't be gone on from: %s", error)
                continue
            logger.warning(
                "the run goes on from step %d, whose checkpoint has no %s: the dynamics go on from %r of step %d, and "
                "what was shown between these steps, in epochs %d to %d, is NaN",
                step,
                self._state,
                os.fspath(file),
                older,
                older // steps_an_epoch,
                (step - 1) // steps_an_epoch,
            )
            return
        logger.warning(
            "the run goes on from step %d and no checkpoint with %s is found: what came before is NaN in the "
            "dynamics; if it is elsewhere, name its folder, as in PruningTrainerCallback(resume_from=folder)",
            step,
            self._state,
        )

    def _write_ahead(self, checkpoint: Path) -> None:
        """Every process has to call it."""
        ahead = self._ahead_of(checkpoint)
        if self._ahead != ahead:
            self.discard_ahead()
        self._ahead = ahead
        self._recording.save(ahead)

    def _ahead_of(self, checkpoint: Path) -> Path:
        """Where the dynamics of a checkpoint lie before it is there."""
        return checkpoint.with_name(f"{self._name}{_OF}{checkpoint.name}.safetensors")


def _checkpoint(args: TrainingArguments, state: TrainerState) -> Path:
    """The folder in which the Trainer keeps this step."""
    return Path(args.output_dir or ".") / f"checkpoint-{state.global_step}"


def _settle(folders: Iterable[Path]) -> None:
    """Move what a killed run wrote ahead into the checkpoints that it completed then, and remove the rest."""
    pattern = f"{Path(STATE).stem}*{_OF}checkpoint-*.safetensors"
    for file in {file for folder in folders for file in folder.glob(pattern)}:
        name, _, checkpoint = file.stem.rpartition(_OF)
        complete = file.with_name(checkpoint) / COMPLETE
        with suppress(OSError):  # a folder that can't be written to is read as it is
            if complete.is_file() and complete.stat().st_mtime_ns >= file.stat().st_mtime_ns:
                file.replace(complete.with_name(f"{name}.safetensors"))
            else:
                file.unlink()
