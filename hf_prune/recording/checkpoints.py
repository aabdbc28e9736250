"""Where the dynamics of a run lie beside its checkpoints, so that a kill at any moment leaves those of a complete one.

They are written ahead, before the Trainer begins the checkpoint, into the folder that holds the checkpoints, and move
into the checkpoint once it is there. What a kill left ahead is settled when a run begins.
"""

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

STATE = "hf_prune_dynamics.safetensors"
"""What a checkpoint's folder gets: the dynamics so far, as TrainingDynamics.save writes them."""

AHEAD = "hf_prune_dynamics-of-"
COMPLETE = "trainer_state.json"
"""What the Trainer writes last into a checkpoint."""


def ahead_of(checkpoint: Path) -> Path:
    """Where the dynamics of a checkpoint lie before it is there."""
    return checkpoint.with_name(f"{AHEAD}{checkpoint.name}.safetensors")


def settle(folders: Iterable[Path]) -> None:
    """Move what a killed run wrote ahead into the checkpoints that it completed then, and remove the rest."""
    for file in {file for folder in folders for file in folder.glob(f"{AHEAD}checkpoint-*.safetensors")}:
        checkpoint = file.with_name(file.stem.removeprefix(AHEAD))
        with suppress(OSError):  # a folder that can't be written to is read as it is
            if _completed_after(file, checkpoint):
                file.replace(checkpoint / STATE)
            else:
                file.unlink()


def older_states(folders: Iterable[Path], step: int) -> list[tuple[int, Path]]:
    """The states of checkpoints of earlier steps, each with its step, the newest first."""
    files = {file for folder in folders for file in folder.glob(f"checkpoint-*/{STATE}")}
    steps = [(int(number), file) for file in files if (number := file.parent.name.partition("-")[2]).isdecimal()]
    return sorted((each for each in steps if each[0] < step), reverse=True)


def _completed_after(file: Path, checkpoint: Path) -> bool:
    complete = checkpoint / COMPLETE
    return complete.is_file() and complete.stat().st_mtime_ns >= file.stat().st_mtime_ns
