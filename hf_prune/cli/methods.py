"""`hf-prune methods`: what `--method` takes."""

import dataclasses
import inspect
from typing import Annotated, Any

import typer

from hf_prune.arguments import did_you_mean
from hf_prune.cli.command import Answer
from hf_prune.config import Configurable, options_of, registered
from hf_prune.errors import ArgumentError

_GIVEN_AS = {"groups": "labels", "rows": "columns"}
"""What users call a signal that they don't pass as one."""


def methods(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="Show all of this one.", show_default=False)
    ] = None,
) -> Answer:
    """List the methods and what they need.

    A need is an option of `hf-prune prune` of the same name. With the name of a method show its own options.

    \b
    hf-prune methods
    hf-prune methods d2
    """
    classes = registered("method") | registered("score")
    if name is not None:
        if name not in classes:
            raise ArgumentError(f"no method {name!r}.{did_you_mean(name, classes)} There are {sorted(classes)}")
        return Answer(inspect.getdoc(classes[name]) or "", _about(classes[name]))
    rows = [_about(classes[known]) for known in sorted(classes)]
    table = [("name", "needs", "keeps"), *((row["name"], ", ".join(row["needs"]), row["keeps"]) for row in rows)]
    names, needs = (max(len(line[column]) for line in table) for column in (0, 1))
    return Answer("\n".join(f"{line[0]:<{names}}  {line[1]:<{needs}}  {line[2]}" for line in table), {"methods": rows})


def _about(cls: type[Configurable]) -> dict[str, Any]:
    required = [
        field.name
        for field in dataclasses.fields(cls)  # type: ignore[arg-type]  # every subclass is a dataclass
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    ]
    signals = [_GIVEN_AS.get(signal, signal) for signal in sorted(cls.reads if required else cls().needs)]
    keeps = (inspect.getdoc(cls) or "").split("\n\n")[0]
    return {
        "name": cls.name,
        "needs": [*signals, *(f"option {name}" for name in required)],
        "keeps": " ".join(keeps.split()),
        "options": list(options_of(cls)),
        "reference": cls.reference,
    }
