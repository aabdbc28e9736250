"""Runs of TRL's trainers on tiny data, with a witness that makes a pass with all logits before each training pass."""

import numpy as np
import torch
import trl
from datasets import Dataset
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    LlamaForSequenceClassification,
    MixtralConfig,
    MixtralForCausalLM,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
)

ROWS = 13
WORDS = ["<pad>", "<end>", "<unk>", "<user>", "<assistant>", *"abcdefghijklmn"]
TEMPLATE = (
    "{% for message in messages %}{{ '<' + message['role'] + '> ' }}{% if message['role'] == 'assistant' %}"
    "{% generation %}{{ message['content'] + ' <end> ' }}{% endgeneration %}{% else %}{{ message['content'] + ' ' }}"
    "{% endif %}{% endfor %}{% if add_generation_prompt %}{{ '<assistant> ' }}{% endif %}"
)
SMALL = {"vocab_size": len(WORDS), "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
SMALL |= {"num_key_value_heads": 2, "intermediate_size": 16, "max_position_embeddings": 32, "pad_token_id": 0}


def llama():
    return LlamaForCausalLM(LlamaConfig(**SMALL, initializer_range=0.5))


def qwen():
    return Qwen2ForCausalLM(Qwen2Config(**SMALL, tie_word_embeddings=True, initializer_range=0.5))


def gpt():
    dropouts = {"resid_pdrop": 0, "embd_pdrop": 0, "attn_pdrop": 0}  # a second pass must have the first one's values
    sizes = {"n_positions": 32, "n_embd": 16, "n_layer": 1, "n_head": 2, "initializer_range": 0.5}
    return GPT2LMHeadModel(GPT2Config(vocab_size=len(WORDS), **sizes, **dropouts))


def mixtral():
    sizes = {"num_local_experts": 2, "output_router_logits": True, "router_aux_loss_coef": 0.5}
    return MixtralForCausalLM(MixtralConfig(**SMALL, **sizes, initializer_range=0.5))


def judge():
    return LlamaForSequenceClassification(LlamaConfig(**SMALL, num_labels=1))


def a_tokenizer():
    words = Tokenizer(WordLevel({word: number for number, word in enumerate(WORDS)}, unk_token="<unk>"))
    words.pre_tokenizer = WhitespaceSplit()
    special = {"pad_token": "<pad>", "eos_token": "<end>", "unk_token": "<unk>"}
    return PreTrainedTokenizerFast(tokenizer_object=words, chat_template=TEMPLATE, **special)


def sentences(seed):
    rng = np.random.default_rng(seed)
    return [" ".join(rng.choice(WORDS[5:], rng.integers(3, 9))) for _ in range(ROWS)]


def texts():
    return Dataset.from_dict({"text": [f"{sentence} <end>" for sentence in sentences(0)]})


def answers():
    prompts = [f"{sentence} " for sentence in sentences(0)]
    return Dataset.from_dict({"prompt": prompts, "completion": [f"{answer} <end>" for answer in sentences(1)]})


def chats():
    messages = [
        [{"role": "user", "content": asked}, {"role": "assistant", "content": answer}] * 2
        for asked, answer in zip(sentences(0), sentences(1), strict=True)
    ]
    return Dataset.from_dict({"messages": messages})


def labelled_tokens(logits, labels):
    """Signals of one row from its (tokens, words) logits and labels, apart from anything that the library computes."""
    logits, labels = logits[:-1][labels[1:] != -100].double(), labels[1:][labels[1:] != -100]
    p, places = logits.softmax(1), torch.arange(len(labels))
    others = logits.clone()
    others[places, labels] = -torch.inf
    one_hot = torch.nn.functional.one_hot(labels, logits.shape[1])
    of_tokens = {
        "loss": -logits.log_softmax(1)[places, labels],
        "p_true": p[places, labels],
        "margin": logits[places, labels] - others.amax(1),
        "correct": (logits.argmax(1) == labels).double(),
        "el2n": (p - one_hot).norm(dim=1),
    }
    return {name: float(values.mean()) for name, values in of_tokens.items()}


class Witnessed(trl.SFTTrainer):
    """Before each training pass a pass by the model's own class, with all logits; rows are told by their tokens."""

    def compute_loss(self, model, inputs, *args, **kwargs):
        bare = model.get_base_model() if hasattr(model, "get_base_model") else model
        if model.training and "attention_mask" in inputs:
            given = {name: inputs[name] for name in ("input_ids", "attention_mask")}
            with torch.no_grad():
                output = type(bare).forward(bare, **given)  # TRL gives the instance a forward of its own
            real = given["attention_mask"].bool()
            for row, tokens in enumerate(given["input_ids"]):
                seen = labelled_tokens(output.logits[row][real[row]].float(), inputs["labels"][row][real[row]])
                self.__dict__.setdefault("seen", []).append((tuple(tokens[real[row]].tolist()), seen))
        return super().compute_loss(model, inputs, *args, **kwargs)

    def of_rows(self, signal):
        """(epochs, n) values."""
        places = {tuple(ids): place for place, ids in enumerate(self.train_dataset["input_ids"])}
        assert len(places) == len(self.train_dataset)
        values = np.full((2, len(places)), np.nan)
        for number, (tokens, seen) in enumerate(self.seen):
            values[number // len(places), places[tokens]] = seen[signal]
        return values


def train(make, data, folder, *recorders, peft_config=None, compute_loss_func=None, goes_on=None, **options):
    arguments = {
        "output_dir": str(folder),
        "num_train_epochs": 2,
        "per_device_train_batch_size": 4,
        "learning_rate": 0.01,
        "save_strategy": "no",
        "logging_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
        "use_cpu": True,
        "bf16": False,
        "dataloader_pin_memory": False,
    }
    torch.manual_seed(0)
    trainer = Witnessed(
        model=make(),
        args=trl.SFTConfig(**arguments | options),
        train_dataset=data,
        processing_class=a_tokenizer(),
        callbacks=list(recorders),
        peft_config=peft_config,
        compute_loss_func=compute_loss_func,
    )
    trainer.train(resume_from_checkpoint=goes_on)
    return trainer


def lora():
    from peft import LoraConfig

    return LoraConfig(r=2, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM")


def by_tokens(outputs, labels, num_items_in_batch=None):
    return torch.nn.functional.cross_entropy(outputs.logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten())


def pairs():
    columns = {"prompt": sentences(0), "chosen": sentences(1), "rejected": sentences(2)}
    return Dataset.from_dict({name: [f"{text} " for text in column] for name, column in columns.items()})


def other(kind, data, folder, *recorders, module=trl, given=None, model=None, **options):
    """Another trainer than that of answers, as `DPO`."""
    silent = {"save_strategy": "no", "logging_strategy": "no", "report_to": "none", "disable_tqdm": True}
    arguments = {"output_dir": str(folder), "use_cpu": True, "bf16": False, "num_train_epochs": 1, **silent, **options}
    torch.manual_seed(0)
    return getattr(module, f"{kind}Trainer")(
        model=llama() if model is None else model,
        args=getattr(module, f"{kind}Config")(**arguments),
        train_dataset=data,
        processing_class=a_tokenizer(),
        callbacks=list(recorders),
        **(given or {}),
    )
