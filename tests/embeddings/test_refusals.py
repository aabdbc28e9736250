"""What `embed` refuses, by name, and what stays in the cache then."""

import functools
import os
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from datasets import Dataset, DatasetDict, Features, Image

import hf_prune
from hf_prune.embeddings.compute import BATCHES_IN_SHARD
from tests import tiny_encoders
from tests.tiny_encoders import TEXTS, Counting


def test_what_is_finished_stays_after_an_error(cache):
    texts = [f"{'x' * length} end" for length in range(100, 0, -1)]
    texts[80] = "bad"
    broken, repaired = (Dataset.from_dict({"text": texts}) for _ in range(2))

    def fails(values):
        return [[len(value)] if value != "bad" or fixed else [np.nan] for value in values]

    fixed, size = [], {"batch_size": 2, "cache_dir": cache, "cache_key": "fails"}
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
    np.testing.assert_allclose(cut[1], tiny_encoders.token_means(bert, [" ".join(["word1"] * 14)])[0], atol=1e-6)


def images(tmp_path, *names):
    import PIL.Image

    for name in names:
        pixels = np.random.default_rng(len(name)).integers(0, 256, (12, 10, 3), dtype=np.uint8)
        PIL.Image.fromarray(pixels).save(tmp_path / name)
    return [str(tmp_path / name) for name in names]


def test_images_need_pillow(tmp_path, cache, monkeypatch):
    ds = Dataset.from_dict({"image": images(tmp_path, "one.png")}, features=Features({"image": Image()}))
    monkeypatch.setitem(sys.modules, "PIL.Image", None)
    with pytest.raises(hf_prune.MissingExtraError, match=r'pip install "hf_prune\[images\]"'):
        hf_prune.embed(ds, Counting(), cache_dir=cache)


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
        ("no/such-model", {"processor": len}, TypeError, "`processor`: wanted beside a model only"),
        (len, {"processor": len, "column": "text"}, TypeError, "`processor`: wanted beside a model only"),
        (len, {"column": "lable"}, ValueError, "`column`: no column 'lable'. Did you mean 'label'?"),
        ("no/such-model", {"column": "label"}, TypeError, "'label' holds Value"),
        (len, {"column": 3}, TypeError, "`column`: wanted the name of a column, got 3"),
        (lambda texts: [1.0] * len(texts), {}, ValueError, r"wanted \(4, d\) numbers for 4 rows, got \(4,\)"),
        (lambda texts: np.ma.masked_equal(np.eye(len(texts)), 0), {}, ValueError, "wanted an array without a mask"),
        (lambda texts: [[1.0]] * 7, {}, ValueError, r"wanted \(4, d\) numbers for 4 rows, got \(7, 1\)"),
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


def test_a_kill_while_the_marks_are_written_leaves_none(ds, cache, monkeypatch):
    def half(file, array):
        with open(file, "wb") if isinstance(file, Path) else file as opened:
            opened.write(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(np, "save", half)
    with pytest.raises(KeyboardInterrupt):
        hf_prune.embed(ds, Counting(), cache_dir=cache)
    monkeypatch.undo()
    assert hf_prune.embed(ds, Counting(), cache_dir=cache)[:, 0].tolist() == [len(text) for text in TEXTS]


@pytest.mark.parametrize("left", [0, 60, 130])
@pytest.mark.parametrize("name", ["vectors.npy", "probes.npy"])
def test_a_file_that_a_full_disk_cut_is_computed_again(ds, cache, name, left):
    first = np.array(hf_prune.embed(ds, Counting(), cache_dir=cache))
    (file,) = cache.glob(f"*/{name}")
    file.write_bytes(file.read_bytes()[:left])
    np.testing.assert_array_equal(hf_prune.embed(ds, Counting(), cache_dir=cache), first)


@pytest.mark.parametrize("name", ["vectors.partial.npy", "shards.partial.npy", "probes.npy"])
@pytest.mark.parametrize("left", [None, 0, 60])
def test_a_run_whose_files_were_cut_begins_again(ds, cache, name, left):
    def stops(values):
        if len(values) == 1 and stop:
            raise KeyboardInterrupt
        return [[len(value), 0] for value in values]

    stop = [True]
    with pytest.raises(KeyboardInterrupt):
        hf_prune.embed(ds, Stopping(stops), cache_dir=cache, batch_size=1)
    (file,) = cache.glob(f"*/{name}")
    if left is None:
        file.unlink()
    else:
        file.write_bytes(file.read_bytes()[:left])
    stop.clear()
    vectors = hf_prune.embed(ds, Stopping(stops), cache_dir=cache, batch_size=1)
    assert vectors[:, 0].tolist() == [len(text) for text in TEXTS]


class Stopping:
    """Calls a function that is no part of what it is known by."""

    def __init__(self, function):
        self.function = function

    def __call__(self, values):
        return self.function(values)

    def __reduce__(self):
        return Stopping, (None,)


@pytest.mark.parametrize("at", range(1, 4))
def test_a_disk_that_is_full_at_any_step(ds, cache, monkeypatch, at):
    steps, save, write = [], np.save, Path.write_text

    def full(*args, does, **options):
        steps.append(does)
        if len(steps) == at:
            raise OSError(28, "No space left on device")
        return does(*args, **options)

    monkeypatch.setattr(np, "save", functools.partial(full, does=save))
    monkeypatch.setattr(Path, "write_text", lambda *args, **options: full(*args, does=write, **options))
    with pytest.raises(hf_prune.ArgumentError, match="`cache_dir`: no room for the 4e-08 GB"):
        hf_prune.embed(ds, Counting(), cache_dir=cache)
    assert hf_prune.embed(ds, Counting(), cache_dir=cache)[:, 0].tolist() == [len(text) for text in TEXTS]


def test_a_place_that_is_no_folder(ds, cache):
    cache.write_text("a file")
    with pytest.raises(hf_prune.ArgumentError, match=r"`cache_dir`: no place in .*; pass cache_dir="):
        hf_prune.embed(ds, Counting(), cache_dir=cache)


def test_two_writers_at_once_and_a_reader_give_the_same(cache):
    ds = Dataset.from_dict({"text": ["a" * (1 + row % 50) for row in range(300)]})
    found = []

    def run():
        found.append(np.array(hf_prune.embed(ds, Counting(), cache_dir=cache, batch_size=4)))

    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 3
    for vectors in found:
        assert vectors[:, 0].tolist() == [len(text) for text in ds["text"]]
