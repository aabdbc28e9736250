"""Files and folders that are written whole or not at all, and digests by which one sees that they are so still.

What is written grows beside its place, reaches the disk, and takes the place in one step. A folder beside is locked
while its writer lives, so that the next writer tells what a killed one left, and removes it.
"""

import ctypes
import errno
import hashlib
import json
import os
import shutil
import sys
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

import xxhash
from filelock import FileLock, Timeout

from hf_prune.errors import ArgumentError

BESIDE, LOCK = ".hf_prune-", ".lock"
"""How the folders beside and their locks are called."""

SEAL_BYTES, PART_BYTES = 16, 2**24
"""Of a sealed file, the bytes of the digest; and how many are read at once."""

OF_DISKS = {
    getattr(errno, name, None)
    for name in ("EACCES", "EDQUOT", "EEXIST", "EFBIG", "EIO", "ENAMETOOLONG", "ENOSPC", "ENOTDIR", "EPERM", "EROFS")
}
"""What is wrong with a place or a disk, and not with whatever is written."""

_AT_HERE, _LINUX_EXCHANGE, _MAC_SWAP = -100, 2, 2


@contextmanager
def whole_file(path: str | os.PathLike[str], *, suggested: str) -> Iterator[Path]:
    """Gives the path to write to; what is there replaces a file at `path` once the block has ended without an error.

    Args:
        suggested: a file's name, for the message where `path` is a folder.

    Raises:
        ArgumentError: `path` is a folder, or empty, or nothing can be written there.
    """
    with _writing(path := _named(path, suggested)):
        if path.is_dir():
            raise ArgumentError(f"`path`: wanted a file such as {path / suggested}, got a folder")
    with _writing(path), _folder_beside(path) as folder:
        complete = folder / "complete"
        yield complete
        _to_disk(complete)
        complete.replace(path)
        _to_disk(path.parent)


@contextmanager
def whole_folder(path: str | os.PathLike[str], *, kind: str, is_one: Callable[[Path], bool]) -> Iterator[Path]:
    """Gives an empty folder to fill; it replaces a folder at `path` once the block has ended without an error.

    The two are exchanged in one step, so that a kill leaves the old one or the new, and of several writers the last
    one's. Where the system or the disk can't do that, the old one is renamed first: `standing` finds it after a kill
    between the two renames, and there two writers at once are no longer safe from one.

    Args:
        kind: what is written, for messages.
        is_one: whether a folder is such a one and holds nothing else, so that it may be replaced. It is asked at the
            last moment, too, about the very folder that would go, whatever the path was called.

    Raises:
        ArgumentError: something else is there, or `path` is empty, or nothing can be written there.
    """
    with _writing(path := _named(path, kind)):
        path = path.resolve()
        _check_replaceable(path, kind, is_one)
    with _writing(path), _folder_beside(path) as folder:
        complete = folder / "complete"
        complete.mkdir()
        yield complete
        for file in (*complete.rglob("*"), complete):
            _to_disk(file)
        _check_replaceable(path, kind, is_one)
        _put(complete, path)
        _to_disk(path.parent)


def _named(path: str | os.PathLike[str], suggested: str) -> Path:
    """The path, which is never meant to be the working folder where nothing was typed."""
    text = os.fspath(path)
    if not text or "\0" in text:
        raise ArgumentError(f"`path`: wanted the path of a {suggested}, got {text!r}")
    return Path(path)


def _check_replaceable(path: Path, kind: str, is_one: Callable[[Path], bool]) -> None:
    if os.path.lexists(path) and not (path.is_dir() and (not any(path.iterdir()) or is_one(path))):
        raise ArgumentError(f"`path`: {os.fspath(path)!r} exists and is no {kind}; name a new folder")


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Say what to do where the place or the disk takes nothing."""
    try:
        yield
    except OSError as error:
        if error.errno not in OF_DISKS:
            raise
        raise ArgumentError(
            f"`path`: can't write {os.fspath(path)!r} ({error.strerror or error}); name another place"
        ) from error


def standing(path: str | os.PathLike[str]) -> Path:
    """The folder to read for `path`: itself, or the old one where a writer without exchange was killed."""
    path = Path(path)
    with suppress(OSError, ValueError):  # of a name that no disk takes, where nothing stands
        aside = _aside(path.resolve())
        return aside if aside.is_dir() and not path.exists() else path
    return path


def remove_left(folder: Path) -> None:
    """Remove from a folder what killed writers left in it."""
    for lock in folder.glob(f"{BESIDE}*{LOCK}"):
        _remove_if_left(lock)


def file_digest(path: Path) -> str:
    """The digest of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def json_digest(values: Mapping[str, Any]) -> str:
    """The digest of JSON values, less the one called `digest`, which holds it in a file."""
    rest = {name: value for name, value in values.items() if name != "digest"}
    return hashlib.blake2b(json.dumps(rest, sort_keys=True).encode(), digest_size=16).hexdigest()


