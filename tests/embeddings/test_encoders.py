"""Encoders of every kind against the same model called by hand."""

import importlib.metadata
import importlib.util
import json
import linecache
import sys
from pathlib import Path

import numpy as np
import pytest
from datasets import Dataset, Features, Image, Value

import hf_prune
from hf_prune.embeddings.transformers import pooled
from tests import tiny_encoders

N = 11


@pytest.fixture(scope="module")
def ds(_trainer_libraries):
    import PIL.Image

    rng = np.random.default_rng(0)
    columns = {
        "text": [" ".join(rng.choice(tiny_encoders.WORDS, size=rng.integers(1, 6))) for _ in range(N)],
        "image": [
            PIL.Image.fromarray(rng.integers(0, 256, (9, 9), dtype=np.uint8)).convert(("L", "RGB", "P")[row % 3])
            for row in range(N)
        ],
    }
    return Dataset.from_dict(columns, features=Features({"text": Value("string"), "image": Image()}))


@pytest.fixture
def embed(ds, tmp_path):
    def embed(encoder, column, **options):
        return hf_prune.embed(
            ds, encoder, column=column, cache_dir=tmp_path / "cache", batch_size=4, precision="float32", **options
        )

    return embed


@pytest.mark.parametrize(("pooling", "token"), [("first", 0), ("last", -1)])
def test_pooling_of_one_token(ds, embed, tmp_path, pooling, token):
    folder = tiny_encoders.bert(tmp_path / "bert")
    expected = [states[token] for states in tiny_encoders.hidden_states(folder, ds["text"])]
    np.testing.assert_allclose(embed(folder, "text", pooling=pooling), expected, atol=1e-6)


def test_padding_at_the_left_end():
    import torch

    hidden = torch.arange(12.0).reshape(2, 3, 2)
    mask = torch.tensor([[0, 1, 1], [1, 1, 0]])
    assert pooled(hidden, mask, "mean").tolist() == [[3, 4], [7, 8]]
    assert pooled(hidden, mask, "first").tolist() == [[2, 3], [6, 7]]
    assert pooled(hidden, mask, "last").tolist() == [[4, 5], [8, 9]]


def test_a_checkpoint_on_the_hub(hub, ds, embed, tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    folder = tiny_encoders.sentence_bert(tmp_path / "bert", pooling="pooling_mode_cls_token")
    hub.put_model("me/encoder", Path(folder))
    hub.put_model("me/plain", Path(tiny_encoders.bert(tmp_path / "plain", seed=1)))
    np.testing.assert_array_equal(embed("me/encoder", "text"), embed(folder, "text"))
    assert len(list((tmp_path / "cache").iterdir())) == 1
    sha, before = hub.repos["me/plain"].branches["main"][-1].sha, np.array(embed("me/plain", "text"))
    hub.put_model("me/plain", Path(folder))
    assert np.abs(embed("me/plain", "text") - before).max() > 0.1
    np.testing.assert_array_equal(embed("me/plain", "text", revision=sha), before)


def test_images_of_every_mode(ds, embed, tmp_path):
    import torch
    from transformers import AutoImageProcessor, AutoModel

    folder = tiny_encoders.vit(tmp_path / "vit")
    model, processor = AutoModel.from_pretrained(folder).eval(), AutoImageProcessor.from_pretrained(folder)
    pixels = processor([image.convert("RGB") for image in ds["image"]], return_tensors="pt")
    with torch.no_grad():
        expected = model(**pixels).last_hidden_state.mean(1)
    np.testing.assert_allclose(embed(folder, "image"), expected, atol=1e-6)
    assert len(list((tmp_path / "cache").iterdir())) == 1
    torch.manual_seed(1)
    embed(folder, "image")  # its pooler is another at every loading, which decides no vector
    assert len(list((tmp_path / "cache").iterdir())) == 1


@pytest.mark.skipif(importlib.metadata.version("transformers") < "5", reason="image processors took no grey images")
def test_convolutions_give_the_mean_over_the_image(ds, embed, tmp_path):
    import torch
    from transformers import ResNetConfig, ResNetModel, ViTImageProcessor

    torch.manual_seed(0)
    config = ResNetConfig(num_channels=1, embedding_size=4, hidden_sizes=[6], depths=[1], layer_type="basic")
    model, processor = (
        ResNetModel(config).eval(),
        ViTImageProcessor(size={"height": 8, "width": 8}, image_mean=[0.5], image_std=[0.5]),
    )
    vectors = embed(model, "image", processor=processor)
    with torch.no_grad():
        pixels = processor([image.convert("L") for image in ds["image"]], return_tensors="pt")
        expected = model(**pixels).pooler_output.flatten(1)
    np.testing.assert_allclose(vectors, expected, atol=1e-6)


def test_clip_gives_what_it_calls_features(ds, embed, tmp_path):
    import torch
    from transformers import AutoTokenizer, CLIPModel

    folder = tiny_encoders.clip(tmp_path / "clip")
    model, tokenizer = CLIPModel.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)
    with torch.no_grad():
        features = [model.get_text_features(**tokenizer(text, return_tensors="pt")) for text in ds["text"]]
    expected = [getattr(one, "pooler_output", one)[0] for one in features]  # a tensor before transformers 5
    np.testing.assert_allclose(embed(folder, "text"), torch.stack(expected), atol=1e-6)
    assert embed(folder, "image").shape == (N, 12)


