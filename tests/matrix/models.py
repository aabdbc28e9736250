"""Models of transformers, made tiny from configurations; nothing is downloaded."""

import transformers as hf

from tests import tiny_encoders
from tests.matrix.cells import ROWS

WORDS = 56
"""Words of the vocabulary; the first after the special ones name rows."""

FIRST = 5
"""Number of the word that names row 0."""

IMAGE = WORDS - 1
SMALL = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
BERT = {"vocab_size": WORDS, "max_position_embeddings": 32, "pad_token_id": 0} | SMALL
LLAMA = {"vocab_size": WORDS, "num_key_value_heads": 2, "max_position_embeddings": 64, "pad_token_id": 0} | SMALL
GPT2 = {"vocab_size": WORDS, "n_positions": 64, "n_embd": 16, "n_layer": 1, "n_head": 2, "pad_token_id": 0}
T5 = {"vocab_size": WORDS, "d_model": 16, "d_kv": 8, "d_ff": 16, "num_layers": 1, "num_heads": 2}
VISION = {"image_size": 8, "patch_size": 4} | SMALL
SPEECH = {"conv_dim": (8,), "conv_stride": (4,), "conv_kernel": (4,), "num_conv_pos_embeddings": 4} | SMALL


def tokenizer():
    """Of which the words that name rows are special, so that nothing masks them."""
    made = tiny_encoders.tokenizer(("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"))
    made.mask_token = "[MASK]"
    made.add_special_tokens({"additional_special_tokens": tiny_encoders.WORDS[:ROWS]})
    return made


def bert(kind, **options):
    return getattr(hf, f"BertFor{kind}")(hf.BertConfig(**BERT, **options))


def gpt2(kind="LMHeadModel", **options):
    return getattr(hf, f"GPT2{kind}")(hf.GPT2Config(**GPT2, **options))


def llama(kind="CausalLM", **options):
    return getattr(hf, f"LlamaFor{kind}")(hf.LlamaConfig(**LLAMA, **options))


def t5(**options):
    return hf.T5ForConditionalGeneration(hf.T5Config(decoder_start_token_id=0, **T5, **options))


def bart(kind="ConditionalGeneration", **options):
    sizes = {"d_model": 16, "encoder_layers": 1, "decoder_layers": 1, "encoder_ffn_dim": 16, "decoder_ffn_dim": 16}
    heads = {"encoder_attention_heads": 2, "decoder_attention_heads": 2}
    ids = {"pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 3, "decoder_start_token_id": 3}
    config = hf.BartConfig(vocab_size=WORDS, max_position_embeddings=32, **sizes, **heads, **ids, **options)
    return getattr(hf, f"BartFor{kind}")(config)


def llava():
    vision = hf.CLIPVisionConfig(**VISION)
    text = hf.LlamaConfig(**LLAMA)
    return hf.LlavaForConditionalGeneration(
        hf.LlavaConfig(vision_config=vision, text_config=text, image_token_index=IMAGE, vision_feature_layer=-1)
    )


def qwen():
    text = {**LLAMA, "rope_parameters": {"rope_type": "default", "mrope_section": [1, 1, 2], "rope_theta": 1e4}}
    vision = {"depth": 1, "hidden_size": 16, "num_heads": 2, "intermediate_size": 16, "out_hidden_size": 16}
    special = {"image_token_id": IMAGE, "video_token_id": IMAGE - 1}
    return hf.Qwen2_5_VLForConditionalGeneration(
        hf.Qwen2_5_VLConfig(text_config=text, vision_config=vision, **special)
    )


def captions():
    """An encoder of images before a decoder of texts."""
    decoder = hf.BertConfig(**BERT, is_decoder=True, add_cross_attention=True)
    config = hf.VisionEncoderDecoderConfig.from_encoder_decoder_configs(hf.ViTConfig(**VISION), decoder)
    config.decoder_start_token_id, config.pad_token_id = 2, 0
    return hf.VisionEncoderDecoderModel(config)


def vit(**options):
    return hf.ViTForImageClassification(hf.ViTConfig(num_labels=3, **VISION, **options))


def segformer():
    sizes = {"num_encoder_blocks": 1, "depths": [1], "sr_ratios": [1], "hidden_sizes": [16], "patch_sizes": [3]}
    sizes |= {"strides": [2], "num_attention_heads": [2], "mlp_ratios": [1], "decoder_hidden_size": 8}
    return hf.SegformerForSemanticSegmentation(hf.SegformerConfig(num_labels=3, **sizes))


def yolos():
    sizes = {**SMALL, "image_size": [8, 8], "patch_size": 4, "num_detection_tokens": 2}
    return hf.YolosForObjectDetection(hf.YolosConfig(num_labels=3, **sizes))


def wav2vec2(kind):
    config = hf.Wav2Vec2Config(
        vocab_size=WORDS, num_labels=3, num_conv_pos_embedding_groups=2, num_feat_extract_layers=1,
        mask_time_prob=0.0, classifier_proj_size=8, **SPEECH,
    )  # fmt: skip
    return getattr(hf, f"Wav2Vec2For{kind}")(config)


def whisper():
    sizes = {"d_model": 16, "encoder_layers": 1, "decoder_layers": 1, "encoder_ffn_dim": 16, "decoder_ffn_dim": 16}
    heads = {"encoder_attention_heads": 2, "decoder_attention_heads": 2, "num_mel_bins": 4}
    ids = {"pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 3, "decoder_start_token_id": 2}
    lengths = {"max_source_positions": 8, "max_target_positions": 16}
    return hf.WhisperForConditionalGeneration(hf.WhisperConfig(vocab_size=WORDS, **sizes, **heads, **ids, **lengths))
