"""Writing a manifest: rows in a fixed order, whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from manifests.files import atomic_path
from manifests.reading import INFO_KEY
from manifests.schema import FORMAT, SCHEMA

ROW_GROUP = 65536


def write_manifest(
    table: pa.Table, path: Path, *, roots: Mapping[str, Path], info: Mapping[str, Any]
) -> None:
    """Writes ``table`` as a manifest, sorted by sample_id.

    Args:
        table: rows; columns that are missing are written as nulls, columns unknown to the schema are an error.
        path: the Parquet file to write.
        roots: folder of each dataset, and of the `workspace`.
        info: recipe, stages and settings to be kept with it; JSON-able. No times, so that the same input
            gives the same bytes.

    Raises:
        ValueError: a column that the schema does not have, or a value that does not fit its type.
    """
    table = conform(table).sort_by("sample_id")
    stored = {name: str(Path(folder).resolve()) for name, folder in sorted(roots.items())}
    footer = {"format": FORMAT, "roots": stored, **info}
    table = table.replace_schema_metadata({INFO_KEY: json.dumps(footer, sort_keys=True)})
    with atomic_path(Path(path)) as temporary:
        pq.write_table(table, temporary, compression="zstd", row_group_size=ROW_GROUP)


def conform(table: pa.Table) -> pa.Table:
    """Brings ``table`` to the manifest's columns, order and types; absent columns become nulls.

    Raises:
        ValueError: a column that the schema does not have, or a value that does not fit.
    """
    unknown = set(table.column_names) - set(SCHEMA.names)
    if unknown:
        raise ValueError(f"no such manifest column: {', '.join(sorted(unknown))}")
    columns = []
    for field in SCHEMA:
        if field.name in table.column_names:
            columns.append(table.column(field.name).cast(field.type))
        else:
            columns.append(pa.nulls(table.num_rows, field.type))
    return pa.table(columns, schema=SCHEMA)
