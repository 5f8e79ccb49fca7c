"""The landmarks of millions of faces as one array of blocks, which may be mapped files."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pyarrow as pa


class LandmarkRows:
    """Reads like an array (N, 68, 2) float32 by row or rows; the blocks are not copied."""

    def __init__(self, blocks: Iterable[np.ndarray]) -> None:  # (n, 68, 2) float32 each
        self.blocks = [block for block in blocks if len(block)]
        self._ends = np.cumsum([len(block) for block in self.blocks])

    def __len__(self) -> int:
        return int(self._ends[-1]) if len(self._ends) else 0

    def __getitem__(self, rows: int | np.ndarray) -> np.ndarray:  # (68, 2) or (n, 68, 2)
        if np.ndim(rows) == 0:
            return self._row(int(rows))
        return np.stack([self._row(int(row)) for row in np.asarray(rows)])

    def _row(self, row: int) -> np.ndarray:
        if not 0 <= row < len(self):
            raise IndexError(row)
        number = int(np.searchsorted(self._ends, row, side="right"))
        block = self.blocks[number]
        return block[row - int(self._ends[number]) + len(block)]


def landmark_rows(column: pa.ChunkedArray) -> LandmarkRows:
    """The landmarks of a column of lists of 136 float32 numbers, without null, as they lie in its buffers."""
    return LandmarkRows(chunk.flatten().to_numpy().reshape(-1, 68, 2) for chunk in column.chunks)
