"""`embed`: vectors, cache, kills, processes, and what it refuses."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from datasets import Dataset, DatasetDict, Features, Image, Value

import hf_prune
from hf_prune.embeddings.compute import BATCHES_IN_SHARD, batches_of
from tests import tiny_encoders
from tests.embeddings.embedding_process import BATCH, N, a_dataset

SCRIPT = Path(__file__).with_name("embedding_process.py")
TEXTS = ["word1 word2", "word3", "word1 word2 word3 word4", "word5 word6", "word7"]


@pytest.fixture(scope="module")
def bert(_trainer_libraries, tmp_path_factory):
    return tiny_encoders.bert(tmp_path_factory.mktemp("bert"))


@pytest.fixture
def ds():
    return Dataset.from_dict({"text": TEXTS, "label": [0, 1, 0, 1, 0]})


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache"


class Counting:
    """An encoder that knows how many values it has seen."""

    def __init__(self, d=2):
        self.seen, self.d = [], d

    def __call__(self, values):
        self.seen += values
        return [[len(value), *range(self.d - 1)] for value in values]

    def __reduce__(self):  # what it has seen doesn't make it another encoder
        return Counting, (self.d,)


def by_hand(checkpoint, texts):
    """The mean over the tokens, one text at a time: without padding."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    model, tokenizer = AutoModel.from_pretrained(checkpoint).eval(), AutoTokenizer.from_pretrained(checkpoint)
    with torch.no_grad():
        return np.stack(
            [model(**tokenizer(text, return_tensors="pt")).last_hidden_state[0].mean(0).numpy() for text in texts]
        )


def test_vectors_of_a_checkpoint_in_the_order_of_the_rows(bert, ds, cache):
    vectors = hf_prune.embed(ds, bert, cache_dir=cache, batch_size=2, precision="float32")
    assert isinstance(vectors, np.memmap)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(vectors, by_hand(bert, TEXTS), atol=1e-6)
    with pytest.raises(ValueError, match="read-only"):
        vectors[0] = 0


def test_bfloat16_is_near(bert, ds, cache):
    exact, near = (hf_prune.embed(ds, bert, cache_dir=cache, precision=p) for p in ("float32", "bfloat16"))
    assert 0 < np.abs(exact - near).max() < 0.05


def test_computed_once(ds, cache):
    encoder = Counting()
    first = hf_prune.embed(ds, encoder, cache_dir=cache)
    assert len(encoder.seen) == len(ds) + 1  # one row to see how long vectors are
    again = hf_prune.embed(ds.select(range(5)).rename_column("text", "words"), encoder, cache_dir=cache)
    np.testing.assert_array_equal(first, again)
    assert len(encoder.seen) == len(ds) + 1
    (folder,) = cache.iterdir()
    assert {file.name for file in folder.iterdir()} == {"vectors.npy", "about.json", "lock"}
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


def test_a_function_that_cannot_be_read_needs_a_name(ds, cache):
    class Remote:
        def __call__(self, texts):
            return np.ones((len(texts), 2))

        def __reduce__(self):
            raise TypeError("can't pickle a connection")

    with pytest.raises(hf_prune.ArgumentError, match="pass name= with a text that changes"):
        hf_prune.embed(ds, Remote(), cache_dir=cache)
    assert hf_prune.embed(ds, Remote(), name="remote v1", cache_dir=cache).shape == (5, 2)


def test_one_run_at_a_time(ds, cache):
    from filelock import FileLock, Timeout

    def encoder(values):
        (folder,) = cache.iterdir()
        with pytest.raises(Timeout):
            FileLock(folder / "lock").acquire(timeout=0)
        return [[1.0]] * len(values)

    assert hf_prune.embed(ds, encoder, name="encoder", cache_dir=cache).shape == (5, 1)
    (folder,) = cache.iterdir()
    with FileLock(folder / "lock").acquire(timeout=0):  # nobody waits for what is done
        assert hf_prune.embed(ds, encoder, name="encoder", cache_dir=cache).shape == (5, 1)


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


# Kills and processes.


def run(bert, cache, kill_after=-1, processes=1):
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    command = [sys.executable, *(launch if processes > 1 else []), str(SCRIPT), bert, str(cache), str(kill_after)]
    environment = os.environ | {
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": str(SCRIPT.parents[2]),
        "ACCELERATE_USE_CPU": "1",
    }
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=200, check=False)


@pytest.fixture(scope="module")
def whole(bert, tmp_path_factory):
    """The vectors of one run that nothing disturbed."""
    return np.array(
        hf_prune.embed(
            a_dataset(), bert, cache_dir=tmp_path_factory.mktemp("whole"), batch_size=BATCH, precision="float32"
        )
    )


