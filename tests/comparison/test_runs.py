import json
import subprocess
import sys
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from datasets import ClassLabel, Dataset, Features

import hf_prune
from hf_prune.comparison.results import FULL, SHORTER, Comparison, Result, Spread, size_text
from hf_prune.comparison.runs import Run, compare_runs, prune_all, rows_of

CATS_AND_DOGS = Dataset.from_dict(
    {"label": [0] * 6 + [1] * 2}, features=Features({"label": ClassLabel(names=["cat", "dog"])})
)
REFERENCES = [0, 0, 0, 0, 1, 1]
METHODS = {"random": {"method": "random", "quotas": "proportional"}, "equal": {"method": "random", "quotas": "equal"}}


def train(rows, seed):
    """A model that knows as many cats of the test part as it saw, less `seed`, and as many dogs as it saw."""
    labels = list(rows["label"])
    cats, dogs = min(labels.count(0), 4) - seed, min(labels.count(1), 2)
    return Run([0] * cats + [1] * (4 - cats) + [1] * dogs + [0] * (2 - dogs), REFERENCES)


def compared(**changed):
    full = {seed: train(CATS_AND_DOGS, seed) for seed in (0, 1)}
    given = {"methods": METHODS, "keep": [0.5], "full": full, "train": train} | changed
    return compare_runs(CATS_AND_DOGS, **given)


def test_results():
    comparison = compared()
    assert comparison.classes == ("cat", "dog")
    # Half of 8 rows: 3 cats and 1 dog in proportion, 2 and 2 in equal numbers; seed 1 knows one cat less.
    assert comparison.results == (
        Result(FULL, 1.0, 0, 8, 1.0, (1.0, 1.0)),
        Result(FULL, 1.0, 1, 8, 5 / 6, (0.75, 1.0)),
        Result("random", 0.5, 0, 4, 4 / 6, (0.75, 0.5)),
        Result("equal", 0.5, 0, 4, 4 / 6, (0.5, 1.0)),
        Result("random", 0.5, 1, 4, 3 / 6, (0.5, 0.5)),
        Result("equal", 0.5, 1, 4, 3 / 6, (0.25, 1.0)),
    )
    assert [result.worst_class for result in comparison.results] == [1.0, 0.75, 0.5, 0.5, 0.5, 0.25]
    assert comparison.methods == ("random", "equal")
    assert comparison.keeps == (0.5,)


def test_spread_is_the_mean_and_the_sample_deviation_over_seeds():
    comparison = compared()
    worst = comparison.worst_class("equal", 0.5)
    assert worst.mean == pytest.approx(0.375)
    assert worst.sd == pytest.approx((2 * 0.125**2) ** 0.5)
    assert comparison.accuracy(FULL).mean == pytest.approx(11 / 12)


def test_table():
    assert compared().table().splitlines() == [
        "| method | keep 50% (4 rows) |",
        "| --- | --- |",
        "| all rows (8), as many steps (RS2) | 91.7 ± 11.8 (87.5 ± 17.7) |",
        "| random | 58.3 ± 11.8 (50.0 ± 0.0) |",
        "| equal | 58.3 ± 11.8 (37.5 ± 17.7) |",
    ]


def test_table_of_several_sizes_and_one_seed():
    table = compared(methods={"equal": METHODS["equal"]}, keep=[0.5, 2], full={0: train(CATS_AND_DOGS, 0)}).table()
    assert table.splitlines() == [
        "| method | keep 50% (4 rows) | keep 2 (2 rows) |",
        "| --- | --- | --- |",
        "| all rows (8), as many steps (RS2) | 100.0 (100.0) | 100.0 (100.0) |",
        "| equal | 66.7 (50.0) | 33.3 (25.0) |",
    ]


