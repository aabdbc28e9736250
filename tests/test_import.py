"""What `import hf_prune` does and doesn't do; each case in a process of its own."""

import subprocess
import sys

import pytest

pytestmark = pytest.mark.process


def run(code):
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_stays_light():
    heavy = ["torch", "transformers", "faiss", "evaluate", "matplotlib", "sklearn", "accelerate", "safetensors"]
    code = f"import hf_prune, sys; print([name for name in {heavy} if name in sys.modules])"
    assert run(code) == "[]"


def test_pruning_without_a_model_needs_no_torch():
    code = """
import sys, hf_prune
from datasets import Dataset
Dataset.from_dict({"label": [0, 1] * 50}).prune("drop", keep=0.3, recalls=[0.5, 0.9])
print("torch" in sys.modules, "faiss" in sys.modules)"""
    assert run(code) == "False False"


def test_dynamics_need_no_torch():
    code = """
import sys, hf_prune
run = hf_prune.TrainingDynamics.from_logits([[[1.0, 0.0], [0.0, 1.0]]], labels=[0, 1])
again = hf_prune.TrainingDynamics.from_dataset(run.to_dataset())
hf_prune.TrainingDynamics.merge([run, again]).scores("el2n")
print("torch" in sys.modules, "faiss" in sys.modules, "matplotlib" in sys.modules)"""
    assert run(code) == "False False False"


@pytest.mark.parametrize("names", [["Dataset.prune"], ["Dataset.selection"], ["Dataset.prune", "DatasetDict.prune"]])
def test_what_another_package_defined_stays(names):
    theirs = "; ".join(f"datasets.{name} = 'theirs'" for name in names)
    code = f"""
import warnings, datasets
{theirs}
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    import hf_prune
print(*({", ".join("datasets." + name for name in names)},), len(caught), caught[0].message)
ds = datasets.Dataset.from_dict({{"x": range(10)}})
coreset = hf_prune.prune(hf_prune.prune(ds, "random", keep=5), "random", keep=2)
print(hf_prune.selection_of(coreset).n)"""
    first, second = run(code).splitlines()
    theirs, taken = " ".join(["theirs"] * len(names)), " and ".join(names)
    assert first == (
        f"{theirs} 1 another package has defined {taken}, which was left as it is; use hf_prune.prune(ds, ...) and "
        "hf_prune.selection_of(ds)"
    )
    assert second == "10"


def test_help_shows_the_arguments():
    code = "import hf_prune, inspect, datasets; print(list(inspect.signature(datasets.Dataset.prune).parameters))"
    assert "'label_column'" in run(code)


def test_help_shows_the_documentation():
    code = "import hf_prune; from datasets import Dataset as D; help(D.from_dict({}).prune); help(D.selection)"
    shown = run(code)
    assert "keep: a count, or a fraction in (0, 1]" in shown
    assert "The selection that a pruned dataset carries" in shown


def test_importing_again_changes_nothing():
    code = """
import importlib, datasets, hf_prune
before = datasets.Dataset.prune, datasets.Dataset.selection
hf_prune.attach.attach_methods()
importlib.reload(hf_prune)
print(before == (datasets.Dataset.prune, datasets.Dataset.selection))"""
    assert run(code) == "True"


def test_public_names():
    code = """
import hf_prune
print(hf_prune.PruningTrainerCallback.__name__, hf_prune.metrics.RecallGap.__name__, "metrics" in dir(hf_prune))
print(hf_prune.Comparison.__name__, hf_prune.testing.check_method.__name__)
try:
    hf_prune.nothing
except AttributeError as error:
    print(error)"""
    assert run(code).splitlines() == [
        "PruningTrainerCallback RecallGap True",
        "Comparison check_method",
        "module 'hf_prune' has no attribute 'nothing'",
    ]
