import pytest

from tests.comparison.animals import blobs


@pytest.fixture(scope="session")
def animals():
    return blobs(600)
