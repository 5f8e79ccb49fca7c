"""Writes a manifest: in a fixed order, in one stream, complete or not at all."""

# pyarrow.compute makes its functions at import, where a type checker cannot see them.
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from manifests.files import atomic_path
from manifests.reading import INFO_KEY
from manifests.schema import BOUND_COLUMNS, FORMAT, LENGTHS, SCHEMA, Column, schema_with

ROW_GROUP = 16384
REPEATING = ["dataset", "identity", "clip", "split", "status", "stage", "reason", *BOUND_COLUMNS]
"""Columns with a dictionary; trying one for the others would take most of the time of writing."""


class ManifestWriter:
    """Appends rows to a manifest; made by `manifest_writer`.

    Row groups are compressed and written in ``thread``, in order, while the caller makes the next one.
    """

    def __init__(self, writer: pq.ParquetWriter, schema: pa.Schema, thread: ThreadPoolExecutor):
        self._writer = writer
        self._schema = schema
        self._thread = thread
        self._waiting: list[pa.Table] = []
        self._writing: Future[None] | None = None

    def write(self, table: pa.Table) -> None:
        """Appends ``table``; absent columns become nulls.

        Raises:
            ValueError: a column is unknown or a value does not fit its type; raised now or at the end.
        """
        self._waiting.append(table)
        if sum(each.num_rows for each in self._waiting) >= ROW_GROUP:
            self.flush()

    def flush(self) -> None:
        """Writes the waiting rows as a row group, after the last row group is written."""
        if self._waiting:
            table = conform(pa.concat_tables(self._waiting, promote_options="permissive"), self._schema)
            self._waiting = []
            self.wait()
            self._writing = self._thread.submit(self._writer.write_table, table, 2 * ROW_GROUP)

    def wait(self) -> None:
        """Waits until the last row group is written; raises its error."""
        if self._writing is not None:
            self._writing.result()


@contextmanager
def manifest_writer(
    path: Path, *, roots: Mapping[str, Path], info: Mapping[str, Any], added: Iterable[Column] = ()
) -> Iterator[ManifestWriter]:
    """Opens a manifest for writing; ``path`` exists only after success.

    Args:
        path: the Parquet file to write.
        roots: folder of each dataset, and of the `workspace`.
        info: recipe, stages and settings, JSON-able; without times, so that equal input gives equal bytes.
        added: columns beyond the core ones, which follow them.

    Raises:
        OSError: the file cannot be written; no temporary file stays.
    """
    stored = {name: str(Path(folder).resolve()) for name, folder in sorted(roots.items())}
    footer = json.dumps({"format": FORMAT, "roots": stored, **info}, sort_keys=True)
    columns = schema_with(added)
    with (
        atomic_path(Path(path)) as temporary,
        pq.ParquetWriter(
            temporary,
            columns.with_metadata({INFO_KEY: footer}),
            compression="zstd",
            use_dictionary=REPEATING,
            write_statistics=[name for name in columns.names if name not in LENGTHS],  # useless for lists
        ) as writer,
        ThreadPoolExecutor(1) as thread,  # left before the file is closed
    ):
        manifest = ManifestWriter(writer, columns, thread)
        yield manifest
        manifest.flush()
        manifest.wait()


def write_manifest(
    table: pa.Table, path: Path, *, roots: Mapping[str, Path], info: Mapping[str, Any] | None = None
) -> None:
    """Writes ``table``, sorted by sample_id, as a manifest (see `manifest_writer`)."""
    with manifest_writer(path, roots=roots, info=info or {}) as writer:
        writer.write(table.sort_by("sample_id"))


def conform(table: pa.Table, schema: pa.Schema = SCHEMA) -> pa.Table:
    """Brings ``table`` to the columns, order and types of ``schema``; absent columns become nulls.

    Raises:
        ValueError: a column is unknown, or a value does not fit.
    """
    unknown = set(table.column_names) - set(schema.names)
    if unknown:
        raise ValueError(f"no such manifest column: {', '.join(sorted(unknown))}")
    columns = []
    for field in schema:
        if field.name not in table.column_names:
            columns.append(pa.nulls(table.num_rows, field.type))
            continue
        column = table.column(field.name)
        columns.append(column if column.type == field.type else column.cast(field.type))
        if field.name in LENGTHS:
            found = pc.unique(pc.list_value_length(columns[-1])).drop_null().to_pylist()
            if found not in ([], [LENGTHS[field.name]]):
                raise ValueError(
                    f"column {field.name!r}: lists of {found} numbers, but {LENGTHS[field.name]} are expected"
                )
    return pa.table(columns, schema=schema)
