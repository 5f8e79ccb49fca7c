"""Where the values of an uncompressed binary column lie in a Parquet file.

The format (Apache Parquet, "parquet.thrift" and "Encodings"): a column chunk is a row of pages, each a header
in Thrift's compact protocol and a body. A body of plain encoding is, for a column that may be null, the
definition levels (a length in 4 bytes, then runs), and then each value as a length in 4 bytes and its bytes.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from manifests.errors import UsageError

_DATA_PAGE = 0
_PLAIN = 0


@dataclass(frozen=True)
class StoredBytes:
    """The places of one column's values in a file."""

    offset: np.ndarray  # (N,) int64
    length: np.ndarray  # (N,) int64, -1 where the value is null

    def take(self, data: np.ndarray, row: int) -> np.ndarray:
        """The bytes of a value, out of the whole file's bytes."""
        start = int(self.offset[row])
        return data[start : start + int(self.length[row])]


def find_bytes(path: Path, column: str) -> StoredBytes:
    """Finds the values of a binary column.

    Raises:
        UsageError: the column is missing, compressed, or not of plain encoding.
    """
    metadata = pq.read_metadata(path)
    number = metadata.schema.to_arrow_schema().names.index(column)
    nullable = metadata.schema.column(number).max_definition_level > 0
    data = np.memmap(path, np.uint8, mode="r")
    offsets: list[int] = []
    lengths: list[int] = []
    for group in range(metadata.num_row_groups):
        chunk = metadata.row_group(group).column(number)
        if chunk.compression != "UNCOMPRESSED" or chunk.has_dictionary_page:
            raise UsageError(f"{path}: the column {column} is compressed; make the pack with deca-data pack.")
        place, rows = chunk.data_page_offset, 0
        while rows < chunk.num_values:
            header = _Header(data, place)
            if header.kind != _DATA_PAGE or header.encoding != _PLAIN:
                raise UsageError(f"{path}: the column {column} has pages of another kind; pack again.")
            body = data[header.end : header.end + header.size].data
            here, sizes = _values(body, header.values, nullable)
            offsets += [header.end + start for start in here]
            lengths += sizes
            place, rows = header.end + header.size, rows + header.values
    return StoredBytes(np.array(offsets, np.int64), np.array(lengths, np.int64))


def _values(body: memoryview, count: int, nullable: bool) -> tuple[list[int], list[int]]:
    """Start and length of each of a page's values; length -1 where null."""
    place, present = 0, None
    if nullable:
        (size,) = struct.unpack_from("<I", body, 0)
        present = _levels(body[4 : 4 + size], count)
        place = 4 + size
    starts, lengths = [], []
    for row in range(count):
        if present is not None and not present[row]:
            starts.append(0)
            lengths.append(-1)
            continue
        (length,) = struct.unpack_from("<I", body, place)
        starts.append(place + 4)
        lengths.append(length)
        place += 4 + length
    return starts, lengths


def _levels(data: memoryview, count: int) -> list[int]:
    """Decodes levels of one bit: runs of equal ones, or groups of eight in a byte each."""
    levels: list[int] = []
    place = 0
    while len(levels) < count:
        head, place = _varint(data, place)
        if head & 1:
            for byte in data[place : place + (head >> 1)]:
                levels += [byte >> bit & 1 for bit in range(8)]
            place += head >> 1
        else:
            levels += [data[place] & 1] * (head >> 1)
            place += 1
    return levels[:count]


class _Header:
    """A page's header: kind, size of the body, number and encoding of its values, and where it ends."""

    def __init__(self, data: np.ndarray, place: int) -> None:
        self._data = data[place : place + 65536].data
        fields, end = self._struct(0)
        self.end = place + end
        self.kind, self.size = fields[1], fields[3]
        page = fields.get(5, {})
        self.values, self.encoding = page.get(1, 0), page.get(2, -1)

    def _struct(self, place: int) -> tuple[dict, int]:
        fields, number = {}, 0
        while True:
            byte = self._data[place]
            place += 1
            if byte == 0:
                return fields, place
            if byte >> 4:
                number += byte >> 4
            else:
                raw, place = _varint(self._data, place)
                number = raw >> 1 ^ -(raw & 1)
            fields[number], place = self._value(byte & 15, place)

    def _value(self, kind: int, place: int) -> tuple:
        if kind in (1, 2):  # booleans stand in the type itself
            return kind == 1, place
        if kind == 3:
            return self._data[place], place + 1
        if kind in (4, 5, 6):
            raw, place = _varint(self._data, place)
            return raw >> 1 ^ -(raw & 1), place
        if kind == 8:
            size, place = _varint(self._data, place)
            return None, place + size
        if kind == 12:
            return self._struct(place)
        raise UsageError(f"a Parquet page header has a field of type {kind}; make the pack again.")


def _varint(data: memoryview, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[place]
        value |= (byte & 127) << shift
        place, shift = place + 1, shift + 7
        if byte < 128:
            return value, place
