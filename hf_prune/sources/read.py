"""A dataset from wherever it lies: the Hub, a saved dataset, a folder, or files of several formats."""

import glob
import re
from pathlib import Path
from typing import Any

from datasets import Dataset, DatasetDict, load_dataset, load_from_disk
from datasets.exceptions import DatasetsError

from hf_prune.errors import ArgumentError
from hf_prune.files import standing

FORMATS = {
    ".parquet": "parquet",
    ".csv": "csv",
    ".tsv": "csv",
    ".json": "json",
    ".jsonl": "json",
    ".ndjson": "json",
    ".txt": "text",
}
"""By the end of a file's name the builder of datasets that reads it; compressed files have one more ending."""

_OTHER_FILES = {".safetensors", ".npy", ".arrow"}
_COMPRESSED = {".gz", ".bz2", ".xz", ".zst"}
_WITHOUT_ROWS = ("corresponds to no data", "Please pass `features`")
_HUB_ID = re.compile(r"[\w-][\w.-]*(/[\w-][\w.-]*)?")
_OF_DATASET, _OF_SPLITS = "state.json", "dataset_dict.json"
_SHARD = re.compile(r"data-\d{5}-of-\d{5}\.arrow")


def read_splits(source: str, *, config: str | None = None, revision: str | None = None) -> DatasetDict:
    """The splits that `source` holds; "train" where it tells of none.

    Args:
        source: the folder of a saved dataset, a folder of images or of data files, a file or a pattern of files in
            Parquet, CSV, JSON (lines) or text, or else the id of a dataset on the Hub, which is downloaded.
        config, revision: of a dataset on the Hub, or of a folder whose card has configs.

    Raises:
        ArgumentError: there is nothing, nothing that can be read, or no row.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder, "pets.csv")
    ...     _ = file.write_text("text,label\\nmeow,cat\\nwoof,dog\\n")
    ...     read_splits(str(file))["train"]["label"][:]
    ['cat', 'dog']
    """
    path = standing(Path(source).expanduser())
    if is_saved_dataset(path):
        return _as_splits(_attempt(f"the saved dataset in {source!r}", load_from_disk, str(path)))
    if path.is_dir():
        return _as_splits(_attempt(f"the folder {source!r}", load_dataset, str(path.resolve()), config))
    if files := [path] if path.is_file() else sorted(map(Path, glob.glob(str(path), recursive=True))):
        return _as_splits(_files(source, files))
    if is_hub_id(source):
        where = f"{source!r}, which is no file or folder here, from the Hub"
        return _as_splits(_attempt(where, load_dataset, source, config, revision=revision))
    raise ArgumentError(f"`source`: no file or folder {source!r}")


def one_split(splits: DatasetDict, split: str | None = None) -> Dataset:
    """The split that is asked for, or else "train", or the only one.

    Raises:
        ArgumentError: it isn't there, or nothing says which one is meant.
    """
    name = split or default_split(splits)
    if name not in splits:
        raise ArgumentError(f"`split`: no split {name!r} in {list(splits)}; name one of these, as in split=")
    return splits[name]


def default_split(splits: DatasetDict) -> str:
    """The split that is meant where none is named: the only one, or "train"."""
    return next(iter(splits)) if len(splits) == 1 else "train"


def is_hub_id(source: str) -> bool:
    """Whether `source` may be the id of a repository rather than the name of a file."""
    ends = Path(source).suffix in _OTHER_FILES or file_format(Path(source)) is not None
    return _HUB_ID.fullmatch(source) is not None and not ends


def is_saved_dataset(folder: Path) -> bool:
    """Whether `folder` is what `save_to_disk` wrote."""
    return (folder / _OF_DATASET).is_file() or (folder / _OF_SPLITS).is_file()


def holds_nothing_else(folder: Path, beside: str) -> bool:
    """Whether all that is in the folder of a saved dataset is `save_to_disk`'s, or a folder called `beside`."""
    if (folder / _OF_SPLITS).is_file():
        others = [path for path in folder.iterdir() if path.name != _OF_SPLITS]
        return all(is_saved_dataset(path) and holds_nothing_else(path, beside) for path in others)
    known = {_OF_DATASET, "dataset_info.json", beside}
    return is_saved_dataset(folder) and all(
        path.name in known or _SHARD.fullmatch(path.name) for path in folder.iterdir()
    )


def file_format(path: Path) -> str | None:
    """The builder that reads a file, by its name; None where there is none."""
    name = path.with_suffix("") if path.suffix in _COMPRESSED else path
    return FORMATS.get(name.suffix.lower())


def _files(source: str, files: list[Path]) -> Any:
    formats = {file_format(file) for file in files}
    if len(formats) != 1 or None in formats:
        endings = sorted({"".join(file.suffixes[-2:]) or file.name for file in files})
        raise ArgumentError(
            f"`source`: wanted files of one format in {source!r}, that end in {', '.join(FORMATS)}; got {endings}"
        )
    (builder,) = formats
    options = {"sep": "\t"} if ".tsv" in files[0].suffixes else {}
    return _attempt(repr(source), load_dataset, builder, data_files=[str(file.resolve()) for file in files], **options)


def _attempt(what: str, load: Any, *args: Any, **options: Any) -> Any:
    try:
        return load(*args, **options)
    except (DatasetsError, OSError, ValueError, StopIteration) as error:  # the last from an empty file of JSON
        cause: BaseException = error
        while cause.__cause__ is not None:  # datasets says what is wrong with a file only there
            cause = cause.__cause__
        said = str(cause).strip() or type(cause).__name__
        if isinstance(cause, StopIteration) or any(part in said for part in _WITHOUT_ROWS):
            said = "there are no rows in it"
        raise ArgumentError(f"`source`: can't read {what}: {said}") from error


def _as_splits(data: Dataset | DatasetDict) -> DatasetDict:
    return data if isinstance(data, DatasetDict) else DatasetDict({str(data.split or "train"): data})
