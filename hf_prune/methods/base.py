"""What every method is: a frozen dataclass that turns signals, a budget and a seed into a Choice."""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from hf_prune.config import Configurable
from hf_prune.groups import Groups
from hf_prune.methods.choice import Choice
from hf_prune.selection.evidence import Evidence
from hf_prune.selection.explain import Row
from hf_prune.signals.signals import Signals


class Method(Configurable):
    """Base of the methods; a subclass has a `name`, says in `reads` which signals it reads, and has `select`.

    All else has defaults, which pass the question on to the method in the field `within`, if there is one.
    """

    kind = "method"

    cutoff_by_default: ClassVar[bool] = False
    """Whether `cutoff=None` of `prune` means "auto" where the signals for it are there."""

    derivable: ClassVar[frozenset[str]] = frozenset()
    """Evidence that follows from the rest, and is left out where the record is to be small."""

    def select(self, signals: Signals, budget: int, seed: int) -> Choice:
        """Exactly `budget` of the rows of `signals`, 0 <= budget <= n, as positions in `signals`."""
        raise NotImplementedError

    def scores(self, signals: Signals, seed: int) -> NDArray[Any]:
        """(n,) the score by which the method would judge every row of `signals`; NaN where it has none.

        A modifier asks for it where it shows the method only some of the rows.
        """
        return np.full(len(signals), np.nan) if self._inside is None else self._inside.scores(signals, seed)

    def groups(self, signals: Signals) -> Groups | None:
        """The groups between which the method shares the budget out, or None."""
        return None if self._inside is None else self._inside.groups(signals)

    def explain(self, row: Row) -> list[str]:
        """Lines that say why a row was kept or dropped."""
        return row.by_score() if self._inside is None else self._inside.explain(row)

    def summarise(self, details: Mapping[str, Any]) -> list[str]:
        """Lines of the summary that only this method can write.

        Raises:
            ValueError, TypeError: the details are not what the method reports, as in a damaged record.
        """
        return [] if self._inside is None else self._inside.summarise(details)

    def reasons(self, kept: NDArray[np.bool_], evidence: Evidence) -> dict[str, NDArray[np.bool_]]:
        """(n,) bools by a few words that tell better than "kept" and "not picked" what became of some rows."""
        return {} if self._inside is None else self._inside.reasons(kept, evidence)

    @property
    def _inside(self) -> "Method | None":
        """The method that this one modifies."""
        within = self.parts().get("within")
        return within if isinstance(within, Method) else None
