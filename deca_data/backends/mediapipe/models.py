"""MediaPipe's bundled face networks, each as one call: a crop in, arrays out.

The library itself, which takes a second to import, is loaded with the first call: a process that only plans
work for others never does.
"""

from __future__ import annotations

import hashlib
from functools import cached_property
from importlib.metadata import version
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from deca_data.backends.mediapipe.package import package_folder

if TYPE_CHECKING:
    from deca_data.backends.mediapipe.graphs import FaceGraphs

MESH_INPUT = 192
"""Side of the mesh network's input, pixels."""

LOWEST_SCORE = 0.1
"""Detections below are not reported at all."""

METHOD = "2"
"""Changes when the same networks are used in another way, so that older workspaces redo their stages."""

IMPORTS = ("deca_data.backends.mediapipe.graphs",)
"""What a process that is to run the networks will import."""

_MODELS = {
    "mesh": "face_landmark/face_landmark_with_attention.tflite",
    "short": "face_detection/face_detection_short_range.tflite",
    "full": "face_detection/face_detection_full_range_sparse.tflite",
}


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


class FaceModels:
    """The mesh network and both detectors, each made at its first use, one set for a process.

    Raises:
        ModuleNotFoundError: MediaPipe is not installed.
    """

    def __init__(self) -> None:
        package_folder()

    def mesh(self, crop: np.ndarray) -> Seen:
        """The 478 points of the face that fills a crop.

        Args:
            crop: (192, 192, 3) uint8 RGB, the face upright in the middle two thirds.
        """
        return self._graphs.mesh(crop)

    def detect(self, image: np.ndarray, kind: str) -> list[RawDetection]:
        """Faces of an image, best first, down to a score of ``LOWEST_SCORE``.

        Args:
            image: (H, W, 3) uint8 RGB.
            kind: "short" (faces that fill a good part of the image; 128 px input) or "full" (smaller
                ones; 192 px input).
        """
        return self._graphs.detect(image, kind)

    @cached_property
    def _graphs(self) -> FaceGraphs:
        from deca_data.backends.mediapipe.graphs import FaceGraphs

        return FaceGraphs()


def fingerprint(*kinds: str) -> dict[str, str]:
    """MediaPipe's version, the way of using it, and the SHA-256 beginnings of the models of ``kinds``."""
    folder = package_folder() / "modules"
    result = {"mediapipe": version("mediapipe"), "method": METHOD}
    for kind in kinds:
        result[kind] = hashlib.sha256((folder / _MODELS[kind]).read_bytes()).hexdigest()[:16]
    return result
