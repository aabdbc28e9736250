"""What every method and every composite must hold to."""

import json
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
from datasets import ClassLabel, Dataset, Features, Image, Value
from PIL.Image import fromarray

import hf_prune
from hf_prune.config import from_config, registered
from hf_prune.dynamics.dynamics import TrainingDynamics
from hf_prune.groups import encode
from hf_prune.signals.signals import Signals
from tests import tiny_encoders

CLIP = str(Path(os.environ["HF_HOME"]) / "tiny-clip")
METHODS = {
    "random": hf_prune.Random(),
    "el2n": hf_prune.EL2N(),
    "el2n early": hf_prune.EL2N(epochs=2),
    "el2n easy": hf_prune.EL2N(prefer="easy"),
    "grand": hf_prune.GraNd(),
    "forgetting": hf_prune.Forgetting(),
    "forgetting middle": hf_prune.Forgetting(prefer="middle", epochs=(1, 4)),
    "aum": hf_prune.AUM(),
    "aum hard": hf_prune.AUM(prefer="hard"),
    "variability": hf_prune.Variability(),
    "given_scores": hf_prune.GivenScores(),
    "d2": hf_prune.D2(k=3),
    "d2 given": hf_prune.D2(k=3, score=hf_prune.GivenScores()),
    "d2 paper": hf_prune.D2(
        k=3, gamma=0.1, forward="product", reverse="absolute", graph="directed", squared=True, normalize=False
    ),
    "d2 cutoff": hf_prune.D2(k=3, cutoff=0.4, score=hf_prune.Forgetting()),
    "d2 auto": hf_prune.D2(k=3, cutoff="auto"),
    "d2 unsupervised": hf_prune.D2(k=3, score=hf_prune.Prototypicality()),
    "random cutoff": hf_prune.Random(cutoff=0.3),
    "random auto": hf_prune.Random(cutoff="auto"),
    "el2n auto": hf_prune.EL2N(cutoff="auto"),
    "aum default cutoff": hf_prune.AUM(cutoff=None, prefer="hard"),
    "mixture": hf_prune.Mixture(),
    "mixture auto": hf_prune.Mixture(components=2, cutoff="auto"),
    "drop mixture": hf_prune.DRoP(within=hf_prune.Mixture()),
    "drop from training rows": hf_prune.DRoP(recalls_from="train"),
    "per_class columns": hf_prune.PerClass(hf_prune.Random(), quotas=hf_prune.DRoPQuotas(), by=("group",)),
    "perplexity": hf_prune.Perplexity(),
    "perplexity d2": hf_prune.D2(k=3, score=hf_prune.Perplexity(prefer="hard")),
    "prototypicality": hf_prune.Prototypicality(),
    "prototypicality easy": hf_prune.Prototypicality(clusters=4, seed=1, prefer="easy"),
    "image_text_similarity": hf_prune.ImageTextSimilarity(CLIP),
    "d2 of pairs": hf_prune.D2(k=3, score=hf_prune.ImageTextSimilarity(CLIP, "image", "text")),
    "drop": hf_prune.DRoP(),
    "drop random auto": hf_prune.DRoP(within=hf_prune.Random(cutoff="auto")),
    "drop d2": hf_prune.DRoP(within=hf_prune.D2(k=3), temperature=0.5, allocate="count", prior=(0, 0)),
    "per_class": hf_prune.PerClass(hf_prune.EL2N()),
    "per_class equal d2": hf_prune.PerClass(hf_prune.D2(k=3, cutoff=0.2), quotas="equal"),
    "per_class d2 auto": hf_prune.PerClass(hf_prune.D2(k=3, cutoff="auto")),
    "per_class column drop": hf_prune.PerClass(hf_prune.Random(), quotas=hf_prune.DRoPQuotas(), by="group"),
}
N, CLASSES = 40, 3
each_method = pytest.mark.parametrize("method", METHODS.values(), ids=METHODS.keys())


@pytest.fixture(scope="module", autouse=True)
def _clip():
    return tiny_encoders.clip(CLIP)


def rows(n=N, classes=CLASSES):
    """The columns that a method may read; each image and text is another."""
    labels, *_ = arrays(n=n, classes=classes)
    pixels = np.random.default_rng(4).integers(0, 256, (n, 8, 8, 3), dtype=np.uint8)
    columns = {
        "label": labels,
        "group": [str(label) for label in labels],
        "image": list(map(fromarray, pixels)),
        "text": [f"word{row} word{row // 2}" for row in range(n)],
    }
    kinds = {"label": ClassLabel(classes), "group": Value("string"), "image": Image(), "text": Value("string")}
    return Dataset.from_dict(columns, features=Features(kinds))


def arrays(kind="random", n=N, classes=CLASSES):
    """Row-aligned inputs: random ones, or constant ones in which everything ties."""
    draw = np.random.default_rng(3)
    labels = np.arange(n) % classes
    logits = draw.normal(size=(5, n, max(2, classes)))
    embeddings, scores = draw.normal(size=(n, 4)), draw.random(n)
    if kind == "ties":
        logits, embeddings, scores = np.zeros_like(logits), np.zeros_like(embeddings), np.ones(n)
    return labels, logits, embeddings, scores


