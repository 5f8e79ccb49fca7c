"""VoxCeleb2: `dev/mp4/id00012/21Uxsk56VDQ/00001.mp4`; face boxes in the `txt` tree are optional."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from deca_data.sources.walk import IMAGE_ENDINGS, VIDEO_ENDINGS, Found, OnSkip, as_row, peek, walk

_IDENTITY = re.compile(r"id\d{5}")
_BOX_LINE = re.compile(r"\s*(\d+)\s+([-\d.]+)\s+([-\d.]+)\s+([-\d.]+)\s+([-\d.]+)\s*")


class VoxCeleb2:
    """Talking-head videos; the identity is the id folder, the clip is video/utterance."""

    name = "voxceleb2"
    layout = "{dev,test}/mp4/id00012/21Uxsk56VDQ/00001.mp4; boxes from .../txt/id00012/21Uxsk56VDQ/00001.txt"
    video = True

    def guess(self, root: Path) -> str | None:
        """Looks for videos below folders named like id00012."""
        return _guess(root, VIDEO_ENDINGS, "videos")

    def scan(self, root: Path, on_skip: OnSkip | None = None) -> Iterator[dict[str, Any]]:
        """One row per video; `boxes_path` is the file of its boxes, relative to the root, or None."""
        for found in walk(root, VIDEO_ENDINGS, on_skip):
            identity, clip = _names(found)
            clip = "/".join([*clip[:-1], clip[-1].rsplit(".", 1)[0]])
            yield as_row(found, identity=identity, clip=clip, boxes_path=_boxes_path(root, found.path))


class VoxCeleb2Frames:
    """Videos that are already extracted to frames: `id00012/21Uxsk56VDQ/00001/0025.png`."""

    name = "voxceleb2-frames"
    layout = "{dev,test}/.../id00012/21Uxsk56VDQ/00001/0025.png: frames instead of videos"
    video = False

    def guess(self, root: Path) -> str | None:
        """Looks for frames below folders named like id00012."""
        return _guess(root, IMAGE_ENDINGS, "frames")

    def scan(self, root: Path, on_skip: OnSkip | None = None) -> Iterator[dict[str, Any]]:
        """One row per frame; its number is the last number in its file name."""
        for found in walk(root, IMAGE_ENDINGS, on_skip):
            identity, clip = _names(found)
            numbers = re.findall(r"\d+", clip[-1].rsplit(".", 1)[0])
            frame = int(numbers[-1]) if numbers and len(numbers[-1]) < 10 else None
            yield as_row(found, identity=identity, clip="/".join(clip[:-1]) or None, frame=frame)


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
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
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
    for path in peek(root, depth=6, each=4):
        parts = path.split("/")
        person = next((part for part in parts[:-1] if _IDENTITY.fullmatch(part)), None)
        if person and any(parts[-1].lower().endswith(ending) for ending in endings):
            return f"{what} in folders like {person}"
    return None


def _names(found: Found) -> tuple[str | None, list[str]]:
    """The identity, and the parts of the path after it."""
    parts = found.path.split("/")
    for place, part in enumerate(parts[:-1]):
        if _IDENTITY.fullmatch(part):
            return part, parts[place + 1 :]
    return None, parts


def _boxes_path(root: Path, video: str) -> str | None:
    parts = video.rsplit(".", 1)[0].split("/")
    if "mp4" not in parts:
        return None
    parts[parts.index("mp4")] = "txt"
    path = "/".join(parts) + ".txt"
    return path if (root / path).is_file() else None
