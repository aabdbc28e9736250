"""What changes vectors makes another cache: state that no weight shows, code wherever it stands, and processors."""

import functools
import importlib
import json
import os
import subprocess
import sys

import numpy as np
import pytest

import hf_prune
from tests.tiny_encoders import Counting


@pytest.fixture(autouse=True)
def _torch(_trainer_libraries):
    pass


@pytest.fixture
def check(ds, tmp_path):
    """Embeds before and after a change with one cache, where the second vectors must be those of an empty one."""

    def check(change, encoder, **options):
        def vectors(folder):
            return np.array(hf_prune.embed(ds, encoder, precision="float32", cache_dir=tmp_path / folder, **options))

        before = vectors("cache")
        change()
        after, expected = vectors("cache"), vectors("empty")
        assert np.abs(before - expected).max() > 1e-4, "the change must show"
        np.testing.assert_array_equal(after, expected)

    return check


def rows(batch):
    import torch

    return {"x": torch.tensor([[float(len(row["text"])), -1.0] for row in batch])}


def a_net():
    import torch

    class Net(torch.nn.Module):
        factor = 1.0

        def __init__(self):
            super().__init__()
            self.scale, self._adapter_on, self.options = 1.0, True, {"shift": [0.0]}
            self.layers = torch.nn.Sequential(torch.nn.LeakyReLU(0.1), torch.nn.Identity())
            self.pool = torch.nn.AvgPool1d(1, stride=1)
            self.register_buffer("offset", torch.zeros(2), persistent=False)

        def forward(self, x):
            y = self.pool(self.layers(x) * self.scale * self.factor + self.offset + self.options["shift"][0])
            return y * 3 if self._adapter_on else y

    return Net()


def test_a_plain_attribute(check):
    net = a_net()
    check(lambda: setattr(net, "scale", 2.0), net, processor=rows)


def test_an_attribute_of_the_class(check):
    net = a_net()
    check(lambda: setattr(type(net), "factor", 2.0), net, processor=rows)


def test_a_value_deep_in_an_attribute(check):
    net = a_net()
    check(lambda: net.options["shift"].__setitem__(0, 1.0), net, processor=rows)


def test_an_option_of_a_layer(check):
    net = a_net()
    check(lambda: setattr(net.layers[0], "negative_slope", 0.5), net, processor=rows)


def test_a_stride(check):
    net = a_net()
    check(lambda: setattr(net.pool, "stride", (2,)), net, processor=rows)


def test_the_order_of_layers(check):
    import torch

    net = a_net()
    net.layers[1] = torch.nn.Hardtanh(-0.5, 50)
    check(lambda: setattr(net, "layers", torch.nn.Sequential(net.layers[1], net.layers[0])), net, processor=rows)


def test_a_buffer_that_is_not_saved(check):
    net = a_net()
    check(lambda: net.offset.add_(1), net, processor=rows)


def test_a_dtype(check):
    net = a_net()
    net.offset.add_(1 / 3)
    check(net.half, net, processor=lambda batch: {"x": rows(batch)["x"] / 3})


def test_a_hook_and_what_it_refers_to(check):
    net, factor = a_net(), [2]
    check(
        lambda: net.layers.register_forward_hook(lambda module, args, output: output * factor[0]), net, processor=rows
    )
    check(lambda: factor.__setitem__(0, 3), net, processor=rows)


def test_a_module_that_stays_in_training_mode(check):
    import torch

    class Stubborn(torch.nn.Module):
        def forward(self, x):
            return x + self.training

        def train(self, mode=True):
            return self

    net = Stubborn()
    check(lambda: setattr(net, "training", False), net, processor=rows)


def test_an_adapter_that_is_turned_off(check):
    net = a_net()
    check(lambda: setattr(net, "_adapter_on", False), net, processor=rows)


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")
def test_an_adapter_of_peft(bert, check):
    import torch
    from transformers import AutoModel, AutoTokenizer

    peft = pytest.importorskip("peft")
    config = peft.LoraConfig(target_modules=["value"], lora_alpha=1000, init_lora_weights=False)
    torch.manual_seed(0)
    model = peft.get_peft_model(AutoModel.from_pretrained(bert), config)
    check(model.base_model.disable_adapter_layers, model, processor=AutoTokenizer.from_pretrained(bert))


def test_a_forward_that_is_replaced(check):
    net = a_net()
    check(lambda: setattr(net, "forward", lambda x: x * 5), net, processor=rows)


def test_the_settings_of_a_tokenizer(bert, check):
    from transformers import AutoModel, AutoTokenizer

    model, tokenizer = AutoModel.from_pretrained(bert), AutoTokenizer.from_pretrained(bert)
    options = {"processor": tokenizer, "truncate": True, "pooling": "first"}
    check(lambda: setattr(tokenizer, "model_max_length", 4), model, **options)
    check(lambda: setattr(tokenizer, "padding_side", "left"), model, **options)
    check(lambda: setattr(tokenizer, "truncation_side", "left"), model, **options)


