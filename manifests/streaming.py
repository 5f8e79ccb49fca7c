"""A manifest of any length, read in batches of a few columns, so that memory does not grow with its rows."""

# pyarrow.compute makes its functions at import, where a type checker cannot see them.
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from manifests.conforming import check_numbers, check_usable, conforming, is_index
from manifests.reading import BATCH, MARKS, Manifest, check_columns, open_parquet, placed_roots, read_info
from manifests.schema import LENGTHS, NAMES, Column, added_columns, schema_with

OBJECTS = 4096
"""Number of rows that are Python objects at a time."""


@dataclass(frozen=True)
class ManifestStream:
    """An opened manifest whose rows are still in the file.

    Attributes:
        head: the manifest with its roots and footer, and no rows.
        rows: number of rows in the file.
        added: columns beyond the core ones, of this file or of others that are read with it.
    """

    head: Manifest
    rows: int
    added: tuple[Column, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """All its columns: the core ones, then the added ones."""
        return (*NAMES, *(column.name for column in self.added))

    def batches(self, columns: Sequence[str], size: int = BATCH) -> Iterator[pa.Table]:
        """Yields the rows in order, at most ``size`` at a time; a column that the file lacks is null.

        Raises:
            KeyError: a name that is no column of the manifest.
            UsageError: the file changed or cannot be read.
        """
        names = list(columns)
        with open_parquet(self.head.path) as file:
            for batch in file.iter_batches(batch_size=size, columns=names):
                yield self._with_all(pa.Table.from_batches([batch]), names)

    def take(self, numbers: Sequence[int], columns: Sequence[str]) -> pa.Table:
        """Reads the rows with these ``numbers`` (from 0), each once, in ascending order.

        Only their row groups are read. A column that the file lacks is null.
        """
        wanted = np.unique(np.asarray(numbers, dtype=np.int64))
        names = list(columns)
        found = []
        with open_parquet(self.head.path) as file:
            start = 0
            for group in range(file.num_row_groups):
                end = start + file.metadata.row_group(group).num_rows
                inside = wanted[(wanted >= start) & (wanted < end)]
                if len(inside):
                    rows = file.read_row_group(group, columns=names).take(inside - start)
                    found.append(self._with_all(rows, names))
                start = end
            return pa.concat_tables(found or [self._with_all(file.schema_arrow.empty_table(), names)])

    def _with_all(self, table: pa.Table, names: Sequence[str]) -> pa.Table:
        """Returns the columns ``names`` in the schema's types; those that the file lacks are null."""
        table = conforming(table, self.head.path)
        for name in LENGTHS.keys() & set(table.column_names):
            check_numbers(table, name, self.head.path)
        schema = schema_with(self.added)
        for name in set(names) - set(table.column_names):
            field = schema.field(name)
            table = table.append_column(field, pa.nulls(table.num_rows, field.type))
        return table.select(list(names))

    def usable_rows(self, columns: Sequence[str]) -> Iterator[dict[str, Any]]:
        """Yields the rows of status ok with landmarks: dicts of ``columns``, `landmarks` (68, 2) float32.

        Raises:
            UsageError: the file lacks a column that tells which rows these are, or a row is not valid.
        """
        with open_parquet(self.head.path) as file:
            check_columns(self.head.path, file.schema_arrow, MARKS)
        wanted = list(dict.fromkeys([*columns, "sample_id", "status", "landmarks"]))
        for table in self.batches(wanted, OBJECTS):
            usable = pc.and_(pc.equal(table.column("status"), "ok"), pc.is_valid(table.column("landmarks")))
            table = table.filter(usable)
            # Lists become Python objects slowly, so the landmarks are taken as one array.
            points = check_usable(table, self.head.path)
            rows = table.drop_columns(["landmarks"]).to_pylist()
            for row, landmarks in zip(rows, points, strict=True):
                yield {**row, "landmarks": landmarks}

    def count_ok(self) -> int:
        """Counts the rows of status ok; reads no other column."""
        ok = (pc.sum(pc.equal(table.column("status"), "ok")).as_py() for table in self.batches(["status"]))
        return sum(count or 0 for count in ok)


def open_streams(paths: Sequence[Path], roots: Mapping[str, Path] | None = None) -> list[ManifestStream]:
    """Opens manifests with `open_stream`; each gets the added columns of all."""
    streams = [open_stream(path, roots) for path in paths]
    added = {column.name: column for stream in streams for column in stream.added}
    return [replace(stream, added=tuple(added.values())) for stream in streams]


def open_stream(path: str | Path, roots: Mapping[str, str | Path] | None = None) -> ManifestStream:
    """Opens a manifest without reading its rows; its folders are not checked.

    ``roots`` are the folders that moved, by dataset name (`workspace` for the sidecars).

    Raises:
        UsageError: there is no such file, it is no manifest, or a root is unknown.
    """
    path = Path(path)
    with open_parquet(path) as file:
        info = read_info(path, file.schema_arrow)
        added = tuple(each for each in added_columns(file.schema_arrow) if not is_index(each.name))
        rows = schema_with(added).empty_table()
        head = Manifest(path, rows, placed_roots(path, info, roots or {}), info)
        return ManifestStream(head, file.metadata.num_rows, added)
