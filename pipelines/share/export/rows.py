"""What the exports share: the options and the result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

THREADS = 4
"""Threads that read and write the files of photos; the file system takes most of the time."""

AHEAD = 256
"""Photos that may be read before the first of them is written."""


@dataclass(frozen=True)
class Call:
    """The options of `deca-data export`; ``copy_images`` copies photos, else they are linked."""

    manifests: Sequence[Path]
    out: Path
    roots: Mapping[str, Path] = field(default_factory=dict)
    copy_images: bool = False
    shard_rows: int = 1000
    quiet: bool = False


@dataclass
class Exported:
    """The result: number of entries by file, and sentences for the user."""

    files: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
