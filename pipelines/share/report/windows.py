"""Where in a photo the face is that the page shows."""

from __future__ import annotations

import numpy as np

from manifests.images.crop import Cut

AROUND = 1.9
"""Side of the square over the longer side of the landmarks' (or face's) box."""


def face_window(width: int, height: int, corners: np.ndarray | None, whole: bool) -> Cut:
    """Returns the square around the face, or the whole photo.

    It is moved and reduced so that it reaches beyond the photo as little as possible.

    Args:
        width: of the upright photo, pixels.
        height: of the same.
        corners: (2, 2) the lowest and highest x and y of the landmarks, else of the box; None if unknown.
        whole: whether to show the whole photo in any case.
    """
    most = max(height, width)
    if whole or corners is None:
        return Cut((width - most) // 2, (height - most) // 2, most)
    (left, top), (right, bottom) = corners.tolist()
    face = max(right - left, bottom - top)
    side = round(min(max(16.0, AROUND * face), max(1.15 * face, min(height, width)), 2.0 * most))
    start = [
        round(min(max(centre - side / 2, min(0, size - side)), max(0, size - side)))
        for centre, size in (((left + right) / 2, width), ((top + bottom) / 2, height))
    ]
    return Cut(start[0], start[1], side)
