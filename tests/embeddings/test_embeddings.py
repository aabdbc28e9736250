"""`embed`: vectors, what the cache tells apart, and encoders named in `prune`."""

import json
from pathlib import Path

import numpy as np
import pytest
from datasets import Dataset, DatasetDict, Features, Value

import hf_prune
from hf_prune.embeddings.compute import batches_of
from hf_prune.embeddings.probes import PROBES
from tests import tiny_encoders
from tests.tiny_encoders import TEXTS, Counting


def test_vectors_of_a_checkpoint_in_the_order_of_the_rows(bert, ds, cache):
    vectors = hf_prune.embed(ds, bert, cache_dir=cache, batch_size=2, precision="float32")
    assert isinstance(vectors, np.memmap)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(vectors, tiny_encoders.token_means(bert, TEXTS), atol=1e-6)
    with pytest.raises(ValueError, match="read-only"):
        vectors[0] = 0


def test_bfloat16_is_near(bert, ds, cache):
    exact, near = (hf_prune.embed(ds, bert, cache_dir=cache, precision=p) for p in ("float32", "bfloat16"))
    assert 0 < np.abs(exact - near).max() < 0.05


def test_computed_once(ds, cache):
    encoder = Counting()
    first = hf_prune.embed(ds, encoder, cache_dir=cache)
    assert len(encoder.seen) == len(ds) + PROBES
    again = hf_prune.embed(ds.select(range(5)).rename_column("text", "words"), encoder, cache_dir=cache)
    np.testing.assert_array_equal(first, again)
    assert len(encoder.seen) == len(ds) + 2 * PROBES
    (folder,) = cache.iterdir()
    assert {file.name for file in folder.iterdir()} == {"vectors.npy", "probes.npy", "about.json", "lock"}
    assert json.loads((folder / "about.json").read_text())["encoder"] == "Counting"


@pytest.mark.parametrize(
    "other",
    [
        lambda ds: ds.map(lambda row, at: {"text": "other" if at == 3 else row["text"]}, with_indices=True),
        lambda ds: ds.select([1, 0, 2, 3, 4]),
        lambda ds: ds.select(range(4)),
    ],
    ids=["changed row", "swapped rows", "dropped row"],
)
def test_other_rows_never_meet_the_cache(ds, cache, other):
    hf_prune.embed(ds, Counting(), cache_dir=cache)
    other, encoder = other(ds), Counting()
    vectors = hf_prune.embed(other, encoder, cache_dir=cache)
    assert vectors[:, 0].tolist() == [len(text) for text in other["text"]]


def test_another_column_never_meets_the_cache(ds, cache):
    ds = ds.add_column("reversed", [text[1:] for text in TEXTS])
    first, second = (hf_prune.embed(ds, Counting(), column=column, cache_dir=cache) for column in ("text", "reversed"))
    np.testing.assert_array_equal(first[:, 0] - 1, second[:, 0])


def test_another_encoder_never_meets_the_cache(bert, ds, cache, tmp_path):
    import torch
    from transformers import AutoModel, AutoTokenizer

    other = tiny_encoders.bert(tmp_path / "other", seed=1)
    first, second = (hf_prune.embed(ds, name, cache_dir=cache) for name in (bert, other))
    assert np.abs(first - second).max() > 0.1
    model, tokenizer = AutoModel.from_pretrained(bert), AutoTokenizer.from_pretrained(bert)
    same = hf_prune.embed(ds, model, processor=tokenizer, cache_dir=cache)
    np.testing.assert_array_equal(first, same)
    with torch.no_grad():
        model.embeddings.word_embeddings.weight[10, 0] += 1  # one word of the vocabulary
    changed = hf_prune.embed(ds, model, processor=tokenizer, cache_dir=cache)
    assert np.abs(first - changed).max() > 0.01
    first_tokens = hf_prune.embed(ds, bert, pooling="first", cache_dir=cache)
    assert np.abs(first - first_tokens).max() > 0.01


def test_a_checkpoint_that_is_overwritten_is_another_encoder(ds, cache, tmp_path):
    first = np.array(hf_prune.embed(ds, tiny_encoders.bert(tmp_path / "here"), cache_dir=cache))
    second = hf_prune.embed(ds, tiny_encoders.bert(tmp_path / "here", seed=1), cache_dir=cache)
    assert np.abs(first - second).max() > 0.1


def test_functions_are_told_apart_by_what_they_refer_to(ds, cache):
    def times(factor):
        return lambda texts: [[factor * len(text)] for text in texts]

    one, two = (hf_prune.embed(ds, times(factor), cache_dir=cache) for factor in (1, 2))
    np.testing.assert_array_equal(2 * one, two)


