"""Whether dynamics are of the rows that they are used for."""

import numpy as np
import pytest

from hf_prune import AlignmentError
from hf_prune.dynamics.rows import check_rows


def test_rows_of_another_count():
    with pytest.raises(AlignmentError, match="recorded for 3 rows, this dataset has 2; pass the dynamics of a run on"):
        check_rows(np.array([0, 1, 2]), np.array([0, 1]), "label")


@pytest.mark.parametrize("dtype", [np.int64, np.int8, np.uint8])
def test_labels_that_are_the_recorded_ones(dtype):
    check_rows(np.array([0, 1, 2, 1]), np.array([0, 1, 2, 1], dtype=dtype), "label")


def test_permuted_rows():
    with pytest.raises(AlignmentError, match="2 of 4 labels differ from column 'fine', first at row 1") as caught:
        check_rows(np.array([0, 1, 2, 1]), np.array([0, 2, 1, 1]), "fine")
    assert "(recorded 1, here 2); were the rows reordered, or is label_column= another?" in str(caught.value)


def test_renumbered_labels_are_other_labels():
    message = (
        "4 of 4 labels differ from column 'label', first at row 0 .* they match one to one, so pass as label_column="
    )
    with pytest.raises(AlignmentError, match=message):
        check_rows(np.array([0, 1, 1, 0]), np.array([1, 0, 0, 1]), "label")


def test_unseen_rows_are_not_compared():
    check_rows(np.array([0, -1, 2, -1]), np.array([0, 7, 2, 0]), "label")
    with pytest.raises(AlignmentError, match="first at row 2"):
        check_rows(np.array([0, -1, 2, -1]), np.array([0, 7, 1, 0]), "label")
    check_rows(np.array([-1, -1]), np.array(["a", "b"]), "label")
    check_rows(np.array([-1, 1]), np.array(["a", "a"]), "label")


@pytest.mark.parametrize("names", [["cat", "dog", "ant"], ["ant", "cat", "dog"]])
def test_text_labels_match_one_to_one(names):
    recorded = [0, 1, 2, 1, 0]
    check_rows(np.array(recorded), np.array(names)[recorded], "label")


@pytest.mark.parametrize(
    ("given", "row"),
    [
        (["cat", "dog", "dog", "dog", "cat"], 2),  # two recorded classes, one name
        (["cat", "dog", "ant", "fox", "cat"], 3),  # one recorded class, two names
        (["cat", "dog", "ant", "cat", "dog"], 3),  # permuted
    ],
)
def test_text_labels_that_match_no_numbering(given, row):
    with pytest.raises(
        AlignmentError, match=rf"labels differ from column 'animal', first at row {row} .*here {given[row]}"
    ):
        check_rows(np.array([0, 1, 2, 1, 0]), np.array(given), "animal")


def test_bool_labels():
    check_rows(np.array([0, 1, 1, 0]), np.array([False, True, True, False]), "spam")
    check_rows(np.array([0, 1, 1, 0]), np.array([True, False, False, True]), "spam")  # numbered the other way round
    with pytest.raises(AlignmentError, match=r"1 of 4 labels differ from column 'spam', first at row 3 \(recorded 0"):
        check_rows(np.array([0, 1, 1, 0]), np.array([False, True, True, True]), "spam")


def test_classes_may_have_huge_numbers():
    check_rows(np.array([0, 2**62, 0]), np.array(["cat", "dog", "cat"]), "label")
