"""What a pushed card says of its rows: the source, its licence, language and tasks, how many, and how to repeat it."""

import numpy as np
import pytest
from huggingface_hub import DatasetCard

import hf_prune
from tests.hub.coresets import ID, N, loaded
from tests.hub_server import WRITER

SOURCE = "them/source"
MINE = """---
license: cc-by-4.0
language:
- fa
task_categories:
- text-classification
tags:
- birds
---

# Source
"""


@pytest.fixture
def source(hub, ds):
    """The dataset as loaded from a repository with a card."""
    ds.push_to_hub(SOURCE, token=WRITER)
    card = DatasetCard(hub.files(SOURCE)["README.md"].decode())
    for name, value in DatasetCard(MINE).data.to_dict().items():
        card.data[name] = value
    hub.commit(hub.repos[SOURCE], "main", hub.files(SOURCE) | {"README.md": str(card).encode()})
    return loaded(SOURCE, split="train")


def card_of(hub, repo=ID):
    return DatasetCard(hub.files(repo)["README.md"].decode())


def test_the_card_takes_over_what_holds_of_a_part(hub, source):
    source.prune("random", keep=9).push_to_hub(ID, token=WRITER)
    data = card_of(hub).data.to_dict()
    assert data["source_datasets"] == [SOURCE]
    assert data["license"] == "cc-by-4.0"
    assert data["language"] == ["fa"]
    assert data["task_categories"] == ["text-classification"]
    assert data["size_categories"] == ["n<1K"]
    assert data["tags"] == ["hf_prune"]


def test_the_snippet_is_whole(hub, source):
    source.prune("random", keep=9).push_to_hub(ID, token=WRITER)
    text = card_of(hub).text
    revision = hub.repos[SOURCE].branches["main"][-1].sha
    assert f'source = load_dataset("{SOURCE}", split="train", revision="{revision}")' in text
    assert "# pip install hf_prune\nimport hf_prune" in text


def test_what_the_owner_wrote_stays(hub, source):
    mine = "---\nlicense: mit\n---\n\n# Mine\n"
    source.select(range(3)).push_to_hub(ID, token=WRITER)
    hub.commit(hub.repos[ID], "main", hub.files(ID) | {"README.md": mine.encode()})
    source.prune("random", keep=9).push_to_hub(ID, token=WRITER)
    assert (card_of(hub).data["license"], card_of(hub).data["language"]) == ("mit", ["fa"])


def test_a_source_without_a_card_or_a_name(hub, ds, source):
    files = {name: file for name, file in hub.files(SOURCE).items() if name != "README.md"}
    hub.commit(hub.repos[SOURCE], "main", files)
    ds.info.license = "odbl"
    ds.prune("random", keep=9).push_to_hub(ID, token=WRITER)
    assert card_of(hub).data["license"] == "odbl"
    assert "source_datasets" not in card_of(hub).data.to_dict()
    assert f"source = ...  # load the dataset of {N} rows that was pruned" in card_of(hub).text


def test_a_record_alone_says_no_size(hub, ds):
    ds.prune("random", keep=9).selection.push_to_hub("me/record", token=WRITER)
    assert "size_categories" not in card_of(hub, "me/record").data.to_dict()


def test_the_card_carries_the_cutoffs_warnings(hub, ds):
    points = np.eye(3)[ds["label"]] + np.random.default_rng(0).normal(scale=0.01, size=(N, 3))
    labels = np.array(ds["label"])
    run = hf_prune.TrainingDynamics.from_logits(np.stack([9 * np.eye(3)[labels]] * 2), labels)
    run.features["last"] = points.astype(np.float32)
    coreset = ds.prune("random", keep=0.5, cutoff="auto", dynamics=run)
    warnings = coreset.selection.details["cutoff"]["warnings"]
    assert any("the embeddings are the run's last features" in warning for warning in warnings)
    coreset.push_to_hub(ID, token=WRITER)
    assert "- Warning\\: the embeddings are the run's last features" in card_of(hub).text


def test_pushed_dynamics_have_a_card(hub, ds, coreset):
    run = hf_prune.TrainingDynamics.from_logits(np.zeros((2, N, 3)), ds["label"])
    run.push_to_hub(ID, token=WRITER)
    coreset.push_to_hub(ID, token=WRITER)
    run.push_to_hub(ID, token=WRITER)
    text = card_of(hub).text
    assert text.count("## Training dynamics\n") == 1
    assert text.count("### Training dynamics of `train` of `default`") == 1
    assert f'recorded of each of {N} rows in 2 epochs, of the task "single-label": loss, p_true' in text
    assert f'run = hf_prune.TrainingDynamics.from_hub("{ID}")' in text
    assert 'ds.prune("el2n", keep=0.3, dynamics=run)' in text
    assert "## How the rows were selected" in text
    run.features["last"] = np.zeros((N, 2), dtype=np.float32)
    run.push_to_hub("me/run", config="large", token=WRITER)
    text = card_of(hub, "me/run").text
    assert 'from_hub("me/run", config="large")' in text
    assert 'ds.prune("d2", keep=0.3, dynamics=run)' in text
