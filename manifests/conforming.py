"""Brings what pandas, DuckDB or polars saved back to the manifest's own types, and checks landmarks."""

# pyarrow.compute makes its functions at import, where a type checker cannot see them.
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from manifests.errors import UsageError
from manifests.schema import LENGTHS, SCHEMA

_INDEX = re.compile(r"__index_level_\d+__")
"""The columns in which pandas saves the index of a selection."""


def is_index(name: str) -> bool:
    """Returns whether a column is an index that pandas saved."""
    return _INDEX.fullmatch(name) is not None


def conforming(table: pa.Table, path: Path) -> pa.Table:
    """Returns ``table`` with its core columns in the schema's types; without an index of pandas.

    Raises:
        UsageError: a column of the manifest ``path`` holds something else.
    """
    for place, name in reversed(list(enumerate(table.column_names))):
        if is_index(name):
            table = table.remove_column(place)
        elif name in SCHEMA.names and table.schema.field(name).type != SCHEMA.field(name).type:
            field = SCHEMA.field(name)
            table = table.set_column(place, field, _cast(table.column(place), field, path))
    return table


def check_usable(table: pa.Table, path: Path) -> np.ndarray:  # (N, 68, 2) float32
    """Checks rows of status ok with landmarks, and returns the landmarks.

    ``table`` has the columns sample_id and landmarks, in the schema's types; its manifest is ``path``.

    Raises:
        UsageError: the landmarks of a row are not 68 finite points.
    """
    column = table.column("landmarks").combine_chunks()
    column = pa.concat_arrays(column.chunks) if isinstance(column, pa.ChunkedArray) else column
    wrong = np.asarray(pc.list_value_length(column)) != LENGTHS["landmarks"]
    if not wrong.any():
        points = column.flatten().to_numpy(zero_copy_only=False).astype(np.float32, copy=False)
        points = points.reshape(-1, 68, 2)
        wrong = ~np.isfinite(points).all(axis=(1, 2))
        if not wrong.any():
            return points
    name = table.column("sample_id")[int(np.flatnonzero(wrong)[0])].as_py()
    raise UsageError(
        f"{path}: the landmarks of {name} are not 68 finite points; leave such rows out, or make the "
        "manifest again with `deca-data build-manifest`."
    )


def _cast(column: pa.ChunkedArray, field: pa.Field, path: Path) -> pa.ChunkedArray:
    try:
        if pa.types.is_dictionary(column.type):
            column = column.cast(column.type.value_type)
        if pa.types.is_integer(field.type) and pa.types.is_floating(column.type):
            # pandas saves whole numbers with gaps as floats, and the gaps as NaN
            column = pc.if_else(pc.is_nan(column), pa.scalar(None, column.type), column)
        return column.cast(field.type)
    except pa.ArrowException as error:
        raise UsageError(
            f"{path}: the column {field.name} holds {column.type}, which cannot be read as {field.type} "
            f"({str(error).splitlines()[0]})."
        ) from None
