"""The benchmark of the worst class, from tiny data to Markdown."""

import json
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest

KEEPS = (0.5, 0.25)


@pytest.fixture(scope="module")
def benchmarks(_trainer_libraries):
    """The module of the benchmark, imported once the libraries of Trainer are."""
    from tests.benchmarks.worst_class import run

    return run


@pytest.fixture(scope="module")
def table(benchmarks):
    from tests.benchmarks.worst_class import table

    return table


@pytest.fixture
def tiny(benchmarks, monkeypatch):
    """Images of 8 x 8 pixels, 80 to train on and 40 in each other part; groups are class and first pixel."""
    from tests.benchmarks import networks, real_data

    def made(cache):
        rng = np.random.default_rng(0)
        parts = [part_of(rng, rows) for rows in (80, 40, 40)]
        data = real_data.of_images(*parts[0][:2], *parts[1][:2], ("dark", "light"), parts[2][:2])
        return replace(
            data,
            validation=replace(data.validation, groups=parts[2][2]),
            groups=parts[0][2],
            test_groups=parts[1][2],
            group_names=("dark, 0", "dark, 1", "light, 0", "light, 1"),
        )

    monkeypatch.setattr(real_data, "COMPONENTS", 4)
    monkeypatch.setitem(real_data.DATA, "tiny", made)
    mlp, resnet = networks.NETWORKS["mlp"], networks.NETWORKS["resnet"]
    monkeypatch.setitem(networks.NETWORKS, "mlp", replace(mlp, steps=60, batch=16, hidden=8, snapshots=5))
    monkeypatch.setitem(networks.NETWORKS, "resnet", replace(resnet, steps=6, batch=16))
    part = benchmarks.Part("mlp", "tiny", methods=tuple(benchmarks.METHODS), keeps=KEEPS, seeds=2)
    return {"mlp": part, "resnet": replace(benchmarks.PARTS["resnet"], data="tiny", keeps=(0.5,), seeds=1)}


def part_of(rng, rows):
    """Pixels, classes and groups; of every four rows one of a class has the other class's first pixel."""
    y = np.arange(rows) % 2
    other = np.where(np.arange(rows) % 8 < 2, 1 - y, y)
    pixels = rng.integers(0, 60, size=(rows, 8, 8)) + 120 * y[:, None, None]
    pixels[:, 0, 0] = 200 * other
    return pixels.astype(np.uint8), y, 2 * y + other


def test_whole_line_and_resume(benchmarks, table, tiny, tmp_path, monkeypatch):
    file = tmp_path / "results.parquet"
    benchmarks.run_parts(tiny, tmp_path, 0, file)
    table_of_results = pq.read_table(file)
    assert len(table_of_results) == 2 * (13 * 2 + 1) + (7 + 1)
    rows = table_of_results.to_pylist()
    assert {row["kept"] for row in rows} == {80, 40, 20}
    of_one_cell = [row for row in rows if row["keep"] == 0.25 and row["seed"] == 0 and row["kept"] < 80]
    by_group = {row["method"]: row["kept_by_group"] for row in of_one_cell}
    assert by_group["random, group-balanced"] == [5, 5, 5, 5]
    assert sum(by_group["random, class-balanced"][:2]) == 10
    assert all(sum(kept) == 20 for kept in by_group.values())
    full = [row for row in rows if row["method"] == "all rows"]
    assert [row["kept_by_group"] for row in full] == [[30, 10, 10, 30]] * 3
    assert all(row["accuracy"] == 1 and row["group_accuracies"] == [1] * 4 for row in full if row["network"] == "mlp")
    about = json.loads(table_of_results.schema.metadata[b"hf_prune"])
    assert about["setup"]["mlp"]["methods"][table.OVER_MIXTURE]["within"]["method"] == "mixture"
    assert about["setup"]["mlp"]["groups"][1] == "dark, 1"
    assert table.text(file).count(f"| {table.BY_GROUP} |") == 3  # keeps, and the aim

    finished = sorted((tmp_path / "drop").glob("*/*.json"))
    assert len(finished) == 3
    finished[0].unlink()
    asked, work = [], benchmarks.work
    monkeypatch.setattr(benchmarks, "work", lambda *job: asked.append(job) or work(*job))
    again = tmp_path / "again.parquet"
    benchmarks.run_parts(tiny, tmp_path, 0, again)
    assert len(asked) == 1
    assert pq.read_table(again).equals(table_of_results)


class Guesser:
    """A network that is right where it has seen the row's group in training, and remembers on how many rows."""

    def __init__(self):
        self.trained_on = []

    def in_part(self, share):
        return Guesser()

    def train(self, data, y, rows, seed, record=False):
        self.trained_on.append(len(rows))
        few = [group for group in range(4) if (data.groups[rows] == group).sum() < 15]
        guess = {name: np.where(np.isin(part.groups, few), 1 - part.y, part.y) for name, part in data.held_out.items()}
        return guess, {}


