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

STATUSES = {"ok", "dropped", "failed"}

_INDEX = re.compile(r"__index_level_\d+__")
"""The columns in which pandas saves the index of a selection."""


def is_index(name: str) -> bool:
    """Returns whether a column is an index that pandas saved."""
    return _INDEX.fullmatch(name) is not None


def conforming(table: pa.Table, path: Path) -> pa.Table:
    """Returns ``table`` with its core columns in the schema's types; without an index of pandas.

    Raises:
        UsageError: a column of the manifest ``path`` holds something else, or a status is unknown.
    """
    for place, name in reversed(list(enumerate(table.column_names))):
        if is_index(name):
            table = table.remove_column(place)
        elif name in SCHEMA.names and table.schema.field(name).type != SCHEMA.field(name).type:
            field = SCHEMA.field(name)
            table = table.set_column(place, field, _cast(table.column(place), field, path))
    if "status" in table.column_names:
        _check_statuses(table.column("status"), path)
    return table


def _check_statuses(column: pa.ChunkedArray, path: Path) -> None:
    """Raises UsageError for a status that no manifest has: its rows would be left out without a word."""
    unknown = {str(each) for each in column.unique().to_pylist()} - STATUSES
    if unknown:
        raise UsageError(
            f"{path}: a row has the status {min(unknown)[:80]!r}; write ok, dropped or failed, or make the "
            "manifest again."
        )


def check_usable(table: pa.Table, path: Path) -> np.ndarray:  # (N, 68, 2) float32
    """Checks rows of status ok with landmarks, and returns the landmarks.

    ``table`` has the columns sample_id and landmarks, in the schema's types; its manifest is ``path``.

    Raises:
        UsageError: the landmarks of a row are not 68 finite points, or it has no name, dataset or image.
    """
    for name in ("sample_id", "dataset", "image"):
        if name in table.column_names and table.column(name).null_count:
            raise UsageError(f"{path}: a row of status ok has no {name}; make the manifest again.")
    return check_numbers(table, "landmarks", path).reshape(-1, 68, 2)


def check_numbers(table: pa.Table, name: str, path: Path) -> np.ndarray:  # (valid rows, length) float32
    """Returns the lists of the column ``name``, landmarks or box, without the rows that have none.

    Raises:
        UsageError: a list has another length, or a number that is not finite.
    """
    table = table.filter(pc.is_valid(table.column(name)))
    length = LENGTHS[name]
    column = table.column(name).combine_chunks()
    column = pa.concat_arrays(column.chunks) if isinstance(column, pa.ChunkedArray) else column
    wrong = np.asarray(pc.list_value_length(column)) != length
    if not wrong.any():
        numbers = column.flatten().to_numpy(zero_copy_only=False).astype(np.float32, copy=False)
        numbers = numbers.reshape(-1, length)
        wrong = ~np.isfinite(numbers).all(axis=1)
        if not wrong.any():
            return numbers
    place = int(np.flatnonzero(wrong)[0])
    row = table.column("sample_id")[place].as_py() if "sample_id" in table.column_names else "a row"
    what = "68 finite points" if name == "landmarks" else "4 finite numbers"
    raise UsageError(
        f"{path}: the {name} of {row} are not {what}; leave such rows out, or make the manifest again with "
        "`deca-data build-manifest`."
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
