"""A memory-mapped (n, d) array on disk that is filled shard by shard, and goes on after a kill where it stopped."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hf_prune.errors import ArgumentError
from hf_prune.files import is_sealed, remove_left, seal, whole_file

COMPLETE, GROWING, MARKS = "vectors.npy", "vectors.partial.npy", "shards.partial.npy"

Mapped = np.memmap[Any, np.dtype[Any]]


class VectorFile:
    """Holds the vectors in `folder`: those of finished shards are there for good.

    `vectors.npy` appears once all are there, by a rename; any numpy reads it. Until then the vectors grow beside one
    byte a shard, which is set after the shard's vectors have reached the disk. Several processes may fill one file.
    """

    def __init__(self, folder: Path, about: Mapping[str, Any]) -> None:
        """Names the folder, and what the vectors are as JSON values, for people who find it."""
        self.folder, self._about = folder, about
        self._complete, self._growing, self._marks = (folder / name for name in (COMPLETE, GROWING, MARKS))

    @property
    def complete(self) -> bool:
        return self._complete.is_file()

    @property
    def begun(self) -> bool:
        return self._marks.is_file()

    def begin(self, shape: tuple[int, int], shards: int) -> None:
        """Reserves the space for (n, d) vectors.

        Raises:
            ArgumentError: the disk has no room.
        """
        text = json.dumps({**self._about, "shape": shape}, indent=2)
        (self.folder / "about.json").write_text(text, encoding="utf-8")
        vectors = np.lib.format.open_memmap(self._growing, "w+", dtype=np.float32, shape=shape)
        try:
            # A mapped file that meets a full disk would end the process without a word.
            if hasattr(os, "posix_fallocate"):
                with self._growing.open("r+b") as opened:
                    os.posix_fallocate(opened.fileno(), 0, os.fstat(opened.fileno()).st_size)
        except OSError as error:
            self._growing.unlink()
            raise ArgumentError(
                f"`cache_dir`: no room for the {vectors.nbytes / 1e9:.3g} GB of the embeddings in "
                f"{str(self.folder)!r} ({error.strerror}); pass cache_dir= with a folder on a larger disk"
            ) from error
        # Last: without the marks everything begins again.
        with whole_file(self._marks, suggested=MARKS) as path, path.open("wb") as file:
            np.save(file, np.zeros(shards, dtype=np.uint8))

    def missing(self) -> NDArray[np.int64]:
        """Returns the shards that are not there yet."""
        return np.flatnonzero(np.load(self._marks) == 0)

    def open(self) -> tuple[Mapped, Mapped]:
        """Returns the growing vectors and the marks of their shards, for `finish_shard`."""
        vectors = np.load(self._growing, mmap_mode="r+")
        return vectors, np.load(self._marks, mmap_mode="r+")

    def end(self) -> None:
        """Gives the file its final name; to be called once all shards are there."""
        remove_left(self.folder)
        seal(self._growing)
        self._growing.replace(self._complete)
        self._marks.unlink()

    def read(self) -> NDArray[np.float32]:
        """Returns (n, d) float32, mapped and read-only; ArgumentError where they aren't those that were written."""
        if not is_sealed(self._complete):
            raise ArgumentError(
                f"`cache_dir`: {str(self._complete)!r} is damaged: its bytes aren't those that were written; delete "
                "its folder and embed again"
            )
        vectors: NDArray[np.float32] = np.load(self._complete, mmap_mode="r")
        return vectors


def finish_shard(vectors: Mapped, marks: Mapped, shard: int) -> None:
    """Marks a shard whose vectors are written, once they lie on the disk."""
    vectors.flush()
    marks[shard] = 1
    marks.flush()
