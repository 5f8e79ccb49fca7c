"""Any folder of photos: one sub-folder per identity, or a flat folder of unknown persons."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from deca_data.sources.source import Source
from deca_data.sources.walk import IMAGE_ENDINGS, walk


def _guess(root: Path) -> str | None:
    """Accepts every folder that holds at least one photo."""
    first = next(walk(root, IMAGE_ENDINGS), None)
    if first is None:
        return None
    return "photos in sub-folders" if "/" in first.path else "photos"


def _columns(path: str) -> dict[str, Any]:
    """The identity is the name of the first-level sub-folder."""
    first, slash, _ = path.partition("/")
    return {"identity": first if slash else None}


FOLDER = Source(
    "folder", "IDENTITY/.../photo.jpg, or photo.jpg (identity unknown)", _guess, lambda root: _columns
)
