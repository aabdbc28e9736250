"""Models of transformers, made tiny: what is recorded is what a hook of our own sees, or the error says what isn't."""

import numpy as np
import pytest
import torch
from torch import nn
from transformers import (
    BartConfig,
    BartForCausalLM,
    BertConfig,
    BertForMultipleChoice,
    BertForQuestionAnswering,
    BertForSequenceClassification,
    BertForTokenClassification,
    CLIPVisionConfig,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    MixtralConfig,
    MixtralForCausalLM,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    SegformerConfig,
    SegformerForSemanticSegmentation,
    T5Config,
    T5ForConditionalGeneration,
    Trainer,
    ViTConfig,
    ViTForImageClassification,
    Wav2Vec2Config,
    Wav2Vec2ForCTC,
)

from hf_prune import ArgumentError, PruningTrainerCallback
from tests.arguments import OF_5
from tests.recording.runs import ROWS, assert_exact, own_loss, run

WORDS, TOKENS, IMAGE = 20, 8, 19
SMALL = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
BERT = {"vocab_size": WORDS, "max_position_embeddings": 16} | SMALL
DECODER = {"vocab_size": WORDS, "num_key_value_heads": 2, "max_position_embeddings": 32} | SMALL


def draw():
    return np.random.default_rng(0)


def texts():
    tokens = draw().integers(2, WORDS - 2, (ROWS, TOKENS))
    labels = tokens.copy()
    labels[:, :3] = -100
    return {"input_ids": tokens, "labels": labels}


def shifted(kwargs, output):
    logits = output["logits"].detach()
    return own_loss(logits[:, -kwargs["labels"].shape[1] :][:, :-1], kwargs["labels"][:, 1:])


def unshifted(kwargs, output):
    return own_loss(output["logits"].detach(), kwargs["labels"])


def of_texts(kwargs, output):
    """Losses of a pass that is given no labels."""
    tokens = torch.tensor(texts()["input_ids"])
    rows = [int((tokens == row).all(dim=1).nonzero()[0]) for row in kwargs["input_ids"]]
    return own_loss(output["logits"].detach(), torch.tensor(texts()["labels"])[rows])


def llava():
    vision = CLIPVisionConfig(image_size=8, patch_size=4, **SMALL)
    config = LlavaConfig(
        vision_config=vision, text_config=LlamaConfig(**DECODER), image_token_index=IMAGE, vision_feature_layer=-1
    )
    return LlavaForConditionalGeneration(config)


def images_and_texts():
    columns = texts()
    columns["input_ids"][:, :4] = IMAGE
    return columns | {"pixel_values": draw().normal(size=(ROWS, 3, 8, 8)).astype(np.float32)}


def qwen():
    rope = {"rope_type": "default", "mrope_section": [1, 1, 2], "rope_theta": 1e4}
    text = {**DECODER, "rope_parameters" if OF_5 else "rope_scaling": rope}
    vision = {"depth": 1, "hidden_size": 16, "num_heads": 2, "intermediate_size": 16, "out_hidden_size": 16}
    special = {"image_token_id": WORDS - 1, "video_token_id": WORDS - 2, "vision_start_token_id": WORDS - 3}
    return Qwen2_5_VLForConditionalGeneration(Qwen2_5_VLConfig(text_config=text, vision_config=vision, **special))


def t5():
    sizes = {"d_model": 16, "d_kv": 8, "d_ff": 16, "num_layers": 1, "num_heads": 2}
    return T5ForConditionalGeneration(T5Config(vocab_size=WORDS, decoder_start_token_id=0, **sizes))


def gpt():
    return GPT2LMHeadModel(GPT2Config(vocab_size=WORDS, n_positions=16, n_embd=16, n_layer=1, n_head=2))


@pytest.mark.parametrize(
    ("make", "columns", "losses", "task"),
    [
        (llava, images_and_texts, shifted, "causal-lm"),
        (qwen, texts, shifted, "causal-lm"),
        (gpt, texts, shifted, "causal-lm"),
        (t5, texts, unshifted, "seq2seq"),
        (lambda: BertForTokenClassification(BertConfig(num_labels=WORDS, **BERT)), texts, unshifted, None),
    ],
    ids=["llava", "qwen-vl", "gpt2", "t5", "bert-tokens"],
)
def test_shifted_labels(make, columns, losses, task, tmp_path):
    assert_exact(make, columns(), tmp_path, losses, task=task or "token-classification")


@pytest.mark.parametrize("accumulation", [1, 3])
@pytest.mark.parametrize(("make", "columns", "losses"), [(gpt, texts, shifted), (t5, texts, unshifted)])
def test_the_loss_of_an_accumulated_step_agrees(make, columns, losses, accumulation, tmp_path, caplog):
    assert_exact(make, columns(), tmp_path, losses, gradient_accumulation_steps=accumulation)
    assert "reports" not in caplog.text


