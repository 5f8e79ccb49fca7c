"""The rows that are exported, and what an export reports back."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from manifests.streaming import ManifestStream
from pipelines.progress import Progress

Result = TypeVar("Result")

THREADS = 4
AT_ONCE = 256


@dataclass(frozen=True)
class Call:
    """What `deca-data export` was asked for.

    Attributes:
        manifests: the files to export.
        out: folder for the results.
        roots: folders that moved, by name.
        copy_images: copies of photos instead of links to them.
        shard_rows: photos per tar file.
        quiet: no progress.
    """

    manifests: Sequence[Path]
    out: Path
    roots: Mapping[str, Path] = field(default_factory=dict)
    copy_images: bool = False
    shard_rows: int = 1000
    quiet: bool = False


@dataclass
class Exported:
    """What an export wrote.

    Attributes:
        files: what to hand to the reader, with the number of entries in each.
        notes: what the reader must know, a sentence each.
    """

    files: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def kept_rows(stream: ManifestStream, columns: Sequence[str], progress: Progress) -> Iterator[dict[str, Any]]:
    """Rows of status ok with landmarks, in the manifest's order; landmarks as (68, 2) float32."""
    wanted = list(dict.fromkeys([*columns, "status", "landmarks"]))
    for table in stream.batches(wanted, size=AT_ONCE * 4):
        for row in table.to_pylist():
            if row["status"] == "ok" and row["landmarks"] is not None:
                row["landmarks"] = np.array(row["landmarks"], np.float32).reshape(68, 2)
                yield row
        progress.advance(table.num_rows)


def in_threads(work: Callable[[dict[str, Any]], Result], rows: Iterator[dict[str, Any]]) -> Iterator[Result]:
    """``work`` of every row, in order; reading files is what takes the time, so a few at once."""
    with ThreadPoolExecutor(THREADS) as pool:
        while some := list(islice(rows, AT_ONCE)):
            yield from pool.map(work, some)
