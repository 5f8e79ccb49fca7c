"""Any folder of photos: one sub-folder per identity, or a flat folder of unknown persons."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from deca_data.sources.folder_levels import folders_above_persons
from deca_data.sources.source import Columns, Source
from deca_data.sources.walk import IMAGE_ENDINGS, walk


def _guess(root: Path) -> str | None:
    """Accepts every folder that holds at least one photo."""
    first = next(walk(root, IMAGE_ENDINGS), None)
    if first is None:
        return None
    return "photos in sub-folders" if "/" in first.path else "photos"


def _columns(root: Path) -> Columns:
    """The identity is the name of the first sub-folder that is no wrapping folder, split or range."""
    above = folders_above_persons(root)

    def columns(path: str) -> dict[str, Any]:
        *folders, _ = path.split("/")
        level = 0
        while "/".join(folders[: level + 1]) in above and level < len(folders):
            level += 1
        return {"identity": folders[level] if level < len(folders) else None}

    return columns


FOLDER = Source(
    "folder",
    "[train/ or another folder above]/IDENTITY/.../photo.jpg, or photo.jpg (identity unknown)",
    _guess,
    _columns,
)
