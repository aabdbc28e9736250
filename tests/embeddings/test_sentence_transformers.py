"""Checkpoints of sentence-transformers: its vectors where it is installed, and the same or none where it is not."""

import sys
from pathlib import Path

import numpy as np
import pytest
from datasets import Dataset

import hf_prune
from tests import tiny_encoders

TEXTS = ["word1 Word2", "word3", "WORD4 word5 word6 word7", "word2 word1", "word1 word2 word8"]
PROMPT = {"prompts": {"topic": "word9 "}, "default_prompt_name": "topic"}
MODES = [("pooling_mode_cls_token", 0), ("pooling_mode_lasttoken", -1), ("pooling_mode_mean_tokens", None)]


@pytest.fixture(scope="module")
def library(_trainer_libraries):
    return pytest.importorskip("sentence_transformers")


@pytest.fixture
def no_library(_trainer_libraries, monkeypatch):
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)


@pytest.fixture
def embed(tmp_path):
    def embed(encoder, texts=TEXTS, **options):
        options = {"cache_dir": tmp_path / "cache", "batch_size": 2, "precision": "float32"} | options
        return np.array(hf_prune.embed(Dataset.from_dict({"text": texts}), encoder, **options))

    return embed


def encoded(library, folder):
    """The vectors that the library gives by itself."""
    return library.SentenceTransformer(str(folder), device="cpu").encode(TEXTS)


@pytest.mark.parametrize(("mode", "token"), MODES)
@pytest.mark.parametrize("normalize", [True, False])
def test_without_the_library_plain_checkpoints_are_pooled_as_they_say(
    embed, no_library, tmp_path, mode, token, normalize
):
    folder = tiny_encoders.sentence_bert(tmp_path / "bert", pooling=mode, normalize=normalize)
    states = tiny_encoders.hidden_states(folder, TEXTS)
    expected = np.stack([state.mean(0) if token is None else state[token] for state in states])
    if normalize:
        expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(embed(folder), expected, atol=1e-6)


@pytest.mark.parametrize(
    "pooling", [*(mode for mode, _ in MODES), *({"pooling_mode": "cls"}, {"pooling_mode": "mean"})]
)
@pytest.mark.parametrize("normalize", [True, False])
def test_both_ways_give_the_same_vectors(embed, library, tmp_path, monkeypatch, pooling, normalize):
    folder = tiny_encoders.sentence_bert(tmp_path / "bert", pooling=pooling, normalize=normalize)
    by_library = embed(folder)
    np.testing.assert_allclose(by_library, encoded(library, folder), atol=1e-6)
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    np.testing.assert_allclose(embed(folder), by_library, atol=1e-6)
    assert len(list((tmp_path / "cache").iterdir())) == 2  # near is not the same


BEYOND = {
    "prompt": ({"settings": PROMPT}, "default_prompt_name 'topic'"),
    "fewer numbers": ({"settings": {"truncate_dim": 5}}, "truncate_dim 5"),
    "lower case": ({"do_lower_case": True}, "do_lower_case True"),
    "no special tokens": ({"processing_kwargs": {"text": {"add_special_tokens": False}}}, "processing_kwargs {'text'"),
    "greatest": ({"pooling": "pooling_mode_max_tokens"}, "another pooling"),
    "first and mean": ({"pooling": {"pooling_mode": ["cls", "mean"]}}, "another pooling"),
    "another layer": ({"more": "LayerNorm"}, "the parts .*LayerNorm"),
}


@pytest.mark.parametrize("case", BEYOND)
def test_without_the_library_what_is_not_plain_is_refused(embed, no_library, tmp_path, case):
    options, what = BEYOND[case]
    folder = tiny_encoders.sentence_bert(tmp_path / "bert", **options)
    with pytest.raises(hf_prune.MissingExtraError, match=rf'with {what}.*pip install "hf_prune\[text\]"'):
        embed(folder)


@pytest.mark.parametrize("case", BEYOND)
def test_the_library_computes_what_is_not_plain(embed, library, tmp_path, case):
    folder = Path(tiny_encoders.sentence_bert(tmp_path / "bert", **BEYOND[case][0]))
    if case == "another layer":
        (folder / "3_More").mkdir()
        library.models.LayerNorm(16).save(str(folder / "3_More"))
    vectors, plain = embed(folder), embed(tiny_encoders.sentence_bert(tmp_path / "plain"))
    np.testing.assert_allclose(vectors, encoded(library, folder), atol=1e-6)
    assert vectors.shape != plain.shape or np.abs(vectors - plain).max() > 0.01
    with pytest.raises(hf_prune.ArgumentError, match="which only that library computes; leave pooling= out"):
        embed(folder, pooling="first")


