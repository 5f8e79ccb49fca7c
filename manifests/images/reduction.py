"""How far a large photo is reduced while it is decoded: every later step still gets the pixels it needs.

A JPEG is decoded faster at a half, a quarter or an eighth of its size. The networks of the stages see a face
at 112 to 512 pixels, and the detector sees the photo at 512 or a quarter of it at 192. A large photo of a
small face is decoded again, larger, when the face is found. The trainer needs the pixels of its crop.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from manifests.images.decode import Shrink

FACTORS = (8, 4, 2, 1)
"""Factors by which JPEG decoders can reduce the sides."""

PHOTO = 1500
"""Minimum longer side of a photo, in pixels, to find faces."""

FACE = 384
"""Minimum longer side of the face's box, in pixels, for the stages after detection."""


def reduction_for_stages(box: Sequence[float] | None) -> Shrink:
    """Returns the reduction for the stages; ``box`` is the face's (x0, y0, x1, y1), None before detection."""

    def shrink(width: int, height: int) -> int:
        longer = max(width, height)
        side = max(box[2] - box[0], box[3] - box[1]) if box is not None else math.inf
        return next((each for each in FACTORS if longer >= PHOTO * each and side >= FACE * each), 1)

    return shrink


def reduction_for_crop(side: float, size: int) -> int:
    """Returns the largest factor that leaves ``size`` of a crop's ``side`` pixels; 1 if none does."""
    return next((each for each in FACTORS if side >= each * size), 1)