def test_unpruned_rows_get_the_whole_dataset_and_the_size_as_a_share():
    asked = []

    def shorter(rows, seed, share):
        """A model that knows all dogs, and of the cats as many as the share."""
        asked.append((rows, seed, share))
        cats = round(4 * share)
        return Run([0] * cats + [1] * (6 - cats), REFERENCES)

    # Three of 8 rows are a share of 0.375; a fraction is passed as it is, though 0.3 of 8 rows are 2.
    comparison = compared(keep=[3, 0.3], unpruned={SHORTER: shorter, "shorter again": shorter})
    assert asked == [(CATS_AND_DOGS, seed, share) for seed in (0, 1) for _ in range(2) for share in (0.375, 0.3)]
    assert comparison.unpruned == (SHORTER, "shorter again")
    assert comparison.methods == (SHORTER, "shorter again", "random", "equal")
    assert comparison.keeps == (3, 0.3)
    assert comparison.of(SHORTER, 3) == tuple(Result(SHORTER, 3, seed, 8, 4 / 6, (0.5, 1.0)) for seed in (0, 1))
    assert comparison.accuracy(SHORTER, 0.3).mean == 3 / 6
    assert comparison.table().splitlines()[:4] == [
        "| method | keep 3 (3 rows) | keep 30% (2 rows) |",
        "| --- | --- | --- |",
        "| all rows (8), as many steps (RS2) | 91.7 ± 11.8 (87.5 ± 17.7) | 91.7 ± 11.8 (87.5 ± 17.7) |",
        "| all rows, keep x steps | 66.7 ± 0.0 (50.0 ± 0.0) | 50.0 ± 0.0 (25.0 ± 0.0) |",
    ]
    axes = comparison.plot().axes[0]
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["30%\n2 rows", "3\n3 rows"]
    assert axes.get_legend_handles_labels()[1] == [FULL, *comparison.methods]


def test_every_seed_prunes_with_its_own_signals():
    seen = []

    def remember(rows, seed):
        seen.append((seed, rows.selection.indices.tolist()))
        assert rows.selection.steps[0].seed == seed
        return Run(REFERENCES, REFERENCES)

    recalls = {"cat": 0.5, "dog": 1.0}
    full = {
        3: Run(REFERENCES, REFERENCES, {"scores": range(8), "recalls": recalls}),
        1: Run(REFERENCES, REFERENCES, {"scores": range(8, 0, -1), "recalls": recalls}),
    }
    # "own" has scores of its own. DRoP reads the recalls, which the others ignore, and keeps no dog, for 1 - 1.0 = 0.
    methods = {
        "hardest": {"method": "given_scores"},
        "own": {"method": "given_scores", "scores": [0, 0, 9, 0, 0, 9, 0, 0]},
        "drop": {"method": "drop"},
    }
    compared(methods=methods, keep=[2], full=full, train=remember)
    assert seen[:2] == [(3, [6, 7]), (3, [2, 5])]
    assert seen[3:5] == [(1, [0, 1]), (1, [2, 5])]
    for seed, (trained, indices) in ((3, seen[2]), (1, seen[5])):
        assert trained == seed
        assert max(indices) < 6


def test_one_pruning_serves_every_size_as_if_each_had_its_own():
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1, 2], [80, 50, 20])
    points = rng.normal(size=(150, 4)) + labels[:, None]
    run = hf_prune.TrainingDynamics.from_logits(rng.normal(size=(6, 150, 3)) + 2 * np.eye(3)[labels], labels)
    signals = {"dynamics": run, "embeddings": points, "recalls": [0.9, 0.8, 0.4]}
    methods = {
        "D2": {"method": "d2", "quotas": "equal"},
        "D2 of all": {"method": "d2", "cutoff": 0},
        "D2 in quotas": {"method": "d2", "quotas": "drop"},
        "DRoP": {"method": "drop", "cutoff": 0.1},
        "EL2N": {"method": "el2n"},
        "random": {"method": "random", "quotas": "equal", "cutoff": "auto"},
        "prototypicality": {"method": "prototypicality", "clusters": 3},
    }
    dataset, keep = Dataset.from_dict({"label": labels}), [0.1, 0.5, 40]
    selections = prune_all(dataset, methods, keep, 3, signals)
    for name, size in product(methods, keep):
        anew = dataset.prune(**methods[name], keep=size, seed=3, **signals).selection
        assert selections[name, size].indices.tolist() == anew.indices.tolist()


def test_methods_with_an_order_run_once_a_seed(monkeypatch):
    calls = []
    select = hf_prune.Random.select
    monkeypatch.setattr(hf_prune.Random, "select", lambda *given: calls.append(given[2]) or select(*given))
    prune_all(CATS_AND_DOGS, {"random": {"method": "random"}}, [2, 0.5, 3], 0, {})
    assert calls == [4]