@pytest.mark.parametrize("name", ["sentence_bert_config.json", "sentence_roberta_config.json"])
@pytest.mark.parametrize("way", ["library", "no_library"])
def test_as_many_tokens_are_read_as_a_checkpoint_says(embed, tmp_path, name, way, request):
    request.getfixturevalue(way)
    folder = tiny_encoders.sentence_bert(tmp_path / "bert", max_seq_length=5)
    Path(folder, "sentence_bert_config.json").rename(Path(folder, name))
    with pytest.raises(hf_prune.ArgumentError, match="row 2 has 6 tokens, the encoder takes 5; pass truncate=True"):
        embed(folder)
    cut = embed(folder, truncate=True)
    np.testing.assert_allclose(cut[2], embed(folder, ["WORD4 word5 word6"])[0], atol=1e-6)


def test_a_limit_of_the_processor_counts(embed, library, tmp_path):
    folder = tiny_encoders.sentence_bert(tmp_path / "bert", processing_kwargs={"text": {"max_length": 4}})
    with pytest.raises(hf_prune.ArgumentError, match="row 2 has 6 tokens, the encoder takes 4"):
        embed(folder)
    np.testing.assert_allclose(embed(folder, truncate=True), encoded(library, folder), atol=1e-6)


def test_tokens_of_the_prompt_count(embed, library, tmp_path):
    folder = tiny_encoders.sentence_bert(tmp_path / "bert", settings=PROMPT, max_seq_length=6)
    with pytest.raises(hf_prune.ArgumentError, match="row 2 has 7 tokens, the encoder takes 6"):
        embed(folder)
    np.testing.assert_allclose(embed(folder, truncate=True), encoded(library, folder), atol=1e-6)


def test_a_chat_template_is_the_librarys(embed, no_library, tmp_path):
    folder = Path(tiny_encoders.sentence_bert(tmp_path / "bert"))
    (folder / "chat_template.jinja").write_text("{{ messages }}")
    with pytest.raises(hf_prune.MissingExtraError, match="with a chat template"):
        embed(str(folder))


def test_parts_of_others_are_refused(embed, no_library, tmp_path):
    folder = Path(tiny_encoders.sentence_bert(tmp_path / "bert"))
    modules = (folder / "modules.json").read_text()
    (folder / "modules.json").write_text(modules.replace("sentence_transformers.models.Pooling", "own.Pooling"))
    with pytest.raises(hf_prune.MissingExtraError, match=r"the parts .*'own\.Pooling'"):
        embed(str(folder))
    (folder / "modules.json").write_text("{")
    with pytest.raises(hf_prune.ArgumentError, match=r"'.*modules.json' is damaged"):
        embed(str(folder))


def test_the_users_own_model(embed, library, tmp_path):
    folder = tiny_encoders.sentence_bert(tmp_path / "bert", settings=PROMPT)
    model = library.SentenceTransformer(folder, device="cpu").train()
    np.testing.assert_array_equal(embed(model), embed(folder))
    assert len(list((tmp_path / "cache").iterdir())) == 1
    assert model.training
    with pytest.raises(TypeError, match="no pooling= beside the model's own"):
        embed(model, pooling="first")


def test_changed_settings_are_another_encoder(embed, library, tmp_path):
    model = library.SentenceTransformer(tiny_encoders.sentence_bert(tmp_path / "bert"), device="cpu")
    vectors = [embed(model)]
    for name, value in (("truncate_dim", 3), ("prompts", {"topic": "word9 "}), ("default_prompt_name", "topic")):
        setattr(model, name, value)
        vectors.append(embed(model))
    assert vectors[1].shape == (5, 3)
    assert np.abs(vectors[3] - vectors[1]).max() > 0.01
    model[1].pooling_mode = "max"
    assert np.abs(embed(model) - vectors[3]).max() > 0.01


def test_static_embeddings(embed, library, tmp_path):
    static = library.models.StaticEmbedding(tiny_encoders.tokenizer().backend_tokenizer, embedding_dim=7)
    library.SentenceTransformer(modules=[static], device="cpu").save_pretrained(str(tmp_path / "static"))
    np.testing.assert_allclose(embed(tmp_path / "static"), encoded(library, tmp_path / "static"), atol=1e-6)


def test_a_checkpoint_of_the_library_that_lacks_weights_is_refused(embed, library, tmp_path):
    from safetensors.numpy import load_file, save_file

    folder = tiny_encoders.sentence_bert(tmp_path / "bert")
    weights = load_file(f"{folder}/model.safetensors")
    del weights["pooler.dense.weight"]
    save_file(weights, f"{folder}/model.safetensors", metadata={"format": "pt"})
    np.testing.assert_array_equal(embed(folder), embed(folder))
    assert len(list((tmp_path / "cache").iterdir())) == 1  # the pooler is random, and decides nothing
    del weights["encoder.layer.1.output.dense.weight"]
    save_file(weights, f"{folder}/model.safetensors", metadata={"format": "pt"})
    with pytest.raises(hf_prune.ArgumentError, match=r"lacks 1 weights of BertModel \(.*encoder.layer.1.output.dense"):
        embed(folder)
    (Path(folder) / "model.safetensors").write_bytes(b"broken")
    with pytest.raises(hf_prune.ArgumentError, match="could not be loaded"):
        embed(folder)
