"""Files and folders that are written whole or not at all."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hf_prune.errors import ArgumentError


@contextmanager
def whole_file(path: str | os.PathLike[str], *, suggested: str) -> Iterator[Path]:
    """Gives the path to write to; what is there replaces a file at `path` once the block has ended without an error.

    Args:
        suggested: a file's name, for the message where `path` is a folder.

    Raises:
        ArgumentError: `path` is a folder.
    """
    path = Path(path)
    if path.is_dir():
        raise ArgumentError(f"`path`: wanted a file such as {path / suggested}, got a folder")
    with _folder_beside(path) as folder:
        complete = folder / "complete"
        yield complete
        _to_disk(complete)
        complete.replace(path)


@contextmanager
def whole_folder(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Gives an empty folder to fill; it replaces a folder at `path` once the block has ended without an error.

    No call replaces a folder in one step, so the old one is renamed first. An error between the two renames puts it
    back at once; after a kill there, `put_back` does.
    """
    path = Path(path).resolve()
    put_back(path)
    with _folder_beside(path) as folder:
        complete, old = folder / "complete", _old(path)
        complete.mkdir()
        yield complete
        for file in (*complete.rglob("*"), complete):
            _to_disk(file)
        shutil.rmtree(old, ignore_errors=True)  # what a kill after both renames left
        try:
            if path.exists():
                path.rename(old)
            complete.rename(path)
        finally:
            put_back(path)
        shutil.rmtree(old, ignore_errors=True)


def put_back(path: str | os.PathLike[str]) -> None:
    """Return the old folder to `path` where a `whole_folder` took it away and brought no new one."""
    path = Path(path).resolve()
    if not path.exists() and _old(path).exists():
        _old(path).rename(path)


def _old(path: Path) -> Path:
    return path.parent / f".{path.name}.hf_prune-old"


@contextmanager
def _folder_beside(path: Path) -> Iterator[Path]:
    """Gives a folder on the same disk, from which a rename is one step; whatever is in it is removed afterwards."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".hf_prune-") as folder:
        yield Path(folder)


def _to_disk(path: Path) -> None:
    """Wait until a file or a folder's list of files would outlive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