def test_a_task_that_only_the_class_says_is_said(tmp_path, caplog):
    assert_exact(
        t5, texts() | {"decoder_input_ids": texts()["input_ids"]}, tmp_path, of_texts, label_smoothing_factor=0.1
    )
    assert "the model reports no loss: it is taken for 'seq2seq' by its class" in caplog.text


def test_labels_that_the_model_does_not_shift_are_named_by_its_loss(tmp_path):
    def make():
        sizes = {"d_model": 16, "decoder_layers": 1, "decoder_attention_heads": 2, "decoder_ffn_dim": 16}
        return BartForCausalLM(BartConfig(vocab_size=WORDS, max_position_embeddings=16, **sizes))

    message = (
        r"`task`: taken for 'causal-lm', and the loss .* 'token-classification'; pass PruningTrainerCallback\(task="
    )
    with pytest.raises(ArgumentError, match=message):
        run(make(), texts(), tmp_path, unshifted, PruningTrainerCallback())
    assert_exact(make, texts(), tmp_path, unshifted, PruningTrainerCallback(task="token-classification"))


@pytest.mark.filterwarnings("ignore:.*is deprecated:FutureWarning")  # peft asks the model in the old way
def test_prompt_tuning(tmp_path):
    peft = pytest.importorskip("peft")

    def make():
        config = peft.PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=3)
        return peft.get_peft_model(gpt(), config)

    def losses(kwargs, output):
        padded = nn.functional.pad(kwargs["labels"], (3, 0), value=-100)
        return own_loss(output["logits"].detach()[:, :-1], padded[:, 1:])

    columns = texts() | {"attention_mask": np.ones((ROWS, TOKENS), dtype=int)}
    columns["labels"] = columns["input_ids"]  # also of the first token, which the prompt predicts
    assert_exact(make, columns, tmp_path, losses, task="causal-lm")


class OwnTokens(nn.Module):
    """Of whose class nobody knows whether its labels are shifted."""

    def __init__(self, shift=None):
        super().__init__()
        self.words, self.shift = nn.Embedding(WORDS, WORDS), shift

    def forward(self, input_ids, labels):
        logits = self.words(input_ids)
        if self.shift is None:
            return {"logits": logits, "unused": labels}
        ahead = labels[:, self.shift :].flatten()
        loss = nn.functional.cross_entropy(logits[:, : TOKENS - self.shift].flatten(0, 1), ahead)
        return {"loss": loss, "logits": logits}


def by_tokens(outputs, labels, num_items_in_batch=None):
    return nn.functional.cross_entropy(outputs["logits"].flatten(0, 1), labels.flatten())


def test_an_own_model_says_by_its_loss_what_it_is(tmp_path):
    assert_exact(lambda: OwnTokens(1), texts(), tmp_path, shifted, task="causal-lm")
    assert_exact(lambda: OwnTokens(0), texts(), tmp_path, unshifted, task="token-classification")


def test_an_own_model_without_a_loss_has_to_be_told(tmp_path):
    class Own(Trainer):
        def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
            return by_tokens(model(**inputs), inputs["labels"])

    message = "may be of causal-lm or token-classification, and the model reports no loss; say which"
    with pytest.raises(ArgumentError, match=message):
        run(OwnTokens(), texts(), tmp_path, unshifted, PruningTrainerCallback(), trainer=Own)
    recorder = PruningTrainerCallback(task="token-classification")
    assert_exact(OwnTokens, texts(), tmp_path, unshifted, recorder, trainer=Own)


def test_a_loss_with_further_terms_is_said(tmp_path, caplog):
    sizes = {"num_local_experts": 2, "output_router_logits": True, "router_aux_loss_coef": 0.5}
    assert_exact(lambda: MixtralForCausalLM(MixtralConfig(**DECODER, **sizes)), texts(), tmp_path, shifted)
    assert caplog.text.count("and the mean of the losses recorded, cross-entropies without weights, smoothing") == 1


def classes(labels=None):
    labels = draw().integers(0, 3, ROWS) if labels is None else labels
    return {"input_ids": draw().integers(2, WORDS, (ROWS, TOKENS)), "labels": labels}


def classifier(**options):
    return BertForSequenceClassification(BertConfig(**BERT, **options))


def binary_loss(outputs, labels, num_items_in_batch=None):
    return nn.functional.binary_cross_entropy_with_logits(outputs["logits"].reshape(-1), labels.float().reshape(-1))


