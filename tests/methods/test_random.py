import numpy as np

import hf_prune
from hf_prune.kernels.keyed_hash import keyed_hash
from hf_prune.signals.signals import Signals


def order(seed, n=1000, budget=None):
    return hf_prune.Random().select(Signals(n, {}), n if budget is None else budget, seed).rows


def test_frozen_order():
    # Written down once: it may never change, on no platform and with no numpy.
    assert order(0, 10).tolist() == [8, 3, 0, 1, 2, 7, 9, 6, 4, 5]
    assert order(1, 10).tolist() == [8, 6, 1, 2, 7, 3, 5, 4, 9, 0]
    assert int(keyed_hash(2**64 - 1, np.array([0]))[0]) == 18161224881783266195


def test_hash_is_a_bijection_and_seeds_differ():
    assert len(np.unique(keyed_hash(5, np.arange(100_000)))) == 100_000
    assert not np.array_equal(order(0), order(1))


def test_every_row_is_kept_equally_often():
    # 2,000 seeds, 100 of 1,000 rows each: 200 a row expected, standard deviation 13.4; 5 of them is 67.
    kept = np.zeros(1000)
    for seed in range(2000):
        kept[order(seed, budget=100)] += 1
    assert abs(kept - 200).max() < 67


def test_neighbours_are_independent():
    # Rows 2i and 2i + 1 together in a half: 1/4 of 50,000 pairs, standard deviation 97.
    kept = np.zeros(100_000, dtype=bool)
    kept[order(3, 100_000, 50_000)] = True
    assert abs((kept[::2] & kept[1::2]).sum() - 12_500) < 500


def test_a_pool_keeps_the_order_of_its_rows():
    rows = np.array([5, 50, 500, 999])
    pool = hf_prune.Random().select(Signals(1000, {}).subset(rows), 4, 7)
    whole = order(7)
    assert rows[pool.rows].tolist() == [row for row in whole if row in rows]


def test_scores_lie_in_the_unit_interval_lowest_first():
    selection = hf_prune.Random().select(Signals(50, {}), 10, 0)
    assert ((selection.scores >= 0) & (selection.scores < 1)).all()
    assert selection.scores[selection.rows].max() < np.delete(selection.scores, selection.rows).min()
