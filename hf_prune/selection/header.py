"""selection.json: what was done, with digests of the files beside it and of itself; written and read within bounds."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hf_prune.files import file_digest, json_digest

FORMAT = "hf_prune.selection/3"

MOST_JSON, MOST_TEXT, MOST_NESTED = 2**25, 100_000, 32
"""Bytes of the file, characters of one text in it, and lists in lists, beyond which it is taken for made up."""

MOST_VALUES = 2**20
"""Values of the file, which take some 70 bytes each however few they take in it."""

MOST_NAMES = 2**26
"""Characters of a column in which the names of all groups stand below each other."""


@dataclass(frozen=True)
class Header:
    """What stands in selection.json; a value of another type is refused when it is read.

    Attributes:
        class_column: the column of classes, which is "group" where these are the groups.
        files: by name the digests of the files beside it.
        digest: of all else here.
    """

    format: str
    rows: int
    kept: int
    at_least: int
    steps: list[dict[str, Any]]
    origin: dict[str, Any]
    digests: dict[str, str]
    evidence: dict[str, str]
    group_values: list[Any] | None = None
    group_names: list[str] | None = None
    class_values: list[Any] | None = None
    class_names: list[str] | None = None
    class_column: str | None = None
    id_column: str | None = None
    pruned_digests: dict[str, str] | None = None
    files: dict[str, str] | None = None
    digest: str = ""


def header_text(values: dict[str, Any], others: list[Path]) -> str:
    """The JSON text of a header, with the digests of the other files of its record and its own.

    Raises:
        ValueError: `check_header` would refuse it.
    """
    plain = json.loads(json.dumps(values | {"files": {file.name: file_digest(file) for file in others}}))
    text = json.dumps(plain | {"digest": json_digest(plain)}, indent=2)
    _check_text(text.encode())
    _check_bounds(plain)
    return text


def read_header(path: Path) -> dict[str, Any] | None:
    """What stands in a selection.json; None if it is not of our format.

    Raises:
        OSError, ValueError, RecursionError: it can't be read, is no JSON, or too large.
    """
    with path.open("rb") as file:
        text = file.read(MOST_JSON + 1)
    _check_text(text)
    header = json.loads(text.decode("utf-8"))
    return header if isinstance(header, dict) and header.get("format") == FORMAT else None


def check_header(header: dict[str, Any], folder: Path) -> None:
    """Refuse a header that isn't what was written, or would take more than its share, or files that aren't.

    Raises:
        OSError, ValueError: with what is wrong.
    """
    _check_bounds(header)
    if header.get("digest") != json_digest(header):
        raise ValueError("its values aren't those that were written")
    for name, digest in header["files"].items():
        if Path(name).name != name or file_digest(folder / name) != digest:
            raise ValueError(f"the bytes of {name!r} aren't those that were written")


def _check_text(text: bytes) -> None:
    if len(text) > MOST_JSON:
        raise ValueError(f"more than {MOST_JSON:,} bytes of JSON: are there too many groups?")
    # Marks within texts count, too: they are few.
    if (values := sum(map(text.count, (b",", b"[", b"{")))) > MOST_VALUES:
        raise ValueError(f"some {values:,} values in JSON, wanted {MOST_VALUES:,} at most: are there too many groups?")


def _check_bounds(header: dict[str, Any]) -> None:
    level: list[Any] = [header]
    for _ in range(MOST_NESTED):
        texts = [item for item in level if isinstance(item, str)]
        if (longest := max(map(len, texts), default=0)) > MOST_TEXT:
            raise ValueError(f"a text of {longest:,} characters, wanted {MOST_TEXT:,} at most")
        level = [item for whole in level if isinstance(whole, dict | list) for item in _items(whole)]
    if level:
        raise ValueError(f"values nested deeper than {MOST_NESTED} levels")
    for names in (header.get("group_names"), header.get("class_names")):
        texts = [name for name in names if isinstance(name, str)] if isinstance(names, list) else []
        if (characters := len(texts) * max(map(len, texts), default=0)) > MOST_NAMES:
            raise ValueError(f"names of groups that fill {characters:,} characters below each other")


def _items(whole: dict[str, Any] | list[Any]) -> list[Any]:
    return [*whole.keys(), *whole.values()] if isinstance(whole, dict) else whole
