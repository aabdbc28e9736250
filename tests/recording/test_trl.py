"""TRL's trainers: each row's values are those of a forward pass with all logits, or the run is refused by name."""

import numpy as np
import pytest
import torch
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
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
)

from hf_prune import ArgumentError, PruningTrainerCallback
from hf_prune.recording.trl_runs import check_trl

trl = pytest.importorskip("trl")

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*is deprecated:FutureWarning"),
    pytest.mark.filterwarnings("ignore:.*is deprecated:DeprecationWarning"),
]

ROWS, WITHOUT_LOGITS = 13, {"loss", "p_true", "correct"}
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
        if model.training:
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


def assert_exact(make, data, folder, recorder=None, **options):
    """Every signal of each (epoch, row) is the witness's, and the weights are those of a run without a recorder."""
    recorder = recorder or PruningTrainerCallback()
    recorded = train(make, data, folder, recorder, **options)
    plain = train(make, data, folder, **options)
    for name, weights in recorded.model.state_dict().items():
        assert torch.equal(weights, plain.model.state_dict()[name]), name
    dynamics = recorder.dynamics
    assert dynamics.task == "causal-lm"
    assert len(dynamics) == len(data)
    for signal in dynamics.signals:
        np.testing.assert_allclose(dynamics[signal], recorded.of_rows(signal), rtol=1e-5, atol=1e-5)
    assert dynamics["loss"].std() > 0.1  # rows differ, so that another order would be seen
    return dynamics


def lora():
    peft = pytest.importorskip("peft")
    return peft.LoraConfig(r=2, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM")


@pytest.mark.parametrize(
    ("make", "data", "options"),
    [
        (llama, texts, {}),
        (gpt, answers, {}),
        (qwen, answers, {"completion_only_loss": False}),
        (qwen, chats, {"assistant_only_loss": True}),
        (llama, chats, {"loss_type": "dft"}),
        (gpt, texts, {"gradient_accumulation_steps": 3, "max_length": 6}),
    ],
    ids=["text", "completion", "prompt-and-completion", "assistant", "dft", "accumulated"],
)
def test_supervised(make, data, options, tmp_path):
    dynamics = assert_exact(make, data(), tmp_path, **options)
    assert set(dynamics.signals) == WITHOUT_LOGITS


def test_lora(tmp_path):
    dynamics = assert_exact(llama, answers(), tmp_path, peft_config=lora(), gradient_accumulation_steps=2)
    assert set(dynamics.signals) == WITHOUT_LOGITS


def by_tokens(outputs, labels, num_items_in_batch=None):
    return torch.nn.functional.cross_entropy(outputs.logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten())


@pytest.mark.filterwarnings("ignore:`(compute_loss_func|label_smoothing_factor)` is deprecated:FutureWarning")
@pytest.mark.parametrize("options", [{"label_smoothing_factor": 0.1}, {"compute_loss_func": by_tokens}])
def test_losses_of_logits_have_all_signals(options, tmp_path):
    assert set(assert_exact(llama, answers(), tmp_path, **options).signals) == {*WITHOUT_LOGITS, "margin", "el2n"}


def test_a_clean_pass_has_all_signals(tmp_path):
    recorder = PruningTrainerCallback(clean_eval=True)
    trainer = train(llama, answers(), tmp_path, recorder)
    rows = trainer.train_dataset
    for row, (ids, labels) in enumerate(zip(rows["input_ids"], rows["labels"], strict=True)):
        with torch.no_grad():
            logits = trainer.model(torch.tensor([ids])).logits[0]
        for signal, value in labelled_tokens(logits, torch.tensor(labels)).items():
            assert recorder.dynamics[signal][-1, row] == pytest.approx(value, rel=1e-4, abs=1e-5)


def test_half_precision_is_recorded_as_it_is_trained(tmp_path):
    """With bfloat16, TRL's default, a pass with all logits rounds elsewhere: the loss reported is the witness."""
    recorder = PruningTrainerCallback()
    logged = {"logging_strategy": "steps", "logging_steps": 1}
    trainer = train(llama, texts(), tmp_path, recorder, bf16=True, per_device_train_batch_size=ROWS, **logged)
    tokens = np.array([len(ids) - 1 for ids in trainer.train_dataset["input_ids"]])
    reported = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    np.testing.assert_allclose(recorder.dynamics["loss"] @ tokens / tokens.sum(), reported, rtol=1e-4)


def test_a_run_that_goes_on(tmp_path):
    whole, resumed = PruningTrainerCallback(), PruningTrainerCallback()
    train(llama, answers(), tmp_path, whole, save_strategy="epoch")
    trainer = train(llama, answers(), tmp_path, resumed, goes_on=str(tmp_path / "checkpoint-4"))
    assert len(trainer.seen) == ROWS  # of the second epoch only
    assert resumed.dynamics.signals == whole.dynamics.signals
    np.testing.assert_allclose(resumed.dynamics["loss"], whole.dynamics["loss"], rtol=1e-5)


def test_prune_what_was_trained_on(tmp_path):
    data, recorder = answers(), PruningTrainerCallback()
    train(llama, data, tmp_path, recorder)
    kept = data.prune("perplexity", keep=5, dynamics=recorder)
    assert len(kept) == 5
    with pytest.raises(ArgumentError, match="this causal-lm run holds no 'margin', it holds loss, p_true, correct"):
        data.prune("aum", keep=5, dynamics=recorder)


def test_rows_that_the_trainer_drops_are_not_taken_for_others(tmp_path):
    data, recorder = answers(), PruningTrainerCallback()
    trainer = train(llama, data, tmp_path, recorder, max_length=7)  # a longer prompt leaves no word of the answer
    left = len(trainer.train_dataset)
    assert left < ROWS
    with pytest.raises(ArgumentError, match=f"recorded for {left} rows, this dataset has {ROWS}"):
        data.prune("perplexity", keep=5, dynamics=recorder)
    assert len(trainer.train_dataset.prune("perplexity", keep=3, dynamics=recorder)) == 3


def test_rows_without_a_label(tmp_path):
    ids = [[5, 6, 7, 8], [9, 10, 11], [12, 13, 14]]
    data = Dataset.from_dict({"input_ids": ids, "labels": [ids[0], [-100] * 3, ids[2]]})
    recorder = PruningTrainerCallback()
    train(llama, data, tmp_path, recorder, max_length=None, per_device_train_batch_size=1)
    assert np.isnan(recorder.dynamics["loss"]).tolist() == [[False, True, False]] * 2
    assert recorder.dynamics.labels.tolist() == [-1, -100, -1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"packing": True}, "packing=True: rows are joined and cut"),
        ({"packing": True, "packing_strategy": "wrapped"}, "packing=True: rows are joined and cut"),
        ({"padding_free": True, "max_length": None}, "padding_free=True: the rows of a batch become one"),
        ({"shuffle_dataset": True}, "shuffle_dataset=True: .* your rows in another order"),
    ],
)
def test_settings_that_are_refused(options, message, tmp_path):
    with pytest.raises(ArgumentError, match=message):
        train(llama, texts(), tmp_path, PruningTrainerCallback(), **options)


