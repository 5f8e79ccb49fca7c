"""MediaPipe's bundled face networks, each as one call: a crop in, arrays out.

The library takes over a second to import, so it is imported at the first call. A process that only plans
never imports it.
"""

from __future__ import annotations

import hashlib
from functools import cached_property
from importlib.metadata import distribution, version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from deca_data.backends.mediapipe.outputs import RawDetection, Seen

if TYPE_CHECKING:
    from deca_data.backends.mediapipe.graphs import FaceGraphs

METHOD = "3"
"""Version of how the networks are used; when it changes, older workspaces run their stages again."""

_MODELS = {
    "mesh": "face_landmark/face_landmark_with_attention.tflite",
    "short": "face_detection/face_detection_short_range.tflite",
    "full": "face_detection/face_detection_full_range_sparse.tflite",
}


class FaceModels:
    """The mesh network and both detectors, each made at its first use, one set for a process.

    Raises:
        ModuleNotFoundError: MediaPipe is not installed.
    """

    def __init__(self) -> None:
        version("mediapipe")

    def mesh(self, crop: np.ndarray) -> Seen:
        """The 478 points of the face in a (192, 192, 3) uint8 RGB crop, upright in the middle two thirds."""
        return self._graphs.mesh(crop)

    def detect(self, image: np.ndarray, kind: str) -> list[RawDetection]:
        """Faces of an (H, W, 3) uint8 RGB image, best first, with a score of at least ``LOWEST_SCORE``.

        The kind "short" finds faces that fill much of the image (128 px input), "full" smaller ones (192 px).
        """
        return self._graphs.detect(image, kind)

    @cached_property
    def _graphs(self) -> FaceGraphs:
        from deca_data.backends.mediapipe.graphs import FaceGraphs

        return FaceGraphs()


def fingerprint(*kinds: str) -> dict[str, str]:
    """MediaPipe's version, ``METHOD``, and the first 16 hex digits of the SHA-256 of the models ``kinds``."""
    folder = Path(str(distribution("mediapipe").locate_file("mediapipe/modules")))
    result = {"mediapipe": version("mediapipe"), "method": METHOD}
    for kind in kinds:
        result[kind] = hashlib.sha256((folder / _MODELS[kind]).read_bytes()).hexdigest()[:16]
    return result
