"""Any folder of photos: one sub-folder per identity, or a flat folder of unknown persons."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from deca_data.sources.walk import IMAGE_ENDINGS, OnSkip, as_row, walk


class Folder:
    """Photos below a folder; the identity is the name of the first-level sub-folder that holds them."""

    name = "folder"
    layout = "IDENTITY/.../photo.jpg, or photo.jpg (identity unknown)"
    video = False

    def guess(self, root: Path) -> str | None:
        """Accepts every folder that holds at least one photo."""
        first = next(walk(root, IMAGE_ENDINGS), None)
        if first is None:
            return None
        return "photos in sub-folders" if "/" in first.path else "photos"

    def scan(self, root: Path, on_skip: OnSkip | None = None) -> Iterator[dict[str, Any]]:
        """One row per photo."""
        for found in walk(root, IMAGE_ENDINGS, on_skip):
            first, slash, _ = found.path.partition("/")
            yield as_row(found, identity=first if slash else None)
