"""What `recommend` answers: a coreset with a promise, or that there is none, in words and in numbers."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from datasets import Dataset

from hf_prune.comparison.certify import POWER, Certificate, fewest_rows
from hf_prune.comparison.results import size_text
from hf_prune.groups import printable

On = Literal["average", "worst_class", "worst_group"]

MEASURES: Mapping[On, str] = {"average": "on average", "worst_class": "in any class", "worst_group": "in any group"}

ALL = "all"
"""The name of all held-out rows, where they are certified together."""

AGREEMENT = "on 6 data sets the size that it proposed was certified for a small network in 35 of 60 splits"
"""What RESULTS.md has of the proxy and a network; six data sets support no more than 6 of 7 for another one."""

Verdict = Literal["prune", "don't prune", "can't say"]


@dataclass(frozen=True, eq=False)
class SizeTest:
    """One size that was tested.

    Attributes:
        method: its name; None where nothing was tried, for want of held-out rows.
        keep: the size as it was given, and `kept` in rows.
        certificates: of all rows, or one for each class or group.
    """

    method: str | None
    keep: float | int
    kept: int
    certificates: tuple[Certificate, ...]

    @property
    def passed(self) -> bool:
        """Whether the limit is certified for all of them."""
        return all(one.passed for one in self.certificates)

    @property
    def clearest(self) -> Certificate:
        """The certificate that says least for this size: the one of the largest p-value, then of the largest loss."""
        return max(self.certificates, key=lambda one: (one.p_value, one.loss if one.rows else 1.0))

    @property
    def is_refuted(self) -> bool:
        """Whether the rows speak against the limit, rather than not clearly enough for it."""
        return any(one.is_refuted for one in self.certificates)

    def __str__(self) -> str:
        one, size = self.clearest, f"{size_text(self.keep)} ({self.kept:,} rows)"
        whose = "" if one.name == ALL else f" of {printable(one.name)}"
        if self.method is None:
            fewest = fewest_rows(one.max_loss, one.confidence)
            there_are = f"there are {one.rows:,} held-out rows{whose}"
            return (
                f"{size}: nothing was tried; {there_are}, and with fewer than {fewest:,} no test certifies the limit"
            )
        difference = f"a {'gain' if one.loss < 0 else 'loss'} of {points(abs(one.loss))}"
        return (
            f"{size} by {self.method!r}: {'certified' if self.passed else 'not certified'}; of {one.rows:,} held-out "
            f"rows{whose} {one.worse:,} are right with all rows alone, {one.better:,} with these alone, {difference}"
        )


@dataclass(frozen=True, eq=False)
class Recommendation:
    """The smallest coreset whose loss against all rows is certified to be within a limit, or why there is none.

    `print(recommendation)` says it in words.

    Attributes:
        verdict: "prune"; "don't prune", where the held-out rows lose more than the limit at the first size that is
            tested; or "can't say", where they are too few to tell.
        coreset: the rows to keep, with their record in `.selection`; None unless the verdict is "prune".
        method: its name, and `arguments` those of `prune`; None likewise.
        on, max_loss, confidence: as they were asked for.
        tested: the sizes that were tested, in this order; a size after one that failed was not.
        proposals: for each method and size the loss on the proposal's rows, a mean over seeds, on average or of the
            worst class or group. The method was chosen by it; it carries no promise.
        is_confirmed: whether the models are the user's own, by `confirm`, and not the proxy.
        rows: the training rows that coresets are of.
    """

    verdict: Verdict
    on: On
    max_loss: float
    confidence: float
    rows: int
    tested: tuple[SizeTest, ...]
    proposals: Mapping[tuple[str, float | int], float]
    is_confirmed: bool = False
    coreset: Dataset | None = None
    method: str | None = None
    arguments: Mapping[str, Any] | None = None

    @property
    def promised(self) -> SizeTest | None:
        """The smallest size that is certified, if there is one."""
        return self.tested[-1 if self.tested[-1].passed else -2] if self.tested[0].passed else None

    @property
    def keep(self) -> float | int | None:
        """Its size."""
        return None if self.promised is None else self.promised.keep

    @property
    def rows_needed(self) -> int | None:
        """About how many rows would have to certify, so that all pass in 4 of 5 tries: see Certificate.rows_for."""
        if self.verdict != "can't say":
            return None
        certificates = self.tested[0].certificates
        total, power = sum(one.rows for one in certificates), POWER ** (1 / len(certificates))
        return max(round(one.rows_for(power) * total / max(1, one.rows)) for one in certificates if not one.passed)

    def __str__(self) -> str:
        lines = [self._decision(), *(f"  {tested}" for tested in self.tested)]
        if self.is_confirmed and self.verdict != "prune":
            lines.append("  No other size was tried with `confirm`; pass larger ones alone, as in keep=[0.9].")
        elif self.is_confirmed:
            lines.append("  It holds for the two models that `confirm` trained; others vary as their seeds do.")
        elif self.verdict == "prune":
            lines.append(
                f"  It holds for the proxy, a linear classifier of the embeddings, of one seed; {AGREEMENT}. Pass "
                "confirm= to certify the model that you train."
            )
        return "\n".join(lines)

    def _decision(self) -> str:
        limit = f"{points(self.max_loss)} {MEASURES[self.on]}, at {self.confidence:.0%} confidence"
        if self.promised is not None:
            return (
                f"Keep {self.promised.kept:,} of {self.rows:,} rows ({size_text(self.promised.keep)}) by "
                f"{self.method!r}: against all rows a model loses at most {limit}."
            )
        largest = self.tested[0]
        failed = max((one for one in largest.certificates if not one.passed), key=lambda one: one.p_value)
        if self.verdict == "don't prune":
            return f"Don't prune: keeping {size_text(largest.keep)} loses more than {limit}."
        whose = "" if failed.name == ALL else f" of {printable(failed.name)}"
        return (
            f"Can't say: too few held-out rows to promise a loss of at most {limit}. It takes about "
            f"{self.rows_needed:,} that certify; there are {failed.rows:,}{whose}, which could certify a limit of "
            f"{points(failed.limit)}."
        )


def points(share: float) -> str:
    """A share as percentage points.

    >>> points(0.0123), points(-0.5)
    ('1.23 points', '-50 points')
    """
    return f"{100 * share:.3g} points"
