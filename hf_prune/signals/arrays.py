"""Arrays as users pass them, checked: one entry for each row of the dataset, every number finite."""

from typing import Any

import numpy as np
import pyarrow as pa
from datasets import Dataset
from numpy.typing import NDArray

from hf_prune.arguments import no_mask, readable
from hf_prune.errors import AlignmentError, ArgumentError, ArgumentTypeError
from hf_prune.labels import check_column, stored_column

VALUES_AT_A_TIME = 2**23


def float_array(dataset: Dataset, name: str, value: Any, ndim: int) -> NDArray[Any]:
    """A finite float array of `ndim` axes with one entry for each row; floats keep their width.

    Args:
        value: an array or what numpy can make one of, or the name of a column.
    """
    if isinstance(value, str):
        check_column(dataset, name, value)
        name, value = f"{name} (column {value!r})", _column_floats(dataset, name, value, ndim)
    no_mask(name, value)
    shape = "(n,)" if ndim == 1 else "(n, d)"
    try:
        array: NDArray[Any] = np.asarray(readable(value))
    except ValueError as error:
        raise ArgumentError(f"`{name}`: wanted floats of shape {shape}, got rows of unequal length") from error
    except (TypeError, RuntimeError) as error:  # a list of tensors on a GPU, in bfloat16, or with gradients
        raise ArgumentTypeError(
            f"`{name}`: wanted what numpy can read, as in tensor.detach().float().cpu(); {error}"
        ) from error
    if array.dtype.kind in "iub":
        array = array.astype(np.float64)
    if array.dtype.kind != "f":
        raise ArgumentTypeError(
            f"`{name}`: wanted floats of shape {shape}, got {type(value).__name__} of {array.dtype}"
        )
    if array.ndim != ndim or 0 in array.shape[1:]:
        raise ArgumentError(f"`{name}`: wanted shape {shape} with n = {len(dataset)}, got {array.shape}")
    check_length(name, len(array), len(dataset))
    _check_finite(name, array)
    return array


def check_length(name: str, length: int, n: int) -> None:
    """Refuse what has not one entry for each of `n` rows."""
    if length != n:
        raise AlignmentError(f"`{name}`: wanted one entry for each of the {n} rows, got {length}")


def _column_floats(dataset: Dataset, argument: str, column: str, ndim: int) -> NDArray[Any]:
    array = stored_column(dataset, column)
    if isinstance(array, pa.ExtensionArray):
        array = array.storage
    rows, holds = len(array), f"`{argument}`: column {column!r} holds"
    if array.null_count:
        raise ArgumentError(f"{holds} {array.null_count} nulls")
    if ndim == 2:
        if not hasattr(array, "value_lengths"):
            raise ArgumentTypeError(f"{holds} {array.type}, wanted a list of numbers a row")
        lengths = np.unique(array.value_lengths().to_numpy(zero_copy_only=False))
        if len(lengths) > 1:
            raise ArgumentError(f"`{argument}`: column {column!r} has rows of {lengths[0]} to {lengths[-1]} numbers")
        array = array.flatten()
    if array.null_count or not (pa.types.is_floating(array.type) or pa.types.is_integer(array.type)):
        raise ArgumentTypeError(f"{holds} {array.type} or nulls, wanted numbers")
    values: NDArray[Any] = array.to_numpy(zero_copy_only=False)
    return values if ndim == 1 else values.reshape(rows, -1)


def _check_finite(name: str, array: NDArray[Any]) -> None:
    """Refuse NaN and infinities by row, reading a part at a time."""
    step = max(1, VALUES_AT_A_TIME // max(1, array[:1].size))
    for start in range(0, len(array), step):
        part = np.isfinite(array[start : start + step])
        if not part.all():
            row = start + int(np.argmin(part.reshape(len(part), -1).all(axis=1)))
            raise ArgumentError(f"`{name}`: row {row} holds NaN or an infinite number; every value must be finite")
