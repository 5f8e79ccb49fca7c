"""What MediaPipe's face networks take and give."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

MESH_INPUT = 192
"""Side of the mesh network's input, pixels."""

LOWEST_SCORE = 0.1
"""Detections below are not reported at all."""


class RawDetection(NamedTuple):
    """What a detector network says of one face.

    Attributes:
        score: 0 to 1.
        box: (4,) float64, x0 y0 x1 y1 in pixels of the image.
        roll: radians, the angle of the line through the eyes in the image, clockwise.
    """

    score: float
    box: np.ndarray
    roll: float


class Seen(NamedTuple):
    """What the mesh network makes of a crop.

    Attributes:
        mesh: (478, 3) float32: x, y in pixels of the crop, pixel centres at integers, z in the same unit
            (smaller is nearer). Lips and eyes are the network's second, closer look at those places.
        plain: (478, 3) float32: the same as its first look has it. It lies less closely on lips and eyes,
            but holds still: on a turned head the closer look slips, now off the head, now onto a nostril.
        presence: the network's own belief that there is a face, 0 to 1.
    """

    mesh: np.ndarray
    plain: np.ndarray
    presence: float