def test_a_killed_run_goes_on_and_repeats_at_most_one_shard(bert, whole, cache):
    after = int(np.random.default_rng().integers(1, N // BATCH))
    assert run(bert, cache, after).returncode == -signal.SIGKILL, f"after {after} batches"
    (folder,) = cache.iterdir()
    assert not (folder / "vectors.npy").exists()
    ended = run(bert, cache)
    assert ended.returncode == 0, ended.stderr[-3000:]
    computed = int(re.search(r"computed (\d+) of", ended.stdout)[1])
    assert computed <= N - (after - after % BATCHES_IN_SHARD) * BATCH, f"after {after} batches"
    np.testing.assert_array_equal(np.load(folder / "vectors.npy"), whole)


def test_two_processes_make_the_file_of_one_and_an_error_of_one_ends_both(bert, whole, cache):
    ended = run(bert, cache, processes=2)
    assert ended.returncode == 0, ended.stderr[-3000:]
    assert re.findall(r"refused: .*row (\d+) has 22 tokens", ended.stdout) == ["0", "0"]
    assert ended.stdout.count("apart: `dataset`, `encoder`: not the same in all processes") == 2
    computed = sorted(int(found) for found in re.findall(r"computed (\d+) of", ended.stdout))
    assert sum(computed) == N + 1
    assert computed[0] >= BATCHES_IN_SHARD * BATCH
    (vectors,) = cache.glob("*/vectors.npy")
    np.testing.assert_array_equal(np.load(vectors), whole)


# What it refuses.


def test_what_is_finished_stays_after_an_error(cache):
    texts = [f"{'x' * length} end" for length in range(100, 0, -1)]
    texts[80] = "bad"
    broken, repaired = (Dataset.from_dict({"text": texts}) for _ in range(2))

    def fails(values):
        return [[len(value)] if value != "bad" or fixed else [np.nan] for value in values]

    fixed, size = [], {"batch_size": 2, "cache_dir": cache, "name": "fails"}
    with pytest.raises(hf_prune.ArgumentError, match="infinite numbers for row 80;"):
        hf_prune.embed(broken, fails, **size)
    fixed.append(True)
    counting = Counting(1)
    vectors = hf_prune.embed(repaired, counting, **size)
    assert len(counting.seen) == 100 - 3 * BATCHES_IN_SHARD * 2
    assert vectors[:, 0].tolist() == [len(text) for text in texts]


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["a", "", "b", " \n", "", ""], r"4 rows of 'text' hold no text \(rows 1, 3, 4, ...\)"),
        (["a", None], r"1 rows of 'text' hold no text \(rows 1\)"),
    ],
)
def test_empty_texts_are_named_before_anything_is_computed(texts, message, cache):
    encoder = Counting()
    with pytest.raises(hf_prune.ArgumentError, match=message):
        hf_prune.embed(Dataset.from_dict({"text": texts}), encoder, cache_dir=cache)
    assert not encoder.seen


def test_a_row_that_is_too_long_is_named(bert, cache):
    long = " ".join(["word1"] * 20)
    ds = Dataset.from_dict({"text": ["word2", long, "word3"]})
    with pytest.raises(hf_prune.ArgumentError, match="row 1 has 22 tokens, the encoder takes 16; pass truncate=True"):
        hf_prune.embed(ds, bert, cache_dir=cache)
    cut = hf_prune.embed(ds, bert, truncate=True, cache_dir=cache, precision="float32")
    np.testing.assert_allclose(cut[1], by_hand(bert, [" ".join(["word1"] * 14)])[0], atol=1e-6)


def images(tmp_path, *names):
    import PIL.Image

    for name in names:
        pixels = np.random.default_rng(len(name)).integers(0, 256, (12, 10, 3), dtype=np.uint8)
        PIL.Image.fromarray(pixels).save(tmp_path / name)
    return [str(tmp_path / name) for name in names]


def test_an_unreadable_image_is_named_by_row_and_file(tmp_path, cache):
    files = images(tmp_path, "one.png", "broken.png", "three.png")
    Path(files[1]).write_bytes(Path(files[1]).read_bytes()[:60])
    ds = Dataset.from_dict({"image": files}, features=Features({"image": Image()}))
    with pytest.raises(hf_prune.ArgumentError, match=r"the image of row 1 \(.*broken.png\) can't be read"):
        hf_prune.embed(ds, lambda values: [[image.width] for image in values], cache_dir=cache)
    stored = Dataset.from_dict({"image": [{"bytes": b"no image"}]}, features=Features({"image": Image()}))
    with pytest.raises(hf_prune.ArgumentError, match=r"the image of row 0 \(8 bytes in the dataset\) can't be read"):
        hf_prune.embed(stored, lambda values: [[image.width] for image in values], cache_dir=cache)
    nothing = Dataset.from_dict({"image": [None, files[0]]}, features=Features({"image": Image()}))
    with pytest.raises(hf_prune.ArgumentError, match=r"1 rows of 'image' hold no image \(rows 0\)"):
        hf_prune.embed(nothing, len, cache_dir=cache)


