"""What trains and predicts in a comparison on the user's data: a linear proxy, or a function of the user's."""

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from datasets import Dataset
from numpy.typing import ArrayLike, NDArray

from hf_prune.comparison.parts import Part, Parts
from hf_prune.comparison.proxy import Proxy
from hf_prune.digest import array_digest
from hf_prune.dynamics.dynamics import TrainingDynamics
from hf_prune.errors import ArgumentError, ArgumentTypeError
from hf_prune.files import whole_file
from hf_prune.recalls import count_recalls
from hf_prune.signals.given import DynamicsLike

FORMAT = "hf_prune.predictions/1"
"""A part of the key under which predictions are kept: another one where they would be others."""

Train: TypeAlias = Callable[[Dataset, Dataset, int, float], ArrayLike]
"""(rows, held_out, seed, share) -> predictions: trains a new model on `rows` and predicts `held_out`, (m,) class
positions or (m, classes) logits. It takes the same number of optimiser steps whatever the rows, or `share` of them."""


@dataclass(frozen=True, eq=False)
class Trial:
    """Trains on rows of the training part, and predicts others.

    Attributes:
        parts: training and held-out rows.
        dynamics: of the training rows, as `prune` takes them; None for those of the proxy.
        train: trains in place of the proxy.
        folder: where predictions are kept, by the content of what made them; None keeps none.
        argument: what the user passed `train` as, for messages.
    """

    parts: Parts
    dynamics: DynamicsLike | None = None
    train: Train | None = None
    folder: str | os.PathLike[str] | None = None
    argument: str = "train"

    def __post_init__(self) -> None:
        if self.train is None and self.parts.train.embeddings is None:
            raise ArgumentError(
                "`embeddings`, `encoder`: the proxy is trained on embeddings; pass encoder= or embeddings=, or a "
                "function that trains your model as train="
            )
        if self.train is not None and not callable(self.train):
            raise ArgumentTypeError(
                f"`{self.argument}`: wanted a function (rows, held_out, seed, share) -> predictions, got "
                f"{self.train!r}"
            )

    @cached_property
    def proxy(self) -> Proxy | None:
        """The linear classifier, where there are embeddings."""
        part, classes = self.parts.train, len(self.parts.classes.names)
        return None if part.embeddings is None else Proxy(part.embeddings, part.labels, classes)

    def signals(self, seed: int) -> dict[str, Any]:
        """What methods prune by: embeddings, and the dynamics and recalls of a proxy on the training rows alone."""
        given = {} if self.dynamics is None else {"dynamics": self.dynamics}
        if self.proxy is None:
            return given
        classes, labels = self.parts.classes, self.parts.train.labels
        values = np.array(classes.values)
        # A model's class numbers are compared with the rows' own labels, which may be any ints or texts.
        own = values[labels] if np.issubdtype(values.dtype, np.integer) else labels
        dynamics = self.proxy.dynamics(seed) if self.dynamics is None else None
        if dynamics is not None:
            given["dynamics"] = TrainingDynamics({name: dynamics[name] for name in dynamics.signals}, own)
        recalls = self.proxy.held_out_predictions(seed), labels, [classes.values[code] for code in labels.tolist()]
        return {"embeddings": self.proxy.embeddings, "recalls": recalls} | given

    def predictions(
        self, rows: Dataset, positions: NDArray[np.int64], held_out: Part, seed: int, share: float = 1.0
    ) -> NDArray[np.int64]:
        """(m,) classes of the held-out rows by a model that trained on other rows; kept in the folder.

        Args:
            rows: to train on; their positions in the training part.
            share: of the optimiser's steps that are taken.
        """
        if self.folder is None:
            return self._predicted(rows, positions, held_out, seed, share)
        file = Path(self.folder) / "predictions" / f"{self._key(positions, held_out, seed, share)}.npy"
        if file.exists():
            kept: NDArray[np.int64] = np.load(file, allow_pickle=False)
            return kept
        predicted = self._predicted(rows, positions, held_out, seed, share)
        with whole_file(file, suggested="predictions.npy") as complete, complete.open("wb") as opened:
            np.save(opened, predicted, allow_pickle=False)
        return predicted

    def _predicted(
        self, rows: Dataset, positions: NDArray[np.int64], held_out: Part, seed: int, share: float
    ) -> NDArray[np.int64]:
        if self.train is not None:
            predicted = self.train(rows, held_out.rows, seed, share)
            count_recalls(predicted, held_out.labels, len(self.parts.classes.names), argument=self.argument)
            array = np.asarray(predicted)
            return (array.argmax(axis=1) if array.ndim == 2 else array).astype(np.int64)
        assert self.proxy is not None, "checked before"
        assert held_out.embeddings is not None, "checked with the others"
        return self.proxy.predictions(positions, held_out.embeddings, seed, share)

    def _key(self, positions: NDArray[np.int64], held_out: Part, seed: int, share: float) -> str:
        """A digest of all that predictions depend on; of the user's function only the name is known."""
        if self.train is not None:
            model: Any = f"{getattr(self.train, '__module__', '')}.{getattr(self.train, '__qualname__', '')}"
        else:
            assert self.proxy is not None, "checked before"
            model = asdict(self.proxy.model)
        content = [FORMAT, model, self.parts.train.digest, held_out.digest, array_digest(positions), seed, share]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:32]
