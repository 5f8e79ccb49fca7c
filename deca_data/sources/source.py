"""A dataset's layout on disk."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from deca_data.sources.walk import IMAGE_ENDINGS, VIDEO_ENDINGS, OnSkip, walk

Columns = Callable[[str], dict[str, Any]]
"""From a file's path, relative to the root, to the columns of its row that the layout knows."""

LABELS = ("valence", "arousal", "expression")
"""Annotations that become columns of the manifest."""

OUT_OF_RANGE = "out_of_range"
"""Not a column: how many labels of a row are left out because they are out of range."""


class Source(NamedTuple):
    """One dataset layout: how to recognise it, and which identity, clip and frame belong to a path.

    Attributes:
        name: as given with `--dataset`; also the dataset's name in the manifest.
        layout: one line that shows the layout, for `deca-data sources`.
        guess: why a root looks like this dataset, in a few words, or None. Reads only a few entries.
        columns: reads the annotation files of a root, if there are any, and returns its `Columns`.
        video: True where the scanned files are videos, from which frames are extracted first.
        annotated: True where photos may have annotations (`LABELS`).
    """

    name: str
    layout: str
    guess: Callable[[Path], str | None]
    columns: Callable[[Path], Columns]
    video: bool = False
    annotated: bool = False

    def scan(
        self, root: Path, on_skip: OnSkip | None = None, *, follow_links: bool = False
    ) -> Iterator[dict[str, Any]]:
        """Yields rows in the order of their relative paths, without keeping them all in memory.

        Each row has `image` (POSIX path relative to ``root``), `identity`, `clip`, `frame` (None where
        the dataset has none), `bytes` and `mtime_ns` of the file, and the annotations, if there are any
        (`valence`, `arousal`, `expression`; `given_box` as x0 y0 x1 y1 in pixels).
        ``on_skip`` gets every entry that is left out (a link out of the root, an unreadable folder, a file of
        another kind) and the reason. With ``follow_links``, links are followed out of the root.
        """
        columns = self.columns(root)
        endings = VIDEO_ENDINGS if self.video else IMAGE_ENDINGS
        for path, size, mtime_ns in walk(root, endings, on_skip, follow_links=follow_links):
            row = {"image": path, "identity": None, "clip": None, "frame": None}
            yield {**row, "bytes": size, "mtime_ns": mtime_ns, **columns(path)}