def test_a_file_that_is_gone_is_named(tmp_path, cache):
    files = images(tmp_path, "one.png", "gone.png")
    ds = Dataset.from_dict({"image": files}, features=Features({"image": Image()}))
    Path(files[1]).unlink()
    with pytest.raises((hf_prune.ArgumentError, FileNotFoundError), match=r"gone.png"):
        hf_prune.embed(ds, lambda values: [[image.width] for image in values], cache_dir=cache)


def test_a_broken_image_is_named_by_workers_too(tmp_path, cache):
    files = images(tmp_path, *(f"{number}.png" for number in range(9)))
    Path(files[5]).write_bytes(b"broken")
    ds = Dataset.from_dict({"image": files}, features=Features({"image": Image()}))
    with pytest.raises(hf_prune.ArgumentError, match=r"the image of row 5 \(.*5.png\) can't be read"):
        hf_prune.embed(ds, lambda values: [[image.width] for image in values], cache_dir=cache, num_workers=1)


@pytest.mark.parametrize(
    ("encoder", "options", "error", "message"),
    [
        ("no/such-model", {}, ValueError, r"`encoder`: 'no/such-model' could not be loaded(?s:.*)hf download no/such"),
        ("/no/such/folder", {}, ValueError, "`encoder`: '/no/such/folder' could not be loaded"),
        (3, {}, TypeError, "`encoder`: wanted a checkpoint's Hub id or folder, a model, or a function"),
        (len, {"column": "lable"}, ValueError, "`column`: no column 'lable'. Did you mean 'label'?"),
        ("no/such-model", {"column": "label"}, TypeError, "'label' holds Value"),
        (len, {"column": 3}, TypeError, "`column`: wanted the name of a column, got 3"),
        (lambda texts: [1.0] * len(texts), {}, ValueError, r"wanted \(1, d\) numbers for 1 rows, got \(1,\)"),
        (lambda texts: [[1.0]] * 7, {}, ValueError, r"wanted \(1, d\) numbers for 1 rows, got \(7, 1\)"),
        (lambda texts: ["a"] * len(texts), {}, TypeError, r"`encoder`: wanted \(batch, d\) numbers, got list"),
        (len, {"precision": "fp16"}, ValueError, "`precision`: wanted one of"),
        (len, {"pooling": "max"}, ValueError, "`pooling`: wanted one of"),
        (len, {"batch_size": 0}, ValueError, "`batch_size`: wanted a whole number of at least 1"),
        (len, {"truncate": 1}, TypeError, "`truncate`: wanted True or False"),
    ],
)
def test_what_is_refused(ds, cache, encoder, options, error, message):
    with pytest.raises(error, match=message) as caught:
        hf_prune.embed(ds, encoder, cache_dir=cache, **options)
    assert isinstance(caught.value, hf_prune.HFPruneError)


def test_datasets_that_are_refused(ds, cache):
    with pytest.raises(TypeError, match=r'embed each split, as in hf_prune.embed\(dsd\["train"\]'):
        hf_prune.embed(DatasetDict(train=ds), Counting(), cache_dir=cache)
    with pytest.raises(ValueError, match="it has no rows to embed"):
        hf_prune.embed(ds.select([]), Counting(), cache_dir=cache)
    with pytest.raises(ValueError, match=r"no column is of texts or images; .* Columns: \{'label': "):
        hf_prune.embed(ds.select_columns(["label"]), Counting(), cache_dir=cache)
    ds = ds.add_column("more", ["x"] * 5)
    assert hf_prune.embed(ds, Counting(), cache_dir=cache)[0, 0] == len(TEXTS[0])
    with pytest.raises(ValueError, match=r"\['first', 'more'\] are of texts or images; name the one"):
        hf_prune.embed(ds.rename_column("text", "first"), Counting(), cache_dir=cache)


def test_no_room_on_the_disk(ds, cache, monkeypatch):
    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(hf_prune.ArgumentError, match="`cache_dir`: no room for the 4e-08 GB of the embeddings"):
        hf_prune.embed(ds, Counting(), cache_dir=cache)
    monkeypatch.undo()
    assert hf_prune.embed(ds, Counting(), cache_dir=cache).shape == (5, 2)


# In prune.


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
