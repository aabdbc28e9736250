"""Values as they are typed in a shell: numbers, names, JSON, and files that stand for what is in them."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import typer

from hf_prune.config import PRUNE_KEYWORDS, from_config
from hf_prune.errors import ArgumentError


def number(text: str) -> int | float:
    """A count such as 1000, or a fraction such as 0.3.

    Raises:
        typer.BadParameter: it is neither.
    """
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    raise typer.BadParameter(f"wanted a count such as 1000 or a fraction such as 0.3, got {text!r}")


def number_or_word(text: str | float) -> int | float | str:
    """A number where it is one; a default, which typer passes here, too, as it is."""
    if not isinstance(text, str):
        return text
    try:
        return number(text)
    except typer.BadParameter:
        return text


def option(text: str) -> tuple[str, Any]:
    """The name and the value of an option such as k=10, whose value is JSON or else a text.

    Raises:
        typer.BadParameter: there is no "=".
    """
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise typer.BadParameter(f"wanted NAME=VALUE, as in k=10, got {text!r}")
    try:
        return name.replace("-", "_"), json.loads(value)
    except ValueError:
        return name.replace("-", "_"), value


def built(argument: str, value: Any) -> Any:
    """The method, score or quotas that a mapping describes, as it stands in a selection.json, or in a text; else the
    value itself."""
    if isinstance(value, str) and value.startswith("{"):
        value = _json(argument, value)
    return from_config(value) if isinstance(value, Mapping) else value


def own_options(given: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """The method's own options, the scores among them built, of which a name is enough.

    Raises:
        ArgumentError: one twice, or one that `prune` has for every method.
    """
    options: dict[str, Any] = {}
    for name, value in given:
        if name in options:
            raise ArgumentError(f"--option {name} was given twice")
        if name in PRUNE_KEYWORDS:
            raise ArgumentError(f"--option {name}: it is of every method; type --{name.replace('_', '-')} instead")
        options[name] = built(name, {"score": value} if name == "score" and isinstance(value, str) else value)
    return options


def read_json(argument: str, value: str) -> Any:
    """What a text of JSON, or a file with one, holds."""
    path = Path(value)
    if value.lstrip()[:1] in ("{", "["):
        return _json(argument, value)
    if not path.is_file():
        raise ArgumentError(f"`{argument}`: wanted JSON, as in '{{\"cat\": 0.6}}', or a file of it; got {value!r}")
    return _json(f"{argument} in {value!r}", path.read_text(encoding="utf-8"))


def array_or_column(argument: str, value: str) -> Any:
    """The array in a .npy file, mapped; any other value is the name of a column."""
    if not value.endswith(".npy"):
        return value
    try:
        return np.load(value, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise ArgumentError(f"`{argument}`: can't read {value!r}: {error}") from error


def _json(what: str, text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise ArgumentError(f"`{what}`: wanted JSON, got {text[:80]!r}: {error}") from error
