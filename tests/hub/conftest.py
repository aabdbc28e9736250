"""A dataset and a coreset of it, and clients that neither wait nor remember."""

import numpy as np
import pytest
from datasets import ClassLabel, Dataset, Features, Value

from tests.hub.coresets import N


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch, tmp_path):
    """Retries don't wait, and each test downloads anew."""
    monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda seconds: None)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub-cache"))
    monkeypatch.setattr("huggingface_hub.file_download.constants.HF_HUB_CACHE", str(tmp_path / "hub-cache"))
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "datasets-cache")


@pytest.fixture
def ds():
    rng = np.random.default_rng(0)
    columns = {
        "text": [f"text {row}" for row in range(N)],
        "label": rng.permutation(N) % 3,
        "uid": range(1000, 1000 + N),
    }
    kinds = {"text": Value("string"), "label": ClassLabel(names=["bad", "fair", "good"]), "uid": Value("int64")}
    return Dataset.from_dict(columns, features=Features(kinds))


@pytest.fixture
def coreset(ds):
    rng = np.random.default_rng(1)
    return ds.prune("d2", keep=0.3, quotas="equal", scores=rng.random(N), embeddings=rng.normal(size=(N, 4)), k=3)
