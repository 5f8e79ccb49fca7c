"""The columns of a manifest that training needs, of its usable rows.

Of a large manifest they are written to an Arrow file, which is mapped: all processes share one copy of it,
and memory holds only what they touch. The file lies beside the manifest, hidden; where that folder cannot be
written, it is a temporary file. A changed manifest gets a new one.
"""

# pyarrow.compute makes its functions at import, where a type checker cannot see them.
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from manifests.conforming import check_usable, conforming
from manifests.errors import WorkFailed
from manifests.files import atomic_path
from manifests.reading import ADOPTED, BATCH, NEEDED, RowDigest, check_columns, check_folders, open_parquet
from manifests.schema import LENGTHS, SCHEMA
from manifests.streaming import ManifestStream

COLUMNS = (
    *("sample_id", "dataset", "identity", "image", "mask_path", "dense_path", "landmarks", "width", "height"),
    "expression",
)

IN_MEMORY = 50_000
"""Number of rows up to which a manifest is kept in memory."""

_FORMAT = 2
_LIST = pa.list_(pa.float32(), LENGTHS["landmarks"])
_SCHEMA = pa.schema([pa.field(n, _LIST if n == "landmarks" else SCHEMA.field(n).type) for n in COLUMNS])


class FaceColumns(NamedTuple):
    """The usable rows of a manifest.

    Attributes:
        table: ``COLUMNS`` in the schema's types; landmarks are lists of 136 finite numbers.
        fingerprint: that of all rows of the manifest (``Manifest.fingerprint``).
    """

    table: pa.Table
    fingerprint: str


def read_columns(stream: ManifestStream, in_memory: int = IN_MEMORY) -> FaceColumns:
    """The usable rows of a manifest, in memory or mapped.

    Raises:
        UsageError: the file cannot be read, lacks a column, or a row is not valid; a folder is gone.
        WorkFailed: the file to map cannot be written.
    """
    path = stream.head.path
    with open_parquet(path) as file:
        check_columns(path, file.schema_arrow, NEEDED)
    if stream.rows <= in_memory:
        sink = pa.BufferOutputStream()
        facts = _write(stream, sink)
        table = pa.ipc.open_stream(sink.getvalue()).read_all()
    else:
        table, facts = _mapped(stream)
    adopted = bool(stream.head.info.get(ADOPTED))
    check_folders(path, facts["datasets"], stream.head.roots, facts["masks"] or not adopted)
    return FaceColumns(table, facts["fingerprint"])


def columns_of(table: pa.Table, path: Path) -> pa.Table:
    """The usable rows of a table that is in memory; the manifest ``path`` is for messages."""
    usable = table.filter(_usable(table))
    points = pa.array(check_usable(usable, path).reshape(-1))
    found = []
    for field in _SCHEMA:
        if field.name == "landmarks":
            found.append(pa.FixedSizeListArray.from_arrays(points, LENGTHS["landmarks"]))
        elif field.name in usable.column_names:
            found.append(usable.column(field.name).cast(field.type))
        else:
            found.append(pa.nulls(usable.num_rows, field.type))
    return pa.table(found, schema=_SCHEMA)


def _usable(table: pa.Table) -> pa.ChunkedArray:
    return pc.and_(pc.equal(table.column("status"), "ok"), pc.is_valid(table.column("landmarks")))


def _mapped(stream: ManifestStream) -> tuple[pa.Table, dict[str, Any]]:
    path = stream.head.path
    stat = path.stat()
    key = f"{_FORMAT} {path.name} {stat.st_size} {stat.st_mtime_ns}"
    stem = f".{path.name}.faces-"
    own = path.with_name(f"{stem}{hashlib.blake2b(key.encode(), digest_size=8).hexdigest()}.arrow")
    with contextlib.suppress(OSError, pa.ArrowException, ValueError, KeyError):  # it is made again
        return _open(own)
    try:
        with atomic_path(own) as temporary:
            _write_file(stream, temporary)
        for old in path.parent.glob(f"{stem}*.arrow"):
            if old != own:
                old.unlink(missing_ok=True)
        return _open(own)
    except OSError as beside:
        try:
            with _temporary() as place:
                _write_file(stream, place)
                return _open(place)  # the mapping stays when the file's name is gone
        except OSError as error:
            raise WorkFailed(
                f"{path}: its faces cannot be written to a file to map, neither beside it "
                f"({beside.strerror}) nor in {tempfile.gettempdir()} ({error.strerror}); make room, or set "
                "TMPDIR, then repeat the command."
            ) from error


@contextlib.contextmanager
def _temporary() -> Iterator[Path]:
    number, name = tempfile.mkstemp(suffix=".arrow")
    os.close(number)
    try:
        yield Path(name)
    finally:
        Path(name).unlink()


def _open(path: Path) -> tuple[pa.Table, dict[str, Any]]:
    """Maps a file of ``_write``."""
    with pa.memory_map(str(path)) as file:  # the table keeps the memory mapped
        table = pa.ipc.open_stream(file).read_all()
        facts = json.loads(file.read())
    if not table.schema.equals(_SCHEMA) or table.num_rows != facts["rows"]:
        raise ValueError("another format")
    table.validate(full=True)
    return table, facts


def _write_file(stream: ManifestStream, path: Path) -> None:
    with pa.OSFile(str(path), "wb") as sink:
        facts = _write(stream, sink)
        sink.write(json.dumps(facts).encode())


def _batches(path: Path) -> Iterator[pa.RecordBatch]:
    with open_parquet(path, mapped=True) as file:  # its errors are those of reading, not those of writing
        yield from file.iter_batches(BATCH)


def _write(stream: ManifestStream, sink: pa.NativeFile) -> dict[str, Any]:
    """Writes the usable rows as an Arrow stream; returns what else must be known of all rows."""
    path, datasets, masks, rows = stream.head.path, set(), False, 0
    with open_parquet(path) as file:
        digest = RowDigest(file.schema_arrow)
    with pa.ipc.new_stream(sink, _SCHEMA) as writer:
        for batch in _batches(path):
            digest.add(batch)
            kept = [name for name in (*COLUMNS, "status") if name in batch.schema.names]
            table = conforming(pa.Table.from_batches([batch]).select(kept), path)
            datasets |= set(table.column("dataset").unique().to_pylist())
            usable = columns_of(table, path)
            masks = masks or usable.column("mask_path").null_count < usable.num_rows
            rows += usable.num_rows
            writer.write_table(usable)
            del batch, table, usable
            pa.default_memory_pool().release_unused()
    named = sorted(str(name) for name in datasets)
    return {"fingerprint": digest.result(), "datasets": named, "masks": masks, "rows": rows}
