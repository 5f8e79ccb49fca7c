"""Inputs and outputs of MediaPipe's face networks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

MESH_INPUT = 192
"""Side of the mesh network's input, pixels."""

LOWEST_SCORE = 0.1
"""Detections with a lower score are not reported."""


class RawDetection(NamedTuple):
    """One face that a detector network found.

    Attributes:
        score: 0 to 1.
        box: (4,) float64, x0 y0 x1 y1 in pixels of the image.
        roll: radians, the angle of the line through the eyes in the image, clockwise.
        points: (6, 2) float64, pixels: the person's right and left eye, nose tip, middle of the mouth, right
            and left ear.
    """

    score: float
    box: np.ndarray
    roll: float
    points: np.ndarray


class Seen(NamedTuple):
    """The output of the mesh network for a crop.

    Attributes:
        mesh: (478, 3) float32: x, y in pixels of the crop, pixel centres at integers, z in the same unit
            (smaller is nearer). Lips and eyes are refined by a second part of the network.
        plain: (478, 3) float32: the same before the refinement. Its lips and eyes are less exact but more
            stable: on a turned head the refinement may move them off the head or onto a nostril.
        presence: the network's score that there is a face, 0 to 1.
    """

    mesh: np.ndarray
    plain: np.ndarray
    presence: float


class Networks(Protocol):
    """The face networks, however they are run: see `FaceModels` and `TorchModels`."""

    def mesh(self, crop: np.ndarray) -> Seen:
        """The 478 points of the face in a (192, 192, 3) uint8 RGB crop, upright in the middle two thirds."""
        ...

    def detect(self, image: np.ndarray, kind: str) -> list[RawDetection]:
        """Faces of an (H, W, 3) uint8 RGB image, best first, with a score of at least ``LOWEST_SCORE``.

        The kind "short" finds faces that fill much of the image (128 px input), "full" smaller ones (192 px).
        """
        ...

    def each(self, function: Callable[..., Any], *columns: Sequence[Any]) -> list[Any]:
        """``function`` of each photo's values, in their order; it uses these networks."""
        ...

    def fingerprint(self, *kinds: str) -> dict[str, str]:
        """What the results of the networks ``kinds`` depend on."""
        ...
