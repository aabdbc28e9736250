"""Whether the loss that a run trains is made of what is recorded, which its gradient shows.

What is recorded is the loss of the task, without weights, of the logits that the model returns. The loss that is
trained may weight or smooth it, or add to it; its gradient then still reaches the logits. Where it does not, nobody
trains them, and their losses say nothing of the run. A model may return a copy of its logits, which no gradient
reaches, either: it will do if that copy makes the loss that the model reports, and the gradient reaches that one.
"""

from typing import Any

from hf_prune.errors import ArgumentError
from hf_prune.recording.outputs import logit_parts, reported_loss
from hf_prune.recording.token_outputs import has_tokens_only

UNTRAINED = (
    "PruningTrainerCallback can't record this run: the gradient of the loss that is trained doesn't reach the logits "
    "that the model returns. If the loss is made of logits, let the model return them as they are, without detach() "
    "and not as a copy; if it is made of hidden states or embeddings, train without the callback, and prune by "
    "embeddings=, or by scores= of your own"
)


class Gradients:
    """Listens to which of a model's outputs the gradient of the trained loss reaches; changes none."""

    def __init__(self) -> None:
        self._reached: set[str] = set()
        self._hidden = False

    def follow(self, output: Any, label_names: tuple[str, ...]) -> None:
        """Follow what a training pass returned."""
        loss = reported_loss(output)
        logits = [output["log_probs"]] if has_tokens_only(output) else logit_parts(output, label_names)
        for part in logits:
            self._listen(part, "logits")
            if part._base is not None:  # the loss may be made of that of which these are a part
                self._listen(part._base, "logits")
        if loss is not None:
            self._listen(loss, "loss")
            # One compiled function makes both, and hides whether the loss is made of the logits.
            self._hidden = loss.grad_fn is not None and any(part.grad_fn is loss.grad_fn for part in logits)

    def check(self, *, loss_agrees: bool) -> None:
        """Raise an error if a step is over and what was followed is not trained.

        Args:
            loss_agrees: whether what is recorded makes the loss that the model reports.
        """
        of_loss = "loss" in self._reached and (loss_agrees or self._hidden)
        if "logits" not in self._reached and not of_loss:
            raise ArgumentError(UNTRAINED)

    def _listen(self, tensor: Any, name: str) -> None:
        if tensor.requires_grad:
            tensor.register_hook(lambda gradient: self._reached.add(name))
