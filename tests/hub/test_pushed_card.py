"""The dataset card that a push leaves in the repository."""

import numpy as np
import pytest
from datasets import Dataset

import hf_prune
from tests.hub.coresets import ID, RECORD, pulled
from tests.hub_server import WRITER
from tests.selection.test_card import EVIL


def test_the_card_counts_classes_without_quotas_too(hub, ds):
    coreset = ds.prune("random", keep=0.5).prune("random", keep=0.5, seed=1)
    coreset.push_to_hub(ID, token=WRITER)
    kept = [coreset["label"][:].count(label) for label in range(3)]
    rows = [
        f"| {name} | 20 | {count} | {count / 20:.1%} |"
        for name, count in zip(("bad", "fair", "good"), kept, strict=True)
    ]
    card = hub.files(ID)["README.md"].decode()
    assert "\n".join(rows) in card
    assert f"![what each group kept]({RECORD}/selection.png)" in card
    assert hub.files(ID)[f"{RECORD}/selection.png"].startswith(b"\x89PNG")
    assert pulled().groups is None  # they are no part of the selection


@pytest.mark.parametrize("columns", [{"x": range(30)}, {"label": [0.5] * 30}, {"label": [[1], [2, 3]] * 15}])
def test_data_without_classes_have_no_table(hub, columns):
    Dataset.from_dict(columns).prune("random", keep=9).push_to_hub(ID, token=WRITER)
    assert "| --- |" not in hub.files(ID)["README.md"].decode()
    assert f"{RECORD}/selection.png" not in hub.files(ID)


def test_rows_without_a_label_are_in_no_class(hub):
    Dataset.from_dict({"label": [None, 1, 2] * 10}).prune("random", keep=9).push_to_hub(ID, token=WRITER)
    assert "| --- |\n| 1 | 10 |" in hub.files(ID)["README.md"].decode()


def test_the_classes_are_those_that_the_method_read(hub):
    ds = Dataset.from_dict({"label": ["x"] * 40, "kind": ["a", "b"] * 20})
    run = hf_prune.TrainingDynamics.from_logits(np.random.default_rng(0).normal(size=(2, 40, 2)), [0, 1] * 20)
    ds.prune("el2n", keep=10, dynamics=run, label_column="kind").push_to_hub(ID, token=WRITER)
    card = hub.files(ID)["README.md"].decode()
    assert "| a | 20 |" in card
    assert "| x | 40 |" not in card


def test_labels_beyond_number_are_no_classes(hub, monkeypatch):
    monkeypatch.setattr("hf_prune.dataset.MOST_CLASSES", 29)
    Dataset.from_dict({"label": range(30)}).prune("random", keep=9).push_to_hub(ID, token=WRITER)
    assert "| --- |" not in hub.files(ID)["README.md"].decode()


def test_hostile_names_of_groups(hub):
    names = [*EVIL, "$\\frac{$", "类别", "a" * 10_000]
    evil = Dataset.from_dict({"label": names * 4})
    evil.prune("random", keep=30, quotas="equal").push_to_hub(ID, token=WRITER)
    assert hub.files(ID)[f"{RECORD}/selection.png"].startswith(b"\x89PNG")
    assert "a" * 101 not in hub.files(ID)["README.md"].decode()
    assert set(pulled().groups.names) == set(names)


def test_an_existing_card_stays(hub, coreset):
    repo = "me/mine"
    coreset.select(range(3)).push_to_hub(repo, token=WRITER)
    mine = "---\nlicense: mit\ntags:\n- birds\n---\n\n# Birds\n\nMy words.\n"
    hub.commit(hub.repos[repo], "main", hub.files(repo) | {"README.md": mine.encode()})
    coreset.push_to_hub(repo, token=WRITER)
    coreset.push_to_hub(repo, token=WRITER)
    card = hub.files(repo)["README.md"].decode()
    assert "# Birds\n\nMy words." in card
    assert "license: mit" in card
    assert "- birds\n- hf_prune\n" in card
    assert card.count("<!-- hf_prune default/train: begin -->") == 1