def test_a_tokenizer_of_ones_own(bert, check):
    from transformers import AutoModel, PreTrainedTokenizerFast

    class Own(PreTrainedTokenizerFast):
        def __call__(self, texts, **options):
            return super().__call__([text.replace("word1", "word9") for text in texts], **options)

    tokenizer = Own.from_pretrained(bert)
    change = functools.partial(setattr, Own, "__call__", PreTrainedTokenizerFast.__call__)
    check(change, AutoModel.from_pretrained(bert), processor=tokenizer)


CHANGES = {
    "an imported function's body": ("import own_code\ndef encode(texts): return own_code.count(texts)", "helper"),
    "an imported name": ("from own_code import count\ndef encode(texts): return count(texts)", "helper"),
    "two imports away": ("import own_code\ndef encode(texts): return own_code.twice(texts)", "helper"),
    "a late import": ("def encode(texts):\n    from own_code import count\n    return count(texts)", "helper"),
    "a method": ("import own_code\ndef encode(texts): return own_code.Encoder()(texts)", "helper"),
    "a base class": (
        "from own_code import Encoder\nclass Own(Encoder): pass\ndef encode(texts): return Own()(texts)",
        "helper",
    ),
    "an imported constant": ("import own_code\ndef encode(texts): return own_code.count(texts)", "constant"),
    "a wrapped function": ("import own_code\ndef encode(texts): return own_code.remembered(tuple(texts))", "helper"),
    "a default": ("from own_code import count\ndef encode(texts, f=count): return f(texts)", "helper"),
    "a partial": (
        "import functools\nfrom own_code import count\nencode = functools.partial(count, more=1)",
        "helper",
    ),
}
CODE = """
import functools
CONSTANT = 1
def count(texts, more=0):
    return [[len(text) * CONSTANT + more, {0}] for text in texts]
def twice(texts):
    return count(count.__name__ and texts)
remembered = functools.lru_cache(count)
class Encoder:
    def __call__(self, texts):
        return self.answer(texts)
    def answer(self, texts):
        return [[len(text) * CONSTANT, {0}] for text in texts]
"""


@pytest.mark.parametrize("case", CHANGES)
def test_code_that_is_imported(ds, tmp_path, monkeypatch, case):
    code, what = CHANGES[case]
    monkeypatch.syspath_prepend(tmp_path)

    def vectors(folder, second, constant):
        own = CODE.format(second).replace("CONSTANT = 1", f"CONSTANT = {constant}")
        (tmp_path / "own_code.py").write_text(own)
        (tmp_path / "own_encoder.py").write_text(code)
        for name in ("own_code", "own_encoder"):
            sys.modules.pop(name, None)
        importlib.invalidate_caches()
        sys.dont_write_bytecode = True
        encode = importlib.import_module("own_encoder").encode
        return np.array(hf_prune.embed(ds, encode, cache_dir=tmp_path / folder))

    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    before = vectors("cache", 0, 1)
    np.testing.assert_array_equal(vectors("cache", 0, 1), before)
    assert len(list((tmp_path / "cache").iterdir())) == 1, "unchanged code is found again"
    change = (1, 1) if what == "helper" else (0, 2)
    after, expected = vectors("cache", *change), vectors("empty", *change)
    assert np.abs(before - expected).max() > 0.1
    np.testing.assert_array_equal(after, expected)
    for name in ("own_code", "own_encoder"):
        sys.modules.pop(name, None)


def test_a_closure_that_a_library_made(check):
    from transformers import trainer_utils

    def make(factor):
        def encode(texts):
            return [[len(text) * factor, 1] for text in texts]

        encode.__module__ = trainer_utils.__name__  # as if the library had made it
        return encode

    encoders = [make(1)]
    check(lambda: encoders.__setitem__(0, make(2)), lambda texts: encoders[0](texts))


def test_the_device(ds, cache, monkeypatch):
    import torch

    net = a_net()
    hf_prune.embed(ds, net, processor=rows, cache_dir=cache, precision="float32")
    monkeypatch.setattr("hf_prune.embeddings.compute.device_of", lambda model: torch.device("cuda"))
    hf_prune.embed(ds, net, processor=rows, cache_dir=cache, precision="float32")
    assert len(list(cache.iterdir())) == 2


