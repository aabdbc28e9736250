"""`hf-prune embed`: the vectors of `hf_prune.embed`, for `hf-prune prune --embeddings`."""

import json

import numpy as np
import pytest

import hf_prune
from hf_prune.sources.read import read_splits
from tests import tiny_encoders


@pytest.mark.usefixtures("_trainer_libraries")
def test_the_vectors_are_those_of_the_library(run, folder, monkeypatch):
    monkeypatch.setattr("hf_prune.embeddings.compute.HF_HOME", str(folder.parent))
    tiny_encoders.bert(folder / "encoder")
    arguments = ["embed", "reviews.csv", "--encoder", "encoder", "--output"]
    document = json.loads(run(*arguments, "new.npy", "--json").stdout)
    rows = read_splits("reviews.csv")["train"]
    wanted = hf_prune.embed(rows, "encoder", column="text")
    np.testing.assert_array_equal(np.load("new.npy"), wanted)
    assert document == {"output": "new.npy", "shape": [60, wanted.shape[1]], "dtype": "float32"}
    assert "is there already" in run(*arguments, "new.npy", code=1).stderr
    run(*arguments, "new.npy", "--force", "--pooling", "first")
    np.testing.assert_array_equal(np.load("new.npy"), hf_prune.embed(rows, "encoder", pooling="first"))
    run("prune", "reviews.csv", "--method", "prototypicality", "--keep", 9, "--embeddings", "new.npy", "--output", "c")
    error = run(*arguments, "newer.npy", "--column", "txt", code=1).stderr
    assert error == "error: --column: no column 'txt'. Did you mean 'text'? Columns: ['text', 'label']\n"
    assert "wanted a name that ends in .npy, got 'new.csv'" in run(*arguments, "new.csv", code=1).stderr
