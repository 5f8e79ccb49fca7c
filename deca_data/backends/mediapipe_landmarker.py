"""Landmarks with MediaPipe's bundled mesh network."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from deca_data.backends.mediapipe.agreement import fit_on_box
from deca_data.backends.mediapipe.landmark_maps import mesh_to_ibug
from deca_data.backends.mediapipe.models import FaceModels, fingerprint
from deca_data.backends.protocols import LandmarkResult


class MediapipeLandmarker:
    """The attention mesh of 478 points, mapped to the 68 of iBUG.

    The confidence is the network's presence score. Profiles and doubtful faces are looked at as they are and
    mirrored, and from two or three starts: there it is the lower presence, less the more the looks and the
    starts disagree (see `Fit.confidence`).
    """

    name = "mediapipe"

    def __init__(self, device: str = "cpu", weights: Path | None = None, download: bool = False) -> None:
        self._models = FaceModels()  # always the CPU and the bundled models: the arguments do not matter

    def fingerprint(self) -> dict[str, str]:
        """MediaPipe's version and its models' hashes."""
        return fingerprint("mesh", "short", "full")

    def landmarks(
        self, images: Sequence[np.ndarray], boxes: Sequence[np.ndarray]
    ) -> list[LandmarkResult | None]:
        """Landmarks and mesh of the face in each box; None where the mesh cannot be laid on it."""
        results: list[LandmarkResult | None] = []
        for image, box in zip(images, boxes, strict=True):
            found = fit_on_box(self._models, image, np.asarray(box, np.float64))
            if found is None:
                results.append(None)
            else:
                results.append(LandmarkResult(mesh_to_ibug(found.mesh), found.confidence, found.mesh))
        return results

    def mesh(self, image: np.ndarray, box: np.ndarray) -> np.ndarray | None:
        """The (478, 3) float32 mesh of the face in ``box`` (x, y in pixels of the image), or None."""
        found = fit_on_box(self._models, image, np.asarray(box, np.float64))
        return None if found is None else found.mesh
