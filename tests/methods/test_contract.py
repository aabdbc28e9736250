"""What every method and every composite must hold to, and that a method that doesn't is found out."""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from datasets import Dataset, Features, Image, Value
from PIL.Image import fromarray

import hf_prune
from hf_prune.config import PRUNE_KEYWORDS, registered
from hf_prune.dataset import prune
from hf_prune.methods.by_score import as_method
from hf_prune.testing import CHECKS, Material, check_budget, check_method, spoilt
from tests import tiny_encoders

CLIP = str(Path(os.environ["HF_HOME"]) / "tiny-clip")
METHODS = {
    "random": hf_prune.Random(),
    "el2n": hf_prune.EL2N(),
    "el2n early": hf_prune.EL2N(epochs=2),
    "el2n easy": hf_prune.ByScore(hf_prune.EL2N(), prefer="easy"),
    "grand": hf_prune.GraNd(),
    "forgetting": hf_prune.Forgetting(),
    "forgetting middle": hf_prune.ByScore(hf_prune.Forgetting(epochs=(1, 4)), prefer="middle"),
    "aum": hf_prune.AUM(),
    "aum hard": hf_prune.ByScore(hf_prune.AUM(), prefer="hard"),
    "variability": hf_prune.Variability(),
    "given_scores": hf_prune.GivenScores(),
    "perplexity": hf_prune.Perplexity(),
    "prototypicality": hf_prune.Prototypicality(),
    "prototypicality easy": hf_prune.ByScore(hf_prune.Prototypicality(clusters=4), prefer="easy"),
    "image_text_similarity": hf_prune.ImageTextSimilarity(CLIP),
    "mixture": hf_prune.Mixture(),
    "d2": hf_prune.D2(k=3),
    "d2 given": hf_prune.D2(k=3, score=hf_prune.GivenScores()),
    "d2 paper": hf_prune.D2(
        k=3, gamma=0.1, forward="product", reverse="absolute", graph="directed", squared=True, normalize=False
    ),
    "d2 unsupervised": hf_prune.D2(k=3, score=hf_prune.Prototypicality()),
    "d2 perplexity": hf_prune.D2(k=3, score=hf_prune.Perplexity()),
    "d2 of pairs": hf_prune.D2(k=3, score=hf_prune.ImageTextSimilarity(CLIP, "image", "text")),
    "drop": hf_prune.DRoP(),
    "drop min_per_class": hf_prune.DRoP(min_per_class=1),
    "drop mixture": hf_prune.DRoP(within=hf_prune.Mixture()),
    "drop from training rows": hf_prune.DRoP(recalls_from="train"),
    "drop d2": hf_prune.DRoP(within=hf_prune.D2(k=3), temperature=0.5, allocate="count", prior=(0, 0)),
    "per_class": hf_prune.PerClass(hf_prune.EL2N()),
    "per_class equal d2": hf_prune.PerClass(hf_prune.D2(k=3), quotas="equal"),
    "per_class columns": hf_prune.PerClass(hf_prune.Random(), quotas=hf_prune.DRoPQuotas(), by=("group",)),
    "per_class column drop": hf_prune.PerClass(hf_prune.Random(), quotas=hf_prune.DRoPQuotas(), by="group"),
    "cutoff random": hf_prune.WithoutSuspects(hf_prune.Random(), 0.3),
    "cutoff random auto": hf_prune.WithoutSuspects(hf_prune.Random()),
    "cutoff none": hf_prune.WithoutSuspects(hf_prune.D2(k=3), 0),
    "cutoff el2n auto": hf_prune.WithoutSuspects(hf_prune.EL2N()),
    "cutoff mixture auto": hf_prune.WithoutSuspects(hf_prune.Mixture(components=2)),
    "cutoff d2": hf_prune.WithoutSuspects(hf_prune.D2(k=3, score=hf_prune.Forgetting()), 0.4),
    "cutoff d2 auto": hf_prune.WithoutSuspects(hf_prune.D2(k=3)),
    "cutoff drop auto": hf_prune.WithoutSuspects(hf_prune.DRoP()),
    "cutoff per_class d2": hf_prune.WithoutSuspects(hf_prune.PerClass(hf_prune.D2(k=3), quotas="equal"), 0.2),
    "per_class cutoff d2": hf_prune.PerClass(hf_prune.WithoutSuspects(hf_prune.D2(k=3))),
}
each_method = pytest.mark.parametrize("method", METHODS.values(), ids=METHODS.keys())


@pytest.fixture(scope="session", autouse=True)
def _clip():
    return tiny_encoders.clip(CLIP)


def pairs(n):
    """Images and texts, each another."""
    pixels = np.random.default_rng(4).integers(0, 256, (n, 8, 8, 3), dtype=np.uint8)
    columns = {
        "image": list(map(fromarray, pixels)),
        "text": [f"word{row} word{row // 2}" for row in range(n)],
    }
    return Dataset.from_dict(columns, features=Features({"image": Image(), "text": Value("string")}))


