"""The comparison on the user's data: its parts, what never takes part in selection, and what is kept in the folder."""

import numpy as np
import pytest
from datasets import Dataset, DatasetDict

import hf_prune
from hf_prune.comparison.parts import read_parts, split_by_class
from hf_prune.comparison.proxy import Proxy
from hf_prune.comparison.results import FULL, SHORTER
from tests.comparison.animals import blobs

OPTIONS = {"keep": [0.5, 0.1], "seeds": 2}


def test_what_is_always_in_it(animals):
    dataset, points = animals
    comparison = hf_prune.compare(dataset, ["d2"], **OPTIONS, embeddings=points)
    balanced = "random, class-balanced"
    assert comparison.methods == (SHORTER, "random", balanced, f"{balanced}, cutoff auto", "d2")
    assert comparison.classes == ("cat", "dog", "owl")
    assert [result.kept for result in comparison.of(FULL)] == [480, 480]
    assert [result.kept for result in comparison.of("d2", 0.1)] == [48, 48]
    assert comparison.accuracy(FULL).mean > 0.85
    assert len(comparison.to_dataset()) == len(comparison.results) == 2 * (1 + 2 * 5)


def test_methods_by_default(animals):
    dataset, points = animals
    comparison = hf_prune.compare(dataset, keep=[0.3], seeds=1, embeddings=points)
    assert {"D2, class-balanced", "DRoP", "AUM", "EL2N"} < set(comparison.methods)


def test_the_same_call_gives_the_same(animals):
    dataset, points = animals
    first, again = (hf_prune.compare(dataset, ["el2n"], **OPTIONS, embeddings=points) for _ in range(2))
    assert first == again


def test_what_is_held_out_takes_no_part_in_any_selection(animals, monkeypatch):
    """Other labels and vectors of the test part change no coreset."""
    dataset, points = animals
    held, _ = split_by_class(np.array(dataset["label"]), 0.2)
    kept = []
    fit = Proxy.predictions
    monkeypatch.setattr(
        Proxy, "predictions", lambda self, rows, *rest: kept.append(rows.tolist()) or fit(self, rows, *rest)
    )
    hf_prune.compare(dataset, ["d2", "drop", "el2n"], keep=[0.2], seeds=1, embeddings=points)
    before, kept[:] = list(kept), []
    changed = points.copy()
    changed[held] = np.random.default_rng(5).normal(size=(len(held), 4))
    hf_prune.compare(dataset, ["d2", "drop", "el2n"], keep=[0.2], seeds=1, embeddings=changed)
    assert kept == before


def test_the_test_part_is_a_share_of_each_class():
    labels = np.repeat([0, 1, 2], [100, 50, 3])
    held, rest = split_by_class(labels, 0.2)
    assert np.bincount(labels[held]).tolist() == [20, 10, 1]
    assert sorted([*held, *rest]) == list(range(153))
    assert held.tolist() == split_by_class(labels, 0.2)[0].tolist()


@pytest.mark.parametrize("kind", ["text", "numbers from 1", "bool"])
def test_labels_of_any_kind(kind):
    dataset, points = blobs(300)
    named = {"text": ["c", "a", "b"], "numbers from 1": [1, 2, 3], "bool": [True, False, True]}[kind]
    labelled = Dataset.from_dict({"kind": [named[label] for label in dataset["label"]]})
    comparison = hf_prune.compare(
        labelled, ["d2", "drop"], keep=[0.3], seeds=1, embeddings=points, label_column="kind"
    )
    assert comparison.accuracy("d2", 0.3).mean > 0.7


def test_a_dataset_to_test_on():
    (dataset, points), (test, test_points) = blobs(300), blobs(200, seed=1)
    with_column = dataset.add_column("vector", points.tolist()), test.add_column("vector", test_points.tolist())
    first = hf_prune.compare(dataset, ["el2n"], **OPTIONS, embeddings=points, test=test, test_embeddings=test_points)
    assert first.of(FULL)[0].kept == 300
    assert hf_prune.compare(with_column[0], ["el2n"], **OPTIONS, embeddings="vector", test=with_column[1]) == first


def test_classes_of_the_test_dataset_are_found_by_name():
    dataset, points = blobs(50)
    test = Dataset.from_dict({"label": ["owl", "cat", "owl"]})
    parts = read_parts(
        dataset,
        test,
        embeddings=points,
        encoder=None,
        test_embeddings=points[:3],
        label_column=None,
    )
    assert parts.held_out.labels.tolist() == [2, 0, 2]


def test_an_encoder(animals):
    dataset, points = animals
    of_rows = {float(row): point for row, point in enumerate(points)}
    texts = dataset.map(lambda row: {"text": str(row["row"])})

    def encode(values):
        return np.array([of_rows[float(value)] for value in values])

    by_encoder = hf_prune.compare(texts, ["el2n"], **OPTIONS, encoder=encode)
    by_array = hf_prune.compare(texts, ["el2n"], **OPTIONS, embeddings=points.astype(np.float32))
    assert by_encoder == by_array


def test_own_dynamics_are_used(animals):
    dataset, points = animals
    test, test_points = blobs(100, seed=3)
    logits = np.eye(3)[np.array(dataset["label"])]
    logits[:60] = 1 - logits[:60]  # the first rows are what this run got wrong
    run = hf_prune.TrainingDynamics.from_logits([logits], np.array(dataset["label"]))
    trained = []

    def train(rows, held_out, seed, share):
        trained.append(rows["row"][:])
        return held_out["label"][:]

    hf_prune.compare(
        dataset,
        ["el2n"],
        keep=[60],
        seeds=1,
        embeddings=points,
        dynamics=run,
        test=test,
        test_embeddings=test_points,
        train=train,
    )
    assert trained[-1] == list(range(60))


