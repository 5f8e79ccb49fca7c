"""What a video file is, before a decoder opens it: its container, and how its frames must be turned.

FFmpeg chooses among some three hundred formats by a file's content. Some of them are lists of other files and
addresses (HLS, DASH, concat, SDP), which it would open. Only containers that hold their own pictures are
handed to it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from manifests.files import Refused, open_file
from manifests.images.decode import Unreadable

_ATOMS = {b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"}
"""How a file of the MP4 and QuickTime family begins, after four bytes."""

_DEEPEST = 64
"""Boxes of one kind that are looked at in one box; a film has a few tracks."""


class Turn(NamedTuple):
    """How a frame becomes upright: exchange rows and columns, then mirror."""

    exchange: bool = False
    mirror_x: bool = False
    mirror_y: bool = False

    def apply(self, image: np.ndarray) -> np.ndarray:  # (H, W, 3) -> (H, W, 3) or (W, H, 3)
        """Turns one frame."""
        image = image.transpose(1, 0, 2) if self.exchange else image
        image = image[:, ::-1] if self.mirror_x else image
        image = image[::-1] if self.mirror_y else image
        return np.ascontiguousarray(image)


def check_video(video: Path) -> Turn:
    """Returns how the frames of a video must be turned, by the display matrix of its first video track.

    Matroska and AVI files are not turned: cameras do not write an angle into them.

    Raises:
        Unreadable: missing, no regular file, or none of the containers MP4, QuickTime, Matroska, WebM, AVI.
    """
    try:
        with open_file(video) as file:
            head = file.read(16)
            if head[4:8] in _ATOMS:
                size = file.seek(0, 2)
                return _turn(file, size)
    except FileNotFoundError as error:
        raise Unreadable("the video file is missing") from error
    except Refused as error:
        raise Unreadable(str(error.strerror)) from error
    except OSError as error:
        raise Unreadable(f"cannot read the file: {error.strerror or error}") from error
    if head[:4] == b"\x1a\x45\xdf\xa3" or (head[:4] == b"RIFF" and head[8:11] == b"AVI"):
        return Turn()
    raise Unreadable("not a video: the file is neither MP4, QuickTime, Matroska, WebM nor AVI")


def _turn(file: BinaryIO, size: int) -> Turn:
    """Follows moov, trak and tkhd; damaged boxes turn nothing, and the decoder will say what it thinks."""
    for _, start, end in _boxes(file, 0, size, b"moov"):
        whole = next((_matrix(file, at, 36) for _, at, _ in _boxes(file, start, end, b"mvhd")), np.eye(2))
        for _, inside, last in _boxes(file, start, end, b"trak"):
            if not _is_video(file, inside, last):
                continue
            for _, at, _ in _boxes(file, inside, last, b"tkhd"):
                return _from_matrix(_matrix(file, at, 40) @ whole)
    return Turn()


def _boxes(file: BinaryIO, start: int, end: int, kind: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Boxes of one kind between two places: the kind, and where the content begins and ends."""
    found = 0
    while start + 8 <= end and found < _DEEPEST:
        file.seek(start)
        head = file.read(16)
        size, content = int.from_bytes(head[:4], "big"), start + 8
        if size == 1:
            size, content = int.from_bytes(head[8:16], "big"), start + 16
        if size == 0:
            size = end - start
        if size < content - start:
            return
        if head[4:8] == kind:
            found += 1
            yield kind, content, min(start + size, end)
        start += size


def _is_video(file: BinaryIO, start: int, end: int) -> bool:
    for _, inside, last in _boxes(file, start, end, b"mdia"):
        for _, at, _ in _boxes(file, inside, last, b"hdlr"):
            file.seek(at + 8)
            return file.read(4) == b"vide"
    return False


def _matrix(file: BinaryIO, at: int, place: int) -> np.ndarray:
    """The 2 x 2 part of a display matrix, for row vectors; ``place`` is where it stands in version 0."""
    file.seek(at)
    data = file.read(place + 12 + 24)
    place += 12 * (data[:1] == b"\1")  # version 1 has three longer numbers before it
    numbers = data[place : place + 20]
    if len(numbers) < 20:
        return np.eye(2)
    return np.frombuffer(numbers, ">i4")[[0, 1, 3, 4]].reshape(2, 2) / 65536


def _from_matrix(matrix: np.ndarray) -> Turn:
    (a, b), (c, d) = matrix  # (x, y) is shown at (a x + c y, b x + d y), y down
    if abs(a) + abs(d) >= abs(b) + abs(c):
        return Turn(False, bool(a < 0), bool(d < 0))
    return Turn(True, bool(c < 0), bool(b < 0))
