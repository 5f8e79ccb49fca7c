"""What a PNG's chunks say, before OpenCV gets the file."""

from __future__ import annotations

SIGNATURE = b"\x89PNG\r\n\x1a\n"

_ANIMATION = (b"acTL", b"fcTL", b"fdAT")


def is_animated(data: bytes) -> bool:
    """Returns whether a PNG may be an animation.

    OpenCV 4.11 writes beyond the image where a damaged animation places a frame there. The chunks are sought
    everywhere, as it might find its way to some that the lengths do not lead to.
    """
    return any(kind in data for kind in _ANIMATION)


def is_too_long(data: bytes) -> bool:
    """Returns whether a chunk of a PNG says that it is longer than the file.

    OpenCV 4.11 takes as much memory as the length says, up to 4 GB, before it looks how much there is.
    """
    place = len(SIGNATURE)
    while place + 8 <= len(data):
        length = int.from_bytes(data[place : place + 4], "big")
        if length > len(data):
            return True
        place += 12 + length
    return False
