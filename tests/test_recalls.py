from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from hf_prune.errors import ArgumentError, ArgumentTypeError
from hf_prune.groups import crossed, encode
from hf_prune.recalls import Recalls, clopper_pearson, count_recalls, read_recalls

PETS = encode("label", [0, 1, 0, 1], ["cat", "dog"])


def predicted(predictions, labels):
    return SimpleNamespace(predictions=np.array(predictions), label_ids=np.array(labels), metrics={})


@pytest.mark.parametrize(
    "given",
    [
        {"cat": 0.5, "dog": 1.0},
        {0: 0.5, 1: 1},
        [0.5, 1.0],
        (0.5, 1.0),
        np.array([0.5, 1.0]),
        ([0, 1, 1], [0, 0, 1]),
        (np.array([[2.0, 0], [0, 1], [0, 1]]), np.array([0, 0, 1])),
        predicted([0, 1, 1], [0, 0, 1]),
        predicted([[2.0, 0], [0, 1], [0, 1]], [0, 0, 1]),
        [{"cat": 0.4, "dog": 1.0}, [0.6, 1.0]],
    ],
)
def test_every_shape_of_recalls(given):
    np.testing.assert_allclose(read_recalls(given, PETS).values, [0.5, 1.0])


def test_sorted_values_without_class_label():
    groups = encode("label", ["dog", "cat"])
    assert read_recalls([0.2, 0.9], groups).values.tolist() == [0.2, 0.9]
    assert read_recalls({"dog": 0.9, "cat": 0.2}, groups).values.tolist() == [0.2, 0.9]


def test_a_model_that_returns_more_than_logits():
    output = SimpleNamespace(predictions=(np.array([[1.0, 0], [0, 1]]), np.zeros(2)), label_ids=np.array([0, 1]))
    assert read_recalls(output, PETS).values.tolist() == [1.0, 1.0]


def test_the_prior_smooths_counts_and_leaves_bare_recalls():
    counted = count_recalls([0, 1, 1, 1], [0, 0, 1, 1], 2)
    assert counted.support.tolist() == [2, 2]
    np.testing.assert_allclose(counted.smoothed((1, 1)), [2 / 4, 3 / 4])
    np.testing.assert_allclose(counted.smoothed((0, 0)), [0.5, 1.0])
    assert Recalls(np.array([0.5, 1.0])).smoothed((1, 1)).tolist() == [0.5, 1.0]


def test_seeds_are_averaged_with_their_counts():
    mean = read_recalls([predicted([0, 1, 1], [0, 0, 1]), predicted([0, 0, 1], [0, 0, 1])], PETS)
    np.testing.assert_allclose(mean.values, [0.75, 1.0])
    np.testing.assert_allclose(mean.support, [2, 1])
    assert read_recalls([predicted([0, 1], [0, 1]), [0.5, 0.5]], PETS).support is None


def test_an_empty_class_of_the_dataset_needs_no_recall():
    groups = encode("label", [0, 2], ["cat", "dog", "emu"])
    assert read_recalls({"cat": 0.5, "emu": 0.25}, groups).values.tolist() == [0.5, 1.0, 0.25]


SITES = replace(encode("site", ["a", "b", "a"]), numbered=False)
BOTH = crossed({"label": PETS, "site": encode("site", ["a", "b", "b", "a"])})


@pytest.mark.parametrize(
    "given",
    [
        (predicted([0, 1, 1], [0, 0, 1]), ["a", "b", "b"]),
        ([0, 1, 1], [0, 0, 1], np.array(["a", "b", "b"])),
        (np.array([[2.0, 0], [0, 1], [0, 1]]), np.array([0, 0, 1]), ["a", "b", "b"]),
        (["cat", "dog", "dog"], ["cat", "cat", "dog"], ["a", "b", "b"]),
    ],
)
def test_recalls_of_groups_that_are_no_classes(given):
    recalls = read_recalls(given, SITES)
    assert recalls.values.tolist() == [1, 0.5]
    assert recalls.support.tolist() == [1, 2]


def test_recalls_of_combined_columns():
    by_value = read_recalls((predicted([0, 1, 1, 1], [0, 0, 1, 1]), [(0, "a"), (0, "b"), (1, "a"), [1, "b"]]), BOTH)
    assert by_value.values.tolist() == [1, 0, 1, 1]
    assert read_recalls(
        {(0, "a"): 0.5, (0, "b"): 0.1, "label=dog, site=a": 0.2, (1, "b"): 0.3}, BOTH
    ).values.tolist() == [
        0.5,
        0.1,
        0.2,
        0.3,
    ]


SOME = crossed({"label": PETS.take(np.array([0, 1, 2])), "site": encode("site", ["a", "b", "c"])})


