"""How far a large photo is reduced while it is decoded: only as far as no later step needs more pixels.

A JPEG can be unpacked at a half, a quarter or an eighth of its size in a part of the time. Every network of
the stages sees a face at 112 to 512 pixels, with its surroundings, and the detector sees the photo at 512 or
a quarter of it at its own 192. So a photo stays as large as these need it; a large photo of a small face is
decoded again, larger, once the face is found. The trainer knows the face and needs the pixels of its crop.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from manifests.images.decode import Shrink

FACTORS = (8, 4, 2, 1)
"""What JPEG decoders can divide the sides by."""

PHOTO = 1500
"""Pixels of the longer side that are left at least, for finding faces."""

FACE = 384
"""Pixels of the longer side of the face's box that are left at least, for the stages after detection."""


def reduction_for_stages(box: Sequence[float] | None) -> Shrink:
    """What the sides of a photo of some width and height may be divided by.

    Args:
        box: of the face, (x0, y0, x1, y1) in the photo's pixels; None before it is found.
    """

    def shrink(width: int, height: int) -> int:
        longer = max(width, height)
        side = max(box[2] - box[0], box[3] - box[1]) if box is not None else math.inf
        return next((each for each in FACTORS if longer >= PHOTO * each and side >= FACE * each), 1)

    return shrink


def reduction_for_crop(side: float, size: int) -> int:
    """The largest factor that leaves ``size`` pixels of a crop's ``side`` pixels; 1 where none does."""
    return next((each for each in FACTORS if side >= each * size), 1)