def of_binary(labels):
    place = iter(np.tile(np.arange(ROWS), 9))

    def losses(kwargs, output):
        logits = output["logits"].detach().reshape(-1).double()
        rows = [next(place) for _ in logits]
        of_rows = torch.tensor(np.asarray(labels, dtype=float).reshape(-1)[rows])
        return nn.functional.binary_cross_entropy_with_logits(logits, of_rows, reduction="none").numpy()

    return losses


@pytest.mark.parametrize("shape", [(ROWS,), (ROWS, 1)])
def test_one_logit_with_a_binary_loss(shape, tmp_path):
    labels = draw().integers(0, 2, shape)
    recorder = PruningTrainerCallback()
    options = {"compute_loss_func": binary_loss}
    run(classifier(num_labels=1), classes(labels), tmp_path, of_binary(labels), recorder, **options)
    recorded = run(classifier(num_labels=1), classes(labels), tmp_path, of_binary(labels), recorder, **options)
    dynamics = recorder.dynamics
    assert dynamics.task == "binary"
    np.testing.assert_allclose(dynamics["loss"], recorded.losses, rtol=1e-5)
    np.testing.assert_allclose(dynamics["p_true"], np.exp(-recorded.losses), rtol=1e-5)
    np.testing.assert_allclose(dynamics["el2n"], 1 - dynamics["p_true"], rtol=1e-4)
    assert dynamics.labels.tolist() == labels.reshape(-1).tolist()


def test_one_logit_and_floats_that_may_be_either(tmp_path):
    labels = draw().integers(0, 2, ROWS).astype(np.float32)
    with pytest.raises(ArgumentError, match=r"may be of regression or binary, and the model reports no loss"):
        run(
            classifier(num_labels=1),
            classes(labels),
            tmp_path,
            of_binary(labels),
            PruningTrainerCallback(),
            compute_loss_func=binary_loss,
        )
    recorder = PruningTrainerCallback()
    run(classifier(num_labels=1), classes(labels), tmp_path, of_binary(labels), recorder)
    assert recorder.dynamics.task == "regression"  # the model's own loss is the squared error


def soft():
    labels = np.eye(3)[draw().integers(0, 3, ROWS)] * 0.7 + np.eye(3)[draw().integers(0, 3, ROWS)] * 0.3
    return labels[draw().permutation(ROWS)].astype(np.float32)


def of_soft(labels, of_classes):
    place = iter(np.tile(np.arange(ROWS), 9))

    def losses(kwargs, output):
        logits = output["logits"].detach().double()
        rows = torch.tensor(labels[[next(place) for _ in logits]]).double()
        if of_classes:
            return -(rows * logits.log_softmax(1)).sum(1).numpy()
        return nn.functional.binary_cross_entropy_with_logits(logits, rows, reduction="none").mean(1).numpy()

    return losses


def soft_loss(outputs, labels, num_items_in_batch=None):
    return nn.functional.cross_entropy(outputs["logits"], labels)


@pytest.mark.parametrize("problem", [None, "multi_label_classification"])
def test_soft_labels(problem, tmp_path):
    labels, recorder = soft(), PruningTrainerCallback(task="soft-label")
    make = lambda: classifier(num_labels=3, problem_type=problem)  # noqa: E731
    options = {"compute_loss_func": soft_loss}
    recorded = run(make(), classes(labels), tmp_path, of_soft(labels, True), recorder, **options)
    np.testing.assert_allclose(recorder.dynamics["loss"], recorded.losses, rtol=1e-5)
    with pytest.raises(ArgumentError, match="may be of soft-label or multi-label, and the model reports no loss"):
        run(make(), classes(labels), tmp_path, of_soft(labels, True), PruningTrainerCallback(), **options)


def test_soft_labels_of_a_model_that_trains_them_one_by_one(tmp_path):
    labels, recorder = soft(), PruningTrainerCallback()
    make = classifier(num_labels=3)
    recorded = run(make, classes(labels), tmp_path, of_soft(labels, False), recorder)
    assert recorder.dynamics.task == "multi-label"
    np.testing.assert_allclose(recorder.dynamics["loss"], recorded.losses, rtol=1e-5)


def test_several_numbers_a_row(tmp_path):
    model = classifier(num_labels=3, problem_type="regression")
    with pytest.raises(ArgumentError, match="a regression of 3 numbers a row can't be recorded"):
        run(model, classes(soft()), tmp_path, of_soft(soft(), False), PruningTrainerCallback())