@pytest.mark.parametrize("empty", [("cat", "b"), (1, "a"), (1, "c")])
def test_a_recall_of_a_combination_that_no_row_has_is_of_no_matter(empty):
    assert len(SOME.values) == 3 < 2 * 3
    occur = dict(zip(SOME.values, (0.1, 0.2, 0.3), strict=True))
    assert read_recalls(occur | {empty: 0.9}, SOME).values.tolist() == [0.1, 0.2, 0.3]
    keys = [*SOME.values, empty]
    counted = read_recalls((np.zeros(4), np.array([0, 1, 0, 1]), keys), SOME)
    assert counted.values.tolist() == [1, 0, 1]
    assert counted.support.tolist() == [1, 1, 1]
    for unknown in ((0, "d"), ("cat", "a", "a"), "cat"):
        with pytest.raises(ArgumentError, match="row 3 is of unknown class"):
            read_recalls((np.zeros(4), np.zeros(4), [*SOME.values, unknown]), SOME)
        with pytest.raises(ArgumentError, match="unknown class"):
            read_recalls(occur | {unknown: 0.9}, SOME)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ((predicted([0, 1], [0, 1]), ["a", "c"]), "row 1 is of unknown class 'c'"),
        ((predicted([0, 1], [0, 1]), ["a"]), "got .* and 1 groups"),
        ((predicted([0, 1], [0, 1]), ["a", "a"]), "none for class 'b' .*pass missing=\"pooled\""),
        ((np.full((2, 2), np.nan), [0, 1], ["a", "b"]), "NaN or infinite logits"),
    ],
)
def test_bad_recalls_of_groups(given, message):
    with pytest.raises(ArgumentError, match=f"`recalls`: .*{message}"):
        read_recalls(given, SITES)


def test_a_class_without_a_recall_can_have_that_of_all():
    recalls = read_recalls(predicted([0, 1, 0, 0], [0, 0, 0, 0]), PETS, missing="pooled")
    assert recalls.values.tolist() == [0.75, 0.75]
    assert recalls.pooled.tolist() == [False, True]
    np.testing.assert_allclose(recalls.smoothed((1, 1)), [4 / 6, 0.75])  # not the prior's mean
    assert read_recalls({"cat": 0.5}, PETS, missing="pooled").values.tolist() == [0.5, 0.5]
    with pytest.raises(ArgumentError, match=r"`recalls`: none for class 'cat' \(2 without one\)"):
        read_recalls({}, PETS, missing="pooled")


def test_intervals_are_those_of_the_counts():
    assert read_recalls({"cat": 0.5, "dog": 0.5}, PETS).intervals() is None
    intervals = read_recalls(predicted([0, 1, 1], [0, 0, 1]), PETS).intervals()
    np.testing.assert_allclose(intervals, clopper_pearson([1, 1], [2, 1]))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"cat": 0.5}, "none for class 'dog'"),
        (predicted([0, 0], [0, 0]), "none for class 'dog' .*the validation data must hold every class"),
        ({"cat": 0.5, "dgo": 0.5}, r"unknown class 'dgo'. Did you mean 'dog'\?"),
        ({"cat": 0.5, "dog": 0.5, 0: 0.6}, "class 'cat' is named twice, once as 0"),
        ({"cat": 0.5, "dog": 1.2}, r"class 'dog' has 1.2; wanted a number in \[0, 1\]"),
        ([0.5, -0.1], "class 'dog' has -0.1"),
        ([0.5, np.nan], "none for class 'dog'"),
        ([0.5, np.inf], "class 'dog' has inf"),
        ([0.5], r"a sequence of shape \(1,\) for the 2 classes"),
        (predicted([0, 3], [0, 1]), "predictions must be class positions from 0 to 1"),
        (([0, 1], [0, 1, 1]), "wanted predictions of shape"),
        (([], []), "m >= 1"),
        ((np.zeros((2, 3)), [0, 1]), "predictions have 3 columns for 2 classes"),
        ((np.full((2, 2), np.nan), [0, 1]), "NaN or infinite logits"),
        (([["cat", "dog"], ["dog", "cat"]], [0, 1]), "predictions hold text"),
        (SimpleNamespace(predictions=np.zeros((2, 2)), label_ids=None), "no label_ids"),
        (SimpleNamespace(predictions=(), label_ids=[0, 1]), "wanted predictions of shape"),
        ([{"cat": 0.5, "dog": 0.5}, {"cat": 0.5}], "none for class 'dog'"),
    ],
)
def test_bad_recalls(given, message):
    with pytest.raises(ArgumentError, match=f"`recalls`: .*{message}"):
        read_recalls(given, PETS)


@pytest.mark.parametrize(
    "given",
    [
        0.5,
        "cat",
        {"cat": "high", "dog": 0.5},
        {"cat": 10**400, "dog": 0.5},
        object(),
        ([0, [1, 1]], [0, 1]),
        (predicted([0, 1], [0, 1]), 5),
        ([0, 1], [0, 1], [{"site": "a"}, {"site": "b"}]),
    ],
)
def test_types_that_are_refused(given):
    with pytest.raises(ArgumentTypeError, match="`recalls`"):
        read_recalls(given, PETS)
