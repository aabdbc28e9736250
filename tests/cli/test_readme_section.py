"""The README's section on the command line: its commands and its script run."""

import re
import shlex
from pathlib import Path

import pytest
from datasets import Dataset, load_dataset

import hf_prune
from tests import tiny_encoders
from tests.hub_server import WRITER

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
SECTION = re.search(r"## On the command line\n(.*?)\n## ", README, re.DOTALL)[1]


@pytest.mark.usefixtures("_trainer_libraries")
def test_commands(run, folder, hub, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", WRITER)
    monkeypatch.setattr("hf_prune.embeddings.compute.HF_HOME", str(folder.parent))
    (folder / "vectors.npy").unlink()
    tiny_encoders.bert(folder / "me" / "encoder")
    commands = re.search(r"```bash\n(.*?)```", SECTION, re.DOTALL)[1].splitlines()
    assert len(commands) == 8
    for command in commands:
        assert run(*shlex.split(command, comments=True)[1:]).stdout
    assert list(hub.repos) == ["me/reviews-d2-30"]


def test_the_script(hub, monkeypatch, tmp_path):
    monkeypatch.setenv("HF_TOKEN", WRITER)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub-cache"))
    Dataset.from_csv("reviews.csv").push_to_hub("me/reviews")
    exec(re.search(r"```py\n(.*?)```", SECTION, re.DOTALL)[1], {})
    hf_prune.Selection.from_hub("me/reviews-random-30").verify(load_dataset("me/reviews-random-30", split="train"))
