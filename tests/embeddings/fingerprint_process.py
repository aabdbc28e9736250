"""Run by test_fingerprint.py in processes of its own: `fingerprint_process.py FOLDER`.

Writes, as JSON, the fingerprints of encoders that are made anew, and again of what a pickle or a checkpoint of them
gives back. FOLDER holds `own_code.py`, which one of them imports.
"""

import copy
import functools
import json
import pickle
import sys
import threading
from itertools import chain
from pathlib import Path

import torch
from datasets import Dataset
from torch import nn
from transformers import (
    AutoModel,
    BertConfig,
    BertForSequenceClassification,
    GPT2Config,
    GPT2LMHeadModel,
    PreTrainedTokenizerFast,
    Trainer,
    TrainingArguments,
)

from hf_prune.embeddings.fingerprint import fingerprint
from tests import tiny_encoders

LETTERS = {"a", "b", "c", "x", "y", "z"}
SIZE = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16}


class Plain(nn.Module):
    """Holds what a hash seed puts in another order, and what each process has another of."""

    def __init__(self):
        super().__init__()
        self.layer, self.device = nn.Linear(3, 3), torch.device("cuda", len(threading.enumerate()) % 2)
        self.of_letters = {letter: frozenset((letter, "q", (letter, 1))) for letter in LETTERS}
        self.classes, self.layers = {nn.Linear, nn.GELU, Plain}, {nn.Linear(2, 2): "one", nn.GELU(): "two"}
        self.itself = [self]

    @functools.cached_property
    def size(self):
        return self.layer.weight.numel()

    def forward(self, x):
        return self.layer(x) * self.size if "a" in {"a", "b", "c"} else x


def trained(model, rows, folder):
    arguments = TrainingArguments(
        folder, max_steps=2, per_device_train_batch_size=4, report_to="none", use_cpu=True, disable_tqdm=True
    )
    trainer = Trainer(model, arguments, train_dataset=Dataset.from_dict(rows))
    trainer.train()
    trainer.save_model(folder / "saved")
    return trainer.model


def of_transformers(folder):
    tokens = [[number % 50, 3, 4] for number in range(8)]
    bert = BertForSequenceClassification(BertConfig(vocab_size=60, **SIZE))
    bert = trained(bert, {"input_ids": tokens, "labels": [0, 1] * 4}, folder / "bert")
    gpt2 = GPT2LMHeadModel(GPT2Config(vocab_size=60, n_embd=16, n_layer=1, n_head=2, bos_token_id=0, eos_token_id=0))
    gpt2 = trained(gpt2, {"input_ids": tokens, "labels": tokens}, folder / "gpt2")
    yield "trained", bert, type(bert).from_pretrained(folder / "bert" / "saved")
    yield "language model", gpt2, type(gpt2).from_pretrained(folder / "gpt2" / "saved")

    bert.bert.embeddings.register_forward_hook(lambda module, args, output: output * ("a" in LETTERS))
    bert.register_forward_pre_hook(functools.partial(print, LETTERS), with_kwargs=True)
    yield "with hooks", bert, copy.deepcopy(bert)

    tokenizer = tiny_encoders.tokenizer()
    tokenizer.save_pretrained(folder)
    tokenizer(["word1", "word2 word3"], padding=True, truncation=True, max_length=3)
    yield "tokenizer", tokenizer, PreTrainedTokenizerFast.from_pretrained(folder)

    def encode(texts):
        batch = tokenizer(texts, padding=True, return_tensors="pt")
        return gpt2(**batch).last_hidden_state[:, 0] if "a" in LETTERS else None

    yield "function of a model", encode, copy.deepcopy(encode)


def with_adapter(folder):
    import peft

    def adapted():
        torch.manual_seed(0)
        model = AutoModel.from_pretrained(tiny_encoders.bert(folder / "base"))
        config = peft.LoraConfig(target_modules=["value", "query"], init_lora_weights=False)
        return peft.get_peft_model(model, config)

    model = adapted()
    model.save_pretrained(folder / "adapter")
    base = AutoModel.from_pretrained(folder / "base")
    yield "adapter", model, adapted()
    yield "adapter that is loaded", peft.PeftModel.from_pretrained(base, folder / "adapter"), pickled(model)


def of_ones_own():
    def late(texts):
        import own_code

        return own_code.count(texts, "x" in LETTERS)

    import own_code

    plain = Plain()
    assert plain.size == 9
    yield "plain", plain, pickled(plain)
    yield "late import", late, late
    yield "function that imports", functools.partial(own_code.count, more=LETTERS), own_code.count_again
    yield "method", own_code.Encoder(LETTERS).encode, pickled(own_code.Encoder(LETTERS).encode)


def pickled(thing):
    return pickle.loads(pickle.dumps(thing))


def main(folder):
    torch.set_num_threads(1)
    torch.manual_seed(0)
    sys.path.insert(0, str(folder))
    made = folder / "made"
    kinds = {}
    for kind, thing, again in chain(of_transformers(made), with_adapter(made), of_ones_own()):
        kinds[kind] = [fingerprint("encoder", one) for one in (thing, thing, again)]
    print(json.dumps(kinds))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
