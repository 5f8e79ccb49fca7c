"""What the exports share: the call, what they report back, and work in threads."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from pipelines.terminal.progress_bar import Progress

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


def in_threads(
    work: Callable[[dict[str, Any]], Result], rows: Iterator[dict[str, Any]], progress: Progress
) -> Iterator[Result]:
    """``work`` of every row, in order; reading files is what takes the time, so a few at once."""
    with ThreadPoolExecutor(THREADS) as pool:
        while some := list(islice(rows, AT_ONCE)):
            yield from pool.map(work, some)
            progress.advance(len(some))
