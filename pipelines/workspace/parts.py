"""Parts: what one stage found out about the rows of one shard, as one Parquet file.

A part lies in a folder named by its stage's fingerprint (version, settings, weights, and the
fingerprints of the stages before it). That a part is done is thus the mere existence of its file, and
changed settings never overwrite or reuse a result that is not theirs.
"""

# pyarrow takes the names of columns where its types only know of true and false.
# pyright: reportArgumentType=false

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from manifests.files import atomic_path
from manifests.writing import REPEATING

PART_KEY = b"deca-part"

OUTCOME = ("status", "stage", "reason")
"""Columns that every part has: how the stage ended a row; null where it did not see it."""


def write_part(path: Path, table: pa.Table, footer: Mapping[str, Any]) -> None:
    """Writes a part, whole or not at all, with ``footer`` (JSON-able) kept in it.

    To read LZ4 takes 6 s a million rows of all stages and identities, Zstandard 10 s, in files that are an
    eighth smaller. Nobody looks for rows by the statistics of a part.
    """
    metadata = {PART_KEY: json.dumps(footer, sort_keys=True)}
    with atomic_path(path) as temporary:
        table = table.replace_schema_metadata(metadata)
        pq.write_table(table, temporary, compression="lz4", use_dictionary=REPEATING, write_statistics=False)


def read_part(path: Path, columns: list[str] | None = None) -> pa.Table:
    """Reads a part, or some of its columns.

    Parts are small, so threads within one cost more than they save: on all 98 parts of 100,000 landmarks,
    twice the CPU time.
    """
    with pa.memory_map(str(path)) as mapped, pq.ParquetFile(mapped, pre_buffer=False) as file:
        return file.read(columns=columns, use_threads=False)


def read_footer(path: Path) -> dict[str, Any]:
    """What `write_part` was given as ``footer``."""
    metadata = pq.read_metadata(path).metadata or {}
    return json.loads(metadata.get(PART_KEY, b"{}"))


def digest(value: Any) -> str:
    """A short hex digest of a JSON-able value."""
    text = json.dumps(value, sort_keys=True, default=str)
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
