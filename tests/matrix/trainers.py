"""Cells of transformers' Trainers: models, collate functions and arguments as its example scripts have them."""

from functools import partial

import torch
import transformers as hf
from torch.nn import functional

from hf_prune import PruningTrainerCallback
from tests.arguments import BY_LENGTH
from tests.matrix import data, losses, models
from tests.matrix.cells import EPOCHS, Cell, Run, Witness, weights_of


def train(make, rows, loss, recorders, folder, *, trainer=hf.Trainer, collate=None, compute=None, **options):
    """Train what `make` makes on the rows."""
    model, dataset = make(), rows()
    witness = Witness(model, data.rows_of, partial(of_batch, loss, dataset))
    of_seq2seq = issubclass(trainer, hf.Seq2SeqTrainer)
    arguments = (hf.Seq2SeqTrainingArguments if of_seq2seq else hf.TrainingArguments)(
        **{
            "output_dir": str(folder),
            "num_train_epochs": EPOCHS,
            "per_device_train_batch_size": 4,
            "learning_rate": 0.01,
            "save_strategy": "no",
            "logging_strategy": "no",
            "report_to": "none",
            "disable_tqdm": True,
            "use_cpu": True,
            "dataloader_pin_memory": False,
            **options,
        }
    )
    evaluated = {"eval_dataset": dataset} if "eval_strategy" in options else {}
    collator = collate(model) if collate else hf.DataCollatorWithPadding(models.tokenizer())
    trainer(
        model, arguments, collator, dataset, callbacks=recorders, compute_loss_func=compute, **evaluated
    ).train()  # fmt: skip
    return Run(weights_of(model), witness.losses)


def of_batch(loss, dataset, kwargs, output, rows):
    """Losses by the labels that the model got, or by the dataset's where the Trainer has a loss of its own."""
    if loss is losses.none:
        return torch.zeros(len(rows))
    if loss is losses.answers:
        return loss(output, (kwargs["start_positions"], kwargs["end_positions"]))
    labels = kwargs.get("labels")
    if labels is None:
        column = dataset["labels" if "labels" in dataset.column_names else "label"]
        known = [torch.as_tensor(column[int(row)]) for row in rows]
        if known[0].ndim and loss in (losses.tokens, losses.next_tokens):
            longest = output["logits"].shape[1]
            known = [functional.pad(each, (0, longest - len(each)), value=losses.IGNORED) for each in known]
        labels = torch.stack(known)
    return loss(output, labels)


def default(model):
    return hf.default_data_collator


def tagging(model):
    return hf.DataCollatorForTokenClassification(models.tokenizer())


def choosing(model):
    return hf.DataCollatorForMultipleChoice(models.tokenizer())


def masking(model):
    return hf.DataCollatorForLanguageModeling(models.tokenizer(), mlm_probability=0.5)


def following(model):
    return hf.DataCollatorForLanguageModeling(models.tokenizer(), mlm=False)


def translating(model):
    return hf.DataCollatorForSeq2Seq(models.tokenizer(), model=model)


def flattening(model):
    return hf.DataCollatorWithFlattening()


def stacking(model):
    return lambda rows: data.stacked(rows)


def boxing(model):
    return data.boxes


def binary_loss(outputs, labels, num_items_in_batch=None):
    return functional.binary_cross_entropy_with_logits(outputs["logits"].reshape(-1), labels.float().reshape(-1))


def soft_loss(outputs, labels, num_items_in_batch=None):
    return functional.cross_entropy(outputs["logits"], labels)


class Unnamed(hf.Trainer):
    """Hands its model a part of the batch by name, and computes the loss itself."""

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        output = model(input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"])
        loss = functional.cross_entropy(output["logits"], inputs["labels"])
        return (loss, output) if return_outputs else loss


class OfPart(hf.Trainer):
    """Calls a part of the model."""

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        hidden = model.bert(inputs["input_ids"], inputs["attention_mask"])["pooler_output"]
        return functional.cross_entropy(model.classifier(hidden), inputs["labels"])


def peft(kind):
    import peft as library

    made = {
        "LoRA": lambda: library.LoraConfig(task_type="CAUSAL_LM", target_modules=["c_attn"], r=2),
        "prompt tuning": lambda: library.PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=3),
    }
    return library.get_peft_model(models.gpt2(), made[kind]())


