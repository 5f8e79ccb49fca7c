"""The rows of a manifest that are handed on: kept ones, with landmarks."""

# pyarrow.compute makes its functions at import, where a type checker cannot see them.
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from manifests.streaming import ManifestStream

BATCH = 4096


def kept_rows(stream: ManifestStream, columns: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Rows of status ok that have landmarks, in the manifest's order.

    Each is a dict with ``columns``, and `landmarks` as (68, 2) float32.
    """
    wanted = list(dict.fromkeys([*columns, "status", "landmarks"]))
    for table in stream.batches(wanted, size=BATCH):
        table = table.filter(_is_kept(table))
        # Lists become Python objects slowly: the landmarks are taken as one array instead.
        points = table.column("landmarks").combine_chunks().flatten().to_numpy(zero_copy_only=False)
        rows = table.drop_columns(["landmarks"]).to_pylist()
        for row, landmarks in zip(rows, points.reshape(-1, 68, 2), strict=True):
            yield {**row, "landmarks": landmarks}


def count_kept(stream: ManifestStream) -> int:
    """How many rows have the status ok: what `kept_rows` gives, found without reading landmarks."""
    ok = (pc.sum(pc.equal(table.column("status"), "ok")).as_py() for table in stream.batches(["status"]))
    return sum(count or 0 for count in ok)


def _is_kept(table: pa.Table) -> pa.ChunkedArray:
    return pc.and_(pc.equal(table.column("status"), "ok"), pc.is_valid(table.column("landmarks")))
