import numpy as np
import pyarrow as pa
import pytest

from hf_prune.errors import ArgumentError, ArgumentTypeError
from hf_prune.groups import encode


def test_values_are_sorted_and_codes_follow():
    groups = encode("label", [7, 3, 7, 10])
    assert groups.values == (3, 7, 10)
    assert groups.codes.tolist() == [1, 0, 1, 2]
    assert groups.sizes.tolist() == [1, 2, 1]
    assert [rows.tolist() for rows in groups.rows()] == [[1], [0, 2], [3]]


@pytest.mark.parametrize(
    ("values", "names"),
    [
        (["b", "a"], ("a", "b")),
        ([True, False], ("False", "True")),
        (np.array([2, 1], dtype=np.uint8), ("1", "2")),
        (np.array(["y", "x"]), ("x", "y")),
        (pa.chunked_array([["b"], ["a"]]), ("a", "b")),
        (pa.array(["b", "a"]).dictionary_encode(), ("a", "b")),
        (pa.array(["b", "a"], pa.string_view()), ("a", "b")),
        (pa.chunked_array([["b"], ["a"]], pa.string_view()).dictionary_encode(), ("a", "b")),
    ],
)
def test_kinds_of_values(values, names):
    groups = encode("label", values)
    assert groups.names == names
    assert groups.codes.tolist() == [1, 0]


def test_class_label_order_and_empty_classes():
    groups = encode("label", [2, 0, 2], ["zebra", "ant", "bee"])
    assert groups.names == ("zebra", "ant", "bee")
    assert groups.sizes.tolist() == [1, 0, 2]
    assert [len(rows) for rows in groups.rows()] == [1, 0, 2]


def test_rows_in_no_group_are_left_out():
    groups = encode("label", [0, 1, 1])
    without = type(groups)(np.array([-1, 1, -1]), groups.values, groups.names)
    assert without.sizes.tolist() == [0, 1]
    assert [rows.tolist() for rows in without.rows()] == [[], [1]]


@pytest.mark.parametrize("values", [[0.5, 1.0], np.array([1.0]), [[1], [2]], [1, "a"], 5, [{"a": 1}], [2**70, 1]])
def test_types_that_are_refused(values):
    with pytest.raises(ArgumentTypeError, match="`by`: wanted one int, string or bool for each row"):
        encode("by", values)


def test_nulls_and_unlabelled_rows_are_refused():
    with pytest.raises(ArgumentError, match=r"`label`: row 1 is null \(of 1 nulls\)"):
        encode("label", [1, None, 2])
    with pytest.raises(
        ArgumentError, match="`label`: row 1 has label -1, which is none of the 2 classes; drop unlabelled"
    ):
        encode("label", [1, -1], ["a", "b"])
