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

COMPARED = (
    "the loss compares log-probabilities of answers with those of a reference model, or with each other, which no "
    "forward pass has for a row; train without the callback, and prune by scores= of your own, as the difference of "
    "the columns ref_chosen_logps and ref_rejected_logps that DPOConfig(precompute_ref_log_probs=True) adds to "
    "trainer.train_dataset"
)
PAIRED = (
    "a row is a pair of answers, which has a reward for each and no label; train without the callback, and prune by "
    "scores= of your own, as the trained model's reward of the chosen answer less that of the rejected one"
)
GENERATED = (
    "the model answers prompts while it trains, and no answer is a row of the dataset; train without the callback, "
    "and prune by scores= of your own, as the mean reward of each prompt"
)
TRAINERS = {
    "CPOConfig": COMPARED,
    "DPOConfig": COMPARED,
    "KTOConfig": COMPARED,
    "ORPOConfig": COMPARED,
    "GRPOConfig": GENERATED,
    "OnlineDPOConfig": GENERATED,
    "RLOOConfig": GENERATED,
    "RewardConfig": PAIRED,
}
"""Why trainers can't be recorded, by the classes of their arguments."""


def check_trl(args: Any) -> None:
    """Refuse a run of TRL that leaves nothing to record of the dataset's rows.

    Args:
        args: the trainer's, of TRL or not.
    """
    for base in type(args).__mro__:
        if base.__name__ in TRAINERS:
            trainer = base.__name__.replace("Config", "Trainer")
            raise ArgumentError(f"PruningTrainerCallback can't record TRL's {trainer}: {TRAINERS[base.__name__]}")
    for (name, value), why in SETTINGS.items():
        if getattr(args, name, None) == value:
            raise ArgumentError(f"PruningTrainerCallback can't record rows with {name}={value!r}: {why}")