def test_another_version_of_the_library_never_meets_the_cache(bert, ds, cache, monkeypatch):
    hf_prune.embed(ds, bert, cache_dir=cache)
    monkeypatch.setattr("hf_prune.embeddings.compute.version", lambda library: "another")
    hf_prune.embed(ds, bert, cache_dir=cache)
    assert len(list(cache.iterdir())) == 2


def test_the_precision_is_not_that_of_a_function(ds, cache):
    import torch

    def encoder(texts):
        return torch.mm(torch.full((len(texts), 1), 1.001), torch.ones(1, 2))

    vectors = hf_prune.embed(ds, encoder, precision="bfloat16", cache_dir=cache)
    assert (vectors == np.float32(1.001)).all()


def test_a_function_that_cannot_be_read_needs_a_key(ds, cache):
    class Remote:
        def __call__(self, texts):
            return np.ones((len(texts), 2))

        def __reduce__(self):
            raise TypeError("can't pickle a connection")

    with pytest.raises(hf_prune.ArgumentError, match=r'pass cache_key="\.\.\.", a text that you change'):
        hf_prune.embed(ds, Remote(), cache_dir=cache)
    assert hf_prune.embed(ds, Remote(), cache_key="remote v1", cache_dir=cache).shape == (5, 2)


def test_one_run_at_a_time(ds, cache):
    from filelock import FileLock, Timeout

    def encoder(values):
        (folder,) = cache.iterdir()
        with pytest.raises(Timeout):
            FileLock(folder / "lock").acquire(timeout=0)
        return [[1.0]] * len(values)

    assert hf_prune.embed(ds, encoder, cache_key="encoder", cache_dir=cache).shape == (5, 1)
    (folder,) = cache.iterdir()
    with FileLock(folder / "lock").acquire(timeout=0):  # nobody waits for what is done
        assert hf_prune.embed(ds, encoder, cache_key="encoder", cache_dir=cache).shape == (5, 1)


def test_formats_change_nothing(ds, cache):
    for row_format in ({"type": "torch", "columns": ["label"]}, {"type": "numpy"}, {"type": "arrow"}):
        vectors = hf_prune.embed(ds.with_format(**row_format), Counting(), cache_dir=cache / row_format["type"])
        assert vectors[:, 0].tolist() == [len(text) for text in TEXTS]


def test_batches_are_longest_first_and_fixed_by_the_data():
    ds = Dataset.from_dict({"text": ["aa", "a", "cccc", "ää", "a"]})
    assert [rows.tolist() for rows in batches_of(ds, "text", 2)] == [[2, 0], [3, 1], [4]]
    assert [rows.tolist() for rows in batches_of(ds, None, 3)] == [[0, 1, 2], [3, 4]]


def test_random_numbers_and_modes_are_left_alone(bert, ds, cache, text_task):
    import torch

    model = text_task.new_model().train()
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    hf_prune.embed(ds, bert, cache_dir=cache)
    hf_prune.embed(ds, model, processor=text_task.tokenizer, cache_dir=cache)
    assert torch.rand(1) == expected
    assert model.training


def test_prune_takes_an_encoder(ds, bert, monkeypatch, tmp_path):
    monkeypatch.setattr("hf_prune.embeddings.compute.HF_HOME", str(tmp_path))
    scores = [1, 2, 3, 4, 5]
    coreset = ds.prune("d2", keep=2, scores=scores, encoder=bert)
    same = ds.prune("d2", keep=2, scores=scores, embeddings=hf_prune.embed(ds, bert))
    assert coreset.selection.indices.tolist() == same.selection.indices.tolist()
    assert coreset.selection.steps[0].signals["embeddings"]["from"] == f"encoder {Path(bert).name}"
    assert len(list((tmp_path / "hf_prune" / "embeddings").iterdir())) == 1
    unsupervised = ds.prune("prototypicality", keep=2, encoder=bert)
    assert len(unsupervised) == 2


def test_prune_embeds_only_for_methods_that_need_it(ds):
    assert len(ds.prune("random", keep=2, encoder="no/such-model")) == 2
    with pytest.raises(ValueError, match="`embeddings`, `encoder`: pass one of the two"):
        ds.prune("prototypicality", keep=2, encoder="x", embeddings=np.eye(5))
    with pytest.raises(hf_prune.MissingSignalError, match="or encoder= with a checkpoint's name"):
        ds.prune("prototypicality", keep=2)
    dsd = DatasetDict(train=ds)
    with pytest.raises(ValueError, match="'no/such-model' could not be loaded"):
        dsd.prune("prototypicality", keep=2, encoder="no/such-model")


def test_text_columns_of_other_storage(cache):
    ds = Dataset.from_dict({"text": TEXTS}, features=Features({"text": Value("large_string")}))
    assert hf_prune.embed(ds, Counting(), cache_dir=cache)[:, 0].tolist() == [len(text) for text in TEXTS]
