"""Extracts frames from a video: one pass from the first frame to the last, without seeking."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from manifests.files import write_atomic
from manifests.images.decode import Unreadable

QUALITY = 95
"""JPEG quality of the frames that are written."""


class Frame(NamedTuple):
    """A frame that was written: its number in the video, from 0, its JPEG, and its sides in pixels."""

    number: int
    path: Path
    width: int
    height: int


def choose_frames(count: int, frames_per_clip: int | None, frame_step: int | None = None) -> list[int]:
    """Chooses the numbers of the frames to keep.

    Args:
        count: frames in the video.
        frames_per_clip: maximum number of frames; None keeps all considered frames.
        frame_step: only every ``frame_step``-th frame is considered; None considers all.

    Returns:
        Increasing numbers, 0 first, evenly spread from the first considered frame to the last.
    """
    considered = list(range(0, count, frame_step or 1))
    if frames_per_clip is None or len(considered) <= frames_per_clip:
        return considered
    places = np.linspace(0, len(considered) - 1, frames_per_clip) if frames_per_clip > 1 else np.zeros(1)
    return [considered[place] for place in np.unique(np.round(places).astype(int))]


def extract_frames(
    video: Path, folder: Path, frames_per_clip: int | None = 10, frame_step: int | None = None
) -> list[Frame]:
    """Writes chosen frames as `000025.jpg` (the frame number) into ``folder``, each complete or not at all.

    The video is decoded once, in order. The number of its frames is certain only at the end, so frames are
    chosen by the number in its header. If that number was wrong, the video is read a second time. For
    ``frames_per_clip`` and ``frame_step`` see ``choose_frames``.

    Raises:
        Unreadable: the video cannot be opened, or holds no frame.
    """
    announced = max(int(_open(video).get(cv2.CAP_PROP_FRAME_COUNT)), 0)
    wanted = choose_frames(announced, frames_per_clip, frame_step)
    found, count = _write(video, folder, wanted)
    if count == 0:
        raise Unreadable("the video holds no frame that can be decoded")
    right = choose_frames(count, frames_per_clip, frame_step)
    if right != wanted:
        for frame in found:
            if frame.number not in right:
                frame.path.unlink()
        found, _ = _write(video, folder, right)
    return found


def _write(video: Path, folder: Path, wanted: Collection[int]) -> tuple[list[Frame], int]:
    """Writes the wanted frames; returns them and the number of frames in the video."""
    wanted, found, count = set(wanted), [], 0
    capture = _open(video)
    while capture.grab():
        number, count = count, count + 1
        if number not in wanted:
            continue
        decoded, image = capture.retrieve()
        if not decoded:
            continue
        path = folder / f"{number:06d}.jpg"
        _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
        write_atomic(path, data.tobytes())
        found.append(Frame(number, path, image.shape[1], image.shape[0]))
    return found, count


def _open(video: Path) -> cv2.VideoCapture:
    if not video.is_file():
        raise Unreadable("the video file is missing")
    capture = cv2.VideoCapture(str(video), cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
    if not capture.isOpened():
        raise Unreadable("not a video that can be decoded, or truncated")
    return capture
