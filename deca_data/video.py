"""Extracts frames from a video: one pass from the first frame to the last, without seeking."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path
from typing import NamedTuple, TypeVar

import cv2
import numpy as np

from deca_data.video_files import check_video
from manifests.files import write_atomic
from manifests.images.c_warnings import decode_quietly
from manifests.images.decode import Unreadable

Result = TypeVar("Result")

QUALITY = 95
"""JPEG quality of the frames that are written."""

MAX_PIXELS = 36_000_000
"""Videos with larger frames are refused: 8K has 33 megapixels, and a decoder keeps up to 16 frames."""

MAX_FRAMES = 1_000_000
"""Longer videos are refused: 11 hours at 25 frames a second."""


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
    considered = range(0, count, frame_step or 1)
    if frames_per_clip is None or len(considered) <= frames_per_clip:
        return list(considered)
    places = np.linspace(0, len(considered) - 1, frames_per_clip) if frames_per_clip > 1 else np.zeros(1)
    return [considered[place] for place in np.unique(np.round(places).astype(int))]


def extract_frames(
    video: Path, folder: Path, frames_per_clip: int | None = 10, frame_step: int | None = None
) -> list[Frame]:
    """Writes chosen frames as `000025.jpg` (the frame number) into ``folder``, each complete or not at all.

    The video is decoded once, in order. The number of its frames is certain only at the end, so frames are
    chosen by the number in its header. If that number was wrong, the video is read a second time. For
    ``frames_per_clip`` and ``frame_step`` see ``choose_frames``. Frames are turned upright as the file says.

    Raises:
        Unreadable: the video cannot be opened, holds no frame, is too large, or has an unknown coding.
    """
    announced = _announced(_open(video))
    wanted = choose_frames(announced, frames_per_clip, frame_step)
    found, count = _write(video, folder, wanted)
    if count == 0:
        raise Unreadable(_why_no_frame(video))
    right = choose_frames(count, frames_per_clip, frame_step)
    if right != wanted:
        for frame in found:
            if frame.number not in right:
                frame.path.unlink()
        found, _ = _write(video, folder, right)
    return found


def frame_rate(video: Path) -> float:
    """Frames per second, as the file says; 0 where it does not.

    Raises:
        Unreadable: the video cannot be opened.
    """
    return float(_open(video).get(cv2.CAP_PROP_FPS))


def _write(video: Path, folder: Path, wanted: Collection[int]) -> tuple[list[Frame], int]:
    """Writes the wanted frames; returns them and the number of frames in the video."""
    wanted, found, count = set(wanted), [], 0
    turn, capture = check_video(video), _open(video)
    while _decoder(capture.grab):
        number, count = count, count + 1
        if count > MAX_FRAMES:
            raise Unreadable(f"too long: more than {MAX_FRAMES} frames")
        if number not in wanted:
            continue
        decoded, image = _decoder(capture.retrieve)
        if not decoded:
            continue
        image = turn.apply(image)
        path = folder / f"{number:06d}.jpg"
        _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
        write_atomic(path, data.tobytes())
        found.append(Frame(number, path, image.shape[1], image.shape[0]))
    return found, count


def _open(video: Path) -> cv2.VideoCapture:
    check_video(video)
    name = str(video.absolute())  # FFmpeg would read the beginning of another name as a protocol
    capture = _decoder(lambda: cv2.VideoCapture(name, cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1]))
    if not capture.isOpened():
        raise Unreadable("not a video that can be decoded, or truncated")
    capture.set(cv2.CAP_PROP_ORIENTATION_AUTO, 0)  # some versions of OpenCV turn frames, some do not
    width, height = (int(capture.get(side)) for side in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT))
    if width * height > MAX_PIXELS:
        raise Unreadable(f"too large: frames of {width} x {height} pixels (at most {MAX_PIXELS})")
    return capture


def _announced(capture: cv2.VideoCapture) -> int:
    count = capture.get(cv2.CAP_PROP_FRAME_COUNT)
    if count > MAX_FRAMES:
        raise Unreadable(f"too long: {count:.0f} frames (at most {MAX_FRAMES})")
    return max(int(count), 0)


def _why_no_frame(video: Path) -> str:
    """Names the coding, as most videos without a frame have one that OpenCV's FFmpeg lacks."""
    code = int(_open(video).get(cv2.CAP_PROP_FOURCC)).to_bytes(4, "little", signed=True)
    name = code.decode("ascii", "replace").strip("\0 ").upper()
    name = "AV1" if name == "AV01" else name
    if not name.isalnum():
        return "the video holds no frame that can be decoded"
    return (
        f"the video holds no frame that can be decoded; it is coded as {name}: if players show "
        f"it, convert it with `ffmpeg -i {video.name} -c:v libx264 -crf 18 OUT.mp4` and replace it"
    )


def _decoder(call: Callable[[], Result]) -> Result:
    """Calls the decoder; what it raises is the video's fault, and what it prints stays off the terminal."""
    try:
        return decode_quietly(call)
    except Exception as error:
        raise Unreadable(f"damaged: {type(error).__name__} in the decoder") from error
