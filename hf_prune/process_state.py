"""What accelerate says of this process and the others that run with it."""

import torch
from accelerate import PartialState
from accelerate.utils import parse_flag_from_env


def process_state() -> PartialState:
    """accelerate's state, made if there is none.

    Without an accelerator it has to be told so, else several processes know nothing of each other.
    """
    return PartialState(cpu=parse_flag_from_env("ACCELERATE_USE_CPU") or not torch.accelerator.is_available())
