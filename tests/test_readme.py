"""README and RESULTS: their Python runs, and what they show, link and tell to type is there."""

import re
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from datasets import DatasetDict

from hf_prune.config import _REGISTRY
from tests import tiny_encoders
from tests.benchmarks import tables
from tests.benchmarks.__main__ import NAMES
from tests.hub_server import WRITER

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parent.parent
PAGES = {name: (ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "RESULTS.md")}
BLOCKS = re.findall(r"```python\n(.*?)```", PAGES["README.md"], re.DOTALL)

on_each_page = pytest.mark.parametrize("page", PAGES.values(), ids=PAGES)


@on_each_page
def test_tables_are_those_of_the_committed_results(page):
    assert tables.filled(page) == page, "run python -m tests.benchmarks tables"


def test_every_table_has_a_place():
    assert sorted(part[2] for page in PAGES.values() for part in tables.PART.finditer(page)) == sorted(tables.PARTS)


@on_each_page
def test_links_lead_somewhere(page):
    links = [link for link in re.findall(r"\]\((.+?)\)", page) if not link.startswith("https://")]
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


@on_each_page
def test_commands_exist(page):
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    named = re.findall(r"-m tests\.benchmarks (\w+)", page)
    made = re.findall(r"(?:`|^)make ([\w-]+)", page, re.MULTILINE)
    assert named
    assert set(named) <= set(NAMES)
    assert [target for target in made if f"\n{target}:" not in makefile] == []


@pytest.mark.usefixtures("_trainer_libraries")
@pytest.mark.filterwarnings("ignore:'pin_memory' argument")  # Trainer's default, on machines without a GPU
def test_the_first_coreset_prints_what_the_readme_shows(tmp_path, monkeypatch, capsys):
    def without_numbers(text):
        return re.sub(r" +", " ", re.sub(r"\d[\d.,]*", "#", text))

    monkeypatch.chdir(tmp_path)
    exec(BLOCKS[0], {})
    shown = re.search(r"```text\n(.*?)```", PAGES["README.md"], re.DOTALL)[1]
    printed = capsys.readouterr().out
    assert printed.splitlines()[-len(shown.splitlines())] == shown.splitlines()[0]
    assert without_numbers(printed).endswith(without_numbers(shown))  # other processors count a row or two otherwise
    exec(BLOCKS[0], {})
    assert capsys.readouterr().out.endswith(printed[printed.index(shown.splitlines()[0]) :])  # whatever the seed was


@pytest.fixture
def page(text_task, hub, tmp_path, monkeypatch):
    """A module in which the README's blocks run, with what they take for granted, on tiny data."""
    import torch
    from torch.utils.data import DataLoader

    import hf_prune

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_TOKEN", WRITER)
    monkeypatch.setattr("hf_prune.embeddings.compute.HF_HOME", str(tmp_path))
    for kind, classes in _REGISTRY.items():  # classes that the README defines are forgotten again
        monkeypatch.setitem(_REGISTRY, kind, dict(classes))
    ds = text_task.dataset.rename_column("note", "text")
    ds = ds.add_column("site", ["north", "south"] * (len(ds) // 2) + ["north"] * (len(ds) % 2))
    recorder = hf_prune.PruningTrainerCallback(features=True)
    trainer = text_task.trainer(num_train_epochs=5, callbacks=[recorder])
    trainer.train()
    model = text_task.new_model()
    module = ModuleType("readme")
    vars(module).update(
        hf_prune=hf_prune,
        ds=ds,
        dsd=DatasetDict(train=ds, test=ds),
        validation=ds,
        recorder=recorder,
        trainer=trainer,
        X=np.random.default_rng(0).normal(size=(len(ds), 4)),
        my_scores=np.arange(len(ds)),
        logits=np.zeros((2, len(ds), 3)),
        labels=text_task.labels,
        encoder=tiny_encoders.bert(tmp_path / "encoder"),
        api=lambda texts: [[len(text), 1.0] for text in texts],
        model=model,
        loader=DataLoader(
            text_task.dataset.remove_columns("note"), batch_size=32, collate_fn=text_task.trainer().data_collator
        ),
        optimizer=torch.optim.SGD(model.parameters(), 0.1),
    )
    monkeypatch.setitem(sys.modules, module.__name__, module)  # so that its classes can be pickled
    return vars(module)


def test_calls(page, hub, capsys):
    block = BLOCKS[1]
    # What is written for thousands of rows and for cats and dogs, in the sizes and classes of the tiny data.
    block = block.replace("keep=1000", "keep=10").replace("keep=15_000", "keep=15")
    block = block.replace("min_per_class=20", "min_per_class=2").replace("output_of_seed_1", "output")
    block = block.replace('{"cat": 0.6, "dog": 0.9}', '{"bad": 0.6, "fair": 0.8, "good": 0.9}')
    exec(block, page)
    assert set(hub.repos) == {"me/reviews-d2-30", "me/reviews-selection", "me/reviews-run"}
    assert "row 12: " in capsys.readouterr().out
    assert len(page["own"].dynamics["loss"]) == 3


def test_own_methods(page):
    for block in BLOCKS[2:]:
        exec(block, page)
    ds, recorder = page["ds"], page["recorder"]
    kept = ds.prune("mean_loss", keep=4, dynamics=recorder).selection.indices
    hardest = np.argsort(-recorder.dynamics.mean("loss"))[:4]
    assert set(kept) == set(hardest)
    assert len(ds.prune("farthest", keep=9, quotas="equal", embeddings=page["X"])) == 9