PROCESS = """
import sys, torch
from datasets import Dataset, disable_progress_bars
import hf_prune
from transformers import AutoModel, AutoTokenizer
from tests.embeddings.test_stale_cache import a_net, rows
disable_progress_bars()
bert, cache = sys.argv[1:]
ds = Dataset.from_dict({"text": ["word1 word2", "word3"]})
names, torch_seed = {"a", "b", "c"}, torch.manual_seed(0)
hf_prune.embed(ds, bert, cache_dir=cache)
hf_prune.embed(ds, a_net(), processor=rows, cache_dir=cache)
model, tokenizer = AutoModel.from_pretrained(bert), AutoTokenizer.from_pretrained(bert)
model.register_forward_hook(lambda module, args, output: None if "b" in names else {"a", "b", frozenset("xyz")})
def encode(texts):
    batch = tokenizer(texts, padding=True, return_tensors="pt")
    return model(**batch).last_hidden_state[:, 0] if "x" in frozenset("xyz") else None
for _ in range(2):
    hf_prune.embed(ds, encode, cache_dir=cache)
hf_prune.embed(ds, model, processor=tokenizer, cache_dir=cache)
"""


@pytest.mark.process
def test_other_processes_find_the_cache(bert, cache):
    """The hash seed, the ids of hooks and the last call of a tokenizer don't make it another encoder."""
    found = []
    for seed in "12":
        environment = os.environ | {"PYTHONHASHSEED": seed, "OMP_NUM_THREADS": "1"}
        subprocess.run([sys.executable, "-c", PROCESS, bert, str(cache)], env=environment, check=True, timeout=200)
        found.append(sorted(folder.name for folder in cache.iterdir()))
    assert len(found[0]) == 4
    assert found[0] == found[1]


def test_what_no_key_can_see_is_refused_by_name(ds, cache, tmp_path):
    setting = tmp_path / "setting.json"

    def encode(texts):
        return [[len(text) * json.loads(setting.read_text()), 1] for text in texts]

    setting.write_text("1")
    first = np.array(hf_prune.embed(ds, encode, cache_dir=cache))
    setting.write_text("1.5")
    with pytest.raises(hf_prune.ArgumentError, match=r"other numbers than its cache, by .* for row \d") as caught:
        hf_prune.embed(ds, encode, cache_dir=cache)
    (folder,) = cache.iterdir()
    assert f"shutil.rmtree({str(folder)!r})" in str(caught.value)
    assert 'cache_key="' in str(caught.value)
    np.testing.assert_array_equal(
        hf_prune.embed(ds, encode, cache_dir=cache, cache_key="1.5")[:, 0], 1.5 * first[:, 0]
    )


def test_a_run_that_another_encoder_began_is_refused(ds, cache):
    class Encoder:
        factor, stops = 1, True

        def __call__(self, texts):
            if self.stops and len(texts) == 1:
                raise KeyboardInterrupt
            return [[len(text) * self.factor] for text in texts]

        def __reduce__(self):
            return Counting, ()

    encoder = Encoder()
    with pytest.raises(KeyboardInterrupt):
        hf_prune.embed(ds, encoder, cache_dir=cache, batch_size=1)
    encoder.factor, encoder.stops = 2, False
    with pytest.raises(hf_prune.ArgumentError, match="other numbers than its cache"):
        hf_prune.embed(ds, encoder, cache_dir=cache, batch_size=1)


def test_with_a_cache_key_a_function_is_not_called_again(ds, cache):
    calls = []

    def paid(texts):
        calls.append(len(texts))
        return np.random.default_rng(len(calls)).normal(size=(len(texts), 2))

    first = hf_prune.embed(ds, paid, cache_dir=cache, cache_key="v1")
    assert sum(calls) == len(ds) + 1  # one row to see how long vectors are
    np.testing.assert_array_equal(hf_prune.embed(ds, paid, cache_dir=cache, cache_key="v1"), first)
    assert sum(calls) == len(ds) + 1
    assert np.abs(hf_prune.embed(ds, paid, cache_dir=cache, cache_key="v2") - first).max() > 0.1


def test_a_random_function_says_so(ds, cache):
    generator = np.random.default_rng(0)

    class Random:
        def __call__(self, texts):
            return generator.normal(size=(len(texts), 2))

        def __reduce__(self):
            return Counting, ()

    hf_prune.embed(ds, Random(), cache_dir=cache)
    with pytest.raises(hf_prune.ArgumentError, match="other numbers than its cache"):
        hf_prune.embed(ds, Random(), cache_dir=cache)


def test_rounding_is_no_difference(ds, cache):
    noise = [0.0]

    class Noisy:
        def __call__(self, texts):
            return [[len(text) * (1 + noise[0]), 1.0] for text in texts]

        def __reduce__(self):
            return Counting, ()

    first = np.array(hf_prune.embed(ds, Noisy(), cache_dir=cache))
    noise[0] = 1e-5
    np.testing.assert_array_equal(hf_prune.embed(ds, Noisy(), cache_dir=cache), first)
