"""The score of an image and its text."""

import numpy as np
import pytest
from datasets import Dataset, Features, Image, Value
from PIL.Image import fromarray

import hf_prune
from tests import tiny_encoders

N = 9


@pytest.fixture(scope="module")
def clip(_trainer_libraries, tmp_path_factory):
    return tiny_encoders.clip(tmp_path_factory.mktemp("clip"))


@pytest.fixture
def pairs():
    pixels = np.random.default_rng(0).integers(0, 256, (N, 8, 8, 3), dtype=np.uint8)
    columns = {"picture": list(map(fromarray, pixels)), "caption": [f"word{row} word{row + 9}" for row in range(N)]}
    return Dataset.from_dict(columns, features=Features({"picture": Image(), "caption": Value("string")}))


def logits_by_hand(folder, pairs):
    """What the model itself says of each pair, without its temperature."""
    import torch
    from transformers import AutoImageProcessor, AutoTokenizer, CLIPModel

    model = CLIPModel.from_pretrained(folder).eval()
    pixels = AutoImageProcessor.from_pretrained(folder)(list(pairs["picture"]), return_tensors="pt")
    tokens = AutoTokenizer.from_pretrained(folder)(list(pairs["caption"]), padding=True, return_tensors="pt")
    with torch.no_grad():
        logits = model(**pixels, **tokens).logits_per_image
    return (logits.diag() / model.logit_scale.detach().exp()).numpy()


def test_is_the_cosine_that_the_model_computes(clip, pairs):
    method = hf_prune.ImageTextSimilarity(clip, "picture", "caption")
    expected = logits_by_hand(clip, pairs)
    coreset = pairs.prune(method, keep=3)
    np.testing.assert_allclose(coreset.selection.scores, expected, atol=1e-6)
    assert coreset.selection.indices.tolist() == sorted(np.argsort(-expected)[:3].tolist())


def test_d2_keeps_good_pairs_that_are_not_alike(clip, pairs):
    score = hf_prune.ImageTextSimilarity(clip, "picture", "caption")
    best = int(np.argmax(score.score(hf_prune.Signals(N, {"rows": pairs}), seed=0)))
    far_apart = np.eye(N) * 100
    coreset = pairs.prune(hf_prune.D2(score=score, k=1, normalize=False), keep=1, embeddings=far_apart)
    assert coreset.selection.indices.tolist() == [best]
    assert coreset.selection.steps[0].method["score"]["model"] == clip


def test_what_it_refuses(clip, pairs, tmp_path):
    with pytest.raises(TypeError, match="`image_column`: wanted a text, got 3"):
        hf_prune.ImageTextSimilarity(clip, 3)
    with pytest.raises(ValueError, match="no column 'image'"):
        pairs.prune(hf_prune.ImageTextSimilarity(clip), keep=2)
    bert = tiny_encoders.bert(tmp_path / "bert")
    with pytest.raises(hf_prune.ArgumentError, match=r"`encoder`: .* could not be loaded"):
        pairs.prune(hf_prune.ImageTextSimilarity(bert, "picture", "caption"), keep=2)
    long = pairs.map(lambda row: {"caption": "word1 " * 20})
    with pytest.raises(hf_prune.ArgumentError, match="pass truncate=True"):
        long.prune(hf_prune.ImageTextSimilarity(clip, "picture", "caption"), keep=2)
    cut = hf_prune.ImageTextSimilarity(clip, "picture", "caption", truncate=True)
    assert len(long.prune(cut, keep=2)) == 2
