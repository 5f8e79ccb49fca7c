"""Any folder of videos: one sub-folder per identity, or a flat folder of unknown persons."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from deca_data.sources.folder import FOLDER
from deca_data.sources.source import Columns, Source
from deca_data.sources.walk import VIDEO_ENDINGS, walk


def _guess(root: Path) -> str | None:
    """Accepts every folder that holds at least one video."""
    first = next(walk(root, VIDEO_ENDINGS), None)
    if first is None:
        return None
    return "videos in sub-folders" if "/" in first.path else "videos"


def _columns(root: Path) -> Columns:
    """The identity is that of a folder of photos; each video is a clip."""
    of_photos = FOLDER.columns(root)

    def columns(path: str) -> dict[str, Any]:
        return {**of_photos(path), "clip": path, "boxes_path": None}

    return columns


VIDEOS = Source(
    "videos", "IDENTITY/.../film.mp4, or film.mp4 (identity unknown)", _guess, _columns, video=True
)
