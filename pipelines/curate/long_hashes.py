"""The long hashes of the few rows whose short ones agree, read from the parts of those rows' shards."""

from __future__ import annotations

import numpy as np

from deca_data.stages.quality import LONG_HASHES
from pipelines.workspace.parts import read_part
from pipelines.workspace.shard_tables import ShardFiles

WORDS = 8
"""uint64 numbers a row: four for the face, four for the picture."""


def long_hashes(files: list[ShardFiles], rows: np.ndarray) -> np.ndarray:
    """(M, 8) uint64.

    Args:
        files: all the shards, in the manifest's order.
        rows: (M,) numbers of rows, sorted, all of which have been through the quality stage.
    """
    found = np.zeros((len(rows), WORDS), dtype=np.uint64)
    starts = np.cumsum([0, *(each.rows for each in files)])
    bounds = np.searchsorted(rows, starts)
    for each, start, low, high in zip(files, starts[:-1], bounds[:-1], bounds[1:], strict=True):
        if low < high:
            column = read_part(each.stages["quality"], [LONG_HASHES]).column(LONG_HASHES)
            data = b"".join(column.take(rows[low:high] - start).to_pylist())
            found[low:high] = np.frombuffer(data, dtype=">u8").reshape(-1, WORDS)
    return found
