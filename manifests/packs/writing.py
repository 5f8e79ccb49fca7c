"""Writes a pack: each file complete or not at all, the same bytes from the same rows."""

from __future__ import annotations

import glob
import json
from collections.abc import Iterable, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from manifests.files import atomic_path, write_atomic
from manifests.packs.schema import DENSE, ENDING, KEY, SCHEMA, Index, Shard

BATCH = 256
"""Rows of a batch, which are in memory together."""


def shard_name(manifest: str, number: int) -> str:
    """Returns the file name of a shard."""
    return f"{manifest}-{number:05d}{ENDING}"


def write_shard(
    folder: Path, index: Index, shard: Shard, rows: Iterable[Mapping[str, Any]], dense: bool = False
) -> None:
    """Writes the rows of one shard, each with the columns of `SCHEMA`, and `DENSE` if asked.

    Raises:
        OSError: the file cannot be written; no temporary file stays, also after an error of ``rows``.
    """
    header = index.model_dump(include={"format", "size", "scale", "quality"})
    header["fingerprint"] = shard.fingerprint
    columns = SCHEMA.append(DENSE) if dense else SCHEMA
    schema = columns.with_metadata({KEY: json.dumps(header, sort_keys=True)})
    remaining = iter(rows)
    with (
        atomic_path(folder / shard.name) as temporary,
        pa.OSFile(str(temporary), "wb") as file,
        pa.ipc.new_file(file, schema) as writer,
    ):
        while batch := list(islice(remaining, BATCH)):
            writer.write_batch(pa.RecordBatch.from_pylist(batch, schema=schema))


def write_index(folder: Path, manifest: str, index: Index) -> Path:
    """Removes older shards of the manifest (not in the index, or of format 1), then writes the index."""
    wanted = {shard.name for shard in index.shards}
    for path in folder.glob(f"{glob.escape(manifest)}-[0-9][0-9][0-9][0-9][0-9].*"):
        if (path.suffix == ENDING and path.name not in wanted) or _is_of_format_1(path):
            path.unlink()
    path = folder / f"{manifest}.json"
    write_atomic(path, index.model_dump_json(indent=1).encode())
    return path


def _is_of_format_1(path: Path) -> bool:
    """Returns whether this is a Parquet shard; other Parquet files are not removed."""
    if path.suffix != ".parquet":
        return False
    try:
        return KEY in (pq.read_metadata(path).metadata or {})
    except (OSError, pa.ArrowException):
        return False
