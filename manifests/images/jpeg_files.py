"""What a JPEG's markers say: where the first picture ends, and whether libjpeg's lines mean damage."""

from __future__ import annotations

import re
from itertools import islice
from typing import NamedTuple

MAX_SCANS = 100
"""More scans are refused: real progressive JPEGs have about ten, and each scan visits the whole picture."""

SCAN, END = b"\xff\xda", b"\xff\xd9"

_ALONE = {0x01, *range(0xD0, 0xD8)}  # markers without a length
_FRAMES = set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # markers of the head that states size and channels
_SEQUENTIAL = {0xC0, 0xC1}
_HARMLESS = ("bad ICC marker",)
_OF_THE_PICTURE = ("Premature end of JPEG file", "Inconsistent progression", "Invalid SOS parameters")


class Marks(NamedTuple):
    """The markers of a JPEG.

    Attributes:
        ends: whether the first picture has its end marker.
        complete: whether its scans hold all coefficients of all channels, if none of the scans is cut.
        scans: the number of its scans.
    """

    ends: bool
    complete: bool
    scans: int


def jpeg_marks(data: bytes) -> Marks:
    """Reads the markers of the first picture of a file; what follows (a video, a second picture) is left out.

    Inside a scan, 0xFF is followed by 0 or by a restart marker, so the next end marker is the picture's own.
    """
    start, channels, progressive = _first_scan(data)
    if start < 0:
        return Marks(ends=False, complete=False, scans=0)
    one = not progressive and data[start + 4 : start + 5] == bytes([channels])  # all channels in one scan
    if one and data.endswith(END):
        return Marks(ends=True, complete=True, scans=1)  # the usual file, without a search through it
    end = data.find(END, start)
    if end >= 0:
        return Marks(ends=True, complete=True, scans=1 if one else data.count(SCAN, start, end))
    starts = [match.start() for match in islice(re.finditer(SCAN, data[start:]), MAX_SCANS + 1)]
    complete = channels > 0 and _coefficients(data[start:], starts) == channels
    return Marks(ends=False, complete=complete and not data.endswith(b"\0\0"), scans=len(starts))


def damage(lines: str) -> str | None:
    """Returns what libjpeg found wrong in the picture's data by its printed lines; None if nothing is.

    Its other lines are about the head ("unknown JFIF revision number"), and the picture is whole.
    """
    for line in lines.splitlines():
        _, found, what = line.partition("Corrupt JPEG data: ")
        if found and what not in _HARMLESS:
            return what
        if any(each in line for each in _OF_THE_PICTURE):
            return line
    return None


def _first_scan(data: bytes) -> tuple[int, int, bool]:
    """Reads the segments before the first scan.

    Returns:
        Where the scan's marker stands (-1: nowhere), the number of channels (0: unknown), and whether the
        JPEG is progressive.
    """
    place, channels, progressive = 2, 0, True
    while place + 4 <= len(data) and data[place] == 0xFF:
        kind = data[place + 1]
        if kind == SCAN[1]:
            return place, channels, progressive
        if kind == 0xFF:  # a fill byte
            place += 1
        elif kind in _ALONE:
            place += 2
        else:
            if kind in _FRAMES and place + 9 < len(data):
                channels, progressive = data[place + 9], kind not in _SEQUENTIAL
            place += 2 + int.from_bytes(data[place + 2 : place + 4], "big")
    return data.find(SCAN), channels, progressive  # bytes between segments: decoders look for the next marker


def _coefficients(data: bytes, starts: list[int]) -> int:
    """Returns of how many channels all 64 coefficients are there to the last bit."""
    found: dict[int, set[int]] = {}
    for start in starts:
        channels = data[start + 4] if start + 4 < len(data) else 0
        head = data[start + 5 : start + 8 + 2 * channels]
        if len(head) < 3 + 2 * channels:
            continue
        first, last, bits = head[-3:]
        if bits & 15 == 0:  # the position of the lowest bit that the scan brings
            for channel in head[0:-3:2]:
                found.setdefault(channel, set()).update(range(first, min(last, 63) + 1))
    return sum(len(each) == 64 for each in found.values())
