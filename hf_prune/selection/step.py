"""One call of `prune`, on record."""

from dataclasses import dataclass, field
from typing import Any

from hf_prune.config import describe, from_config
from hf_prune.errors import ArgumentError, ArgumentTypeError


@dataclass(frozen=True)
class Step:
    """One call of `prune`.

    Attributes:
        method: the method and all its options, as `to_config` writes them.
        keep: as the user gave it.
        seed: the seed.
        n: rows that the step saw.
        budget: rows that it kept.
        signals: what was read, by signal.
        details: what the method reports of its run, as JSON values.
        versions: of hf_prune and the libraries that decide the result.
    """

    method: dict[str, Any]
    keep: float | int
    seed: int
    n: int
    budget: int
    signals: dict[str, Any] = field(default_factory=dict)
    details: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{describe(self.method)} kept {self.budget} of {self.n} rows, seed {self.seed}"

    def build(self) -> Any:
        """The method with its options; None where it is not known here, as one of a package that is not imported."""
        try:
            return from_config(self.method)
        except (ArgumentError, ArgumentTypeError):
            return None
