"""Faces for fitting: the dense mesh and the mask of the faces that were found in photos."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from deca_data.backends.mediapipe_landmarker import MediapipeLandmarker
from deca_data.backends.mesh_parser import MeshParser
from pipelines.photo_faces import FacePhoto


class FitPhoto(NamedTuple):
    """A face of a photo with all that a fit uses; the first fields are those of ``FacePhoto``."""

    name: str
    path: Path
    image: np.ndarray  # (H, W, 3) uint8 RGB, upright
    landmarks: np.ndarray  # (68, 2) float32, pixels
    faces: int
    mesh: np.ndarray | None  # (478, 3) float32, pixels; None if MediaPipe sees no face in the box
    mask: np.ndarray | None  # (H, W) uint8, 255 on visible skin; None without a mesh


class MeshFinder:
    """Adds mesh and mask with MediaPipe, whichever backend found the landmarks."""

    def __init__(self) -> None:
        self._landmarker = MediapipeLandmarker()
        self._parser = MeshParser()

    def add(self, faces: Iterable[FacePhoto]) -> Iterator[FitPhoto]:
        """The faces with their meshes and masks, in order."""
        for face in faces:
            mesh = self._landmarker.mesh(face.image, face.box)
            mask = None if mesh is None else self._parser.mask(face.image, mesh)
            yield FitPhoto(face.name, face.path, face.image, face.landmarks, face.faces, mesh, mask)