def cell(model, setting, make, rows, loss, *, of="Trainer", needs=None, task=None, **options):
    trainers = {"Trainer": hf.Trainer, "Seq2SeqTrainer": hf.Seq2SeqTrainer}
    options = {"trainer": trainers[of]} | options
    recorder = partial(PruningTrainerCallback, task=task)
    return Cell(f"transformers' {of}", model, setting, partial(train, make, rows, loss, **options), recorder, needs)


three = partial(models.bert, "SequenceClassification", num_labels=3)
one = partial(models.bert, "SequenceClassification", num_labels=1)
glue = partial(cell, "BERT", make=three, rows=data.with_classes, loss=losses.classes)
answering = partial(models.bert, "QuestionAnswering")
translation = partial(cell, rows=data.translations, loss=losses.tokens, of="Seq2SeqTrainer", collate=translating)

ENCODERS = [
    glue(setting="classification, as run_glue"),
    glue(setting="label smoothing", label_smoothing_factor=0.1),
    glue(setting="gradient accumulation", gradient_accumulation_steps=2),
    glue(setting="batches of rows of one length", **BY_LENGTH),
    glue(setting="two workers", dataloader_num_workers=2),
    glue(setting="columns that are not removed", remove_unused_columns=False),
    glue(setting="bfloat16 by autocast", bf16=True),
    glue(setting="evaluation every epoch", eval_strategy="epoch"),
    glue(setting="evaluation at the start", eval_strategy="epoch", eval_on_start=True),
    glue(setting="gradient checkpointing", gradient_checkpointing=True),
    glue(setting="a compute_loss that passes inputs by name", trainer=Unnamed),
    glue(setting="a compute_loss that calls a part of the model", trainer=OfPart),
    cell("BERT", "regression, as run_glue of STS-B", one, data.with_numbers, losses.number),
    cell("BERT", "one logit with a binary loss", one, partial(data.with_classes, count=2), losses.binary,
         compute=binary_loss),
    cell("BERT", "several labels a row",
         partial(models.bert, "SequenceClassification", num_labels=3, problem_type="multi_label_classification"),
         data.with_several, losses.several),
    cell("BERT", "soft labels, task unsaid", three, data.with_distributions, losses.soft, compute=soft_loss),
    cell("BERT", "soft labels, task=\"soft-label\"", three, data.with_distributions, losses.soft, compute=soft_loss,
         task="soft-label"),
    cell("BERT", "tokens, as run_ner", partial(models.bert, "TokenClassification", num_labels=3), data.with_tags,
         losses.tokens, collate=tagging),
    cell("BERT", "tokens, label smoothing", partial(models.bert, "TokenClassification", num_labels=3), data.with_tags,
         losses.tokens, collate=tagging, label_smoothing_factor=0.1),
    cell("BERT", "answers, as run_qa", answering, data.with_answers, losses.answers, collate=default),
    cell("BERT", "multiple choice, as run_swag", partial(models.bert, "MultipleChoice"), data.with_choices,
         losses.classes, collate=choosing),
    cell("BERT", "masked words, as run_mlm", partial(models.bert, "MaskedLM"), data.plain_texts, losses.tokens,
         collate=masking),
]  # fmt: skip

