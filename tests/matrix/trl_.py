"""Cells of TRL's trainers: that of answers is recorded, those that compare or generate answers are refused by name."""

from functools import partial
from importlib import import_module

import torch

from hf_prune import PruningTrainerCallback
from tests.matrix.cells import Cell, Run, weights_of


def runs():
    """The runs of the recorder's tests; TRL is an extra."""
    return import_module("tests.recording.trl_witness")


def supervised(make, data, recorders, folder, *, lora=False, compute=None, clean=False, **options):
    parts = runs()
    adapter = parts.lora() if lora else None
    rows, model = getattr(parts, data)(), getattr(parts, make)
    run = parts.train(model, rows, folder, *recorders, peft_config=adapter, compute_loss_func=compute, **options)
    return Run(weights_of(run.model), lambda: run.of_rows("loss"))


def by_tokens(outputs, labels, num_items_in_batch=None):
    return runs().by_tokens(outputs, labels)


def others(kind, data, recorders, folder, *, module="trl", model="llama", given=dict, **options):
    parts = runs()
    where = import_module(module)
    trainer = parts.other(kind, data(parts), folder, *recorders, module=where, model=getattr(parts, model)(),
                          given=given(), **options)  # fmt: skip
    trainer.train()
    return Run(weights_of(trainer.model), None)


def pairs(parts):
    return parts.pairs()


def judged(parts):
    rows = parts.answers()
    return rows.add_column("label", [row % 2 == 0 for row in range(len(rows))])


def chats(parts):
    return parts.chats()


def prompts(parts):
    return parts.answers().select_columns("prompt")


def reference():
    return {"ref_model": runs().llama()}


def rewards():
    return {"reward_funcs": lambda completions, **_: [float(len(answer)) for answer in completions]}


def teacher():
    torch.manual_seed(1)
    return {"teacher_model": runs().llama()}


def cell(trainer, model, setting, train, needs="trl"):
    return Cell(f"TRL's {trainer}", model, setting, train, PruningTrainerCallback, needs)


def sft(model, setting, make, data, *, needs="trl", **options):
    return cell("SFTTrainer", model, setting, partial(supervised, make, data, **options), needs)


def refused(kind, setting, data, **options):
    return cell(f"{kind}Trainer", "Llama", setting, partial(others, kind, data, **options))


experimental = "trl.experimental."
generating = {"num_generations": 2, "max_completion_length": 4, "per_device_train_batch_size": 4, "max_steps": 1}
CELLS = [
    sft("Llama", "texts, by default", "llama", "texts"),
    sft("GPT-2", "answers to prompts", "gpt", "answers"),
    sft("Qwen2", "prompts and answers, completion_only_loss=False", "qwen", "answers", completion_only_loss=False),
    sft("Qwen2", "chats, assistant_only_loss=True", "qwen", "chats", assistant_only_loss=True),
    sft("Llama", "answers to prompts, LoRA", "llama", "answers", lora=True, needs="peft"),
    sft("GPT-2", "texts, cut, gradient accumulation", "gpt", "texts", gradient_accumulation_steps=3, max_length=6),
    sft("Llama", "chats, loss_type=\"dft\"", "llama", "chats", loss_type="dft"),
    sft("Llama", "answers to prompts, label smoothing", "llama", "answers", label_smoothing_factor=0.1),
    sft("Llama", "answers to prompts, a loss of one's own", "llama", "answers", compute=by_tokens),
    sft("Mixtral", "texts, a loss of its router", "mixtral", "texts"),
    sft("Llama", "texts, packing=True", "llama", "texts", packing=True),
    sft("Llama", "texts, packing_strategy=\"wrapped\"", "llama", "texts", packing=True, packing_strategy="wrapped"),
    sft("Llama", "texts, padding_free=True", "llama", "texts", padding_free=True, max_length=None),
    sft("Llama", "texts, shuffle_dataset=True", "llama", "texts", shuffle_dataset=True),
    refused("DPO", "by default", pairs, given=reference),
    refused("DPO", "precompute_ref_log_probs=True", pairs, precompute_ref_log_probs=True),
    refused("Reward", "by default", pairs, model="judge"),
    refused("KTO", "by default", judged, given=reference),
    refused("CPO", "by default", pairs, module=experimental + "cpo"),
    refused("ORPO", "by default", pairs, module=experimental + "orpo"),
    refused("GRPO", "by default", prompts, given=rewards, **generating),
    refused("RLOO", "beta=0", prompts, given=rewards, beta=0, **generating),
    refused("OnlineDPO", "by default", prompts, module=experimental + "online_dpo", given=rewards, max_new_tokens=4,
            max_steps=1),
    refused("GKD", "by default", chats, module=experimental + "gkd", given=teacher, max_new_tokens=4, max_steps=1),
    refused("Distillation", "by default", prompts, given=teacher, max_steps=1),
]  # fmt: skip