def run(logits, labels, features, method):
    dynamics = TrainingDynamics.from_logits(logits, labels)
    dynamics.features["last"] = features.astype(np.float32)
    if "perplexity" in str(method.to_config()):
        dynamics.task = "causal-lm"
    return dynamics


def signals(method, kind="random", n=N, classes=CLASSES):
    labels, logits, embeddings, scores = arrays(kind, n, classes)
    groups = encode("label", labels)
    given = {
        "labels": groups,
        "groups": groups,
        "column:group": groups,
        "dynamics": run(logits, labels, embeddings, method),
        "embeddings": embeddings,
        "early_embeddings": embeddings,
        "scores": scores,
        "recalls": np.linspace(0.5, 0.9, classes),
        "rows": rows(n, classes),
    }
    return Signals(n, given)


@pytest.fixture
def dataset():
    return rows()


def passed(method):
    """The signals as a user passes them; `scores=` only where it is read, since D2 refuses two difficulties."""
    labels, logits, embeddings, scores = arrays()
    return {
        "dynamics": run(logits, labels, embeddings, method),
        "embeddings": embeddings,
        "recalls": np.linspace(0.5, 0.9, CLASSES),
        "scores": scores if "scores" in method.needs else None,
    }


def test_every_registered_method_is_in_this_suite():
    assert set(registered("method")) <= {method.name for method in METHODS.values()}


@each_method
@pytest.mark.parametrize("kind", ["random", "ties"])
@pytest.mark.parametrize("budget", [0, 1, 7, N - 1, N])
def test_budget_is_exact_and_indices_are_sorted_and_unique(method, kind, budget):
    selection = method.select(signals(method, kind), budget, seed=0)
    assert selection.indices.dtype == np.int64
    assert len(selection.indices) == budget
    assert (np.diff(selection.indices) > 0).all()
    assert budget == 0 or (selection.indices[0] >= 0 and selection.indices[-1] < N)
    assert selection.scores.shape == (N,)
    assert np.isfinite(selection.scores).all()


@each_method
def test_one_class_and_one_row(method):
    for n in (1, 2):
        one = signals(method, n=n, classes=1)
        assert method.select(one, n, seed=0).indices.tolist() == list(range(n))


@each_method
def test_a_smaller_budget_is_a_prefix_of_the_picking_order(method):
    large = method.select(signals(method), 30, seed=4)
    for budget in (3, 12, 29):
        small = method.select(signals(method), budget, seed=4)
        np.testing.assert_array_equal(np.sort(large.order[:budget]), small.indices)


@each_method
def test_same_seed_same_rows(method):
    first, second = (method.select(signals(method), 13, seed=9) for _ in range(2))
    np.testing.assert_array_equal(first.indices, second.indices)
    np.testing.assert_array_equal(first.rank, second.rank)


@each_method
def test_reads_exactly_the_signals_it_declares(method):
    method = method.resolve(frozenset({"dynamics"}))
    given = signals(method)
    method.select(given, 13, seed=0)
    assert given.seen == method.needs


@each_method
def test_inputs_are_not_modified(method, dataset):
    given = passed(method)
    before = pickle.dumps([given["dynamics"]["loss"], given["embeddings"], given["scores"], dataset[:]])
    dataset.prune(method, keep=13, **given)
    assert pickle.dumps([given["dynamics"]["loss"], given["embeddings"], given["scores"], dataset[:]]) == before


@each_method
def test_config_goes_through_json_and_back(method):
    assert from_config(json.loads(json.dumps(method.to_config()))) == method


@each_method
def test_pickles_and_hashes(method):
    again = pickle.loads(pickle.dumps(method))
    assert again == method
    assert hash(again) == hash(method)


@pytest.mark.parametrize("method", [method for method in METHODS.values() if method.needs - {"rows"}])
def test_missing_signals_are_named_with_the_line_to_type(method, dataset):
    needs = method.resolve(frozenset({"dynamics"})).needs - {"labels", "groups", "column:group", "rows"}
    assert needs
    with pytest.raises(hf_prune.MissingSignalError) as caught:
        dataset.prune(method, keep=3)
    for name in needs:
        assert f"{name.removeprefix('early_')}=" in str(caught.value)


@each_method
def test_prune_gives_a_dataset_with_its_selection(method, dataset):
    coreset = dataset.prune(method, keep=0.3, **passed(method))
    assert isinstance(coreset, Dataset)
    assert len(coreset) == 12
    assert coreset["label"] == dataset.select(coreset.selection.indices)["label"]
    json.dumps(coreset.selection.steps[0].__dict__)
    assert coreset.selection.at(keep=5).indices.size == 5


@each_method
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nan_and_inf_are_refused_by_name(method, dataset, bad):
    needs = method.resolve(frozenset({"dynamics"})).needs
    for name in needs & {"embeddings", "scores"}:
        spoilt = passed(method)
        spoilt[name][5] = bad
        with pytest.raises(ValueError, match=rf"`{name}`: row 5 "):
            dataset.prune(method, keep=3, **spoilt)
    if "recalls" in needs:
        with pytest.raises(ValueError, match=r"`recalls`.*class '1'"):
            dataset.prune(method, keep=3, **(passed(method) | {"recalls": [0.5, bad, 0.5]}))