def test_own_training_gets_all_rows_coresets_and_shares(animals):
    dataset, _ = animals
    asked = []

    def train(rows, held_out, seed, share):
        asked.append((len(rows), len(held_out), seed, share))
        return np.eye(3)[held_out["label"][:]]

    comparison = hf_prune.compare(dataset, keep=[0.5], seeds=2, train=train)
    of_seed = [(480, 120, 1.0), (480, 120, 0.5), (240, 120, 1.0), (240, 120, 1.0)]
    assert asked == [(n, m, seed, share) for seed in (0, 1) for n, m, share in of_seed]
    assert comparison.methods == (SHORTER, "random", "random, class-balanced")
    assert comparison.accuracy("random", 0.5).mean == 1


def test_after_an_interruption_the_same_call_goes_on(animals, tmp_path):
    dataset, points = animals
    calls, stop = [], [5]

    def train(rows, held_out, seed, share):
        if len(calls) == stop[0]:
            raise KeyboardInterrupt
        calls.append(seed)
        return [seed] * len(held_out)

    given = OPTIONS | {"embeddings": points, "train": train, "folder": tmp_path}
    with pytest.raises(KeyboardInterrupt):
        hf_prune.compare(dataset, ["el2n"], **given)
    stop[0] = -1
    whole = hf_prune.compare(dataset, ["el2n"], **given)
    trainings = len(calls)
    assert hf_prune.compare(dataset, ["el2n"], **given) == whole
    # Coresets that two methods agree on are trained once.
    assert len(calls) == trainings == len(list((tmp_path / "predictions").iterdir())) <= 2 * (1 + 2 * 5)


def test_what_is_kept_is_found_by_content(animals, tmp_path):
    dataset, points = animals
    first = hf_prune.compare(dataset, ["el2n"], **OPTIONS, embeddings=points, folder=tmp_path)
    assert hf_prune.compare(dataset, ["el2n"], **OPTIONS, embeddings=points, folder=tmp_path) == first
    files = len(list((tmp_path / "predictions").iterdir()))
    noisy = points + np.random.default_rng(0).normal(0, 2, points.shape)
    other = hf_prune.compare(dataset, ["el2n"], **OPTIONS, embeddings=noisy, folder=tmp_path)
    assert other == hf_prune.compare(dataset, ["el2n"], **OPTIONS, embeddings=noisy)
    assert len(list((tmp_path / "predictions").iterdir())) > files


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"embeddings": None}, "`embeddings`, `encoder`: the proxy is trained on embeddings; pass encoder="),
        ({"encoder": "me/x"}, "`embeddings`, `encoder`: pass one of the two"),
        ({"methods": "d2"}, "`methods`: wanted names, as in"),
        ({"methods": ["d3"]}, "unknown method 'd3'. Did you mean 'd2'"),
        ({"methods": {"x": {"k": 3}}}, "`methods`: wanted the arguments of prune by name"),
        ({"methods": {SHORTER: {"method": "random"}}}, "is the name of runs on all rows"),
        ({"keep": [1.5]}, "`keep`: wanted a fraction"),
        ({"seeds": 0}, "`seeds`: wanted a whole number of at least 1"),
        ({"test": 0.0}, "`test`: wanted a share of the rows in"),
        ({"test": 0.0001}, "`test`: 0.0001 of each class leaves no row on one side"),
        ({"test": 1}, "`test`: wanted a datasets.Dataset or a share of the rows, as in test=0.2, got int"),
        ({"test_embeddings": np.zeros((3, 4))}, "`test_embeddings`: these are of a dataset that is passed as test="),
        ({"test": Dataset.from_dict({"label": ["cat"]})}, "wanted both where test= is a dataset"),
        (
            {"test": Dataset.from_dict({"label": ["cats"]}), "test_embeddings": np.zeros((1, 4))},
            "class 'cats' is none of the training rows'. Did you mean 'cat'",
        ),
        (
            {"test": Dataset.from_dict({"label": ["cat"]}), "test_embeddings": np.zeros((1, 5))},
            "`test_embeddings`: wanted 4 numbers a row",
        ),
        ({"dynamics": "run.safetensors"}, "`dynamics`: of a run that trained on the rows to hold out, too"),
        ({"train": 3}, "`train`: wanted a function"),
        ({"train": lambda rows, held_out, seed, share: [7] * len(held_out)}, "predictions must be class positions"),
    ],
)
def test_bad_arguments(animals, changed, message):
    dataset, points = animals
    given = {"methods": ["random"], "keep": [0.5], "embeddings": points} | changed
    with pytest.raises(hf_prune.HFPruneError, match=message):
        hf_prune.compare(dataset, given.pop("methods"), **given)


def test_wrong_arguments_cost_no_training(animals):
    dataset, points = animals
    trained = []
    with pytest.raises(hf_prune.ArgumentError, match="unknown method 'd3'"):
        hf_prune.compare(dataset, ["d3"], embeddings=points, train=lambda *given: trained.append(given))
    assert trained == []


def test_only_datasets():
    with pytest.raises(hf_prune.ArgumentTypeError, match=r"`dataset`: wanted a datasets\.Dataset, got list"):
        hf_prune.compare([1, 2])
    with pytest.raises(hf_prune.ArgumentTypeError, match=r"wanted one split and not \['train', 'test'\]; pass as"):
        hf_prune.compare(DatasetDict(train=blobs(9)[0], test=blobs(9)[0]))
