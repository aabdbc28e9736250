"""Checkpoints of tiny encoders, written from configs: nothing is downloaded."""

import json
from pathlib import Path

WORDS = [f"word{number}" for number in range(50)]
LONGEST = 16
"""Tokens that the text encoders take."""


def tokenizer(specials=("[PAD]", "[UNK]", "[CLS]", "[SEP]")):
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    vocabulary = {word: number for number, word in enumerate([*specials, *WORDS])}
    words = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    words.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", vocabulary["[CLS]"]), ("[SEP]", vocabulary["[SEP]"])]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=words, pad_token="[PAD]", unk_token="[UNK]", eos_token="[SEP]", model_max_length=LONGEST
    )


def bert(folder, seed=0):
    import torch
    from transformers import BertConfig, BertModel

    torch.manual_seed(seed)
    BertModel(_text_config(BertConfig)).save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return str(folder)


def sentence_bert(folder, *, pooling="pooling_mode_mean_tokens", normalize=True, longest=8, extra=None):
    """As sentence-transformers saves it."""
    bert(folder)
    modules = [("", "Transformer"), ("1_Pooling", "Pooling")]
    modules += [("2_Normalize", "Normalize")] * normalize + ([("3_More", extra)] if extra else [])
    named = [{"path": path, "type": f"sentence_transformers.models.{name}"} for path, name in modules]
    (Path(folder) / "modules.json").write_text(json.dumps(named))
    (Path(folder) / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": longest}))
    (Path(folder) / "1_Pooling").mkdir()
    (Path(folder) / "1_Pooling" / "config.json").write_text(
        json.dumps({pooling: True, "word_embedding_dimension": 16})
    )
    return str(folder)


def vit(folder):
    import torch
    from transformers import ViTConfig, ViTImageProcessor, ViTModel

    torch.manual_seed(0)
    size = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    ViTModel(ViTConfig(image_size=8, patch_size=4, **size), add_pooling_layer=False).save_pretrained(folder)
    ViTImageProcessor(size={"height": 8, "width": 8}).save_pretrained(folder)
    return str(folder)


def clip(folder):
    import torch
    from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel

    torch.manual_seed(0)
    size = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    text = size | {"vocab_size": 60, "max_position_embeddings": LONGEST, "eos_token_id": 3, "bos_token_id": 2}
    image = size | {"image_size": 8, "patch_size": 4}
    CLIPModel(CLIPConfig(text_config=text, vision_config=image, projection_dim=12)).save_pretrained(folder)
    CLIPImageProcessor(size={"shortest_edge": 8}, crop_size={"height": 8, "width": 8}).save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return str(folder)


def _text_config(cls):
    return cls(
        vocab_size=4 + len(WORDS),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=LONGEST,
    )