def test_rows_of_a_chain():
    earlier = CATS_AND_DOGS.prune("given_scores", keep=6, scores=[0, 1, 2, 0, 3, 4, 5, 6])
    methods = {"hardest": {"method": "given_scores", "scores": [0, 0, 1, 0, 1, 0]}}
    selections = prune_all(earlier, methods, [1, 2], 0, {})
    rows = rows_of(earlier, selections["hardest", 2])
    assert rows.selection.indices.tolist() == [4, 6]
    assert rows["label"] == [0, 1]


def test_all_is_pruned_before_anything_is_trained():
    trained = []
    methods = {"random": {"method": "random"}, "EL2N": {"method": "el2n"}}
    with pytest.raises(hf_prune.MissingSignalError, match="no dynamics, which "):
        compared(methods=methods, train=lambda rows, seed: trained.append(seed))
    assert trained == []


def test_a_class_that_the_test_part_lacks():
    full = {0: Run([0, 1], [0, 0])}
    comparison = compared(full=full, train=lambda rows, seed: Run([0, 0], [0, 0]))
    assert comparison.of(FULL)[0].recalls == (0.5, None)
    assert comparison.of(FULL)[0].accuracy == comparison.of(FULL)[0].worst_class == 0.5


def test_logits_are_predictions_too():
    comparison = compared(full={0: Run([[2.0, 1.0], [0.0, 1.0], [0.0, 1.0]], [0, 0, 1])})
    assert comparison.of(FULL)[0].recalls == (0.5, 1.0)


def test_label_column():
    dataset = Dataset.from_dict({"label": [1, 2] * 4, "kind": ["cat"] * 6 + ["dog"] * 2})
    full = {0: Run(REFERENCES, REFERENCES)}
    comparison = compare_runs(
        dataset,
        {"equal": METHODS["equal"]},
        keep=[4],
        full=full,
        train=lambda rows, seed: Run([0] * 6, REFERENCES),
        label_column="kind",
    )
    assert comparison.classes == ("cat", "dog")
    assert comparison.of("equal", 4)[0].recalls == (1.0, 0.0)


def test_to_dataset():
    table = compared(keep=[0.5, 2], full={0: Run([0, 1], [0, 0])}).to_dataset()
    assert table.column_names == ["method", "keep", "seed", "kept", "accuracy", "recalls", "worst_class"]
    assert table[0] == {"method": FULL, "keep": 1.0, "seed": 0, "kept": 8} | {"accuracy": 0.5} | {
        "recalls": [0.5, None],
        "worst_class": 0.5,
    }
    assert table["keep"][:] == [1.0, 0.5, 0.25, 0.5, 0.25]
    assert table["kept"][:] == [8, 4, 2, 4, 2]


def test_save_and_load(tmp_path):
    unpruned = {SHORTER: lambda rows, seed, share: Run([0, 0], [0, 0])}
    comparison = compared(keep=[0.5, 3], full={0: Run([0, 1], [0, 0])}, unpruned=unpruned)
    path = tmp_path / "new" / "comparison.json"
    comparison.save(path)
    comparison.save(path)
    loaded = Comparison.load(path)
    assert loaded == comparison
    assert [type(keep) for keep in loaded.keeps] == [float, int]
    assert loaded.unpruned == (SHORTER,)
    assert loaded.table() == comparison.table()
    assert json.loads(path.read_text(), parse_constant=pytest.fail)["classes"] == ["cat", "dog"]


