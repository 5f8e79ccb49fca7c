"""The protocol of a dataset layout on disk."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

from deca_data.sources.walk import OnSkip


class Source(Protocol):
    """One dataset layout: how to recognise it, and which identity, clip and frame belong to a path.

    Attributes:
        name: as given with `--dataset`; also the dataset's name in the manifest.
        layout: one line that shows the layout, for `deca-data sources`.
        video: True where the scanned files are videos, from which frames are extracted first.
    """

    name: str
    layout: str
    video: bool

    def guess(self, root: Path) -> str | None:
        """Why ``root`` looks like this dataset, in a few words, or None. Reads only a few entries."""
        ...

    def scan(self, root: Path, on_skip: OnSkip | None = None) -> Iterator[dict[str, Any]]:
        """Yields rows in the order of their relative paths, without keeping them all in memory.

        Each row has `image` (POSIX path relative to ``root``), `identity`, `clip`, `frame` (None where
        the dataset has none), `bytes` and `mtime_ns` of the file, and the annotations, if there are any
        (`valence`, `arousal`, `expression`; `given_box` as x0 y0 x1 y1 in pixels).
        ``on_skip`` gets every entry that is not followed (a link out of the root, an unreadable folder) and
        the reason.
        """
        ...
