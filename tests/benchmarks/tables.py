"""Every generated part of RESULTS.md and of the README, from the results in the folders and nothing else.

    python -m tests.benchmarks tables

A part stands between the marks `<!-- NAME: begin -->` and `<!-- NAME: end -->`.
"""

import re
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from tests.benchmarks import overview
from tests.benchmarks.cost import table as cost
from tests.benchmarks.promise import table as promise
from tests.benchmarks.quality import table as quality
from tests.benchmarks.speed import table as speed
from tests.benchmarks.suspects import table as suspects
from tests.benchmarks.worst_class import table as worst_class

ROOT = Path(__file__).parents[2]
DOCUMENTS = (ROOT / "RESULTS.md", ROOT / "README.md")
PARTS: dict[str, Callable[[], str]] = {
    "speed": speed.text,
    "recording": partial(cost.text, "recording"),
    "embedding": partial(cost.text, "embedding"),
    "digest": partial(cost.text, "digest"),
    "growth": partial(cost.text, "growth"),
    "quality": quality.text,
    "worst class": worst_class.text,
    "suspects": suspects.text,
    "promise": promise.text,
    "overview": overview.text,
}
PART = re.compile(r"(<!-- ([\w ]+): begin -->\n).*?(<!-- \2: end -->)", re.DOTALL)


def filled(document: str) -> str:
    """The document with every part between its marks written anew."""
    return PART.sub(lambda part: f"{part[1]}{PARTS[part[2]]()}{part[3]}", document)


def main(argv: Sequence[str] | None = None) -> None:
    for file in DOCUMENTS:
        file.write_text(filled(file.read_text(encoding="utf-8")), encoding="utf-8")
    overview.draw()
