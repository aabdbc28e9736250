"""From the results of this folder to the speed table in RESULTS.md."""

import json
from pathlib import Path
from statistics import median
from typing import Any

RESULTS = Path(__file__).parent / "results.json"


def text(file: Path = RESULTS) -> str:
    """Markdown of what `run.py` wrote to the file."""
    return table(json.loads(file.read_text(encoding="utf-8"))) + "\n"


def table(record: dict[str, Any]) -> str:
    """Markdown: the machine and one row for each contrast."""
    lines = [
        _described(record),
        "",
        "| case | ours, CPU s (wall s) | beside it, CPU s (wall s) | CPU, ratio | wall, ratio |",
        "|---|---|---|---|---|",
    ]
    for case in record["cases"].values():
        seconds = case["seconds"]
        if "peak_mb" in case:
            lines.append(f"| {case['title']} | {case['peak_mb']:.0f} MB {case['checked']} | | | |")
        elif not case["ratios"]:
            lines.append(f"| {case['title']} | {' '.join(_seconds(side) for side in seconds.values())} | | | |")
        for contrast in case["ratios"]:
            of, to = contrast["of"], contrast["to"]
            title = case["title"] + (f": `{of}`" if of in PARTS else "")
            lines.append(
                f"| {title} | {_seconds(seconds[of])} | {to}: {_seconds(seconds[to])} "
                f"| {_ratio(contrast['cpu'])} | {_ratio(contrast['wall'])} |"
            )
    return "\n".join(lines)


PARTS = ("union_graph", "messages", "pick")
"""Sides that are a part of what their case times."""


def _described(record: dict[str, Any]) -> str:
    machine = record["machine"]
    versions = ", ".join(f"{name} {version or 'not installed'}" for name, version in machine["versions"].items())
    units = f"bf16 units ({machine['bf16 units']})" if machine["bf16 units"] else "no bf16 units"
    dates = sorted({case["date"] for case in record["cases"].values()})
    scale = "" if record["scale"] == 1 else f" A try at {record['scale']:g} of the full sizes."
    return (
        f"{machine['processor']}, {machine['cores']} cores, {units}; Python {machine['python']}, {versions}; "
        f"{' to '.join(dict.fromkeys([dates[0], dates[-1]]))}.{scale}"
    )


def _seconds(side: dict[str, list[float]]) -> str:
    return f"{_short(median(side['cpu']))} ({_short(median(side['wall']))})"


def _ratio(of: list[float]) -> str:
    middle, least, largest = map(_short, of)
    return f"**{middle}** ({middle})" if least == largest else f"**{middle}** ({least} to {largest})"


def _short(value: float) -> str:
    """Three digits, or whole numbers."""
    return f"{value:.0f}" if value >= 100 else f"{value:#.3g}"
