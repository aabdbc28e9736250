"""Which files of a repository are its data, said in the card: else load_dataset takes records beside them for data."""

import glob
import re
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

from datasets import load_dataset_builder
from huggingface_hub import HfApi
from huggingface_hub.hf_api import DatasetInfo

from hf_prune.hub.card_text import parsed
from hf_prune.hub.repository import CARD, FOLDER

Splits = Mapping[str, list[str]]
"""For each split the paths of its files, or patterns of them."""

_SHARDS = re.compile(r"data/[^/]+-\d{5}-of-\d{5}[^/]*\.[^/]+")
"""Files that load_dataset takes for the data whatever lies beside them."""


def with_data_files(card: str, api: HfApi, info: DatasetInfo, coming: Mapping[str, Splits]) -> str:
    """The card, with the files named that load_dataset reads now by their names alone.

    Else `hf_prune/default/train/selection.parquet` would be the split "train", and a `train.csv` no longer.

    datasets' own MetadataConfigs would write the features of a config as Python objects, so the entries stay plain.

    Args:
        card: of the commit that `info` describes.
        coming: by config the data of the next commit, in Parquet. What datasets forgets then isn't named: other splits
            of a config that it goes into, and files of other formats, which it can't keep beside. If nothing is left,
            `coming` is named, so that load_dataset finds no data, rather than the record, after a push that was cut.
    """
    whole = parsed(card)
    by_names = not whole.data.get("configs")
    configs = [{"config_name": "default"}] if by_names else whole.data["configs"]
    if not isinstance(configs, list) or not all(isinstance(config, dict) for config in configs):
        return card  # load_dataset refuses it too
    data, changed = _data(info), False
    for config in configs:
        if "data_files" in config or "data_dir" in config:
            continue
        name = str(config.get("config_name", "default"))
        read = _read_now(api, info, None if by_names else name) if data else {}
        if read and all(_SHARDS.fullmatch(file) for files in read.values() for file in files):
            return card
        if name in coming:
            read = {split: files for split, files in read.items() if split in coming[name]}
        elif coming and not all(file.endswith(".parquet") for files in read.values() for file in files):
            read = {}
        splits: Splits = {split: _patterns(files, data) for split, files in read.items()} or coming.get(name, {})
        if splits:
            config["data_files"], changed = _entries(splits), True
    if by_names and not changed:
        configs = [{"config_name": name, "data_files": _entries(splits)} for name, splits in coming.items()]
        changed = bool(configs)
    if not changed:
        return card
    whole.data["configs"] = configs
    return str(whole)


def _data(info: DatasetInfo) -> list[str]:
    """The files that may be data."""
    files = [file.rfilename for file in info.siblings or []]
    return [file for file in files if not file.startswith((f"{FOLDER}/", ".")) and file != CARD]


def _read_now(api: HfApi, info: DatasetInfo, config: str | None) -> dict[str, set[str]]:
    """The files that load_dataset reads now for each split; empty where it reads nothing."""
    try:
        builder = load_dataset_builder(info.id, config, revision=info.sha, token=api.token)
    except (OSError, ValueError, RuntimeError):  # no data, or none that it can read: nothing that could be spoiled
        return {}
    base, data = f"hf://datasets/{info.id}@{info.sha}/", set(_data(info))
    by_split = (builder.config.data_files or {}).items()
    read = {str(split): data & {path.removeprefix(base) for path in paths} for split, paths in by_split}
    return {split: files for split, files in read.items() if files}


def _patterns(read: set[str], data: list[str]) -> list[str]:
    """Patterns of the folders that hold nothing else, because people keep adding files to these, and other files."""
    shared = {folder for file in data if file not in read for folder in PurePosixPath(file).parents}
    patterns = set()
    for file in read:
        folders = list(PurePosixPath(file).parents)[-2::-1]  # outermost first, without the repository itself
        own = next((folder for folder in folders if folder not in shared), None)
        patterns.add(glob.escape(file) if own is None else f"{glob.escape(str(own))}/**")
    return sorted(patterns)


def _entries(splits: Splits) -> list[dict[str, Any]]:
    return [{"split": split, "path": files[0] if len(files) == 1 else files} for split, files in splits.items()]
