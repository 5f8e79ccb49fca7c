"""Reads a pack at any row: shards are mapped, so that all processes share one copy of the images."""

from __future__ import annotations

import json
from itertools import accumulate
from pathlib import Path

import numpy as np
import pyarrow as pa
from pydantic import ValidationError

from manifests.errors import UsageError
from manifests.packs.schema import DENSE, FORMAT, KEY, SCHEMA, Index, Shard

_AGAIN = "run `deca-data pack` again"


class Pack:
    """An open pack; it is pickled as its path only, and each process maps the files itself.

    Attributes:
        path: the file of the index.
        index: the index.
        table: all rows in the mapped files, columns as in `schema.SCHEMA`, and `schema.DENSE` if a shard
            has it.
    """

    def __init__(self, path: Path):
        """Opens the index ``path`` and every shard; reads no image.

        Raises:
            UsageError: a file is missing, damaged, of another format, or differs from the index.
        """
        self.path = path
        self.index = read_index(path)
        shards = [open_shard(path.parent, shard) for shard in self.index.shards]
        if any(DENSE.name in shard.column_names for shard in shards):
            shards = [_with_dense(shard) for shard in shards]
        self.table = pa.concat_tables(shards) if shards else SCHEMA.empty_table()
        self._images, self._masks = self.table["image_jpeg"], self.table["mask_zlib"]

    def __reduce__(self) -> tuple[type[Pack], tuple[Path]]:
        return Pack, (self.path,)

    def image_bytes(self, row: int) -> np.ndarray:  # (N,) uint8
        """Returns the JPEG file of a row, without a copy."""
        return np.frombuffer(self._images[row].as_buffer(), np.uint8)

    @property
    def has_masks(self) -> bool:
        """Whether any row has a mask."""
        return self._masks.null_count < len(self._masks)

    def mask_bytes(self, row: int) -> bytes | None:
        """Returns the input of `schema.decode_mask`; None if the row has no mask."""
        return self._masks[row].as_py()

    def place(self, row: int) -> str:
        """Returns a row's shard and its number in the shard, for messages."""
        ends = list(accumulate(shard.rows for shard in self.index.shards))
        number = int(np.searchsorted(ends, row, side="right"))
        shard = self.index.shards[number]
        return f"{self.path.parent / shard.name}, row {row - ends[number] + shard.rows}"


def read_index(path: Path) -> Index:
    """Reads the index of a pack.

    Raises:
        UsageError: it is missing, no index, of another format, or names a file outside its folder.
    """
    if not path.is_file():
        raise UsageError(f"{path}: there is no such pack; make one with `deca-data pack`.")
    try:
        said = json.loads(path.read_bytes())
        found = said.get("format") if isinstance(said, dict) else None
        if found not in (None, FORMAT):
            raise UsageError(f"{path}: this pack has format {found}, this version reads {FORMAT}; {_AGAIN}.")
        index = Index.model_validate(said)
    except (OSError, ValueError, RecursionError) as error:
        why = error
        if isinstance(error, ValidationError):
            first = error.errors()[0]
            why = f"{'.'.join(map(str, first['loc'])) or 'all of it'}: {first['msg']}"
        raise UsageError(
            f"{path}: this is not the index of a pack ({why}); make one with `deca-data pack`."
        ) from None
    for shard in index.shards:
        if Path(shard.name).name != shard.name:
            raise UsageError(f"{path}: the shard {shard.name!r} lies outside the pack's folder; {_AGAIN}.")
    return index


def open_shard(folder: Path, shard: Shard) -> pa.Table:
    """Maps a shard and checks everything except the images; the table has no metadata.

    Raises:
        UsageError: the file is missing, damaged, or differs from the index.
    """
    path = folder / shard.name
    if not path.is_file():
        raise UsageError(f"{path}: this shard of the pack is missing; {_AGAIN}.")
    try:
        with pa.memory_map(str(path)) as file:  # the table keeps the memory mapped
            table = pa.ipc.open_file(file).read_all()
        table.validate(full=True)
        header = json.loads((table.schema.metadata or {})[KEY])
        fingerprint = header["fingerprint"]
    except (pa.ArrowException, OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{path}: this shard of the pack is damaged ({error}); {_AGAIN}.") from None
    _check_fits(path, table, shard, fingerprint)
    return table.replace_schema_metadata(None)


def _with_dense(table: pa.Table) -> pa.Table:
    if DENSE.name in table.column_names:
        return table
    return table.append_column(DENSE, pa.nulls(table.num_rows, DENSE.type))


def is_finished(folder: Path, shard: Shard) -> bool:
    """Returns whether the shard exists, complete, with the fingerprint of ``shard``."""
    try:
        open_shard(folder, shard)
    except UsageError:
        return False
    return True


def _check_fits(path: Path, table: pa.Table, shard: Shard, fingerprint: str) -> None:
    if table.schema not in (SCHEMA, SCHEMA.append(DENSE)) or any(
        table[field.name].null_count for field in SCHEMA if not field.nullable
    ):
        raise UsageError(f"{path}: its columns are not those of a shard of format {FORMAT}; {_AGAIN}.")
    if table.num_rows != shard.rows:
        raise UsageError(f"{path}: it has {table.num_rows} rows, the index says {shard.rows}; {_AGAIN}.")
    if fingerprint != shard.fingerprint:
        raise UsageError(f"{path}: it was made from other rows or settings than the index says; {_AGAIN}.")
