"""The protocols of the four kinds of model library that stages use."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np

from deca_data.head_pose import HeadPose


class Detection(NamedTuple):
    """One detected face.

    Attributes:
        box: (4,) float, x0 y0 x1 y1 in pixels of the image.
        score: the detector's own confidence, 0 to 1.
    """

    box: np.ndarray
    score: float


class LandmarkResult(NamedTuple):
    """The landmarks of one face.

    Attributes:
        points: (68, 2) float32, iBUG order, pixels of the image, pixel centres at integers.
        confidence: 0 to 1; its exact meaning depends on the backend.
        mesh: (478, 3) float32, MediaPipe's dense mesh (x, y in pixels of the image, z in the same unit);
            None from other backends.
        pose: the head's angles, if the backend has better ones than those by the 68 points.
        likeness: 0 to 1, whether the mesh has a person's shape: about 0 for animals; None if it is not known.
    """

    points: np.ndarray
    confidence: float
    mesh: np.ndarray | None = None
    pose: HeadPose | None = None
    likeness: float | None = None


class Backend(Protocol):
    """What all four kinds have."""

    name: str

    def fingerprint(self) -> dict[str, str]:
        """Library version and the weights' hash: everything that changes the result."""
        ...


class Detector(Backend, Protocol):
    """Finds faces."""

    def detect(self, images: Sequence[np.ndarray]) -> list[list[Detection]]:
        """Faces of each (H, W, 3) uint8 RGB image, in any order; an empty list where there is none."""
        ...


class Landmarker(Backend, Protocol):
    """Finds the 68 landmarks of a face whose box is known."""

    def landmarks(
        self, images: Sequence[np.ndarray], boxes: Sequence[np.ndarray]
    ) -> list[LandmarkResult | None]:
        """Landmarks of the face in each box; None where the model sees no face."""
        ...


class Parser(Backend, Protocol):
    """Separates the visible face (skin, brows, eyes, nose, lips and mouth) from everything else."""

    def parse(
        self, images: Sequence[np.ndarray], boxes: Sequence[np.ndarray], landmarks: Sequence[np.ndarray]
    ) -> list[np.ndarray]:
        """A mask for each image: (H, W) uint8, 255 on the visible face, 0 elsewhere."""
        ...


class Embedder(Backend, Protocol):
    """Turns a face into a vector: close for photos of one person, far apart for different persons."""

    def embed(
        self, images: Sequence[np.ndarray], boxes: Sequence[np.ndarray], landmarks: Sequence[np.ndarray]
    ) -> np.ndarray:
        """Embeddings, (N, D) float32, each of length 1."""
        ...
