"""What a type checker says of a user's script, by mypy and the stubs of `python -m hf_prune.typings`."""

import os
import subprocess
import sys
from pathlib import Path

import datasets
import pytest

from hf_prune import ArgumentError
from hf_prune.typings import MARK, NAME, write_stubs

pytestmark = pytest.mark.process

ROOT = Path(__file__).parents[1]
SCRIPT = """
import numpy as np
from datasets import Column, Dataset, DatasetDict, load_dataset

import hf_prune

ds = load_dataset("me/pets", split="train")
coreset = ds.prune("d2", keep=0.3, scores=np.zeros(3), k=3)
print(coreset.selection.summary(), coreset.selection.indices.sum())
coreset = load_dataset("me/pets")["train"].map(lambda row: row).prune(hf_prune.D2(), keep=100, seed=1)
pruned: DatasetDict = DatasetDict({"train": ds}).prune("drop", keep=100, recalls={"cat": 0.5}, split="train")
kept: int = pruned["train"].selection.n
source: Dataset | Column = Column(ds, "label").source
ds.prune("d2")  # wrong
ds.prune("d2", keep="many")  # wrong
ds.map(lambda row: row).prune("d2", keep=3, seed="one")  # wrong
ds.prune("d2", keep=3, dynamics=3)  # wrong
ds.prune("d2", keep=3, quotas="eqal")  # wrong
ds.prune("d2", keep=3, encoder=3)  # wrong
ds.prune("drop", keep=3, recalls=0.5)  # wrong
ds.prune("d2", keep=3).selection.sumary()  # wrong
name: str = pruned["train"].prune("d2", keep=3)  # wrong
load_dataset("me/pets", split="train", streaming=True).prune("d2", keep=3)  # wrong
hf_prune.prune(ds, "d2", keep="many")  # wrong
"""
SETTINGS = """
[mypy]
# None is needed; these packages take time, and nothing of what is asked here depends on them.
[mypy-accelerate.*,evaluate.*,huggingface_hub.*,matplotlib.*,pandas.*,scipy.*,sklearn.*,torch.*,transformers.*]
follow_imports = skip
"""


def test_mypy_sees_what_is_attached(tmp_path):
    def python(*arguments):
        return subprocess.run(
            [sys.executable, *arguments], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )

    installed = tmp_path / "installed"  # which is datasets' place here, so that nothing is written to the real one
    installed.mkdir()
    (installed / "datasets").symlink_to(Path(datasets.__file__).parent)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(installed), str(ROOT)])}
    written = python("-m", "hf_prune.typings")
    assert written.stdout == f"wrote {installed / NAME}\n", written.stderr
    (tmp_path / "script.py").write_text(SCRIPT)
    (tmp_path / "mypy.ini").write_text(SETTINGS)
    done = python("-m", "mypy", "script.py")
    assert not done.stderr
    refused = {int(line.split(":")[1]) for line in done.stdout.splitlines() if " error: " in line}
    wrong = {number for number, line in enumerate(SCRIPT.splitlines(), 1) if line.endswith("# wrong")}
    assert refused == wrong, done.stdout


def test_stubs_of_others_stay(tmp_path):
    stubs = write_stubs(tmp_path)
    assert write_stubs(tmp_path) == stubs
    assert (stubs / "py.typed").read_text() == "partial\n"
    assert all(path.read_text().startswith(MARK) for path in stubs.glob("*.pyi"))
    (stubs / "load.pyi").write_text("def load_dataset() -> None: ...")
    with pytest.raises(ArgumentError, match=r"`FOLDER`: another package has written .*; remove it"):
        write_stubs(tmp_path)