def test_another_task_is_refused(tmp_path):
    with pytest.raises(ArgumentError, match="`task`: wanted 'causal-lm', as the model returns log-probabilities"):
        train(llama, texts(), tmp_path, PruningTrainerCallback(task="token-classification"))


def test_losses_in_parts_of_older_versions():
    class SFTConfig:
        loss_type = "chunked_nll"

    with pytest.raises(ArgumentError, match=r"loss_type='chunked_nll': .* pass SFTConfig\(loss_type='nll'\)"):
        check_trl(SFTConfig())


def pairs():
    columns = {"prompt": sentences(0), "chosen": sentences(1), "rejected": sentences(2)}
    return Dataset.from_dict({name: [f"{text} " for text in column] for name, column in columns.items()})


def prefer(trainer, config, model, folder, *recorders, **options):
    return trainer(
        model=model,
        args=config(output_dir=str(folder), report_to="none", use_cpu=True, bf16=False, **options),
        train_dataset=pairs(),
        processing_class=a_tokenizer(),
        callbacks=list(recorders),
    )


@pytest.mark.filterwarnings("ignore")  # of TRL, about models that are made on the spot
def test_preferences_are_refused_and_can_be_pruned_by_log_probabilities(tmp_path):
    options = {"precompute_ref_log_probs": True, "disable_tqdm": True}
    trainer = prefer(trl.DPOTrainer, trl.DPOConfig, llama(), tmp_path, PruningTrainerCallback(), **options)
    with pytest.raises(ArgumentError, match=r"can't record TRL's DPOTrainer: .* the columns ref_chosen_logps"):
        trainer.train()
    assert trainer.state.global_step == 0
    logs = trainer.train_dataset.with_format("numpy")
    scores = logs["ref_chosen_logps"][:] - logs["ref_rejected_logps"][:]
    kept = pairs().prune("given_scores", keep=4, scores=scores)
    assert sorted(kept.selection.indices) == sorted(np.argsort(scores)[-4:])


@pytest.mark.filterwarnings("ignore")
def test_rewards_are_refused(tmp_path):
    model = LlamaForSequenceClassification(LlamaConfig(**SMALL, num_labels=1))
    trainer = prefer(trl.RewardTrainer, trl.RewardConfig, model, tmp_path, PruningTrainerCallback())
    with pytest.raises(ArgumentError, match="can't record TRL's RewardTrainer: a row is a pair of answers"):
        trainer.train()


@pytest.mark.parametrize(
    ("name", "message"),
    [("KTOConfig", "KTOTrainer: the loss compares"), ("GRPOConfig", "GRPOTrainer: the model answers prompts")],
)
def test_other_trainers_are_refused_by_their_arguments(name, message):
    arguments = type("Arguments", (type(name, (), {}),), {})()  # of a subclass, as users have them
    with pytest.raises(ArgumentError, match=f"can't record TRL's {message}"):
        check_trl(arguments)
