"""VoxCeleb2: `dev/mp4/id00012/21Uxsk56VDQ/00001.mp4`; face boxes in the `txt` tree are optional.

The identity is the id folder, the clip is video/utterance. The videos may already be extracted to frames:
`id00012/21Uxsk56VDQ/00001/0025.png`.
"""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path
from typing import Any

from deca_data.sources.source import Columns, Source
from deca_data.sources.voxceleb1 import frame_number
from deca_data.sources.walk import IMAGE_ENDINGS, VIDEO_ENDINGS, is_file_inside, peek
from manifests.files import read_file

_IDENTITY = re.compile(r"id\d{5}")
_BOX_LINE = re.compile(r"\s*(\d+)\s+([-\d.]+)\s+([-\d.]+)\s+([-\d.]+)\s+([-\d.]+)\s*")


def read_boxes(path: Path, width: int, height: int) -> dict[int, list[float]]:
    """The boxes of a VoxCeleb2 `txt` file by frame number.

    The file has lines "name : value", then a line "FRAME X Y W H", then one line per frame, with the box in
    parts of the original video's width and height.

    Args:
        path: the file.
        width: of the video, pixels.
        height: of the video, pixels.

    Returns:
        x0, y0, x1, y1 in pixels, by the file's frame number; malformed lines are left out.
    """
    boxes: dict[int, list[float]] = {}
    for line in read_file(path).decode("utf-8", "replace").splitlines():
        match = _BOX_LINE.fullmatch(line)
        if match is None:
            continue
        try:
            x, y, w, h = (float(value) for value in match.groups()[1:])
        except ValueError:
            continue
        if w > 0 and h > 0:
            boxes[int(match[1])] = [x * width, y * height, (x + w) * width, (y + h) * height]
    return boxes


def _guess(root: Path, endings: frozenset[str], what: str) -> str | None:
    """Looks for files below folders named like id00012."""
    for path in peek(root, depth=6, each=4):
        *folders, file = path.split("/")
        person = next(filter(_IDENTITY.fullmatch, folders), None)
        if person and file.lower().endswith(tuple(endings)):
            return f"{what} in folders like {person}"
    return None


def _video_columns(root: Path) -> Columns:
    """With `boxes_path`, the file of a video's boxes, relative to the root, or None."""

    def columns(path: str) -> dict[str, Any]:
        stem = path.rsplit(".", 1)[0]
        identity, clip = _split(stem)
        folders = stem.split("/")
        boxes = None
        if "mp4" in folders:
            folders[folders.index("mp4")] = "txt"
            boxes = "/".join(folders) + ".txt"
        if boxes is not None and not is_file_inside(root, root / boxes):
            boxes = None
        return {"identity": identity, "clip": "/".join(clip), "boxes_path": boxes}

    return columns


def _frame_columns(path: str) -> dict[str, Any]:
    """A frame's number is the last number in its file name."""
    identity, (*clip, file) = _split(path)
    return {"identity": identity, "clip": "/".join(clip) or None, "frame": frame_number(file)}


def _split(path: str) -> tuple[str | None, list[str]]:
    """The identity, and the parts of the path after it."""
    parts = path.split("/")
    for place, part in enumerate(parts[:-1]):
        if _IDENTITY.fullmatch(part):
            return part, parts[place + 1 :]
    return None, parts


VIDEOS = Source(
    "voxceleb2",
    "{dev,test}/mp4/id00012/21Uxsk56VDQ/00001.mp4; boxes from .../txt/id00012/21Uxsk56VDQ/00001.txt",
    partial(_guess, endings=VIDEO_ENDINGS, what="videos"),
    _video_columns,
    video=True,
)

FRAMES = Source(
    "voxceleb2-frames",
    "{dev,test}/.../id00012/21Uxsk56VDQ/00001/0025.png: frames instead of videos",
    partial(_guess, endings=IMAGE_ENDINGS, what="frames"),
    lambda root: _frame_columns,
)
