"""Tiny encoders: checkpoints written from configs, so that nothing is downloaded, and their vectors by hand."""

import json
from pathlib import Path

import numpy as np

WORDS = [f"word{number}" for number in range(50)]
LONGEST = 16
"""Tokens that the text encoders take."""
TEXTS = ["word1 word2", "word3", "word1 word2 word3 word4", "word5 word6", "word7"]


class Counting:
    """An encoder that knows which values it has seen."""

    def __init__(self, d=2):
        self.seen, self.d = [], d

    def __call__(self, values):
        self.seen += values
        return [[len(value), *range(self.d - 1)] for value in values]

    def __reduce__(self):  # what it has seen doesn't make it another encoder
        return Counting, (self.d,)


def hidden_states(folder, texts):
    """Returns for each text the (tokens, d) output of the model for it alone, without padding."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    model, tokenizer = AutoModel.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)
    with torch.no_grad():
        return [model(**tokenizer(text, return_tensors="pt")).last_hidden_state[0].numpy() for text in texts]


def token_means(folder, texts):
    return np.stack([states.mean(0) for states in hidden_states(folder, texts)])


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
        tokenizer_object=words,
        pad_token="[PAD]",
        unk_token="[UNK]",
        eos_token="[SEP]",
        model_max_length=LONGEST,
        model_input_names=["input_ids", "attention_mask"],
    )


def bert(folder, seed=0):
    import torch
    from transformers import BertConfig, BertModel

    torch.manual_seed(seed)
    BertModel(_text_config(BertConfig)).save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return str(folder)


def sentence_bert(folder, *, pooling="pooling_mode_mean_tokens", normalize=True, more=None, settings=None, **reading):
    """Saves a BERT the way sentence-transformers does.

    Args:
        pooling: the mode that is on in the settings of old versions, or the settings themselves.
        more: the type of a module to add at the end.
        settings: of the whole model, such as its prompts.
        **reading: how the transformer reads, with max_seq_length=8 by default.
    """
    bert(folder)
    modules = [("", "Transformer"), ("1_Pooling", "Pooling")]
    modules += [("2_Normalize", "Normalize")] * normalize + ([("3_More", more)] if more else [])
    named = [
        {"idx": number, "name": str(number), "path": path, "type": f"sentence_transformers.models.{name}"}
        for number, (path, name) in enumerate(modules)
    ]
    pooling = pooling if isinstance(pooling, dict) else {pooling: True}
    files = {
        "modules.json": named,
        "config_sentence_transformers.json": settings or {},
        "sentence_bert_config.json": {"max_seq_length": 8, **reading},
        "1_Pooling/config.json": {"word_embedding_dimension": 16, **pooling},
    }
    (Path(folder) / "1_Pooling").mkdir()
    for name, content in files.items():
        (Path(folder) / name).write_text(json.dumps(content))
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
