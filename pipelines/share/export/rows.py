"""What the exports share: the call, and what they report back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

THREADS = 4
"""Threads that read and write the files of photos: the file system is what takes the time."""

AHEAD = 256
"""Photos that may be read before the first of them is written."""


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
