"""Random rows from the parts of a mixture over the data map, more from the parts that a model is unsure of."""

import warnings
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from hf_prune.arguments import whole_number
from hf_prune.budget import seat_order
from hf_prune.config import checked
from hf_prune.errors import MissingExtraError
from hf_prune.kernels import Floats, Ints
from hf_prune.kernels.keyed_hash import keyed_hash
from hf_prune.methods.base import Method
from hf_prune.methods.choice import Choice
from hf_prune.methods.variability import Variability
from hf_prune.signals.signals import Signals

ROWS_A_COMPONENT = 10


@dataclass(frozen=True)
class Mixture(Method):
    """Keeps random rows of each kind that a mixture of Gaussians tells apart, more of those that a model wavers on.

    Experimental and ours: no paper proposes it, and RESULTS.md has it beside random in the table of worst classes.

    Rows are points of the data map: mean and standard deviation over the epochs of the probability of the true class.
    A Gaussian mixture is fitted to them, each row goes to its likeliest component, and components share the budget out
    in proportion to rows times mean standard deviation, rounded by Webster's rule. Inside a component rows are random.
    As `within=` of DRoP or PerClass the mixture is that of a class.

    Selection.scores is the standard deviation, as in Variability.

    Args:
        components: of the mixture; pools of fewer than 10 rows a component have one.

    Cost: O(epochs * n), and some 10 passes over n points of 2 dimensions. Needs scikit-learn (the extra `mixture`).

    >>> from datasets import Dataset
    >>> import hf_prune, numpy as np
    >>> logits = np.zeros((4, 60, 2))
    >>> logits[:, :30, 0] = 9           # learnt at once
    >>> logits[1::2, 30:, 0] = 2        # learnt and lost again
    >>> ds, run = Dataset.from_dict({"label": [0] * 60}), hf_prune.TrainingDynamics.from_logits(logits, [0] * 60)
    >>> kept = ds.prune("mixture", keep=20, components=2, dynamics=run).selection.indices
    >>> int((kept >= 30).sum())
    20
    """

    name: ClassVar[str] = "mixture"
    reads: ClassVar[frozenset[str]] = frozenset({"dynamics"})
    libraries: ClassVar[tuple[str, ...]] = ("scikit-learn",)

    components: int = field(default=3, metadata=checked(whole_number, at_least=1))

    def scores(self, signals: Signals, seed: int) -> Floats:
        return Variability().scores_of(signals, seed)

    def select(self, signals: Signals, budget: int, seed: int) -> Choice:
        confidence = signals.shared("confidence", lambda whole: whole.dynamics.mean("p_true"))
        variability = self.scores(signals, seed)
        kind = self._components(np.stack([confidence, variability], axis=1))
        sizes = np.bincount(kind)
        places = seat_order(np.bincount(kind, weights=variability), sizes, budget)
        at_random = np.argsort(keyed_hash(seed, signals.ids), kind="stable")
        order = np.empty(budget, dtype=np.int64)
        for component in range(len(sizes)):
            own_places = np.flatnonzero(places == component)
            order[own_places] = at_random[kind[at_random] == component][: len(own_places)]
        return Choice(order, variability)

    def _components(self, points: Floats) -> Ints:
        """(n,) number of each point's component."""
        count = min(self.components, len(points) // ROWS_A_COMPONENT)
        if count < 2:
            return np.zeros(len(points), dtype=np.int64)
        try:
            from sklearn.mixture import GaussianMixture
        except ImportError as error:
            raise MissingExtraError('`mixture` needs scikit-learn: pip install "hf_prune[mixture]"') from error
        with warnings.catch_warnings():
            # Of fewer different points than components, and of a fit that still moves a little.
            warnings.simplefilter("ignore")
            component: Ints = GaussianMixture(count, random_state=0).fit_predict(points)
        return component.astype(np.int64)