def test_decoders_and_encoder_decoders(ds, embed, tmp_path):
    import torch
    from transformers import GPT2Config, GPT2Model, T5Config, T5Model

    torch.manual_seed(0)
    words = 4 + len(tiny_encoders.WORDS)
    tokenizer = tiny_encoders.tokenizer()
    tokenizer.pad_token = None
    gpt = GPT2Model(GPT2Config(vocab_size=words, n_embd=16, n_layer=1, n_head=2, n_positions=tiny_encoders.LONGEST))
    gpt.save_pretrained(tmp_path / "gpt")
    tokenizer.save_pretrained(tmp_path / "gpt")
    expected = [states[-1] for states in tiny_encoders.hidden_states(tmp_path / "gpt", ds["text"])]
    np.testing.assert_allclose(embed(str(tmp_path / "gpt"), "text", pooling="last"), expected, atol=1e-6)
    np.testing.assert_allclose(embed(gpt, "text", processor=tokenizer, pooling="last"), expected, atol=1e-6)
    assert tokenizer.pad_token is None
    t5 = T5Model(T5Config(vocab_size=words, d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2)).eval()
    vectors = embed(t5, "text", processor=tiny_encoders.tokenizer())
    with torch.no_grad():
        first = t5.encoder(**tiny_encoders.tokenizer()(ds["text"][0], return_tensors="pt")).last_hidden_state
    np.testing.assert_allclose(vectors[0], first[0].mean(0), atol=1e-5)


def test_a_trained_model_gives_what_enters_its_head(text_task, tmp_path):
    import torch

    trainer, rows = text_task.trainer(), text_task.dataset
    caught = []
    model = trainer.model.eval()
    with torch.no_grad():
        hook = model.classifier.register_forward_pre_hook(lambda module, args: caught.append(args[0]))
        for row in range(len(rows)):
            model(input_ids=torch.tensor([rows[row]["input_ids"]]))
        hook.remove()
    columns = rows.remove_columns("note")
    model.train()  # with dropout
    options = {"cache_dir": tmp_path, "precision": "float32", "batch_size": 8}
    vectors = hf_prune.embed(columns, model, processor=trainer.data_collator, **options)
    np.testing.assert_allclose(vectors, torch.cat(caught), atol=1e-6)
    from_texts = hf_prune.embed(rows, model, column="note", processor=text_task.tokenizer, **options)
    np.testing.assert_allclose(from_texts, torch.cat(caught), atol=1e-6)


