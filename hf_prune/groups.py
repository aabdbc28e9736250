"""Rows sorted into groups: the classes of a label column, or any other grouping that quotas are given to."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from hf_prune.errors import ArgumentError, ArgumentTypeError

NAMED = 10
"""Groups that a summary or a warning lists before it says how many more there are."""

JOINERS = "\u200c\u200d"
"""Characters that show nothing and that some scripts and emoji need."""


@dataclass(frozen=True, eq=False)
class Groups:
    """Which group each row is in.

    Attributes:
        codes: (n,) int64, position in `values`; -1 for rows that are in no group.
        values: the groups' own values, in ClassLabel order or sorted.
        names: the values as text, or the names of a ClassLabel.
        numbered: whether a model's class numbers are positions in `values`; not so for text, which may have been
            numbered in any order, and for groups other than the labels.
        parts: of combinations of columns, for each column the values and names of its groups; else empty.
    """

    codes: NDArray[np.int64]
    values: tuple[Any, ...]
    names: tuple[str, ...]
    numbered: bool = True
    parts: tuple[frozenset[Any], ...] = ()

    @property
    def sizes(self) -> NDArray[np.int64]:
        """(groups,) int64 rows in each group, 0 for a class that no row has."""
        return np.bincount(self.codes[self.codes >= 0], minlength=len(self.values)).astype(np.int64)

    def take(self, rows: NDArray[np.int64]) -> "Groups":
        """The groups of `rows` alone; groups that none of these is in stay, without rows."""
        return replace(self, codes=self.codes[rows])

    def could_hold(self, key: Any) -> bool:
        """Whether `key` is a combination of groups that exist, by value or name, though perhaps no row has it."""
        fits = isinstance(key, tuple) and 0 < len(key) == len(self.parts)
        return fits and all(one in part for one, part in zip(key, self.parts, strict=True))

    def spread(self, rows: NDArray[np.int64], n: int) -> "Groups":
        """The groups of `n` rows, of which `rows` are these and the others are in none."""
        codes = np.full(n, -1, dtype=np.int64)
        codes[rows] = self.codes
        return replace(self, codes=codes)

    def rows(self) -> list[NDArray[np.int64]]:
        """For each group its rows, ascending."""
        order = np.argsort(self.codes, kind="stable")
        edges = np.searchsorted(self.codes[order], np.arange(len(self.values) + 1))
        return [order[start:stop] for start, stop in pairwise(edges)]


def printable(text: str) -> str:
    r"""A text on one line in which what a terminal would obey, and not show, is escaped.

    >>> printable("red \x1b[31m")
    'red \\x1b[31m'
    """
    return "".join(
        character if character.isprintable() or character in JOINERS else repr(character)[1:-1] for character in text
    )


def listed(names: Sequence[str]) -> str:
    """The first of some names, and how many more there are."""
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(map(printable, names[:NAMED])) + more


def shortened(name: str, most: int) -> str:
    """A name on one line, cut after `most` characters.

    >>> shortened("two\\nlines", 5)
    'two l…'
    """
    line = " ".join(name.split())
    return line if len(line) <= most else f"{line[:most]}…"


def crossed(parts: Mapping[str, Groups]) -> Groups:
    """One group for each combination of the parts' groups, those of the last part next to each other.

    Where there are more combinations than rows, only for those that occur.

    Args:
        parts: by column the groups of the same rows.

    >>> both = crossed({"label": encode("label", [0, 1, 1]), "site": encode("site", ["a", "b", "a"])})
    >>> both.codes.tolist(), both.names[1], both.values[1]
    ([0, 2, 1], 'label=1, site=a', (1, 'a'))
    """
    if len(parts) == 1:
        return next(iter(parts.values()))
    of_parts = np.stack([groups.codes for groups in parts.values()])
    sizes = [len(groups.values) for groups in parts.values()]
    inside = np.all(of_parts >= 0, axis=0)
    codes = np.full(of_parts.shape[1], -1, dtype=np.int64)
    if math.prod(sizes) <= len(codes):
        combinations = np.indices(sizes).reshape(len(sizes), -1)
        codes[inside] = np.ravel_multi_index(tuple(of_parts[:, inside]), sizes)
    else:
        combinations, found = np.unique(of_parts[:, inside], axis=1, return_inverse=True)
        codes[inside] = found.reshape(-1)
    values = [[groups.values[i] for i in row] for groups, row in zip(parts.values(), combinations, strict=True)]
    named = [
        [f"{column}={groups.names[i]}" for i in row]
        for (column, groups), row in zip(parts.items(), combinations, strict=True)
    ]
    joined = tuple(map(", ".join, zip(*named, strict=True)))
    known = tuple(frozenset((*groups.values, *groups.names)) for groups in parts.values())
    return Groups(codes, tuple(zip(*values, strict=True)), joined, numbered=False, parts=known)


def encode(name: str, values: Any, class_names: Sequence[str] | None = None) -> Groups:
    """Groups from a column or array of ints, strings or bools.

    Args:
        name: the column or argument, for messages.
        values: (n,) Arrow array or anything that one can be made of.
        class_names: names in ClassLabel order; the values are then positions in it.

    Raises:
        ArgumentError: nulls, or an int that is no class.
        ArgumentTypeError: floats or anything else that groups can't be made of.
    """
    name = printable(name)
    array = _arrow(name, values)
    if array.null_count:
        row = array.is_valid().index(False)
        raise ArgumentError(f"`{name}`: row {row} is null (of {array.null_count} nulls); every row needs a group")
    if class_names is not None:
        return _from_class_label(name, array, tuple(class_names))
    numbered = not _is_text(array.type)
    array = array.dictionary_encode()
    values = array.dictionary.to_pylist()
    order = sorted(range(len(values)), key=values.__getitem__)
    position = np.argsort(order)
    ordered = tuple(values[i] for i in order)
    return Groups(position[array.indices.to_numpy()], ordered, tuple(str(value) for value in ordered), numbered)


def _arrow(name: str, values: Any) -> Any:
    """An Arrow array of ints, bools or strings, in one piece and no dictionary; anything else is refused."""
    wanted = f"`{name}`: wanted one int, string or bool for each row"
    try:
        array = values if isinstance(values, pa.Array | pa.ChunkedArray) else pa.array(values)
    except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
        raise ArgumentTypeError(f"{wanted}, got {type(values).__name__} ({error})") from error
    if isinstance(array, pa.ChunkedArray):
        array = array.combine_chunks()
    if pa.types.is_dictionary(array.type):
        of_codes = array.dictionary
        if pa.types.is_string_view(of_codes.type):  # which Arrow can't decode
            of_codes = of_codes.cast(pa.large_string())
        array = pa.DictionaryArray.from_arrays(array.indices, of_codes).dictionary_decode()
    kind = array.type
    if not (pa.types.is_integer(kind) or pa.types.is_boolean(kind) or _is_text(kind)):
        cast = "; cast floats first, as in labels.astype(int)" if pa.types.is_floating(kind) else ""
        raise ArgumentTypeError(f"{wanted}, got {kind}{cast}")
    return array


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _from_class_label(name: str, array: Any, class_names: tuple[str, ...]) -> Groups:
    codes = pc.cast(array, pa.int64()).to_numpy()
    outside = np.flatnonzero((codes < 0) | (codes >= len(class_names)))
    if len(outside):
        raise ArgumentError(
            f"`{name}`: row {outside[0]} has label {codes[outside[0]]}, which is none of the {len(class_names)} "
            f"classes; drop unlabelled rows first, as in ds.filter(lambda row: row[{name!r}] >= 0)"
        )
    return Groups(codes, tuple(range(len(class_names))), class_names)