clm = partial(cell, rows=data.blocks, loss=losses.next_tokens, collate=default)
DECODERS = [
    clm("GPT-2", "language model, as run_clm", models.gpt2),
    clm("GPT-2", "language model, gradient accumulation", models.gpt2, gradient_accumulation_steps=2),
    clm("GPT-2", "language model, label smoothing", models.gpt2, label_smoothing_factor=0.1),
    clm("GPT-2", "language model, padded", models.gpt2, rows=data.plain_texts, collate=following),
    clm("GPT-2", "language model, padding-free", models.gpt2, rows=data.plain_texts, collate=flattening,
        loss=losses.none),
    clm("GPT-2", "LoRA", partial(peft, "LoRA"), needs="peft"),
    clm("GPT-2", "prompt tuning", partial(peft, "prompt tuning"), needs="peft"),
    clm("Llama", "language model, as run_clm", models.llama),
    cell("GPT-2", "classification", partial(models.gpt2, "ForSequenceClassification", num_labels=3),
         data.with_classes, losses.classes),
    cell("Llama", "answers", partial(models.llama, "QuestionAnswering"), data.with_answers, losses.answers,
         collate=default),
    cell("Llama", "tokens", partial(models.llama, "TokenClassification", num_labels=3), data.with_tags, losses.tokens,
         collate=tagging),
    cell("BART, its decoder", "language model whose labels are not shifted", partial(models.bart, "CausalLM"),
         data.blocks, losses.tokens, collate=default),
    clm("BART, its decoder", "language model, label smoothing, which shifts them", partial(models.bart, "CausalLM"),
        label_smoothing_factor=0.1),
]  # fmt: skip

ENCODER_DECODERS = [
    translation("T5", "translation, as run_translation", models.t5),
    translation("T5", "translation, label smoothing", models.t5, label_smoothing_factor=0.1),
    translation("T5", "translation, by length", models.t5, **BY_LENGTH),
    translation("T5", "translation, gradient accumulation", models.t5, gradient_accumulation_steps=2),
    translation("BART", "summaries, as run_summarization", models.bart),
    translation("BART", "summaries, under the plain Trainer", models.bart, of="Trainer"),
    cell("BART", "classification", partial(models.bart, "SequenceClassification", num_labels=3),
         lambda: ends(data.with_classes()), losses.classes),
]  # fmt: skip

OTHERS = [
    clm("Llava", "images and texts", models.llava, rows=data.chats),
    clm("Llava", "images and texts, label smoothing", models.llava, rows=data.chats, loss=losses.none,
        label_smoothing_factor=0.1),
    clm("Qwen2.5-VL", "texts", models.qwen),
    cell("ViT and BERT", "captions of images", models.captions,
         lambda: data.with_images(labels=data.texts(6)["input_ids"]), losses.tokens, collate=default),
    cell("ViT", "classification, as run_image_classification", models.vit,
         lambda: data.with_images(label=data.classes()), losses.classes, collate=stacking,
         remove_unused_columns=False),
    cell("SegFormer", "segmentation, as run_semantic_segmentation", models.segformer,
         lambda: data.with_images(labels=data.draw().integers(0, 3, (data.ROWS, 8, 8))), losses.none,
         collate=default),
    cell("YOLOS", "detection, as run_object_detection", models.yolos,
         lambda: data.with_images(label=data.classes()), losses.none, collate=boxing,
         remove_unused_columns=False),
    cell("Wav2Vec2", "classification, as run_audio_classification",
         partial(models.wav2vec2, "SequenceClassification"), lambda: data.sounds(label=data.classes()),
         losses.classes, collate=default),
    cell("Wav2Vec2", "speech recognition, as run_speech_recognition_ctc", partial(models.wav2vec2, "CTC"),
         lambda: data.sounds(labels=data.draw().integers(1, 20, (data.ROWS, 4))), losses.none, collate=default),
    cell("Whisper", "speech recognition, as run_speech_recognition_seq2seq", models.whisper, data.spectra,
         losses.tokens, of="Seq2SeqTrainer", collate=default),
]  # fmt: skip


def ends(dataset):
    """With a word of the end, which BART's classifier looks for, at the end of each row."""
    return dataset.map(lambda row: {"input_ids": [*row["input_ids"][:-1], 3]})


CELLS = [*ENCODERS, *DECODERS, *ENCODER_DECODERS, *OTHERS]