def test_any_torch_module(ds, embed, tmp_path, monkeypatch):
    import torch

    code = "import torch\nclass Net(torch.nn.Module):\n    def forward(self, x):\n        return x"

    def net(code):
        (tmp_path / "own.py").write_text(code)
        linecache.clearcache()
        spec = importlib.util.spec_from_file_location("own", tmp_path / "own.py")
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, "own", module)
        exec(compile(code, tmp_path / "own.py", "exec"), module.__dict__)
        return module.Net()

    def rows(batch):
        return {"x": torch.tensor([[float(len(row["text"])), 1.0] for row in batch]), "labels": None}

    first = embed(net(code), None, processor=rows)
    assert first[:, 0].tolist() == [len(text) for text in ds["text"]]
    doubled = embed(net(code + " * 2"), None, processor=rows)  # other code, and no weight to tell them apart
    np.testing.assert_array_equal(doubled, 2 * first)
    with pytest.raises(TypeError, match="Net gives dict, wanted a tensor or an output with last_hidden_state"):
        embed(net(code.replace("return x", "return {'x': x}")), None, processor=rows)


def test_a_tokens_head_is_pooled(ds, embed):
    import torch
    from transformers import BertConfig, BertForTokenClassification

    torch.manual_seed(0)
    model = BertForTokenClassification(tiny_encoders._text_config(BertConfig)).eval()
    with torch.no_grad():
        states = model.bert(**tiny_encoders.tokenizer()(ds["text"][0], return_tensors="pt")).last_hidden_state[0]
    np.testing.assert_allclose(embed(model, "text", processor=tiny_encoders.tokenizer())[0], states.mean(0), atol=1e-6)


def test_a_checkpoint_that_lacks_weights_is_refused(embed, tmp_path):
    from safetensors.numpy import load_file, save_file

    folder = tiny_encoders.bert(tmp_path / "bert")
    weights = load_file(f"{folder}/model.safetensors")
    weights.pop("encoder.layer.1.output.dense.weight")
    save_file(weights, f"{folder}/model.safetensors", metadata={"format": "pt"})
    with pytest.raises(hf_prune.ArgumentError, match=r"lacks 1 weights of BertModel \(encoder.layer.1.output.dense"):
        embed(folder, "text")
    folder = tiny_encoders.clip(tmp_path / "clip")
    weights = load_file(f"{folder}/model.safetensors")
    weights["text_model.pooler.weight"] = weights.pop("text_projection.weight")
    save_file(weights, f"{folder}/model.safetensors", metadata={"format": "pt"})
    with pytest.raises(hf_prune.ArgumentError, match=r"lacks 1 weights of CLIPModel \(text_projection.weight"):
        embed(folder, "text")


@pytest.mark.parametrize(
    ("column", "processor", "message"),
    [
        ("text", None, "`processor`: a model needs its tokenizer or image processor"),
        ("text", lambda rows: [1], "`processor`: wanted a function from rows to a mapping of the model's inputs"),
    ],
)
def test_processors_that_are_refused(embed, text_task, column, processor, message):
    with pytest.raises(TypeError, match=message):
        embed(text_task.new_model(), column, processor=processor)


def test_a_damaged_checkpoint(embed, tmp_path):
    folder = tiny_encoders.bert(tmp_path / "bert")
    config = json.loads(Path(folder, "config.json").read_text())
    Path(folder, "config.json").write_text(json.dumps(config | {"model_type": "no such type"}))
    with pytest.raises(hf_prune.ArgumentError, match="could not be loaded"):
        embed(folder, "text")
    Path(folder, "config.json").write_text(json.dumps(config))
    Path(folder, "model.safetensors").write_bytes(b"broken")
    with pytest.raises(hf_prune.ArgumentError, match="could not be loaded"):
        embed(folder, "text")
