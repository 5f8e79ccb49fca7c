"""Manifests as CSV, one file each, with every row."""

# pyarrow.compute makes its functions at import, where a type checker cannot see them.
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from manifests.files import atomic_path
from manifests.streaming import open_stream
from pipelines.share.export.rows import Call, Exported
from pipelines.share.own_files import claim
from pipelines.terminal.progress_bar import progress

BOX = ("box_x0", "box_y0", "box_x1", "box_y1")
LANDMARKS = tuple(f"landmark_{point}_{axis}" for point in range(68) for axis in "xy")
SIZE = 8192


def export_csv(call: Call) -> Exported:
    """Writes ``out``/<manifest's name>.csv: kept, dropped and failed rows; an absent value is empty.

    Lists become columns: `box_x0` to `box_y1`, and `landmark_0_x` to `landmark_67_y`.

    Raises:
        UsageError: a manifest cannot be used, or a file of that name is not ours.
    """
    done = Exported()
    streams = [open_stream(path, call.roots) for path in call.manifests]
    claim(call.out, [f"{stream.head.path.stem}.csv" for stream in streams])
    with progress("export", sum(stream.rows for stream in streams), "photos", quiet=call.quiet) as shown:
        for stream in streams:
            path = call.out / f"{stream.head.path.stem}.csv"
            schema = flat(stream.head.table.select(list(stream.names))).schema
            with atomic_path(path) as temporary, csv.CSVWriter(temporary, schema) as writer:
                for table in stream.batches(stream.names, SIZE):
                    writer.write_table(flat(table))
                    shown.advance(table.num_rows)
            done.files[str(path)] = stream.rows
    return done


def flat(table: pa.Table) -> pa.Table:
    """Replaces each list column by a column for each of its numbers, in the same place."""
    columns: dict[str, pa.ChunkedArray] = {}
    for name in table.column_names:
        column = table.column(name)
        parts = {"box": BOX, "landmarks": LANDMARKS}.get(name)
        if parts is None:
            columns[name] = column
            continue
        empty = pa.chunked_array([], pa.float32())
        for place, part in enumerate(parts):
            columns[part] = pc.list_element(column, place) if table.num_rows else empty
    return pa.table(columns)
