"""README and RESULTS: their Python runs, and what they show, link and tell to type is there."""

import re
from pathlib import Path

import numpy as np
import pytest
from datasets import DatasetDict

from hf_prune.config import _REGISTRY
from tests import tiny_encoders
from tests.benchmarks import tables
from tests.benchmarks.__main__ import NAMES
from tests.hub_server import WRITER

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


@pytest.fixture
def registry(monkeypatch):
    """Methods that the README defines are forgotten again."""
    monkeypatch.setitem(_REGISTRY, "method", dict(_REGISTRY["method"]))


def test_readme(text_task, registry, hub, tmp_path, monkeypatch, capsys):
    import torch
    import transformers

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_TOKEN", WRITER)
    ds = text_task.dataset.rename_column("note", "text")
    ds = ds.add_column("site", ["north", "south"] * (len(ds) // 2) + ["north"] * (len(ds) % 2))
    names = {
        "ds": ds,
        "dsd": DatasetDict(train=ds, test=ds),
        "validation": ds,
        "model": text_task.new_model(),
        "args": text_task.trainer(num_train_epochs=2).args,
        "X": np.random.default_rng(0).normal(size=(len(ds), 4)),
        "my_scores": np.arange(len(ds)),
        "logits": np.zeros((2, len(ds), 3)),
        "labels": text_task.labels,
    }
    collator = text_task.trainer().data_collator
    names["Trainer"] = lambda *args, **options: transformers.Trainer(*args, data_collator=collator, **options)
    names["tokenized"], names["collate"] = text_task.dataset.remove_columns("note"), collator
    names["tokenizer"], names["encoder"] = text_task.tokenizer, tiny_encoders.bert(tmp_path / "encoder")
    monkeypatch.setattr("hf_prune.embeddings.compute.HF_HOME", str(tmp_path))
    names["optimizer"] = torch.optim.SGD(names["model"].parameters(), 0.1)
    for block in BLOCKS:
        # What is written for thousands of rows and for cats and dogs, in the sizes and classes of the tiny data.
        block = block.replace("keep=1000", "keep=10").replace("keep=15_000", "keep=15")
        block = block.replace("min_per_class=20", "min_per_class=2").replace("output_of_seed_1", "output")
        block = block.replace('{"cat": 0.6, "dog": 0.9}', '{"bad": 0.6, "fair": 0.8, "good": 0.9}')
        exec(block, names)
    assert set(hub.repos) == {"me/reviews-d2-30", "me/reviews-selection", "me/reviews-run"}
    assert "rows kept (29.7%)" in capsys.readouterr().out
    assert len(ds.prune("mean_loss", keep=4, dynamics=names["recorder"])) == 4
