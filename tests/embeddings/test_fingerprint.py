"""A fingerprint is the same in every process, and changes with what computes."""

import functools
import json
import os
import subprocess
import sys
import threading
import types
from pathlib import Path

import numpy as np
import pytest

SCRIPT = Path(__file__).with_name("fingerprint_process.py")
OWN = """
import functools

NAMES = {"one", "two", "three"}

def count(texts, more=0):
    return [[len(text), text in {"p", "q", "r"}, bool(more)] for text in texts if text not in NAMES]

count_again = functools.partial(count, more={"z", "y", "x", "c", "b", "a"})

class Encoder:
    def __init__(self, letters):
        self.letters = dict.fromkeys(letters, count)

    def encode(self, texts):
        return self.letters["a"](texts)
"""


@pytest.fixture
def key(_trainer_libraries):
    from hf_prune.embeddings.fingerprint import fingerprint

    return functools.partial(fingerprint, "encoder")


@pytest.mark.process
@pytest.mark.usefixtures("_trainer_libraries")
def test_two_processes_and_what_is_loaded_have_one_fingerprint(tmp_path):
    pytest.importorskip("peft")
    found = []
    for seed in "12":
        folder = tmp_path / seed
        folder.mkdir()
        (folder / "own_code.py").write_text(OWN)
        own = {"PYTHONHASHSEED": seed, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(SCRIPT.parents[2])}
        command = [sys.executable, str(SCRIPT), str(folder)]
        ended = subprocess.run(command, env=os.environ | own, capture_output=True, text=True, timeout=200, check=False)
        assert ended.returncode == 0, ended.stderr[-3000:]
        found.append(json.loads(ended.stdout.splitlines()[-1]))
    for kind in found[0]:
        keys = {key for process in found for key in process[kind]}
        assert len(keys) == 1, f"{kind}: {[process[kind] for process in found]}"
    assert len({process[0] for process in found[0].values()}) == len(found[0]) - 1, "the adapter is there twice"


PACKAGE = {
    "a function": ("from own_pack.inner import count", "inner.py"),
    "a module": ("from own_pack import inner", "inner.py"),
    "relative": ("from .inner import count", "inner.py"),
    "a relative module": ("from . import inner", "inner.py"),
    "what that imports": ("from .inner import count", "far.py"),
    "the package": ("import own_pack.inner", "__init__.py"),
}


@pytest.mark.parametrize("case", PACKAGE)
def test_a_late_import_and_all_that_it_imports(key, tmp_path, monkeypatch, case):
    line, changes = PACKAGE[case]
    folder = tmp_path / "own_pack"
    folder.mkdir()
    files = {"__init__.py": "", "far.py": "FACTOR = 1", "inner.py": "from own_pack import far\ndef count(texts): ..."}
    for name, content in files.items():
        (folder / name).write_text(content)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    encoder = types.ModuleType("own_pack.encoder")
    encoder.__package__ = "own_pack"
    exec(f"def encode(texts):\n    {line}\n    return count(texts)", vars(encoder))
    before = key(encoder.encode)
    assert key(encoder.encode) == before
    (folder / changes).write_text(files[changes] + "\nMORE = 2")
    assert key(encoder.encode) != before
    assert "own_pack" not in sys.modules, "nothing is imported to know it"


def test_equal_things_are_as_good_as_one(key):
    import torch

    def encoder(*layers):
        return lambda texts: [layer(texts) for layer in layers]

    torch.manual_seed(0)
    layer = torch.nn.Linear(2, 2)
    other = torch.nn.Linear(2, 2)
    other.load_state_dict(layer.state_dict())
    assert key(encoder(layer, layer)) == key(encoder(layer, other))
    with torch.no_grad():
        other.bias += 1
    assert key(encoder(layer, layer)) != key(encoder(layer, other)) != key(encoder(other, layer))


def test_each_value_counts_where_keys_look_the_same(key):
    import torch

    def encoder(values):
        table = {torch.nn.GELU(): value for value in values}
        return lambda texts: [[len(text) * sum(table.values())] for text in texts]

    assert len({key(encoder(values)) for values in ([1, 2], [1, 3], [2, 3])}) == 3


def test_a_method_that_takes_the_place_of_forward(key):
    import torch

    net = torch.nn.Linear(2, 2)
    keys = {key(net)}
    for factor in (2, 3):
        scope = {}
        exec(f"def forward(self, x): return x * {factor}", scope)
        net.forward = types.MethodType(scope["forward"], net)
        keys.add(key(net))
    assert len(keys) == 3


def test_what_refers_to_itself(key):
    def encoder(factor):
        class Node:
            def __init__(self):
                self.me, self.all, self.factor = self, [self, {"me": self}], factor

            def __call__(self, texts):
                return [[len(text) * self.me.factor, isinstance(self, Node)] for text in texts]

        return Node()

    assert key(encoder(1)) == key(encoder(1)) != key(encoder(2))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (np.arange(4.0), np.arange(4.0).astype("f4")),
        (np.arange(4.0), np.arange(4.0).reshape(2, 2)),
        (np.array(["a", None], object), np.array(["b", None], object)),
        (np.ma.masked_array([1, 2], [0, 1]), np.ma.masked_array([1, 2], [1, 0])),
        (np.array(["2020-01-01"], "M8[D]"), np.array(["2021-01-01"], "M8[D]")),
        ([1, 2], (1, 2)),
        ([1, 2], [2, 1]),
        ({1, 2}, {1, 3}),
        ({"a": 1}, {"a": True}),
        (0.0, -0.0),
        (types.MappingProxyType({"a": 1}), types.MappingProxyType({"a": 2})),
        (functools.partial(len, 1), functools.partial(len, 2)),
        (str.upper, str.lower),
        ("a".join, "b".join),
        (range(3), range(4)),
    ],
)
def test_values_of_any_kind(key, one, other):
    def encoder(value):
        return lambda texts: value

    assert key(encoder(one)) == key(encoder(one)) != key(encoder(other))


def test_what_a_process_has_of_its_own_does_not_count(key):
    import torch

    def encoder(lock, device):
        def encode(texts):
            with lock:
                return [[len(text), device.type == "cpu"] for text in texts]

        return encode

    one, other = threading.Lock(), threading.Lock()
    assert key(encoder(one, torch.device("cuda:0"))) == key(encoder(other, torch.device("cuda:1")))
    assert key(encoder(one, torch.device("cpu"))) != key(encoder(one, torch.device("cuda:1")))


def test_what_a_call_leaves_behind_does_not_count(key):
    class Encoder:
        @functools.cached_property
        def factor(self):
            return 3

        def __call__(self, texts):
            return [[remembered(text) * self.factor] for text in texts]

    @functools.lru_cache
    def remembered(text):
        return len(text)

    encoder = Encoder()
    before = key(encoder)
    encoder(["one"])
    assert key(encoder) == before


def test_a_compiled_model_is_known_by_its_weights(key):
    import torch

    torch.manual_seed(0)
    net = torch.nn.Linear(2, 2)
    compiled = torch.compile(net, backend="eager")
    before = key(compiled)
    compiled(torch.ones(1, 2))
    assert key(compiled) == before
    with torch.no_grad():
        net.weight += 1
    assert key(compiled) != before
