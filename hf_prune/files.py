"""Files that are written whole or not at all."""

import os
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
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".hf_prune-") as folder:
        complete = Path(folder) / "complete"
        yield complete
        complete.replace(path)