def seal(path: Path) -> None:
    """Append the digest of a file's bytes, of a format whose readers don't look behind its end."""
    with path.open("r+b") as file:
        digest = _quick_digest(file, path.stat().st_size)
        file.seek(0, os.SEEK_END)
        file.write(digest)
    _to_disk(path)


def is_sealed(path: Path) -> bool:
    """Whether a file ends with the digest that `seal` appended, and is what it was then. Reads some 3 GB a second."""
    with path.open("rb") as file:
        digest = _quick_digest(file, path.stat().st_size - SEAL_BYTES)
        return file.read() == digest


def _quick_digest(file: BinaryIO, size: int) -> bytes:
    """The digest of the next bytes of a file."""
    digest = xxhash.xxh3_128()
    while size > 0 and (part := file.read(min(size, PART_BYTES))):
        digest.update(part)
        size -= len(part)
    return digest.digest()


def _put(folder: Path, path: Path) -> None:
    """Move a folder to `path`; one that is there is afterwards where the new one was, or gone."""
    if not path.exists() and (aside := _aside(path)).exists():
        aside.rename(path)
    try:
        folder.rename(path)  # which replaces nothing, or an empty folder
    except OSError:
        if not path.is_dir():
            raise
        if not _exchanged(folder, path):
            _put_by_two_renames(folder, path)


def _put_by_two_renames(folder: Path, path: Path) -> None:
    aside = _aside(path)
    shutil.rmtree(aside, ignore_errors=True)  # what a kill after both renames left
    try:
        path.rename(aside)
        folder.rename(path)
    finally:
        if not path.exists():
            aside.rename(path)
    shutil.rmtree(aside, ignore_errors=True)


def _aside(path: Path) -> Path:
    return path.parent / f".{path.name}.hf_prune-old"


def _exchanged(one: Path, other: Path) -> bool:
    """Exchange two folders in one step; False where the system or the disk can't."""
    system: Any = ctypes.CDLL(None, use_errno=True) if sys.platform in ("linux", "darwin") else None
    if hasattr(system, "renameat2"):
        paths = _AT_HERE, os.fsencode(one), _AT_HERE, os.fsencode(other)
        return bool(system.renameat2(*paths, _LINUX_EXCHANGE) == 0)
    if hasattr(system, "renamex_np"):
        return bool(system.renamex_np(os.fsencode(one), os.fsencode(other), _MAC_SWAP) == 0)
    return False


@contextmanager
def _folder_beside(path: Path) -> Iterator[Path]:
    """Gives a folder on the same disk, from which a rename is one step; whatever is in it is removed afterwards."""
    path.parent.mkdir(parents=True, exist_ok=True)
    remove_left(path.parent)
    folder = path.parent / f"{BESIDE}{uuid.uuid4().hex[:12]}"
    lock = folder.with_suffix(LOCK)
    try:
        with FileLock(lock):
            folder.mkdir()
            yield folder
    finally:
        _remove_if_left(lock)


def _remove_if_left(lock: Path) -> None:
    """Remove a folder beside, and then its lock, unless its writer lives."""
    with suppress(Timeout, OSError), FileLock(lock, timeout=0):
        shutil.rmtree(lock.with_suffix(""), ignore_errors=True)
        lock.unlink(missing_ok=True)


def _to_disk(path: Path) -> None:
    """Wait until a file or a folder's list of files would outlive a power cut."""
    if os.name == "nt" and path.is_dir():
        return  # which Windows can't open
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
