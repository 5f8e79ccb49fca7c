"""The iBUG-68 convention: the meaning of each point, and its mirror image.

"Left" and "right" are sides of the photo, as in the 300-W annotation: 36-41 is the eye on the left of the
photo of a person who faces the camera, which is that person's right eye.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

JAW = range(0, 17)
LEFT_BROW = range(17, 22)
RIGHT_BROW = range(22, 27)
NOSE_BRIDGE = range(27, 31)
NOSTRILS = range(31, 36)
LEFT_EYE = range(36, 42)
RIGHT_EYE = range(42, 48)
OUTER_LIPS = range(48, 60)
INNER_LIPS = range(60, 68)

LEFT_EYE_OUTER, RIGHT_EYE_OUTER = 36, 45

EYELID_PAIRS = ((37, 41), (38, 40), (43, 47), (44, 46))
"""Pairs of upper and lower lid points, one above the other."""

INNER_LIP_PAIRS = ((61, 67), (62, 66), (63, 65))
"""Pairs of upper and lower inner-lip points, one above the other."""

MIRROR = np.array(
    [*range(16, -1, -1), *range(26, 16, -1), *range(27, 31), *range(35, 30, -1)]
    + [45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40]
    + [54, 53, 52, 51, 50, 49, 48, 59, 58, 57, 56, 55]
    + [64, 63, 62, 61, 60, 67, 66, 65]
)
"""(68,) int: ``points[MIRROR]`` puts the landmarks of a mirrored photo back into iBUG order."""

LINES: tuple[tuple[int, ...], ...] = (
    *map(tuple, (JAW, LEFT_BROW, RIGHT_BROW, NOSE_BRIDGE, NOSTRILS)),
    *((*part, part[0]) for part in (LEFT_EYE, RIGHT_EYE, OUTER_LIPS, INNER_LIPS)),
)
"""The lines of a drawing, each a run of points; those of eyes and lips are closed."""

EDGES = tuple(edge for line in LINES for edge in pairwise(line))
"""The pairs of points that `LINES` joins."""


def interocular(points: np.ndarray) -> np.ndarray:
    """Returns the distances (...,) of the outer eye corners of ``points`` (..., 68, 2), as in 300-W."""
    return np.linalg.norm(points[..., RIGHT_EYE_OUTER, :] - points[..., LEFT_EYE_OUTER, :], axis=-1)
