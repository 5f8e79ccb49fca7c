"""Parts: the results of one stage for the rows of one shard, in one Parquet file.

The folder of a part has the name of its stage's fingerprint (version, settings, weights, and the
fingerprints of the stages before it). So a part is done if its file exists, and changed settings never
overwrite or reuse the results of other settings.
"""

# pyarrow accepts column names where its type hints only allow true and false.
# pyright: reportArgumentType=false

from __future__ import annotations

import errno
import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from manifests.errors import WorkFailed
from manifests.files import atomic_path
from manifests.writing import REPEATING

PART_KEY = b"deca-part"
SIZES = "sizes"
"""In a part's footer: by column, the size in bytes of each file that the column names; null without one."""

MAGIC = b"PAR1"
"""What every Parquet file begins and ends with."""

OUTCOME = ("status", "stage", "reason")
"""Columns that every part has: how the stage ended a row; null where the stage did not run on the row."""


def write_part(path: Path, table: pa.Table, footer: Mapping[str, Any]) -> None:
    """Writes a part, complete or not at all, with ``footer`` (JSON-able) in its metadata.

    A million rows of all stages are read in 6 s with LZ4, and in 10 s with Zstandard, whose files are an
    eighth smaller.
    """
    metadata = {PART_KEY: json.dumps(footer, sort_keys=True)}
    with atomic_path(path) as temporary:
        table = table.replace_schema_metadata(metadata)
        pq.write_table(table, temporary, compression="lz4", use_dictionary=REPEATING, write_statistics=False)


def read_part(path: Path, columns: list[str] | None = None) -> pa.Table:
    """Reads a part, or some of its columns; parts are small, and more threads doubled the CPU time.

    Raises:
        WorkFailed: the file is no Parquet file, or a damaged one.
    """
    try:
        with pa.memory_map(str(path)) as mapped, pq.ParquetFile(mapped, pre_buffer=False) as file:
            return file.read(columns=columns, use_threads=False)
    except pa.ArrowInvalid as error:
        raise WorkFailed(_damaged(path)) from error
    except OSError as error:
        if error.errno is not None:
            raise
        raise WorkFailed(_damaged(path)) from error  # what Arrow says of a damaged page


def is_whole(path: Path) -> bool:
    """Whether a part is there and ends as Parquet files do; it costs the reading of four bytes."""
    try:
        with open(path, "rb") as file:
            file.seek(-len(MAGIC), os.SEEK_END)
            return file.read() == MAGIC and file.tell() > 2 * len(MAGIC)
    except FileNotFoundError:
        return False
    except OSError as error:
        if error.errno == errno.EINVAL:  # the file is shorter than that
            return False
        raise


def _damaged(path: Path) -> str:
    return f"{path}: this part is damaged; remove the file, and the same call makes it again."


def read_footer(path: Path) -> dict[str, Any]:
    """Reads the ``footer`` that `write_part` wrote."""
    try:
        metadata = pq.read_metadata(path).metadata or {}
    except pa.ArrowInvalid as error:
        raise WorkFailed(_damaged(path)) from error
    return json.loads(metadata.get(PART_KEY, b"{}"))


def footer_of(table: pa.Table) -> dict[str, Any]:
    """Returns the ``footer`` of a part that `read_part` has read."""
    return json.loads((table.schema.metadata or {}).get(PART_KEY, b"{}"))


def digest(value: Any) -> str:
    """Returns a short hex digest of a JSON-able value."""
    text = json.dumps(value, sort_keys=True, default=str)
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
