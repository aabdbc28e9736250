"""Five texts, a tiny BERT and a cache."""

import pytest
from datasets import Dataset

from tests import tiny_encoders


@pytest.fixture(scope="session")
def bert(_trainer_libraries, tmp_path_factory):
    return tiny_encoders.bert(tmp_path_factory.mktemp("bert"))


@pytest.fixture
def ds():
    return Dataset.from_dict({"text": tiny_encoders.TEXTS, "label": [0, 1, 0, 1, 0]})


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache"
