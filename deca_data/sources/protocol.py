"""What a dataset's layout on disk offers to the scan."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

from deca_data.sources.walk import OnSkip


class Source(Protocol):
    """One dataset layout: how to recognise it, and which identity, clip and frame a path stands for.

    Attributes:
        name: as typed with `--dataset`; also the dataset's name in the manifest.
        layout: one line that shows the layout, for `deca-data sources`.
        video: True where the scanned files are videos that are turned into frames first.
    """

    name: str
    layout: str
    video: bool

    def guess(self, root: Path) -> str | None:
        """Why ``root`` looks like this dataset, in a few words, or None. Looks at a few entries only."""
        ...

    def scan(self, root: Path, on_skip: OnSkip | None = None) -> Iterator[dict[str, Any]]:
        """Rows in the order of their relative path, streaming.

        Each row has `image` (POSIX path relative to ``root``), `identity`, `clip`, `frame` (None where
        the dataset has none), `bytes` and `mtime_ns` of the file, and what annotations give
        (`valence`, `arousal`, `expression`; `given_box` as x0 y0 x1 y1 in pixels).
        What is not followed (a link out of the root, an unreadable folder) goes to ``on_skip``, with why.
        """
        ...
