"""What every subcommand has: `--json` and `--debug`, an answer alone on stdout, and errors of one line and a code."""

import contextlib
import functools
import inspect
import json
import logging
import math
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, NoReturn

import numpy as np
import typer

from hf_prune.cli.spelling import in_the_shell
from hf_prune.errors import HFPruneError

FAILED = 1
"""The exit code of errors; typer's own is 2 for usage and 130 for Ctrl-C."""

_OPTIONS = {
    "as_json": Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")],
    "debug": Annotated[bool, typer.Option("--debug", help="Show where an error comes from.")],
}


@dataclass(frozen=True)
class Answer:
    """What a subcommand found or did: for people, and for programs as a mapping of JSON values."""

    text: str
    document: Mapping[str, Any]


def command(function: Callable[..., Answer]) -> Callable[..., None]:
    """The subcommand whose work `function` does: its options are the arguments of the function, and those of all.

    What the work prints goes to stderr, as its progress and its warnings do.
    """

    @functools.wraps(function)
    def run(*, as_json: bool, debug: bool, **given: Any) -> None:
        with _errors(debug):
            with contextlib.redirect_stdout(sys.stderr), _silent(None if debug else "datasets"):
                answer = function(**given)
            print(json.dumps(_plain(answer.document), indent=2) if as_json else answer.text, flush=True)

    of_all = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=False, annotation=kind)
        for name, kind in _OPTIONS.items()
    ]
    signature = inspect.signature(function)
    run.__signature__ = signature.replace(parameters=[*signature.parameters.values(), *of_all])  # type: ignore[attr-defined]
    run.__annotations__ = function.__annotations__ | _OPTIONS | {"return": None}
    return run


@contextlib.contextmanager
def _errors(debug: bool) -> Iterator[None]:
    """Let no error out but those that typer reports; with `debug` all."""
    try:
        yield
    except (typer.BadParameter, typer.Exit, BrokenPipeError):
        raise
    except Exception as error:  # the end of the line: a user sees a sentence, whatever went wrong
        if debug:
            raise
        _fail(error)


def _fail(error: Exception) -> NoReturn:
    from hf_prune.hub.client import TransportError

    said = " ".join([str(error), *getattr(error, "__notes__", ())])
    if isinstance(error, HFPruneError):
        said = in_the_shell(said)
    elif isinstance(error, OSError) and error.strerror and error.filename:
        said = f"{os.fsdecode(error.filename)}: {error.strerror}"
    elif isinstance(error, TransportError):
        said = f"the Hub, where what is no file or folder here is looked for, can't be reached: {said}"
    else:
        said = f"{type(error).__name__}: {said}; --debug shows where it comes from"
    print("error:", " ".join(said.split()), file=sys.stderr)
    raise typer.Exit(FAILED) from error


@contextlib.contextmanager
def _silent(library: str | None) -> Iterator[None]:
    """Keep a library from logging errors that it also raises."""
    logger = logging.getLogger(library)
    level = logger.level
    if library is not None:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)


def _plain(value: Any) -> Any:
    """The value as JSON has it, which knows neither NaN nor infinity."""
    if isinstance(value, Mapping):
        return {str(name): _plain(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    if isinstance(value, np.generic):
        return _plain(value.item())
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    return None if isinstance(value, float) and not math.isfinite(value) else value
