"""Cells of the other example scripts of transformers, and of models whose labels are of no usual kind."""

from functools import partial

import numpy as np
import torch
import transformers as hf
from datasets import Dataset

from tests.matrix import data, losses, models
from tests.matrix.trainers import cell, default, translation


def clip():
    sides = {"text_config": {**models.BERT, "eos_token_id": 3}, "vision_config": models.VISION}
    return hf.CLIPModel(hf.CLIPConfig(**sides, projection_dim=8))


def images_and_texts():
    return Dataset.from_dict(data.texts(6) | {"pixel_values": data.images()}).with_format("torch")


def with_loss(rows):
    """The collate function of run_clip, which asks the model for its loss."""
    return {name: torch.stack([row[name] for row in rows]) for name in rows[0]} | {"return_loss": True}


def mask_patches():
    return hf.ViTForMaskedImageModeling(hf.ViTConfig(**models.VISION, encoder_stride=4))


def with_masks():
    patches = data.draw().integers(0, 2, (data.ROWS, 4))
    return data.with_images(bool_masked_pos=patches)


def masked(rows):
    """The collate function of run_mim."""
    return {
        "pixel_values": torch.stack([row["pixel_values"] for row in rows]),
        "bool_masked_pos": torch.stack([row["bool_masked_pos"] for row in rows]),
    }


def autoencoder():
    decoder = {"decoder_hidden_size": 16, "decoder_num_hidden_layers": 1, "decoder_num_attention_heads": 2}
    decoder |= {"decoder_intermediate_size": 16}
    return hf.ViTMAEForPreTraining(hf.ViTMAEConfig(**models.VISION, **decoder))


def only_pixels(rows):
    """The collate function of run_mae."""
    return {"pixel_values": torch.stack([row["pixel_values"] for row in rows])}


def masks():
    """A model of run_instance_segmentation."""
    backbone = hf.SwinConfig(image_size=32, patch_size=2, embed_dim=8, depths=[1, 1, 1, 1], num_heads=[1, 1, 1, 1],
                             window_size=2, out_features=["stage1", "stage2", "stage3", "stage4"])  # fmt: skip
    sizes = {"feature_size": 32, "mask_feature_size": 32, "hidden_dim": 32, "num_queries": 2, "decoder_layers": 2}
    sizes |= {"encoder_feedforward_dim": 8, "dim_feedforward": 8, "num_attention_heads": 2, "encoder_layers": 1}
    config = hf.Mask2FormerConfig(backbone_config=backbone, num_labels=3, **sizes)
    return hf.Mask2FormerForUniversalSegmentation(config)


def instances(rows):
    """The collate function of run_instance_segmentation: for each image masks and their classes."""
    return {
        "pixel_values": torch.stack([row["pixel_values"].repeat(1, 4, 4) for row in rows]),
        "mask_labels": [torch.ones(1, 32, 32) for _ in rows],
        "class_labels": [torch.tensor([1]) for _ in rows],
    }


def xlnet(kind):
    sizes = {"vocab_size": models.WORDS, "d_model": 16, "n_layer": 1, "n_head": 2, "d_inner": 16}
    return getattr(hf, f"XLNet{kind}")(hf.XLNetConfig(**sizes, start_n_top=2, end_n_top=2))


def permuting(model):
    """Of run_plm."""
    return hf.DataCollatorForPermutationLanguageModeling(models.tokenizer())


def with_answers_and_none():
    answers = data.with_answers()
    impossible = [float(row % 4 == 0) for row in range(data.ROWS)]
    return answers.add_column("is_impossible", impossible).add_column("cls_index", [0] * data.ROWS)


def electra():
    return hf.ElectraForPreTraining(hf.ElectraConfig(**models.BERT, embedding_size=16))


def with_replaced():
    labels = [[place % 3 == 0 for place in range(8)] for _ in range(data.ROWS)]
    return Dataset.from_dict(data.texts(8) | {"labels": np.array(labels, dtype=np.int64).tolist()})


def sentences_in_turn():
    rows = data.with_classes(count=2)
    return rows.rename_column("label", "labels")


def masked_and_in_turn():
    columns = data.texts(8)
    return Dataset.from_dict(columns | {"labels": columns["input_ids"], "next_sentence_label": data.classes(2)})


def forecasts():
    sizes = {"num_input_channels": 1, "context_length": 8, "patch_length": 4, "patch_stride": 4, "d_model": 8}
    sizes |= {"num_hidden_layers": 1, "num_attention_heads": 2, "ffn_dim": 8, "prediction_length": 2}
    return hf.PatchTSTForPrediction(hf.PatchTSTConfig(**sizes))


def series():
    past = data.draw().normal(size=(data.ROWS, 8, 1)).astype(np.float32)
    past[:, 0, 0] = np.arange(data.ROWS) / 64
    return Dataset.from_dict({"past_values": past, "future_values": past[:, :2]}).with_format("torch")


def videos():
    sizes = {"image_size": 8, "patch_size": 4, "num_frames": 2, "tubelet_size": 1}
    return hf.VideoMAEForVideoClassification(hf.VideoMAEConfig(num_labels=3, **sizes, **models.SMALL))


def frames():
    pixels = data.images()
    stacked = np.stack([pixels, pixels], axis=1)
    return Dataset.from_dict({"pixel_values": stacked, "label": data.classes()}).with_format("torch")


def always(collate):
    return lambda model: collate


images = partial(cell, loss=losses.none, remove_unused_columns=False)
CELLS = [
    translation("T5", "answers as texts, as run_seq2seq_qa", models.t5, label_smoothing_factor=0.0),
    cell("XLNet", "classification", partial(xlnet, "ForSequenceClassification"), partial(data.with_classes, count=2),
         losses.classes),
    cell("XLNet", "words in any order, as run_plm", partial(xlnet, "LMHeadModel"),
         lambda: Dataset.from_dict(data.texts(24)), losses.none, collate=permuting),
    cell("XLNet", "words in any order, task=\"token-classification\"", partial(xlnet, "LMHeadModel"),
         lambda: Dataset.from_dict(data.texts(24)), losses.tokens, collate=permuting, task="token-classification"),
    cell("XLNet", "answers by beams, as run_qa_beam_search", partial(xlnet, "ForQuestionAnswering"),
         with_answers_and_none, losses.none, collate=default),
    cell("BERT", "next sentence", partial(models.bert, "NextSentencePrediction"), sentences_in_turn, losses.classes),
    cell("BERT", "masked words and next sentence", partial(models.bert, "PreTraining"), masked_and_in_turn,
         losses.none, collate=default),
    cell("ELECTRA", "words that were replaced", electra, with_replaced, losses.none, collate=default),
    images("CLIP", "images and texts, as run_clip", clip, images_and_texts, collate=always(with_loss)),
    images("ViT", "masked patches, as run_mim", mask_patches, with_masks, collate=always(masked)),
    images("ViTMAE", "autoencoder, as run_mae", autoencoder, data.with_images, collate=always(only_pixels)),
    images("Mask2Former", "segmentation, as run_instance_segmentation", masks, data.with_images,
           collate=always(instances)),
    images("VideoMAE", "classification", videos, frames, loss=losses.classes, collate=default),
    images("PatchTST", "forecasts", forecasts, series, collate=default),
]  # fmt: skip
