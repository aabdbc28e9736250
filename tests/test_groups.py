from itertools import product

import numpy as np
import pyarrow as pa
import pytest

from hf_prune.errors import ArgumentError, ArgumentTypeError
from hf_prune.groups import Groups, crossed, encode, listed, printable


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


def all_combinations(parts):
    """Every combination in order, and the rows' positions among them, one row at a time."""
    values = list(product(*(groups.values for groups in parts.values())))
    rows = zip(*(groups.codes.tolist() for groups in parts.values()), strict=True)
    of_rows = [
        None if -1 in row else tuple(groups.values[i] for groups, i in zip(parts.values(), row, strict=True))
        for row in rows
    ]
    return values, of_rows


@pytest.mark.parametrize("n", [0, 5, 24, 60])
def test_combinations_are_those_of_all_or_those_that_occur(n):
    draw = np.random.default_rng(n)
    parts = {
        name: Groups(draw.integers(-1, size, n), tuple(range(10, 10 + size)), tuple("abcd"[:size]))
        for name, size in (("x", 3), ("y", 4), ("z", 2))
    }
    groups = crossed(parts)
    values, of_rows = all_combinations(parts)
    assert [None if code < 0 else groups.values[code] for code in groups.codes.tolist()] == of_rows
    assert list(groups.values) == [value for value in values if n >= 24 or value in of_rows]
    assert all(
        name == f"x={'abcd'[x - 10]}, y={'abcd'[y - 10]}, z={'abcd'[z - 10]}"
        for name, (x, y, z) in zip(groups.names, groups.values, strict=True)
    )


def test_combinations_are_no_more_than_rows():
    n = 300
    many = encode("a", np.arange(n))
    # Six of them have more combinations than a number of 64 bits can count.
    groups = crossed({name: many.take(np.roll(np.arange(n), shift)) for shift, name in enumerate("abcdefgh")})
    assert len(groups.values) == len(groups.names) == n
    assert groups.sizes.tolist() == [1] * n
    assert groups.values[groups.codes[0]] == (0, *range(299, 292, -1))


def test_what_a_terminal_would_obey_is_escaped():
    assert printable("a\x1b[2Jb\nc\u202ed") == r"a\x1b[2Jb\nc\u202ed"
    assert printable("é क\u200dष 👩\u200d🔬 ~") == "é क\u200dष 👩\u200d🔬 ~"
    assert listed(["x\x07", "y"]) == r"x\x07, y"
    with pytest.raises(ArgumentError, match=r"`la\\x1b\[31mbel\\n`: row 1 is null"):
        encode("la\x1b[31mbel\n", [1, None])


def test_what_a_mask_hides_is_no_value():
    with pytest.raises(ArgumentError, match="`by`: row 1 is null"):
        encode("by", np.ma.array([1, 2, 3], mask=[0, 1, 0]))
