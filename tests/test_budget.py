import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_prune.budget import resolve_keep, seat_order
from hf_prune.errors import ArgumentError, ArgumentTypeError

GOLDEN = json.loads((Path(__file__).parent / "data/drop/quotas.json").read_text())["cases"]


def quotas(weights, sizes, budget, **options):
    return np.bincount(seat_order(weights, sizes, budget, **options), minlength=len(sizes)).tolist()


@pytest.mark.parametrize(
    ("keep", "n", "count"),
    [
        (0.3, 10, 3),
        (0.25, 10, 2),  # Python's round: 2.5 goes to the even 2
        (0.35, 10, 4),
        (0.001, 10, 1),  # never nothing
        (1.0, 10, 10),
        (1, 10, 1),
        (10, 10, 10),
        (np.int64(4), 10, 4),
        (np.float32(0.5), 10, 5),
    ],
)
def test_keep_means(keep, n, count):
    assert resolve_keep(keep, n) == count


@pytest.mark.parametrize("keep", [0, -1, 11, 0.0, -0.5, 1.5, float("nan"), float("inf")])
def test_keep_values_that_are_refused(keep):
    with pytest.raises(ArgumentError, match=r"`keep`: wanted a fraction in \(0, 1\], as in keep=0.3, or a count"):
        resolve_keep(keep, 10)


@pytest.mark.parametrize("keep", [True, False, np.True_, "0.5", None, [3]])
def test_keep_types_that_are_refused(keep):
    with pytest.raises(ArgumentTypeError, match="`keep`: wanted a fraction"):
        resolve_keep(keep, 10)


def test_empty_dataset():
    with pytest.raises(ArgumentError, match="`keep`: the dataset is empty"):
        resolve_keep(0.5, 0)


@pytest.mark.parametrize("case", GOLDEN, ids=[case["name"] for case in GOLDEN])
def test_golden_quotas(case):
    error, sizes = 1 - np.array(case["recalls"]), np.array(case["class_sizes"])
    budget = min(case["budget"], sizes.sum())
    assert quotas(error * sizes, sizes, budget) == case["expected_by_density_webster"]
    assert quotas(error, sizes, budget) == case["expected_by_count_webster"]


def test_by_hand():
    # Weights 3 and 1 claim 6, 2 | 2, 2 | 1.2, 2 | 1.2, 2/3: first, first (tie to the lower), second, first.
    assert seat_order([3, 1], [5, 5], 4).tolist() == [0, 0, 1, 0]
    # A full group leaves its places to the others.
    assert quotas([3, 1], [1, 5], 4) == [1, 3]
    # Weight 0 gets places only when the rest is full, the larger remainder first.
    assert seat_order([0, 1, 0], [1, 2, 4], 5).tolist() == [1, 1, 2, 2, 0]
    # Everything of weight 0: proportional to size.
    assert quotas([0, 0], [20, 10], 6) == [4, 2]
    # What is guaranteed comes first.
    assert quotas([1, 0], [10, 10], 5, at_least=2) == [3, 2]


@st.composite
def problems(draw):
    sizes = draw(st.lists(st.integers(0, 12), min_size=1, max_size=6).filter(any))
    weights = draw(st.lists(st.sampled_from([0.0, 0.1, 0.5, 1.0, 3.0]), min_size=len(sizes), max_size=len(sizes)))
    return weights, sizes, draw(st.integers(0, sum(sizes)))


def slow_quotas(weights, sizes, budget):
    """One place after the other, as the rule is stated."""
    kept, spare = [0] * len(sizes), [0] * len(sizes)
    for _ in range(budget):
        open_groups = [k for k in range(len(sizes)) if kept[k] < sizes[k]]
        weighted = [k for k in open_groups if weights[k] > 0]
        if weighted:
            k = max(weighted, key=lambda k: (weights[k] / (kept[k] + 0.5), -k))
        else:
            k = max(open_groups, key=lambda k: (sizes[k] / (spare[k] + 0.5), -k))
            spare[k] += 1
        kept[k] += 1
    return kept


@settings(max_examples=400, deadline=None)
@given(problems())
def test_properties(problem):
    weights, sizes, budget = problem
    got = quotas(weights, sizes, budget)
    assert got == slow_quotas(weights, sizes, budget)
    assert sum(got) == budget
    assert all(kept <= size for kept, size in zip(got, sizes, strict=True))
    if budget:  # house-monotone
        assert all(a <= b for a, b in zip(quotas(weights, sizes, budget - 1), got, strict=True))
    if len(set(weights)) == len(set(sizes)) == 1:
        assert max(got) - min(got) <= 1


def test_refusals():
    with pytest.raises(ArgumentError, match="budget: wanted 0 to 4"):
        seat_order([1], [4], 5)
    with pytest.raises(ArgumentError, match="weights: wanted finite"):
        seat_order([np.nan], [4], 1)
    with pytest.raises(ArgumentError, match="weights: wanted finite"):
        seat_order([-1.0], [4], 1)
    with pytest.raises(ArgumentError, match="`keep`: 3 rows are fewer than the 4 that min_per_class=2 asks for"):
        seat_order([1, 1], [4, 4], 3, at_least=2)
