"""A memory-mapped (n, d) array on disk that is filled shard by shard, and goes on after a kill where it stopped."""

import errno
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hf_prune.errors import ArgumentError
from hf_prune.files import is_sealed, remove_left, seal, whole_file

COMPLETE, GROWING, MARKS, PROBES = "vectors.npy", "vectors.partial.npy", "shards.partial.npy", "probes.npy"

Mapped = np.memmap[Any, np.dtype[Any]]


class VectorFile:
    """Holds the vectors in `folder`: those of finished shards are there for good.

    `vectors.npy` appears once all are there, by a rename; any numpy reads it. Until then the vectors grow beside one
    byte a shard, which is set after the shard's vectors have reached the disk. Several processes may fill one file.
    """

    def __init__(self, folder: Path, n: int, about: Mapping[str, Any], *, compared: bool) -> None:
        """Names the folder of n vectors.

        Args:
            about: what the vectors are as JSON values, for people who find them.
            compared: some of them are kept a second time, for `probes`.
        """
        self.folder, self.compared, self._n, self._about = folder, compared, n, about
        self._complete, self._growing, self._marks, self._probes = (
            folder / name for name in (COMPLETE, GROWING, MARKS, PROBES)
        )

    @property
    def complete(self) -> bool:
        return self._holds(self._complete) and self._has_probes

    @property
    def begun(self) -> bool:
        return self._holds(self._growing) and _array(self._marks) is not None and self._has_probes

    @property
    def _has_probes(self) -> bool:
        return not self.compared or _array(self._probes) is not None

    def _holds(self, path: Path) -> bool:
        vectors = _array(path)
        return vectors is not None and vectors.ndim == 2 and len(vectors) == self._n and vectors.dtype == np.float32

    def make_folder(self) -> None:
        """Makes the folder where it is missing.

        Raises:
            ArgumentError: it can't be made, or nothing can be written there.
        """
        with self._writing():
            self.folder.mkdir(parents=True, exist_ok=True)
            if not os.access(self.folder, os.W_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    def begin(self, probes: NDArray[np.float32], shards: int) -> None:
        """Reserves the space for (n, d) vectors; whatever was there without being whole goes.

        Args:
            probes: (few, d) vectors of some of the rows.

        Raises:
            ArgumentError: the disk has no room.
        """
        shape = (self._n, probes.shape[1])
        text = json.dumps({**self._about, "shape": shape}, indent=2)
        with self._writing(f" for the {4 * shape[0] * shape[1] / 1e9:.3g} GB of the embeddings"):
            self._marks.unlink(missing_ok=True)
            try:
                (self.folder / "about.json").write_text(text, encoding="utf-8")
                np.lib.format.open_memmap(self._growing, "w+", dtype=np.float32, shape=shape)
                # A mapped file that meets a full disk would end the process without a word.
                if hasattr(os, "posix_fallocate"):
                    with self._growing.open("r+b") as opened:
                        os.posix_fallocate(opened.fileno(), 0, os.fstat(opened.fileno()).st_size)
                if self.compared:
                    self._save(self._probes, probes)
                # Last: without the marks everything begins again.
                self._save(self._marks, np.zeros(shards, dtype=np.uint8))
            except (OSError, ArgumentError):
                self._growing.unlink(missing_ok=True)
                raise

    def _save(self, path: Path, array: NDArray[Any]) -> None:
        with whole_file(path, suggested=path.name) as beside, beside.open("wb") as file:
            np.save(file, array)

    @contextmanager
    def _writing(self, what: str = "") -> Iterator[None]:
        """Says what to do where the disk takes nothing more."""
        try:
            yield
        except (OSError, ArgumentError) as error:  # the latter from whole_file, which knows nothing of caches
            cause = error.__cause__ if isinstance(error, ArgumentError) else error
            if not isinstance(cause, OSError):
                raise
            problem = "no room" if cause.errno in (errno.ENOSPC, errno.EDQUOT) else "no place"
            raise ArgumentError(
                f"`cache_dir`: {problem}{what} in {str(self.folder)!r} ({cause.strerror}); pass cache_dir= with a "
                "folder on a larger disk, which you may write to"
            ) from error

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
        self._marks.unlink(missing_ok=True)

    def read(self) -> NDArray[np.float32]:
        """Returns (n, d) float32, mapped and read-only; ArgumentError where they aren't those that were written."""
        if not is_sealed(self._complete):
            raise ArgumentError(
                f"`cache_dir`: {str(self._complete)!r} is damaged: its bytes aren't those that were written; delete "
                "its folder and embed again"
            )
        vectors: NDArray[np.float32] = np.load(self._complete, mmap_mode="r")
        return vectors

    def probes(self) -> NDArray[np.float32]:
        """Returns what `begin` was given."""
        probes: NDArray[np.float32] = np.load(self._probes)
        return probes


def _array(path: Path) -> Mapped | None:
    """Returns the mapped array of a file, and None where there is none, or only a part of one."""
    try:
        array: Mapped = np.load(path, mmap_mode="r")
    except Exception:  # a damaged header may make any of numpy
        return None
    return array


def finish_shard(vectors: Mapped, marks: Mapped, shard: int) -> None:
    """Marks a shard whose vectors are written, once they lie on the disk."""
    vectors.flush()
    marks[shard] = 1
    marks.flush()
