"""A torch model and the processes that run it: its head, its device, its mode, and who else takes part."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from accelerate import PartialState
from accelerate.utils import parse_flag_from_env
from torch import distributed, nn

from hf_prune.errors import ArgumentError


def head_of(model: nn.Module, features: bool | str) -> nn.Module:
    """The classification head: the module called `features`, or the last Linear with an output for each label."""
    modules: dict[str, nn.Module] = dict(model.named_modules())
    if isinstance(features, str):
        if features not in modules:
            raise ArgumentError(f"`features`: the model has no module {features!r}; its last are {list(modules)[-5:]}")
        return modules[features]
    labels = getattr(getattr(model, "config", None), "num_labels", None)
    heads = [module for module in modules.values() if isinstance(module, nn.Linear) and module.out_features == labels]
    if not heads:
        names = [name for name, module in modules.items() if isinstance(module, nn.Linear)]
        unknown = "the model has no config that says how many labels there are"
        reason = f"found no Linear layer with {labels} outputs, as many as the model has labels" if labels else unknown
        raise ArgumentError(
            f"`features`: {reason}; name the head, as in PruningTrainerCallback(features="
            f"{names[-1] if names else 'classifier'!r}); its Linear layers are {names[-5:]}"
        )
    return heads[-1]


def device_of(model: nn.Module) -> torch.device:
    return next((weight.device for weight in model.parameters()), torch.device("cpu"))


@contextmanager
def evaluation_mode(model: nn.Module) -> Iterator[None]:
    """All modules in evaluation mode; each is afterwards in the mode it was in."""
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for module, training in modes.items():
            module.training = training


def processes() -> int:
    """How many train together."""
    return distributed.get_world_size() if distributed.is_available() and distributed.is_initialized() else 1


def process_state() -> PartialState:
    """accelerate's state, made if there is none.

    Without an accelerator it has to be told so, else several processes know nothing of each other.
    """
    return PartialState(cpu=parse_flag_from_env("ACCELERATE_USE_CPU") or not torch.accelerator.is_available())
