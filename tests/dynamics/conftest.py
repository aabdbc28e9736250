import numpy as np
import pytest

from hf_prune import TrainingDynamics
from tests.dynamics.runs import NAN


@pytest.fixture
def run():
    """3 epochs of 6 rows in 3 classes; row 4 is unseen in epoch 1 and has features."""
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(3, 6, 3))
    logits[1, 4] = NAN
    run = TrainingDynamics.from_logits(logits, [0, 1, 2, 0, 1, 2])
    run.features = {moment: rng.normal(size=(6, 4)).astype(np.float32) for moment in ("early", "last")}
    return run