def material(method):
    task = "causal-lm" if "perplexity" in str(method.to_config()) else "single-label"
    return Material(task=task, columns=pairs if "rows" in method.needs else None)


def test_every_registered_method_and_score_is_in_this_suite():
    names = {part.name for method in METHODS.values() for part in as_method("method", method).walk()}
    assert set(registered("method")) | set(registered("score")) <= names


@each_method
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_contract(method, check):
    check(as_method("method", method), material(method))


def test_check_method_runs_all_of_it():
    assert check_method(hf_prune.D2(k=3)) is None
    assert check_method(hf_prune.Perplexity(), task="causal-lm") is None
    assert check_method(hf_prune.ImageTextSimilarity(CLIP), columns=pairs) is None


def test_what_is_not_finite_is_fed_to_every_method_that_reads_numbers():
    fed = {name: set(spoilt(material(method), method.needs, np.inf)) for name, method in METHODS.items()}
    nothing = {name for name, signals in fed.items() if not signals}
    assert nothing == {"random", "image_text_similarity"}


def _plain(**members):
    """A method that keeps the first rows, but for what `members` say."""

    def select(self, signals, budget, seed):
        return hf_prune.Choice(np.arange(budget), np.zeros(len(signals)))

    cls = type("Plain", (hf_prune.Method,), {"select": select, "reads": frozenset()} | members)
    cls.name = "plain"  # not in the class body, which would register it
    return dataclass(frozen=True)(cls)()


def test_a_method_that_scores_only_what_it_is_shown_can_be_modified_too():
    modified = hf_prune.WithoutSuspects(hf_prune.PerClass(_plain(), "equal"), 0.3)
    choice = modified.select(Material().signals(modified.needs), 38, 0)
    held_back = choice.evidence["suspect"]
    assert held_back.sum() == 12
    assert np.isnan(choice.scores).tolist() == held_back.tolist()
    check_budget(modified, Material())


@pytest.mark.parametrize(
    ("rows", "scores", "message"),
    [
        ([0, 1, 2, 3], 40, "got 4 rows, 4 of them"),
        ([0, 0, 1], 40, "got 3 rows, 2 of them"),
        ([0, 1, 40], 40, "got 3 rows, 2 of them"),
        ([0, 1, -1], 40, "got 3 rows, 2 of them"),
        ([0, 1, 2], 3, r"scores of shape \(3,\)"),
    ],
)
def test_prune_refuses_what_is_not_the_budget(rows, scores, message):
    method = _plain(select=lambda *shown: hf_prune.Choice(np.array(rows), np.zeros(scores)))
    with pytest.raises(hf_prune.ArgumentError, match=message):
        Material().dataset(frozenset()).prune(method, keep=3)


BROKEN = {
    "one row too many": (
        lambda self, signals, budget, seed: hf_prune.Choice(np.arange(budget + 1), np.zeros(len(signals))),
        "1 rows are chosen for the budget 0",
    ),
    "a row twice": (
        lambda self, signals, budget, seed: hf_prune.Choice(np.zeros(budget, int), np.zeros(len(signals))),
        "a row is chosen twice",
    ),
    "other rows for a smaller budget": (
        lambda self, signals, budget, seed: hf_prune.Choice(
            np.arange(budget) if budget > 29 else np.arange(budget) + len(signals) - budget, np.zeros(len(signals))
        ),
        "keeps other rows than the first 3 of the budget 30; say nested=False",
    ),
    "undeclared signals": (
        lambda self, signals, budget, seed: hf_prune.Choice(np.argsort(signals.scores)[:budget], signals.scores),
        r"it reads \['scores'\] and declares \[\]",
    ),
}


@pytest.mark.parametrize(("select", "message"), BROKEN.values(), ids=BROKEN.keys())
def test_a_method_that_breaks_the_contract_is_found_out(select, message):
    with pytest.raises(AssertionError, match=rf"^check_\w+ of .*Plain\(\): .*{message}"):
        check_method(_plain(select=select))


def test_no_option_may_have_the_name_of_a_keyword_of_prune():
    import inspect

    parameters = inspect.signature(prune).parameters
    assert {name for name, kind in parameters.items() if name != "options"} == PRUNE_KEYWORDS
    with pytest.raises(hf_prune.ArgumentError, match=r"Seeded: `prune` takes \['seed'\] itself; give these options"):

        class Seeded(hf_prune.Method):
            seed: int = 0


def test_a_score_and_a_method_have_two_names():
    with pytest.raises(hf_prune.ArgumentError, match="Mine: 'random' is a method already; give it another name"):

        class Mine(hf_prune.Score):
            name = "random"

    assert "random" not in registered("score")