def test_answers_in_texts(tmp_path):
    columns = classes()
    del columns["labels"]
    columns |= {"start_positions": draw().integers(0, TOKENS, ROWS), "end_positions": draw().integers(0, TOKENS, ROWS)}
    columns["end_positions"][2] = TOKENS + 3  # not in the text: the model leaves it out

    def losses(kwargs, output):
        parts = []
        for logits, name in ((output["start_logits"], "start_positions"), (output["end_logits"], "end_positions")):
            labels = kwargs[name].masked_fill(kwargs[name] >= TOKENS, -100)
            parts.append(own_loss(logits.detach(), labels))
        return np.nanmean(parts, axis=0)

    recorder = assert_exact(lambda: BertForQuestionAnswering(BertConfig(**BERT)), columns, tmp_path, losses)
    assert recorder.dynamics.task == "question-answering"


def test_multiple_choice_with_features(tmp_path):
    columns = {"input_ids": draw().integers(2, WORDS, (ROWS, 3, TOKENS)), "labels": draw().integers(0, 3, ROWS)}
    recorder = PruningTrainerCallback(features="classifier")
    make = lambda: BertForMultipleChoice(BertConfig(**BERT, hidden_dropout_prob=0.0))  # noqa: E731
    assert_exact(make, columns, tmp_path, unshifted, recorder, task="multiple-choice")
    assert recorder.dynamics.features["last"].shape == (ROWS, 16)


def test_labels_in_a_column(tmp_path):
    recorder = PruningTrainerCallback()
    labels = draw().integers(0, 3, (ROWS, 1))

    def losses(kwargs, output):
        return own_loss(output["logits"].detach(), kwargs["labels"].reshape(-1))

    assert_exact(lambda: classifier(num_labels=3), classes(labels), tmp_path, losses, recorder, task="single-label")
    assert recorder.dynamics.labels.tolist() == labels[:, 0].tolist()


def test_images(tmp_path):
    columns = {"pixel_values": draw().normal(size=(ROWS, 3, 8, 8)).astype(np.float32)}
    columns["labels"] = draw().integers(0, 3, ROWS)
    make = lambda: ViTForImageClassification(ViTConfig(image_size=8, patch_size=4, num_labels=3, **SMALL))  # noqa: E731
    recorder = assert_exact(make, columns, tmp_path, unshifted, PruningTrainerCallback(features=True))
    assert recorder.dynamics.features["last"].shape == (ROWS, 16)


def speech():
    sizes = {"conv_dim": (8,), "conv_stride": (4,), "conv_kernel": (4,), "num_conv_pos_embeddings": 4}
    return Wav2Vec2ForCTC(Wav2Vec2Config(vocab_size=WORDS, num_conv_pos_embedding_groups=2, **SMALL, **sizes))


def segments():
    sizes = {"num_encoder_blocks": 1, "depths": [1], "sr_ratios": [1], "hidden_sizes": [16], "patch_sizes": [3]}
    sizes |= {"strides": [2], "num_attention_heads": [2], "mlp_ratios": [1], "decoder_hidden_size": 8}
    return SegformerForSemanticSegmentation(SegformerConfig(num_labels=3, **sizes))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (speech, "can't record Wav2Vec2ForCTC: the labels of CTC are sequences that no token's logits belong to"),
        (segments, "can't record SegformerForSemanticSegmentation: segmentation has a label for each pixel"),
    ],
)
def test_what_is_refused_at_the_start(make, message, tmp_path):
    values = draw().normal(size=(ROWS, 64)).astype(np.float32)
    columns = {"input_values": values, "labels": draw().integers(1, WORDS, (ROWS, 4))}
    if make is segments:
        pixels = draw().normal(size=(ROWS, 3, 8, 8)).astype(np.float32)
        columns = {"pixel_values": pixels, "labels": draw().integers(0, 3, (ROWS, 8, 8))}
    passes = []
    with pytest.raises(ArgumentError, match=message):
        run(make(), columns, tmp_path, lambda *_: passes.append(1), PruningTrainerCallback())
    assert not passes


def test_boxes_are_refused(tmp_path):
    """DETR itself needs timm; its collate function is what any detector has."""

    def collate(rows):
        return {
            "input_ids": torch.tensor([row["input_ids"] for row in rows]),
            "labels": [{"boxes": torch.zeros(1, 4), "class_labels": torch.zeros(1)} for _ in rows],
        }

    with pytest.raises(ArgumentError, match="wants labels in one tensor, got a list: the labels of detection"):
        run(classifier(num_labels=3), classes(), tmp_path, unshifted, PruningTrainerCallback(), collate=collate)


class Flattening:
    def __call__(self, rows):
        tokens = [token for row in rows for token in row["input_ids"]]
        return {"input_ids": torch.tensor([tokens]), "labels": torch.tensor([tokens])}


def test_padding_free_batches_are_refused(tmp_path):
    with pytest.raises(ArgumentError, match=r"makes one long row \(padding-free, flattened or packed ones\)"):
        run(gpt(), texts(), tmp_path, shifted, PruningTrainerCallback(), collate=Flattening())
