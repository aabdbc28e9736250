"""Runs of TRL's trainers of which their arguments say before they begin that they can't be recorded."""

from typing import Any

from hf_prune.errors import ArgumentError

SETTINGS: dict[tuple[str, Any], str] = {
    ("packing", True): "rows are joined and cut, so that none has a loss of its own; leave packing out",
    ("padding_free", True): "the rows of a batch become one, so that none has a loss of its own; leave it out",
    ("shuffle_dataset", True): (
        "the trainer shuffles the dataset once, and what is recorded would be of your rows in another order; leave it "
        "out, every epoch is shuffled anyway"
    ),
    ("loss_type", "chunked_nll"): (
        "this version of TRL keeps no value of a token; pass SFTConfig(loss_type='nll'), which is the same loss, or "
        "install trl>=1.16"
    ),
}
"""Why rows can't be recorded with an argument."""

PAIRS = (
    "a row is a pair of answers, and the loss compares their log-probabilities with each other, or with those of a "
    "reference model; train without the callback, and prune by scores= of your own, as the difference of the columns "
    "ref_chosen_logps and ref_rejected_logps that DPOConfig(precompute_ref_log_probs=True) adds to "
    "trainer.train_dataset"
)
LIKED = (
    "the loss compares the log-probability of an answer with that of a reference model, and with those of other rows, "
    "which no forward pass has for a row; train without the callback, and prune by scores= of your own, as the column "
    "ref_logps that KTOConfig(precompute_ref_log_probs=True) adds to trainer.train_dataset"
)
REWARDS = (
    "a row is a pair of answers, which has a reward for each and no label; train without the callback, and prune by "
    "scores= of your own, as the trained model's reward of the chosen answer less that of the rejected one"
)
GENERATED = (
    "the model answers prompts while it trains, and no answer is a row of the dataset; train without the callback, "
    "and prune by scores= of your own, as the mean reward of each prompt"
)
TAUGHT = (
    "the model learns the words that a teacher finds likely, in answers that one of them writes, and no answer need "
    "be a row of the dataset; train without the callback, or record an SFTTrainer on answers that the teacher wrote"
)
TRAINERS = {
    PAIRS: ("CPO", "DPO", "ORPO", "TPO"),
    LIKED: ("KTO",),
    REWARDS: ("Reward",),
    GENERATED: ("A2PO", "AsyncGRPO", "GRPO", "OnlineDPO", "RLOO", "SDPO"),
    TAUGHT: ("AsyncDistillation", "Distillation", "GKD", "GOLD", "IWOPD", "SDFT"),
}
"""The trainers that can't be recorded, by why; their arguments' classes are named like them."""

REASONS = {f"{name}Config": (f"{name}Trainer", why) for why, names in TRAINERS.items() for name in names}


def check_trl(args: Any) -> None:
    """Refuse a run of TRL that leaves nothing to record of the dataset's rows.

    Args:
        args: the trainer's, of TRL or not.
    """
    for base in type(args).__mro__:
        if base.__module__.startswith("trl.") and base.__name__ in REASONS:
            trainer, why = REASONS[base.__name__]
            raise ArgumentError(f"PruningTrainerCallback can't record TRL's {trainer}: {why}")
    for (name, value), why in SETTINGS.items():
        if getattr(args, name, None) == value:
            raise ArgumentError(f"PruningTrainerCallback can't record rows with {name}={value!r}: {why}")