def test_recalls_reach_the_methods_that_measure_them(benchmarks, table, tiny, tmp_path):
    from tests.benchmarks.cells import results
    from tests.benchmarks.real_data import load

    network, data = Guesser(), load("tiny", tmp_path)
    methods = {name: benchmarks.METHODS[name] for name in (table.DROP, table.BY_GROUP, table.ROUNDS)}
    full, _, by_class, by_group, rounds = results(network, data, data.y, methods, (0.25,), seed=0)
    # Groups of 10 training rows are too small for it: recalls by class are equal, those by group are 1 and 0.
    assert full["group_accuracies"] == [1, 0, 0, 1]
    assert full["recalls"] == [0.75, 0.75]
    assert full["accuracy"] == 0.75
    assert sum(by_class["kept_by_group"][:2]) == 10
    # Weights N (1 - r): 10 * 11/12 of the hard groups and 30 * 1/32 of the others, for 20 rows.
    assert by_group["kept_by_group"] == [2, 8, 8, 2]
    assert rounds["kept"] == 20
    # All rows, two coresets, what is left after two rounds. The third leaves what DRoP keeps, because the recalls of
    # the classes stay equal and random rows are nested.
    assert network.trained_on == [80, 20, 20, 50, 32]


def test_longtail_and_dominoes(benchmarks, monkeypatch, tmp_path):
    from tests.benchmarks import real_data

    rng = np.random.default_rng(0)

    def images(rows, classes):
        return rng.integers(0, 256, size=(rows, 28, 28)).astype(np.uint8), np.arange(rows) % classes

    digits, garments = images(400, 10), {"train": images(1200, 10), "t10k": images(100, 10)}
    monkeypatch.setattr(real_data, "mnist_5k_arrays", lambda: digits)
    monkeypatch.setattr(real_data, "fashion_arrays", lambda part, cache: garments[part])
    monkeypatch.setattr(real_data, "COMPONENTS", 4)
    monkeypatch.setattr(real_data, "DOMINO_ROWS", 160)
    monkeypatch.setattr(real_data, "DOMINO_VALIDATION", 40)

    tail = real_data.mnist_longtail(tmp_path)
    sizes = np.bincount(tail.y)
    assert sorted(sizes.tolist()) == [2, 3, 3, 4, 6, 7, 9, 12, 15, 20]
    assert (np.diff(sizes) > 0).any()
    assert (np.diff(sizes) < 0).any()
    assert np.bincount(tail.validation.y).tolist() == np.bincount(tail.test_y).tolist() == [10] * 10

    data = real_data.dominoes(tmp_path)
    assert data.pixels.shape == (160, 56, 28)
    assert np.bincount(data.groups).tolist() == [76, 4, 4, 76]
    assert np.bincount(data.validation.groups).tolist() == [10] * 4
    assert np.bincount(data.test_groups).tolist() == [5] * 4
    np.testing.assert_array_equal(data.groups // 2, data.y)
    parts = (data.pixels, data.validation.pixels, data.test_pixels)
    groups = (data.groups, data.validation.groups, data.test_groups)
    of_digit = {image.tobytes(): digit for image, digit in zip(*digits, strict=True)}
    above = [[image.tobytes() for image in part[:, :28]] for part in parts]
    for part, group in zip(above, groups, strict=True):
        assert [of_digit[image] for image in part] == (group % 2).tolist()
    below = [{image.tobytes() for image in part[:, 28:]} for part in parts]
    for one, other in ((0, 1), (0, 2), (1, 2)):
        assert not set(above[one]) & set(above[other])
        assert not below[one] & below[other]
    assert sum(map(len, below)) == 160 + 40 + 20


@pytest.fixture
def fabricated(benchmarks, table, tmp_path):
    """A file of one grouped dataset, three seeds; for each keep and method average and worst group in percent."""
    from tests.benchmarks import cells

    percent_of = {
        1.0: {"all rows": ((90, 90, 90), (70, 70, 70))},
        0.5: {
            table.RANDOM: ((88, 88, 88), (60, 60, 60)),
            table.BALANCED: ((88, 88, 88), (71, 72, 73)),
            table.GROUP_BALANCED: ((85, 85, 85), (74, 75, 76)),
            table.DROP: ((86, 86, 86), (68, 70, 72)),
            table.DROP_HALF: ((87, 88, 89), (69, 69, 69)),
            table.BY_GROUP: ((84, 84, 84), (80, 80, 80)),
        },
        0.1: {
            table.RANDOM: ((80, 80, 80), (30, 30, 30)),
            table.BALANCED: ((80, 80, 80), (31, 31, 31)),
            table.DROP: ((70, 70, 70), (40, 40, 40)),
            table.DROP_HALF: ((79, 79, 79), (35, 35, 35)),
        },
    }
    rows = [
        {"network": "mlp", "data": "tiny", "keep": keep, "method": method, "seed": seed, "kept": int(1000 * keep)}
        | {"kept_by_group": [1, 2], "accuracy": average / 100, "recalls": [0.9, 0.9]}
        | {"group_accuracies": [worst / 100, 1.0]}
        for keep, by_method in percent_of.items()
        for method, values in by_method.items()
        for seed, (average, worst) in reversed(list(enumerate(zip(*values, strict=True))))
    ]
    setup = {"part": {"data": "tiny", "classes": ["a", "b"], "groups": ["hard", "easy"]}}
    cells.write_parquet(tmp_path / "fabricated.parquet", rows, setup, cells.GROUP_SCHEMA)
    return table.Results(tmp_path / "fabricated.parquet")


def test_table_by_hand(table, fabricated):
    # Standard error of 68, 70, 72: sd 2 over the root of 3.
    assert table.table(fabricated, "mlp", "tiny").splitlines() == [
        "**tiny**, mlp, 3 seeds; worst with all rows: hard in 3",
        "",
        "| keep | method | average | worst group | gap |",
        "| --- | --- | --- | --- | --- |",
        "| 100% (1,000) | all rows | 90.0 ± 0.0 | 70.0 ± 0.0 | 30.0 ± 0.0 |",
        "| 50% (500) | random | 88.0 ± 0.0 | 60.0 ± 0.0 | 40.0 ± 0.0 |",
        "| 50% (500) | random, class-balanced | 88.0 ± 0.0 | 72.0 ± 0.6 | 28.0 ± 0.6 |",
        "| 50% (500) | random, group-balanced | 85.0 ± 0.0 | 75.0 ± 0.6 | 25.0 ± 0.6 |",
        "| 50% (500) | DRoP | 86.0 ± 0.0 | 70.0 ± 1.2 | 30.0 ± 1.2 |",
        "| 50% (500) | DRoP, temperature 0.5 | 88.0 ± 0.6 | 69.0 ± 0.0 | 31.0 ± 0.0 |",
        "| 50% (500) | DRoP by group | 84.0 ± 0.0 | 80.0 ± 0.0 | 20.0 ± 0.0 |",
        "| 10% (100) | random | 80.0 ± 0.0 | 30.0 ± 0.0 | 70.0 ± 0.0 |",
        "| 10% (100) | random, class-balanced | 80.0 ± 0.0 | 31.0 ± 0.0 | 69.0 ± 0.0 |",
        "| 10% (100) | DRoP | 70.0 ± 0.0 | 40.0 ± 0.0 | 60.0 ± 0.0 |",
        "| 10% (100) | DRoP, temperature 0.5 | 79.0 ± 0.0 | 35.0 ± 0.0 | 65.0 ± 0.0 |",
    ]


def test_aims_by_hand(table, fabricated):
    # Keep 10% is no part of the aim for the worst class.
    assert table.worst_aim(fabricated).splitlines()[2:] == [
        "| cell | DRoP | DRoP by group | DRoP, temperature 0.5 |",
        "| --- | --- | --- | --- |",
        "| tiny, mlp, keep 50% | +0.0 ± 1.2, met | +10.0 ± 0.0, met | -1.0 ± 0.0, **missed** |",
        "",
        "- DRoP: met in 1 of 1 cells",
        "- DRoP by group: met in 1 of 1 cells",
        "- DRoP, temperature 0.5: met in 0 of 1 cells",
    ]
    assert table.average_aim(fabricated).splitlines()[2:] == [
        "| cell | DRoP, temperature 0.5 |",
        "| --- | --- |",
        "| tiny, mlp, keep 50% | +0.0 ± 0.6, met |",
        "| tiny, mlp, keep 10% | -1.0 ± 0.0, **missed** |",
        "",
        "- DRoP, temperature 0.5: met in 1 of 2 cells",
    ]
    # Class-balanced 71 72 73 against DRoP 68 70 72: 3 2 1, standard error 1 / root 3.
    assert table.balancing(fabricated).splitlines()[2:] == [
        "- tiny, mlp, keep 50%: random, class-balanced beats DRoP by 2.0 ± 0.6; DRoP, temperature 0.5 by 3.0 ± 0.6",
        "- tiny, mlp, keep 50%: random, group-balanced beats DRoP by 5.0 ± 0.6; DRoP, temperature 0.5 by 6.0 ± 0.6",
    ]
    assert "in 4 of 8 comparisons" in table.balancing(fabricated)
