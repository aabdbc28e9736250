"""A dataset as one file in Parquet, CSV or JSON lines, by the end of its name."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from datasets import Dataset, Features
from datasets.table import embed_table_storage

from hf_prune.errors import ArgumentError

WRITTEN = (".parquet", ".csv", ".jsonl")
"""The ends of names of the files that `write_file` writes."""

_ROWS_AT_A_TIME = 1000


def check_writable(features: Features, path: Path) -> None:
    """Refuse a file that can't hold columns of these features.

    Raises:
        ArgumentError: the name has another end, or a column would lose what it holds.
    """
    if path.suffix not in WRITTEN:
        raise ArgumentError(
            f"`output`: wanted a name that ends in {', '.join(WRITTEN)}, or one without an end for a folder that "
            f"load_from_disk reads; got {str(path)!r}"
        )
    for field in features.arrow_schema if path.suffix != ".parquet" else ():
        if not _is_text(field.type, flat=path.suffix == ".csv"):
            raise ArgumentError(
                f"`output`: a {path.suffix} file can't hold the column {field.name!r} of {field.type}; write "
                f"{path.with_suffix('.parquet').name} or a folder"
            )


def write_file(dataset: Dataset, written: Path, suffix: str) -> None:
    """Write the rows to `written` in the format of files that end in `suffix`; images and sounds go into a Parquet
    file, too, of which the dataset may hold only the paths."""
    if suffix == ".csv":
        dataset.to_csv(written)
    elif suffix == ".jsonl":
        dataset.to_json(written, force_ascii=False)
    else:
        with pq.ParquetWriter(written, dataset.features.arrow_schema) as writer:
            for table in dataset.with_format("arrow").iter(_ROWS_AT_A_TIME):
                writer.write_table(embed_table_storage(table))


def _is_text(kind: pa.DataType, *, flat: bool) -> bool:
    """Whether values of a type are the same after they were written as text; `flat` refuses lists and the like."""
    if isinstance(kind, pa.ExtensionType):
        kind = kind.storage_type
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or (flat and kind.num_fields):
        return False
    return all(_is_text(kind.field(part).type, flat=False) for part in range(kind.num_fields))