def test_save_replaces_no_folder_and_leaves_nothing_by_halves(tmp_path, monkeypatch):
    path = tmp_path / "comparison.json"
    with pytest.raises(hf_prune.ArgumentError, match="`path`: wanted a file such as"):
        compared().save(tmp_path)
    compared().save(path)
    before = path.read_bytes()

    def write_half(file, text, **options):
        file.write_bytes(text[: len(text) // 2].encode())
        raise OSError("no space left")

    monkeypatch.setattr(Path, "write_text", write_half)
    with pytest.raises(OSError, match="no space left"):
        compared().save(path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_numpy_sizes_and_seeds_can_be_saved(tmp_path):
    full = {np.int64(0): Run(REFERENCES, REFERENCES)}
    comparison = compared(keep=[np.int64(4), np.float64(0.25)], full=full)
    comparison.save(tmp_path / "comparison.json")
    assert Comparison.load(tmp_path / "comparison.json").keeps == (4, 0.25)


@pytest.mark.parametrize("text", ['{"format": "hf_prune.selection/2"}', "{", '{"classes": []}', "[]", None])
def test_load_refuses_other_files(tmp_path, text):
    path = tmp_path / "other.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(hf_prune.ArgumentError, match=r"`path`: .*other\.json' is no file of Comparison\.save"):
        Comparison.load(path)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"methods": {}}, "`methods`: wanted the arguments of prune by name"),
        ({"methods": {"EL2N": "el2n"}}, "`methods`: wanted the arguments of prune by name.* got {'EL2N': 'el2n'}"),
        ({"methods": {"EL2N": {"k": 3}}}, "`methods`: wanted the arguments of prune by name"),
        ({"methods": {FULL: {"method": "random"}}}, "`methods`: 'all rows' is the name of the runs on the whole"),
        ({"methods": ["random"]}, "`methods`: wanted the arguments of prune by name"),
        ({"methods": {"x": {"method": "random", "seed": 3}}}, r"`methods`: \['seed'\] are compare's own"),
        ({"keep": 0.5}, "`keep`: wanted sizes that differ"),
        ({"full": [1]}, "`full`: wanted a run on all rows for each seed"),
        ({"keep": []}, "`keep`: wanted sizes that differ"),
        ({"keep": [0.5, 0.3, 0.5]}, "`keep`: wanted sizes that differ"),
        ({"keep": [0.5, 9]}, "`keep`: .* got the count 9"),
        ({"full": {}}, "`full`: wanted a run on all rows for each seed"),
        ({"full": {"first": Run(REFERENCES, REFERENCES)}}, "`full`: wanted a whole number, got 'first'"),
        ({"full": {0: [0, 1]}}, r"`full`: wanted Run\(predictions, references\), got list"),
        ({"train": lambda rows, seed: None}, r"`train`: wanted Run\(predictions, references\), got NoneType"),
        (
            {"unpruned": {SHORTER: lambda *job: None}},
            r"`unpruned`: wanted Run\(predictions, references\), got NoneType",
        ),
        ({"unpruned": [train]}, r"`unpruned`: wanted functions by name, as in {SHORTER: train}; got \["),
        ({"unpruned": {SHORTER: 0.5}}, "`unpruned`: wanted functions by name.* got {'all rows, keep x steps': 0.5}"),
        ({"unpruned": {FULL: train, "equal": train}}, r"`unpruned`: \['all rows', 'equal'\] are names of other rows"),
        ({"train": lambda rows, seed: Run([0, 2], [0, 1])}, "predictions must be class positions from 0 to 1"),
    ],
)
def test_bad_arguments(changed, message):
    with pytest.raises(hf_prune.HFPruneError, match=message):
        compared(**changed)


def test_results_that_are_not_there():
    message = r"no results of 'random' at keep=0\.3; there are \['random', 'equal'\] at \[0\.5\]"
    with pytest.raises(hf_prune.ArgumentError, match=message):
        compared().accuracy("random", 0.3)


def test_texts():
    assert [size_text(keep) for keep in (0.3, 0.125, 1.0, 1000)] == ["30%", "12.5%", "100%", "1,000"]
    assert [str(Spread.of(values)) for values in ([0.5], [0.25, 0.75], [1.0])] == ["50.0", "50.0 ± 35.4", "100.0"]


@pytest.mark.process
def test_import_is_light():
    loaded = "{'torch', 'transformers', 'matplotlib'} & {*sys.modules}"
    program = f"import sys, hf_prune.comparison.runs, hf_prune.plots; print({loaded})"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True).stdout == "set()\n"


def test_a_repr_is_one_line():
    results = [Result(FULL, 1.0, seed, 100, 0.9, (0.8, 1.0)) for seed in range(100)]
    results += [Result("random", 0.3, seed, 30, 0.7, (0.5, 0.9)) for seed in range(100)]
    said = "Comparison of ['random'] at keep=[0.3]: 200 models, 2 classes; see table(), plot()"
    assert repr(Comparison(("cat", "dog"), tuple(results))) == said
