"""Checks of what a user passes: each returns plain Python values and names the argument when it refuses one."""

import difflib
import math
import operator
from collections.abc import Iterable
from typing import Any

import numpy as np

from hf_prune.errors import ArgumentError, ArgumentTypeError


def whole_number(name: str, value: Any, *, at_least: int) -> int:
    """`value` as an int that is `at_least` or more; bools and floats are refused."""
    try:
        if isinstance(value, bool):
            raise TypeError
        number = operator.index(value)
    except TypeError:
        raise ArgumentTypeError(f"`{name}`: wanted a whole number, got {value!r}") from None
    if number < at_least:
        raise ArgumentError(f"`{name}`: wanted a whole number of at least {at_least}, got {number}")
    return number


def real_number(name: str, value: Any, *, at_least: float = -math.inf, below: float = math.inf) -> float:
    """`value` as a finite float in [at_least, below); bools are refused."""
    try:
        if isinstance(value, bool | str):
            raise TypeError
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        raise ArgumentTypeError(f"`{name}`: wanted a number, got {value!r}") from None
    if not (math.isfinite(number) and at_least <= number < below):
        raise ArgumentError(f"`{name}`: wanted a finite number in [{at_least}, {below}), got {number}")
    return number


def true_or_false(name: str, value: Any) -> bool:
    """`value`, which must be a bool."""
    if not isinstance(value, bool):
        raise ArgumentTypeError(f"`{name}`: wanted True or False, got {value!r}")
    return value


def one_of(name: str, value: Any, choices: Iterable[str]) -> str:
    """`value`, which must be one of `choices`; the error names the closest."""
    choices = list(choices)
    if not isinstance(value, str):
        raise ArgumentTypeError(f"`{name}`: wanted one of {choices}, got {value!r}")
    if value not in choices:
        raise ArgumentError(f"`{name}`: wanted one of {choices}, got {value!r}.{did_you_mean(value, choices)}")
    return value


def text(name: str, value: Any) -> str:
    """`value`, which must be a text."""
    if not isinstance(value, str):
        raise ArgumentTypeError(f"`{name}`: wanted a text, got {value!r}")
    return value


def instance_of(name: str, value: Any, kind: type, example: str) -> Any:
    """`value`, which must be a `kind`; the error shows the example."""
    if not isinstance(value, kind):
        raise ArgumentTypeError(f"`{name}`: wanted a {kind.__name__} such as `{example}`, got {value!r}")
    return value


def readable(value: Any) -> Any:
    """`value`, and of a torch tensor what numpy can read: without gradients, on the CPU, no bfloat16."""
    if not hasattr(value, "detach"):
        return value
    tensor = value.detach().cpu()
    return tensor.float() if str(tensor.dtype) == "torch.bfloat16" else tensor


def no_mask(name: str, value: Any) -> None:
    """Refuse a numpy array of which entries are masked, or a list of such: numpy reads what the mask hides."""
    if isinstance(value, list | tuple) and value and isinstance(value[0], list | tuple | np.ndarray):
        for part in value:
            no_mask(name, part)
    if hidden := int(np.ma.getmaskarray(value).sum()) if isinstance(value, np.ma.MaskedArray) else 0:
        raise ArgumentError(
            f"`{name}`: wanted an array without a mask, got one that hides {hidden} of {value.size} entries; drop "
            "these rows, or fill them as in array.filled(0)"
        )


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """` Did you mean 'gamma'?`, or an empty string where nothing is close."""
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f" Did you mean {close[0]!r}?" if close else ""
